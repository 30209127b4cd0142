"""Jinja's sandbox with hooks that pay for the work they are asked for."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NoReturn

from jinja2 import Template, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, LoopControlExtension
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range
from jinja2.utils import Namespace, pass_context

from localmix.text.sandbox.comparisons import tests
from localmix.text.sandbox.filters import charge_join, charge_replace, filters
from localmix.text.sandbox.meter import STEP, Meter
from localmix.text.sandbox.rewrite import rewrite

_METHODS: Mapping[type, frozenset[str]] = MappingProxyType(
    {
        str: frozenset(
            "capitalize casefold count endswith find index isalnum isalpha isascii isdecimal "
            "isdigit islower isnumeric isspace istitle isupper join lower lstrip partition "
            "removeprefix removesuffix replace rfind rindex rpartition rsplit rstrip split "
            "splitlines startswith strip swapcase title upper".split()
        ),
        dict: frozenset({"get", "items", "keys", "values"}),
        list: frozenset({"count", "index"}),
        tuple: frozenset({"count", "index"}),
    }
)

# Methods that make a list: many times the memory of the text.
_LISTING = frozenset({"split", "splitlines", "rsplit"})

_WIDE_FORMAT = re.compile(r"%(\([^)]*\))?[^a-zA-Z%]*[\d*]")
_LARGEST_INTEGER_BITS = 4096


class Sandbox(ImmutableSandboxedEnvironment):
    """An environment for templates from model files.

    Args:
        functions: what a template may call besides `range`, `dict` and `namespace`.
    """

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        # Blocks are cut as in Hugging Face's apply_chat_template. Without the optimizer nothing
        # runs while a template is compiled, when there is no meter.
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,
            finalize=_pay_for_output,
            extensions=[LoopControlExtension, _Generation],
            cache_size=0,
        )
        self.filters.clear()
        self.filters.update(filters())
        self.tests.clear()
        self.tests.update(tests())
        self.globals = {"range": safe_range, "dict": dict, "namespace": Namespace, **functions}
        self._callable = tuple(self.globals.values())

    def load(self, tree: nodes.Template) -> Template:
        """Compile a parsed template, with payments in it.

        Raises:
            TemplateSyntaxError: the template is too large, or loads another one.
        """
        return self.from_string(rewrite(tree, self))

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Allow attributes that templates need, and no others."""
        if isinstance(obj, LoopContext | Namespace):
            return not attr.startswith("_")
        return any(isinstance(obj, kind) and attr in _METHODS[kind] for kind in _METHODS)

    def unsafe_undefined(self, obj: Any, attribute: str) -> NoReturn:
        """Refuse an attribute at once; Jinja would print nothing for it."""
        raise SecurityError(f"{attribute!r} of a {type(obj).__name__} is out of bounds")

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Subscribe with plain keys only: the hash of a nested tuple may take forever."""
        if isinstance(argument, tuple):
            raise SecurityError("a tuple is used as a key")
        return super().getitem(obj, argument)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a macro, a function of ours or an allowed method, for its price."""
        meter = Meter.of(context)
        meter.charge(STEP)
        if not isinstance(obj, Macro | LoopContext):
            meter.charge_whole(args)
            meter.charge_whole(kwargs)
            if not any(obj is function for function in self._callable):
                _pay_for_method(meter, obj, args)
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute `left operator right`, for its price."""
        _pay_for_operator(Meter.of(context), operator, left, right)
        return super().call_binop(context, operator, left, right)


class _Generation(Extension):
    """Knows `{% generation %}…{% endgeneration %}`, a mark for training that changes no text."""

    tags = {"generation"}  # noqa: RUF012  jinja2 declares it as a plain set

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


@pass_context
def _pay_for_output(context: Context, value: Any) -> Any:
    Meter.of(context).charge_whole(value)
    return value


def _pay_for_method(meter: Meter, method: Any, args: tuple[Any, ...]) -> None:
    owner, name = getattr(method, "__self__", None), getattr(method, "__name__", "")
    if isinstance(owner, LoopContext):
        return
    if not any(isinstance(owner, kind) and name in _METHODS[kind] for kind in _METHODS):
        raise SecurityError(f"{name or type(method).__name__!r} cannot be called")
    if name == "join" and args:
        charge_join(meter, args[0], owner)
    elif name == "replace" and isinstance(owner, str) and len(args) > 1:
        charge_replace(meter, owner, args[0], args[1])
    elif isinstance(owner, list | tuple):
        meter.charge_whole(owner)
    elif isinstance(owner, str):
        meter.charge_items(owner, factor=8 if name in _LISTING else 1)


def _pay_for_operator(meter: Meter, operator: str, left: Any, right: Any) -> None:
    meter.charge(STEP)
    numbers = isinstance(left, int) and isinstance(right, int)
    if operator == "*" and not numbers:
        for sequence, times in ((left, right), (right, left)):
            if isinstance(sequence, str | list | tuple) and isinstance(times, int):
                one = len(sequence) * (1 if isinstance(sequence, str) else STEP)
                meter.charge(one * max(times, 0))
    elif operator in ("*", "**") and numbers:
        times = abs(right) if operator == "**" else 1
        if left.bit_length() * times + right.bit_length() > _LARGEST_INTEGER_BITS:
            raise SecurityError("a number is too large")
    elif operator == "%" and isinstance(left, str):
        if _WIDE_FORMAT.search(left):
            raise SecurityError("a format with a width or a precision")
        meter.charge_whole(left)
        meter.charge_whole(right, factor=left.count("%"))
    elif operator == "+":
        meter.charge_items(left)
        meter.charge_items(right)
