"""The filters that templates may use, each with its price."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sized
from types import MappingProxyType
from typing import Any

from jinja2.exceptions import SecurityError
from jinja2.filters import do_indent, do_join, do_replace, do_round
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import pass_context

from localmix.text.sandbox.meter import MOST_NESTING, STEP, Meter
from localmix.text.sandbox.rewrite import CONCAT, ITEMS, PASS, PAY, WHOLE

Price = Callable[[Meter, Any, tuple[Any, ...], dict[str, Any]], None]

_WIDEST = 16
_LONGEST_NUMBER = 400
_ESCAPED_NONCHARACTER = re.compile(r"(?<!\\)((?:\\\\)*)\\u(fd[de][0-9a-f])")


def check_width(width: object, widest: int = _WIDEST) -> None:
    """Refuse an indent, a precision or a separator that would make much out of little."""
    size = width if isinstance(width, int) else len(width) if isinstance(width, Sized) else 0
    if abs(size) > widest:
        raise SecurityError(f"a width of {size} is too large")


def charge_join(meter: Meter, items: object, separator: object) -> None:
    """Spend for joining: all the items, and the separator after each of them."""
    meter.charge_whole(items)
    meter.charge_whole(separator)
    if isinstance(items, Sized) and isinstance(separator, str):
        meter.charge(len(items) * len(separator))


def charge_replace(meter: Meter, text: str, old: object, new: object) -> None:
    """Spend for replacing: the text, and what is put in at each place."""
    meter.charge_whole(text)
    if isinstance(old, str) and isinstance(new, str):
        meter.charge(text.count(old) * len(new))


# Prices of Jinja's own filters.


def _step(meter: Meter, value: Any, args: tuple[Any, ...], named: dict[str, Any]) -> None:
    meter.charge(STEP)


def _items(meter: Meter, value: Any, args: tuple[Any, ...], named: dict[str, Any]) -> None:
    """A walk over the items; for each one along a path like "function.name", if one is given."""
    meter.charge_items(value)
    path = sum(len(word) for word in (*args, *named.values()) if isinstance(word, str))
    meter.charge(path * (len(value) if isinstance(value, Sized) else 1))


def _whole(meter: Meter, value: Any, args: tuple[Any, ...], named: dict[str, Any]) -> None:
    _items(meter, value, args, named)
    meter.charge_whole(value)


def _sorting(meter: Meter, value: Any, args: tuple[Any, ...], named: dict[str, Any]) -> None:
    _items(meter, value, args, named)
    meter.charge_whole(value, factor=8)


def _listing(meter: Meter, value: Any, args: tuple[Any, ...], named: dict[str, Any]) -> None:
    # An object for each character takes many times the memory of the text.
    meter.charge_items(value, factor=8 if isinstance(value, str) else 1)


def _mapping(meter: Meter, value: Any, args: tuple[Any, ...], named: dict[str, Any]) -> None:
    (_items if "attribute" in named else _whole)(meter, value, args, named)


_PRICES: Mapping[str, Price] = MappingProxyType(
    {
        **dict.fromkeys(
            ("abs", "count", "d", "default", "first", "float", "last", "length"), _step
        ),
        **dict.fromkeys(
            ("items", "reject", "rejectattr", "reverse", "select", "selectattr"), _items
        ),
        **dict.fromkeys(("capitalize", "e", "escape", "lower", "safe", "string", "sum"), _whole),
        **dict.fromkeys(("title", "trim", "upper", "wordcount"), _whole),
        **dict.fromkeys(("dictsort", "groupby", "max", "min", "sort", "unique"), _sorting),
        "list": _listing,
        "map": _mapping,
    }
)


def _priced(plain: ImmutableSandboxedEnvironment, name: str) -> Callable[..., Any]:
    """Put a price on one of Jinja's filters, run in the environment `plain`."""
    price = _PRICES[name]

    @pass_context
    def run(context: Context, value: Any, *args: Any, **named: Any) -> Any:
        price(Meter.of(context), value, args, named)
        result = plain.call_filter(name, value, args, named, context, context.eval_ctx)
        # A generator would do its work later, when nobody counts.
        return list(result) if isinstance(result, Iterator) else result

    return run


# Filters that make more than they are given pay for their results.


@pass_context
def _join(context: Context, value: Any, d: str = "", attribute: Any = None) -> Any:
    charge_join(Meter.of(context), value, d)
    return do_join(context.eval_ctx, value, d, attribute)


@pass_context
def _replace(context: Context, s: Any, old: str, new: str, count: int | None = None) -> Any:
    charge_replace(Meter.of(context), str(_text(s)), old, new)
    return do_replace(context.eval_ctx, s, old, new, count)


@pass_context
def _indent(
    context: Context, s: Any, width: int | str = 4, first: bool = False, blank: bool = False
) -> Any:
    check_width(width)
    meter = Meter.of(context)
    meter.charge_items(_text(s), factor=8)
    meter.charge(len(s.splitlines()) * _WIDEST)
    return do_indent(s, width, first, blank)


@pass_context
def _round(context: Context, value: Any, precision: int = 0, method: Any = "common") -> Any:
    Meter.of(context).charge(STEP)
    check_width(precision)
    return do_round(value, precision, method)


@pass_context
def _int(context: Context, value: Any, default: int = 0, base: int = 10) -> Any:
    Meter.of(context).charge(STEP)
    check_width(value if isinstance(value, str) else "", _LONGEST_NUMBER)
    try:
        return int(value, base) if isinstance(value, str) else int(value)
    except (TypeError, ValueError, OverflowError):
        return default


@pass_context
def _tojson(
    context: Context,
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Write JSON as Hugging Face's filter of this name: no escapes for HTML, keys not sorted."""
    for width in (indent, *(separators or ())):
        check_width(width)
    deepest = MOST_NESTING * _WIDEST if indent is not None else 0
    Meter.of(context).charge_whole(value, factor=4 + deepest // STEP)
    text = json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )
    # The gaps of `shield.py` are noncharacters and must stay what they are.
    return _ESCAPED_NONCHARACTER.sub(lambda m: m[1] + chr(int(m[2], 16)), text)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise SecurityError(f"a filter for text is given a {type(value).__name__}")
    return value


# What `rewrite.py` puts in.


@pass_context
def _pay(context: Context, units: int) -> None:
    Meter.of(context).charge(units)


@pass_context
def _pass(context: Context, value: Any, units: int) -> Any:
    Meter.of(context).charge(units)
    return value


@pass_context
def _pay_whole(context: Context, value: Any) -> Any:
    Meter.of(context).charge_whole(value)
    return value


@pass_context
def _pay_items(context: Context, value: Any) -> Any:
    Meter.of(context).charge_items(value)
    return value


@pass_context
def _concat(context: Context, values: tuple[Any, ...]) -> str:
    Meter.of(context).charge_whole(values)
    return "".join(map(str, values))


def filters() -> dict[str, Callable[..., Any]]:
    """Return all filters of the sandbox by name."""
    plain = ImmutableSandboxedEnvironment()
    own: dict[str, Callable[..., Any]] = {
        "indent": _indent,
        "int": _int,
        "join": _join,
        "replace": _replace,
        "round": _round,
        "tojson": _tojson,
    }
    rewritten: dict[str, Callable[..., Any]] = {
        PAY: _pay,
        PASS: _pass,
        WHOLE: _pay_whole,
        ITEMS: _pay_items,
        CONCAT: _concat,
    }
    return {name: _priced(plain, name) for name in _PRICES} | own | rewritten
