"""Settings in force: values, where they come from, and what is not told to others."""

import pytest
from support.findings import seen

from localmix.cli.options import kept_settings
from localmix.doctor.settings_in_force import in_force, variables

TOKEN = "hf_abcdefghijklmnop"


def by_name(environ, home, options=None):
    return {s.name: s for s in in_force(environ, home, kept_settings, options or {})}


def test_each_variable_has_a_value_and_a_source(home):
    found = by_name({}, home)
    assert {each.source for each in found.values()} == {"default"}
    assert "None" not in {each.value for each in found.values()}
    environ = {
        "LOCALMIX_HOME": "/h",
        "LOCALMIX_CACHE": "/c",
        "LOCALMIX_THREADS": "3",
        "LOCALMIX_ISA": "avx2",
        "HF_ENDPOINT": "https://hub.corp",
        "HF_TOKEN": TOKEN,
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": "/hf",
        "OLLAMA_MODELS": "/o",
    }
    found = by_name(environ, home)
    assert {each.source for each in found.values()} == {"environment"}
    assert found["LOCALMIX_THREADS"].value == "3"
    assert found["HF_TOKEN"].value == "set"
    assert found["HF_HUB_OFFLINE"].value == "yes"
    assert found["HF_ENDPOINT"].told == "another address than the default"
    assert TOKEN not in repr(found)


def test_options_of_run_come_from_config_or_are_at_their_defaults(home):
    options = {"temperature": 0.8, "seed": None, "stop": None, "system": None, "verbose": False}
    (home / "config.toml").write_text(
        '[defaults]\ntemperature = 0.2\nstop = ["a", "b"]\nsystem = "You are Zoe"\n'
    )
    found = by_name({}, home, options)
    assert (found["temperature"].value, found["temperature"].source) == ("0.2", "config.toml")
    assert (found["seed"].value, found["seed"].source) == ("not set", "default")
    assert (found["verbose"].value, found["verbose"].source) == ("false", "default")
    assert (found["stop"].value, found["stop"].told) == ("a, b", "4 letters")
    assert (found["system"].value, found["system"].told) == ("You are Zoe", "11 letters")


def test_a_config_that_is_wrong_leaves_the_defaults(home):
    (home / "config.toml").write_text("[[[")
    found = by_name({}, home, {"temperature": 0.8})
    assert (found["temperature"].value, found["temperature"].source) == ("0.8", "default")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOCALMIX_THREADS", "many"),
        ("LOCALMIX_ISA", "sse9"),
        ("HF_ENDPOINT", "ftp://x"),
        ("HF_TOKEN", "two words"),
    ],
)
def test_a_variable_that_nobody_can_read_is_bad(home, name, value):
    found = seen(variables({name: value}))
    assert found == {name: ("bad", "cannot be used as it is")}
    assert name not in by_name({name: value}, home)


def test_variables_that_are_understood_are_counted():
    assert seen(variables({"HF_TOKEN": TOKEN, "HF_HOME": "/x", "OTHER": "x"})) == {
        "variables": ("good", "2 variables set, all understood")
    }
    assert seen(variables({"HF_TOKEN": " "})) == {"variables": ("good", "none is set")}
