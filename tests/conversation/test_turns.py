"""Turns: asked, answered, taken back, and left away when the context is full."""

import pytest

from localmix.conversation.turns import ROOM_FOR_ANSWER, Turns, fit


def letters(messages):
    """A prompt of one id for each letter."""
    return [ord(letter) for message in messages for letter in message["content"]]


def talk(n, system="", length=10):
    """A conversation of n answered questions and one more, each message of some length."""
    turns = Turns(system)
    for i in range(n):
        turns.ask(f"{i:<{length}}")
        turns.answer("a" * length)
    turns.ask("q" * length)
    return turns


def test_a_conversation_is_the_system_message_and_what_was_said():
    turns = Turns("be terse")
    turns.ask("hi")
    turns.answer("hello")
    assert [(m["role"], m["content"]) for m in turns.all] == [
        ("system", "be terse"),
        ("user", "hi"),
        ("assistant", "hello"),
    ]
    assert (turns.last_question, turns.last_answer) == ("hi", "hello")
    turns.clear()
    assert turns.all == [{"role": "system", "content": "be terse"}]
    assert (turns.last_question, turns.last_answer) == (None, None)


def test_a_question_without_an_answer_is_the_last_one_and_has_none():
    turns = talk(1)
    assert turns.last_answer is None
    assert turns.last_question == "q" * 10


def test_an_empty_answer_takes_its_question_back():
    turns = talk(1)
    turns.answer("")
    assert [m["role"] for m in turns.messages] == ["user", "assistant"]


def test_undo_takes_a_question_with_its_answer_or_without():
    turns = talk(2)
    assert turns.undo() == "q" * 10
    assert turns.undo() == f"{1:<10}"
    assert [m["content"] for m in turns.messages] == [f"{0:<10}", "a" * 10]
    assert turns.undo() == f"{0:<10}"
    assert (turns.undo(), turns.messages) == (None, [])


def test_what_fits_is_whole():
    turns = talk(3, system="s")
    fitted = fit(turns, letters, n_ctx=200, on_overflow="shift")
    assert (fitted.n_dropped, fitted.messages) == (0, tuple(turns.all))
    assert fitted.ids == letters(turns.all)


@pytest.mark.parametrize("on_overflow", ["shift", "truncate"])
@pytest.mark.parametrize("system", ["", "be terse"])
def test_the_oldest_turns_go_until_a_quarter_of_the_context_is_left(on_overflow, system):
    turns = talk(30, system)
    for n_ctx in range(30, 900, 7):
        fitted = fit(turns, letters, n_ctx, on_overflow)
        most = n_ctx - n_ctx // ROOM_FOR_ANSWER
        assert len(fitted.ids) <= most or fitted.n_dropped == 30
        rest = turns.messages[2 * fitted.n_dropped :]
        assert list(fitted.messages) == turns.all[: bool(system)] + rest
        assert fitted.ids == letters(fitted.messages)
        if fitted.n_dropped:  # one turn fewer would have been too few
            assert len(fitted.ids) + 20 > most


def test_with_error_nothing_is_dropped():
    turns = talk(5)
    fitted = fit(turns, letters, n_ctx=20, on_overflow="error")
    assert (fitted.n_dropped, len(fitted.ids)) == (0, 110)


@pytest.mark.parametrize("n", [0, 3])
def test_the_last_question_stays_whatever_its_length(n):
    turns = talk(n, system="s", length=100)
    fitted = fit(turns, letters, n_ctx=8, on_overflow="truncate")
    assert fitted.n_dropped == n
    assert [m["content"] for m in fitted.messages] == ["s", "q" * 100]


def test_a_long_conversation_is_read_a_few_times_not_once_for_each_turn():
    n_read = 0

    def render(messages):
        nonlocal n_read
        n_read += 1
        return letters(messages)

    assert fit(talk(500), render, n_ctx=200, on_overflow="shift").n_dropped == 493
    assert n_read <= 12


def test_an_empty_conversation_renders_as_nothing():
    assert fit(Turns(), letters, 10, "shift").ids == []
