"""Small sums, counting and comparing numbers.

A sum whose larger number has two digits is held out by its numbers, in every wording and in both
orders, so that the accuracy on held-out sums measures calculation and not memory.
"""

import random

from grammar import capital, expand, held_out

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
ASK = (
    "{What is|What is|What's|How much is|Calculate|Compute|Tell me|Work out|Can you tell me|Please "
    "calculate|Can you calculate|Solve|Do you know|I need|||} "
)
ADD = ("{} plus {}", "{} + {}", "{} + {}", "{}+{}", "{} and {}", "the sum of {} and {}")
SUBTRACT = ("{} minus {}", "{} - {}", "{} - {}", "{}-{}", "{} take away {}", "{} less {}")
SIGN = {"+": "plus", "-": "minus", "*": "times"}
TIMES = ("{} times {}", "{} * {}", "{} x {}", "{}*{}", "{} multiplied by {}")


def word(n: int) -> str:
    """Write a number below one hundred in words."""
    if n < 20:
        return ONES[n]
    return TENS[n // 10 - 2] + (f"-{ONES[n % 10]}" if n % 10 else "")


def reserved(op: str, a: int, b: int) -> bool:
    """Say whether a sum belongs to the evaluation."""
    if max(a, b) < 10:
        return False
    low, high = (a, b) if op == "-" else sorted((a, b))
    return held_out(f"{low} {op} {high}")


def draw(rng: random.Random) -> tuple[str, int, int, int]:
    """Draw an operation, two numbers and the result."""
    op = rng.choices("+-*", weights=(5, 5, 2))[0]
    if op == "*":
        a, b = rng.randint(0, 12), rng.randint(0, 10)
        if rng.random() < 0.5:
            a, b = b, a
        return op, a, b, a * b
    top = 10 if rng.random() < 0.15 else 20 if rng.random() < 0.25 else 99
    a, b = rng.randint(0, top), rng.randint(0, top)
    if op == "-" and a < b:
        a, b = b, a
    return op, a, b, a + b if op == "+" else a - b


def wording(rng: random.Random, op: str, a: int, b: int) -> str:
    """Ask for one sum, mostly in digits."""
    as_text = word if rng.random() < 0.1 else str
    text = rng.choice({"+": ADD, "-": SUBTRACT, "*": TIMES}[op]).format(as_text(a), as_text(b))
    asked = expand(ASK, rng)
    mark = rng.choice((".", "")) if asked[:1] in "CTWPSI" and "What" not in asked else "?"
    if not asked or asked == "Tell me":
        mark = rng.choice(("", " =", " = ?", "?"))
    if rng.random() < 0.15:
        mark = ""
    return capital(f"{asked} {text}{mark}".strip())


def answer(op: str, a: int, b: int, result: int) -> str:
    """Say the result; the numbers come again, so that a reader can check."""
    return f"{a} {SIGN[op]} {b} is {result}."


def sum_question(rng: random.Random, evaluation: bool = False) -> tuple[str, str]:
    """Return a sum and its answer, from the trained ones or the held-out ones."""
    while True:
        op, a, b, result = draw(rng)
        if reserved(op, a, b) == evaluation:
            return wording(rng, op, a, b), answer(op, a, b, result)


def sum_list(rng: random.Random) -> str:
    """Return a plain text of many sums, which teaches calculation densely."""
    lines = []
    while len(lines) < 12:
        op, a, b, result = draw(rng)
        if not reserved(op, a, b):
            lines.append(answer(op, a, b, result))
    return " ".join(lines)


def counting(rng: random.Random) -> tuple[str, str]:
    """Count up, count down, say what comes next, compare two numbers."""
    kind = rng.randrange(5)
    if kind == 0:
        n = rng.randint(3, 20)
        ask = expand(
            "{Count|Please count|Can you count|Count up|Count for me} {to|up to|from 1 to}", rng
        )
        return f"{ask} {n}", ", ".join(map(str, range(1, n + 1))) + "."
    if kind == 1:
        n = rng.randint(3, 12)
        ask = expand("{Count|Please count|Can you count} {down from|backwards from}", rng)
        return f"{ask} {n}", ", ".join(map(str, range(n, 0, -1))) + "."
    n = rng.randint(1, 98)
    if kind == 2:
        ask = expand("What {number |}{comes after|follows|is after|is next after}", rng)
        return f"{ask} {n}?", f"After {n} comes {n + 1}."
    if kind == 3:
        ask = expand("What {number |}{comes before|is before}", rng)
        return f"{ask} {n}?", f"Before {n} comes {n - 1}."
    m = rng.choice([k for k in range(1, 100) if k != n])
    which = rng.choice(("bigger", "larger", "smaller"))
    best = min(n, m) if which == "smaller" else max(n, m)
    ask = rng.choice((f"Which is {which}, {n} or {m}?", f"Which number is {which}: {n} or {m}?"))
    return ask, f"{best} is {which} than {n + m - best}."
