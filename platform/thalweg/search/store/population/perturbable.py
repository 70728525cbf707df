"""Which parameters of a space may change while its configurations train, before a population begins.

A parameter is changed alone in the middle of the space, in its first trials and in random ones, as a population would
change it. It may be perturbed if that is possible somewhere: see `thalweg.search.store.population.exploration`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from thalweg.errors import ConfigError, ThalwegError, nothing
from thalweg.knobs.changeable import changeable_knobs
from thalweg.search.replay import AskedTrial, RecordedTrial, SampledTrial
from thalweg.search.space import Space
from thalweg.search.store.population.exploration import Move, moved, perturbed
from thalweg.wording import some

_NUM_SAMPLED = 8
_NUM_CHANGES = 6


@dataclass
class Perturbable:
    """What is known of a parameter.

    Attributes:
        may: Whether it may be perturbed.
        fixed: Knobs that it moves and that may not change.
    """

    may: bool = False
    fixed: set[str] = field(default_factory=set)

    def take(self, move: Move | None) -> None:
        """Takes what a change of it did."""
        if move is not None:
            self.may = self.may or move.is_possible
            self.fixed |= move.fixed


def parameters_of(space: Space) -> dict[str, Perturbable]:
    """Returns the parameters that a space asks for, and whether a population may perturb them."""
    assert space.study.population is not None
    settings = replace(space.study.population, resample=0.5)
    found: dict[str, Perturbable] = {}
    for asked in _bases(space):
        config = space(RecordedTrial(asked.params, strict=False))
        for name, domain in asked.asked.items():
            known = found.setdefault(name, Perturbable())
            for seed in range(_NUM_CHANGES):
                value = perturbed(domain, asked.params[name], settings, Random(seed))
                known.take(moved(space, config, asked.asked, asked.params | {name: value}))
    return found


def _bases(space: Space) -> Iterator[AskedTrial]:
    random = Random(0)
    given: list[Mapping[str, Any]] = [{}, *space.study.first_trials]
    trials: list[AskedTrial] = [RecordedTrial(params, strict=False) for params in given]
    for trial in [*trials, *(SampledTrial(random) for _ in range(_NUM_SAMPLED))]:
        with suppress(ThalwegError):  # what a space refuses is told elsewhere
            space(trial)
            yield trial


def check_population(space: Space) -> None:
    """Refuses a population that has nothing to perturb.

    Raises:
        ConfigError: None of the searched parameters may change during training, or one that is to be perturbed may not.
    """
    population = space.study.population
    if population is None:
        return
    found = parameters_of(space)
    for name in population.perturb:
        if name not in found:
            raise ConfigError(
                nothing(f"parameter {name!r}, which is to be perturbed,", "the space", name, found)
            )
        if not found[name].may:
            raise ConfigError(
                f"perturb must name parameters that may change during training, got {_told(name, found[name])}; "
                f"{_way_out(space)}"
            )
    if not any(known.may for known in found.values()):
        told = ", ".join(_told(name, known) for name, known in found.items()) or "none"
        raise ConfigError(
            f"a population must search at least one parameter that may change during training, got {told}; "
            f"{_way_out(space)}"
        )


def _told(name: str, known: Perturbable) -> str:
    return f"{name} ({f'changes {some(sorted(known.fixed))}' if known.fixed else 'changes no knob'})"


def _way_out(space: Space) -> str:
    config, _ = space.replay({})
    return (
        f"ask for one of {some(sorted(changeable_knobs(config)))}, or name a knob in Knobs.changeable of its family if "
        "neither the model nor the data nor the batch depends on it"
    )
