"""Which checkpoints of a trial are kept."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from families.toy.config import Toy
from thalweg.study_folder import checkpoint_name
from thalweg.training.checkpoints.checkpoint import tidy
from thalweg.training.checkpoints.state import STATE, TrainingState
from thalweg.training.messages import Report


def write(trial: Path, samples: int, value: float, config: dict[str, Any] | None = None) -> Path:
    """Writes a checkpoint whose weights are a text."""
    folder = trial / checkpoint_name(samples)
    (folder / "weights").mkdir(parents=True)
    (folder / "weights" / "file").write_text(f"{trial.name} {samples}")
    report = Report(samples=samples, samples_seen=samples, value=value, metrics={})
    (folder / STATE).write_text(json.dumps(asdict(TrainingState(report, config or {}, "family", 0))))
    return folder


def kept(trial: Path) -> list[int]:
    return sorted(int(folder.name.removeprefix("samples-")) for folder in trial.glob("samples-*"))


@pytest.mark.parametrize(
    ("mode", "keep_last", "expected"),
    [
        ("max", 1, [[8], [16], [16, 24], [16, 32], [16, 40]]),
        ("min", 1, [[8], [8, 16], [24], [24, 32], [24, 40]]),
        ("max", 3, [[8], [8, 16], [8, 16, 24], [16, 24, 32], [16, 24, 32, 40]]),
    ],
)
def test_the_newest_and_the_best_are_kept(
    tmp_path: Path, mode: Any, keep_last: int, expected: list[list[int]]
) -> None:
    found = []
    for samples, value in ((8, 0.2), (16, 0.9), (24, 0.1), (32, 0.5), (40, 0.3)):
        tidy(write(tmp_path, samples, value), mode, keep_last)
        found.append(kept(tmp_path))
    assert found == expected


def test_of_equal_evaluations_the_later_is_the_best(tmp_path: Path) -> None:
    for samples, value in ((8, 0.5), (16, 0.5), (24, 0.7)):
        tidy(write(tmp_path, samples, value), "min", 1)
    assert kept(tmp_path) == [16, 24]


def test_what_is_to_be_kept_of_an_interrupted_trial_comes_over(tmp_path: Path) -> None:
    for samples, value in ((8, 0.9), (16, 0.1)):
        write(tmp_path / "interrupted", samples, value)
    tidy(write(tmp_path / "successor", 24, 0.5), "max", 1, tmp_path / "interrupted")
    assert kept(tmp_path / "successor") == [8, 24]
    moved = tmp_path / "successor" / checkpoint_name(8)
    assert (moved / "weights" / "file").read_text() == "interrupted 8"
    assert TrainingState.read(moved).report.value == 0.9
    assert kept(tmp_path / "interrupted") == [8, 16]


def test_what_another_configuration_left_is_deleted(tmp_path: Path) -> None:
    write(tmp_path, 8, 0.9, {"width": 1})
    write(tmp_path, 32, 0.9, {"width": 1})
    (tmp_path / checkpoint_name(16) / "half").mkdir(parents=True)  # without its state
    tidy(write(tmp_path, 24, 0.5, {"width": 2}), "max", 3)
    assert kept(tmp_path) == [24]


def test_a_knob_that_a_checkpoints_version_did_not_know_counts_as_its_default() -> None:
    config = Toy(width=5).model_dump(mode="json")
    report = Report(samples=1, samples_seen=1, value=0.0, metrics={})

    def is_of(stored: dict[str, Any], family: str = "families.toy") -> bool:
        return TrainingState(report, stored, family, 0).is_of(config)

    earlier = {name: value for name, value in config.items() if name != "dropout"}
    assert is_of(config)
    assert is_of(earlier)
    assert not is_of({name: value for name, value in config.items() if name != "width"})
    assert not is_of(earlier | {"depth": 3})
    assert not is_of(earlier, "families.gone")


EARLIER = Path(__file__).parents[3] / "fixtures" / "earlier" / "runs" / "toys" / "checkpoints" / "trial-00000"


def test_the_provenance_of_a_report_keeps_the_name_that_checkpoints_have_for_it(tmp_path: Path) -> None:
    folder = tmp_path / "study" / "checkpoints" / "trial-00000" / checkpoint_name(8)
    folder.mkdir(parents=True)
    report = Report(samples=8, samples_seen=8, value=0.5, metrics={}, provenance={"device": "cpu"})
    TrainingState(report, {}, "family", 0).write(folder, folder)
    written = json.loads((folder / STATE).read_text())["report"]
    assert written["facts"] == {"device": "cpu"} and "provenance" not in written
    assert TrainingState.read(folder).report.provenance == {"device": "cpu"}


def test_the_provenance_of_a_checkpoint_of_an_earlier_version_is_read() -> None:
    folder = EARLIER / checkpoint_name(64)
    facts = json.loads((folder / STATE).read_text())["report"]["facts"]
    assert facts["protocol_hash"]
    assert TrainingState.read(folder).report.provenance == facts
    assert TrainingState.read(folder).report.protocol == facts["protocol_hash"]
