"""The workflow of GitHub has the form that it must have; whether it passes, only GitHub can say.

What a schema would say of it was asked once by hand: `check-jsonschema --builtin-schema
vendor.github-workflows .github/workflows/ci.yml`, a tool of several packages that are not worth
installing for one file.
"""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PLACE = ROOT / ".github" / "workflows" / "ci.yml"
TEXT = PLACE.read_text(encoding="utf-8")
WORKFLOW = yaml.safe_load(TEXT)
JOBS = WORKFLOW["jobs"]
ROWS = JOBS["test"]["strategy"]["matrix"]["include"]


def steps():
    return [step for job in JOBS.values() for step in job["steps"]]


def test_only_one_workflow_is_there():
    assert list(PLACE.parent.iterdir()) == [PLACE]


def test_it_says_at_its_top_that_it_has_never_run():
    assert TEXT.startswith("# Has never run")


def test_it_may_only_read():
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in JOBS.values())
    assert "secrets." not in TEXT
    checkouts = [step for step in steps() if step.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) == len(JOBS)
    assert all(step["with"] == {"persist-credentials": False} for step in checkouts)


def test_it_runs_for_pushes_and_requests_and_a_newer_run_ends_an_older():
    events = WORKFLOW[True]  # YAML 1.1 reads `on` as a truth
    assert set(events) == {"push", "pull_request", "workflow_dispatch"}
    assert WORKFLOW["concurrency"]["cancel-in-progress"] is True
    assert "github.ref" in WORKFLOW["concurrency"]["group"]


@pytest.mark.parametrize("job", JOBS.values(), ids=list(JOBS))
def test_each_job_ends_and_each_step_does_one_thing(job):
    assert 0 < job["timeout-minutes"] <= 120
    assert job["runs-on"]
    for step in job["steps"]:
        assert ("uses" in step) != ("run" in step)
        assert set(step) <= {"name", "uses", "with", "run", "env", "if"}


def test_actions_are_githubs_own_and_pinned_to_a_major_version():
    used = {step["uses"] for step in steps() if "uses" in step}
    assert used
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", name) for name in used)


def test_pip_downloads_once():
    setups = [s for s in steps() if s.get("uses", "").startswith("actions/setup-python@")]
    assert len(setups) == len(JOBS)
    for step in setups:
        assert step["with"]["cache"] == "pip"
        assert (ROOT / step["with"]["cache-dependency-path"]).is_file()


def test_every_system_is_tested_and_the_oldest_and_a_new_python():
    systems = {row["os"] for row in ROWS}
    assert {"ubuntu-24.04", "ubuntu-24.04-arm", "windows-2022"} <= systems
    macos = [int(name.partition("-")[2]) for name in systems if name.startswith("macos-")]
    assert macos
    assert min(macos) >= 14  # arm64 from there on, unless the name says `intel`
    assert {"3.10", "3.13"} == {row["python"] for row in ROWS}
    assert 'requires-python = ">=3.10"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for row in ROWS:
        assert isinstance(row["python"], str)  # 3.10 would be 3.1
        assert row["bin"] == ("Scripts" if row["os"].startswith("windows") else "bin")


def test_what_the_matrix_is_asked_for_stands_in_each_row():
    asked = set(re.findall(r"\$\{\{ matrix\.(\w+) \}\}", TEXT))
    assert asked
    assert all(set(row) == asked for row in ROWS)


def test_it_installs_runs_and_tests_as_the_readme_says():
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    commands = [line for line in readme if line.startswith("python3 -m venv")]
    assert len(commands) == 2
    runs = [step.get("run", "").removeprefix("rm -rf .venv && ") for step in JOBS["test"]["steps"]]
    for command in commands:
        here = command.replace("python3", "python", 1).replace("/bin/", "/${{ matrix.bin }}/")
        assert here in runs


def test_the_wheel_is_built_run_and_kept():
    runs = "\n".join(step.get("run", "") for step in JOBS["test"]["steps"])
    assert re.search(r"pip wheel .*--no-deps -w dist \.", runs)
    assert "pip install -q dist/*.whl" in runs
    [kept] = [s for s in steps() if s.get("uses", "").startswith("actions/upload-artifact@")]
    assert kept["with"]["path"] == "dist/*.whl"
    # Two artifacts of one name are an error.
    names = {kept["with"]["name"].replace("${{ matrix.os }}", r["os"]) + r["python"] for r in ROWS}
    assert len(names) == len(ROWS)


def test_types_are_checked_for_every_system():
    runs = [step["run"] for step in JOBS["lint"]["steps"] if "run" in step]
    for tool in ("ruff format --check .", "ruff check .", "mypy", "mypy --platform darwin"):
        assert f".venv/bin/{tool}" in runs
    assert ".venv/bin/mypy --platform win32" in runs
