"""What `localmix run` can be told: one dataclass holds the options, their help and their checks.

A field's annotation is Typer's description of the option, so that each option is written once.
`check` holds what a type cannot say; it raises `WrongUsage`, which ends with exit code 2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from localmix.cli.arguments import flag, one_of, option, sized, window, within
from localmix.cli.errors import WrongUsage
from localmix.errors import LocalmixError
from localmix.settings import EXECUTORS, KV_TYPES, MAX_THREADS, OVERFLOWS, WEIGHTS_MODES

_ANSWER, _SAMPLING, _MODEL, _OUTPUT = "The answer", "Sampling", "The model", "Output"
_TALK = "The conversation"

KvType = Annotated[
    str | None,
    option("--kv", metavar="|".join(KV_TYPES), text="Type of keys and values.", group=_MODEL),
]
Threads = Annotated[
    int | None, option("--threads", metavar="N", text="Worker threads.", group=_MODEL)
]
SlidingWindow = Annotated[
    str | None,
    option(
        "--sliding-window",
        metavar="auto|off|N",
        text="Positions a token attends to.",
        group=_MODEL,
    ),
]
ExpertsUsed = Annotated[
    int | None, option("--experts", metavar="N", text="Experts per token.", group=_MODEL)
]
ExpertMemory = Annotated[
    str | None,
    option(
        "--expert-memory",
        metavar="SIZE",
        text="For experts of a model larger than memory.",
        group=_MODEL,
    ),
]
Power = Annotated[
    int | None,
    option(
        "--power",
        metavar="PCT",
        text="Percent of the time to work: less keeps a laptop cool.",
        group=_MODEL,
    ),
]
Weights = Annotated[
    str | None,
    option(
        "--weights",
        metavar="|".join(WEIGHTS_MODES),
        text="Read weights in place, or from private memory.",
        group=_MODEL,
    ),
]
Executor = Annotated[
    str | None,
    option(
        "--executor",
        metavar="|".join(EXECUTORS),
        text="Compiled kernels, or plain NumPy.",
        group=_MODEL,
    ),
]


@dataclass(frozen=True)
class RunOptions:
    """Everything that `run` can be told. None: what the file or the engine says."""

    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A name, hf.co/OWNER/REPO, or a .gguf file.")
    ]
    prompt: Annotated[
        str | None,
        typer.Argument(metavar="[PROMPT]", help="What to answer; without it the chat opens."),
    ] = None
    system: Annotated[
        str | None,
        option("--system", metavar="TEXT", text="What the model should be.", group=_ANSWER),
    ] = None
    max_tokens: Annotated[
        int | None,
        option("--max-tokens", "-n", metavar="N", text="Stop after N tokens.", group=_ANSWER),
    ] = None
    stop: Annotated[
        list[str] | None,
        option("--stop", metavar="TEXT", text="Stop before TEXT; repeatable.", group=_ANSWER),
    ] = None
    on_overflow: Annotated[
        str,
        option(
            "--on-overflow",
            metavar="|".join(OVERFLOWS),
            text="What to do when the context is full.",
            group=_ANSWER,
        ),
    ] = "error"
    safe_prompt: Annotated[
        bool,
        flag("--safe-prompt", text="Ask for care, with the Mistral paper's prompt.", group=_ANSWER),
    ] = False
    raw: Annotated[
        bool,
        flag(
            "--raw",
            text="Continue PROMPT as it is: no chat template, and control tokens in it count.",
            group=_ANSWER,
        ),
    ] = False
    temperature: Annotated[
        float,
        option("--temperature", metavar="F", text="0: always the likeliest.", group=_SAMPLING),
    ] = 0.8
    top_k: Annotated[
        int, option("--top-k", metavar="N", text="Only the N likeliest; 0: all.", group=_SAMPLING)
    ] = 40
    top_p: Annotated[
        float,
        option("--top-p", metavar="F", text="Only the likeliest that sum to F.", group=_SAMPLING),
    ] = 0.9
    min_p: Annotated[
        float,
        option("--min-p", metavar="F", text="At least F times the likeliest.", group=_SAMPLING),
    ] = 0.0
    repeat_penalty: Annotated[
        float,
        option("--repeat-penalty", metavar="F", text="Above 1: repeat less.", group=_SAMPLING),
    ] = 1.0
    presence_penalty: Annotated[
        float,
        option("--presence-penalty", metavar="F", text="Against words used.", group=_SAMPLING),
    ] = 0.0
    frequency_penalty: Annotated[
        float,
        option(
            "--frequency-penalty", metavar="F", text="Against words used often.", group=_SAMPLING
        ),
    ] = 0.0
    seed: Annotated[
        int | None,
        option("--seed", metavar="N", text="Same seed, same text.", group=_SAMPLING),
    ] = None
    ctx: Annotated[
        int | None,
        option("--ctx", metavar="N", text="Tokens that prompt and answer share.", group=_MODEL),
    ] = None
    threads: Threads = None
    power: Power = None
    kv: KvType = None
    weights: Weights = None
    sliding_window: SlidingWindow = None
    experts: ExpertsUsed = None
    expert_memory: ExpertMemory = None
    executor: Executor = None
    resume: Annotated[
        int | None,
        option("--resume", metavar="ID", text="Go on with a saved conversation.", group=_TALK),
    ] = None
    go_on: Annotated[
        bool, flag("--continue", "-c", text="Go on with the last conversation.", group=_TALK)
    ] = False
    no_history: Annotated[bool, flag("--no-history", text="Save nothing of this.", group=_TALK)] = (
        False
    )
    moderate: Annotated[
        bool,
        flag("--moderate", text="The model judges prompts and answers first.", group=_TALK),
    ] = False
    profile: Annotated[
        str | None,
        option("--profile", metavar="NAME", text="Settings of config.toml.", group=_TALK),
    ] = None
    show_prompt: Annotated[
        bool, flag("--show-prompt", text="Show on stderr what the model reads.", group=_OUTPUT)
    ] = False
    json: Annotated[
        bool, flag("--json", text="One JSON object with text, ids and figures.", group=_OUTPUT)
    ] = False
    verbose: Annotated[
        bool, flag("--verbose", text="Figures on stderr after the answer.", group=_OUTPUT)
    ] = False
    said: frozenset[str] = frozenset()

    def check(self) -> None:
        """Raise WrongUsage for the first value that makes no sense."""
        one_of("--on-overflow", self.on_overflow, OVERFLOWS)
        one_of("--kv", self.kv, KV_TYPES)
        one_of("--weights", self.weights, WEIGHTS_MODES)
        one_of("--executor", self.executor, EXECUTORS)
        within("--temperature", self.temperature, 0, 100)
        within("--top-k", self.top_k, 0, 2**31 - 1)
        within("--top-p", self.top_p, 0, 1)
        within("--min-p", self.min_p, 0, 1)
        within("--repeat-penalty", self.repeat_penalty, 0.01, 100)
        within("--presence-penalty", self.presence_penalty, -100, 100)
        within("--frequency-penalty", self.frequency_penalty, -100, 100)
        within("--seed", self.seed, 0, 2**64 - 1)
        within("--max-tokens", self.max_tokens, 1, 2**31 - 1)
        within("--ctx", self.ctx, 1, 2**31 - 1)
        within("--threads", self.threads, 1, MAX_THREADS)
        within("--power", self.power, 1, 100)
        within("--experts", self.experts, 1, 2**31 - 1)
        sized("--expert-memory", self.expert_memory)
        window(self.sliding_window)
        if any(not text for text in self.stop or ()):
            raise WrongUsage("--stop is empty, so nothing would be said", '--stop "###"')

    def with_settings(self, home: Path) -> RunOptions:
        """Fill in what config.toml says and the command line does not.

        Raises:
            LocalmixError: config.toml is wrong, or has no such profile.
        """
        from localmix.conversation.profiles import config_path, settings_for

        kept = settings_for(home, self.model, self.profile, SETTABLE)
        options = replace(self, **{k: v for k, v in kept.items() if k not in self.said})
        _check_kept(options, config_path(home))
        return options

    def load_settings(self) -> dict[str, Any]:
        """What was said about the model, as keywords of `localmix.load`; the rest is left away."""
        said = {
            "n_ctx": self.ctx,
            "n_threads": self.threads,
            "power": self.power,
            "kv": self.kv,
            "weights": self.weights,
            "sliding_window": window(self.sliding_window),
            "n_experts_used": self.experts,
            "expert_memory": self.expert_memory,
            "executor": self.executor,
        }
        return {name: value for name, value in said.items() if value is not None}

    def sampling_settings(self) -> dict[str, Any]:
        """What was said about the answer, as keywords of `Model.generate`; its length apart."""
        return {
            "temperature": self.temperature,
            "top_k": self.top_k,
            "top_p": self.top_p,
            "min_p": self.min_p,
            "repeat_penalty": self.repeat_penalty,
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
            "seed": self.seed,
            "stop": tuple(self.stop or ()),
            "on_overflow": self.on_overflow,
        }


def kept_settings(home: Path) -> dict[str, dict[str, Any]]:
    """Read every table of config.toml, by its name as it stands there.

    Raises:
        LocalmixError: something in it is wrong.
    """
    from localmix.conversation.profiles import all_settings, config_path

    tables = all_settings(home, SETTABLE)
    for table in tables.values():
        _check_kept(RunOptions("", **table), config_path(home))
    return tables


def _check_kept(options: RunOptions, path: Path) -> None:
    try:
        options.check()
    except WrongUsage as error:
        raise LocalmixError(
            f"{path} is wrong: {error.message.removeprefix('--')}",
            "localmix run --help says what each option takes",
        ) from error


SETTABLE: dict[str, type] = {
    "system": str,
    "temperature": float,
    "top_k": int,
    "top_p": float,
    "min_p": float,
    "repeat_penalty": float,
    "presence_penalty": float,
    "frequency_penalty": float,
    "seed": int,
    "stop": list,
    "max_tokens": int,
    "on_overflow": str,
    "ctx": int,
    "threads": int,
    "power": int,
    "kv": str,
    "weights": str,
    "sliding_window": str,
    "experts": int,
    "expert_memory": str,
    "executor": str,
    "safe_prompt": bool,
    "moderate": bool,
    "show_prompt": bool,
    "verbose": bool,
    "no_history": bool,
}
"""What config.toml and the chat's /set can set, and of which type."""


def parse_setting(name: str, text: str) -> Any:
    """Read the value of /set; raises WrongUsage for one of another type."""
    kind = SETTABLE[name]
    if kind is bool:
        if text.lower() not in ("on", "off", "true", "false"):
            raise WrongUsage(f"{name} must be on or off, not {text}")
        return text.lower() in ("on", "true")
    if kind is list:
        return [text]
    if text.lower() == "none" and name in ("seed", "max_tokens"):
        return None
    try:
        return kind(text)
    except ValueError as exc:
        what = "whole number" if kind is int else "number"
        raise WrongUsage(f"{name} must be a {what}, not {text}") from exc
