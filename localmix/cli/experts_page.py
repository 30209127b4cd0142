"""Tokens and their experts as one HTML page that needs nothing else: no network, no script.

Everything that comes from a text or a file is escaped, and made visible first: what steers a
terminal steers no browser either.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from string import Template
from typing import TYPE_CHECKING

from localmix.cli.experts_figure import PALETTE, colour, repetition_lines, visible_lines
from localmix.cli.terminal import one_line

if TYPE_CHECKING:
    from localmix.engine.routes import LayerRoutes

_PAGE = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --page: #fff; --ink: #1b1b1b; --soft: #5c5c5c; --line: #d4d4d4; }
@media (prefers-color-scheme: dark) {
  :root { --page: #16181b; --ink: #e8e8e8; --soft: #a2a2a2; --line: #3b3e42; }
}
body { margin: 2rem auto 5rem; padding: 0 1rem; max-width: 60rem; background: var(--page);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; }
p { margin: .4rem 0; }
.soft { color: var(--soft); }
.text { margin: 0; font: .95rem/1.75 ui-monospace, monospace; white-space: pre-wrap;
  overflow-wrap: anywhere; }
.t, .bar b { color: #111; border-radius: 2px; }
.t { padding: .1rem 0; border-right: 1px solid var(--page); }
.t:hover { outline: 2px solid var(--ink); }
.t:hover::before { content: attr(title); position: fixed; z-index: 1; left: 0; bottom: 0;
  padding: .4rem 1rem; max-width: 100%; box-sizing: border-box; background: var(--ink);
  color: var(--page); }
body:has(#numbers:checked) .t::after { content: attr(data-e); font-size: .65em;
  vertical-align: sub; padding: 0 .1em; opacity: .7; }
.bars { display: flex; flex-wrap: wrap; gap: .5rem .25rem; margin: 1rem 0 .5rem; }
.bar { width: 3.25rem; text-align: center; font-size: .8rem; }
.bar b { display: block; }
.pair { display: flex; align-items: flex-end; gap: 2px; height: 4rem; padding: 0 .4rem; }
.pair i { flex: 1; border: 1px solid var(--soft); border-bottom: 0; box-sizing: border-box; }
$rules
</style>
</head>
<body>
<h1>$title</h1>
<p class="soft">$facts</p>
<p>Each token lies on the colour of its first expert. Point at a token to see all of its experts,
at a bar to see only the tokens of that expert. Of two bars the left, filled one is the expert’s
share of first choices, which is also the number; the right one is its share of all visits.</p>
<p><label><input type="checkbox" id="numbers"$checked> the expert’s number behind each
token</label></p>
$layers
<p class="soft">The figure is that of <em>Mixtral of Experts</em>, arXiv:2401.04088, section 5.</p>
</body>
</html>
""")

_LAYER = Template("""\
<section>
<h2>Layer $layer</h2>
<pre class="text">
$tokens</pre>
<div class="bars">
$bars
</div>
$repetition
</section>""")


def page(
    name: str,
    facts: str,
    layers: Sequence[LayerRoutes],
    tokens: Sequence[int],
    pieces: Sequence[str],
) -> str:
    """Make the page.

    Args:
        name: of the model, as a person typed it.
        facts: a line about what was read.
        layers: those that are shown.
        tokens: ids of the text.
        pieces: what each of them says.
    """
    n_experts = len(layers[0].first)
    return _PAGE.substitute(
        title=escape(f"experts of {one_line(name)}"),
        facts=escape(facts),
        rules="\n".join(_rules(expert) for expert in range(n_experts)),
        checked=" checked" if n_experts > len(PALETTE) else "",
        layers="\n".join(_layer(layer, tokens, pieces) for layer in layers),
    )


def _rules(expert: int) -> str:
    """An expert's colour; and while its bar is pointed at, the others' tokens step back."""
    return (
        f".e{expert} {{ background: {colour(expert)}; }}\n"
        f"section:has(.b{expert}:hover) .t:not(.e{expert}) {{ opacity: .12; }}"
    )


def _layer(layer: LayerRoutes, tokens: Sequence[int], pieces: Sequence[str]) -> str:
    chosen = layer.experts.tolist()
    spans = (
        _token(i_token, token, piece, experts)
        for i_token, (token, piece, experts) in enumerate(zip(tokens, pieces, chosen, strict=True))
    )
    highest = max(float(layer.first.max()), float(layer.visits.max()))
    shares = zip(layer.first.tolist(), layer.visits.tolist(), strict=True)
    bars = (_bar(expert, *both, highest) for expert, both in enumerate(shares))
    repetition = (f"<p>{escape(line)}</p>" for line in repetition_lines(layer.repetition))
    return _LAYER.substitute(
        layer=layer.layer,
        tokens="".join(spans),
        bars="\n".join(bars),
        repetition="\n".join(repetition),
    )


def _token(i_token: int, token: int, piece: str, experts: list[int]) -> str:
    """One token: its text with its line ends, and in its tooltip all that is known of it."""
    seen = "\n".join(visible_lines(piece, space=" "))
    end = "\n" if piece.endswith("\n") else ""  # outside, so that the number is before it
    then = f", then {', '.join(map(str, experts[1:]))}" if len(experts) > 1 else ""
    named = "".join(visible_lines(piece, space="·"))
    tip = f"token {i_token}: {named} · id {token} · expert {experts[0]}{then}"
    return (
        f'<span class="t e{experts[0]}" data-e="{experts[0]}" title="{escape(tip)}">'
        f"{escape(seen)}</span>{end}"
    )


def _bar(expert: int, first: float, visits: float, highest: float) -> str:
    """One expert of the legend: its two shares, its number on its colour, its first share."""
    tip = f"expert {expert}: {100 * first:.1f} % of first choices, {100 * visits:.1f} % of visits"
    return (
        f'<div class="bar b{expert}" title="{tip}"><div class="pair">'
        f'<i class="e{expert}" style="height: {100 * first / highest:.1f}%"></i>'
        f'<i style="height: {100 * visits / highest:.1f}%"></i></div>'
        f'<b class="e{expert}">{expert}</b>{100 * first:.0f} %</div>'
    )
