"""The tests (`x is …`) that templates may use; comparisons pay for what they compare."""

import operator
from collections.abc import Callable
from typing import Any

from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.tests import TESTS
from jinja2.utils import pass_context

from localmix.text.sandbox.meter import Meter

# Look at the kind of a value alone.
_KINDS = (
    *("boolean", "callable", "defined", "false", "float", "integer", "iterable", "mapping", "none"),
    *("number", "sameas", "sequence", "string", "true", "undefined"),
)

_BY_NAME: dict[Callable[[Any, Any], Any], tuple[str, ...]] = {
    operator.eq: ("eq", "equalto", "=="),
    operator.ne: ("ne", "!="),
    operator.lt: ("lt", "lessthan", "<"),
    operator.le: ("le", "<="),
    operator.gt: ("gt", "greaterthan", ">"),
    operator.ge: ("ge", ">="),
}


def tests() -> dict[str, Callable[..., Any]]:
    """Return all tests of the sandbox by name."""
    kinds: dict[str, Any] = {name: TESTS[name] for name in _KINDS}
    comparisons = {name: _paying(compare) for compare, names in _BY_NAME.items() for name in names}
    numbers: dict[str, Callable[..., Any]] = {
        "divisibleby": lambda value, by: _number(value) % _number(by) == 0,
        "even": lambda value: _number(value) % 2 == 0,
        "odd": lambda value: _number(value) % 2 == 1,
    }
    contains = {"in": _paying(lambda value, collection: value in collection)}
    return kinds | comparisons | numbers | contains


def _paying(compare: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    @pass_context
    def run(context: Context, left: Any, right: Any) -> Any:
        Meter.of(context).charge_whole(left)
        Meter.of(context).charge_whole(right)
        return compare(left, right)

    return run


def _number(value: object) -> int:
    # `%` on a text would be formatting
    if not isinstance(value, int):
        raise SecurityError(f"a test for numbers is given a {type(value).__name__}")
    return value
