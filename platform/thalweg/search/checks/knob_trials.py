"""Changes searched parameters one by one, and observes in which configurations that changes nothing."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeAlias

from thalweg.config import active
from thalweg.errors import ThalwegError
from thalweg.search.checks.covering import Pair, apart, covering, pairs
from thalweg.search.checks.draws import Draw, varied, with_choice
from thalweg.search.checks.examined import Examined
from thalweg.search.checks.footprint import BRIEF, LARGER, SIZE, Footprint, Likeness
from thalweg.search.checks.judgement import Deadline
from thalweg.search.checks.stopper import StoppedError, Stopper
from thalweg.stage_contract import JointLoss
from thalweg.training.guards.family_code import blaming
from thalweg.wording import shortened, some

_TOLD_S = 2.0  # of what takes no training, however little time is left
_SLOW_S = 1.0  # of changing a parameter; a stopper would hold up what is quicker
MAX_COMPARED = 24
"""Configurations in which what is asked is compared with what is configured, which takes no training."""

Finding: TypeAlias = Literal["alive", "dead", "loss", "rounding", "untried"]


class Place(NamedTuple):
    """Where in a space a parameter does nothing.

    Attributes:
        text: The end of a sentence.
        kind: All of it, a branch, or configurations that only numbers set apart.
    """

    text: str
    kind: Literal["everywhere", "branch", "region"]


@dataclass
class Observed:
    """What was found of one parameter.

    Attributes:
        found: Configurations by what the parameter does in them.
    """

    found: dict[Finding, list[Draw]] = field(default_factory=dict)

    def add(self, finding: Finding, draw: Draw) -> None:
        """Adds a configuration."""
        self.found.setdefault(finding, []).append(draw)

    def of(self, *findings: Finding) -> list[Draw]:
        """Returns the configurations of some findings."""
        return [draw for finding in findings for draw in self.found.get(finding, [])]


class KnobTrials:
    """Changes parameters one by one, and observes what that changes.

    Args:
        examined: The space.
        deadline: When to stop.
    """

    def __init__(self, examined: Examined, deadline: Deadline) -> None:
        self._examined = examined
        self._deadline = deadline
        self.observed: dict[str, Observed] = {}
        self.wanted: frozenset[Pair] = frozenset()
        self._tried: set[Pair] = set()
        self._done: set[tuple[str, int]] = set()
        self.reaching: set[str] = set()
        self.broken: dict[str, Draw] = {}
        self._is_stopped = False

    @cached_property
    def bases(self) -> list[Draw]:
        """The configurations that parameters are changed in: all defaults, the study's first trials, and the draws."""
        return self._examined.bases

    def compare_configurations(self) -> None:
        """Looks for parameters that do not reach the configuration, or only knobs that are idle in it."""
        deadline = self._deadline.share(0.2)
        for draw in self.bases[:MAX_COMPARED]:
            own = active(draw.config)
            for name in draw.params:
                others = list(varied(self._examined.space, draw, name))
                if any(other.config != draw.config for other in others):
                    self.reaching.add(name)
                if others and all(active(other.config) == own for other in others):
                    self._observe(name, "dead", draw)
            if deadline.has_passed:
                return

    def compare_briefly(self) -> None:
        """Looks for parameters that change what a trial is told, or how its first step ends on few samples.

        It is for models that take long. That nothing changes means nothing yet: `compare_footprints` looks longer.
        """
        names = {name for draw in self.bases for name in draw.params}
        if len(names) * self._seconds_of_look <= self._deadline.left:
            return
        told, trained = Deadline(max(self._deadline.left, _TOLD_S)), self._deadline.share(0.8)
        for is_trained, deadline in ((False, told), (True, trained)):
            left = names - {name for name in names if self._alive(name)}
            bases = self.bases[:MAX_COMPARED]
            for draw, asked in _first_asking(sorted(bases, key=self._size) if is_trained else bases, left):
                self._begin_each(draw, asked, deadline, is_trained=is_trained)

    def _size(self, draw: Draw) -> float:
        try:
            with blaming(self._examined.family.package):
                return self._examined.num_parameters(draw.config)
        except ThalwegError:
            return math.inf

    def _begin_each(self, draw: Draw, names: Sequence[str], deadline: Deadline, *, is_trained: bool) -> None:
        """Changes parameters, and observes those that are alive at the beginning of a trial."""
        base = None
        for name in names:
            others = varied(self._examined.space, draw, name)
            for other in sorted(others, key=self._size) if is_trained else others:
                if deadline.has_passed:
                    return
                base = base or Footprint(self._examined, draw.config, self._num_brief(draw))
                if self._begins_otherwise(base, other, is_trained=is_trained):
                    self._observe(name, "alive", draw)
                    self.reaching.add(name)
                    break

    def _begins_otherwise(self, base: Footprint, other: Draw, *, is_trained: bool) -> bool:
        try:
            stopper = self._stopper() if is_trained else nullcontext()
            with blaming(self._examined.family.package), stopper:
                found = Footprint(self._examined, other.config, base.size)
                return base.begins_otherwise(found) if is_trained else base.is_told_otherwise(found)
        except ThalwegError:  # it is told of, if it comes of more samples, too
            return False

    def _num_brief(self, draw: Draw) -> int:
        stages = self._examined.task(draw.config).stages()
        return BRIEF if any(isinstance(stage.loss, JointLoss) for stage in stages) else 1

    @property
    def _seconds_of_look(self) -> float:
        """About how long it takes to change a parameter: a step takes as long as three evaluations."""
        return 3 * SIZE * self._examined.seconds_of_sample

    def _stopper(self) -> AbstractContextManager[Any]:
        """Returns a context in which slow models are stopped once the time has passed."""
        return Stopper(self._deadline) if self._seconds_of_look > _SLOW_S else nullcontext()

    def compare_footprints(self) -> None:
        """Changes each parameter in configurations that cover the space, until the time has passed.

        Those of which nothing is known to be alive come first, each in the first configurations that ask for it.
        """
        deadline = self._deadline.share(0.7)  # the rest finds the branches
        chosen = [draw for draw, _ in covering(self.bases)]
        self.wanted = frozenset[Pair]().union(*map(pairs, chosen))
        for is_known in (False, True):
            for draw in chosen:
                if deadline.has_passed:
                    return
                self._change_each(draw, deadline, is_known=is_known)

    def _change_each(self, draw: Draw, deadline: Deadline, *, is_known: bool) -> None:
        """Changes the parameters of a configuration of which it is or is not known that they are alive elsewhere."""
        names = [
            name
            for name in draw.params
            if (name, id(draw)) not in self._done and bool(self._alive(name)) == is_known
        ]
        if not names or (base := self._footprint(draw)) is None:
            return
        for name in names:
            if deadline.has_passed:
                return
            finding = self.finding(base, draw, name)
            if self._is_stopped and finding != "alive":
                return
            self._observe(name, finding, draw)

    def _alive(self, name: str) -> list[Draw]:
        return self.observed.get(name, Observed()).of("alive")

    @property
    def num_bases(self) -> int:
        """Number of configurations in which some parameter was changed."""
        return len({draw for _, draw in self._done})

    @property
    def left(self) -> frozenset[Pair]:
        """Pairs of a parameter and an option of another that were not tried."""
        return self.wanted - self._tried

    def finding(self, base: Footprint, draw: Draw, name: str) -> Finding:
        """Returns what a parameter does in a configuration, after a second look on more samples if it is nothing."""
        found = self._finding(base, draw, name)
        if found in ("alive", "untried") or self._is_dead_elsewhere(name):
            return found
        larger = self._footprint(draw, LARGER)
        return found if larger is None else self._finding(larger, draw, name, LARGER)

    def branches(self, name: str, dead: list[Draw], alive: list[Draw]) -> Iterator[Place]:
        """Yields the branches that configurations lie in where a parameter is dead, or one of them without a branch."""
        while dead:
            option = self._reviving(name, dead[0], alive)
            if not option:
                text = apart(dead, alive, name) if self._deadline.has_passed else ""
                yield Place(f" where {text}", "branch") if text else _like(dead[0], name)
                return
            yield Place(f" where {option} = {shortened(dead[0].params[option])}", "branch")
            dead = [draw for draw in dead if draw.params.get(option) != dead[0].params[option]]

    def _is_dead_elsewhere(self, name: str) -> bool:
        """Returns whether a parameter did nothing for many samples in another configuration, and never anything."""
        seen = self.observed.get(name, Observed())
        return bool(seen.of("dead", "loss", "rounding")) and not seen.of("alive")

    def _reviving(self, name: str, dead: Draw, alive: list[Draw]) -> str:
        """Returns the option of a configuration by which a parameter is dead in it: with another one it is alive."""
        values = {
            option: [draw.params[option] for draw in alive if option in draw.params] for option in dead.params
        }
        options = [option for option in dead.choices() if option != name]
        for option in sorted(options, key=lambda each: dead.params[each] in values[each]):
            if self._deadline.has_passed:
                return ""
            for value in dict.fromkeys(each for each in values[option] if each != dead.params[option]):
                other = with_choice(self._examined.space, dead, {option: value})
                base = None if other is None or name not in other.params else self._footprint(other)
                if other is not None and base is not None and self._finding(base, other, name) == "alive":
                    return option
        return ""

    def _finding(self, base: Footprint, draw: Draw, name: str, size: int = SIZE) -> Finding:
        likeness, losses = [], []
        for other in varied(self._examined.space, draw, name):
            if other.config != draw.config:
                self.reaching.add(name)
            found = self._footprint(other, size)
            alike = None if found is None else self._likeness(base, found, other)
            if found is None or alike is None:
                continue
            likeness.append(alike)
            if alike == "other":
                return "alive"
            losses.append(found.losses == base.losses)
        if not likeness:
            return "untried"
        if "rounding" in likeness:
            return "rounding"
        return "dead" if all(losses) else "loss"

    def _footprint(self, draw: Draw, size: int = SIZE) -> Footprint | None:
        """Returns the footprint of a configuration; None if it cannot train, which is kept, or was stopped."""
        try:
            with blaming(self._examined.family.package), self._stopper():
                made = Footprint(self._examined, draw.config, size)
                next(iter(made))
        except StoppedError:
            self._is_stopped = True
            return None
        except ThalwegError as error:
            self.broken.setdefault(str(error), draw)
            return None
        return made

    def _likeness(self, base: Footprint, found: Footprint, draw: Draw) -> Likeness | None:
        """Compares two footprints; returns None if one of them cannot train, which is kept, or was stopped."""
        try:
            with blaming(self._examined.family.package), self._stopper():
                return base.likeness(found)
        except StoppedError:
            self._is_stopped = True
            return None
        except ThalwegError as error:
            self.broken.setdefault(str(error), draw)
            return None

    def _observe(self, name: str, finding: Finding, draw: Draw) -> None:
        self.observed.setdefault(name, Observed()).add(finding, draw)
        self._done.add((name, id(draw)))
        self._tried |= {pair for pair in pairs(draw) if pair[0] == name}


def _first_asking(draws: Sequence[Draw], names: Collection[str]) -> Iterator[tuple[Draw, Sequence[str]]]:
    """Yields configurations that ask for parameters, with those that none before asks for."""
    left = set(names)
    for draw in draws:
        if asked := [name for name in draw.params if name in left]:
            left -= set(asked)
            yield draw, asked


def _like(draw: Draw, name: str) -> Place:
    """Returns the place of a configuration in which no option is to blame: its numbers leave the parameter no room."""
    others = {other: value for other, value in draw.params.items() if other != name}
    values = [f"{other} = {shortened(value, 3)}" for other, value in others.items()]
    return Place(f" in some configurations, such as with {some(values, most=8)}", "region")
