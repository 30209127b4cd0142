"""What goes wrong reads as `error:` and `try:`, and ends with the promised exit code."""

import errno
import io
import re
import shlex

import pytest
import typer

from localmix.cli.app import build
from localmix.cli.errors import WrongUsage, explain, guard, write_report
from localmix.cli.terminal import Streams
from localmix.errors import ContextFull, LocalmixError, NotPulled


def streams(stdout=None):
    return Streams(io.StringIO(), stdout or io.StringIO(), io.StringIO())


def after(error, arguments=("run", "tiny"), debug=False):
    """Code and stderr of a command that raises."""

    def work():
        raise error

    own = streams()
    return guard(work, own, arguments, debug), own.stderr.getvalue()


def test_a_localmix_error_is_two_lines_and_code_1():
    error = NotPulled("mistral is not on this machine yet", "localmix pull mistral")
    assert after(error) == (
        1,
        "error: mistral is not on this machine yet\ntry: localmix pull mistral\n",
    )


def test_an_error_without_a_hint_points_to_the_help_of_its_command():
    assert after(ContextFull("it is full"))[1] == "error: it is full\ntry: localmix run --help\n"


def test_wrong_usage_is_code_2():
    assert after(WrongUsage("no", "yes")) == (2, "error: no\ntry: yes\n")
    assert after(typer.BadParameter("no")) == (
        2,
        "error: invalid value: no\ntry: localmix run --help\n",
    )


def test_ctrl_c_is_code_130_and_says_nothing():
    assert after(KeyboardInterrupt()) == (130, "")


def test_a_bug_is_one_line_and_names_the_command_that_shows_more():
    code, text = after(ZeroDivisionError("by zero"), ("run", "tiny", "two words"))
    assert code == 1
    assert text == (
        "error: internal error: ZeroDivisionError: by zero\n"
        "try: localmix --debug run tiny 'two words'\n"
    )


def test_debug_shows_the_traceback_before_the_two_lines():
    _, text = after(ZeroDivisionError("by zero"), debug=True)
    assert text.startswith("Traceback (most recent call last):\n")
    assert text.index("ZeroDivisionError") < text.index("error: internal error")


def test_a_reader_who_leaves_is_no_error():
    assert after(BrokenPipeError(errno.EPIPE, "Broken pipe")) == (0, "")


def test_a_system_error_keeps_its_file_and_gets_a_hint():
    code, text = after(OSError(errno.EACCES, "Permission denied", "/models/a.gguf"))
    assert code == 1
    assert text.startswith("error: permission denied: /models/a.gguf\ntry: look at")


def test_memory_that_runs_out_is_no_internal_error():
    code, text = after(MemoryError())
    assert code == 1
    assert "no memory left" in text
    assert "internal" not in text


def test_messages_from_files_stay_on_one_line_and_cannot_steer_the_terminal():
    _, text = after(LocalmixError("bad\nname \x1b[2J\x07here", "do\nthis"))
    assert text == "error: bad name [2Jhere\ntry: do this\n"


def test_messages_are_never_read_as_markup():
    assert after(LocalmixError("[red]x[/red] [1, 2]", "[bold]"))[1] == (
        "error: [red]x[/red] [1, 2]\ntry: [bold]\n"
    )


def test_long_messages_are_not_wrapped():
    message = " ".join(["word"] * 60)
    assert after(LocalmixError(message, "h"))[1].splitlines()[0] == f"error: {message}"


def test_the_exit_code_of_a_command_is_kept():
    assert guard(lambda: None, streams(), [], False) == 0
    assert guard(lambda: 3, streams(), [], False) == 3


def test_a_closed_stderr_is_no_second_error():
    class Closed(io.StringIO):
        def write(self, text):
            raise OSError(errno.EBADF, "Bad file descriptor")

    write_report(explain(LocalmixError("a", "b")), Closed())


WRONG = {
    ("run",): "missing argument",
    ("ru", "tiny"): "no such command 'ru'",
    ("run", "tiny", "hi", "--temprature", "1"): "no such option: --temprature",
    ("run", "tiny", "all", "of", "it"): "extra argument",
    ("run", "tiny", "hi", "--top-k", "many"): "--top-k",
    ("run", "tiny", "hi", "--top-k", "-1"): "--top-k must be at least 0, not -1",
    ("run", "tiny", "hi", "--temperature", "nan"): "--temperature must be from 0 to 100, not nan",
    ("run", "tiny", "hi", "--temperature", "inf"): "--temperature must be",
    ("run", "tiny", "hi", "--temperature", "-1"): "--temperature must be",
    ("run", "tiny", "hi", "--top-p", "1.5"): "--top-p must be from 0 to 1, not 1.5",
    ("run", "tiny", "hi", "--min-p", "-0.1"): "--min-p must be",
    ("run", "tiny", "hi", "--repeat-penalty", "0"): "--repeat-penalty must be",
    ("run", "tiny", "hi", "--presence-penalty", "nan"): "--presence-penalty must be",
    ("run", "tiny", "hi", "--frequency-penalty", "1e9"): "--frequency-penalty must be",
    ("run", "tiny", "hi", "--seed", "-5"): "--seed must be",
    ("run", "tiny", "hi", "-n", "0"): "--max-tokens must be at least 1, not 0",
    ("run", "tiny", "hi", "--ctx", "0"): "--ctx must be at least 1, not 0",
    ("run", "tiny", "hi", "--threads", "0"): "--threads must be",
    ("run", "tiny", "hi", "--experts", "0"): "--experts must be",
    ("run", "tiny", "hi", "--kv", "f64"): "--kv must be one of f16, q8_0, f32, not 'f64'",
    ("run", "tiny", "hi", "--weights", "ram"): "--weights must be one of",
    ("run", "tiny", "hi", "--on-overflow", "cry"): "--on-overflow must be one of",
    ("run", "tiny", "hi", "--executor", "gpu"): "--executor must be one of",
    ("run", "tiny", "hi", "--expert-memory", "lots"): "--expert-memory cannot be 'lots'",
    ("bench", "tiny", "--expert-memory", "0"): "--expert-memory cannot be 0",
    ("run", "tiny", "hi", "--sliding-window", "wide"): "--sliding-window must be auto, off or",
    ("run", "tiny", "hi", "--sliding-window", "0"): "--sliding-window must be auto, off or",
    ("run", "tiny", "hi", "--stop", ""): "--stop is empty",
    ("run", "tiny", ""): "the prompt is empty",
    ("run", "tiny"): "the prompt is empty",
    ("run", "tiny", "hi", "--raw", "--system", "x"): "--raw takes PROMPT as it is",
    ("show",): "missing argument",
    ("pull",): "missing argument",
    ("pull", "tiny", "--ctx", "0"): "--ctx must be at least 1, not 0",
    ("pull", "tiny", "--kv", "f64"): "--kv must be one of f16, q8_0, f32, not 'f64'",
    ("rm",): "missing argument",
    ("cp", "tiny"): "missing argument",
    ("import",): "missing argument",
    ("import", "a.gguf", "b.gguf", "--name", "x"): "--name is for one path",
    ("search",): "missing argument",
    ("recommend", "--task", "chess"): "--task must be one of conversation, generation, qa,",
    ("recommend", "mistral"): "extra argument",
    ("search", "x", "--limit", "0"): "--limit must be from 1 to 50, not 0",
    ("update",): "update takes names, or --all",
    ("prune", "tiny"): "extra argument",
    ("bench", "-p", "-1"): "-p must be",
    ("bench", "-r", "0"): "-r must be",
    ("bench", "-p", "0", "-n", "0"): "nothing to measure",
    ("bench", "-o", "xml"): "-o must be one of md, json, csv, jsonl",
    ("bench", "--json", "-o", "md"): "two formats",
    ("bench", "--compare", "a.json", "-o", "md"): "-o has no place for --compare",
    ("bench", "-p", "1,x"): "-p must be",
    ("bench", "--weights", "ram"): "--weights must be one of mapped, resident, not 'ram'",
    ("perplexity",): "missing argument",
    ("perplexity", "tiny"): "missing argument",
    ("perplexity", "tiny", "a.txt", "b.txt"): "extra argument",
    ("perplexity", "tiny", "a.txt", "--ctx", "2"): "--ctx must be at least 3, not 2",
    ("perplexity", "tiny", "a.txt", "--chunks", "0"): "--chunks must be at least 1, not 0",
    ("perplexity", "tiny", "a.txt", "--threads", "0"): "--threads must be",
    ("perplexity", "tiny", "a.txt", "--kv", "f64"): "--kv must be one of",
    ("perplexity", "tiny", "a.txt", "--weights", "ram"): "--weights must be one of",
    ("perplexity", "tiny", "a.txt", "--sliding-window", "0"): "--sliding-window must be auto",
    ("perplexity", "tiny", "a.txt", "--experts", "0"): "--experts must be",
    ("perplexity", "tiny", "a.txt", "--executor", "gpu"): "--executor must be one of",
    ("perplexity", "tiny", "a.txt", "--kl-against", "native"): "the executor is native already",
    ("warmup", "--kv", "f64"): "--kv must be one of f16, q8_0, f32, not 'f64'",
    ("warmup", "two", "models"): "extra argument",
    ("doctor", "me"): "extra argument",
    ("doctor", "--json", "--report"): "--json and --report are two forms of the same",
    ("doctor", "--offline", "--check-token"): "--check-token asks the Hub, and --offline does not",
    ("--nonsense",): "no such option: --nonsense",
}


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_wrong_usage_says_so_in_two_lines(cli, model, arguments):
    result = cli(*arguments)
    assert result.code == 2
    assert result.out == ""
    assert re.fullmatch(r"error: [^\n]+\ntry: [^\n]+\n", result.err)
    assert WRONG[arguments] in result.err.lower() + result.err
    assert model.loads == [], "nothing is loaded before the options are right"


def test_a_prompt_without_quotes_is_explained(cli, model):
    assert "quotes" in cli("run", "tiny", "why", "is").err


def test_debug_works_before_and_after_the_command(cli, model):
    model.fail = ZeroDivisionError("oops")
    for arguments in (("--debug", "run", "m", "x"), ("run", "m", "x", "--debug")):
        result = cli(*arguments)
        assert result.code == 1
        assert "Traceback" in result.err
    assert "Traceback" not in cli("run", "m", "x").err


def test_debug_after_two_dashes_is_the_prompt(cli, model):
    assert cli("run", "m", "--", "--debug").code == 0
    assert model.prompts == ["<user>--debug"]


def test_help_and_version_are_code_0(cli):
    assert cli("--version").out.startswith("localmix ")
    for arguments in ((), ("--help",), ("-h",), ("run", "--help"), ("ls", "--help")):
        result = cli(*arguments)
        assert (result.code, result.err) == (0, "")
        assert result.out.startswith("Usage: localmix")


COMMANDS = typer.main.get_command(build()).commands


def examples_of(page):
    return page.partition("Examples:\n")[2].partition("\n\n")[0].splitlines()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_page_has_an_example_and_explains_each_option(cli, command):
    page = cli(command, "--help").out
    assert (
        any(f"localmix {command} " in f"{line} " for line in examples_of(page)) or command == "ls"
    )
    lines = page.partition("Arguments:\n")[2].splitlines() or page.splitlines()
    for line, next_line in zip(lines, [*lines[1:], ""], strict=True):
        if re.match(r"  -", line):
            assert re.search(r"\S  +\S", line) or re.match(r" {10,}\S", next_line), line


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_every_example_is_a_command_line_that_parses(cli, command):
    page = cli(*([command] if command else []), "--help").out
    assert examples_of(page)
    for line in examples_of(page):
        # Of a pipe, the part that is ours.
        (ours,) = [part for part in line.split(" | ") if part.strip().startswith("localmix ")]
        name, *arguments = shlex.split(ours.partition(" < ")[0])[1:]
        COMMANDS[name].make_context(name, arguments)


def test_the_first_page_lists_what_there_is_and_nothing_else(cli):
    page = cli("--help").out
    listed = re.findall(r"^  (\w+)  ", page.partition("Commands:\n")[2], re.MULTILINE)
    assert listed == [name for name, command in COMMANDS.items() if not command.hidden]
    assert listed[:4] == ["run", "pull", "list", "show"]


def test_help_names_every_option_of_the_interface(cli):
    page = cli("run", "--help").out
    for option in (
        "--system TEXT", "--temperature F", "--top-k N", "--top-p F", "--min-p F",
        "--repeat-penalty F", "--presence-penalty F", "--frequency-penalty F", "--seed N",
        "--stop TEXT", "-n, --max-tokens N", "--ctx N", "--threads N", "--kv f16|q8_0|f32",
        "--weights mapped|resident", "--sliding-window auto|off|N", "--experts N",
        "--expert-memory SIZE",
        "--on-overflow error|shift|truncate", "--safe-prompt", "--raw", "--show-prompt", "--json",
        "--verbose", "--executor native|reference",
    ):  # fmt: skip
        assert f"  {option}" in page


class Failing(io.StringIO):
    """An output that cannot be written; EINVAL: a pipe of Windows whose reader has left."""

    def __init__(self, number):
        super().__init__()
        self._number = number

    def flush(self):
        raise OSError(self._number, "it cannot be written")


@pytest.mark.parametrize(
    ("platform", "number", "code"),
    [("win32", errno.EINVAL, 0), ("win32", errno.ENOSPC, 1), ("linux", errno.EINVAL, 1)],
)
def test_a_reader_who_leaves_on_windows_is_no_error_either(monkeypatch, platform, number, code):
    monkeypatch.setattr("sys.platform", platform)
    streams = Streams(io.StringIO(), Failing(number), io.StringIO())
    assert guard(lambda: 0, streams, ["list"], debug=False) == code


def test_an_invalid_argument_that_is_not_the_pipes_is_an_error_on_windows(monkeypatch):
    monkeypatch.setattr("sys.platform", "win32")
    assert after(OSError(errno.EINVAL, "Invalid argument"))[0] == 1
