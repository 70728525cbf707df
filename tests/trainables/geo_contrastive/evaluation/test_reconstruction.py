"""Measures of fields against loops over days and cells."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainables.geo_contrastive.conftest import MakeFields
from thalweg.contract import Batch
from thalweg.per_unit import PerUnit
from trainables.geo_contrastive.config import PRESETS
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.evaluation.reconstruction import FIELD, METRICS, Reconstruction
from trainables.geo_contrastive.representation.task import RepresentationTask

NAMES = ("t2m", "pr")


@pytest.fixture(scope="module")
def data(make_fields: MakeFields) -> FieldData:
    """Two variables on two grids, one of them at sea in part; a jump of some days."""
    return make_fields(
        days=60,
        grids={"8x4": (8, 4), "5x6": (5, 6)},
        variables={"t2m": "8x4", "pr": "5x6"},
        projected=("5x6",),
        jumps={40: 3},
        sea=0.3,
    )


@pytest.fixture(scope="module")
def task() -> RepresentationTask:
    return RepresentationTask(PRESETS["tiny"].vary(data={"variables": NAMES}))


def drawn(task: RepresentationTask, data: FieldData) -> tuple[Batch, dict[str, torch.Tensor]]:
    batch = task.evaluation_batch(data, "val", np.arange(data.num_samples("val")))
    torch.manual_seed(1)
    outputs = {
        f"{FIELD}{name}": batch[f"target/{name}"][:, 0] + 0.5 * torch.randn_like(batch[f"clean/{name}"])
        for name in NAMES
    }
    return batch, outputs


def cells(data: FieldData, name: str) -> list[tuple[int, int, float]]:
    """Places of the cells that count, with their areas."""
    grid = data.grids[data.variables[name].grid]
    return [(i, j, float(grid.weights[i, j])) for i, j in np.ndindex(*grid.shape) if data.valid[name][i, j]]


def slow(batch: Batch, found: dict[str, torch.Tensor], data: FieldData, name: str) -> dict[str, float]:
    """All metrics but SSIM of a variable, number by number."""
    places = cells(data, name)
    area = math.fsum(weight for *_, weight in places)
    sums = dict.fromkeys(("error", "truth", "usual", "product", "own", "true", "after", "before"), 0.0)
    for day in range(len(batch["day"])):
        for i, j, weight in places:
            value, truth, usual, before = (
                float(field[day, i, j])
                for field in (
                    found[f"{FIELD}{name}"],
                    batch[f"clean/{name}"],
                    batch[f"climatology/{name}"],
                    batch[f"yesterday/{name}"],
                )
            )
            share = weight / area
            sums["error"] += share * (value - truth) ** 2
            sums["truth"] += share * truth**2
            sums["usual"] += share * (usual - truth) ** 2
            sums["product"] += share * (value - usual) * (truth - usual)
            sums["own"] += share * (value - usual) ** 2
            sums["true"] += share * (truth - usual) ** 2
            if batch["has_yesterday"][day]:
                sums["after"] += share * (value - truth) ** 2
                sums["before"] += share * (before - truth) ** 2
    mse = sums["error"] / len(batch["day"])
    return {
        "rrmse": math.sqrt(sums["error"] / sums["truth"]),
        "mse": mse,
        "acc": sums["product"] / math.sqrt(sums["own"] * sums["true"]),
        "skill_climatology": 1 - sums["error"] / sums["usual"],
        "skill_persistence": 1 - sums["after"] / sums["before"],
        "psnr": 10 * math.log10(data.variables[name].range ** 2 / mse),
    }


def test_metrics_are_those_of_the_loops(task: RepresentationTask, data: FieldData) -> None:
    batch, outputs = drawn(task, data)
    assert 0 < int(batch["has_yesterday"].sum()) < len(batch["day"])
    measure = Reconstruction(NAMES)
    found = measure.summarize(measure.add(outputs, batch))
    expected = {name: slow(batch, outputs, data, name) for name in NAMES}
    for metric in ("rrmse", "mse", "acc", "skill_climatology", "skill_persistence", "psnr"):
        mean = sum(expected[name][metric] for name in NAMES) / len(NAMES)
        assert found[metric] == pytest.approx(mean, rel=1e-5), metric
    of_variables = {f"rrmse_{name}": expected[name]["rrmse"] for name in NAMES}
    assert {name: found[name] for name in of_variables} == pytest.approx(of_variables, rel=1e-5)


def test_sums_are_kept_by_year_and_season(task: RepresentationTask, data: FieldData) -> None:
    batch, outputs = drawn(task, data)
    table: Any = Reconstruction(NAMES).add(outputs, batch)[f"{FIELD}t2m"]
    assert isinstance(table, PerUnit)
    pairs = sorted(set(zip(batch["year"].tolist(), batch["season"].tolist(), strict=True)))
    assert table.keys.tolist() == [list(pair) for pair in pairs]
    assert float(table.total()[0]) == len(batch["day"])


def test_invalid_cells_change_nothing(task: RepresentationTask, data: FieldData) -> None:
    batch, outputs = drawn(task, data)
    measure = Reconstruction(NAMES)
    other = {
        name: field.where(batch[f"valid/{name.removeprefix(FIELD)}"], 77.0) for name, field in outputs.items()
    }
    assert measure.summarize(measure.add(other, batch)) == pytest.approx(
        measure.summarize(measure.add(outputs, batch))
    )


def test_perfect_fields_have_perfect_metrics(task: RepresentationTask, data: FieldData) -> None:
    batch, _ = drawn(task, data)
    measure = Reconstruction(NAMES)
    found = measure.summarize(
        measure.add({f"{FIELD}{name}": batch[f"clean/{name}"] for name in NAMES}, batch)
    )
    perfect = {"rrmse": 0, "mse": 0, "acc": 1, "skill_climatology": 1, "skill_persistence": 1, "ssim": 1}
    assert {name: found[name] for name in perfect} == pytest.approx(perfect, abs=1e-9)
    assert found["psnr"] == math.inf


def test_fields_that_are_no_numbers_have_no_metrics(task: RepresentationTask, data: FieldData) -> None:
    batch, _ = drawn(task, data)
    fields = {f"{FIELD}{name}": batch[f"clean/{name}"].clone() for name in NAMES}
    fields[f"{FIELD}{NAMES[0]}"][0, 0, 0] = math.nan
    found = Reconstruction(NAMES).summarize(Reconstruction(NAMES).add(fields, batch))
    assert all(math.isnan(found[metric.name]) for metric in METRICS if metric.name != "skill_persistence")


def test_baselines_are_what_they_are_called(task: RepresentationTask, data: FieldData) -> None:
    batch, _ = drawn(task, data)
    measure = Reconstruction(NAMES)
    found = {
        name: measure.summarize(measure.add(task.predict(baseline, batch), batch))
        for name, baseline in task.baselines(data).items()
    }
    assert found["climatology"]["skill_climatology"] == pytest.approx(0)
    assert found["climatology"]["acc"] == 0
    assert found["persistence"]["skill_persistence"] == pytest.approx(0)
    assert found["pattern_interpolation"]["rrmse"] < found["climatology"]["rrmse"]
    assert all(math.isfinite(row[metric.name]) for row in found.values() for metric in METRICS)
