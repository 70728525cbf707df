"""Sums by unit of trials and baselines on disk: what a comparison over years or catchments reads."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from families.toy.config import Toy
from families.toy.task import Errors, ToyTask, Waves
from tests.thalweg.training.conftest import Orders, Run
from thalweg.contract import Measure, Metric, Outputs, State
from thalweg.errors import OutputError, TrialError
from thalweg.per_unit import PerUnit
from thalweg.study_folder import StudyFolder, baseline_name
from thalweg.training import unit_sums
from thalweg.training.process_group import ProcessGroup
from thalweg.training.session import DataCache, Session

MEASURE = Errors(Toy().loss_weights)


class ByYear(Measure):
    """A mean by catchment and year."""

    metrics = (Metric(name="bias", mode="min", unit="1", search_invariant=True, meaning="A mean."),)

    def add(self, outputs: Outputs, batch: dict[str, torch.Tensor]) -> State:
        return {"by_year": PerUnit.of(batch["units"], batch["values"])}

    def summarize(self, state: State) -> dict[str, float]:
        total, count = state["by_year"].total().tolist()
        return {"bias": total / count}


def test_the_last_evaluation_of_a_trial_and_of_the_baselines_is_kept(
    order: Orders, run: Run, tmp_path: Path
) -> None:
    reports = run(replace(order(), baselines=True))
    study = StudyFolder(tmp_path)
    kept = unit_sums.read(study.unit_sums("trial"))
    assert (kept.samples, kept.protocol) == (256, reports[-1].provenance["protocol_hash"])
    table = kept.of(MEASURE)["second"]
    data, task = Waves(), ToyTask(Toy())
    tenths = task.evaluation_batch(data, "val", torch.arange(21).numpy())["tenth"]
    assert table.keys[:, 0].tolist() == sorted(set(tenths.tolist()))
    error, count = table.total().tolist()
    assert error / count == reports[-1].metrics["mse_second"] != reports[-2].metrics["mse_second"]
    assert float(kept.of(MEASURE)["first"][0] / 21) == reports[-1].metrics["mse_first"]
    assert kept.of(MEASURE)["errors"].shape == (21,)  # one for each sample
    assert MEASURE.summarize(kept.of(MEASURE)) == reports[-1].metrics

    zero = unit_sums.read(study.unit_sums(baseline_name("zero")))
    batch = task.evaluation_batch(data, "val", torch.arange(21).numpy())
    present = batch["present"].bool()
    assert (zero.samples, zero.protocol) == (0, kept.protocol)
    expected = batch["targets"][:, 1].double().square()[present].sum()
    assert float(zero.of(MEASURE)["second"].total()[0]) == pytest.approx(float(expected))


def test_a_trial_that_goes_on_keeps_what_a_whole_one_keeps(
    order: Orders, run: Run, world: ProcessGroup, tmp_path: Path
) -> None:
    run(order("whole"))
    first = Session(order("cut"), world, DataCache())
    first.advance()
    first.close()
    assert unit_sums.read(StudyFolder(tmp_path).unit_sums("cut")).samples == 64
    second = Session(order("cut"), world, DataCache())
    for reached in (64, 128, 192):
        second.advance(reached)
    second.close()
    whole, cut = (unit_sums.read(StudyFolder(tmp_path).unit_sums(name)) for name in ("whole", "cut"))
    assert whole.samples == cut.samples == 256
    one, other = (each.of(MEASURE)["second"] for each in (whole, cut))
    assert torch.equal(one.keys, other.keys) and torch.equal(one.values, other.values)


def test_metrics_of_some_years_follow_from_what_was_kept(tmp_path: Path) -> None:
    units = torch.tensor([[5, 2001], [5, 2002], [7, 2001], [5, 2001]])
    values = torch.tensor([[1.0, 1.0], [2.0, 1.0], [4.0, 1.0], [3.0, 1.0]])
    file = tmp_path / "units" / "trial-00003.npz"
    state = ByYear().add({}, {"units": units, "values": values})
    unit_sums.keep(file, [MEASURE, ByYear()], [{}, state], samples=8, protocol="p")
    kept = unit_sums.read(file)
    assert kept.of(MEASURE) == {}
    table = kept.of(ByYear())["by_year"]
    year = table.keys[:, 1] == 2001
    assert ByYear().summarize({"by_year": PerUnit(table.keys[year], table.values[year])}) == {"bias": 8 / 3}
    assert ByYear().summarize(kept.of(ByYear())) == {"bias": 2.5}


@pytest.mark.parametrize(("width", "is_kept"), [(unit_sums.MAX_ROW, True), (unit_sums.MAX_ROW + 1, False)])
def test_a_measure_of_long_rows_is_left_out(width: int, is_kept: bool, tmp_path: Path) -> None:
    file = tmp_path / "units" / "trial-00003.npz"
    state = {"first": torch.zeros(2), "errors": torch.rand(6, width)}
    other = ByYear().add({}, {"units": torch.arange(3), "values": torch.rand(3, 2)})
    unit_sums.keep(file, [MEASURE, ByYear()], [state, other], samples=8, protocol="p")
    kept = unit_sums.read(file)
    assert bool(kept.of(MEASURE)) == is_kept
    assert len(kept.of(ByYear())["by_year"]) == 3
    if is_kept:
        assert torch.equal(kept.of(MEASURE)["errors"], state["errors"])


def test_nothing_is_written_where_nothing_is_kept_by_unit(tmp_path: Path) -> None:
    file = tmp_path / "units" / "trial-00003.npz"
    unit_sums.keep(file, [MEASURE], [{"first": torch.zeros(2)}], samples=8, protocol="p")
    assert not file.parent.exists()
    with pytest.raises(TrialError, match="must have been kept"):
        unit_sums.read(file)


def test_a_damaged_file_is_named(order: Orders, run: Run, tmp_path: Path) -> None:
    run(order())
    file = StudyFolder(tmp_path).unit_sums("trial")
    whole = file.read_bytes()
    flipped = bytes(255 - value if 60 <= place < 90 else value for place, value in enumerate(whole))
    for damaged in (whole[: len(whole) // 2], b"", flipped, b"units"):
        file.write_bytes(damaged)
        with pytest.raises(TrialError, match=r"trial\.npz, which is damaged"):
            unit_sums.read(file)


def test_a_full_disk_is_said_and_leaves_nothing(
    tmp_path: Path, room: Callable[[int], AbstractContextManager[None]]
) -> None:
    state = ByYear().add({}, {"units": torch.arange(99), "values": torch.rand(99, 2)})
    file = tmp_path / "units" / "trial-00003.npz"
    with room(10), pytest.raises(OutputError, match="sums by unit must be writable"):
        unit_sums.keep(file, [ByYear()], [state], samples=8, protocol="p")
    assert list(file.parent.iterdir()) == []
