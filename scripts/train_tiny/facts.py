"""Small facts: the calendar, animals, colours, opposites, shapes, capitals, what things are.

Every function returns one question and its answer. The tables stand in fact_tables.py.
"""

import random

from fact_tables import (
    ANIMALS,
    CAPITALS,
    COLOURS,
    DAYS,
    DEFINITIONS,
    MIXES,
    MONTH_DAYS,
    MONTHS,
    OPPOSITES,
    SHAPES,
    SINGLE,
    WHY,
)
from grammar import article, capital, expand
from language import words
from sums import word


def days(rng: random.Random) -> tuple[str, str]:
    """Ask about the days of the week."""
    i = rng.randrange(7)
    day, after, before = DAYS[i], DAYS[(i + 1) % 7], DAYS[i - 1]
    forms = [
        ("{What|Which} day {comes|is} {after|right after} <day>?", f"After {day} comes {after}."),
        ("{What|Which} day follows <day>?", f"After {day} comes {after}."),
        ("What {comes|is} {after|next after} <day>?", f"After {day} comes {after}."),
        (
            "{Today is|If today is|It is} <day>{. |, }{What|what} {day is|is} tomorrow?",
            f"If today is {day}, tomorrow is {after}.",
        ),
        ("What is the day after <day>?", f"The day after {day} is {after}."),
        (
            "{What|Which} day {comes|is} {before|right before} <day>?",
            f"Before {day} comes {before}.",
        ),
        ("What {comes|is} before <day>?", f"Before {day} comes {before}."),
        ("What is the day before <day>?", f"The day before {day} is {before}."),
        (
            "{Today is|If today is} <day>{. |, }{What|what} {day was|was} yesterday?",
            f"If today is {day}, yesterday was {before}.",
        ),
        (
            "Is <day> {a day of the weekend|part of the weekend|on the weekend}?",
            f"Yes, {day} is part of the weekend." if i > 4 else f"No, {day} is a working day.",
        ),
        (
            "What {number is <day>|number day of the week is <day>}?",
            f"{day} is day number {i + 1}, if the week begins on Monday.",
        ),
    ]
    question, reply = rng.choice(forms)
    return expand(question, rng, {"day": day}), reply


def months(rng: random.Random) -> tuple[str, str]:
    """Ask about the months and the seasons."""
    i = rng.randrange(12)
    month, after, before = MONTHS[i], MONTHS[(i + 1) % 12], MONTHS[i - 1]
    season = (
        "winter",
        "winter",
        "spring",
        "spring",
        "spring",
        "summer",
        "summer",
        "summer",
        "autumn",
        "autumn",
        "autumn",
        "winter",
    )[i]
    forms = [
        ("{What|Which} month {comes|is} after <month>?", f"After {month} comes {after}."),
        ("What {comes|is} after <month>?", f"After {month} comes {after}."),
        ("{What|Which} month follows <month>?", f"After {month} comes {after}."),
        ("{What|Which} month {comes|is} before <month>?", f"Before {month} comes {before}."),
        ("What {comes|is} before <month>?", f"Before {month} comes {before}."),
        (
            "How many days {are in <month>|does <month> have|are there in <month>|has <month>}?",
            f"{month} has {MONTH_DAYS[i]} days" + (", and 29 in a leap year." if i == 1 else "."),
        ),
        (
            "How {long is|many days has} <month>?",
            f"{month} has {MONTH_DAYS[i]} days" + (", and 29 in a leap year." if i == 1 else "."),
        ),
        (
            "{What|Which} season is <month> in?",
            f"In the north of the world, {month} is in {season}.",
        ),
        (
            "Is <month> {warm or cold|in summer or in winter}?",
            f"In the north of the world, {month} is in {season}.",
        ),
        ("What number {month is|is the month} <month>?", f"{month} is month number {i + 1}."),
    ]
    question, reply = rng.choice(forms)
    return expand(question, rng, {"month": month}), reply


def animals(rng: random.Random) -> tuple[str, str]:
    """Ask about one animal."""
    name = rng.choice(list(ANIMALS))
    sound, legs, home, food, baby, can_fly = ANIMALS[name]
    a = article(name)
    forms = [
        (
            "How many legs {does <a> have|has <a>|has <a> got}?",
            f"{capital(a)} has {word(legs)} legs." if legs else f"{capital(a)} has no legs.",
        ),
        (
            "Where {does <a> live|do you find <a>|does <a> sleep|can I see <a>}?",
            f"{capital(a)} lives {home}.",
        ),
        (
            "What {does <a> eat|is the food of <a>|does <a> like to eat|do I feed <a>|food does "
            "<a> eat}?",
            f"{capital(a)} eats {food}.",
        ),
        ("Can <a> fly?", f"Yes, {a} can fly." if can_fly else f"No, {a} cannot fly."),
        ("What is <a>?", f"{capital(a)} is an animal. It lives {home} and eats {food}."),
        (
            "{Tell me about <a>|Tell me something about <a>|What do you know about <a>|Describe "
            "<a>}.",
            f"{capital(a)} lives {home} and eats {food}. "
            + (f"It has {word(legs)} legs." if legs else "It has no legs."),
        ),
    ]
    if sound:
        forms.append(
            (
                "{What sound does <a> make|What noise does <a> make|What does <a> say|How does <a> "
                "sound|What sound does <a> make|Which sound does <a> make|How does <a> speak}?",
                f'{capital(a)} says "{sound}".',
            )
        )
        if not any(sound == v[0] and n != name for n, v in ANIMALS.items()):
            forms.append(
                (
                    '{What|Which} animal {says|makes} {"' + sound + '"|' + sound + "}?",
                    f'{capital(a)} says "{sound}".',
                )
            )
    if baby:
        forms.append(
            (
                "{What is a baby <name> called|What do you call a baby <name>|What is the baby of "
                "<a>|What is a young <name> called}?",
                f"A baby {name} is called {article(baby)}.",
            )
        )
    question, reply = rng.choice(forms)
    return expand(question, rng, {"a": a, "name": name}), reply


def colours(rng: random.Random) -> tuple[str, str]:
    """Ask for the colour of something, or what two colours make."""
    if rng.random() < 0.4:
        (one, two), result = rng.choice(list(MIXES.items()))
        if rng.random() < 0.5:
            one, two = two, one
        ask = (
            "{What do you get when you mix <one> and <two>|What is <one> and <two> mixed|Mix <one> "
            "and <two>|What colour do <one> and <two> make|What do <one> and <two> make|What "
            "happens if I mix <one> with <two>|Which colour comes from <one> and <two>|What color "
            "is <one> plus <two>|What is <one> plus <two>}?"
        )
        return expand(
            ask, rng, {"one": one, "two": two}
        ), f"{capital(one)} and {two} make {result}."
    thing, (verb, colour) = rng.choice(list(COLOURS.items()))
    ask = (
        "{What colour <verb>|What color <verb>|Which colour <verb>|What is the colour of|What is "
        "the color of|Which color <verb>|Tell me the colour of|What colour has|What color <verb>} "
        "<thing>?"
    )
    return (
        expand(ask, rng, {"verb": verb, "thing": thing}),
        f"{capital(thing)} {verb} {colour}.",
    )


def opposites(rng: random.Random) -> tuple[str, str]:
    """Ask for the opposite of a word."""
    one, two = rng.choice(OPPOSITES)
    if rng.random() < 0.5:
        one, two = two, one
    ask = (
        "{What is the opposite of|What's the opposite of|Tell me the opposite of|The opposite of|"
        "Opposite of|What is the contrary of|Give me the opposite of|Which word is the opposite of|"
        "Find the opposite of|Can you tell me the opposite of|What is not} "
        '{<x>|"<x>"|the word <x>}?'
    )
    return expand(ask, rng, {"x": one}), f"The opposite of {one} is {two}."


def shapes(rng: random.Random) -> tuple[str, str]:
    """Ask about a shape."""
    name = rng.choice(list(SHAPES))
    sides, is_what = SHAPES[name]
    a = article(name)
    count = f"{word(sides)} sides" if sides else "no straight sides"
    forms = [
        (
            "How many {sides|corners} {does <a> have|has <a>|are there in <a>}?",
            f"{capital(a)} has {word(sides)} sides and {word(sides)} corners."
            if sides
            else f"{capital(a)} has no corners.",
        ),
        ("{What is|Describe|Explain|What does} <a>{| look like}?", f"{capital(a)} is {is_what}."),
        ("Is <a> {round|a shape}?", f"{capital(a)} is {is_what}."),
    ]
    if sides > 2:
        forms.append(("{What|Which} shape has <n> sides?", f"{capital(a)} has {count}."))
        if name in ("rectangle", "cube"):
            forms.pop()
    question, reply = rng.choice(forms)
    asked = expand(question, rng, {"a": a, "n": rng.choice((str(sides), word(sides)))})
    return asked.replace("What does " + a + "?", "What is " + a + "?"), reply


def capitals(rng: random.Random) -> tuple[str, str]:
    """Ask for a capital city."""
    country, city = rng.choice(list(CAPITALS.items()))
    forms = [
        (
            "{What is the capital of|What's the capital of|Capital of|Which city is the capital "
            "of|Tell me the capital of|What is the capital city of|The capital of|Name the capital "
            "of} <c>?",
            f"The capital of {country} is {city}.",
        ),
        (
            "{Where is <t>|In which country is <t>|Which country is <t> in|What country is <t> "
            "in}?",
            f"{city} is the capital of {country}.",
        ),
        (
            "{<t> is the capital of which country|What is <t>}?",
            f"{city} is the capital of {country}.",
        ),
    ]
    question, reply = rng.choices(forms, weights=(4, 2, 1))[0]
    return expand(question, rng, {"c": country, "t": city}), reply


def definitions(rng: random.Random) -> tuple[str, str]:
    """Ask what something is."""
    thing, meaning = rng.choice(list(DEFINITIONS.items()))
    ask = (
        "{What is|What's|Explain|Tell me what is|Describe|What is|Do you know what is|What do you "
        "know about|Can you explain|Tell me about} <x>?"
    )
    return expand(ask, rng, {"x": thing}), meaning


def single(rng: random.Random) -> tuple[str, str]:
    """Ask one of the questions that belong to no table."""
    question, reply = rng.choice(SINGLE + WHY)
    return expand(question, rng), expand(reply, rng)


FACTS = (days, months, animals, colours, opposites, shapes, capitals, definitions, single, words)
WEIGHTS = (3, 2.5, 5, 3, 3, 1, 2, 3.5, 5, 3)


def fact(rng: random.Random) -> tuple[str, str]:
    """Return any small fact."""
    return rng.choices(FACTS, weights=WEIGHTS)[0](rng)
