"""`localmix run`: answers on stdout, everything else on stderr."""

import io

import pytest
from support.fake_model import as_json
from support.streams import plain

from localmix import settings
from localmix.cli.answer import Answering
from localmix.cli.options import RunOptions
from localmix.cli.run import read_prompt
from localmix.cli.terminal import Streams
from localmix.conversation.history import History
from localmix.errors import ContextFull, NotPulled, UnsupportedModel


def test_the_answer_and_a_newline_are_all_of_stdout(cli, model):
    result = cli("run", "m", "hi")
    assert (result.code, result.out, result.err) == (0, "Hello, world.\n", "")
    assert model.prompts == ["<user>hi"]
    assert model.closed


def test_an_answer_that_ends_its_line_gets_no_second_newline(cli, model):
    model.reply = ("done\n",)
    assert cli("run", "m", "hi").out == "done\n"


def test_an_empty_answer_is_an_empty_line(cli, model):
    model.reply = ()
    assert cli("run", "m", "hi").out == "\n"


def test_an_answer_begins_a_text_and_raw_text_goes_on_with_the_prompt(cli, model):
    cli("run", "m", "hi")
    cli("run", "m", "hi", "--raw")
    assert [options["is_answer"] for options in model.options] == [True, False]


def test_every_piece_is_flushed_as_it_comes(model):
    seen = []

    class Pipe(io.StringIO):
        def flush(self):
            seen.append(self.getvalue())

    streams = Streams(io.StringIO(), Pipe(), io.StringIO())
    Answering(model, [1, 2], RunOptions("m"), streams).stream()
    assert seen[:4] == ["Hello", "Hello,", "Hello, world", "Hello, world."]


def test_the_system_message_comes_first(cli, model):
    cli("run", "m", "hi", "--system", "be terse")
    assert model.prompts == ["<system>be terse<user>hi"]


def test_safe_prompt_reaches_the_chat_format(cli, model):
    cli("run", "m", "hi", "--safe-prompt")
    assert model.prompts == ["(be safe)<user>hi"]


def test_raw_leaves_the_chat_format_away(cli, model):
    cli("run", "m", "def f(", "--raw")
    assert model.prompts == ["^def f("]


def test_sampling_defaults_are_those_of_the_interface(cli, model):
    cli("run", "m", "hi")
    (options,) = model.options
    del options["on_prefill"]
    assert options == {
        "max_tokens": None,
        "temperature": 0.8,
        "top_k": 40,
        "top_p": 0.9,
        "min_p": 0.0,
        "repeat_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "seed": None,
        "stop": (),
        "on_overflow": "error",
        "is_answer": True,
    }


def test_every_sampling_option_reaches_the_engine(cli, model):
    cli(
        "run", "m", "hi", "--temperature", "0", "--top-k", "5", "--top-p", "0.5", "--min-p", "0.1",
        "--repeat-penalty", "1.1", "--presence-penalty", "0.2", "--frequency-penalty", "0.3",
        "--seed", "7", "--stop", "a", "--stop", "b", "-n", "3", "--on-overflow", "shift",
    )  # fmt: skip
    (options,) = model.options
    del options["on_prefill"]
    assert options == {
        "max_tokens": 3,
        "temperature": 0.0,
        "top_k": 5,
        "top_p": 0.5,
        "min_p": 0.1,
        "repeat_penalty": 1.1,
        "presence_penalty": 0.2,
        "frequency_penalty": 0.3,
        "seed": 7,
        "stop": ("a", "b"),
        "on_overflow": "shift",
        "is_answer": True,
    }


def test_load_is_told_only_what_was_said(cli, model):
    cli("run", "m", "hi")
    cli(
        "run", "m", "hi", "--ctx", "512", "--threads", "2", "--kv", "q8_0", "--weights",
        "resident", "--sliding-window", "64", "--experts", "3", "--expert-memory", "6GB",
        "--executor", "reference", "--power", "60",
    )  # fmt: skip
    assert model.loads == [
        ("m", {}),
        (
            "m",
            {
                "n_ctx": 512,
                "n_threads": 2,
                "power": 60,
                "kv": "q8_0",
                "weights": "resident",
                "sliding_window": 64,
                "n_experts_used": 3,
                "expert_memory": "6GB",
                "executor": "reference",
            },
        ),
    ]


def test_the_window_can_be_a_word(cli, model):
    cli("run", "m", "hi", "--sliding-window", "off")
    assert model.loads == [("m", {"sliding_window": "off"})]


@pytest.mark.parametrize(
    ("typed", "piped", "prompt"),
    [
        ("explain", b"some code\n", "explain\n\nsome code"),
        (None, b"only piped\n", "only piped"),
        ("only typed", b"", "only typed"),
        ("typed", b" \n", "typed"),
        (None, "größer 🦊\r\n".encode(), "größer 🦊"),
        (None, b"not \xff utf-8", "not � utf-8"),
        (None, b"two\nlines\n\n", "two\nlines\n"),
        ("surrogate \udcff", b"", "surrogate �"),
    ],
)
def test_prompt_and_piped_text_are_joined_by_an_empty_line(typed, piped, prompt):
    # The locale of the pipe is ASCII: what is piped is UTF-8 all the same.
    assert read_prompt(typed, io.TextIOWrapper(io.BytesIO(piped), "ascii")) == prompt


def test_json_is_one_object_with_exactly_the_keys_of_the_interface(cli, model):
    result = cli("run", "m", "hi", "--json", "-n", "3")
    assert as_json(result.out) == {
        "text": "Hello, world",
        "tokens": [100, 101, 102],
        "finish_reason": "length",
        "stats": {
            "prompt_tokens": 8,
            "generated_tokens": 3,
            "load_s": 0.25,
            "ttft_s": 0.125,
            "prefill_tok_s": 80.0,
            "decode_tok_s": 16.0,
            "peak_rss_bytes": 123_000_000,
        },
    }
    assert result.err == ""


def test_json_has_no_number_that_json_lacks(cli, model, monkeypatch):
    def record(stats):
        return {"decode_tok_s": float("nan")}

    monkeypatch.setattr("localmix.cli.run.stats_record", record)
    assert as_json(cli("run", "m", "hi", "--json").out)["stats"] == {"decode_tok_s": None}


def test_json_without_a_prompt_is_wrong_usage_at_a_terminal(cli, model):
    result = cli("run", "m", "--json", terminals=("stdin", "stderr"))
    assert result.code == 2
    assert "--json needs a PROMPT" in result.err


def test_verbose_is_one_line_on_stderr(cli, model):
    result = cli("run", "m", "hi", "--verbose")
    assert result.out == "Hello, world.\n"
    assert result.err == (
        "prompt 8 tokens at 80.0 tok/s · answer 4 tokens at 16.0 tok/s (reading 16.0 GB/s)"
        " · first token 125 ms"
        " · load 250 ms · peak memory 123 MB\n"
    )


def test_show_prompt_shows_control_tokens_on_stderr(cli, model):
    result = cli("run", "m", "hi", "--show-prompt")
    assert result.out == "Hello, world.\n"
    assert result.err == "the prompt, 8 tokens:\n<user>hi\n"


def test_special_tokens_of_the_prompt_stand_out_where_there_are_colours(cli, model, monkeypatch):
    colours = cli("run", "m", "hi", "--show-prompt", terminals=("stderr",)).err
    assert "\x1b[35m<\x1b[0muser\x1b[35m>\x1b[0mhi\n" in colours
    assert plain(colours) == "the prompt, 8 tokens:\n<user>hi\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in cli("run", "m", "hi", "--show-prompt", terminals=("stderr",)).err


def test_the_footer_is_for_terminals_and_not_beside_figures_or_json(cli, model):
    footer = "4 tokens · 16.0 tok/s · first after 125 ms · ctx 12/64\n"
    both = ("stdout", "stderr")
    assert plain(cli("run", "m", "hi", terminals=both).err) == footer
    for terminals in ((), ("stdout",), ("stderr",)):
        assert cli("run", "m", "hi", terminals=terminals).err == ""
    assert "first after" not in cli("run", "m", "hi", "--verbose", terminals=both).err
    assert cli("run", "m", "hi", "--json", terminals=both).err == ""


def test_a_base_model_goes_on_with_the_text_and_says_so(cli, model):
    model.is_base = True
    result = cli("run", "m", "Once upon")
    assert model.prompts == ["^Once upon"]
    assert result.err == (
        "This is a base model: it goes on with your text, it does not chat (as with --raw).\n"
    )
    assert cli("run", "m", "Once upon", "--raw").err == ""
    assert saved() == []


def saved():
    """What is in the history: the messages of each conversation."""
    history = History(settings.home())
    found = (history.get(conversation.id) for conversation in history.latest())
    return [[entry.content for entry in conversation.entries] for conversation in found]


def test_one_answer_is_a_saved_conversation(cli, model):
    cli("run", "m", "hi", "--system", "terse")
    cli("run", "m", "ho", "--json")
    assert saved() == [["ho", "Hello, world."], ["terse", "hi", "Hello, world."]]


@pytest.mark.parametrize("option", ["--raw", "--no-history"])
def test_what_is_no_conversation_is_not_saved(cli, model, option):
    cli("run", "m", "hi", option)
    assert saved() == []


def test_an_answer_that_was_stopped_or_empty_is_not_saved(cli, model):
    model.interrupt_after = 2
    cli("run", "m", "hi")
    model.interrupt_after, model.reply = None, ()
    cli("run", "m", "hi")
    assert saved() == []


def test_a_conversation_goes_on_where_it_was(cli, model):
    cli("run", "m", "one", "--system", "terse")
    cli("run", "m", "two")
    cli("run", "m", "three", "--resume", "1")
    cli("run", "m", "four", "-c")
    assert model.prompts[2] == "<system>terse<user>one<assistant>Hello, world.<user>three"
    assert model.prompts[3].endswith("<user>three<assistant>Hello, world.<user>four")
    assert [len(messages) for messages in saved()] == [7, 2]


def test_a_conversation_can_go_on_without_being_saved(cli, model):
    cli("run", "m", "one")
    cli("run", "m", "two", "-c", "--no-history")
    assert model.prompts[1] == "<user>one<assistant>Hello, world.<user>two"
    assert saved() == [["one", "Hello, world."]]


def test_turns_that_have_no_room_are_dropped_if_they_may_and_that_is_said(cli, model):
    model.n_ctx = 50
    for prompt in ("one", "two"):
        cli("run", "m", prompt, "-c" if prompt == "two" else "--verbose")
    result = cli("run", "m", "three", "-c", "--on-overflow", "truncate")
    assert model.prompts[2] == "<user>three"
    note = "note: the context is full: the model does not see the oldest 2 turns any more\n"
    assert result.err == note


def test_settings_come_from_the_file_unless_they_were_said(cli, model):
    home = settings.home()
    home.mkdir(parents=True)
    (home / "config.toml").write_text(
        '[defaults]\ntemperature = 0.1\ntop_k = 1\n[models.m]\ntop_k = 2\nsystem = "terse"\n'
        "[profiles.code]\ntop_k = 3\nno_history = true\n"
    )
    cli("run", "m", "hi")
    cli("run", "m", "hi", "--profile", "code", "--temperature", "0.8")
    cli("run", "m", "hi", "--top-k", "40")
    wanted = [(options["temperature"], options["top_k"]) for options in model.options]
    assert wanted == [(0.1, 2), (0.8, 3), (0.1, 40)]
    assert model.prompts == ["<system>terse<user>hi"] * 3
    assert len(saved()) == 2


def test_the_guard_looks_at_prompt_and_answer(cli, model):
    result = cli("run", "m", "hi", "--moderate")
    assert (result.code, result.out, len(model.scored)) == (0, "Hello, world.\n", 2)
    model.verdict = 2
    result = cli("run", "m", "hi", "--moderate")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("error: the prompt looks hateful to the model itself (")
    assert len(saved()) == 1


def test_an_answer_cut_by_the_context_says_so(cli, model):
    model.context_is_full = True
    result = cli("run", "m", "hi")
    assert result.out == "Hello, world.\n"
    assert result.err == (
        "note: the answer stops here: the context of 64 tokens is full (--ctx N gives more)\n"
    )


def test_an_answer_cut_by_max_tokens_was_asked_for(cli, model):
    assert cli("run", "m", "hi", "-n", "2").err == ""


def test_an_answer_cut_by_the_context_is_announced_even_below_max_tokens(cli, model):
    model.context_is_full = True
    assert "context" in cli("run", "m", "hi", "-n", "500").err


def test_a_context_beyond_the_training_is_remarked(cli, model):
    model.n_ctx = 100_000
    assert "trained for 64 tokens" in cli("run", "m", "hi").err


def test_a_pipe_gets_the_text_as_it_is_and_a_terminal_cannot_be_steered(cli, model):
    model.reply = ("a\x1b[31mb\t", "\r\x07c\n")
    assert cli("run", "m", "hi").out == "a\x1b[31mb\t\r\x07c\n"
    on_terminal = cli("run", "m", "hi", terminals=("stdout",))
    assert on_terminal.out == "a[31mb\tc\n"


def test_an_error_of_the_engine_is_two_lines(cli, model):
    model.fail = ContextFull("the prompt has 99 tokens, the context holds 64", "--ctx 1024")
    for arguments in (("run", "m", "hi"), ("run", "m", "hi", "--json")):
        result = cli(*arguments)
        assert (result.code, result.out) == (1, "")
        assert result.err == (
            "error: the prompt has 99 tokens, the context holds 64\ntry: --ctx 1024\n"
        )


def test_ctrl_c_keeps_what_was_written_and_ends_the_line(cli, model):
    model.interrupt_after = 2
    result = cli("run", "m", "hi")
    assert (result.code, result.out, result.err) == (130, "Hello,\n", "")
    assert model.closed


def test_a_missing_model_is_an_error_without_a_person(cli, monkeypatch):
    import localmix

    def load(name, **options):
        raise NotPulled(f"{name} is not on this machine yet", f"localmix pull {name}")

    monkeypatch.setattr(localmix, "load", load)
    for terminals in ((), ("stdin",), ("stderr",)):
        result = cli("run", "mistral", "hi", terminals=terminals)
        assert result.code == 1
        assert "try:" in result.err
        assert "localmix pull mistral" in result.err


def test_a_missing_model_is_pulled_when_a_person_is_there(cli, model, monkeypatch):
    import localmix
    from localmix.cli import pull

    pulled = []

    def load(name, **options):
        if not pulled:
            raise NotPulled("not here", "localmix pull m")
        return model.load(name, **options)

    monkeypatch.setattr(localmix, "load", load)
    monkeypatch.setattr(pull, "offer", lambda name, streams: pulled.append(name) or True)
    result = cli("run", "m", "hi", terminals=("stdin", "stderr"))
    assert (result.code, result.out) == (0, "Hello, world.\n")
    assert pulled == ["m"]
    assert model.loads == [("m", {})]


def test_native_without_native_kernels_is_an_error_and_no_fall_back(cli, monkeypatch):
    import localmix

    def load(name, *, executor, on_compile):
        raise UnsupportedModel(f"no {executor} executor", "--executor reference")

    monkeypatch.setattr(localmix, "load", load)
    result = cli("run", "m", "hi", "--executor", "native")
    assert (result.code, result.out) == (1, "")
    assert result.err == "error: no native executor\ntry: --executor reference\n"


def test_a_long_prompt_shows_its_progress_on_a_terminal_and_takes_it_away(cli, model, monkeypatch):
    from functools import partial

    from localmix.cli import answer, terminal

    monkeypatch.setattr(answer, "StatusLine", partial(terminal.StatusLine, delay_s=0.0))
    text = "reading the prompt: 8 of 8 tokens"
    result = cli("run", "m", "hi", terminals=("stderr",))
    assert result.err == f"\r{text}\r{' ' * len(text)}\r"
    assert result.out == "Hello, world.\n"
    assert cli("run", "m", "hi").err == ""


def test_reading_says_how_fast_it_goes_and_how_long_it_will_take():
    from localmix.cli.answer import Reading

    times = iter([100.0, 102.0, 104.0])
    reading = Reading(clock=lambda: next(times))
    assert reading.line(1000, 4000) == "reading the prompt: 1000 of 4000 tokens"
    half_way = "reading the prompt: 2000 of 4000 tokens · 500 tok/s · 4.0 s left"
    assert reading.line(2000, 4000) == half_way
    assert reading.line(4000, 4000) == "reading the prompt: 4000 of 4000 tokens"


def test_figures_name_what_was_kept_and_what_came_from_the_disk():
    from localmix.cli.figures import figures, stats_record
    from localmix.engine.stats import Stats, Streamed

    stats = Stats(prompt_tokens=9, kept_tokens=5)
    assert "prompt 9 tokens (5 from the cache) at" in figures(stats)
    assert "experts" not in figures(stats)
    assert "streamed" not in stats_record(stats)
    stats.streamed = Streamed(hits=3, misses=1, bytes_read=10**9, read_s=0.5, n_tokens=4)
    text = figures(stats)
    assert text.endswith(" · experts 75 % in memory, 250 MB read per token at 2.00 GB/s")
    assert stats_record(stats)["streamed"] == {
        "hit_rate": 0.75,
        "bytes_per_token": 2.5e8,
        "disk_gb_s": 2.0,
    }


COMPILING = "compiling kernels for this CPU, once"


def test_compiling_is_counted_on_a_terminal_and_taken_away(cli, model):
    model.n_to_compile = 2
    result = cli("run", "m", "hi", terminals=("stderr",))
    counts = [f"{COMPILING}: {n} of 2" for n in range(3)]
    width = len(counts[0])
    assert result.err == "".join(f"\r{count}" for count in counts) + f"\r{' ' * width}\r"
    assert result.out == "Hello, world.\n"


def test_compiling_is_one_line_in_a_log(cli, model):
    model.n_to_compile = 5
    assert cli("run", "m", "hi").err == f"{COMPILING}\n"


def test_ctrl_c_while_kernels_are_compiled_takes_the_line_away(cli, model):
    model.n_to_compile, model.interrupt_compiling = 3, True
    result = cli("run", "m", "hi", terminals=("stderr",))
    line = f"{COMPILING}: 0 of 3"
    assert (result.code, result.out) == (130, "")
    assert result.err == f"\r{line}\r{' ' * len(line)}\r\n"
    assert cli("run", "m", "hi").code == 130


def test_colours_stay_on_terminals_and_follow_no_color(cli, model, monkeypatch):
    assert "\x1b[" in cli("run", "m", "hi", "--verbose", terminals=("stderr",)).err
    assert "\x1b[" not in cli("run", "m", "hi", "--verbose").err
    model.fail = ContextFull("full", "more")
    assert "\x1b[1;31merror:" in cli("run", "m", "hi", terminals=("stderr",)).err
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in cli("run", "m", "hi", terminals=("stderr",)).err


def test_figures_hold_the_reading_against_what_bench_measured(cli, model):
    from localmix.bench.limits import Machine
    from localmix.bench.remembered import remember
    from localmix.system import cpu_name

    model.executor.n_threads = 999
    remember(settings.cache_folder(), Machine(cpu_name(), 2, None, 40.0), 999, "avx2")
    result = cli("run", "m", "hi", "--verbose")
    assert "at 16.0 tok/s (reading 16.0 GB/s, 40 % of what this machine can)" in result.err
