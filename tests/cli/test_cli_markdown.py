"""Markdown on a terminal: another look, never another text."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localmix.cli.markdown import Markdown

SGR = re.compile(r"\x1b\[[0-9;]*m")
RESET, BOLD, CODE, DIM = "\x1b[0m", "\x1b[1m", "\x1b[36m", "\x1b[2m"

MARKUP = st.lists(
    st.sampled_from(["*", "**", "`", "```", "#", "# ", "\n", " ", "a", "狐", "_", "- ", "1", ">"])
    | st.text(st.characters(blacklist_characters="\x1b"), max_size=3),
    max_size=40,
).map("".join)


def drawn(*pieces):
    markdown = Markdown()
    return "".join(map(markdown.push, pieces)) + markdown.flush()


@given(MARKUP)
def test_without_colours_the_text_is_what_came(text):
    assert SGR.sub("", drawn(text)) == text


@given(MARKUP, st.lists(st.integers(0, 60)))
def test_it_looks_the_same_however_it_is_cut(text, cuts):
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(places)]
    assert drawn(*pieces) == drawn(text)


@given(MARKUP)
def test_no_style_outlives_the_text(text):
    codes = SGR.findall(drawn(text))
    assert not codes or codes[-1] == RESET


@given(MARKUP)
def test_an_answer_after_another_begins_plain(text):
    markdown = Markdown()
    markdown.push(text)
    markdown.flush()
    assert markdown.push("word ") == "word "


@pytest.mark.parametrize(
    ("text", "styled"),
    [
        ("plain text, 2 * 3 * 4", "plain text, 2 * 3 * 4"),
        ("a **bold** word", f"a {RESET}{BOLD}**bold**{RESET} word"),
        ("2 ** 3 ** 4", "2 ** 3 ** 4"),
        ("`code` here", f"{RESET}{CODE}`code`{RESET} here"),
        ("`a ** b`", f"{RESET}{CODE}`a ** b`{RESET}"),
        ("**see `x` now**", f"{RESET}{BOLD}**see {RESET}{BOLD}{CODE}`x`{RESET}{BOLD} now**{RESET}"),
        ("# Title\nbody", f"{RESET}{BOLD}# Title{RESET}\nbody"),
        ("#hash and a # sign", "#hash and a # sign"),
        ("* item\n* item", "* item\n* item"),
        ("**never closed\nnext", f"{RESET}{BOLD}**never closed{RESET}\nnext"),
        (
            "```py\nx = '**'\n```\nafter",
            f"{DIM}```py{RESET}\n{CODE}x = '**'\n```{RESET}\nafter",
        ),
        ("```\nnever closed", f"{DIM}```{RESET}\n{CODE}never closed{RESET}"),
        ("a ``` inside", "a ``` inside"),
    ],
)
def test_styles(text, styled):
    assert drawn(text) == styled


def test_a_marker_waits_for_what_follows_and_everything_else_does_not():
    markdown = Markdown()
    assert markdown.push("a *") == "a "
    assert markdown.push("b") == "*b"
    assert markdown.push(" c") == " c"
    assert markdown.push("`") == ""
    assert markdown.flush() == f"{RESET}{CODE}`{RESET}"
