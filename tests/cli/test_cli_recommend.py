"""`localmix recommend`: the table, reasons in sentences, JSON; no network."""

import json
import re
import socket

import pytest

from localmix.bench import limits
from localmix.bench.limits import Machine
from localmix.system import cpu_name

KEYS = {
    "name": str, "model": str, "quantization": str, "size_bytes": int, "verdict": str,
    "decode_tok_s": (float, type(None)), "prefill_tok_s": (float, type(None)), "score": float,
    "reasons": list, "licence": str, "context": int,
}  # fmt: skip


@pytest.fixture(autouse=True)
def machine(memory_of, monkeypatch, tmp_path):
    """A machine of 16 GB, 12 of them free, that reads 50 GB/s; whoever opens a socket fails."""
    memory_of(12 * 10**9, 16 * 10**9)
    monkeypatch.setenv("LOCALMIX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALMIX_THREADS", "2")
    machine = Machine(cpu_name(), 2, None, 50.0, 1000.0)
    monkeypatch.setattr(limits, "measure_machine", lambda *arguments: machine)

    def refuse(*arguments, **options):
        raise AssertionError("recommend opened a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_a_table_and_reasons_for_the_best_three(cli):
    result = cli("recommend")
    assert (result.code, result.err) == (0, "")
    table, *explained = result.out.split("\n\n")
    header, *rows = table.splitlines()
    assert header.split() == ["model", "size", "fit", "tok/s"]
    assert [row.split()[0] for row in rows] == [str(n) for n in range(1, len(rows) + 1)]
    assert re.fullmatch(r" 1  mistral:7b-instruct-v0\.3-q5_K_M +5\.14 GB  fits +8\.06", rows[0])
    assert rows[-1].split()[1] == "tiny"
    assert len(explained) == 3
    for row, text in zip(rows, explained, strict=False):
        lines = text.splitlines()
        assert lines[0] == row.split()[1]
        assert lines[1].startswith("  fits into memory: ")
        assert lines[2].startswith("  about ")
        assert lines[-1] == f"  localmix pull {lines[0]}"
        assert all(line.startswith("  ") for line in lines[1:])


def test_nothing_else_than_the_toy_runs_here(cli, memory_of):
    memory_of(3 * 10**9, 4 * 10**9)
    result = cli("recommend")
    assert result.out.splitlines()[1].split()[:2] == ["1", "tiny"]
    assert "  localmix run tiny\n" in result.out
    assert "a toy" in result.out


def test_json_is_a_list_of_objects(cli):
    result = cli("recommend", "--task", "code", "--json")
    assert result.err == ""
    rows = json.loads(result.out)
    assert len(rows) > 10
    for row in rows:
        assert row.keys() == KEYS.keys()
        for key, kind in KEYS.items():
            assert isinstance(row[key], kind), (key, row[key])
        assert all(isinstance(reason, str) for reason in row["reasons"])
    assert rows[0]["model"] == "openhermes:7b-mistral-v2.5"


def test_every_option_changes_the_answer(cli):
    answers = [
        cli("recommend", *arguments, "--json").out
        for arguments in (
            (),
            ("--task", "reasoning"),
            ("--response", "batch"),
            ("--domain", "specific"),
            ("--compute", "high"),
        )
    ]
    assert len(set(answers)) == len(answers)
    said = ("--task", "conversation", "--response", "real-time", "--domain", "general")
    assert cli("recommend", *said, "--json").out == answers[0]


@pytest.mark.parametrize(
    ("option", "choices"),
    [
        ("--task", "conversation, generation, qa, reasoning, code"),
        ("--response", "real-time, batch"),
        ("--domain", "general, specific"),
        ("--compute", "low, medium, high"),
    ],
)
def test_a_wrong_choice_lists_those_that_exist(cli, option, choices):
    result = cli("recommend", option, "chess")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"error: {option} must be one of {choices}, not 'chess'\ntry: ")


def test_measuring_is_told_to_a_person_and_leaves_no_trace(cli):
    shown = cli("recommend", terminals=("stderr",)).err
    assert "measuring this machine, once" in shown
    assert shown.endswith("\r")
    assert cli("recommend", terminals=("stderr",)).err == ""  # it is known by now


def test_a_narrow_terminal_does_without_the_size(cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "52")
    table = cli("recommend", terminals=("stdout",)).out.split("\n\n")[0]
    assert "size" not in table
    assert "tok/s" in table
