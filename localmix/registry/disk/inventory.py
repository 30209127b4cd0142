"""All models on this machine: ours, those that a person named, and those of other programs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from localmix.registry.adopt import adopted_models
from localmix.registry.disk.records import Records
from localmix.registry.disk.store import Store
from localmix.registry.file_names import DEFAULT_QUANTIZATION, model_stem, quantization_of
from localmix.registry.names import HubName, OllamaName
from localmix.registry.stored import StoredModel, embedded_model, real_path


@dataclass(frozen=True)
class Inventory:
    """What is on this machine, looked up anew at each call.

    Attributes:
        home: LOCALMIX_HOME.
    """

    home: Path

    @property
    def store(self) -> Store:
        """The models that were pulled."""
        return Store(self.home)

    @property
    def records(self) -> Records:
        """What a person has said."""
        return Records(self.home)

    def list(self) -> list[StoredModel]:
        """List every model: the embedded one, then ours, then those of other programs."""
        embedded = embedded_model()
        named = [named.stored() for named in self.records.named()]
        ours = sorted([*self.store.list(), *named], key=lambda model: model.name.lower())
        return [*([embedded] if embedded else []), *ours, *self.adopted()]

    def adopted(self, with_hidden: bool = False) -> Sequence[StoredModel]:
        """List the models of other programs, but for those that were taken off the list."""
        hidden = set() if with_hidden else self.records.hidden()
        # Another program's folder may be our own: both can be laid out as the Hub is.
        ours = real_path(self.store.folder)
        return [
            model
            for model in adopted_models()
            if str(model.path) not in hidden and not real_path(model.path).is_relative_to(ours)
        ]

    def find(self, name: HubName | OllamaName, with_hidden: bool = False) -> StoredModel | None:
        """Find the model that a name means, complete or not; a complete one of ours goes first.

        Of a repository without a quantization it is the default one, else the only one there is.
        """
        models = [*self.store.list(), *self.adopted(with_hidden)]
        if isinstance(name, OllamaName):
            found = [model for model in models if model.name.lower() == name.text.lower()]
        else:
            found = _of_repository([*models, *self._twins(models)], name)
        return max(found, key=_preference, default=None)

    def _twins(self, models: Sequence[StoredModel]) -> Iterator[StoredModel]:
        """Give models once more under the Hub's name for the same contents, as a pull found out."""
        by_name = {model.name: model for model in models if model.complete}
        for repo_file, name in self.records.twins().items():
            owner, _, rest = repo_file.partition("/")
            repo_name, _, file = rest.partition("/")
            if name in by_name and file:
                hub_name = HubName(f"{owner}/{repo_name}", quantization_of(file), file)
                yield replace(by_name[name], hub_name=hub_name)

    def find_pulled(self, name: str) -> StoredModel | None:
        """Find a model of ours by the very name that it was pulled under."""
        found = [model for model in self.store.list() if model.name.lower() == name.lower()]
        return max(found, key=_preference, default=None)

    def find_contents(self, sha256: tuple[str, ...]) -> StoredModel | None:
        """Find a whole model by what is in its files."""
        wanted = tuple(text.lower() for text in sha256)
        if not all(wanted):
            return None
        for model in [*self.store.list(), *self.adopted(with_hidden=True)]:
            if model.complete and tuple(text.lower() for text in model.sha256) == wanted:
                return model
        return None


def _of_repository(models: Sequence[StoredModel], name: HubName) -> list[StoredModel]:
    found = [
        (model, model.hub_name)
        for model in models
        if model.hub_name is not None and model.hub_name.repo.lower() == name.repo.lower()
    ]
    wanted = name.quantization.upper()
    if name.file:
        stem = model_stem(name.file)
        found = [(model, hub) for model, hub in found if model_stem(hub.file) == stem]
    elif wanted:
        found = [(model, hub) for model, hub in found if hub.quantization.upper() == wanted]
    elif len({hub.quantization.upper() or hub.file for _, hub in found}) > 1:
        default = DEFAULT_QUANTIZATION
        found = [(model, hub) for model, hub in found if hub.quantization.upper() == default]
    return [model for model, _ in found]


def _preference(model: StoredModel) -> tuple[bool, bool, int, int]:
    """Rank models that one name means: a whole one, ours, nearest to the root, the shortest name.

    The last two are how `plan.choose_files` chooses among two files of one quantization.
    """
    stem = model_stem(model.hub_name.file) if model.hub_name else ""
    return (model.complete, model.origin == "pulled", -stem.count("/"), -len(stem))
