"""Counts the work of a template, in units of about one character handled."""

from collections.abc import ItemsView, KeysView, Sized, ValuesView

from jinja2 import Undefined
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context

STEP = 20
"""Units of one operation, or of one item looked at: about what 20 characters cost."""

# The meter travels with the variables of a rendering, under a name that no template can write.
_VARIABLE = "(meter)"

MOST_NESTING = 64
_COLLECTIONS = (list, tuple, ItemsView, KeysView, ValuesView)
_SCALARS = (str, float, range, Undefined, type(None))


class OutOfWork(Exception):
    """The template wants to do more than it may."""


class Meter:
    """A budget of work.

    Args:
        units: what the template may spend in all.
    """

    def __init__(self, units: int) -> None:
        self._left = units

    @property
    def variables(self) -> dict[str, "Meter"]:
        """What a template must be rendered with to be metered."""
        return {_VARIABLE: self}

    @staticmethod
    def of(context: Context) -> "Meter":
        """Return the meter of a rendering."""
        meter = context.parent[_VARIABLE]
        assert isinstance(meter, Meter)
        return meter

    def charge(self, units: int) -> None:
        """Spend units, before the work is done.

        Raises:
            OutOfWork: there are not so many left.
        """
        self._left -= units
        if self._left < 0:
            raise OutOfWork

    def charge_items(self, value: object, factor: int = 1) -> None:
        """Spend for a walk over the items of a value, not into them."""
        if isinstance(value, str):
            self.charge(factor * (STEP + len(value)))
        else:
            self.charge(factor * STEP * (1 + (len(value) if isinstance(value, Sized) else 0)))

    def charge_whole(self, value: object, factor: int = 1, depth: int = 0) -> None:
        """Spend for a walk through all of a value: what printing or comparing it costs.

        The walk itself is bounded too: it ends when the budget does.

        Raises:
            SecurityError: the value is, or holds, something else than plain data.
        """
        self.charge_items(value, factor)
        if depth > MOST_NESTING:
            raise SecurityError("values are nested too deeply")
        if isinstance(value, dict):
            for pair in value.items():
                self.charge_whole(pair, factor, depth + 1)
        elif isinstance(value, _COLLECTIONS):
            for item in value:
                self.charge_whole(item, factor, depth + 1)
        elif isinstance(value, int):
            self.charge(value.bit_length())
        elif not isinstance(value, _SCALARS):
            raise SecurityError(f"a {type(value).__name__} is used as if it were data")
