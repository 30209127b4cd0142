"""Text as it is generated: whole characters, and nothing of a stop string."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.vocabularies import NORMAL, letters_of, metadata, mistral_tokenizer, texts

from localmix.errors import LocalmixError
from localmix.text.stream import StopStrings, TextStream
from localmix.text.tokenizer import Tokenizer


def bpe():
    pieces = [letters_of(bytes([byte])) for byte in range(256)]
    keys = {"token_type": [NORMAL] * 256, "merges": []}
    return Tokenizer.from_metadata(metadata("gpt2", pieces, **keys))


def streamed(tokenizer, ids, after=()):
    stream = TextStream(tokenizer, after=after)
    return "".join([*(stream.push(i) for i in ids), stream.flush()])


@pytest.mark.parametrize("make", [lambda: mistral_tokenizer("v3"), bpe])
def test_streamed_text_is_decoded_text_for_any_ids(make):
    tokenizer, rng = make(), random.Random(8)
    for _ in range(1000):
        # the first ids are control and byte tokens, the likeliest to go wrong
        limit = rng.choice([tokenizer.n_vocab, min(1100, tokenizer.n_vocab)])
        ids = [rng.randrange(limit) for _ in range(rng.randint(0, 10))]
        assert streamed(tokenizer, ids) == tokenizer.decode(ids)


@pytest.mark.parametrize("make", [lambda: mistral_tokenizer("v3"), bpe])
def test_a_text_cut_anywhere_goes_on_where_it_was_cut(make):
    tokenizer = make()
    for text in texts(150, seed=9):
        ids = tokenizer.encode(text)
        for cut in range(len(ids) + 1):
            before = tokenizer.decode(ids[:cut])
            if before.endswith("\ufffd"):
                continue  # inside a character: half of it was shown already
            assert before + streamed(tokenizer, ids[cut:], after=ids[:cut]) == tokenizer.decode(ids)


def test_the_space_before_a_first_word_depends_on_what_came_before():
    tokenizer = mistral_tokenizer("v3")
    hello = tokenizer.encode("Hello", add_bos=False)
    assert streamed(tokenizer, hello) == "Hello"
    assert streamed(tokenizer, hello, after=[1, 3]) == "Hello"
    assert streamed(tokenizer, hello, after=[1, *hello]) == " Hello"


def test_a_character_appears_with_its_last_byte():
    tokenizer = mistral_tokenizer("v1")
    stream = TextStream(tokenizer)
    fox = [tokenizer.token_id(f"<0x{byte:02X}>") for byte in "🦊".encode()]
    assert [stream.push(i) for i in fox] == ["", "", "", "🦊"]
    assert stream.flush() == ""


def test_an_unfinished_character_is_replaced_when_the_text_ends():
    for tokenizer, first, shown in (
        (bpe(), 0, "\ufffd"),
        (mistral_tokenizer("v1"), 3, "\ufffd" * 3),
    ):
        stream = TextStream(tokenizer)
        assert [stream.push(first + byte) for byte in "🦊".encode()[:3]] == ["", "", ""]
        assert stream.flush() == shown
        assert stream.flush() == ""


def test_bytes_on_both_sides_of_another_token_are_two_characters():
    tokenizer = mistral_tokenizer("v1")
    first, second = (3 + byte for byte in "é".encode())
    assert streamed(tokenizer, [first, second]) == "é"
    assert streamed(tokenizer, [first, 1, second]) == "\ufffd\ufffd"


def test_an_id_outside_the_vocabulary_is_refused():
    with pytest.raises(LocalmixError, match="no token 256"):
        TextStream(bpe()).push(256)
    with pytest.raises(LocalmixError, match="no token -1"):
        TextStream(bpe(), after=[-1])


def pushed(stops, chunks):
    watcher = StopStrings(stops)
    return "".join([*map(watcher.push, chunks), watcher.flush()]), watcher.found


def first_complete(stops, text):
    """Look for stop strings after every character, the slow way."""
    for end in range(len(text) + 1):
        starts = [end - len(stop) for stop in stops if text[:end].endswith(stop)]
        if starts:
            return text[: min(starts)], True
    return text, False


STOPS = st.lists(st.text("ab<", min_size=1, max_size=4), max_size=3)


@settings(derandomize=True, max_examples=1000, deadline=None)
@given(STOPS, st.lists(st.text("ab<c", max_size=4), max_size=6))
def test_text_up_to_the_first_stop_string_however_it_is_cut(stops, chunks):
    text = "".join(chunks)
    expected = first_complete(stops, text)
    assert pushed(stops, chunks) == pushed(stops, text) == pushed(stops, [text]) == expected


@settings(derandomize=True, max_examples=300, deadline=None)
@given(STOPS, st.text("ab<c", max_size=12))
def test_no_more_is_held_back_than_may_become_a_stop_string(stops, text):
    watcher, shown = StopStrings(stops), ""
    for i, letter in enumerate(text):
        shown += watcher.push(letter)
        held = text[len(shown) : i + 1]
        if not watcher.found and held:
            assert any(stop.startswith(held) and stop != held for stop in stops)


def test_stop_strings_cross_token_borders():
    watcher = StopStrings(["</s>", "###"])
    assert [watcher.push(part) for part in ["a <", "/b", " #", "#", "# more"]] == [
        "a ", "</b", " ", "", ""
    ]  # fmt: skip
    assert watcher.found
    assert watcher.push("no more") == ""
    assert watcher.flush() == ""


def test_text_held_back_in_vain_is_given_at_the_end():
    watcher = StopStrings("stop")
    assert watcher.push("do not sto") == "do not "
    assert watcher.flush() == "sto"
    assert not watcher.found
    assert watcher.flush() == ""


def test_an_empty_stop_string_is_refused():
    with pytest.raises(LocalmixError, match="empty") as error:
        StopStrings(["a", ""])
    assert "--stop" in error.value.hint
