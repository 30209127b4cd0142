"""A run of `bench` as one HTML page that needs nothing else: no network, no script.

Everything that comes from a file, a name or an earlier run is escaped, and made visible first.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from string import Template
from typing import TYPE_CHECKING

from localmix import units
from localmix.cli.bench_text import card, change, costs, differences, held_back, what, work
from localmix.cli.terminal import one_line

if TYPE_CHECKING:
    from localmix.bench.compare import Compared
    from localmix.bench.report import Part, Report

_PAGE = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --page: #fff; --ink: #1b1b1b; --soft: #5c5c5c; --line: #d4d4d4;
  --bar: #2a78b8; --dot: #1b1b1b; --warn: #8a5a00; }
@media (prefers-color-scheme: dark) {
  :root { --page: #16181b; --ink: #e8e8e8; --soft: #a2a2a2; --line: #3b3e42; --bar: #3f86c2;
    --dot: #fff; --warn: #e5b24c; }
}
body { margin: 2rem auto 5rem; padding: 0 1rem; max-width: 48rem; background: var(--page);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2rem 0 .25rem; }
p { margin: .4rem 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.25rem; margin: 1rem 0; }
dt, .soft { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
.warn { color: var(--warn); }
.track { position: relative; height: 2rem; margin: .5rem 0; background: var(--line); }
.track b { position: absolute; inset: 0 auto 0 0; background: var(--bar); }
.track i { position: absolute; width: .5rem; height: .5rem; margin: -.25rem; border-radius: 50%;
  background: var(--dot); outline: 1px solid var(--page); }
.track u { position: absolute; inset: -.25rem auto; width: 2px; background: var(--ink); }
.ends { display: flex; justify-content: space-between; color: var(--soft); font-size: .85rem; }
code { overflow-wrap: anywhere; }
</style>
</head>
<body>
<h1>$title</h1>
<dl>
$card
</dl>
$notes
$parts
<p class="soft">A bar ends at the median, each dot is a repetition (the first one on top), a line
at the end is the most that this machine’s measured limit allows.</p>
<dl>
$costs
</dl>
<p><code>$command</code></p>
<p class="soft">$made</p>
</body>
</html>
""")

_PART = Template("""\
<section>
<h2>$name <span class="soft">$what</span></h2>
<p><strong>$median</strong> · min $low · max $high · $work$then</p>
<div class="track" role="img" aria-label="$label">
<b style="width: $width%"></b>
$ceiling$dots
</div>
<div class="ends"><span>0</span><span>$end</span></div>
</section>""")


def page(
    reports: Sequence[Report], command: str, made: str, compared: Compared | None = None
) -> str:
    """Make the page.

    Args:
        reports: the tests of a run.
        command: what to type for the same figures.
        made: by what and when.
        compared: with an earlier run.
    """
    first = reports[0]
    parts = [(report, part) for report in reports for part in report.parts]
    parts.sort(key=lambda pair: pair[1].name == "decode")
    notes = held_back(reports)
    return _PAGE.substitute(
        title=_shown(f"bench of {first.subject.name}"),
        card=_list(card(first.subject, first.limits, first.options)),
        notes="\n".join(f'<p class="warn">{_shown(note)}</p>' for note in notes),
        parts="\n".join(_part(*pair, compared) for pair in parts),
        costs=_list([*costs(reports), *differences(compared)]),
        command=_shown(command),
        made=_shown(made),
    )


def _shown(text: str) -> str:
    return escape(one_line(text))


def _list(fields: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"<dt>{_shown(name)}</dt><dd>{_shown(value)}</dd>" for name, value in fields)


def _part(report: Report, part: Part, compared: Compared | None) -> str:
    """One test: its figures, and its repetitions on a line that ends at the ceiling or after it."""
    speeds = part.series.tok_s
    low, high = min(speeds), max(speeds)
    # A line at a limit states a share: where the share would be a false number, there is none.
    share = part.pct_of_ceiling
    end = high if share is None else max(part.ceiling or 0.0, high)
    median = units.rate(part.series.median)
    then = f" · {_shown(change(part, compared.changes))}" if compared else ""
    label = f"{part.name}: {median}, from {units.rate(low)} to {units.rate(high)}"
    ceiling = ""
    if share is not None and part.ceiling is not None:
        ceiling = f'<u style="left: calc({100 * part.ceiling / end:.2f}% - 2px)"></u>\n'
    return _PART.substitute(
        name=part.name,
        what=_shown(what(part)),
        median=median,
        low=units.rate(low),
        high=units.rate(high),
        work=_shown(work(report, part)),
        then=then,
        label=_shown(label),
        width=f"{100 * part.series.median / end:.2f}",
        ceiling=ceiling,
        dots="\n".join(_dots(speeds, end)),
        end=units.rate(end),
    )


def _dots(speeds: Sequence[float], end: float) -> list[str]:
    """Each repetition lower than the one before it, so that slowing down is seen."""
    step = 100 / (len(speeds) + 1)
    return [
        f'<i style="left: {100 * speed / end:.2f}%; top: {step * (i + 1):.1f}%"'
        f' title="repetition {i + 1}: {units.rate(speed)}"></i>'
        for i, speed in enumerate(speeds)
    ]
