"""Fields alone, series alone, catchments without attributes: from files to the best trial and its pictures."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from local_lanes import local_lanes
from typer.testing import CliRunner

from tests import tasks
from tests.trainables.water_mae.another_country import (
    DAYS,
    IDS,
    flows,
    weather,
    write_attributes,
    write_country,
    write_fields,
    write_flows,
)
from tests.trainables.water_mae.importing.test_gauged import CARAVAN_IDS, write_caravan
from tests.trainables.water_mae.importing.test_gauged import weather as means
from thalweg.cli.app import app
from thalweg.errors import DataError
from thalweg.stage_contract import Progress
from trainables.water_mae.config import PRESETS, WaterMAE
from trainables.water_mae.data.windows import open_data
from trainables.water_mae.importing.gauged import CARAVAN
from trainables.water_mae.importing.gauged import read as read_collection
from trainables.water_mae.importing.water_folder import read
from trainables.water_mae.knobs import PUBLISHED_SET, DataKnobs, Modality
from trainables.water_mae.task import WaterMAETask

NOW = Progress(samples=0, total_samples=100, stage="train", stage_ratio=0.0)
RAIN, AIR = PUBLISHED_SET["precipitation"], PUBLISHED_SET["temperature"]
FLOW = PUBLISHED_SET["river_flow"]
RAIN_OF_CATCHMENTS = Modality(name="precipitation", kind="series", unit="mm/day")
KNOBS = DataKnobs(patch_size=5, sequence_length=4, stride=2)
CASES: dict[str, tuple[tuple[Modality, ...], tuple[str, ...]]] = {
    "fields": ((RAIN, AIR), ()),
    "series": ((RAIN_OF_CATCHMENTS, FLOW), ("area", "elev_mean", "aridity")),
    "series_without_attributes": ((RAIN_OF_CATCHMENTS, FLOW), ()),
    "one_series": ((FLOW,), ()),
    "both_without_attributes": ((RAIN, FLOW), ()),
}
SPACE = """
from thalweg.study import Study, Trial
from trainables.water_mae.config import PRESETS, WaterMAE
from trainables.water_mae.knobs import Modality

study = Study(metric="skill", mode="max", samples=32, num_trials=2)


def space(trial: Trial) -> WaterMAE:
    lr = trial.suggest_float("lr", 1e-4, 1e-2, log=True)
    return {preset}.vary(
        data={{"sequence_length": 4, "stride": 2, "evaluation_stride": 4}},
        model={{"image_depth": 1, "vector_depth": 1}}, optimization={{"lr": lr, "batch_size": 8}},
    )
"""


def rain_of_catchments() -> np.ndarray:
    """Means of the northern four quarters of the land."""
    parts = np.array_split(weather()["precipitation"][:, :, 2:], 4, axis=1)
    means: np.ndarray = np.stack([part.mean((1, 2)) for part in parts], axis=1)
    return means


def write_case(folder: Path, case: str) -> None:
    folder.mkdir()
    rows, attributes = CASES[case]
    units = {row.name: row.unit for row in rows if row.kind == "field"}
    if units:
        write_fields(folder / "weather.nc", tuple(units), units)
    series = [row.name for row in rows if row.kind == "series"]
    if "river_flow" in series:
        write_flows(folder / "flow.csv")
    if "precipitation" in series:
        write_flows(folder / "rain.csv", "precipitation", rain_of_catchments())
    if attributes:
        write_attributes(folder / "attributes.csv")


def configured(case: str) -> WaterMAE:
    rows, attributes = CASES[case]
    return PRESETS["tiny"].vary(
        dataset="made",
        data=KNOBS.vary(modalities=rows, attributes=attributes),
        evaluation={"modalities": None},
    )


def command(*arguments: object) -> str:
    result = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "300"})
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of MLflow's database
@pytest.mark.parametrize("case", ["fields", "series", "one_series"])
def test_from_files_to_the_best_trial_and_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """As the report of the import says it, pasted into a space."""
    root, runs, uri = tmp_path / "data", tmp_path / "runs", f"sqlite:///{tmp_path / 'mlflow.db'}"
    write_case(tmp_path / "files", case)
    told = command("data", "import", "water-mae", tmp_path / "files", "--as", "made", "--data", root)
    assert ("a grid of" in told) == (case == "fields") and ("4 catchments" in told) == (case != "fields")
    preset = told[told.index("PRESETS") : told.index("})") + 2]
    lab = tmp_path / f"lab_of_{case}"
    lab.mkdir()
    (lab / "space.py").write_text(SPACE.format(preset=preset))
    monkeypatch.syspath_prepend(str(tmp_path))
    study = (f"{lab.name}.space", "--output", runs, "--data", root, "--tracking-uri", uri)
    with local_lanes():
        command("search", *study, "--no-pictures")  # of the best trial below
    best = command("best", *study, "--pictures")
    assert all(f"skill_{row.name}" in best for row in CASES[case][0])
    drawn = {path.name for path in (runs / f"{lab.name}.space" / "pictures").rglob("*.png")}
    assert {f"maps_{row.name}.png" for row in CASES[case][0]} <= drawn
    assert ("hydrographs.png" in drawn) == (case != "fields")
    shown = command("data", "show", "water_mae", "made", "--data", root, "--output", tmp_path / "shown")
    assert ("4 catchments" in shown) == (case != "fields")
    looks = {path.name for path in (tmp_path / "shown").rglob("*.png")}
    assert {f"{row.name}.png" for row in CASES[case][0]} <= looks
    assert ("catchments.png" in looks) == (case != "fields")


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_any_subset_is_imported_trained_and_measured_beside_baselines(tmp_path: Path, case: str) -> None:
    write_case(tmp_path / "files", case)
    told = read(tmp_path / "files", tmp_path / "data" / "made")
    rows, attributes = CASES[case]
    assert ("attributes: none" in told) == (not attributes and case != "fields")
    task = WaterMAETask(configured(case))
    data = task.open(tmp_path / "data")
    assert [data.num_samples(split) for split in ("train", "val")] == [44, 14]
    model = task.build(task.facts(data))
    batch = task.training_batch(data, np.arange(3), np.arange(3, dtype=np.uint64))
    torch.autograd.backward(list(tasks.losses(task, model, batch, NOW).values()))
    assert all(parameter.grad is not None for parameter in model.parameters())
    batch = task.evaluation_batch(data, "val", np.arange(4))
    names = tuple(row.name for row in sorted(rows, key=lambda row: row.kind))
    assert tuple(model(batch)) == names
    found = tasks.metrics(task, model, batch)
    assert set(found) == set(tasks.names(task)) and all(np.isfinite(found[f"skill_{name}"]) for name in names)
    for name, baseline in task.baselines(data).items():
        assert tuple(baseline(batch)) == names, name
    values = data.placed(torch.device("cpu")).tensors("val", np.arange(2))
    for name, expected in data.tensors("val", np.arange(2)).items():
        assert torch.equal(values[name], expected), name


def test_series_alone_are_forecast(tmp_path: Path) -> None:
    """With the rain of the catchments themselves, as most rainfall-runoff models have it."""
    write_case(tmp_path / "files", "series")
    read(tmp_path / "files", tmp_path / "data" / "made")
    task = WaterMAETask(configured("series").vary(forecast={"share": 0.5}))
    data = task.open(tmp_path / "data")
    batch = task.evaluation_batch(data, "val", np.arange(4))
    model = task.build(task.facts(data))
    forecasts = {"model": model, **task.baselines(data)}
    shape = batch["forecast_target"].shape
    for name in ("model", "forecast_ridge", "forecast_lstm", "persistence", "climatology"):
        found = forecasts[name].forecast(batch)  # type: ignore[operator]
        assert found.shape == shape and found.isfinite().all(), name


def test_series_of_a_set_with_fields_may_be_taken_alone(tmp_path: Path) -> None:
    """Its days and splits are then those of the fields, which are not read."""
    write_country(tmp_path / "files")
    read(tmp_path / "files", tmp_path / "data" / "made")
    alone, both = (
        open_data(tmp_path / "data", "made", KNOBS.vary(modalities=rows, attributes=("area",)))
        for rows in ((FLOW,), (RAIN, AIR, FLOW))
    )
    assert alone.images.shape[1:3] == (0, 0) and alone.starts.keys() == both.starts.keys()
    for split in ("train", "val"):
        np.testing.assert_array_equal(
            alone.first_days(split, np.arange(4)), both.first_days(split, np.arange(4))
        )
    np.testing.assert_array_equal(alone.vectors, both.vectors)
    fields = open_data(tmp_path / "data", "made", KNOBS.vary(modalities=(AIR,)))
    np.testing.assert_array_equal(fields.images[:, 0], both.images[:, 1])
    assert fields.catchments == () and fields.attributes == ()


def test_what_is_asked_for_is_taken_and_none_is_nothing(tmp_path: Path) -> None:
    write_country(tmp_path / "files")
    for number, (options, there, told) in enumerate(
        (
            ({"fields": "none"}, {"splits.csv", "Catchment_attributes.csv"}, "4 catchments"),
            ({"series": "none"}, {"land_mask_19x22.npy"}, "a grid of 19 x 22 cells"),
            ({"attributes": "none"}, {"land_mask_19x22.npy", "Catchment_attributes.csv"}, "attributes: none"),
        )
    ):
        target = tmp_path / f"made{number}"
        assert told in read(tmp_path / "files", target, **options)
        names = {path.name for path in target.iterdir()}
        assert there <= names and ("splits.csv" in names) == ("fields" in options)
    with pytest.raises(DataError, match=r"must hold fields with .* or series of catchments, got neither"):
        read(tmp_path / "files", tmp_path / "nothing", fields="none", series="none")


def test_the_own_layout_without_fields_is_checked_and_copied(tmp_path: Path) -> None:
    write_case(tmp_path / "files", "series")
    read(
        tmp_path / "files",
        tmp_path / "data" / "made",
        train="2001-01-01:2001-03-10",
        val="2001-03-20:2001-04-30",
    )
    told = read(tmp_path / "data" / "made", tmp_path / "data" / "copied")
    assert told.startswith("4 catchments; train 2001-01-01 to 2001-03-10; val 2001-03-20 to 2001-04-30")
    knobs = configured("series").data
    first, second = (open_data(tmp_path / "data", name, knobs) for name in ("made", "copied"))
    assert first.fingerprint == second.fingerprint
    splits = tmp_path / "data" / "made" / "splits.csv"
    text = splits.read_text()
    for old, new, law in (
        (
            "val",
            "valid",
            "must be a table split,first,last with the rows train, val and maybe test, got train, valid",
        ),
        ("2001-03-20", "2001-03-02", "val must begin after train ends"),
    ):
        splits.write_text(text.replace(old, new))
        with pytest.raises(DataError, match=law):
            read(tmp_path / "data" / "made", tmp_path / "data" / "again")


def test_catchments_of_other_tables_are_not_without_attributes(tmp_path: Path) -> None:
    """Identifiers that fit nothing are a fault, not a data set without attributes."""
    write_case(tmp_path / "files", "series")
    table = pd.read_csv(tmp_path / "files" / "attributes.csv")
    table.assign(gauge_id="camelsgb_" + table["gauge_id"]).to_csv(
        tmp_path / "files" / "attributes.csv", index=False
    )
    with pytest.raises(
        DataError,
        match=r"row of attributes, got none for .*, but for camelsgb_.*; add the rows, or take --option attr",
    ):
        read(tmp_path / "files", tmp_path / "made")


@pytest.mark.parametrize("name", ["q", "1"])
def test_gauges_without_attributes_may_be_columns(tmp_path: Path, name: str) -> None:
    """Of digits, or in a file that is named like the quantity that is asked for."""
    ids = ("39001", "39002", "54017", "2001") if name == "1" else IDS
    table = pd.DataFrame(flows(), columns=ids)
    table.insert(0, "date", DAYS.astype(str))
    table.to_csv(tmp_path / "q.csv", index=False)
    read(tmp_path, tmp_path / "data" / "made", series="river_flow=q", declared="river_flow=mm/day")
    data = open_data(tmp_path / "data", "made", KNOBS.vary(modalities=(FLOW,), attributes=()))
    assert data.catchments == tuple(sorted(map(int, ids)) if name == "1" else sorted(ids))
    log = data.vectors[:, 0].reshape(len(DAYS), -1) * data.std[0] + data.mean[0]
    order = [list(map(str, ids)).index(str(gauge)) for gauge in data.catchments]
    np.testing.assert_allclose(np.exp(log), flows()[:, order], rtol=1e-3)


def test_caravan_without_a_grid_keeps_weather_as_series(tmp_path: Path) -> None:
    write_caravan(tmp_path / "caravan", "csv")
    told = read_collection(CARAVAN, tmp_path / "caravan", tmp_path / "made", fields="none")
    assert told.startswith("4 catchments; train") and "interpolated" not in told
    table = pd.read_parquet(next((tmp_path / "made").glob("series_*.parquet")))
    assert {"precipitation", "soil_moisture", "temperature", "riverflow"} <= set(table)
    gauge = table[table["ID"] == CARAVAN_IDS[2]]
    np.testing.assert_allclose(gauge["temperature"], means()["temperature_2m_mean"][:, 2], rtol=1e-5)
