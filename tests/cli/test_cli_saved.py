"""A conversation and its saved side: written, resumed, with its figures, settings and cache."""

import numpy as np
import pytest
from support.judging_model import JudgingModel

import localmix
from localmix import settings
from localmix.cli.chat.saved import Saved
from localmix.conversation.history import Conversation, Entry, History
from localmix.conversation.turns import Turns
from localmix.engine import Stats
from localmix.errors import LocalmixError


@pytest.fixture
def failures():
    return []


@pytest.fixture
def saved(tmp_path, failures):
    return Saved(tmp_path / "home", "m", {"temperature": 0.5}, failures.append)


@pytest.fixture
def answering(monkeypatch):
    model = JudgingModel()
    monkeypatch.setattr(localmix, "load", model.load)
    return model


def history(saved):
    return saved._history


def say(saved, turns, question, answer, n_tokens):
    turns.ask(question)
    turns.answer(answer)
    saved.write(turns, Stats(generated_tokens=n_tokens))


def figures(saved):
    entries = history(saved).get(saved.id).entries
    return [(e.figures["generated_tokens"] if e.figures else None) for e in entries]


def test_what_was_said_comes_back_with_its_figures(saved, tmp_path):
    turns = Turns("be terse")
    say(saved, turns, "a", "b", 3)
    say(saved, turns, "c", "d", 4)
    assert figures(saved) == [None, None, 3, None, 4]
    other = Saved(tmp_path / "home", "n", {}, pytest.fail)
    assert other.resume(saved.id) == turns
    assert other.resume(None) == turns
    say(other, other.resume(None), "e", "f", 5)
    assert other.id == saved.id
    assert figures(other) == [None, None, 3, None, 4, None, 5]
    assert history(saved).get(saved.id).model == "n"


def test_figures_stay_with_their_answers(saved):
    turns = Turns()
    say(saved, turns, "a", "b", 3)
    say(saved, turns, "c", "d", 4)
    turns.undo()
    saved.write(turns, None)
    assert figures(saved) == [None, 3]
    turns.ask("c")
    turns.answer("another")
    saved.write(turns, None)
    assert figures(saved) == [None, 3, None, None]
    turns.system = "a system message that comes later"
    saved.write(turns, None)
    assert figures(saved) == [None, None, 3, None, None]


def test_an_answer_that_was_not_made_has_no_figures(saved):
    turns = Turns()
    say(saved, turns, "a", "b", 3)
    turns.ask("c")
    saved.write(turns, Stats(generated_tokens=9))
    assert figures(saved) == [None, 3, None]


def test_nothing_is_written_before_something_is_said(saved):
    saved.write(Turns("system"), None)
    assert saved.id == 0
    assert not history(saved).path.exists()


def test_a_conversation_of_which_all_is_taken_back_is_deleted(saved):
    turns = Turns()
    say(saved, turns, "a", "b", 3)
    first = saved.id
    turns.undo()
    saved.write(turns, None)
    assert (saved.id, history(saved).latest()) == (0, [])
    say(saved, turns, "a", "b", 3)
    assert saved.id > first


def test_a_new_conversation_has_another_number(saved):
    turns = Turns()
    say(saved, turns, "a", "b", 3)
    turns.clear()
    saved.begin_anew()
    say(saved, turns, "c", "d", 4)
    assert [each.title for each in history(saved).latest()] == ["c", "a"]
    assert figures(saved) == [None, 4]


def test_a_history_that_cannot_be_written_is_said_once(saved, failures):
    history(saved).path.mkdir(parents=True)
    turns = Turns()
    say(saved, turns, "a", "b", 3)
    say(saved, turns, "c", "d", 4)
    (failure,) = failures
    assert "cannot be used" in failure.message


def test_resuming_what_is_not_there_is_an_error(saved):
    for number in (None, 1, 10**30):
        with pytest.raises(LocalmixError, match="no conversation"):
            saved.resume(number)


# ---- the cache ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("executor", "bound"), [("native", 0.3), ("reference", 1e-3)])
def test_a_resumed_conversation_gives_the_logits_of_one_that_goes_on_and_of_a_fresh_one(
    saved, tmp_path, warm, executor, bound
):
    def logits_after(model, turns):
        with model._sequence() as sequence:
            return sequence.read(model.render_chat(turns.all))

    turns = Turns()
    with localmix.load("tiny", executor=executor) as model:
        for question in ("Tell me a story about a fox", "And a dog?"):
            turns.ask(question)
            answer = model.chat(turns.all, temperature=0, max_tokens=40).complete()
            turns.answer(answer.text.strip())
            saved.write(turns, answer.stats)
        assert saved.keep_cache(model) == history(saved).cache_path(saved.id).stat().st_size
        n_kept = len(model._kept.ids)
        resumed = Saved(tmp_path / "home", "tiny", {}, pytest.fail).resume(None)
        assert resumed == turns
        resumed.ask("How does it end?")
        goes_on, n_reused = logits_after(model, resumed)
    assert n_reused > 80

    other = Saved(tmp_path / "home", "tiny", {}, pytest.fail)
    assert other.resume(saved.id) == turns
    with localmix.load("tiny", executor=executor) as model:
        assert other.take_cache(model) == n_kept
        from_cache, n_read = logits_after(model, resumed)
    assert n_read == n_reused
    assert np.array_equal(from_cache, goes_on)

    with localmix.load("tiny", executor=executor) as model:
        fresh = model.logits(model.render_chat(resumed.all))[-1]
    # Token by token or in chunks, sums differ in their last bit; the native executor rounds them to
    # int8 and f16, which now and then takes another step.
    assert np.abs(from_cache - fresh).max() < bound
    assert from_cache.argmax() == fresh.argmax()


def test_a_cache_of_something_else_is_left_alone(saved, tmp_path, warm):
    from support.models import write_model

    say(saved, Turns(), "a", "b", 3)
    with localmix.load("tiny") as model:
        assert saved.take_cache(model) == 0
        model.save_cache(tmp_path / "x", "Once upon a time")
        model.complete("a", max_tokens=1)
        saved.keep_cache(model)
    with localmix.load(write_model(tmp_path / "m.gguf"), executor="reference") as other:
        assert saved.take_cache(other) == 0
        path = history(saved).cache_path(saved.id)
        path.write_bytes(b"damaged")
        assert saved.take_cache(other) == 0
        path.unlink()
        path.mkdir()
        assert saved.take_cache(other) == 0


def test_a_cache_has_no_place_before_its_conversation(saved):
    with pytest.raises(LocalmixError, match="not saved"):
        saved.keep_cache(None)


def test_a_folder_for_caches_that_cannot_be_made_is_said(saved):
    say(saved, Turns(), "a", "b", 3)
    history(saved).cache_path(saved.id).parent.write_text("a file")
    with pytest.raises(LocalmixError, match="cannot be written"):
        saved.keep_cache(None)


# ---- run ----------------------------------------------------------------------------------------


def test_run_saves_and_goes_on(cli, answering):
    home = settings.home()
    cli("run", "m", "hi", "--system", "be terse", "--seed", "7")
    cli("run", "m", "again", "--continue")
    cli("run", "m", "more", "--resume", "1")
    assert answering.prompts[-1] == (
        "<system>be terse<user>hi<assistant>Hello, world."
        "<user>again<assistant>Hello, world.<user>more"
    )
    (found,) = History(home).latest()
    assert (found.n_messages, found.title, found.model) == (7, "hi", "m")
    figures = History(home).get(1).entries[2].figures
    assert figures == {
        "prompt_tokens": len("<system>be terse<user>hi"),
        "generated_tokens": 4,
        "ttft_s": 0.125,
        "prefill_tok_s": 80.0,
        "decode_tok_s": 16.0,
    }


def test_settings_are_saved_with_the_conversation(cli, answering):
    cli("run", "m", "hi", "--temperature", "0.3", "--stop", "#")
    kept = History(settings.home()).last().settings
    assert (kept["temperature"], kept["stop"]) == (0.3, ["#"])


def test_no_history_writes_nothing_and_can_resume(cli, answering):
    cli("run", "m", "hi", "--no-history")
    assert not settings.home().exists() or not (settings.home() / "history.db").exists()
    number = History(settings.home()).save(Conversation(0, "m", entries=(
        Entry("user", "a"), Entry("assistant", "b"))))  # fmt: skip
    cli("run", "m", "c", "--resume", str(number), "--no-history")
    assert answering.prompts[-1] == "<user>a<assistant>b<user>c"
    assert History(settings.home()).get(number).n_messages == 2


def test_an_answer_is_given_though_it_cannot_be_saved(cli, answering):
    (settings.home() / "history.db").mkdir(parents=True)
    result = cli("run", "m", "hi")
    assert (result.code, result.out) == (0, "Hello, world.\n")
    assert "note: this conversation is not saved:" in result.err


def test_resuming_a_number_that_is_not_there_loads_nothing(cli, answering):
    for arguments in (("--resume", "3"), ("--continue",), ("--resume", str(2**63 - 1))):
        result = cli("run", "m", "hi", *arguments)
        assert (result.code, result.out, answering.loads) == (1, "", [])
        assert "no conversation" in result.err


# ---- config.toml --------------------------------------------------------------------------------


@pytest.fixture
def config(cli, answering):
    """Write config.toml and run with some options; gives the result and the engine's options."""

    def run(text, *options):
        settings.home().mkdir(parents=True, exist_ok=True)
        (settings.home() / "config.toml").write_text(text, encoding="utf-8")
        result = cli("run", "m", "hi", *options)
        return result, (answering.options or [None])[-1]

    return run


COLD = '[defaults]\ntemperature = 0.2\ntop_k = 3\nsystem = "terse"\nstop = ["#"]\n'


def test_what_config_says_reaches_the_engine(config, answering):
    _, options = config(COLD)
    assert (options["temperature"], options["top_k"], options["stop"]) == (0.2, 3, ("#",))
    assert answering.prompts == ["<system>terse<user>hi"]


@pytest.mark.parametrize("value", ["0.8", "0.5"])
def test_the_command_line_wins_even_when_it_says_the_default(config, value):
    _, options = config(COLD, "--temperature", value)
    assert (options["temperature"], options["top_k"]) == (float(value), 3)


def test_a_profile_is_asked_for_by_name(config, answering):
    text = COLD + "[profiles.code]\ntemperature = 0\nctx = 32\n[models.m]\ntop_k = 9\n"
    _, options = config(text, "--profile", "code")
    assert (options["temperature"], options["top_k"]) == (0.0, 9)
    assert answering.loads[-1][1]["n_ctx"] == 32
    result, _ = config(text, "--profile", "prose")
    assert result.code == 1
    assert "no profile prose" in result.err


@pytest.mark.parametrize(
    "line",
    ["temperature = -1", "temperature = nan", "ctx = 0", 'kv = "q3"', "threads = 100000",
     'stop = [""]', 'expert_memory = "much"', 'sliding_window = "wide"', "seed = -1",
     'on-overflow = "burst"', "top_p = 2"],
)  # fmt: skip
def test_a_value_that_makes_no_sense_is_said_with_its_file(config, answering, line):
    result, _ = config(f"[defaults]\n{line}\n")
    assert (result.code, result.out, answering.loads) == (1, "", [])
    assert "config.toml is wrong: " + line.split()[0].replace("_", "-") in result.err


def test_a_wrong_value_that_the_command_line_replaces_is_no_error(config):
    result, options = config("[defaults]\ntemperature = -1\n", "--temperature", "0.8")
    assert (result.code, options["temperature"]) == (0, 0.8)


@pytest.mark.parametrize("text", ["[defaults", "[defaults]\nmodel = 'x'\n", "x = 1\n"])
def test_a_wrong_file_is_said(config, answering, text):
    result, _ = config(text)
    assert (result.code, answering.loads) == (1, [])
    assert "config.toml" in result.err
