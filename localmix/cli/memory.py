"""How a model fits into memory, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from localmix import units

if TYPE_CHECKING:
    from localmix.engine.fit import Fit
    from localmix.registry.plan import PullPlan


@dataclass(frozen=True)
class NoFit:
    """Why there is no saying how a model fits.

    Attributes:
        reason: in a sentence.
        never_runs: localmix cannot run it; otherwise nobody knows.
    """

    reason: str
    never_runs: bool


def is_doubtful(fit: Fit | NoFit) -> bool:
    """Say whether a person had better be asked before gigabytes are downloaded."""
    if isinstance(fit, NoFit):
        return fit.never_runs
    return fit.verdict in ("streams", "pages", "never")


def fit_fields(fit: Fit | NoFit, plan: PullPlan | None = None) -> list[tuple[str, str]]:
    """Give lines: what a model wants of memory, the verdict, and what to take instead."""
    if isinstance(fit, NoFit):
        return [("fit", fit.reason)]
    instead = smaller(fit, plan)
    return [
        ("memory", memory(fit)),
        ("fit", verdict(fit)),
        *([("instead", instead)] if instead else []),
    ]


def fit_line(fit: Fit | NoFit) -> str:
    """Give the verdict and what it stands on, in a line."""
    if isinstance(fit, NoFit):
        return fit.reason
    return f"{verdict(fit)}, it wants {_wanted(fit)}"


def memory(fit: Fit) -> str:
    """Say what a model wants of memory."""
    return (
        f"{units.size(fit.resident_bytes)} resident with {fit.n_ctx} tokens of context ({fit.kv}), "
        f"{units.size(fit.pageable_bytes)} of weights page-able"
    )


def verdict(fit: Fit) -> str:
    """Say whether a model runs here."""
    of_all = f" of {units.size(fit.total_bytes)}" if fit.total_bytes else ""
    free = f"{units.size(fit.free_bytes or 0)}{of_all} are free"
    return {
        "fits": f"fits: {free}",
        "tight": f"fits once other programs are closed: {free}",
        "streams": f"runs, but slower, reading experts from the disk: {free}",
        "pages": f"runs very slowly, reading weights from the disk for each token: {free}",
        "never": f"does not fit, not even its keys and values: {free}",
        "unknown": "fit unknown, as this system does not tell its memory",
    }[fit.verdict]


def smaller(fit: Fit | NoFit, plan: PullPlan | None) -> str:
    """Name the largest smaller quantization that fits; empty when this one does, or none."""
    if isinstance(fit, NoFit) or fit.verdict in ("fits", "unknown"):
        return ""
    if plan is None or plan.manifest is None:
        return ""
    fitting = [
        (n_bytes, quantization)
        for quantization, n_bytes in plan.others
        if n_bytes < plan.size_bytes and fit.would_fit(n_bytes)
    ]
    if not fitting:
        return ""
    n_bytes, quantization = max(fitting)
    return f"hf.co/{plan.manifest.repo}:{quantization}, {units.size(n_bytes)}"


def _wanted(fit: Fit) -> str:
    n_bytes = fit.resident_bytes + fit.pageable_bytes
    return f"{units.size(n_bytes)} with {fit.n_ctx} tokens of context"
