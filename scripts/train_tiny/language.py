"""Questions about words: plurals, past tenses, rhymes, letters."""

import random

from grammar import article, expand

PLURALS = (
    "mouse mice,child children,man men,woman women,foot feet,tooth teeth,goose geese,sheep sheep,"
    "fish fish,wolf wolves,leaf leaves,knife knives,life lives,wife wives,city cities,baby babies,"
    "story stories,box boxes,bus buses,dish dishes,fox foxes,cat cats,dog dogs,house houses,"
    "book books,tree trees,car cars,king kings,apple apples,egg eggs,day days,boy boys,toy toys,"
    "potato potatoes,tomato tomatoes,shelf shelves,deer deer,ox oxen,person people,penny pennies"
)
PASTS = (
    "go went,see saw,come came,eat ate,drink drank,sing sang,run ran,swim swam,give gave,take took,"
    "find found,think thought,bring brought,buy bought,catch caught,teach taught,fly flew,know "
    "knew,grow grew,write wrote,read read,speak spoke,break broke,sleep slept,keep kept,feel felt,"
    "leave left,lose lost,make made,say said,tell told,sell sold,sit sat,stand stood,win won,"
    "walk walked,play played,laugh laughed,help helped,ask asked,begin began,build built,do did,"
    "is was,have had,fall fell,hear heard,hold held,meet met,pay paid,ride rode,send sent,wake woke"
)
RHYMES = (
    "cat hat,house mouse,tree bee,moon spoon,star car,dog frog,fox box,bear chair,night light,"
    "day play,rain train,snow go,king ring,boat goat,cake lake,sun fun,red bed,blue shoe,hill mill,"
    "sea tea,ball wall,book cook,fish dish,hand sand,door floor,nose rose,sky fly,bell shell,"
    "mouse house,time rhyme,heart part,stone bone,pen hen,duck luck,pig wig,sing wing,goose moose"
)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def pairs(table: str) -> list[list[str]]:
    """Split a table into its pairs."""
    return [entry.split() for entry in table.split(",")]


def words(rng: random.Random) -> tuple[str, str]:
    """Ask for a form of a word, a rhyme or a letter."""
    kind = rng.randrange(5)
    if kind == 0:
        one, many = rng.choice(pairs(PLURALS))
        ask = (
            "{What is the plural of <x>|What is the plural of <x>|Plural of <x>|What do you call "
            "two of <a>|What is more than one <x>|Tell me the plural of <x>|How do I write more "
            "than one <x>}?"
        )
        reply = f"The plural of {one} is {many}."
        return expand(ask, rng, {"x": one, "a": article(one)}), reply
    if kind == 1:
        now, past = rng.choice(pairs(PASTS))
        ask = (
            "{What is the past tense of <x>|What is the past of <x>|Past tense of <x>|Tell me the "
            'past tense of <x>|How do I say "<x>" in the past|Give me the past of <x>}?'
        )
        return expand(ask, rng, {"x": now}), f"The past tense of {now} is {past}."
    if kind == 2:
        one, two = rng.choice(pairs(RHYMES))
        if rng.random() < 0.5:
            one, two = two, one
        ask = (
            "{What rhymes with <x>|Which word rhymes with <x>|Find a rhyme for <x>|Give me a rhyme "
            "for <x>|Tell me a word that rhymes with <x>|Do you know a rhyme for <x>|A rhyme for "
            "<x>}?"
        )
        return expand(ask, rng, {"x": one}), f"{two} rhymes with {one}.".capitalize()
    i = rng.randrange(1, 25)
    letter = LETTERS[i]
    if kind == 3:
        ask = (
            "{What letter comes|Which letter comes|What letter is|Which letter is|What comes} after"
        )
        return expand(f"{ask} {letter}?", rng), f"After {letter} comes {LETTERS[i + 1]}."
    ask = "{What letter comes|Which letter comes|What letter is|Which letter is|What comes} before"
    return expand(f"{ask} {letter}?", rng), f"Before {letter} comes {LETTERS[i - 1]}."
