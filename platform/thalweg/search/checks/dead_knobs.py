"""Finds searched parameters that change nothing, and the branch of the space in which they do not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias

from thalweg.config import active
from thalweg.errors import ThalwegError
from thalweg.search.checks.branch_words import apart, branch_of
from thalweg.search.checks.covering import Pair, covering
from thalweg.search.checks.draws import Draw, middle, varied, with_choice
from thalweg.search.checks.examined import Examined
from thalweg.search.checks.footprint import LARGER, SIZE, Footprint, Likeness
from thalweg.search.checks.judgement import Deadline, Judgement
from thalweg.training.guards.family_code import blaming
from thalweg.wording import counted, some

MAX_COMPARED = 24
"""Configurations in which what is asked is compared with what is configured, which takes no training."""

Finding: TypeAlias = Literal["alive", "dead", "loss", "rounding", "untried"]
_CLAUSES: Mapping[Finding, str] = {
    "dead": "changes nothing",
    "loss": "changes the loss that is recorded and no gradient",
    "rounding": "changes no more than rounding does",
}
_WEAK: tuple[Finding, ...] = ("rounding", "loss", "dead")


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
        self.num_bases = 0
        self.left: frozenset[Pair] = frozenset()
        self.reaching: set[str] = set()
        self.broken: dict[str, Draw] = {}

    @cached_property
    def bases(self) -> list[Draw]:
        """The configurations that parameters are changed in: that of all defaults, and the draws."""
        return [middle(self._examined.space), *self._examined.draws.whole]

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
        """Changes each parameter in configurations that cover the space, until the time has passed."""
        for draw, left in covering(self.bases):
            known = {name for name, each in self.observed.items() if draw in each.of("dead")}
            base = self._footprint(draw)
            for name in () if base is None else [name for name in draw.params if name not in known]:
                if self._deadline.has_passed:
                    return
                self._observe(name, self.finding(base, draw, name), draw)
            self.num_bases += 1
            self.left = left

    def finding(self, base: Footprint, draw: Draw, name: str) -> Finding:
        """Returns what a parameter does in a configuration, after a second look on more samples if it is nothing."""
        found = self._finding(base, draw, name)
        if found in ("alive", "untried") or self._is_dead_elsewhere(name):
            return found
        larger = self._footprint(draw, LARGER)
        return found if larger is None else self._finding(larger, draw, name, LARGER)

    def branches(self, name: str, dead: list[Draw], alive: list[Draw]) -> Iterator[str]:
        """Yields the branches that configurations lie in where a parameter is dead."""
        while dead:
            option = self._reviving(name, dead[0], alive)
            if not option:
                yield apart(dead, alive, name) or _like(dead[0], name)
                return
            yield f"{option} = {dead[0].params[option]}"
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
            for value in dict.fromkeys(each for each in values[option] if each != dead.params[option]):
                other = with_choice(self._examined.space, dead, {option: value})
                base = None if other is None or name not in other.params else self._footprint(other)
                if other is not None and base is not None and self._finding(base, other, name) == "alive":
                    return option
        return ""

    def _finding(self, base: Footprint, draw: Draw, name: str, size: int = SIZE) -> Finding:
        likeness, losses = [], []
        for other in varied(self._examined.space, draw, name):
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


def judge_dead_knobs(examined: Examined, deadline: Deadline) -> Judgement:
    """Changes each searched parameter alone, in each branch that there is time for, and names those that do nothing."""
    trials = KnobTrials(examined, deadline)
    trials.compare_configurations()
    trials.compare_footprints()
    names = list(dict.fromkeys(name for draw in trials.bases for name in draw.params))
    alive = [name for name in names if name in trials.observed and trials.observed[name].of("alive")]
    untried = [name for name in names if name in trials.reaching and name not in trials.observed]
    return Judgement(
        check="dead knobs",
        faults=tuple(_sentences(trials, names, everywhere=True)),
        warnings=(*_sentences(trials, names, everywhere=False), *_broken(trials)),
        told=f"{len(alive)} of {counted(len(names), 'parameter')} change something, in "
        f"{counted(trials.num_bases, 'configuration')}",
        skipped=tuple(_skipped(trials, names, untried)),
        numbers={"alive": alive, "configurations": trials.num_bases, "pairs_left": len(trials.left)},
    )


def _sentences(trials: KnobTrials, names: list[str], *, everywhere: bool) -> Iterator[str]:
    """Yields a sentence on all parameters of which the same is to be said.

    Args:
        trials: What was tried.
        names: All parameters.
        everywhere: Whether to tell what is a fault; what may be by chance, rounding in some branch, is a warning.
    """
    alike: dict[tuple[Finding, str, str], list[str]] = {}
    for name in names:
        seen = (
            trials.observed.get(name, Observed()) if name in trials.reaching else Observed()
        )  # else validity tells
        for finding, where in _places(trials, name, seen):
            if everywhere == (finding != "rounding" or not where):
                alike.setdefault((finding, _branch(trials, name), where), []).append(name)
    for (finding, branch, where), members in alike.items():
        yield (
            f"a searched parameter must change something, got {some(members, most=20)}{branch}, which "
            f"{_CLAUSES[finding]}{f' where {where}' if where else ' in any configuration that was tried'}; "
            f"{'ask for it only where it acts' if where else 'leave it out of the space'}"
        )


def _places(trials: KnobTrials, name: str, seen: Observed) -> Iterator[tuple[Finding, str]]:
    """Yields what a parameter does where it is not alive, and in which branch; empty text for all of the space."""
    if not seen.of("alive"):
        yield from [(finding, "") for finding in _WEAK if seen.of(finding)][:1]
        return
    for finding in _WEAK:
        for where in trials.branches(name, seen.of(finding), seen.of("alive")):
            yield finding, where


def _branch(trials: KnobTrials, name: str) -> str:
    """Says in which branch a parameter is asked for."""
    having = [draw for draw in trials.bases if name in draw.params]
    lacking = [draw for draw in trials.bases if name not in draw.params]
    return branch_of(name, having, lacking)


def _like(draw: Draw, name: str) -> str:
    options = [f"{other} = {value}" for other, value in draw.params.items() if other != name]
    return some(options, most=12)


def _broken(trials: KnobTrials) -> Iterator[str]:
    for error in list(trials.broken)[:3]:
        yield f"a configuration cannot train: {error}"


def _skipped(trials: KnobTrials, names: list[str], untried: list[str]) -> Iterator[str]:
    if untried:
        yield f"{counted(len(untried), 'parameter')} of {len(names)}, not tried in time: {some(untried)}"
    elif trials.left:
        yield f"for time: {counted(len(trials.left), 'pair')} of a parameter and an option of another"
