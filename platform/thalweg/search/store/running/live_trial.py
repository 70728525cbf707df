"""A trial that runs: its clock, its evaluations so far, and what its reports add to its record."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna

from thalweg.search.reproduction.circumstances import Stretch, extended
from thalweg.search.store.proposals import Proposal
from thalweg.search.store.records import CHECKPOINT, SWITCH_S, TRAINED
from thalweg.training.checkpoints.places import relative
from thalweg.training.messages import Report


@dataclass
class Live:
    """A trial that runs.

    Attributes:
        trial: Optuna's trial.
        began: When it began, or went on after a rest, on the monotonic clock.
        steps: Samples of the evaluations that are recorded.
        checkpoint: Its newest checkpoint as it is recorded.
        earlier: Seconds before that, of the trial that it continues and before its rests.
        last: Its last report.
        trained: Circumstances of its training.
        costs: Costs that were known before training.
        inherited: Samples at the checkpoint of another trial that it continues.
        proposal: What it trains.
        rests: Whether it is on no lane, until the other members of its population have come as far.
        rested: Seconds that it has rested, without the present rest.
        goes_on: Whether it continues a checkpoint, and has reported nothing new yet.
    """

    trial: optuna.Trial
    began: float
    steps: set[int]
    checkpoint: str | None
    earlier: float = 0.0
    last: Report | None = None
    trained: list[Stretch] | None = None
    costs: Mapping[str, float] = field(default_factory=dict)
    inherited: int = 0
    proposal: Proposal | None = None
    rests: bool = False
    rested: float = 0.0

    def __post_init__(self) -> None:
        self.goes_on = bool(self.steps)

    def seconds(self) -> float:
        """Returns how long it has trained, without its rests."""
        return self.earlier + (0.0 if self.rests else time.monotonic() - self.began)

    def rest(self) -> None:
        """Stops its clock."""
        self.earlier, self.began, self.rests = self.seconds(), time.monotonic(), True

    def resume(self) -> None:
        """Lets its clock run again."""
        self.rested, self.began, self.rests = self.all_rests(), time.monotonic(), False

    def all_rests(self) -> float:
        """Returns the seconds that it has rested."""
        return self.rested + (time.monotonic() - self.began if self.rests else 0.0)


def keep(live: Live, report: Report) -> None:
    """Records the checkpoint of an evaluation, and its circumstances unless they are those of the one before."""
    checkpoint = relative(report.checkpoint) if report.checkpoint else None
    if checkpoint not in (None, live.checkpoint):
        live.trial.set_user_attr(CHECKPOINT, checkpoint)
        live.checkpoint = checkpoint
    if live.trained is None:
        live.trained = live.trial.user_attrs.get(TRAINED, [])
    if (trained := extended(live.trained, report)) is not None:
        live.trial.set_user_attr(TRAINED, trained)
        live.trained = trained


def note_switch(live: Live, report: Report) -> None:
    """Records what it cost to take up a trial that goes on from a checkpoint, at its first new report.

    Before that one, a lane repeats the report of the checkpoint, without timings of training.
    """
    if live.goes_on and "prepare_s" in report.timings:
        live.trial.set_user_attr(SWITCH_S, round(report.timings["prepare_s"], 3))
    live.goes_on = False


def outcome_of(live: Live | None, reason: str) -> dict[str, Any]:
    """Returns the outcome of a trial for its record: how long it ran, why it ended, its last evaluation."""
    last = live.last if live else None
    outcome: dict[str, Any] = {"seconds": round(live.seconds(), 3) if live else 0.0, "reason": reason}
    if live is not None and live.all_rests():
        outcome["rested"] = round(live.all_rests(), 3)
    if live is not None and live.costs:
        outcome["metrics"] = dict(live.costs)
    if last is not None:
        finite = {name: number for name, number in last.measured.items() if math.isfinite(number)}
        outcome |= {"samples": last.samples, "metrics": finite, "protocol": last.protocol}
    return outcome
