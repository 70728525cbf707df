"""On white noise nothing that a model is shown tells what it is to predict, however gaps are filled."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from thalweg.contract import SplitName
from thalweg.training.engine.engine import full_weights
from thalweg.training.messages import TrialOrder
from thalweg.training.process_group import join
from thalweg.training.session import DataCache, Session
from trainables.water_mae.config import ForecastKnobs, ModelKnobs, WaterMAE
from trainables.water_mae.data.layout import SENTINEL
from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.data.writing import write_attributes
from trainables.water_mae.forecast.forecast import Forecaster, ForecastingAutoencoder, ForecastOnly
from trainables.water_mae.importing.monthly import read
from trainables.water_mae.knobs import NRFA_ATTRIBUTES, PUBLISHED_SET, DataKnobs, Filling
from trainables.water_mae.model.batch import Batch
from trainables.water_mae.task import WaterMAETask

SIDE, PATCH, CATCHMENTS, MEMBERS = 12, 4, 40, 8
DATES = np.arange("2001-01-01", "2002-07-01", dtype="datetime64[D]")
PERIODS = {"train": "2001-01-01:2001-12-31", "val": "2002-01-01:2002-06-30"}
NUM_TRAIN = 365
METHODS: tuple[Filling, ...] = ("zero", "nearest", "median")
LENGTH = 8


def _task(method: Filling) -> WaterMAETask:
    config = WaterMAE(
        dataset="noise",
        data=DataKnobs(
            sequence_length=LENGTH,
            stride=2,
            evaluation_stride=2,
            patch_size=PATCH,
            vector_patch_size=MEMBERS,
            max_missing_ratio=0.3,
            fill_precipitation=method,
        ),
        model=ModelKnobs(
            dim=16,
            num_heads=2,
            image_depth=1,
            vector_depth=1,
            mlp_ratio=2,
            decoder_dim=16,
            decoder_num_heads=2,
            decoder_depth=1,
        ),
        forecast=ForecastKnobs(share=0.5),
    )
    return WaterMAETask(config)


def _write_months(folder: Path, name: str, days: np.ndarray, missing: np.ndarray) -> None:
    months = DATES.astype("datetime64[M]")
    for month in np.unique(months):
        with h5py.File(folder / f"{name}_{month}.h5", "w") as file:
            for number in np.flatnonzero((months == month) & ~missing):
                file[str(DATES[number])] = days[number]


def _gaps(rng: np.random.Generator, share: float, length: int) -> np.ndarray:
    """Takes runs of days of single catchments away."""
    begins = rng.random((len(DATES), CATCHMENTS)) < share / length
    gaps = begins.copy()
    for lag in range(1, length):
        gaps[lag:] |= begins[:-lag]
    return gaps


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """White noise by month: cells and whole patches without rain, days without temperature, gaps of gauges."""
    folder = tmp_path_factory.mktemp("archive")
    rng = np.random.default_rng(0)
    shape = (len(DATES), SIDE, SIDE)
    rain = rng.standard_normal(shape).astype(np.float32) + 10
    patches = rng.random((len(DATES), SIDE // PATCH, SIDE // PATCH)) < 0.1
    rain[(rng.random(shape) < 0.1) | patches.repeat(PATCH, 1).repeat(PATCH, 2)] = SENTINEL
    no_temperature = rng.random(len(DATES)) < 0.15
    no_temperature[[0, NUM_TRAIN - 1, NUM_TRAIN, -1]] = False
    whole = np.zeros(len(DATES), bool)
    _write_months(folder, "precip", rain, whole)
    _write_months(folder, "soil", rng.random(shape).astype(np.float32), whole)
    _write_months(folder, "temp", rng.standard_normal(shape).astype(np.float32), no_temperature)
    np.save(folder / f"land_mask_{SIDE}x{SIDE}.npy", np.ones((SIDE, SIDE), np.uint8))
    ids = np.arange(1, CATCHMENTS + 1)
    write_attributes(
        folder,
        pd.DataFrame(
            rng.random((CATCHMENTS, len(NRFA_ATTRIBUTES))), index=ids, columns=list(NRFA_ATTRIBUTES)
        ),
    )
    flow, evaporation = rng.lognormal(size=(2, len(DATES), CATCHMENTS)).astype(np.float32)
    evaporation = np.log(evaporation)
    flow[_gaps(rng, 0.12, 3) | (rng.random((len(DATES), 1)) < 0.03)] = np.nan
    evaporation[_gaps(rng, 0.15, 3)] = np.nan
    pd.DataFrame(
        {
            "date": DATES.astype("datetime64[ms]").repeat(CATCHMENTS),
            "ID": np.tile(ids, len(DATES)).astype(np.int32),
            "evaporation": evaporation.ravel(),
            "riverflow": flow.ravel(),
        }
    ).to_parquet(folder / "series.parquet")
    return folder


@pytest.fixture(scope="module")
def root(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    read(archive, folder / "noise", **PERIODS, missing_days="interpolate")
    return folder


def _everything(task: WaterMAETask, data: WaterData) -> Iterator[tuple[SplitName, Batch]]:
    indices = np.arange(data.num_samples("val"))
    yield "val", task.evaluation_batch(data, "val", indices)
    indices = np.arange(data.num_samples("train"))
    yield "train", task.training_batch(data, indices, indices.astype(np.uint64))


def _hidden_and_filled(
    data: WaterData, split: SplitName, batch: Batch, name: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns values (window, step, patch, value); which are hidden data; which are shown, and no data."""
    kind, index = PUBLISHED_SET.places[name]
    values = batch[f"{kind}s"][:, index].numpy()
    shown = np.zeros(values.shape[:3], bool)
    np.put_along_axis(shown, batch[f"{kind}_keep"][:, index].numpy(), True, axis=2)
    observed = data.observed(split, np.arange(len(values)))[f"{kind}_observed"][:, index]
    valid = batch[f"{kind}_valid"].numpy()[:, None]
    return values, observed & ~shown[..., None], ~observed & valid & shown[..., None]


def _correlation(filled: np.ndarray, target: np.ndarray, where: np.ndarray) -> float:
    """Returns the correlation of what is shown with what is hidden; 0 where one of the two never varies."""
    x, y = filled[where].astype(np.float64), target[where].astype(np.float64)
    assert len(x) > 150
    return 0.0 if x.std() < 1e-6 or y.std() < 1e-6 else float(np.corrcoef(x, y)[0, 1])


def _on_grid(images: np.ndarray) -> np.ndarray:
    """Lays patches out as (window, step, row, column)."""
    size = SIDE // PATCH
    blocks = images.reshape(*images.shape[:2], size, size, PATCH, PATCH)
    return blocks.swapaxes(3, 4).reshape(*images.shape[:2], SIDE, SIDE)


def _around_in_time(values: np.ndarray, hidden: np.ndarray, filled: np.ndarray) -> dict[str, float]:
    """Correlates what is filled with what is hidden at its place some days later and earlier."""
    found = {}
    for lag in (1, 2):
        early, late = slice(-lag), slice(lag, None)
        for now, then in ((early, late), (late, early)):
            where = filled[:, now] & hidden[:, then]
            found[f"{now} {then}"] = _correlation(values[:, now], values[:, then], where)
    return found


def _around_in_space(values: np.ndarray, hidden: np.ndarray, filled: np.ndarray) -> dict[str, float]:
    """Correlates what is filled with hidden neighbours on the same day."""
    return {
        f"axis {axis}, {shift}": _correlation(
            values, np.roll(values, shift, axis), filled & np.roll(hidden, shift, axis)
        )
        for axis in (2, 3)
        for shift in (-1, 1)
    }


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_what_is_filled_tells_nothing_of_what_is_hidden(root: Path, method: Filling) -> None:
    task = _task(method)
    data = task.open(root)
    batches = list(_everything(task, data))
    for name in PUBLISHED_SET.names:
        parts = [_hidden_and_filled(data, split, batch, name) for split, batch in batches]
        values, hidden, filled = map(np.concatenate, zip(*parts, strict=True))
        if name == "soil_moisture":
            assert not filled.any()
            continue
        found = _around_in_time(values, hidden, filled)
        if name != "temperature":  # whole days are missing: nothing of the same day is left to tell of
            count = hidden.sum(axis=(2, 3), keepdims=True)
            mean = np.where(hidden, values, 0).sum(axis=(2, 3), keepdims=True) / np.maximum(count, 1)
            found["day"] = _correlation(values, np.broadcast_to(mean, values.shape), filled & (count > 0))
        if name == "precipitation":
            found |= _around_in_space(*(_on_grid(part) for part in (values, hidden, filled)))
        assert max(map(abs, found.values())) < 0.2, (name, found)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_what_is_filled_tells_nothing_of_the_days_to_come(root: Path, method: Filling) -> None:
    task = _task(method)
    data = task.open(root)
    for split, batch in _everything(task, data):
        observed = data.observed(split, np.arange(len(batch["vectors"])))["vector_observed"]
        for lead in range(3):
            counts = (batch["forecast_observed"] & (batch["forecast_present"][..., None, None] > 0))[:, lead]
            filled = counts.numpy() & ~observed[:, 1, -1]
            target = batch["forecast_target"][:, lead].numpy()
            assert abs(_correlation(batch["vectors"][:, 1, -1].numpy(), target, filled)) < 0.2


def _replaced(root: Path, target: Path, batch: Batch) -> None:
    """Copies the data set with other noise where the first window of validation hides, and after its last day."""
    rng = np.random.default_rng(1)
    shutil.copytree(root / "noise", target / "noise", ignore=shutil.ignore_patterns(".store"))
    for number, name in enumerate(PUBLISHED_SET.fields):
        (path,) = (target / "noise").glob(f"{name}_val_*.h5")
        with h5py.File(path, "a") as file:
            days = file["data"][:]
            change = np.zeros((1, *days.shape), bool)
            change[:, LENGTH:] = True
            hidden = np.zeros((1, LENGTH, (SIDE // PATCH) ** 2, PATCH**2), bool)
            np.put_along_axis(hidden, batch["image_masked"][:1, number, :, :, None].numpy(), True, axis=2)
            change[:, :LENGTH] = _on_grid(hidden)
            # days that the import interpolated hold what the days after them say
            change[0, file["interpolated"][:] if "interpolated" in file else np.zeros(len(days), bool)] = True
            noise = rng.random(days.shape).astype(np.float32)
            if name != "soil_moisture":  # a share
                noise += 9
            file["data"][...] = np.where(change[0] & (days != SENTINEL), noise, days)
    table = pd.read_parquet(target / "noise" / next((target / "noise").glob("*.parquet")).name)
    for number, column in enumerate(("evaporation", "riverflow")):
        series = table[column].to_numpy().reshape(len(DATES), CATCHMENTS).copy()
        change = np.zeros_like(series, bool)
        change[NUM_TRAIN + LENGTH :] = True
        for step, patches in enumerate(batch["vector_masked"][0, number].tolist()):
            for patch in patches:
                change[NUM_TRAIN + step, patch * MEMBERS : (patch + 1) * MEMBERS] = True
        noise = rng.lognormal(size=series.shape).astype(np.float32)
        table[column] = np.where(change & np.isfinite(series), noise, series).ravel()
    table.to_parquet(next((target / "noise").glob("*.parquet")))


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_no_input_and_no_prediction_depends_on_what_is_hidden_or_later(
    root: Path, tmp_path: Path, method: Filling
) -> None:
    task, first = _task(method), np.array([0])
    data = task.open(root)
    before = task.evaluation_batch(data, "val", first)
    _replaced(root, tmp_path, before)
    after = task.evaluation_batch(task.open(tmp_path), "val", first)
    for name in PUBLISHED_SET.names:
        kind, index = PUBLISHED_SET.places[name]
        keep = before[f"{kind}_keep"][:, index, :, :, None]
        shown, shown_after = (
            np.take_along_axis(batch[f"{kind}s"][:, index].numpy(), keep.numpy(), axis=2)
            for batch in (before, after)
        )
        assert np.array_equal(shown, shown_after), name
        assert not torch.equal(before[f"{kind}s"][:, index], after[f"{kind}s"][:, index])
    torch.manual_seed(0)
    model = task.build(task.facts(data)).eval()
    torch.nn.init.normal_(model.get_parameter("forecast_head.weight"))
    with torch.no_grad():
        for name, predictor in {"model": model, **task.baselines(data)}.items():
            if not isinstance(predictor, ForecastOnly):
                given = [predictor(batch) for batch in (before, after)]
                assert all(torch.equal(given[0][part], given[1][part]) for part in PUBLISHED_SET.names), name


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_no_forecast_depends_on_later_days(root: Path, tmp_path: Path, method: Filling) -> None:
    task, first = _task(method), np.array([0])
    data = task.open(root)
    before = task.evaluation_batch(data, "val", first)
    nothing = {f"{kind}_masked": before[f"{kind}_masked"][..., :0] for kind in ("image", "vector")}
    _replaced(root, tmp_path, nothing)
    after = task.evaluation_batch(task.open(tmp_path), "val", first)
    assert torch.equal(before["images"], after["images"])
    assert torch.equal(before["vectors"], after["vectors"])
    assert not torch.equal(before["forecast_target"], after["forecast_target"])
    torch.manual_seed(0)
    model = task.build(task.facts(data)).eval()
    assert isinstance(model, ForecastingAutoencoder)
    torch.nn.init.normal_(model.forecast_head.weight)
    predictors = {"model": model, **task.baselines(data)}
    forecasters = {name: each for name, each in predictors.items() if isinstance(each, Forecaster)}
    assert set(forecasters) == {"model", "persistence", "climatology", "forecast_ridge", "forecast_lstm"}
    with torch.no_grad():
        for name, each in forecasters.items():
            assert torch.equal(each.forecast(before), each.forecast(after)), name


def _fine_tuned(root: Path, folder: Path) -> tuple[WaterMAETask, ForecastingAutoencoder]:
    """Trains a head and fine-tunes the encoders on a data set, and evaluates it on the way."""
    config = _task("nearest").config.vary(
        forecast={"share": 0.5, "encoder_lr_scale": 1.0}, optimization={"precision": "fp32", "batch_size": 8}
    )
    order = TrialOrder(
        trial="trial",
        family="trainables.water_mae",
        config=config.model_dump(mode="json"),
        metric="nse_forecast",
        evaluations=(128,),
        data_root=str(root),
        directory=str(folder),
        checkpoints=False,
    )
    session = Session(order, join(), DataCache())
    session.advance()
    task = WaterMAETask(config)
    model = task.build(task.facts(task.open(root)))
    model.load_state_dict(full_weights(session._engine))
    session.close()
    assert isinstance(model, ForecastingAutoencoder)
    assert model.forecast_head.weight.any()
    return task, model.eval()


@pytest.mark.slow
def test_no_forecast_of_a_fine_tuned_model_or_of_a_fitted_baseline_depends_on_later_days(
    root: Path, tmp_path: Path
) -> None:
    """Training and fitting are repeated with the other days to come: they may use nothing of them either."""
    first = np.array([0])
    task, model = _fine_tuned(root, tmp_path / "one")
    data = task.open(root)
    before = task.evaluation_batch(data, "val", first)
    nothing = {f"{kind}_masked": before[f"{kind}_masked"][..., :0] for kind in ("image", "vector")}
    _replaced(root, tmp_path, nothing)
    _, again = _fine_tuned(tmp_path, tmp_path / "other")
    changed = task.open(tmp_path)
    after = task.evaluation_batch(changed, "val", first)
    assert not torch.equal(before["forecast_target"], after["forecast_target"])
    both = {"model": model, **task.baselines(data)}, {"model": again, **task.baselines(changed)}
    with torch.no_grad():
        for name, predictor in both[0].items():
            if isinstance(predictor, Forecaster):
                other = both[1][name]
                assert isinstance(other, Forecaster)
                assert torch.equal(predictor.forecast(before), other.forecast(after)), name
