"""The verdict of a confirmation: each rival beside the champion, what it would take to know more, and what to use."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from thalweg.analysis.comparison import BestBaseline
from thalweg.analysis.verdict.looks import WORDS, Looks, Word, look_by_look, spending
from thalweg.analysis.verdict.paired_tests import num_hypotheses, seeds_needed
from thalweg.search.confirmation.confirmation import Confirmation, Run
from thalweg.search.confirmation.contenders import Contender
from thalweg.search.store.records import StudyRecord, TrialRecord
from thalweg.wording import counted, some

if TYPE_CHECKING:  # torch takes seconds
    from thalweg.analysis.verdict.unit_scope import UnitFinding

_FAILED: Mapping[str | None, str] = {
    "diverged": "diverged",
    "out_of_memory": "ran out of memory",
    "infeasible": "could not be trained",
}
CHEAPER = 0.8
"""A configuration is called cheaper if its runs take at most this share of the champion's time."""


@dataclass(frozen=True, kw_only=True)
class Repeated:
    """A configuration and its runs.

    Attributes:
        contender: The configuration.
        trials: Its runs that have ended by themselves, by the index of their seed.
        lost: Attempts at other runs, each lost through no fault of the configuration, by the index of their seed.
    """

    contender: Contender
    trials: Mapping[int, TrialRecord]
    lost: Mapping[int, tuple[TrialRecord, ...]] = field(default_factory=dict)

    @property
    def scores(self) -> dict[int, float | None]:
        """Objective by the index of the seed; None for a run that failed."""
        return {index: _value(trial) for index, trial in self.trials.items()}

    @property
    def num_failed(self) -> int:
        """Runs that failed, such as those that diverged."""
        return sum(score is None for score in self.scores.values())

    @property
    def failures(self) -> dict[str, int]:
        """Failed runs by why they failed, as one word (`thalweg.events.EndedAs`), the most frequent first."""
        failed = [trial for trial in self.trials.values() if _value(trial) is None]
        words = ((trial.ended_as if trial.status == "failed" else None) or "failed" for trial in failed)
        return dict(Counter(words).most_common())

    @property
    def failed(self) -> str:
        """How many of its runs failed, and how: ``2 of 5 diverged, 1 ran out of memory``; empty if none did."""
        told = [f"{count} {_FAILED.get(word, 'failed')}" for word, count in self.failures.items()]
        return ", ".join(told).replace(" ", f" of {len(self.trials)} ", 1)

    @property
    def mean(self) -> float | None:
        """Mean over seeds; None if there is none or a run failed, for a mean without it would be too good."""
        scores = self.scores.values()
        known = [score for score in scores if score is not None]
        return statistics.fmean(known) if known and len(known) == len(scores) else None

    @property
    def spread(self) -> float | None:
        """Standard deviation over the seeds that did not fail; None of fewer than two."""
        known = [score for score in self.scores.values() if score is not None]
        return statistics.stdev(known) if len(known) > 1 else None

    @property
    def seconds(self) -> float | None:
        """Median seconds of a whole run: the first one on a lane takes longer."""
        known = [trial.seconds for trial in self.trials.values() if trial.status == "complete"]
        return statistics.median(known) if known else None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What the champion does to one rival.

    Attributes:
        rival: Name of the rival.
        kind: A baseline is a constant without seeds, such as climatology.
        word: The verdict over seeds.
        difference: Mean by which the champion is better, in the metric's unit; None before it is known.
        low: Lower end of its interval, simultaneous over the rivals; None if it is not bounded.
        high: Upper end.
        seeds: Seeds that it is based on.
        level: Level of the interval.
        matters: Smallest difference that matters; None if it is not known.
        num_failed: Failed runs of the champion and of the rival.
        needed: Seeds that it would take to see a difference that matters; None unless it cannot be told.
        needed_s: Seconds of all further runs that this takes.
        over_units: Verdicts over places and years.
    """

    rival: str
    kind: Literal["configuration", "constant"]
    word: Word
    difference: float | None
    low: float | None
    high: float | None
    seeds: int
    level: float | None
    matters: float | None
    num_failed: tuple[int, int]
    needed: int | None = None
    needed_s: float | None = None
    over_units: tuple[UnitFinding, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """The configuration to use. It is no verdict: something has to be used also if nothing can be told.

    Attributes:
        name: The configuration; None if all failed at some seed.
        reason: Why.
    """

    name: str | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """All that a confirmation found so far.

    Attributes:
        plan: Who runs and with which seeds.
        repeated: The configurations with their runs, the champion first.
        baseline: The best baseline, a constant, with the others; None if none is known.
        findings: One for each rival.
        wanted: Runs that the next look needs; none if all is settled or the seeds are used up.
        recommendation: What to use.
        metric: Name of the objective.
        mode: Whether smaller or larger is better.
        unit: Unit of the objective and of all differences; empty if it has none.
    """

    plan: Confirmation
    repeated: tuple[Repeated, ...]
    baseline: BestBaseline | None
    findings: tuple[Finding, ...]
    wanted: tuple[Run, ...]
    recommendation: Recommendation
    metric: str
    mode: Literal["min", "max"]
    unit: str = ""

    @property
    def constants(self) -> dict[str, float]:
        """Values of all baselines, the best first."""
        return {} if self.baseline is None else self.baseline.values

    @property
    def champion(self) -> Repeated:
        """The configuration that was named before any new seed."""
        return self.repeated[0]

    @property
    def lost(self) -> dict[Run, tuple[TrialRecord, ...]]:
        """Attempts at runs that are still wanted, each lost through no fault of its configuration, by the run."""
        attempts = {one.contender.name: one.lost for one in self.repeated}
        return {run: attempts[run[0]][run[1]] for run in self.wanted if run[1] in attempts[run[0]]}


def judge(
    plan: Confirmation, record: StudyRecord | None, search: StudyRecord, baseline: BestBaseline | None = None
) -> Confirmed:
    """Judges the runs of a confirmation that have ended.

    Args:
        plan: Who runs and with which seeds.
        record: The confirmation; None before it has begun.
        search: The study that is confirmed.
        baseline: The best baseline by the objective; it and the others enter as constants.
    """
    repeated = _repeated(plan, record)
    sign = 1.0 if search.mode == "max" else -1.0
    constants = {} if baseline is None else baseline.values
    shape = (len(repeated) + len(constants), len(plan.seeds))
    scores, ended = np.full(shape, np.nan), np.zeros(shape, np.bool_)
    for row, one in enumerate(repeated):
        for index, score in one.scores.items():
            ended[row, index], scores[row, index] = True, math.nan if score is None else sign * score
    constant = np.arange(len(scores)) >= len(repeated)
    ended[constant], scores[constant] = True, sign * np.array([*constants.values()])[:, None]
    found = look_by_look(
        scores, spending(len(plan.seeds)), matters=plan.matters, ended=ended, constant=constant
    )
    rivals = [*((one.contender.name, one) for one in repeated[1:]), *((name, None) for name in constants)]
    count = num_hypotheses(constant[1:])
    findings = tuple(
        _finding(place, name, one, repeated[0], found, count) for place, (name, one) in enumerate(rivals)
    )
    wanted = tuple((repeated[row].contender.name, int(index)) for index, row in np.argwhere(found.wanted.T))
    return Confirmed(
        plan=plan,
        repeated=repeated,
        baseline=baseline,
        findings=findings,
        wanted=wanted,
        recommendation=recommend(repeated, findings, search.mode),
        metric=str(search.definition["metric"]),
        mode=search.mode,
        unit=_unit(search),
    )


def _repeated(plan: Confirmation, record: StudyRecord | None) -> tuple[Repeated, ...]:
    ended = {} if record is None else dict(plan.runs(record))
    lost: dict[Run, tuple[TrialRecord, ...]] = {}
    for run, trial in plan.lost(record) if record is not None else ():
        if run not in ended:
            lost[run] = (*lost.get(run, ()), trial)
    return tuple(
        Repeated(
            contender=one,
            trials={index: ended[name, index] for name, index in sorted(ended) if name == one.name},
            lost={index: trials for (name, index), trials in lost.items() if name == one.name},
        )
        for one in plan.contenders
    )


def _unit(search: StudyRecord) -> str:
    units = {metric.name: metric.unit for metric in search.metrics}
    unit = units.get(str(search.definition["metric"]), "1")
    return "" if unit == "1" else unit


def with_units(confirmed: Confirmed, found: Mapping[str, Sequence[UnitFinding]]) -> Confirmed:
    """Returns a verdict with what was found over places and years, by the rival's name."""
    findings = tuple(replace(one, over_units=tuple(found.get(one.rival, ()))) for one in confirmed.findings)
    return replace(confirmed, findings=findings)


def recommend(
    repeated: Sequence[Repeated], findings: Sequence[Finding], mode: Literal["min", "max"]
) -> Recommendation:
    """Chooses what to use: what is shown to be better, else what is cheaper of the same, else the champion.

    In place of a champion of which a run failed it is the one with the best mean of those without a failure.

    Args:
        repeated: The configurations, the champion first.
        findings: Verdicts on its rivals.
        mode: Whether smaller or larger is better.
    """
    found = _recommend(repeated, findings, mode)
    better = [one.rival for one in findings if one.kind == "constant" and one.word == "loses"]
    if not better:
        return found
    told = f"{better[0]}, a baseline, is" if len(better) == 1 else f"{some(better)}, baselines, are"
    return replace(found, reason=f"{found.reason}; {told} better still than the champion")


def _recommend(
    repeated: Sequence[Repeated], findings: Sequence[Finding], mode: Literal["min", "max"]
) -> Recommendation:
    champion, by_name = repeated[0], {one.contender.name: one for one in repeated}
    runs = [one for one in findings if one.kind == "configuration"]
    name = champion.contender.name
    lost = [one for one in runs if one.word == "loses" and not by_name[one.rival].num_failed]
    if lost:
        best = min(lost, key=lambda one: one.difference or 0.0)
        return Recommendation(name=best.rival, reason=f"{name} loses to it")
    if champion.num_failed:
        return _instead_of_unstable(repeated, mode)
    same = [by_name[one.rival] for one in runs if one.word == "same"]
    cheap = [one for one in same if _is_cheaper(one, champion)]
    if cheap:
        choice = min(cheap, key=lambda one: one.seconds or math.inf)
        share = (choice.seconds or 0.0) / (champion.seconds or 1.0)
        return Recommendation(
            name=choice.contender.name, reason=f"the same as {name}, in {share:.0%} of its time"
        )
    beaten = [one for one in runs if one.word.startswith("beats")]
    if runs and len(beaten) == len(runs):
        return Recommendation(name=name, reason="it beats all other configurations")
    if any(one.seeds for one in findings):
        return Recommendation(name=name, reason="nothing is shown to be better")
    return Recommendation(name=name, reason="the search's best; no seeds are judged yet")


def _instead_of_unstable(repeated: Sequence[Repeated], mode: Literal["min", "max"]) -> Recommendation:
    """Returns the configuration with the best mean, over the seeds that all have, of those without a failed run."""
    champion = repeated[0]
    told = f"of the runs of {champion.contender.name} {champion.failed}"
    stable = [one for one in repeated[1:] if one.trials and not one.num_failed]
    if not stable:
        return Recommendation(name=None, reason=f"{told}, and so did some of each other configuration")
    seeds = set(stable[0].trials).intersection(*(one.trials for one in stable))
    if not seeds:
        return Recommendation(name=None, reason=f"{told}, and the others have no seeds in common yet")
    sign = 1.0 if mode == "max" else -1.0
    best = max(stable, key=lambda one: sign * sum(one.scores[index] or 0.0 for index in seeds))
    among = f", which has the best mean of {len(stable)} over {counted(len(seeds), 'seed')}"
    reason = f"{told}, none of this one{among if len(stable) > 1 else ''}"
    return Recommendation(name=best.contender.name, reason=reason)


def _is_cheaper(one: Repeated, champion: Repeated) -> bool:
    own, theirs = one.seconds, champion.seconds
    return own is not None and theirs is not None and own <= CHEAPER * theirs


def _finding(
    place: int, name: str, one: Repeated | None, champion: Repeated, found: Looks, num_rivals: int
) -> Finding:
    word, seeds = WORDS[int(found.words[place])], int(found.seeds[place])
    mean, low, high, matters = (
        _finite(each[place]) for each in (found.mean, found.low, found.high, found.matters)
    )
    finding = Finding(
        rival=name,
        kind="constant" if one is None else "configuration",
        word=word,
        difference=mean,
        low=low,
        high=high,
        seeds=seeds,
        level=1 - float(found.error[place]) if seeds else None,
        matters=matters,
        num_failed=(champion.num_failed, one.num_failed if one is not None else 0),
    )
    if word == "cannot tell" and seeds and mean is not None:
        needed = _needed(finding, one, champion, num_rivals)
        seconds = (champion.seconds or 0.0) + (one.seconds or 0.0 if one is not None else 0.0)
        if needed is not None:
            return replace(finding, needed=needed, needed_s=max(0, needed - seeds) * seconds or None)
    return finding


def _needed(finding: Finding, one: Repeated | None, champion: Repeated, num_rivals: int) -> int | None:
    """Returns the seeds that show a difference that matters; None if the runs do not spread or nothing matters."""
    own = champion.scores
    theirs = dict.fromkeys(own, 0.0) if one is None else one.scores
    pairs = [(own[i], theirs.get(i)) for i in own if i < finding.seeds]
    differences = [a - b for a, b in pairs if a is not None and b is not None]
    if not finding.matters or len(differences) < 2 or not (spread := statistics.stdev(differences)):
        return None
    return max(finding.seeds + 1, seeds_needed(spread / math.sqrt(2), finding.matters, num_rivals))


def _value(trial: TrialRecord) -> float | None:
    return trial.value if trial.status == "complete" else None


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
