"""Options as people give them: a value of another kind or out of range is an error with a hint.

Whole numbers may be Python's or NumPy's; a bool is none.
"""

import math
import re
from numbers import Integral, Real

from localmix.errors import LocalmixError


def whole(name: str, value: object, low: int, high: int | None = None) -> int:
    """Return a whole number.

    Args:
        name: of the option, as messages show it.
        value: what was given.
        low, high: the range; no high is no limit.

    Raises:
        LocalmixError: it is no whole number, or out of range.
    """
    limits = f"from {low} to {high}" if high is not None else f"of at least {low}"
    is_bool = isinstance(value, bool)
    if isinstance(value, Integral) and not is_bool:
        number = int(value)
        if low <= number and (high is None or number <= high):
            return number
    raise LocalmixError(f"{name} cannot be {value!r}", f"give {name} a whole number {limits}")


def real(name: str, value: object) -> float:
    """Return a number that is not NaN; infinities pass.

    Raises:
        LocalmixError: it is none.
    """
    is_bool = isinstance(value, bool)
    if isinstance(value, Real) and not is_bool and not math.isnan(value):
        return float(value)
    raise LocalmixError(f"{name} cannot be {value!r}", f"give {name} a number")


def size(name: str, value: object) -> int:
    """Return a number of bytes, given as such or as text: `6GB`, `1.5 GB`, `800 MB`, `4 GiB`.

    Raises:
        LocalmixError: it is none.
    """
    if isinstance(value, str):
        found = re.fullmatch(
            r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)(i?)B?", value.strip(), re.IGNORECASE
        )
        if found:
            step = 1024 if found[3] else 1000
            value = int(float(found[1]) * step ** " KMGT".index(found[2].upper() or " "))
        else:
            raise LocalmixError(f"{name} cannot be {value!r}", "give it a size: 6GB")
    return whole(name, value, 1)
