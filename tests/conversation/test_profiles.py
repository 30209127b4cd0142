"""Settings of config.toml: which layer counts, and what is said of mistakes."""

import pytest

from localmix.conversation.profiles import config_path, settings_for
from localmix.errors import LocalmixError

KNOWN = {"system": str, "temperature": float, "top_k": int, "verbose": bool, "stop": list}

LAYERS = """
[defaults]
temperature = 0.7
top_k = 10
system = "default"

[models."mistral"]
top_k = 20
system = "model"

[profiles.code]
system = "profile"
"""


@pytest.fixture
def config(tmp_path):
    """Write config.toml; gives what it says for a model and a profile."""

    def ask(text, model="mistral", profile=None):
        path = config_path(tmp_path)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return settings_for(tmp_path, model, profile, KNOWN)

    return ask


def refused(config, text, **options):
    with pytest.raises(LocalmixError) as error:
        config(text, **options)
    assert "config.toml" in error.value.message
    assert error.value.hint
    return error.value.message


def test_no_file_says_nothing_and_is_not_made(tmp_path):
    assert settings_for(tmp_path / "none", "m", None, KNOWN) == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "# nothing\n", "[defaults]\n", "[models]\n[profiles]\n"])
def test_an_empty_file_says_nothing(config, text):
    assert config(text) == {}


def test_a_profile_goes_before_a_model_and_a_model_before_the_defaults(config):
    assert config(LAYERS, "tiny") == {"temperature": 0.7, "top_k": 10, "system": "default"}
    assert config(LAYERS) == {"temperature": 0.7, "top_k": 20, "system": "model"}
    assert config(LAYERS, profile="code") == {"temperature": 0.7, "top_k": 20, "system": "profile"}
    assert config(LAYERS, "MISTRAL")["top_k"] == 20


def test_a_profile_that_is_missing_is_said_with_those_there_are(config):
    assert "code" in refused(config, LAYERS, profile="coding")
    assert "none" in refused(config, "", profile="code")


def test_a_profile_without_a_file_is_said(tmp_path):
    with pytest.raises(LocalmixError, match=r"config\.toml"):
        settings_for(tmp_path, "m", "code", KNOWN)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("temperature = 1", {"temperature": 1.0}),
        ("top-k = 5", {"top_k": 5}),
        ("system = 5", {"system": "5"}),
        ("verbose = false", {"verbose": False}),
        ('stop = ["a", "b"]', {"stop": ["a", "b"]}),
        ("stop = []", {"stop": []}),
        ('system = """\nä\nb"""', {"system": "ä\nb"}),
    ],
)
def test_values_have_the_type_of_their_option(config, line, value):
    found = config(f"[defaults]\n{line}\n")
    assert found == value
    assert list(map(type, found.values())) == list(map(type, value.values()))


@pytest.mark.parametrize(
    "line",
    [
        "temperature = true",
        'temperature = "hot"',
        "top_k = 5.0",
        "top_k = true",
        "verbose = 1",
        'verbose = "yes"',
        "system = true",
        "system = 0.5",
        'stop = "a"',
        "stop = [1]",
        'stop = ["a", ["b"]]',
        "system = 2020-01-01",
        "temperature = {}",
    ],
)
def test_values_of_another_type_are_refused_by_name(config, line):
    message = refused(config, f"[defaults]\n{line}\n")
    assert line.split()[0] in message
    assert "defaults" in message


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[defaults]\ntemprature = 1\n", "temprature"),
        ("[profiles.code]\nmodel = 'x'\n", "model"),
        ("[profile.code]\ntop_k = 1\n", "profile"),
        ("temperature = 1\n", "temperature"),
        ("defaults = 1\n", "defaults"),
        ("[[defaults]]\ntop_k = 1\n", "defaults"),
        ("[models]\ntop_k = 1\n", "top_k"),
        ("[models]\nmistral = 1\n", "mistral"),
        ("[profiles]\ncode = 'x'\n", "code"),
    ],
)
def test_keys_and_tables_that_do_not_exist_are_refused_by_name(config, text, named):
    profile = "code" if "profiles" in text else None
    assert named in refused(config, text, profile=profile)


def test_tables_of_other_models_and_profiles_do_not_count(config):
    text = "[models.other]\nfuture_option = 1\n[profiles.other]\ntop_k = 'x'\n"
    assert config(text) == {}


@pytest.mark.parametrize(
    "text", ["[defaults", "a = ", "[defaults]\ntop_k = 1\ntop_k = 2\n", b"\xff\xfe", b"a = '\xe9'"]
)
def test_what_is_no_toml_is_said(config, text):
    assert "cannot be read" in refused(config, text)


def test_a_byte_order_mark_and_windows_lines_are_fine(config):
    assert config(b"\xef\xbb\xbf[defaults]\r\ntop_k = 3\r\n") == {"top_k": 3}


def test_a_folder_in_its_place_is_said(tmp_path):
    config_path(tmp_path).mkdir()
    with pytest.raises(LocalmixError, match="cannot be read"):
        settings_for(tmp_path, "m", None, KNOWN)
