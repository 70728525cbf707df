"""Trials side by side: configurations, metrics, costs and curves, and what would settle which one is better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from thalweg.analysis.side_by_side.chosen_trials import Side
from thalweg.analysis.side_by_side.earlier_verdicts import EarlierVerdict, earlier_verdicts
from thalweg.analysis.side_by_side.knob_differences import KnobDifference, knob_differences, knobs_of
from thalweg.analysis.side_by_side.measured_alike import check_measured_alike
from thalweg.analysis.side_by_side.settling import settled_by_trials
from thalweg.analysis.side_by_side.study_settings import shared_code
from thalweg.analysis.side_by_side.trial_rows import (
    CostRow,
    Curves,
    MetricRow,
    cost_rows,
    curves,
    metric_rows,
)
from thalweg.search.store.records import StudyRecord
from thalweg.study_folder import StudyFolder, trial_name

SEED = "seed"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The numbers of trials that were measured alike.

    Attributes:
        metrics: The objective first.
        costs: What they cost.
        curves: The objective at their evaluations.
    """

    metrics: tuple[MetricRow, ...]
    costs: tuple[CostRow, ...]
    curves: Curves


@dataclass(frozen=True, kw_only=True)
class TrialsCompared:
    """Trials side by side.

    Attributes:
        sides: The trials.
        knobs: The knobs that differ.
        measured: Their numbers; None if only their configurations are compared.
        verdicts: What earlier confirmations found of them.
        settled_by: The command that would settle which of the complete ones is better; empty if there is none.
        keep_units: Whether all are complete, and sums by place, year or scene are kept of them.
    """

    sides: tuple[Side, ...]
    knobs: tuple[KnobDifference, ...]
    measured: Measured | None
    verdicts: tuple[EarlierVerdict, ...] = ()
    settled_by: str = ""
    keep_units: bool = False

    @property
    def studies(self) -> tuple[StudyRecord, ...]:
        """The studies of the trials."""
        return tuple({side.study.name: side.study for side in self.sides}.values())

    @property
    def only_seeds_differ(self) -> bool:
        """Whether the trials differ in the seed at most."""
        return {row.name for row in self.knobs} <= {SEED}

    @property
    def is_settled(self) -> bool:
        """Whether earlier confirmations judged all of the trials."""
        judged = {name for verdict in self.verdicts for name in verdict.names}
        return len(self.studies) == 1 and {f"trial {side.trial.number}" for side in self.sides} <= judged

    @property
    def samples(self) -> tuple[int, ...]:
        """The different numbers of samples after which the trials that have a value got it, ascending."""
        return tuple(sorted({side.trial.samples for side in self.sides if side.trial.value is not None}))

    @property
    def code_changed(self) -> bool:
        """Whether the code that they share is known to have changed between the trials."""
        if len(self.studies) == 1:
            changes = [change["from_trial"] for change in self.studies[0].code_changes]
            return len({sum(side.trial.number >= first for first in changes) for side in self.sides}) > 1
        known = [code for code in shared_code(self.studies).values() if code]
        return any(code != known[0] for code in known)


def compare_trials(
    sides: Sequence[Side], output: Path, *, storage: str | None = None, numbers: bool = True
) -> TrialsCompared:
    """Compares trials.

    Args:
        sides: The trials.
        output: Folder of all studies.
        storage: Database of the studies, which a command that follows has to name.
        numbers: Whether their numbers are compared too, and not their configurations alone.

    Raises:
        StudyError: Their numbers may not be compared.
    """
    knobs = tuple(knob_differences([knobs_of(side.study, side.trial.config) for side in sides]))
    if not numbers:
        return TrialsCompared(sides=tuple(sides), knobs=knobs, measured=None)
    check_measured_alike(sides)
    measured = Measured(
        metrics=tuple(metric_rows(sides)), costs=tuple(cost_rows(sides)), curves=curves(sides)
    )
    names = dict.fromkeys(side.study.name for side in sides)
    verdicts = [
        found
        for name in names
        for found in earlier_verdicts(output, name, [side.trial for side in sides if side.study.name == name])
    ]
    is_complete = all(side.trial.status == "complete" for side in sides)
    sums = [StudyFolder(side.folder).unit_sums(trial_name(side.trial.number)) for side in sides]
    return TrialsCompared(
        sides=tuple(sides),
        knobs=knobs,
        measured=measured,
        verdicts=tuple(verdicts),
        settled_by=settled_by_trials([(side.study, side.trial) for side in sides], output, storage),
        keep_units=all(file.is_file() for file in sums) and is_complete,
    )
