"""What other programs have already downloaded, used where it lies: never copied, never deleted.

Each program is one module that knows the layout of its folders, and one line here. Nothing is
opened but small manifests, and what cannot be read is not listed: a list of models must not fail
because of another program's files.
"""

from collections.abc import Mapping

from localmix.registry.adopt.hugging_face import hugging_face_models
from localmix.registry.adopt.lm_studio import lm_studio_models
from localmix.registry.adopt.ollama import ollama_models
from localmix.registry.stored import StoredModel

_PROGRAMS = (
    ollama_models,
    hugging_face_models,
    lm_studio_models,
)


def adopted_models(environ: Mapping[str, str] | None = None) -> list[StoredModel]:
    """List the models of other programs: one program after the other, each by name.

    A program has each name once: the first that is whole, else the first. Models of different
    programs may have the same name, which is then the same model of the Hub.

    Args:
        environ: where the programs' variables and the user's home are looked up; None is the
            environment of this process.
    """
    return [model for list_models in _PROGRAMS for model in _by_name(list_models(environ))]


def _by_name(models: list[StoredModel]) -> list[StoredModel]:
    found: dict[str, StoredModel] = {}
    for model in models:
        known = found.setdefault(model.name.lower(), model)
        if model.complete and not known.complete:
            found[model.name.lower()] = model
    return [found[name] for name in sorted(found)]
