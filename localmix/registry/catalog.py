"""The catalog of names: what an alias means.

A name is found in three steps: the text as it is; without a quantization at its end
(`mistral:q5_K_M`, `mixtral:8x7b-q4_0`); else it is unknown, and close names are offered. Case does
not matter.

It knows nothing of what is on this disk or on the Hub: sizes and quantizations are what
`models.toml` says, which `catalog_file.py` reads.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from localmix.errors import ModelNotFound
from localmix.registry.file_names import split_quantization
from localmix.registry.names import AliasName, HubName

CHAT_FORMATS = (
    "mistral-v1", "mistral-v2", "mistral-v3", "mistral-v7", "llama-2", "chatml", "template", "none",
)  # fmt: skip
"""What an entry may say of its chats; `template`: only the file says it; `none`: a base model."""

BENCHMARKS = {
    "mt_bench": ("MT-Bench", 10),
    "mmlu": ("MMLU", 100),
    "triviaqa": ("TriviaQA", 100),
    "arc_c": ("ARC-Challenge", 100),
    "gsm8k": ("GSM8K", 100),
    "humaneval": ("HumanEval", 100),
    "mbpp": ("MBPP", 100),
}
"""Published results that an entry may have: how each is called, and the most that it can be.

How they are asked, as in arXiv:2401.04088, section 3: MMLU and TriviaQA with 5 examples,
ARC-Challenge with none, GSM8K with 8 and the answer that most of 8 tries give, HumanEval with none
and MBPP with 3, one try each. Figures that were asked for otherwise do not belong in the catalog.
"""


@dataclass(frozen=True)
class Quantization:
    """One quantization of an entry.

    Attributes:
        name: in capitals, such as `Q4_K_M`.
        size_gb: about, in 10⁹ bytes.
        repo: the repository that has it.
        file: its file there; empty when the listing has to tell, as with shards.
        perplexity: as published; the entry's `perplexity_source` says of which text and by whom.
    """

    name: str
    size_gb: float
    repo: str
    file: str = ""
    perplexity: float | None = None


@dataclass(frozen=True)
class Score:
    """A published result of a benchmark, and where it stands."""

    value: float
    source: str


@dataclass(frozen=True)
class CatalogEntry:
    """One model of the catalog.

    Attributes:
        name: `ALIAS` or `ALIAS:TAG`.
        aliases: other names of the same model.
        quantizations: by name; empty for the model that comes inside the package.
        default: the quantization of the name without one; empty when there are none.
        file: the repository's pattern of file names; empty when there is none.
        parameters: number of weights; 0 when the catalog does not say.
        active: weights that have a part in a token, all but those of experts that are not chosen;
            0 when all have, or the catalog does not say.
        context: tokens that the model was trained to attend to; 0 when the catalog does not say.
        window: positions that it attends to (sliding window); 0 when to all of its context.
        kv_bytes: keys and values of one position in float16; 0 when the catalog does not say.
        chat: how its chats are written, one of `CHAT_FORMATS`; empty when the catalog does not say.
        licence: an SPDX identifier.
        description: what the model is.
        notes: what a person should know before choosing it.
        strengths, strengths_source: what it is good at, and who says so.
        relative: an entry whose scores count where this one has none of its own: what it was
            trained from, or the version before; empty without one.
        scores: published results by names of `BENCHMARKS`.
        perplexity_source: text, length and page of the perplexities of its quantizations.
    """

    name: str
    aliases: tuple[str, ...] = ()
    quantizations: Mapping[str, Quantization] = field(default_factory=dict)
    default: str = ""
    file: str = ""
    parameters: int = 0
    active: int = 0
    context: int = 0
    window: int = 0
    kv_bytes: int = 0
    chat: str = ""
    licence: str = ""
    description: str = ""
    notes: str = ""
    strengths: str = ""
    strengths_source: str = ""
    relative: str = ""
    scores: Mapping[str, Score] = field(default_factory=dict)
    perplexity_source: str = ""

    @property
    def is_embedded(self) -> bool:
        """Say whether the model comes inside the package."""
        return not self.quantizations

    @property
    def is_base(self) -> bool:
        """Say whether the model continues text and does not chat."""
        return self.chat == "none"

    @property
    def names(self) -> tuple[str, ...]:
        """Every name of the model, the full one first."""
        return (self.name, *self.aliases)

    def full_name(self, quantization: str) -> str:
        """Give the name that says everything: `mistral:7b-instruct-v0.3-q4_K_M`."""
        return self.name if self.is_embedded else f"{self.name}-{as_tag(quantization)}"


@dataclass(frozen=True)
class CatalogModel:
    """What an alias means: an entry and one of its quantizations (None for the embedded model)."""

    entry: CatalogEntry
    quantization: Quantization | None

    @property
    def name(self) -> str:
        """The full name."""
        return self.entry.full_name(self.quantization.name if self.quantization else "")

    @property
    def hub_name(self) -> HubName | None:
        """Where its files are on the Hub; None for the embedded model."""
        chosen = self.quantization
        return HubName(chosen.repo, chosen.name) if chosen else None


@dataclass(frozen=True)
class Catalog:
    """All entries, in the order of the file."""

    entries: tuple[CatalogEntry, ...]

    def find(self, alias: AliasName) -> CatalogModel:
        """Find what an alias means.

        Raises:
            ModelNotFound: no such name, or no such quantization of it.
        """
        text = alias.text.lower()
        entry, quantization = self._entry(text), ""
        if entry is None:
            base, quantization = split_quantization(text)
            entry = self._entry(base) if quantization else None
        if entry is None:
            raise self._unknown(alias.text)
        return _chosen(entry, quantization)

    def name_of(self, repo: str, quantization: str) -> str | None:
        """Give the full name of a repository's quantization, when the catalog has it."""
        for entry in self.entries:
            known = entry.quantizations.get(quantization)
            if known is not None and known.repo.lower() == repo.lower():
                return entry.full_name(quantization)
        return None

    def close_names(self, text: str) -> list[str]:
        """Give up to three names that look like `text`, of one model each, the closest first."""
        base, _ = split_quantization(text.lower())
        # `:latest` says no more than the name without it.
        names = [n for entry in self.entries for n in entry.names if not n.endswith(":latest")]
        # Who knows the model and only mistook the tag should not be sent to another model.
        same_model = [name for name in names if _family(name) == _family(base)]
        if same_model:
            return self._one_a_model(_by_likeness(base, same_model, 0.0))
        close = _by_likeness(base, names, 0.6)
        if not close:  # zefir is not like enough to any whole name
            shortest = {_family(name): name for name in sorted(names, key=len, reverse=True)}
            close = [shortest[f] for f in _by_likeness(_family(base), list(shortest), 0.5)]
        return self._one_a_model(close)

    def _one_a_model(self, names: list[str]) -> list[str]:
        """Keep the first name of each model, three at most."""
        first: dict[str, str] = {}
        for name in names:
            entry = self._entry(name)
            first.setdefault(entry.name if entry else name, name)
        return list(first.values())[:3]

    def _entry(self, name: str) -> CatalogEntry | None:
        return next((entry for entry in self.entries if name in entry.names), None)

    def _unknown(self, text: str) -> ModelNotFound:
        close = self.close_names(text)
        if close:
            return ModelNotFound(
                f"there is no model named {text}; close names: {', '.join(close)}",
                f"localmix run {close[0]}",
            )
        known = ", ".join(sorted({_family(entry.name) for entry in self.entries}))
        return ModelNotFound(
            f"there is no model named {text}; the catalog has {known}",
            "localmix run tiny, or a repository of the Hub: hf.co/OWNER/REPO",
        )


def _chosen(entry: CatalogEntry, quantization: str) -> CatalogModel:
    if not entry.quantizations and not quantization:
        return CatalogModel(entry, None)
    known = entry.quantizations.get(quantization or entry.default)
    if known is None:
        tags = ", ".join(as_tag(name) for name in entry.quantizations) or "none"
        raise ModelNotFound(
            f"{entry.name} has no quantization {as_tag(quantization)}; those that exist: {tags}",
            f"localmix run {entry.full_name(entry.default)}",
        )
    return CatalogModel(entry, known)


def _by_likeness(text: str, names: list[str], cutoff: float) -> list[str]:
    from difflib import get_close_matches

    return get_close_matches(text, names, n=len(names), cutoff=cutoff)


def _family(name: str) -> str:
    return name.partition(":")[0]


def as_tag(quantization: str) -> str:
    """Write a quantization as tags do, with its first letters small: `q4_K_M`, `iq4_XS`, `f16`."""
    first, underscore, rest = quantization.partition("_")
    return first.lower() + underscore + rest
