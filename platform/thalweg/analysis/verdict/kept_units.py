"""Compares contenders over places and years by the sums that their runs kept in the study's folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from thalweg.analysis.verdict.confirmed import Confirmed, Repeated, with_units
from thalweg.analysis.verdict.unit_scope import UnitFinding, over_units
from thalweg.config import parse
from thalweg.contract import Measure, SplitName, State
from thalweg.discovery import Family
from thalweg.errors import TrialError
from thalweg.study_folder import StudyFolder, baseline_name, trial_name
from thalweg.training import unit_sums


def compare_over_units(
    confirmed: Confirmed, directory: Path, family: Family, split: SplitName = "val"
) -> Confirmed:
    """Returns a verdict with what is found over places and years.

    Rivals of which a run failed, or kept no sums, are left out; so are all if the objective keeps none by unit. Of the
    constants only the best is compared: over blocks each is a hypothesis of its own, and all intervals would widen.

    Args:
        confirmed: The verdict over seeds.
        directory: Folder of the confirmation.
        family: The family of its configurations.
        split: The split on which they were kept, ``val`` or ``test``.
    """
    config = parse(family.config_type, dict(confirmed.champion.contender.config))
    measure = next(
        (
            measure
            for measure in family.task(config).measures()
            if confirmed.metric in {metric.name for metric in measure.metrics}
        ),
        None,
    )
    if measure is None:
        return confirmed
    folder = StudyFolder(directory)
    files = folder.test_unit_sums if split == "test" else folder.unit_sums
    found: dict[str, list[UnitFinding]] = {}
    for name, champion, rival in _pairs(confirmed, files, measure):
        sign, rng = 1.0 if confirmed.mode == "max" else -1.0, np.random.default_rng(0)
        count = len(confirmed.repeated) - 1 + (confirmed.baseline is not None)
        found |= over_units(measure, confirmed.metric, sign, champion, {name: rival}, rng, num_rivals=count)
    return with_units(confirmed, found)


def _pairs(
    confirmed: Confirmed, files: Callable[[str], Path], measure: Measure
) -> Iterator[tuple[str, list[State], list[State]]]:
    """Yields the rivals with the sums of the champion's runs and their own at the seeds that both have."""
    by_name = {one.contender.name: one for one in confirmed.repeated}
    champion = confirmed.champion
    for finding in confirmed.findings:
        is_best = confirmed.baseline is not None and finding.rival == confirmed.baseline.name
        if not finding.seeds or any(finding.num_failed) or (finding.kind == "constant" and not is_best):
            continue
        rival = by_name.get(finding.rival)
        indices = [index for index in champion.trials if index < finding.seeds]
        try:
            own = [_state(files, champion, index, measure) for index in indices]
            if rival is None:
                kept = unit_sums.read(files(baseline_name(finding.rival)))
                theirs = [kept.of(measure)] * min(1, len(own))
            else:
                theirs = [_state(files, rival, index, measure) for index in indices]
        except TrialError:  # nothing was kept: the verdict is over seeds alone
            continue
        if own and all(own) and all(theirs):
            yield finding.rival, own, theirs


def _state(files: Callable[[str], Path], one: Repeated, index: int, measure: Measure) -> State:
    return unit_sums.read(files(trial_name(one.trials[index].number))).of(measure)
