"""What a study will cost, counted from two configurations."""

from collections.abc import Callable
from pathlib import Path

import pytest

from families.knots.config import PRESETS, Knots
from thalweg.search.checks.costs import cost_probe
from thalweg.search.checks.costs.cost_probe import free_mib, judge_cost, lanes_of
from thalweg.search.checks.examined import Examined
from thalweg.search.checks.judgement import Deadline
from thalweg.study import Trial
from thalweg.training.guards.control_groups import memory_mib

Examine = Callable[..., Examined]


def widths(trial: Trial) -> Knots:
    """A space of two sizes."""
    return PRESETS["tiny"].vary(width=trial.suggest_categorical("width", [8, 16]))


def parameters(width: int) -> int:
    attention = 4 * width * width + 4 * width
    return 5 * width + 4 * width + attention + width + 1 + 20


def test_the_smallest_and_the_largest_configuration_are_probed(examine: Examine) -> None:
    examined = examine(widths)
    found = judge_cost(examined, Deadline(600))
    smallest, largest = found.numbers["smallest"], found.numbers["largest"]
    assert (smallest["num_parameters"], largest["num_parameters"]) == (parameters(8), parameters(16))
    assert largest["memory_mib"] > smallest["memory_mib"] > parameters(8) * 16 / 2**20
    study = examined.space.study
    seconds = study.samples * largest["train_s"] + study.num_evaluations * 24 * largest["evaluate_s"]
    assert found.numbers["lane_hours"][1] == pytest.approx(study.num_trials * seconds / 3600)
    assert found.numbers["disk_mib"] == pytest.approx(7 * parameters(16) * 16 / 2**20)
    assert found.told.startswith(f"{parameters(8):,} to {parameters(16):,} parameters, ")


def test_checkpoints_of_trials_that_may_be_promoted_take_space(examine: Examine) -> None:
    """Of 12 trials, at most 12 / 3 + 12 / 9 + ... = 6 wait with one."""
    found = judge_cost(examine(widths, num_trials=12, scheduler="promotion"), Deadline(600))
    assert found.numbers["disk_mib"] == pytest.approx((7 + 6) * parameters(16) * 16 / 2**20)


def test_lanes_are_those_of_the_study_or_as_many_as_there_are_cores(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    study = examine(num_lanes=3).space.study
    assert lanes_of(study) == 3
    assert lanes_of(study.model_copy(update={"num_lanes": "auto", "cpus_per_worker": 2.0})) == 3
    assert lanes_of(study.model_copy(update={"num_lanes": "auto", "num_trials": 4})) == 4


def test_lanes_on_gpus_are_those_that_this_machine_has(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = examine(num_lanes="auto", gpus_per_worker=2.0).space.study
    monkeypatch.setattr("torch.cuda.device_count", lambda: 5)
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    assert lanes_of(study) == 2


def test_a_study_that_this_machine_can_hold_is_not_warned_of(examine: Examine) -> None:
    found = judge_cost(examine(widths), Deadline(600))
    assert found.mark == "passed"
    assert memory_mib() > found.numbers["lane_mib"] > found.numbers["largest"]["memory_mib"]


@pytest.mark.parametrize(
    ("has", "warning"),
    [
        (1500.0, "2 lanes may need 1,4"),
        (800.0, "2 lanes may need 1,4"),
        (600.0, "take a smaller micro_batch_size, or smaller models"),
        (0.005, "such a configuration was not probed"),
    ],
)
def test_memory_that_lanes_lack_is_a_warning(
    has: float, warning: str, examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost_probe, "memory_mib", lambda: has)
    found = judge_cost(examine(widths, num_lanes=2), Deadline(600))
    if has > 1400:
        assert not found.warnings
    else:
        assert warning in found.warnings[-1]
        assert ("take --lanes 1" in found.warnings[-1]) == (has == 800)


def test_a_disk_that_is_too_full_for_checkpoints_is_a_warning(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost_probe, "free_mib", lambda folder: 0.01)
    (warning,) = judge_cost(examine(widths), Deadline(600)).warnings
    assert warning.startswith("checkpoints may take 0 MiB, and the disk of ")
    assert warning.endswith("or name a folder on another disk with --output")


def test_room_is_that_of_the_disk_where_a_folder_will_lie(tmp_path: Path) -> None:
    assert free_mib(tmp_path / "runs" / "later") == pytest.approx(free_mib(tmp_path), rel=0.1)
