"""Exploration: perturbed values for a trial that continues another one, of those parameters that may change.

Whether a parameter may change is found out by trial: the space is asked with the changed value, and all knobs that move
must be changeable (`thalweg.knobs.changeable`). What a perturbation would change otherwise stays as the parent has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from thalweg.config import FamilyConfig
from thalweg.errors import ThalwegError
from thalweg.knobs.changeable import fixed_knobs, moved_knobs
from thalweg.search.domains import ChoiceSet, Domain, NumberRange, Record
from thalweg.search.replay import RecordedTrial
from thalweg.study import Population

Configure = Callable[[RecordedTrial], FamilyConfig]
"""Returns the configuration of a parameter set, with what it inherits from other studies."""


@dataclass(frozen=True)
class Move:
    """What changing parameters of a parameter set would do.

    Attributes:
        config: The configuration.
        fixed: Knobs that would move and may not.
        moves: Whether a knob moves at all, and the same parameters are asked.
    """

    config: FamilyConfig
    fixed: frozenset[str]
    moves: bool

    @property
    def is_possible(self) -> bool:
        """Whether a training may go on so."""
        return self.moves and not self.fixed


def explored(
    configure: Configure, params: Mapping[str, Any], settings: Population, random: Random
) -> dict[str, Any]:
    """Returns a parameter set in which those parameters are perturbed that may change during training.

    One after another is perturbed, in the order in which the space asks for them; a value that the space refuses beside
    those before it stays.

    Args:
        configure: The space.
        params: Parameters of the trial that is continued.
        settings: Probability of a new value, factors, and names of the parameters that are perturbed.
        random: Source of the randomness.
    """
    asked = RecordedTrial(params, strict=False)
    config = configure(asked)
    found = dict(params)
    for name, domain in asked.asked.items():
        if name not in found or (settings.perturb and name not in settings.perturb):
            continue
        value = perturbed(domain, found[name], settings, random)
        move = moved(configure, config, asked.asked, found | {name: value}) if value != found[name] else None
        if move is not None and move.is_possible:
            found, config = found | {name: value}, move.config
    return found


def moved(
    configure: Configure, config: FamilyConfig, asked: Mapping[str, Domain], params: Mapping[str, Any]
) -> Move | None:
    """Returns what a changed parameter set does to a configuration; None if the space refuses it.

    Args:
        configure: The space.
        config: The configuration before.
        asked: What the space asked for then.
        params: The changed parameter set.
    """
    trial = RecordedTrial(params, strict=False)
    try:
        other = configure(trial)
    except ThalwegError:
        return None
    alike = trial.asked.keys() == asked.keys() and bool(moved_knobs(config, other))
    return Move(other, fixed_knobs(config, other), alike)


def perturbed(domain: Domain, record: Record, settings: Population, random: Random) -> Record:
    """Returns a value of a parameter that takes the place of another one: drawn anew, or multiplied by a factor.

    A range that holds 0 or less has no scale: there a factor f adds f - 1 times the width of the range. Steps are kept,
    and at least one is taken. What leaves the range ends at its bound.
    """
    anew, factor = random.random() < settings.resample, random.choice(settings.factors)
    drawn = domain.sample(random)
    if anew:
        return drawn
    if isinstance(domain, ChoiceSet):
        return record
    assert isinstance(record, int | float)
    return _scaled(domain, record, factor)


def _scaled(domain: NumberRange, value: float, factor: float) -> Record:
    by = value * factor - value if domain.low > 0 else (factor - 1) * (domain.high - domain.low)
    step = domain.step or (1 if domain.whole else None)
    if step:
        steps = round(by / step) or (1 if factor > 1 else -1 if factor < 1 else 0)
        low = round((value - domain.low) / step)
        most = round((domain.high - domain.low) / step)
        value = domain.low + step * min(max(low + steps, 0), most)
    else:
        value = value + by
    value = min(max(value, domain.low), domain.high)
    return int(value) if domain.whole else float(value)


def changes_told(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Returns what has changed between two parameter sets as a message shows it: ``lr 0.01 -> 0.012``."""
    changed = [name for name in after if before.get(name) != after.get(name)]
    return ", ".join(f"{name} {_short(before.get(name))} -> {_short(after.get(name))}" for name in changed)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
