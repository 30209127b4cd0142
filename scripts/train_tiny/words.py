"""Names, creatures, things and places for the stories."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from grammar import article

GIRLS = (
    "Anna Mia Lily Ruby Ella Nora Clara Rosa Ivy Zoe Maya Emma Lucy Sara Olga Hana Amina Greta "
    "Tilda Luna Alice Eva Ida Kate Molly Nina Penny Stella Vera Daisy Julia Marie Lena Sofia Jane"
).split()
BOYS = (
    "Ben Tom Max Leo Finn Sam Oscar Hugo Milo Jack Omar Felix Theo Ali Otto Paul Noah Emil Ravi "
    "Kenji Peter Karl David Daniel Adam Oliver Simon Victor Henry Jonas Luke Martin Pablo Tim Bob"
).split()
ANIMALS = (
    "fox rabbit bear mouse cat dog owl hedgehog squirrel frog duck wolf lion elephant turtle bird "
    "horse pony monkey penguin kitten puppy pig cow sheep goat deer beaver crow badger donkey "
    "tiger camel giraffe zebra kangaroo koala panda otter mole hen goose swan parrot snail "
    "dolphin whale seal lizard crocodile bee butterfly ant spider robin bat lamb raven hamster"
).split()
PEOPLE = {
    "girl": "she", "boy": "he", "king": "he", "queen": "she", "princess": "she", "prince": "he",
    "knight": "he", "farmer": "he", "baker": "she", "sailor": "he", "wizard": "he", "witch": "she",
    "shepherd": "he", "pirate": "he", "gardener": "she", "teacher": "she", "doctor": "she",
    "painter": "she", "clockmaker": "he", "fisherman": "he", "tailor": "he", "dancer": "she",
    "grandmother": "she", "grandfather": "he", "inventor": "she", "giant": "he", "fairy": "she",
    "explorer": "she", "musician": "he", "cook": "he", "astronaut": "she", "child": "she",
}  # fmt: skip
CREATURES = {
    "robot": "he", "dragon": "he", "ghost": "he", "snowman": "he", "unicorn": "she",
    "monster": "he", "elf": "he", "dwarf": "he", "mermaid": "she", "troll": "he",
}  # fmt: skip
THINGS = (
    "key kite lamp boat ring hat book bell map box drum stone star coin flower umbrella bicycle "
    "scarf train violin mirror button cup ball apple cake basket blanket clock feather flute "
    "lantern letter pearl shell spoon sword teapot tree wagon whistle candle crown door egg guitar "
    "seed ladder balloon pumpkin shoe toy cookie bottle camera pencil computer"
).split()
THING_LOOKS = (
    "red blue green yellow silver golden small big old shiny wooden tiny strange round broken new "
    "white black beautiful magic lost heavy bright"
).split()
PLACES = {
    "the forest": "in the forest", "the sea": "by the sea", "the mountains": "in the mountains",
    "a village": "in a village", "an island": "on an island", "a castle": "in a castle",
    "a farm": "on a farm", "a river": "by a river", "a garden": "in a garden",
    "the desert": "in the desert", "the city": "in the city", "a lake": "by a lake",
    "a cave": "in a cave", "a lighthouse": "in a lighthouse", "the moon": "on the moon",
    "a meadow": "in a meadow", "a valley": "in a valley", "the jungle": "in the jungle",
    "a windmill": "in a windmill", "a hill": "on a hill", "a harbour": "in a harbour",
    "the snow": "in the snow",
}  # fmt: skip
TRAITS = (
    "little brave clever kind shy curious young small happy quiet funny gentle lonely cheerful "
    "clumsy sleepy proud hungry careful lazy old busy tiny patient grumpy friendly"
).split()


@dataclass(frozen=True)
class Character:
    """Somebody in a story: what they are, how they are called, and their pronoun."""

    kind: str
    trait: str
    name: str
    pronoun: str

    @property
    def short(self) -> str:
        """How later sentences call them."""
        return self.name or f"the {self.kind}"

    @property
    def long(self) -> str:
        """How the first sentence calls them."""
        who = article(f"{self.trait} {self.kind}".strip())
        return f"{who} named {self.name}" if self.name else who


def draw(rng: random.Random, pool: Sequence[str]) -> str:
    """Draw mostly from the front of a list: a small model must meet a word hundreds of times."""
    return rng.choice(pool[: max(8, len(pool) // 4)] if rng.random() < 0.85 else pool)


def character(
    rng: random.Random, kind: str = "", trait: str = "", name: str = "", named: float = 0.5
) -> Character:
    """Draw what the caller leaves open."""
    if name and not kind:
        kind = "girl" if name in GIRLS else "boy"
    if not kind:
        pool = (ANIMALS, list(PEOPLE), list(CREATURES), ["girl", "boy"])
        kind = draw(rng, rng.choices(pool, weights=(6, 3, 1, 2))[0])
    pronoun = PEOPLE.get(kind) or CREATURES.get(kind) or rng.choice(("he", "she"))
    if name:
        pronoun = "she" if name in GIRLS else "he"
    elif rng.random() < named:
        name = draw(rng, GIRLS if pronoun == "she" else BOYS)
    return Character(kind, trait or draw(rng, TRAITS), name, pronoun)
