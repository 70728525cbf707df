"""The progress of a search, computed from its events, for every view of a running search."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from thalweg.analysis.comparison import BestBaseline, Comparison
from thalweg.contract import Mode
from thalweg.events import (
    CONFIRMS,
    BaselineEvaluated,
    Event,
    StudyEnded,
    StudyExtended,
    StudyStarted,
    TrialEnded,
    TrialProgress,
    TrialStarted,
)
from thalweg.search.stopping.expected_improvement import expected_improvement
from thalweg.search.store.multi_objective.constraints import Constraints
from thalweg.search.store.records import TrialRecord, ranking


@dataclass
class Running:
    """A trial that a lane is training.

    Attributes:
        number: Number within the study.
        params: The searched parameters.
        began: When a lane began to train it, on the standing's clock.
        samples: Samples at the last evaluation.
        curve: The objective at each evaluation.
        trained: Whether it was evaluated in this session; a continued trial inherits its curve.
        inherited: Samples that it inherits with the curve.
    """

    number: int
    params: Mapping[str, Any]
    began: float
    samples: int = 0
    curve: list[float] = field(default_factory=list)
    trained: bool = False
    inherited: int = 0

    @property
    def own(self) -> int:
        """Samples trained in this session."""
        return self.samples - self.inherited


@dataclass(frozen=True)
class Best:
    """The best complete trial."""

    number: int
    value: float
    params: Mapping[str, Any]


class Standing:
    """The standing of a search: counts, best trial, progress and time left.

    Args:
        earlier: Trials of earlier sessions of the study, for which there are no events.
        clock: A monotonic clock in seconds.

    Attributes:
        study: The study as it started; None before that.
        ended: How the search ended; None before that.
        running: Trials in training by number.
        counts: Trials that ended as complete, pruned and failed, those of earlier sessions included.
        num_interrupted: Trials that were stopped with the search; they are continued with it.
        baselines: The objective of each baseline.
        best: The best complete trial.
        any_trained: Whether a trial was evaluated in this session.
    """

    def __init__(
        self, earlier: Sequence[TrialRecord] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._began = clock()
        self._earlier = earlier
        self._seconds: list[float] = []  # of trials that ended in this session
        self._losses: dict[
            int, float | None
        ] = {}  # of trials that ended for good; None if it was not complete
        self._statuses: dict[int, str] = {}  # of the same trials
        self.study: StudyStarted | None = None
        self.ended: StudyEnded | None = None
        self.running: dict[int, Running] = {}
        self._titles: dict[int, str] = {}
        self.counts = {"complete": 0, "pruned": 0, "failed": 0}
        self.num_interrupted = 0
        self.baselines: dict[str, float] = {}
        self.best: Best | None = None
        self.any_trained = False

    @property
    def elapsed(self) -> float:
        """Seconds of this session."""
        return self._clock() - self._began

    def since(self, moment: float) -> float:
        """Returns the seconds since a moment of this standing's clock."""
        return self._clock() - moment

    @property
    def signal(self) -> int:
        """Number of the signal that interrupted the search; 0 if none did."""
        return 0 if self.ended is None else self.ended.signal

    @property
    def num_ended(self) -> int:
        """Trials of the study that have ended for good."""
        return sum(self.counts.values())

    @property
    def progress(self) -> float:
        """Share of the study that is done, in [0, 1].

        It is counted in trials, because early stopping makes the number of samples unknowable. A running trial counts
        by the share of its budget.
        """
        if self.study is None:
            return 0.0
        shares = sum(trial.samples / self.study.samples for trial in self.running.values())
        return min(1.0, (self.num_ended + shares) / self.study.num_trials)

    def seconds_left(self) -> tuple[float, bool] | None:
        """Estimates the seconds to the end of the study; None while nothing is known.

        Returns:
            The seconds, and whether they are an upper bound: they are until a first trial has ended, because early
            stopping may save some.
        """
        if self.study is None or not self.any_trained:
            return None
        lanes = max(1, len(self.running), self.study.num_lanes)
        now = self._clock()
        waiting = max(0, self.study.num_trials - self.num_ended - len(self.running))
        if self._seconds:
            mean = sum(self._seconds) / len(self._seconds)
            left = [self._seconds_left(trial, mean) for trial in self.running.values()]
            return max([(sum(left) + waiting * mean) / lanes, *left]), False
        rates = [(now - t.began) / t.own for t in self.running.values() if t.own and t.trained]
        if not rates:
            return None
        samples = sum(self.study.samples - t.samples for t in self.running.values())
        return (samples + waiting * self.study.samples) * max(rates) / lanes, True

    def _seconds_left(self, trial: Running, mean: float) -> float:
        """Estimates that a trial takes as long as the others; one that took longer will probably train to its end."""
        spent = self._clock() - trial.began
        if spent < mean or not (trial.own and self.study):
            return max(0.0, mean - spent)
        return spent / trial.own * max(0, self.study.samples - trial.samples)

    def outlook(self) -> tuple[int, float] | None:
        """Returns a number of trials to come, and by how much they are expected to improve the best value.

        None while too few trials have ended, and in a confirmation, which looks for no better ones.
        """
        if self.study is None or self.confirms:
            return None
        if self._is_population():  # its members learn from one another
            return None
        num_next = int(self.study.definition.get("lookahead", 10))
        gain = expected_improvement(list(self._losses.values()), num_next)
        return None if gain is None else (num_next, gain)

    def leader(self) -> Running | None:
        """Returns the running trial with the best last value; None before there is one."""
        curved = [trial for trial in self.running.values() if trial.curve]
        return min(curved, key=lambda trial: self._loss(trial.curve[-1])) if curved else None

    def best_baseline(self) -> BestBaseline | None:
        """Returns the best baseline by the objective; None before one is known."""
        return None if self.study is None else self._comparison().best(self.study.metric)

    def known_baselines(self) -> list[tuple[str, float]]:
        """Returns the baselines with their objective, the best first; none before one is known."""
        return [] if self.study is None else self._comparison().ordered(self.study.metric)

    def _comparison(self) -> Comparison:
        assert self.study is not None
        metric, mode = self.study.metric, self.study.mode
        values = {name: {metric: value} for name, value in self.baselines.items()}
        return Comparison(values, (), metric, "min" if mode == "min" else "max")

    @property
    def confirms(self) -> bool:
        """Whether its trials are runs of a confirmation, of which none is the best."""
        return self.study is not None and CONFIRMS in self.study.tags

    def title(self, number: int) -> str:
        """Returns how sentences name a trial: ``trial 7``, or ``run 7 (trial 2, seed 81)`` of a confirmation."""
        return self._titles.get(number, f"trial {number}")

    def _title(self, event: TrialStarted) -> str:
        if not self.confirms:
            return f"trial {event.number}"
        told = [str(event.params.get("configuration", "")), f"seed {event.params.get('seed')}"]
        return f"run {event.number} ({', '.join(told)})"

    def observe(self, event: Event) -> bool:
        """Updates the standing by an event; returns whether there is a new best trial."""
        if isinstance(event, StudyStarted):
            self.study = event
            self._recall()
        elif isinstance(event, StudyExtended) and self.study is not None:
            self.study = replace(self.study, num_trials=event.num_trials)
        elif isinstance(event, StudyEnded):
            self.ended = event
        elif isinstance(event, BaselineEvaluated) and self.study is not None:
            self.baselines[event.name] = event.metrics.get(self.study.metric, float("nan"))
        elif isinstance(event, TrialStarted):
            start = int(event.tags.get("parent_samples", 0))
            self.running[event.number] = Running(
                event.number, event.params, self._clock(), samples=start, inherited=start
            )
            self._titles[event.number] = self._title(event)
            self._promote(event)
        elif isinstance(event, TrialProgress):
            self._progress(event)
        elif isinstance(event, TrialEnded):
            return self._end(event)
        return False

    def _recall(self) -> None:
        assert self.study is not None
        constraints = Constraints.of_definition({"study": self.study.definition})
        for trial in self._earlier:
            if trial.is_over:
                self.counts[trial.status] += 1
                self._lose(
                    trial.number, trial.status, None if constraints.broken(trial.metrics) else trial.value
                )
        if self.confirms:
            return
        mode: Mode = "min" if self.study.mode == "min" else "max"
        for trial in ranking(self._earlier, mode, constraints)[:1]:
            if trial.value is not None and not constraints.broken(trial.metrics):
                self.best = Best(trial.number, trial.value, trial.params)

    def _progress(self, event: TrialProgress) -> None:
        trial = self.running[event.number]
        trial.samples = event.samples
        trial.curve.append(event.value)
        if event.timings:
            if not trial.trained:  # before it came the start of a lane, which is no part of a trial's pace
                spent = sum(event.timings.values())
                trial.began = max(trial.began, self._clock() - spent)
            trial.trained = self.any_trained = True
        elif not trial.trained:
            trial.inherited = event.samples

    def _end(self, event: TrialEnded) -> bool:
        trial = self.running.pop(event.number, None)
        if event.interrupted:
            self.num_interrupted += 1
            return False
        self.counts[event.status] += 1
        self._lose(event.number, event.status, None if event.breaks else event.value)
        is_replaced = event.status == "pruned" and self._is_population()
        if trial is not None and trial.trained and not is_replaced:
            self._seconds.append(self._clock() - trial.began)
        better = event.value is not None and (
            self.best is None or self._loss(event.value) < self._loss(self.best.value)
        )
        if event.status != "complete" or event.value is None or event.breaks or not better or self.confirms:
            return False
        self.best = Best(event.number, event.value, trial.params if trial else {})
        return True

    def _is_population(self) -> bool:
        return self.study is not None and self.study.definition.get("scheduler") == "population"

    def _promote(self, event: TrialStarted) -> None:
        """Takes back that a trial was pruned or failed if another goes on from there or has its place."""
        for before in {int(event.tags.get(name, -1)) for name in ("continues", "replaces")}:
            if before in self._losses:
                del self._losses[before]
                self.counts[self._statuses.pop(before)] -= 1

    def _lose(self, number: int, status: str, value: float | None) -> None:
        self._losses[number] = self._loss(value) if status == "complete" and value is not None else None
        self._statuses[number] = status

    def _loss(self, value: float) -> float:
        return value if self.study is not None and self.study.mode == "min" else -value
