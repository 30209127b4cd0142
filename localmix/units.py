"""Numbers as text, one way everywhere: `4.37 GB`, `12 ms`, `18.2 tok/s`, `7.24 B`.

Sizes are decimal (1 GB = 10⁹ bytes), as on the Hub and on the box of a disk. Three significant
digits are kept: more would change from run to run.
"""

import math

_SIZES = ("B", "kB", "MB", "GB", "TB", "PB")
_COUNTS = ("", "k", "M", "B", "T")


def size(n_bytes: float) -> str:
    """Write a number of bytes: `512 B`, `6.21 MB`, `4.37 GB`."""
    return _scaled(n_bytes, _SIZES)


def count(n: float) -> str:
    """Write a number of things, such as parameters: `995`, `26.7 M`, `7.24 B`."""
    return _scaled(n, _COUNTS)


def rate(tok_s: float) -> str:
    """Write a speed in tokens per second: `0.83 tok/s`, `18.2 tok/s`, `1240 tok/s`."""
    return f"{_three_digits(tok_s)} tok/s"


def seconds(duration_s: float) -> str:
    """Write a duration: `0.5 ms`, `12 ms`, `1.2 s`, `42 s`, `3 min 05 s`, `2 h 07 min`."""
    if duration_s < 0.00095:
        return f"{duration_s * 1e3:.1f} ms"
    if duration_s < 0.9995:
        return f"{duration_s * 1e3:.0f} ms"
    if duration_s < 9.95:
        return f"{duration_s:.1f} s"
    if duration_s < 59.5 or not math.isfinite(duration_s):
        return f"{duration_s:.0f} s"
    minutes, rest_s = divmod(round(duration_s), 60)
    if minutes < 60:
        return f"{minutes} min {rest_s:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _scaled(value: float, units: tuple[str, ...]) -> str:
    """Write `value` in the largest of `units`, steps of a thousand, that keeps it above 1."""
    i_unit = 0
    # 999.5 is where three digits round up to 1000, which the next unit writes as 1.00.
    while abs(value) >= 999.5 and i_unit < len(units) - 1:
        value /= 1000
        i_unit += 1
    number = f"{value:.0f}" if i_unit == 0 else _three_digits(value)
    return f"{number} {units[i_unit]}".rstrip()


def _three_digits(value: float) -> str:
    """Write a number with three significant digits and no exponent; whole from 100 on."""
    for n_decimals, limit in ((2, 9.995), (1, 99.95)):
        if abs(value) < limit:
            return f"{value:.{n_decimals}f}"
    return f"{value:.0f}"
