"""A template from a file may do what a prompt needs, and nothing else."""

import time
import tracemalloc
from datetime import datetime

import pytest

from localmix.errors import TemplateError
from localmix.text.sandbox.environment import Sandbox
from localmix.text.sandbox.rewrite import rewrite
from localmix.text.sandbox.template import ChatTemplate

NOON = datetime(2024, 7, 25, 12)


def template(source):
    return ChatTemplate(source, {"bos_token": "<s>", "eos_token": "</s>"}, lambda: NOON)


def render(source, *contents, tools=()):
    messages = [{"role": "user", "content": content} for content in contents or ("hi",)]
    return template(source).render(messages, tools)


NESTED_LOOPS = "{% for a in range(99999) %}" * 5 + "x" + "{% endfor %}" * 5
DOUBLING = "{% set n = namespace(x='x' * 99) %}" + "{% set n.x = n.x ~ n.x %}" * 60 + "{{ n.x }}"
DOUBLING_LISTS = "{% set n = namespace(x=[1]) %}" + "{% set n.x = [n.x, n.x] %}" * 60

BOMBS = {
    "range": "{% for i in range(10**9) %}{% endfor %}",
    "nested ranges": NESTED_LOOPS,
    "empty nested ranges": NESTED_LOOPS.replace("x", ""),
    "filtered loops": "{% for a in range(99999) if false %}{% endfor %}" * 99,
    "nested filtered loops": (
        "{% for a in range(99999) %}{% for a in range(99999) if false %}{% endfor %}{% endfor %}"
    ),
    "fat loop body": (
        "{% for i in range(99999) %}{% set x = [" + "1," * 8000 + "] %}{% endfor %}"
    ),
    "fat text in loop": "{% for i in range(99999) %}" + "x" * 60000 + "{% endfor %}",
    "recursive loop": "{% for x in [1, 2] recursive %}{{ loop([1, 2]) }}{% endfor %}",
    "recursive loop over much": (
        "{% for x in range(99999) recursive %}"
        "{% if loop.depth < 9 %}{{ loop(range(99999)) }}{% endif %}{% endfor %}"
    ),
    "macro calls itself": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "macro tree": (
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}"
    ),
    "fat macro": (
        "{% macro f() %}{% set x = ["
        + "1," * 8000
        + "] %}{% endmacro %}{% for i in range(99999) %}{{ f() }}{% endfor %}"
    ),
    "fat call block": (
        "{% macro f() %}{% for i in range(99999) %}{{ caller() }}{% endfor %}{% endmacro %}"
        "{% call f() %}{% set x = [" + "1," * 8000 + "] %}{% endcall %}"
    ),
    "text times number": "{{ 'x' * 10**10 }}",
    "number times text": "{{ 10**10 * 'x' }}",
    "list times number": "{{ ([1] * 10**10) | length }}",
    "constant text times number": "{{ 'x' * 9999999999 }}",
    "power": "{{ (10**10) ** (10**10) }}",
    "power of constants": "{{ 9 ** 999999999 }}",
    "squaring": "{% set n = namespace(x=9**99) %}" + "{% set n.x = n.x * n.x %}" * 60,
    "round": "{{ 1.5 | round(999999999, 'ceil') }}",
    "doubling by ~": DOUBLING,
    "doubling by +": DOUBLING.replace("~", "+"),
    "doubling by set": (
        "{% set x = 'x' * 99 %}" + "{% set x %}{{ x }}{{ x }}{% endset %}" * 60 + "{{ x }}"
    ),
    "doubling by %": DOUBLING.replace("n.x ~ n.x", "'%s%s' % (n.x, n.x)"),
    "doubling by join": DOUBLING.replace("n.x ~ n.x", "[n.x, n.x] | join(n.x)"),
    "doubling lists, printed": DOUBLING_LISTS + "{{ n.x }}",
    "doubling lists, compared": DOUBLING_LISTS
    + DOUBLING_LISTS.replace("n.x", "m.x").replace("set n ", "set m ")
    + "{{ n.x == m.x }}",
    "doubling lists, sought": DOUBLING_LISTS + "{{ 1 in n.x }}{{ n.x in [n.x, [n.x]] }}",
    "doubling lists, as JSON": DOUBLING_LISTS + "{{ n.x | tojson }}",
    "doubling lists, joined": DOUBLING_LISTS + "{{ n.x | join }}",
    "doubling tuples as a key": DOUBLING_LISTS.replace("[", "(").replace("]", ")")
    + "{{ {n.x: 1} }}{{ {'a': 1}[n.x] }}",
    "doubling tuples in get": DOUBLING_LISTS.replace("[", "(").replace("]", ")")
    + "{{ {}.get(n.x) }}",
    "doubling tuples as test": DOUBLING_LISTS.replace("[", "(").replace("]", ")")
    + "{{ [n.x] | select('eq', 1) | list }}{{ n.x is in [1] }}{{ n.x | unique | list }}",
    "wide format": "{{ '%999999999d' % 1 }}",
    "wide mapped format": "{{ '%(a)999999999s' % {'a': 1} }}",
    "starred format": "{{ '%*d' % (999999999, 1) }}",
    "many formats": "{{ ('%s' * 99999) % (('x' * 9999,) * 99999) }}",
    "format in a test": "{{ '%999999999d' is odd }}{{ '%999999999d' is divisibleby 2 }}",
    "format method": "{{ '{:>999999999}'.format(1) }}",
    "format map": "{{ '{a:>999999999}'.format_map({'a': 1}) }}",
    "format filter": "{{ '%999999999d' | format(1) }}",
    "center": "{{ 'x' | center(999999999) }}",
    "center method": "{{ 'x'.center(999999999) }}",
    "ljust": "{{ 'x'.ljust(999999999) }}",
    "zfill": "{{ 'x'.zfill(999999999) }}",
    "expandtabs": "{{ '\t'.expandtabs(999999999) }}",
    "indent": "{{ 'x\ny' | indent(999999999) }}",
    "indent of many lines": "{{ ('\n' * 99999) | indent(9999, blank=true) }}",
    "JSON indent": "{{ [1] | tojson(indent=999999999) }}",
    "JSON separators": "{{ ([1] * 9999) | tojson(separators=('x' * 99999, 'x')) }}",
    "replace": "{{ ('x' * 99999) | replace('x', 'y' * 99999) }}",
    "replace of nothing": "{{ ('x' * 99999) | replace('', 'y' * 99999) }}",
    "replace method": "{{ ('x' * 99999).replace('x', 'y' * 99999) }}",
    "join": "{{ ([1] * 99999) | join('y' * 99999) }}",
    "join method": "{{ ('y' * 99999).join('x' * 99999) }}",
    "join of the same": "{{ (['x' * 99999] * 99999) | join }}",
    "map": "{{ (['x' * 99999] * 99999) | map('upper') | list | length }}",
    "map of join": "{{ (['x' * 99999] * 999) | map('join', 'y' * 9999) | list | length }}",
    "long path": "{{ (['x'] * 99999) | map(attribute='" + "0." * 30000 + "0') | list | length }}",
    "sorting": "{% for i in range(999) %}{{ (range(99999) | sort | length) }}{% endfor %}",
    "slices": "{% set x = 'x' * 999999 %}{% for i in range(999) %}{{ x[1:] | length }}{% endfor %}",
    "searches": "{% set x = 'x' * 999999 %}{% for i in range(99999) %}{{ 'y' in x }}{% endfor %}",
    "big comparisons": (
        "{% set x = 'x' * 999999 %}{% set y = x ~ '' %}"
        "{% for i in range(99999) %}{{ x == y }}{% endfor %}"
    ),
    "text to number": "{{ ('9' * 999999) | int }}",
    "list of letters": "{% for i in range(99999) %}{{ ('x' * 99999) | list | length }}{% endfor %}",
    "split": "{% for i in range(99999) %}{{ ('x ' * 9999).split() | length }}{% endfor %}",
    "wide date": "{{ strftime_now('%999999999Y') }}",
    "lipsum": "{{ lipsum(n=999999999) }}",
    "namespaces in a circle": (
        "{% set n = namespace() %}{% set n.x = n %}{{ n }}{{ n ~ '' }}{{ n | string }}"
    ),
    "deep nesting": "{{ " + "[" * 5000 + "]" * 5000 + " }}",
    "long sum": "{{ 1" + " + 1" * 20000 + " }}",
    "deep blocks": "{% for i in [1] %}" * 60 + "{% endfor %}" * 60,
    "long source": "x" * 1_000_000,
}  # fmt: skip


@pytest.mark.parametrize("source", BOMBS.values(), ids=BOMBS)
def test_a_bomb_ends_soon_and_small(source):
    start = time.process_time()
    with pytest.raises(TemplateError) as caught:
        render(source)
    assert time.process_time() - start < 2
    assert len(caught.value.message) < 400
    assert "--raw" in caught.value.hint


ESCAPES = [
    "{{ ''.__class__ }}",
    "{{ ''.__class__.__mro__ }}",
    "{{ ''['__class__'] }}",
    "{{ '' | attr('__class__') }}",
    "{{ ['a'] | map(attribute='__class__') | list }}",
    "{{ '{0.__class__}'.format('') }}",
    "{{ ('{0.__class__}' | format('')) }}",
    "{{ raise_exception.__globals__ }}",
    "{{ range.__globals__ }}",
    "{{ messages.append(1) }}",
    "{{ messages[0].update(role='system') }}",
    "{{ messages[0].pop('role') }}",
    "{{ self }}",
    "{{ self._TemplateReference__context }}",
    "{{ namespace.__init__ }}",
    "{{ dict.fromkeys }}{{ dict.fromkeys('ab') }}",
    "{{ (1).to_bytes(9, 'big') }}",
    "{{ cycler }}{{ cycler(1).next() }}",
    "{% macro m() %}{% endmacro %}{{ m.__call__ }}",
    "{% macro m() %}{% endmacro %}{{ m._environment }}",
    "{% for x in [1] %}{{ loop._iterator }}{% endfor %}",
    "{% include 'x' %}",
    "{% import 'x' as x %}",
    "{% from 'x' import y %}",
    "{% extends 'x' %}",
    "{% block b %}{% endblock %}",
    "{% autoescape true %}{% endautoescape %}",
    "{{ 'x' | pprint }}",
    "{{ [1, 2] | random }}",
    "{{ messages | xmlattr }}",
    "{{ 'x' | wordwrap(1) }}",
]


@pytest.mark.parametrize("source", ESCAPES)
def test_a_template_cannot_leave_its_room(source):
    with pytest.raises(TemplateError):
        render(source)


def test_messages_stay_as_they_are():
    messages = [{"role": "user", "content": "hi"}]
    with pytest.raises(TemplateError):
        template("{{ messages[0].update(content='ho') }}").render(messages, ())
    assert messages == [{"role": "user", "content": "hi"}]


WORKING = {
    "{{ bos_token }}{{ messages[0]['content'] }}{{ eos_token }}": "<s>hi</s>",
    "{{ messages[0].content | trim | upper }}": "HI",
    "{% for m in messages %}{{ loop.index0 }}{{ loop.last }}{% endfor %}": "0True",
    "{%- for m in messages if m.role == 'user' -%}{{ m.content }}{%- endfor -%}": "hi",
    "{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}x{% endfor %}": "",
    "{% for k, v in messages[0].items() %}{{ k }}={{ v }},{% endfor %}": "role=user,content=hi,",
    "{% for k, v in messages[0] | items %}{{ k }}{% endfor %}": "rolecontent",
    "{% for k, v in messages[0] | dictsort %}{{ k }}{% endfor %}": "contentrole",
    "{% set n = namespace(found=false) %}{% for m in messages %}"
    "{% set n.found = true %}{% endfor %}{{ n.found }}": "True",
    "{% macro f(x, y=2) %}{{ x }}{{ y }}{% endmacro %}{{ f(1) }}{{ f(1, y=3) }}": "1213",
    "{% macro f() %}<{{ caller() }}>{% endmacro %}{% call f() %}x{% endcall %}": "<x>",
    "{% filter upper %}x{{ messages[0].content }}{% endfilter %}": "XHI",
    "{% set x %}a{{ 1 + 1 }}{% endset %}{{ x }}": "a2",
    "{% with x = 1 %}{{ x }}{% endwith %}": "1",
    "{{ {'a': [1, 'é<', none, true]} | tojson }}": '{"a": [1, "é<", null, true]}',
    "{{ {'b': 1, 'a': 2} | tojson(indent=2) }}": '{\n  "b": 1,\n  "a": 2\n}',
    "{{ 'a,b'.split(',')[1] }}{{ 'abc'[1:] }}{{ 'abc'[::-1] }}": "bbccba",
    "{{ ['a', 'b'] | join(', ') }}{{ ', '.join(['a', 'b']) }}": "a, ba, b",
    "{{ 'a' ~ 1 ~ none }}": "a1None",
    "{{ 'user' in messages | map(attribute='role') }}": "True",
    "{{ messages | selectattr('role', 'equalto', 'user') | list | length }}": "1",
    "{{ messages | rejectattr('role', 'in', ['user']) | list | length }}": "0",
    "{{ (messages | first).content }}{{ messages[-1].content }}": "hihi",
    "{{ 'b' if nothing is defined else 'c' }}{{ nothing | default('d') }}": "cd",
    "{{ 7 // 2 }}{{ 7 % 4 }}{{ 2 ** 5 }}{{ 7 is odd }}": "3332True",
    "{{ '%s-%d' % ('a', 3) }}": "a-3",
    "{{ [3, 1] | sort | list }}{{ '3' | int + 1 }}{{ 2.567 | round(1) }}": "[1, 3]42.6",
    "{{ 'a\nb' | indent(2) }}{{ 'aXb' | replace('X', '-') }}{{ 'aXb'.replace('X', '+') }}": (
        "a\n  ba-ba+b"
    ),
    "{{ messages[0].content is string and messages is not mapping }}": "True",
    "{{ messages[1:] }}{{ (messages + messages) | length }}": "[]2",
    "{{ strftime_now('%d %b %Y') }}": "25 Jul 2024",
    "{% generation %}x{% endgeneration %}": "x",
    "{{ add_generation_prompt }}{{ tools }}{{ documents is none }}": "TrueNoneTrue",
    "  {% if true %}\n  x\n  {% endif %}\n": "  x\n",
    "{% for x in [[1, [2]], [3]] recursive %}"
    "{% if x is iterable %}({{ loop(x) }}){% else %}{{ x }}{% endif %}{% endfor %}": "(1(2))(3)",
}


@pytest.mark.parametrize(("source", "text"), WORKING.items())
def test_a_template_renders_as_in_jinja(source, text):
    assert render(source) == text


def test_a_long_conversation_is_no_bomb():
    source = (
        "{% for m in messages %}"
        "{% if m.content | length > 3 and loop.index0 != messages | length %}"
        "{{ '<' ~ m.role ~ '>' + m.content.strip() | trim }}{% endif %}"
        "{% if not loop.last and messages[loop.index0 + 1].role == 'user' %}x{% endif %}"
        "{% endfor %}"
    )
    contents = ["word " * 400] * 500  # a million characters
    assert len(render(source, *contents)) > 900_000


def test_what_a_template_says_when_it_refuses_is_passed_on():
    with pytest.raises(TemplateError, match="roles must alternate"):
        render("{{ raise_exception('roles must alternate') }}")


def test_a_damaged_template_is_an_error_of_the_file():
    with pytest.raises(TemplateError, match="cannot be read"):
        template("{% if %}")


def test_json_keeps_noncharacters_even_in_ascii():
    assert render("{{ messages[0].content | tojson(ensure_ascii=true) }}", "é\ufdd0") == (
        '"\\u00e9\ufdd0"'
    )


def test_nothing_runs_while_a_template_is_compiled():
    """There is no meter then: a constant that were computed would fail, and work unpaid."""
    sandbox = Sandbox({})
    source = "{{ 'x' * 3 }}{{ 'x' | upper }}{{ [1] | join }}{{ 1 == 1 }}{{ 'a' ~ 'b' }}{{ -1 }}"
    compiled = sandbox.compile(rewrite(sandbox.parse(source), sandbox), raw=True)
    assert "xxx" not in compiled
    assert "'X'" not in compiled


@pytest.mark.parametrize(
    "name",
    [
        *("text times number", "list times number", "power", "squaring", "doubling by ~"),
        *("doubling by %", "doubling by join", "wide format", "JSON indent", "replace", "join"),
        *("join of the same", "map", "list of letters", "split", "slices"),
    ],
)
def test_a_bomb_takes_little_memory(name):
    tracemalloc.start()
    with pytest.raises(TemplateError):
        render(BOMBS[name])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6
