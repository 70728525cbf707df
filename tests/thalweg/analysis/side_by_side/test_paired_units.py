"""Single trials in pairs over the units that they were evaluated on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from thalweg.analysis.side_by_side import paired_units
from thalweg.analysis.side_by_side.chosen_trials import Side
from thalweg.analysis.side_by_side.paired_units import compare_units
from thalweg.contract import Batch, Measure, Metric, Outputs, State
from thalweg.errors import StudyError, TrialError
from thalweg.per_unit import PerUnit
from thalweg.search.store.records import StudyRecord, TrialRecord
from thalweg.study_folder import StudyFolder, trial_name
from thalweg.training import unit_sums


class MeanSkill(Measure):
    """Mean skill of all values, kept by place."""

    metrics = (Metric(name="skill", mode="max", unit="1", search_invariant=True, meaning="mean"),)
    units = ("place",)

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Is not called here."""
        raise AssertionError

    def summarize(self, state: State) -> dict[str, float]:
        """Divides the sum by the count."""
        total, count = state["sums"].total().tolist()
        return {"skill": total / count}


@dataclass
class Lab:
    """A family with one measure."""

    measured: Sequence[Measure] = (MeanSkill(),)
    config_type = dict

    def task(self, config: object) -> "Lab":
        """Is the task, too."""
        return self

    def measures(self) -> Sequence[Measure]:
        """Returns the measure."""
        return self.measured


@pytest.fixture
def sides(
    make_trial: Callable[..., TrialRecord],
    make_record: Callable[..., StudyRecord],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., list[Side]]:
    """Makes trials by their skill at each place."""
    monkeypatch.setattr(paired_units, "family_of", lambda record: Lab())
    monkeypatch.setattr(paired_units, "parse", lambda config_type, config: config)

    def sides(*skills: Sequence[float]) -> list[Side]:
        found = []
        for number, values in enumerate(skills):
            keys, count = torch.arange(len(values)), torch.ones(len(values))
            table = PerUnit.of(keys, torch.stack([torch.tensor(values), count], 1))
            file = StudyFolder(tmp_path).unit_sums(trial_name(number))
            unit_sums.keep(file, [MeanSkill()], [{"sums": table}], samples=800, protocol="aaa")
            trial = make_trial(number, sum(values) / len(values))
            found.append(
                Side(study=make_record(trial), folder=tmp_path, trial=trial, label=f"trial {number}")
            )
        return found

    return sides


def test_the_first_trial_is_compared_with_each_other_one_over_places(
    sides: Callable[..., list[Side]],
) -> None:
    base = [0.5, 0.6, 0.4, 0.7, 0.5, 0.6, 0.3, 0.8]
    better = [value + 0.1 + 0.001 * place for place, value in enumerate(base)]
    mixed = [value + (-0.1 if place % 2 else 0.1) for place, value in enumerate(base)]
    found = compare_units(sides(base, better, mixed))
    [loses], [open_] = found["trial 1"], found["trial 2"]
    assert (loses.unit, loses.num_blocks, loses.word) == ("place", 8, "loses")
    assert loses.difference == pytest.approx(-0.1035) and open_.word == "cannot tell"


def test_trials_without_sums_by_unit_are_refused(
    sides: Callable[..., list[Side]], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = sides([0.5, 0.6, 0.7, 0.8], [0.4, 0.5, 0.6, 0.7])
    stopped = replace(found[1], trial=replace(found[1].trial, status="pruned"))
    with pytest.raises(StudyError, match="at their end, got trial 1, which is pruned; name complete ones"):
        compare_units([found[0], stopped])
    gone = replace(found[1], trial=replace(found[1].trial, number=9))
    with pytest.raises(TrialError, match="sums by unit must have been kept"):
        compare_units([found[0], gone])
    measured: dict[str, Any] = {"measured": ()}
    monkeypatch.setattr(paired_units, "family_of", lambda record: Lab(**measured))
    with pytest.raises(StudyError, match="got 'skill', which keeps none; leave --units out"):
        compare_units(found)
