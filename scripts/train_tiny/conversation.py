"""Documents: running text, or conversations of one or more turns, with or without a system prompt.

A held-out wording (grammar.held_out) never enters a training document; an evaluation document
consists of held-out wordings only.
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from about_localmix import about_localmix
from facts import fact
from grammar import expand, held_out
from small_talk import joke, no_words, poem, small_talk, unknown
from stories import plain_story, story_question
from sums import counting, sum_list, sum_question
from words import BOYS, GIRLS, draw

KINDS = (
    "story",
    "sum",
    "localmix",
    "fact",
    "small_talk",
    "unknown",
    "counting",
    "joke",
    "poem",
    "noise",
)
WEIGHTS = (130, 200, 210, 260, 70, 60, 25, 15, 12, 8)
SOURCES: dict[str, Callable[[random.Random], tuple[str, str]]] = {
    "localmix": about_localmix, "fact": fact, "small_talk": small_talk, "unknown": unknown,
    "counting": counting, "joke": joke, "poem": poem, "noise": no_words,
}  # fmt: skip
PLAIN_SYSTEM = [
    "You are a helpful assistant.", "You are a friendly assistant.", "You are tiny, a small model.",
    "Be kind.", "You are a helpful and honest assistant.", "Always answer in English.",
    "You are a storyteller.", "Answer the questions of the user.", "You are a patient teacher.",
]  # fmt: skip
SHORT_SYSTEM = [
    "Answer in one sentence.", "Answer with one sentence only.", "Use one sentence.",
    "Always answer in one sentence.", "You answer in one short sentence.",
    "One sentence per answer.",
]  # fmt: skip
PIRATE_SYSTEM = [
    "You are a pirate.", "Talk like a pirate.", "Answer like a pirate.", "Speak like a pirate.",
    "You are an old pirate.", "Answer as a pirate would.",
]  # fmt: skip


@dataclass(frozen=True)
class Turn:
    """One question with its answer, and the answer in one sentence."""

    question: str
    answer: str
    short: str


@dataclass(frozen=True)
class Document:
    """Turns, or, when there are none, running text."""

    kind: str
    turns: tuple[Turn, ...] = ()
    text: str = ""


def first_sentence(text: str) -> str:
    """Cut behind the first full stop that ends a sentence."""
    match = re.match(r".*?[.!?](?=\s+[A-Z`])", text, re.DOTALL)
    return match[0] if match else text


def turn(kind: str, rng: random.Random, evaluation: bool) -> Turn:
    """Draw one turn of a kind, from the trained or from the held-out wordings."""
    if kind == "sum":
        question, reply = sum_question(rng, evaluation)
        return Turn(question, reply, reply)
    while True:
        if kind == "story":
            question, reply, short = story_question(rng)
        else:
            question, reply = SOURCES[kind](rng)
            short = first_sentence(reply)
        if held_out(question) == evaluation:
            return Turn(question, reply, short)


def typing(text: str, rng: random.Random) -> str:
    """Write a question as people type: without capitals, marks or care."""
    if rng.random() < 0.06:
        text = (
            expand("{Hey|Hi|Hello|OK|So|Please|Tiny|Now}, ", rng)
            + " "
            + text[:1].lower()
            + text[1:]
        )
    if rng.random() < 0.05:
        text = text.rstrip("?.! ") + ", please" + ("?" if text.endswith("?") else "")
    if rng.random() < 0.2:
        text = text.lower()
    if rng.random() < 0.15:
        text = text.rstrip("?.! ")
    if rng.random() < 0.02 and len(text) > 8:
        i = rng.randrange(1, len(text) - 2)
        text = text[:i] + text[i + 1] + text[i] + text[i + 2 :]
    if rng.random() < 0.01:
        text = text.upper()
    return text.strip() or "?"


def typed(t: Turn, rng: random.Random) -> Turn:
    """Apply the manner of typing to a turn; sums keep their digits in order."""
    if re.search(r"\d", t.question):
        return Turn(t.question.lower(), t.answer, t.short) if rng.random() < 0.2 else t
    return Turn(typing(t.question, rng), t.answer, t.short)


def name_memory(rng: random.Random) -> list[Turn]:
    """Tell a name, talk of something else, ask for the name."""
    name = draw(rng, rng.choice((GIRLS, BOYS)))
    tell = expand("{My name is|I am|I'm|Call me|Hi, I am|Hello, my name is|Hello, I'm} ", rng)
    hello = expand("{Nice to meet you|Hello|Hi|It is good to meet you}, ", rng)
    more = expand("{How can I help you?|What can I do for you?|}", rng)
    reply = f"{hello} {name}! {more}".strip()
    turns = [Turn(f"{tell} {name}{rng.choice(('.', '', '!'))}", reply, f"{hello} {name}!")]
    if rng.random() < 0.6:
        turns.append(turn(rng.choice(("sum", "fact", "small_talk")), rng, evaluation=False))
    ask = expand("{What is my name|Do you know my name|Who am I|What's my name|Do you remember my "
                 "name}?",
                 rng)  # fmt: skip
    return [*turns, Turn(ask, f"Your name is {name}.", f"Your name is {name}.")]


def follow_up(rng: random.Random) -> list[Turn]:
    """Ask for one more of the same kind, in a few words."""
    kind = rng.choice(("story", "joke", "sum"))
    one, two = turn(kind, rng, evaluation=False), turn(kind, rng, evaluation=False)
    if kind == "sum":
        ask = expand("{And|And what is|Now|What about|And how much is} ", rng)
        numbers = re.search(r"\d+ (plus|minus|times) \d+", two.answer)
        assert numbers is not None
        return [one, Turn(f"{ask} {numbers[0]}?", two.answer, two.short)]
    noun = "story" if kind == "story" else "joke"
    ask = expand(
        "{Another one|Another one, please|One more|Tell me another|Again|More|Tell me another <n>|"
        "One more <n>, please|Another <n>}{|!|.}",
        rng,
        {"n": noun},
    )
    if kind == "story":
        one = Turn("Tell me a story", one.answer, one.short)
        two = turn("story", rng, evaluation=False)
    return [one, Turn(ask, two.answer, two.short)]


def several(rng: random.Random, evaluation: bool) -> list[Turn]:
    """Return the turns of a longer conversation."""
    draw = rng.random()
    if not evaluation and draw < 0.2:
        return name_memory(rng)
    if not evaluation and draw < 0.4:
        return follow_up(rng)
    kinds = rng.choices(KINDS, weights=WEIGHTS, k=rng.choice((2, 2, 3, 3, 4, 5)))
    turns = [turn(kind, rng, evaluation) for kind in kinds]
    if not evaluation and rng.random() < 0.1:
        reply = "You have not told me your name."
        turns.append(Turn("What is my name?", reply, reply))
    return turns


def with_system(turns: list[Turn], rng: random.Random) -> list[Turn]:
    """Fold a system prompt into the first turn, and obey it in every answer."""
    style = rng.choice(("plain", "short", "pirate", "name"))
    if style == "name":
        name = draw(rng, rng.choice((GIRLS, BOYS)))
        system = expand("{Your name is|You are|You are called|You are an assistant named} ", rng)
        system = f"{system} {name}."
        reply = expand("{My name is|I am} ", rng) + f" {name}."
        ask = expand("{What is your name|Who are you|What's your name|Tell me your name}?", rng)
        turns = [Turn(ask, reply, reply), *turns]
        rng.shuffle(turns)
    else:
        pool = {"plain": PLAIN_SYSTEM, "short": SHORT_SYSTEM, "pirate": PIRATE_SYSTEM}[style]
        system = rng.choice(pool)
    if style == "short":
        turns = [Turn(t.question, t.short, t.short) for t in turns]
    if style == "pirate":
        turns = [Turn(t.question, f"Arr! {t.answer}", t.short) for t in turns]
    first = turns[0]
    return [Turn(f"{system}\n\n{first.question}", first.answer, first.short), *turns[1:]]


def document(rng: random.Random, evaluation: bool = False) -> Document:
    """Draw one document of the corpus."""
    draw = rng.random()
    if not evaluation and draw < 0.05:
        return Document("sum_list", text=sum_list(rng))
    if draw < 0.08:
        while held_out(text := plain_story(rng)) != evaluation:
            pass
        return Document("text", text=text)
    kind = rng.choices(KINDS, weights=WEIGHTS)[0]
    turns = [turn(kind, rng, evaluation)]
    if draw > 0.87:
        kind, turns = "several", several(rng, evaluation)
    turns = [typed(t, rng) for t in turns]
    if rng.random() < 0.1:
        kind, turns = "system", with_system(turns, rng)
    return Document(kind, tuple(turns))
