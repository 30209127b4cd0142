"""Every environment variable and folder that localmix reads, in one place.

    LOCALMIX_HOME       models, conversations, settings default: the platform's user data folder
    LOCALMIX_CACHE      compiled kernels                default: the platform's user cache folder
    LOCALMIX_THREADS    worker threads                  default: one per fast core
    LOCALMIX_ISA        a lower kernel tier than the machine has, for tests and comparisons
    HF_ENDPOINT         the Hub or a mirror of it       default: https://huggingface.co
    HF_TOKEN            opens gated and private repositories
    HF_HUB_OFFLINE      1: never ask the network

Where other programs keep models and settings, for `registry/adopt/`:

    HOME, USERPROFILE               the user's home (POSIX, Windows)
    OLLAMA_MODELS                   default: ~/.ollama/models and those of the Linux service
    HF_HUB_CACHE                    default: HUGGINGFACE_HUB_CACHE, its older name, else HF_HOME/hub
    HF_HOME                         default: XDG_CACHE_HOME/huggingface, else ~/.cache/huggingface
    XDG_CONFIG_HOME, APPDATA        settings of desktop programs (Linux, Windows)

`LOCALMIX_CACHE` and `LOCALMIX_ISA` are the native executor's: the other one compiles nothing. Two
more are read where they matter: `LOCALMIX_ASM`, to look at assembly (`kernels/build.py`), and
`LOCALMIX_TARGET`, which tells the compiling process what to compile for (`kernels/target.py`).
Everything is read when it is asked for, from a mapping that a test can pass: nothing is remembered,
and an empty variable counts as unset. `HTTPS_PROXY`, `SSL_CERT_FILE` and `NO_COLOR` are honoured by
the libraries that use them.
"""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from localmix.errors import LocalmixError

ISA_TIERS = ("generic", "avx2", "avxvnni", "avx512", "amx", "neon", "i8mm")
"""The values of LOCALMIX_ISA; `generic` runs on every machine."""

KV_TYPES = ("f16", "q8_0", "f32")
"""Types of the cached keys and values."""

WEIGHTS_MODES = ("mapped", "resident")
"""Where weights are read: in the mapped file, or from a private copy."""

EXECUTORS = ("native", "reference")
"""What runs a model: compiled kernels, or plain NumPy."""

OVERFLOWS = ("error", "shift", "truncate")
"""What happens when the context is full."""

MAX_THREADS = 1024
"""More than any machine we know has; a larger LOCALMIX_THREADS is a slip of the finger."""

# The service of Ollama's installer on Linux, and of the packages of Arch Linux and its relatives.
_OLLAMA_SERVICE_FOLDERS = (
    Path("/usr/share/ollama/.ollama/models"),
    Path("/var/lib/ollama/.ollama/models"),
)


def home(environ: Mapping[str, str] | None = None) -> Path:
    """Give the folder of models, settings and history; it may not exist yet."""
    chosen = _text("LOCALMIX_HOME", environ)
    if chosen:
        return _folder(chosen)
    from platformdirs import user_data_path

    return user_data_path("localmix", appauthor=False)


def cache_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Give the folder of compiled kernels; it may not exist yet and may be deleted at any time."""
    chosen = _text("LOCALMIX_CACHE", environ)
    if chosen:
        return _folder(chosen)
    from platformdirs import user_cache_path

    return user_cache_path("localmix", appauthor=False)


def n_threads(environ: Mapping[str, str] | None = None) -> int | None:
    """Give the number of worker threads that was asked for; None leaves it to `cores.py`.

    Raises:
        LocalmixError: LOCALMIX_THREADS is not a whole number from 1 to MAX_THREADS.
    """
    chosen = _text("LOCALMIX_THREADS", environ)
    if not chosen:
        return None
    # isdecimal alone would let other scripts' digits through, which nobody means.
    if not (chosen.isascii() and chosen.isdecimal() and 1 <= int(chosen[:9]) <= MAX_THREADS):
        raise LocalmixError(
            f"LOCALMIX_THREADS is {chosen!r}, not a whole number from 1 to {MAX_THREADS}",
            "unset LOCALMIX_THREADS: one thread per fast core is used then",
        )
    return int(chosen)


def isa(environ: Mapping[str, str] | None = None) -> str | None:
    """Give the kernel tier asked for, or None for the best one the machine has.

    Raises:
        LocalmixError: LOCALMIX_ISA is none of ISA_TIERS.
    """
    chosen = _text("LOCALMIX_ISA", environ).lower()
    if not chosen:
        return None
    if chosen not in ISA_TIERS:
        raise LocalmixError(
            f"LOCALMIX_ISA is {chosen!r}, which is none of {', '.join(ISA_TIERS)}",
            "set LOCALMIX_ISA to generic, or unset it for the best tier of this machine",
        )
    return chosen


def hub_endpoint(environ: Mapping[str, str] | None = None) -> str:
    """Give the address of the Hub, without a trailing slash.

    Raises:
        LocalmixError: HF_ENDPOINT is no http or https address.
    """
    chosen = _text("HF_ENDPOINT", environ) or "https://huggingface.co"
    if not re.fullmatch(r"https?://[\w.-]+(:\d{1,5})?(/[\w./-]*)?", chosen, re.ASCII):
        raise LocalmixError(
            f"HF_ENDPOINT is {chosen!r}, which is no address of a Hub",
            "set HF_ENDPOINT to https://huggingface.co, or unset it",
        )
    return chosen.rstrip("/")


def hub_token(environ: Mapping[str, str] | None = None) -> str | None:
    """Give the Hub token of the environment; None leaves it to a saved login.

    Raises:
        LocalmixError: HF_TOKEN holds what no token holds; the message does not repeat it.
    """
    chosen = _text("HF_TOKEN", environ)
    if not re.fullmatch(r"[!-~]*", chosen):
        raise LocalmixError(
            "HF_TOKEN holds a space, a line break or a letter that no token has",
            "copy the token again, without anything around it",
        )
    return chosen or None


def hub_offline(environ: Mapping[str, str] | None = None) -> bool:
    """Say whether the network is not to be asked."""
    return _text("HF_HUB_OFFLINE", environ).upper() in {"1", "ON", "YES", "TRUE"}


def user_home(environ: Mapping[str, str] | None = None) -> Path:
    """Give the user's home folder."""
    chosen = _text("USERPROFILE" if sys.platform == "win32" else "HOME", environ)
    return Path(chosen) if chosen else _folder("~")


def ollama_folders(environ: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """Give the folders of Ollama's models, a person's own before the service's; few exist."""
    chosen = _text("OLLAMA_MODELS", environ)
    if chosen:
        return (_folder(chosen),)
    return (user_home(environ) / ".ollama" / "models", *_OLLAMA_SERVICE_FOLDERS)


def hugging_face_cache(environ: Mapping[str, str] | None = None) -> Path:
    """Give the folder that huggingface_hub downloads to; it may not exist."""
    chosen = _text("HF_HUB_CACHE", environ) or _text("HUGGINGFACE_HUB_CACHE", environ)
    if chosen:
        return _folder(chosen)
    hf_home = _text("HF_HOME", environ)
    if hf_home:
        return _folder(hf_home) / "hub"
    cache = _text("XDG_CACHE_HOME", environ)
    return (_folder(cache) if cache else user_home(environ) / ".cache") / "huggingface" / "hub"


def app_settings_folders(environ: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """Give the folders where desktop programs keep settings on Linux, macOS and Windows."""
    home = user_home(environ)
    config, roaming = _text("XDG_CONFIG_HOME", environ), _text("APPDATA", environ)
    return (
        _folder(config) if config else home / ".config",
        home / "Library" / "Application Support",
        _folder(roaming) if roaming else home / "AppData" / "Roaming",
    )


def _folder(text: str) -> Path:
    """Make a folder of a variable's text; `~` is the user's home."""
    # Unlike Path.expanduser this one leaves the ~ of an unknown user alone instead of raising.
    return Path(os.path.expanduser(text))  # noqa: PTH111


def _text(name: str, environ: Mapping[str, str] | None) -> str:
    """Read one variable, stripped; empty when it is unset."""
    return (os.environ if environ is None else environ).get(name, "").strip()
