"""Changes the tree of a template so that what Jinja has no hook for pays for itself.

What is written, and what it becomes:

    {% for m in messages %}…         {% for m in messages %}{% do 42|(pay) %}…
    {% for m in messages if t %}     {% for m in messages if t|(pass)(42) %}
    {% macro f(x) %}…                {% macro f(x) %}{% do 42|(pay) %}…
    a == b                           a|(whole) == b|(whole)
    x[1:]                            (x|(items))[1:]
    a ~ b                            (a, b)|(concat)
    {(1, 2): 3}                      {(1, 2)|(whole): 3}
    plain text                       {{ "plain text" }}

42 stands for the size of the body; plain text becomes output, which has a hook.
"""

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.visitor import NodeTransformer

# Names of filters that a template cannot write.
PAY, PASS, WHOLE, ITEMS, CONCAT = "(pay)", "(pass)", "(whole)", "(items)", "(concat)"

# Running a node takes a tenth of a microsecond, an operation with a hook ten times as long.
_UNITS_PER_NODE = 2

_MOST_NODES = (
    10_000  # compiling takes some 40 microseconds a node; the largest templates seen have 3,000
)

_REFUSED = (
    nodes.Block,
    nodes.Extends,
    nodes.FromImport,
    nodes.Import,
    nodes.Include,
    nodes.ScopedEvalContextModifier,
)


def rewrite(tree: nodes.Template, environment: Environment) -> nodes.Template:
    """Return the tree with payments in it.

    Raises:
        TemplateSyntaxError: the template is too large, or loads another one.
    """
    if sum(1 for _ in tree.find_all(nodes.Node)) > _MOST_NODES:
        raise TemplateSyntaxError("it is far too large", 1)
    for node in tree.find_all(_REFUSED):
        raise TemplateSyntaxError(f"{type(node).__name__} has no place in a chat", node.lineno)
    bounded = _Rewriter().visit(tree)
    assert isinstance(bounded, nodes.Template)
    bounded.set_environment(environment)
    return bounded


class _Rewriter(NodeTransformer):
    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        units = _units(node)
        self.generic_visit(node)
        node.body.insert(0, _payment(node, units))
        if node.test is not None:
            node.test = _through(node.test, PASS, _const(node, units))
        return node

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:  # noqa: N802
        units = _units(node)
        self.generic_visit(node)
        node.body.insert(0, _payment(node, units))
        return node

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:  # noqa: N802
        units = _units(node)
        self.generic_visit(node)
        node.body.insert(0, _payment(node, units))
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.expr = _through(node.expr, WHOLE)
        for operand in node.ops:
            operand.expr = _through(operand.expr, WHOLE)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = _through(node.node, ITEMS)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _through(nodes.Tuple(node.nodes, "load", lineno=node.lineno), CONCAT)

    def visit_Pair(self, node: nodes.Pair) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.key = _through(node.key, WHOLE)
        return node

    def visit_TemplateData(self, node: nodes.TemplateData) -> nodes.Node:  # noqa: N802
        return _const(node, node.data)


def _units(node: nodes.Node) -> int:
    return _UNITS_PER_NODE * sum(1 for _ in node.find_all(nodes.Node))


def _payment(node: nodes.Node, units: int) -> nodes.ExprStmt:
    return nodes.ExprStmt(_through(_const(node, units), PAY), lineno=node.lineno)


def _const(node: nodes.Node, value: object) -> nodes.Const:
    return nodes.Const(value, lineno=node.lineno)


def _through(node: nodes.Node, name: str, *args: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno)
