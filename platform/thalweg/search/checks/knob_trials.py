"""Changes searched parameters one by one, and observes in which configurations that changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple, TypeAlias

from thalweg.config import active
from thalweg.errors import ThalwegError
from thalweg.search.checks.covering import Pair, apart, covering, pairs
from thalweg.search.checks.draws import Draw, varied, with_choice
from thalweg.search.checks.examined import Examined
from thalweg.search.checks.footprint import LARGER, SIZE, Footprint, Likeness
from thalweg.search.checks.judgement import Deadline
from thalweg.training.guards.family_code import blaming
from thalweg.wording import shortened, some

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
            self._observe(name, self.finding(base, draw, name), draw)

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
        """Returns the footprint of a configuration; None if it cannot train, which is kept."""
        try:
            with blaming(self._examined.family.package):
                made = Footprint(self._examined, draw.config, size)
                next(iter(made))
        except ThalwegError as error:
            self.broken.setdefault(str(error), draw)
            return None
        return made

    def _likeness(self, base: Footprint, found: Footprint, draw: Draw) -> Likeness | None:
        """Compares two footprints; returns None if one of them cannot train, which is kept."""
        try:
            with blaming(self._examined.family.package):
                return base.likeness(found)
        except ThalwegError as error:
            self.broken.setdefault(str(error), draw)
            return None

    def _observe(self, name: str, finding: Finding, draw: Draw) -> None:
        self.observed.setdefault(name, Observed()).add(finding, draw)
        self._done.add((name, id(draw)))
        self._tried |= {pair for pair in pairs(draw) if pair[0] == name}


def _like(draw: Draw, name: str) -> Place:
    """Returns the place of a configuration in which no option is to blame: its numbers leave the parameter no room."""
    others = {other: value for other, value in draw.params.items() if other != name}
    values = [f"{other} = {shortened(value, 3)}" for other, value in others.items()]
    return Place(f" in some configurations, such as with {some(values, most=8)}", "region")
