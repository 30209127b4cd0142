from pathlib import Path

import pytest

from localmix import settings
from localmix.errors import LocalmixError


def test_home_and_cache_are_where_the_variables_say():
    environ = {"LOCALMIX_HOME": "/somewhere/home", "LOCALMIX_CACHE": "/somewhere/cache"}
    assert settings.home(environ) == Path("/somewhere/home")
    assert settings.cache_folder(environ) == Path("/somewhere/cache")


def test_home_and_cache_default_to_two_folders_of_the_platform_named_localmix():
    home, cache = settings.home({}), settings.cache_folder({})
    assert home.name == "localmix"
    assert "localmix" in (cache.name, cache.parent.name)  # Windows: localmix\\Cache
    assert home.is_absolute()
    assert home != cache


def test_an_empty_variable_counts_as_unset():
    assert settings.home({"LOCALMIX_HOME": "  "}) == settings.home({})
    assert settings.n_threads({"LOCALMIX_THREADS": ""}) is None


def test_a_tilde_is_the_users_home_and_an_unknown_users_tilde_does_not_raise():
    assert settings.home({"LOCALMIX_HOME": "~/models"}) == Path.home() / "models"
    assert settings.home({"LOCALMIX_HOME": "~nobody-of-that-name/x"}).name == "x"


def test_settings_are_read_when_they_are_asked_for(monkeypatch):
    monkeypatch.setenv("LOCALMIX_HOME", "/first")
    assert settings.home() == Path("/first")
    monkeypatch.setenv("LOCALMIX_HOME", "/second")
    assert settings.home() == Path("/second")


def test_threads_are_what_the_variable_says():
    assert settings.n_threads({"LOCALMIX_THREADS": " 3 "}) == 3


@pytest.mark.parametrize(
    "nonsense", ["0", "-1", "two", "1.5", "1e3", "99999", "9" * 5000, "²", "٣", "3 4"]
)
def test_a_senseless_number_of_threads_is_an_error_with_a_hint(nonsense):
    with pytest.raises(LocalmixError, match="LOCALMIX_THREADS") as caught:
        settings.n_threads({"LOCALMIX_THREADS": nonsense})
    assert "LOCALMIX_THREADS" in caught.value.hint


def test_no_number_of_threads_asked_for_is_none():
    assert settings.n_threads({}) is None


def test_every_tier_of_the_contract_is_known_in_any_case():
    for tier in ("generic", "avx2", "avxvnni", "avx512", "amx", "neon"):
        assert settings.isa({"LOCALMIX_ISA": tier.upper()}) == tier


def test_no_tier_asked_for_is_none():
    assert settings.isa({}) is None


def test_an_unknown_tier_is_an_error_that_lists_the_known_ones():
    with pytest.raises(LocalmixError, match="generic, avx2, avxvnni, avx512, amx, neon"):
        settings.isa({"LOCALMIX_ISA": "sse2"})


def test_the_hub_is_the_public_one_unless_a_mirror_is_named():
    assert settings.hub_endpoint({}) == "https://huggingface.co"
    assert (
        settings.hub_endpoint({"HF_ENDPOINT": "http://127.0.0.1:8080/"}) == "http://127.0.0.1:8080"
    )


@pytest.mark.parametrize(
    "nonsense", ["hf-mirror.com", "ftp://x", "http://", "http://a b", "http://[x"]
)
def test_an_endpoint_that_is_no_address_is_an_error(nonsense):
    with pytest.raises(LocalmixError, match="HF_ENDPOINT"):
        settings.hub_endpoint({"HF_ENDPOINT": nonsense})


def test_the_token_is_stripped_and_an_odd_one_is_refused_without_being_shown():
    assert settings.hub_token({}) is None
    assert settings.hub_token({"HF_TOKEN": " hf_abc\n"}) == "hf_abc"
    with pytest.raises(LocalmixError, match="HF_TOKEN") as caught:
        settings.hub_token({"HF_TOKEN": "hf_secret\nX-Header: 1"})
    assert "secret" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("text", "offline"), [("1", True), ("true", True), ("YES", True), ("0", False), ("", False)]
)
def test_offline_is_what_the_hubs_own_variable_says(text, offline):
    assert settings.hub_offline({"HF_HUB_OFFLINE": text}) is offline


def test_ollamas_folder_is_what_the_variable_says_else_the_users_and_the_services():
    assert settings.ollama_folders({"OLLAMA_MODELS": "/m"}) == (Path("/m"),)
    first, *services = settings.ollama_folders({"HOME": "/h", "USERPROFILE": "/h"})
    assert first == Path("/h/.ollama/models")
    assert Path("/usr/share/ollama/.ollama/models") in services


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({}, "/h/.cache/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/c", "HF_HOME": "/hf"}, "/hf/hub"),
        ({"HF_HOME": "/hf", "HUGGINGFACE_HUB_CACHE": "/old"}, "/old"),
        ({"HUGGINGFACE_HUB_CACHE": "/old", "HF_HUB_CACHE": "/new"}, "/new"),
    ],
)
def test_the_hugging_face_cache_is_where_huggingface_hub_puts_it(environ, folder):
    home = {"HOME": "/h", "USERPROFILE": "/h"}
    assert settings.hugging_face_cache(home | environ) == Path(folder)


def test_the_users_home_is_the_one_of_the_mapping_else_of_the_process():
    assert settings.user_home({"HOME": "/h", "USERPROFILE": "/h"}) == Path("/h")
    assert settings.user_home({}) == Path.home()


def test_apps_keep_settings_where_the_system_says():
    environ = {"HOME": "/h", "USERPROFILE": "/h", "APPDATA": "/roaming"}
    assert settings.app_settings_folders(environ) == (
        Path("/h/.config"),
        Path("/h/Library/Application Support"),
        Path("/roaming"),
    )
    assert settings.app_settings_folders({"XDG_CONFIG_HOME": "/x"})[0] == Path("/x")
