"""All looks together: what is mended, what never is, and what a report says of it."""

import pytest

from localmix.doctor.checks import Finding, Group
from localmix.doctor.examine import Ask, counts, examine, local, mend, n_fixable
from localmix.doctor.private import Private
from localmix.doctor.report import as_markdown
from localmix.doctor.settings_in_force import Setting


@pytest.fixture
def ask(home, cache):
    environ = {"LOCALMIX_HOME": str(home), "LOCALMIX_CACHE": str(cache)}
    return Ask(environ, lambda home: {}, offline=True)


def test_groups_come_in_order(ask):
    names = ["software", "machine", "kernels", "models", "files", "settings"]
    assert [group.name for group in local(ask)] == names
    assert [group.name for group in examine(ask)] == [*names, "network"]


def test_a_family_that_cannot_be_imported_is_a_finding_and_the_others_are_seen(ask, monkeypatch):
    def broken(home, cache):
        raise ModuleNotFoundError("No module named 'numpy'")

    monkeypatch.setattr("localmix.doctor.machine.looks", broken)
    groups = {group.name: group for group in local(ask)}
    (found,) = groups["machine"].findings
    assert (found.state, found.text) == ("warn", "could not be checked: ModuleNotFoundError")
    assert len(groups["software"].findings) == 2
    assert groups["settings"].findings[0].state == "good"


def test_findings_are_counted_and_mended_and_what_cannot_be_is_said():
    def refuse():
        raise PermissionError(13, "Permission denied", "/x")

    groups = [
        Group("a", (Finding("one", "good", ""), Finding("two", "note", "", fix=lambda: "done"))),
        Group("b", (Finding("three", "bad", ""), Finding("four", "warn", "", fix=refuse))),
    ]
    assert counts(groups) == {"good": 1, "note": 1, "warn": 1, "bad": 1}
    assert n_fixable(groups) == 2
    assert mend(groups) == ["done", "four could not be mended: Permission denied"]


def test_a_report_is_one_block_without_details():
    groups = [
        Group("a", (Finding("x", "bad", "two\nlines and ```", "hint", None, ("my-model",)),)),
        Group("empty", ()),
    ]
    settings = [
        Setting("HF_ENDPOINT", "https://corp", "environment", "another"),
        Setting("seed", "7", "default", "7"),
    ]
    text = as_markdown(groups, settings, Private((), (), ()))
    assert text.startswith("```text\nversions\n")
    assert text.endswith("\n```\n")
    assert text.count("```") == 2
    assert "a\n  bad  x  two lines and '''\n" in text
    assert "  HF_ENDPOINT  another (environment)\n" in text
    assert "my-model" not in text
    assert "seed" not in text
    settings_block = as_markdown([], settings[1:], Private((), (), ())).split("\n\n")[-1]
    assert settings_block == "settings in force\n  all  at their defaults\n```\n"
