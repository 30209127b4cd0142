"""The `localmix` process as a shell sees it, and the embedded model at its end."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.hub_answers import Pattern
from support.models import Shape, write_model

from localmix import load

ROOT = Path(__file__).parents[2]
ENTRY = "import sys; from localmix.cli.app import main; sys.exit(main())"
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")


def own_environ():
    """This process's environment; output is buffered, as it is for everybody."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return {**environ, "PYTHONPATH": str(ROOT)}


def localmix(*arguments, entry=ENTRY, **options):
    options = {"input": b"", "capture_output": True, "timeout": 60, **options}
    environ = {**own_environ(), **options.pop("env", {})}
    command = [sys.executable, "-W", "error", "-c", entry, *arguments]
    return subprocess.run(command, env=environ, check=False, **options)


def shell(script, **options):
    """Run a shell line in which `localmix` is ours."""
    function = 'localmix() { "$PYTHON" -W error -c "$ENTRY" "$@"; }\n'
    environ = {
        **own_environ(),
        "PYTHON": sys.executable,
        "ENTRY": ENTRY,
        **options.pop("env", {}),
    }
    return subprocess.run(
        ["/bin/bash", "-c", function + script],
        env=environ,
        capture_output=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def test_help_imports_nothing_heavy():
    entry = ENTRY.replace("sys.exit(main())", "main(); sys.stderr.write(' '.join(sys.modules))")
    of_commands = ((name, "--help") for name in ("run", "experts", "bench", "pull", "rm", "search"))
    for arguments in (("--help",), *of_commands, ("--version",)):
        loaded = set(localmix(*arguments, entry=entry).stderr.decode().split())
        assert "localmix.cli.app" in loaded
        assert not loaded & {"numba", "numpy", "huggingface_hub", "rich.console", "jinja2"}


def test_errors_are_on_stderr_with_their_codes():
    for arguments, code in ((("run",), 2), (("run", "mistrall", "hi"), 1), (("show", "x.gguf"), 1)):
        result = localmix(*arguments)
        assert (result.returncode, result.stdout) == (code, b"")
        assert result.stderr.startswith(b"error: ")
        assert b"\ntry: " in result.stderr
        assert b"Traceback" not in result.stderr


def test_tiny_answers_on_stdout_and_stderr_stays_empty(warm):
    result = localmix("run", "tiny", "Tell me a story", "-n", "5", "--seed", "1")
    assert (result.returncode, result.stderr) == (0, b"")
    assert len(result.stdout.split()) >= 3
    assert result.stdout.endswith(b"\n")


def test_same_seed_same_text_and_greedy_needs_no_seed(cli):
    def text(*options):
        return cli("run", "tiny", "Hello", "-n", "8", *options).out

    assert text("--seed", "3") == text("--seed", "3")
    assert text("--temperature", "0") == text("--temperature", "0")


def test_the_package_runs_as_a_module():
    command = [sys.executable, "-m", "localmix", "--version"]
    done = subprocess.run(command, env=own_environ(), capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"localmix ")


def test_ctrl_c_while_the_command_line_is_imported_is_quiet():
    entry = (
        "import sys\n"
        "from localmix.__main__ import main\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'typer': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "sys.exit(main())\n"
    )
    done = localmix("list", entry=entry)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_json_of_tiny_reads_back_and_piped_text_is_the_prompt():
    result = localmix("run", "tiny", "--json", "-n", "4", "--temperature", "0", input=b"Hello\n")
    record = json.loads(result.stdout)
    assert list(record) == ["text", "tokens", "finish_reason", "stats"]
    assert 1 <= len(record["tokens"]) <= 4
    assert record["stats"]["generated_tokens"] == len(record["tokens"])
    assert record["stats"]["prompt_tokens"] > 1
    assert record["stats"]["peak_rss_bytes"] > 10**7


def test_control_tokens_count_in_a_raw_prompt_and_nowhere_else(cli):
    def prompt_tokens(*options):
        done = cli("run", "tiny", "a</s>b", "-n", "1", "--json", *options)
        return json.loads(done.out)["stats"]["prompt_tokens"]

    with load("tiny") as model:
        as_text, as_control = (model.tokenize("a</s>b", parse_special=p) for p in (False, True))
        message = model.render_chat([{"role": "user", "content": "a</s>b"}])
    assert len(as_text) > len(as_control)
    assert prompt_tokens("--raw") == len(as_control)
    assert prompt_tokens() == len(message)


def test_raw_and_chat_are_different_prompts(cli):
    def prompt(*options):
        return cli("run", "tiny", "Hello", "-n", "1", "--show-prompt", *options).err

    assert "[INST]" in prompt()
    assert "[INST]" not in prompt("--raw")


def test_what_a_person_types_is_never_a_control_token(cli):
    def n_prompt(text):
        result = cli("run", "tiny", text, "-n", "1", "--json", "--temperature", "0")
        return json.loads(result.out)["stats"]["prompt_tokens"]

    assert n_prompt("</s>") > n_prompt("x") + 1


def test_what_the_engine_refuses_is_two_lines_before_any_text(cli, warm):
    for options in (("--ctx", "4"), ("--experts", "99")):
        result = cli("run", "tiny", "Tell me a story about a fox", *options)
        assert (result.code, result.out) == (1, "")
        assert result.err.startswith("error: ")
        assert result.err.count("\n") == 2
        assert "internal" not in result.err


def test_a_chat_with_tiny(cli):
    typed = b"Hello\n\n/help\nAnd you?\n/bye\n"
    options = ("--seed", "1", "-n", "4", "--show-prompt")
    result = cli("run", "tiny", *options, stdin=typed, terminals=("stdin", "stderr"))
    assert result.code == 0
    assert result.out.count("\n") == 2
    assert result.err.count(">>> ") == 5
    assert result.err.count("[INST]") == 1 + 2


@pytest.mark.parametrize("output", ["md", "csv", "json", "jsonl"])
def test_bench_of_tiny_speaks_llama_benchs_formats(cli, output, quick_machine, warm):
    result = cli("bench", "-p", "4", "-n", "2", "-r", "2", "-o", output)
    assert (result.code, result.err) == (0, "")
    expected = {"md": "| model | size |", "csv": "build_commit,", "json": "[{", "jsonl": "{"}
    assert result.out.replace('"', "").startswith(expected[output])
    assert result.out.count("\n") == {"md": 4, "csv": 3, "json": 1, "jsonl": 2}[output]


@POSIX
def test_a_reader_who_leaves_ends_the_run_quietly(warm):
    result = shell('localmix run tiny "Tell me a story" -n 40 | head -c 1; echo "${PIPESTATUS[0]}"')
    assert result.stdout[1:] == b"0\n"
    assert result.stderr == b""


@POSIX
def test_closed_streams_and_a_full_disk_show_no_traceback(warm):
    assert shell("localmix run tiny hi -n 2 >&-").stderr == b""
    assert shell("localmix run tiny hi -n 2 2>&-").returncode == 0
    assert shell("localmix list <&-").returncode == 0
    if Path("/dev/full").exists():
        result = shell("localmix run tiny hi -n 2 >/dev/full")
        assert result.returncode == 1
        assert result.stderr.startswith(b"error: no space left on device\ntry: ")
        assert b"Traceback" not in result.stderr
        assert b"Exception ignored" not in result.stderr


@POSIX
def test_ctrl_c_while_it_answers_is_code_130(warm):
    command = [sys.executable, "-c", ENTRY, "run", "tiny", "Tell me a story", "--raw"]
    options = ["--on-overflow", "shift", "-n", "100000", "--seed", "1"]
    with subprocess.Popen(
        command + options,
        env=own_environ(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        first = process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, b"")
    assert (first + rest).endswith(b"\n")


@POSIX
@pytest.mark.parametrize("to_all", [False, True], ids=["to us", "to the terminal's processes"])
def test_ctrl_c_while_kernels_are_compiled_leaves_no_process(tmp_path, to_all):
    environ = {**own_environ(), "LOCALMIX_CACHE": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", ENTRY, "warmup", "tiny"],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        said = process.stderr.readline()
        while process.poll() is None and not list(tmp_path.rglob("*.o")):
            time.sleep(0.01)
        if to_all:
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=30)
    assert said == b"compiling kernels for this CPU, once\n"
    assert (process.returncode, out, errors) == (130, b"", b"")
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


@POSIX
def test_ctrl_c_while_a_long_prompt_is_read_is_code_130(tmp_path, warm):
    # Small, but a prompt of 8,000 tokens takes one thread many seconds: attention is quadratic.
    shape = Shape(256, 8, n_heads=16, n_kv_heads=16, hidden_dim=1024, context_length=8192)
    path = write_model(tmp_path / "slow.gguf", shape)
    options = ["--raw", "--ctx", "8192", "--threads", "1", "-n", "1", "--show-prompt"]
    with subprocess.Popen(
        [sys.executable, "-c", ENTRY, "run", str(path), *options],
        env=own_environ(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdin.write(b"the fox sat on a red dog " * 330)
        process.stdin.close()
        assert process.stderr.readline().startswith(b"the prompt, ")
        process.stderr.readline()
        time.sleep(0.5)  # now it is inside the first chunk
        process.send_signal(signal.SIGINT)
        out, errors = process.stdout.read(), process.stderr.read()
    assert (process.returncode, out, errors) == (130, b"", b"")


@POSIX
def test_a_pull_that_was_interrupted_goes_on_where_it_was(fake_hub):
    name = "hf.co/owner/Model-GGUF:Q4_0"
    fake_hub.add("owner/Model-GGUF", {"m-Q4_0.gguf": Pattern(4_000_000)})
    fake_hub.rate_bytes_s = 1_000_000
    with subprocess.Popen(
        [sys.executable, "-c", ENTRY, "pull", name],
        env=own_environ(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        while not process.stderr.readline().startswith(b"downloading "):
            assert process.poll() is None
        time.sleep(0.5)  # now it is amid the bytes
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, b"")
    assert errors == b"what has arrived is kept: pull again to go on\n"
    fake_hub.rate_bytes_s = None
    again = localmix("pull", name)
    assert (again.returncode, again.stdout) == (0, b"")
    first, *_ = again.stderr.decode().splitlines()
    assert re.fullmatch(rf"{name}: 4\.00 MB, \d\.\d\d MB of it has arrived", first)
    assert f"{name} is here: 4.00 MB, verified" in again.stderr.decode()


@POSIX
def test_a_foreign_locale_changes_nothing():
    environ = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    result = shell("echo 'größer 🦊' | localmix run tiny -n 2 --show-prompt", env=environ)
    assert result.returncode == 0
    assert b"Traceback" not in result.stderr


def test_show_and_list_know_tiny():
    record = json.loads(localmix("show", "tiny", "--json").stdout)
    assert record["name"] == "tiny"
    assert record["config"]["n_experts"] == 8
    assert record["chat_template"] is True
    entries = json.loads(localmix("list", "--json").stdout)
    assert [entry["name"] for entry in entries] == ["tiny"]
    assert entries[0]["complete"] is True
