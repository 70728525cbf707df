"""Draws: configurations of a space at random, or the cells of its grid, and those that differ by one parameter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from thalweg.config import FamilyConfig
from thalweg.errors import ThalwegError
from thalweg.search.domains import ChoiceSet, Domain, Record
from thalweg.search.replay import AskedTrial, RecordedTrial, SampledTrial
from thalweg.search.space import Space

NUM_DRAWS = 256
"""Random configurations of a space that are drawn."""


@dataclass(frozen=True, kw_only=True)
class Draw:
    """One configuration of a space.

    Attributes:
        params: Records of its parameters by name.
        asked: What the space asked for.
        config: The configuration.
    """

    params: Mapping[str, Record]
    asked: Mapping[str, Domain]
    config: FamilyConfig

    def choices(self) -> dict[str, Record]:
        """Returns the parameters that are chosen among a few values: choices and short ranges of whole numbers."""
        return {name: value for name, value in self.params.items() if is_choice(self.asked[name])}


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A parameter set that a space or its configuration refuses.

    Attributes:
        params: The parameters that were asked until then.
        error: Why.
    """

    params: Mapping[str, Record]
    error: ThalwegError


@dataclass(frozen=True)
class Draws:
    """What a space gives for many trials.

    Attributes:
        whole: Configurations.
        refused: Parameter sets without one.
        is_grid: Whether all trials of the study are given, so that none is drawn.
    """

    whole: Sequence[Draw] = field(default_factory=list)
    refused: Sequence[Refused] = field(default_factory=list)
    is_grid: bool = False


def is_choice(domain: Domain) -> bool:
    """Returns whether a parameter takes one of a few values."""
    return isinstance(domain, ChoiceSet) or (
        domain.whole and not domain.log and domain.high - domain.low <= 8 * (domain.step or 1)
    )


def draw_all(space: Space, count: int = NUM_DRAWS) -> Draws:
    """Draws configurations of a space, always the same; those of a grid are its cells.

    Args:
        space: The space.
        count: Number of trials, those that it refuses included.
    """
    study = space.study
    is_grid = len(study.first_trials) >= study.num_trials
    whole: list[Draw] = []
    refused: list[Refused] = []
    for trial in _trials(study.first_trials if is_grid else (), count):
        try:
            whole.append(_drawn(space, trial))
        except ThalwegError as error:
            refused.append(Refused(params=trial.params, error=error))
    return Draws(whole, refused, is_grid)


def _trials(cells: Sequence[Mapping[str, Any]], count: int) -> Iterable[AskedTrial]:
    if cells:
        chosen = Random(0).sample(list(cells), min(count, len(cells)))
        return [RecordedTrial(cell, strict=False) for cell in chosen]
    random = Random(0)
    return [SampledTrial(random) for _ in range(count)]


def middle(space: Space) -> Draw:
    """Returns the configuration with all defaults."""
    return _drawn(space, RecordedTrial())


def first_trial(space: Space, params: Mapping[str, Any]) -> Draw | None:
    """Returns the configuration of a study's first trial, with defaults for what it leaves out; None if refused."""
    try:
        return _drawn(space, RecordedTrial(params, strict=False))
    except ThalwegError:
        return None


def varied(space: Space, draw: Draw, name: str) -> Iterator[Draw]:
    """Yields what a draw becomes if one parameter alone takes other values: the ends of its range, or other choices.

    The end that lies further away comes first. What the space refuses is left out; if it refuses both ends, the middle
    stands for them. Parameters that only the other value leads to take their defaults.
    """
    given = 0
    for value in _others(draw.asked[name], draw.params[name]):
        if given and value == draw.asked[name].default() and not isinstance(draw.asked[name], ChoiceSet):
            return
        if (other := with_choice(space, draw, {name: value})) is not None:
            given += 1
            yield other


def with_choice(space: Space, draw: Draw, params: Mapping[str, Record]) -> Draw | None:
    """Returns a draw with some other parameters; None if the space refuses them."""
    try:
        return _drawn(space, RecordedTrial({**draw.params, **params}, strict=False))
    except ThalwegError:
        return None


def _others(domain: Domain, value: Any) -> list[Record]:
    """Returns other values: choices, or the far end of a range, its near end, and its middle."""
    others = [corner for corner in domain.corners() if corner != value]
    if isinstance(domain, ChoiceSet):
        return others
    ends = sorted(others, key=lambda corner: -abs(float(str(corner)) - float(value)))
    return [*ends, domain.default()] if domain.default() not in (*ends, value) else ends


def _drawn(space: Space, trial: AskedTrial) -> Draw:
    config = space(trial)
    return Draw(params=dict(trial.params), asked=dict(trial.asked), config=config)
