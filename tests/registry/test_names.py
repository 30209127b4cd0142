from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localmix.errors import ModelNotFound
from localmix.registry.names import (
    AliasName,
    HubName,
    OllamaName,
    PathName,
    is_safe_file,
    parse_name,
)


@pytest.mark.parametrize(
    "text", ["mistral", "tiny", "mixtral:8x7b-instruct-v0.1-q4_0", "mistral:7b"]
)
def test_a_word_with_or_without_a_tag_is_an_alias(text):
    assert parse_name(text) == AliasName(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("hf.co/o/r", HubName("o/r")),
        ("HF.co/o/r/", HubName("o/r")),
        ("huggingface.co/o/r", HubName("o/r")),
        ("https://huggingface.co/o/r", HubName("o/r")),
        ("https://huggingface.co/o/r/tree/main", HubName("o/r")),
        ("hf.co/o/r:Q5_K_M", HubName("o/r", quantization="Q5_K_M")),
        ("hf.co/o/r/f.gguf", HubName("o/r", file="f.gguf")),
        ("hf.co/o/r/Q8_0/f.gguf", HubName("o/r", file="Q8_0/f.gguf")),
        (
            "https://huggingface.co/o/r/resolve/main/f.gguf?download=true",
            HubName("o/r", file="f.gguf"),
        ),
        ("https://huggingface.co/o/r/blob/main/a/f.gguf", HubName("o/r", file="a/f.gguf")),
        ("hf.co/TheBloke/Mistral-7B-v0.1-GGUF", HubName("TheBloke/Mistral-7B-v0.1-GGUF")),
    ],
)
def test_a_repository_is_named_as_on_the_hub(text, name):
    assert parse_name(text) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ollama/mistral", OllamaName("mistral", "latest")),
        ("Ollama/mistral:7b-instruct-q4_K_M", OllamaName("mistral", "7b-instruct-q4_K_M")),
        ("ollama/someone/model:v1", OllamaName("someone/model", "v1")),
        ("ollama/library/mistral", OllamaName("mistral")),
        ("ollama/registry.ollama.ai/library/mistral:7b", OllamaName("mistral", "7b")),
        ("ollama/ollama.com/someone/model", OllamaName("someone/model")),
        ("ollama/hf.co/o/r-GGUF:Q4_K_M", OllamaName("hf.co/o/r-GGUF", "Q4_K_M")),
        ("ollama/hf.co/o/r:f.gguf", OllamaName("hf.co/o/r", "f.gguf")),
        ("ollama/localhost:5000/library/m:x", OllamaName("localhost:5000/library/m", "x")),
    ],
)
def test_a_model_of_ollama_is_named_as_ollama_does(text, name):
    assert parse_name(text) == name


@pytest.mark.parametrize(
    "text", ["ollama/m.gguf", "./ollama/mistral", "ollama/a/b/c/d.gguf", "ollama/", "/ollama/m"]
)
def test_a_file_in_a_folder_named_ollama_is_a_path(text):
    assert parse_name(text) == PathName(Path(text))


@pytest.mark.parametrize(
    "text", ["./m.gguf", "m.gguf", "M.GGUF", "/a/b.gguf", "../m.gguf", "models/m", "o/r", "a\\b"]
)
def test_a_suffix_or_a_separator_makes_a_path(text):
    assert parse_name(text) == PathName(Path(text))


def test_a_tilde_in_a_path_is_the_users_home():
    assert parse_name("~/m.gguf") == PathName(Path.home() / "m.gguf")
    assert parse_name("~nobody-of-that-name/m.gguf").path.name == "m.gguf"


@pytest.mark.parametrize(
    "text",
    [
        "", "  ", ".", "..", ":", "mistral:", ":q4_0", "-rf", "mis tral", "a:b:c", "./a\x00.gguf",
        "a\nb", "hf.co", "hf.co/", "hf.co/o", "hf.co/o/", "hf.co/../r", "hf.co/o/..", "hf.co//r",
        "hf.co/o/r:", "hf.co/o/r:Q4 0", "hf.co/o/r:../x", "hf.co/o/r/../../x.gguf",
        "hf.co/o/r//etc/x.gguf",
        "hf.co/o/r/x.txt", "hf.co/o/r/.ssh/x.gguf", "hf.co/o/r/a\\..\\x.gguf", "hf.co/o/r/C:x.gguf",
        "hf.co/o--x/r", "hf.co/o/.r", "hf.co/o/r-", f"hf.co/o/{'r' * 97}", "hf.co/o/r:Q4_0/f.gguf",
        "ollama/x:", "ollama/:x", "ollama//m", "ollama/m/", "ollama/../m", "ollama/m:..",
        "ollama/a/b/c/d", "ollama/m:a:b", "ollama/m:a/b", "ollama/m m", "ollama/a:1/m", "ollama/-m",
        "ollama/.m", "ollama/a\\b", "ollama/h:x/n/m", "ollama/m:a..b", "ollama/o/..:x",
        f"ollama/{'m' * 81}", f"ollama/m:{'x' * 81}",
        "https://example.com/o/r", "http://example.com/m.gguf",
    ],
)  # fmt: skip
def test_nonsense_is_no_name_and_the_error_says_what_to_type(text):
    with pytest.raises(ModelNotFound) as caught:
        parse_name(text)
    assert caught.value.hint


@given(st.text(max_size=60))
def test_any_text_is_a_name_or_a_typed_error(text):
    try:
        name = parse_name(text)
    except ModelNotFound:
        return
    assert isinstance(name, (AliasName, HubName, OllamaName, PathName))


@given(st.text(alphabet="/.\\:aA~ \x00-", max_size=20))
def test_a_safe_file_never_leaves_the_folder_it_is_joined_to(path):
    if is_safe_file(path):
        folder = Path("/store/o/r")
        assert (folder / path).resolve().is_relative_to(folder)
        assert ".." not in path.split("/")


@pytest.mark.parametrize(
    "text",
    [
        "hf.co/o/r",
        "hf.co/o/r:Q5_K_M",
        "hf.co/o/r/a/f.gguf",
        "ollama/m:latest",
        "ollama/hf.co/o/r:Q4_0",
    ],
)
def test_a_name_written_out_means_the_same_again(text):
    assert parse_name(text).text == text
    assert parse_name(parse_name(text).text) == parse_name(text)


@pytest.mark.parametrize(
    "path",
    ["nul.gguf", "AUX.Q4_K_M.gguf", "a/con/b.gguf", "com1.gguf", "LPT\u00b9.gguf", "a./b.gguf",
     "a /b.gguf", "prn .gguf", "b.gguf.", "com0"],
)  # fmt: skip
def test_names_that_windows_gives_another_meaning_are_refused(path):
    assert not is_safe_file(path)


@pytest.mark.parametrize(
    "path",
    ["console.gguf", "auxiliary/a.gguf", "com10.gguf", "a.con.gguf", "nul-1.gguf", "a b.gguf"],
)
def test_names_that_only_look_like_those_are_fine(path):
    assert is_safe_file(path)
