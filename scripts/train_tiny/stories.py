"""Stories: a plot, a hero, a friend, a thing and a place, told in simple sentences."""

import random
from dataclasses import dataclass

from grammar import article, capital, expand, sentences
from plots import OPENINGS
from plots_more import PLOTS
from words import (
    ANIMALS,
    BOYS,
    CREATURES,
    GIRLS,
    PEOPLE,
    PLACES,
    THING_LOOKS,
    THINGS,
    TRAITS,
    Character,
    character,
    draw,
)

ENDINGS = [
    "The end.",
    "And if you listen well, you can still hear them laugh.",
    "And they lived happily ever after.",
    "",
    "",
    "",
]
ASK = (
    "{Tell me|Please tell me|Can you tell me|Could you tell me|Tell us|I want to hear|I would like|"
    "Write|Write me|Please write|Make up|Give me|I'd like to hear|Read me|How about|Do you know|"
    "Invent|Can you write|Can you make up} a {story|story|story|short story|little story|tale|"
    "bedtime story|nice story|funny story|fairy tale|new story}"
)
ABOUT = ["about", "about", "about", "of", "with"]
PLURALS = {
    "sheep": "sheep", "mouse": "mice", "goose": "geese", "wolf": "wolves", "fox": "foxes",
    "deer": "deer", "pony": "ponies", "puppy": "puppies", "ostrich": "ostriches",
    "butterfly": "butterflies", "donkey": "donkeys",
}  # fmt: skip
THEMES = {
    "lost": ("something lost", "a lost treasure", "finding something again"),
    "storm": ("a storm", "the wind and the rain", "a stormy night", "helping a neighbour"),
    "fear": ("being afraid", "courage", "fear", "bravery"),
    "sharing": ("sharing", "hunger", "being generous", "a cold winter"),
    "fright": ("somebody everyone fears", "a long way", "kindness"),
    "race": ("a race", "a contest", "running", "winning and losing"),
    "wish": ("a wish", "magic", "one wish", "something magic"),
    "build": ("flying", "a flying machine", "building something", "an invention"),
    "birthday": ("a birthday", "a birthday party", "a surprise", "a party"),
    "moon": ("the stars", "the night sky", "moonlight", "catching a star"),
    "truth": ("telling the truth", "a lie", "honesty", "a mistake"),
    "neighbour": ("a new neighbour", "a strange neighbour", "a stranger"),
    "riddle": ("a riddle", "a treasure", "a hidden treasure", "a treasure map"),
    "silly": ("something silly", "dancing", "laughing", "something very funny"),
    "healing": ("a sick friend", "friendship", "a true friend", "a long winter"),
    "journey": ("a journey", "an adventure", "travelling", "leaving home"),
}


@dataclass(frozen=True)
class Wish:
    """What a prompt asks for; empty fields are free."""

    hero: Character
    friend: str = ""
    thing: str = ""
    place: str = ""
    plot: str = ""


def pronouns(who: Character, prefix: str) -> dict[str, str]:
    """Return the three forms of a character's pronoun as slots."""
    forms = ("she", "her", "her") if who.pronoun == "she" else ("he", "him", "his")
    return dict(zip((f"{prefix}he", f"{prefix}him", f"{prefix}his"), forms, strict=True))


def slots_for(wish: Wish, rng: random.Random) -> dict[str, str]:
    """Choose what the prompt left open and name everything that the plots mention."""
    hero = wish.hero
    kind = wish.friend
    while not kind or kind == hero.kind:
        kind = character(rng).kind
    friend = character(rng, kind, named=0.0)
    look = draw(rng, THING_LOOKS) if rng.random() < 0.8 else ""
    noun = wish.thing or draw(rng, THINGS)
    if noun.split()[0] in THING_LOOKS:
        look, noun = noun.split(maxsplit=1)
    place = wish.place or draw(rng, list(PLACES))
    thing = f"{look} {noun}".strip()
    return {
        "hero": hero.short, "hero_long": hero.long, **pronouns(hero, ""),
        "friend": friend.short, "friend_a": friend.long, **pronouns(friend, "f"),
        "thing": f"the {thing}", "thing_a": article(thing), "thing_noun": noun,
        "at": PLACES[place],
        "there": PLACES[place].replace(" a ", " the ").replace(" an ", " the "),
    }  # fmt: skip


def tell(wish: Wish, rng: random.Random) -> str:
    """Tell one story from beginning to end."""
    slots = slots_for(wish, rng)
    beats = PLOTS[wish.plot or rng.choice(list(PLOTS))]
    parts = [rng.choice(OPENINGS)] + [rng.choice(beat) for beat in beats]
    told = [sentences(expand(part, rng, slots)) for part in parts]
    return " ".join([*told, rng.choice(ENDINGS)]).strip()


def one_sentence(wish: Wish, rng: random.Random) -> str:
    """Tell a story in one sentence, for the system prompt that asks for it."""
    text = expand(
        "{Once upon a time|Long ago}, <hero_long> found <thing_a> <at> and gave it to <friend_a>, "
        "{and they became friends|and nobody was sad any more|who laughed for the first time}.",
        rng,
        slots_for(wish, rng),
    )
    return sentences(text)


def named(who: Character, rng: random.Random, plain: float = 0.5) -> str:
    """Return how a prompt speaks of a character: "a fox", "a brave fox named Anna"."""
    trait = "" if rng.random() < plain else who.trait
    text = article(f"{trait} {who.kind}".strip())
    return text + (f" {rng.choice(('named', 'called'))} {who.name}" if who.name else "")


def wish_and_words(rng: random.Random) -> tuple[Wish, str]:
    """Draw what to ask for, and the words that ask for it."""
    form = rng.choices(
        ("any", "hero", "name", "pair", "named_pair", "thing", "place", "hero_thing", "hero_place",
         "kinds", "theme"),
        weights=(6, 10, 2, 4, 4, 4, 3, 3, 3, 1, 4),
    )[0]  # fmt: skip
    about = rng.choice(ABOUT)
    if form == "any":
        return Wish(character(rng)), ""
    if form == "name":
        hero = character(rng, name=draw(rng, rng.choice((GIRLS, BOYS))))
        return Wish(hero), f"about {hero.name}"
    if form == "thing":
        look = draw(rng, THING_LOOKS) + " " if rng.random() < 0.5 else ""
        thing = look + draw(rng, THINGS)
        return Wish(character(rng), thing=thing), f"{about} {article(thing)}"
    if form == "place":
        place = draw(rng, list(PLACES))
        about = rng.choice((f"about {place}", f"that happens {PLACES[place]}", PLACES[place]))
        return Wish(character(rng), place=place), about
    trait = draw(rng, TRAITS)
    hero = character(rng, trait=trait, named=0.9 if form == "named_pair" else 0.15)
    if form == "kinds":
        hero = character(rng, draw(rng, ANIMALS), named=0.3)
        return Wish(hero), f"about {PLURALS.get(hero.kind, hero.kind + 's')}"
    says_trait = rng.random() < 0.4
    named_hero = named(hero, rng, plain=0.0 if says_trait else 1.0)
    if form == "theme":
        plot = rng.choice(list(THEMES))
        theme = rng.choice(THEMES[plot])
        if rng.random() < 0.5:
            return Wish(character(rng), plot=plot), f"about {theme}"
        return Wish(hero, plot=plot), f"about {named_hero} and {theme}"
    if form == "hero":
        return Wish(hero), f"{about} {named_hero}"
    if form in ("pair", "named_pair"):
        pool = rng.choice((ANIMALS, ANIMALS, list(PEOPLE), list(CREATURES)))
        friend = draw(rng, [k for k in pool if k != hero.kind])
        return Wish(hero, friend=friend), f"{about} {named_hero} and {article(friend)}"
    if form == "hero_thing":
        thing = draw(rng, THINGS)
        joint = rng.choice(("and", "and", "who finds", "with", "and"))
        return Wish(hero, thing=thing), f"about {named_hero} {joint} {article(thing)}"
    place = draw(rng, list(PLACES))
    return Wish(hero, place=place), f"about {named_hero} {PLACES[place]}"


def story_question(rng: random.Random) -> tuple[str, str, str]:
    """Return a prompt, its story and the same story in one sentence."""
    wish, words = wish_and_words(rng)
    ask = expand(ASK, rng)
    if rng.random() < 0.08:
        ask = expand(
            "{Story|A story|A short story|Bedtime story|Story time! One|Another story}", rng
        )
    mark = "?" if ask.startswith(("Can", "Could", "Do", "How")) else rng.choice((".", "", "", "!"))
    prompt = f"{ask} {words}".strip()
    if not words and rng.random() < 0.15:
        prompt = expand(
            "{I am bored|Entertain me|I cannot sleep|My daughter wants a story|Once more, a story|"
            "Tell me something nice|Say something long|Story please|I want a story|Do you know any "
            "stories|Tell me stories|Another one please}",
            rng,
        )
    short = "short" in prompt.lower() or "little story" in prompt.lower()
    story = tell(wish, rng)
    if short and len(story) > 700:
        story = tell(wish, rng)
    return capital(prompt) + mark, story, one_sentence(wish, rng)


def plain_story(rng: random.Random) -> str:
    """Return a story as running text, sometimes with a title."""
    wish, _ = wish_and_words(rng)
    story = tell(wish, rng)
    if rng.random() < 0.2:
        hero, thing = wish.hero.short, draw(rng, THINGS)
        return f"{capital(hero)} and the {wish.thing or thing}\n\n{story}" if wish.thing else story
    return story
