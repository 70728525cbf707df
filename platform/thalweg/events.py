"""The events of a study, as plain records, and the protocol of their listeners.

The search publishes events to the terminal, to MLflow and to tests. A listener never blocks the search for long and
never raises an error into it.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

SCHEDULE = "schedule.json"
"""Document of a trial of a population: its segments so far, each with ``trial``, ``from``, ``to`` and ``params``."""
TrialStatus = Literal["complete", "pruned", "failed"]
CONFIRMS = "confirms"
"""Tag of a confirmation: the study that it confirms."""
StudyEnd = Literal["finished", "interrupted", "failed"]
EndedAs = Literal[
    "complete",
    "pruned",
    "diverged",
    "out_of_memory",
    "infeasible",
    "data",
    "infrastructure",
    "preempted",
    "stopped_by_user",
]
"""Why a trial ended, as one word; the sentence beside it, ``reason``, says more.

``complete``, ``pruned``
    As the status of this name: it trained its whole budget, or the scheduler stopped it at a rung.
``diverged``
    Its loss or its objective was not finite, while the batch was.
``out_of_memory``
    A worker had no memory left for it, or the kernel or Ray ended a worker because its machine had none left.
``infeasible``
    Its configuration cannot be trained or judged: the space, a law or an error in the family's code refuses it.
``data``
    Data that it read were missing, damaged or not finite.
``infrastructure``
    What it ran on was lost: its workers or their machine more often than it is retried, a disk, or the search itself.
``preempted``
    Its machine was taken away: Ray reported the preemption of a node, or SIGTERM ended the search.
``stopped_by_user``
    The search was stopped by Ctrl-C or with its terminal, or the study was defined anew.

All but the first two are of status failed. A trial that ends with its search is interrupted: another one continues it.
A pruned one may be continued, too: it is then promoted.
"""


@dataclass(frozen=True, kw_only=True)
class StudyStarted:
    """A study began or is continued; holds everything that is known before the first trial."""

    study: str
    space: str
    family: str
    metric: str
    mode: str
    num_trials: int
    samples: int
    num_lanes: int
    num_workers: int
    directory: str
    definition: Mapping[str, Any] = field(default_factory=dict)  # the study's settings, flat
    tags: Mapping[str, str] = field(default_factory=dict)  # code version, data fingerprint, hardware, ...
    source_file: str | None = None  # the search space, recorded as an artifact
    code_folder: str | None = None  # modules of family and space, recorded as artifacts
    finished_trials: int = 0  # trials of an earlier run of the same study
    identity: str = (
        ""  # of the study, which distinguishes its records from those of another in the same folder
    )
    is_new: bool = False  # whether it has just been created


@dataclass(frozen=True, kw_only=True)
class BaselineEvaluated:
    """A baseline (``untrained``, ``climatology``, ...) was evaluated at the study's protocol."""

    name: str
    metrics: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class TrialStarted:
    """A lane began a trial."""

    number: int
    params: Mapping[str, Any]  # the searched parameters
    config: Mapping[str, Any]  # the resolved configuration, flat, without knobs that have no effect in it
    tags: Mapping[str, str] = field(default_factory=dict)  # seed, protocol hash, data fingerprint, lane, ...
    documents: Mapping[str, str] = field(default_factory=dict)  # file name -> text: config.json


@dataclass(frozen=True, kw_only=True)
class TrialProgress:
    """A trial reached an evaluation point."""

    number: int
    samples: int
    value: float  # the objective
    metrics: Mapping[str, float]  # all metrics of the evaluation
    curves: tuple[
        tuple[int, Mapping[str, float]], ...
    ] = ()  # (samples, loss parts, lr, ...) since the last one
    timings: Mapping[str, float] = field(default_factory=dict)  # seconds: train, evaluate, checkpoint, wait
    provenance: Mapping[str, str] = field(
        default_factory=dict
    )  # device, host, lane, number of parameters, ...
    documents: Mapping[str, str] = field(default_factory=dict)  # file name -> text: deepspeed.json; sent once


@dataclass(frozen=True, kw_only=True)
class TrialEnded:
    """A trial ended; ``status`` has the same value in Optuna, in Tune and in MLflow's tag ``status``."""

    number: int
    status: TrialStatus
    value: float | None
    samples: int
    seconds: float
    reason: str = ""
    checkpoint: str | None = None  # path relative to the study's folder
    ended_as: EndedAs | None = None  # None if an earlier version of Thalweg recorded a failure
    breaks: str = ""  # constraints that a complete trial breaks, in words

    @property
    def interrupted(self) -> bool:
        """Whether the trial failed only because the search stopped; if that goes on, another trial continues it."""
        return self.status == "failed" and self.reason.startswith("interrupted")


@dataclass(frozen=True, kw_only=True)
class TrialKept:
    """An ended trial as recorded in the study's storage, for listeners that may have missed its events.

    Published for every such trial when a study is continued and when it ends: a process that dies after writing to
    the storage may not have published the event.
    """

    began: TrialStarted
    curve: tuple[tuple[int, float], ...]  # (samples, objective) at each evaluation
    metrics: Mapping[str, float]  # all metrics of the last evaluation
    ended: TrialEnded
    began_ms: int  # since 1970
    ended_ms: int


@dataclass(frozen=True, kw_only=True)
class Notice:
    """A message for people: a lane was replaced, a trial is retried, MLflow does not answer."""

    text: str


@dataclass(frozen=True, kw_only=True)
class StudyExtended:
    """A study has more trials than it began with: those that have ended asked for them."""

    num_trials: int


@dataclass(frozen=True, kw_only=True)
class StudyEnded:
    """The study ended: no trial runs any more."""

    end: StudyEnd
    reason: str = ""
    seconds: float = 0.0
    signal: int = 0  # the signal that interrupted it: SIGINT, SIGTERM, ...
    rung_correlations: Mapping[str, float] = field(default_factory=dict)  # with the end, by samples as text
    switches: Mapping[str, float] = field(
        default_factory=dict
    )  # seconds to take up each promoted trial, by number

    @property
    def trials_ended_as(self) -> EndedAs:
        """Why the trials that still ran ended."""
        return ended_by(self.signal)


Event = (
    StudyStarted
    | BaselineEvaluated
    | TrialStarted
    | TrialProgress
    | TrialEnded
    | TrialKept
    | Notice
    | StudyExtended
    | StudyEnded
)


def ended_by(number: int) -> EndedAs:
    """Returns why the running trials of a search end that a signal ends; 0 if none does."""
    if not number:
        return "infrastructure"
    return "preempted" if number == signal.SIGTERM else "stopped_by_user"


class Listener(Protocol):
    """Consumes events in the order in which they happen."""

    def handle(self, event: Event) -> None:
        """Takes one event; returns soon and never raises."""

    def close(self) -> None:
        """Delivers what is still queued; called once, after `StudyEnded`."""
