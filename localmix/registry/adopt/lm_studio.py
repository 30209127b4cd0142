"""Models that LM Studio has downloaded or imported.

    ~/.lmstudio-home-pointer              the path of HOME, as text
    HOME/                                 ~/.lmstudio; before 2025 ~/.cache/lm-studio
    ├── settings.json                     "downloadsFolder": another place of models/; older
    │                                     versions kept this file with the system's app settings
    └── models/
        └── OWNER/
            └── REPO/
                ├── FILE.gguf             a file, or a link to wherever it was imported from
                └── FILE.gguf.part        a download that has not finished; older versions put
                                          `downloading_` before the name

There is no variable for any of these folders. All of them are looked at: someone who moved the
models may have left some behind.

Source: https://lmstudio.ai/docs/app/advanced/import-model and the source of its `lms` command,
https://github.com/lmstudio-ai/lms (`modelsFolder.ts`) and lmstudio-js (`findLMStudioHome.ts`).
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from localmix import settings
from localmix.registry.adopt.folders import files_below, read_json, read_text
from localmix.registry.adopt.repository import models_of, stored_model, with_short_names
from localmix.registry.stored import StoredModel

_N_LEVELS = 4
"""OWNER, REPO, a file there, and one in a folder there."""


def lm_studio_models(environ: Mapping[str, str] | None = None) -> list[StoredModel]:
    """List the models in LM Studio's folders."""
    folders = {os.path.realpath(folder): folder for folder in _folders(environ)}
    return [model for folder in folders.values() for model in _models_in(folder)]


def _folders(environ: Mapping[str, str] | None) -> Iterator[Path]:
    user_home = settings.user_home(environ)
    homes = [user_home / ".lmstudio", user_home / ".cache" / "lm-studio"]
    homes = [*_absolute(read_text(user_home / ".lmstudio-home-pointer")), *homes]
    for home in homes:
        yield from _chosen_folder(home)
        yield home / "models"
    for place in settings.app_settings_folders(environ):
        yield from _chosen_folder(place / "LM Studio")


def _chosen_folder(home: Path) -> list[Path]:
    """Give the folder of models that LM Studio's settings name, if they do."""
    document = read_json(home / "settings.json")
    chosen = document.get("downloadsFolder") if isinstance(document, dict) else None
    return _absolute(chosen) if isinstance(chosen, str) else []


def _absolute(text: str) -> list[Path]:
    """Make a path of a text in one of LM Studio's files; nothing when it can be none."""
    path = Path(text.strip())
    return [path] if path.is_absolute() and text.strip().isprintable() else []


def _models_in(folder: Path) -> list[StoredModel]:
    by_repo: dict[str, list[str]] = {}
    for path in files_below(folder, _N_LEVELS, through_links=True):
        owner, _, rest = path.partition("/")
        repo, _, file = rest.partition("/")
        if file:
            by_repo.setdefault(f"{owner}/{repo}", []).append(file)
    found: list[StoredModel] = []
    for repo, files in by_repo.items():
        place = folder / repo
        models = [stored_model("LM Studio", repo, place, each) for each in models_of(files)]
        found += with_short_names(models)
    return found
