"""All looks in order, and what can be mended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localmix import settings
from localmix.doctor.checks import STATES, Finding, Group, Look, State, looked, reason
from localmix.doctor.settings_in_force import ReadConfig

Looks = list[tuple[str, Look]]


@dataclass(frozen=True)
class Ask:
    """What is to be examined, and with what.

    Attributes:
        environ: the environment.
        read_config: reads and checks all tables of config.toml of a home.
        options: of `run`, which config.toml may set, with their defaults.
        offline: do not ask the Hub.
        check_token: ask the Hub whether the token is valid.
    """

    environ: Mapping[str, str]
    read_config: ReadConfig
    options: Mapping[str, Any] = field(default_factory=dict)
    offline: bool = False
    check_token: bool = False

    @property
    def home(self) -> Path:
        """LOCALMIX_HOME."""
        return settings.home(self.environ)

    @property
    def cache(self) -> Path:
        """LOCALMIX_CACHE."""
        return settings.cache_folder(self.environ)


def examine(ask: Ask) -> tuple[Group, ...]:
    """Look at everything."""
    return (*local(ask), _group("network", lambda: _network(ask)))


def local(ask: Ask) -> tuple[Group, ...]:
    """Look at everything but the network."""
    return (
        _group("software", _software),
        _group("machine", lambda: _machine(ask)),
        _group("kernels", lambda: _kernels(ask)),
        _group("models", lambda: _store(ask)),
        _group("files", lambda: _records(ask)),
        _group("settings", lambda: _settings(ask)),
    )


def mend(groups: Iterable[Group]) -> list[str]:
    """Do what is safe about the findings -> sentences that say what was done. Modifies: the disk.

    Missing folders are made, kernels that nothing loads and halves of files removed, permissions
    tightened. No model, download or conversation is deleted.
    """
    done = []
    for finding in _findings(groups):
        if finding.fix is None:
            continue
        try:
            done.append(finding.fix())
        except OSError as error:
            done.append(f"{finding.name} could not be mended: {error.strerror or reason(error)}")
    return done


def counts(groups: Iterable[Group]) -> dict[State, int]:
    """Count the findings of each state."""
    found = [finding.state for finding in _findings(groups)]
    return {state: found.count(state) for state in STATES}


def n_fixable(groups: Iterable[Group]) -> int:
    """Count the findings that `mend` does something about."""
    return sum(finding.fix is not None for finding in _findings(groups))


def _findings(groups: Iterable[Group]) -> Iterable[Finding]:
    return (finding for group in groups for finding in group.findings)


def _group(name: str, looks: Callable[[], Looks]) -> Group:
    """Take the looks of one family; one that cannot even be imported becomes a finding."""
    ready: Looks = []

    def prepare() -> Iterable[Finding]:
        ready.extend(looks())
        return ()

    failed = looked([(name, prepare)])
    return Group(name, (*failed, *looked(ready)))


# Imported one by one: a package that is missing or broken takes only its family with it.


def _software() -> Looks:
    from localmix.doctor import software

    return software.looks()


def _machine(ask: Ask) -> Looks:
    from localmix.doctor import machine

    return machine.looks(ask.home, ask.cache)


def _kernels(ask: Ask) -> Looks:
    from localmix.doctor import kernels

    return kernels.looks(ask.cache)


def _store(ask: Ask) -> Looks:
    from localmix.doctor import store

    return store.looks(ask.home)


def _records(ask: Ask) -> Looks:
    from localmix.doctor import records

    return records.looks(ask.home, ask.cache, ask.read_config)


def _settings(ask: Ask) -> Looks:
    from localmix.doctor import settings_in_force

    return settings_in_force.looks(ask.environ)


def _network(ask: Ask) -> Looks:
    from localmix.doctor import network

    return network.looks(ask.environ, ask.offline, ask.check_token)
