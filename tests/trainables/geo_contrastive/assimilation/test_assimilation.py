import math
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
import torch

from tests import tasks
from thalweg.errors import ConfigError
from thalweg.training.evaluation import evaluate_split
from thalweg.training.process_group import ProcessGroup
from trainables.geo_contrastive.assimilation import optimal
from trainables.geo_contrastive.assimilation.analyser import Analyser
from trainables.geo_contrastive.assimilation.measure import ANALYSIS, Assimilation
from trainables.geo_contrastive.assimilation.observations import (
    OBSERVATION_NOISE,
    OBSERVED_SHARE,
    observe,
    observe_by_protocol,
)
from trainables.geo_contrastive.assimilation.optimal import (
    MAX_JOINT,
    Covariance,
    fit_covariance,
    gaussian,
    interpolate,
    optimal_analysis,
    places,
)
from trainables.geo_contrastive.assimilation.task import AssimilationTask
from trainables.geo_contrastive.config import PRESETS
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.data.grids import Grid
from trainables.geo_contrastive.downstream.model import HeadedModel
from trainables.geo_contrastive.evaluation.subset import rows_scored

ALONE = ProcessGroup(rank=0, size=1, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def data(make_fields: Callable[..., FieldData]) -> FieldData:
    """Half a year on two grids, with sea and a jump."""
    return make_fields(
        200,
        grids={"8x4": (8, 4), "5x3": (5, 3)},
        variables={"u": "8x4", "t2m": "5x3"},
        projected=["5x3"],
        sea=0.2,
        jumps={140: 7},
    )


@pytest.fixture(scope="module")
def task() -> AssimilationTask:
    """The task of the tiny preset, for variables on two grids."""
    return AssimilationTask(
        PRESETS["tiny_assimilation"].vary(
            data={"variables": ("u", "t2m")}, encoder={"fusion": {"kind": "average"}}
        )
    )


def test_a_share_of_the_cells_with_data_is_observed_with_noise(make_fields: Callable[..., FieldData]) -> None:
    data = make_fields(300, grids={"20x10": (20, 10)}, variables=("u",), sea=0.4)
    positions = np.arange(300)
    batch = observe_by_protocol(data, positions)
    observed, valid = batch["is_observed/u"].numpy(), data.valid["u"]
    assert not observed[:, ~valid].any()
    assert set(observed.sum((1, 2))) == {round(OBSERVED_SHARE * valid.sum())}
    assert observed.mean(0)[valid].min() > 0.03  # every cell has its turn
    assert not batch["observed/u"].numpy()[~observed].any()
    noise = (batch["observed/u"].numpy() - data.fields["u"])[observed]
    assert noise.std() == pytest.approx(OBSERVATION_NOISE, rel=0.05)
    assert abs(noise.mean()) < 0.01


def test_observations_depend_on_the_day_alone_and_variables_have_their_own(data: FieldData) -> None:
    many, one = (observe_by_protocol(data, np.array(each)) for each in ([3, 9, 150], [150]))
    for name, values in one.items():
        assert torch.equal(many[name][2], values[0])
    keys = np.array([5, 5], np.uint64)
    few, most = observe(data, np.array([3, 3]), keys, np.array([0.0, 1.0]))["is_observed/u"].numpy()
    assert few.sum() == 1
    assert np.array_equal(most, data.valid["u"])


def test_an_analysis_reads_observed_values_alone(task: AssimilationTask, data: FieldData) -> None:
    torch.manual_seed(0)
    model = task.build(task.facts(data)).eval()
    assert isinstance(model, HeadedModel)
    torch.nn.init.normal_(model.head.layers[-1].weight)  # type: ignore[union-attr, index]
    batch = task.evaluation_batch(data, "val", np.array([0, 5]))
    other = {
        name: torch.full_like(values, 77.0)
        if name.startswith(("target/", "clean/", "view/", "yesterday/", "optimal/"))
        else values
        for name, values in batch.items()
    }
    with torch.no_grad():
        found, again = (task.head_outputs(model, each) for each in (batch, other))
        changed = dict(batch)
        place = tuple(batch["is_observed/u"][0].nonzero()[0].tolist())
        changed["observed/u"] = batch["observed/u"].clone()
        changed["observed/u"][(0, *place)] += 1
        moved = task.head_outputs(model, changed)
    for name in data.variables:
        assert torch.equal(found[f"{ANALYSIS}{name}"], again[f"{ANALYSIS}{name}"])
        assert not torch.equal(found[f"{ANALYSIS}{name}"][0], moved[f"{ANALYSIS}{name}"][0])
        assert torch.equal(found[f"{ANALYSIS}{name}"][1], moved[f"{ANALYSIS}{name}"][1])


@pytest.mark.parametrize("table", [0, 2048])
def test_the_nearest_observations_give_what_all_of_them_give(
    table: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them if as many are near; a few of them nearly, for they screen those behind them."""
    monkeypatch.setattr(optimal, "_MAX_TABLE_CELLS", table)
    monkeypatch.setattr(optimal, "_BLOCK", 100)
    rng = np.random.default_rng(0)
    grid = Grid("24x12", 15.0 * np.arange(24) - 180, 15.0 * np.arange(12) - 82.5, True)
    where = places(grid, np.ones((24, 12), bool))
    covariance = Covariance(1 + rng.random(288), 0.9, 0.4, where)
    truth = np.linalg.cholesky(covariance.matrix() + 1e-9 * np.eye(288)) @ rng.standard_normal(288)
    observed = rng.random(288) < 0.3
    joint = interpolate(covariance, truth, observed)
    whole = covariance.matrix()
    among = whole[np.ix_(observed, observed)] + OBSERVATION_NOISE**2 * np.eye(observed.sum())
    np.testing.assert_allclose(joint, whole[:, observed] @ np.linalg.solve(among, truth[observed]), rtol=1e-8)
    monkeypatch.setattr(optimal, "MAX_JOINT", 10)
    monkeypatch.setattr(optimal, "NEAREST", 1000)
    np.testing.assert_allclose(interpolate(covariance, truth, observed), joint, atol=1e-9)
    monkeypatch.setattr(optimal, "NEAREST", 24)
    few = interpolate(covariance, truth, observed)
    assert np.abs(few - joint).max() > 0
    assert np.square(few - joint).mean() < 0.01 * np.square(joint - truth).mean()


@pytest.mark.slow
def test_many_cells_take_memory_by_their_number_and_not_by_its_square() -> None:
    rng = np.random.default_rng(0)
    cells = 30_000
    where = rng.standard_normal((cells, 3))
    covariance = Covariance(np.ones(cells), 0.9, 0.1, where / np.linalg.norm(where, axis=1, keepdims=True))
    observed = np.zeros(cells, bool)
    observed[: MAX_JOINT + 1] = True
    tracemalloc.start()
    found = interpolate(covariance, covariance.places[:, 0], observed)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200 << 20  # all pairs would take 7 GB
    assert np.square(found - covariance.places[:, 0]).mean() < 0.01


def test_learning_starts_at_the_climatology(task: AssimilationTask, data: FieldData) -> None:
    model = task.build(task.facts(data)).eval()
    batch = task.evaluation_batch(data, "val", np.array([0]))
    with torch.no_grad():
        found = task.predict(model, batch)
    for name in data.variables:
        torch.testing.assert_close(
            found[f"{ANALYSIS}{name}"], batch[f"climatology/{name}"], atol=1e-5, rtol=0
        )


def test_learning_starts_at_what_the_latent_of_observations_tells(
    task: AssimilationTask, data: FieldData
) -> None:
    torch.manual_seed(0)
    model = task.build(task.facts(data)).eval()
    tasks.prepare(task.stages()[-1], data, model)
    batch = task.evaluation_batch(data, "val", np.arange(data.num_samples("val")))
    measure = Assimilation(task.config.data.variables)
    with torch.no_grad():
        found = measure.summarize(measure.add(task.predict(model, batch), batch))
    assert found["assimilation_skill_climatology"] > 0.3
    assert found["assimilation_skill_optimal"] > 0.0  # which knows one variable at a time
    assert isinstance(model.head, Analyser)
    alone, filled, usual = torch.randn(3, 4, 128).unbind()
    with torch.no_grad():
        analysis = model.head(alone, filled, usual, torch.full((4,), 0.1))
    regression = model.head.regression
    torch.testing.assert_close(
        analysis, usual + regression.slope * (alone - usual) + regression.constant, atol=1e-5, rtol=1e-5
    )


def test_the_optimal_interpolation_is_that_of_the_formula(data: FieldData) -> None:
    position, valid = 150, data.valid["u"]
    grid, covariance = data.grids["8x4"], fit_covariance(data, "u")
    observations = observe_by_protocol(data, np.array([position]))
    usual = data.climatology["u"][data.day_of_year[position]]
    cells = list(zip(*np.nonzero(valid), strict=True))

    def place(cell: tuple[int, ...]) -> np.ndarray:
        lon, lat = np.deg2rad(grid.first[cell[0]]), np.deg2rad(grid.second[cell[1]])
        return np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])

    def joint(one: int, other: int) -> float:
        distance = np.linalg.norm(place(cells[one]) - place(cells[other]))
        correlation = covariance.share * math.exp(-((distance / covariance.length) ** 2) / 2)
        return float(covariance.std[one] * covariance.std[other] * (1.0 if one == other else correlation))

    seen = [number for number, cell in enumerate(cells) if observations["is_observed/u"][(0, *cell)]]
    among = np.array([[joint(i, j) + (i == j) * OBSERVATION_NOISE**2 for j in seen] for i in seen])
    pulls = np.linalg.inv(among) @ [
        float(observations["observed/u"][(0, *cells[i])]) - usual[cells[i]] for i in seen
    ]
    found = optimal_analysis(data, np.array([position]))["u"][0]
    for number, cell in enumerate(cells):
        expected = usual[cell] + sum(joint(number, j) * pull for j, pull in zip(seen, pulls, strict=True))
        assert float(found[cell]) == pytest.approx(expected, abs=1e-5)
    assert not found.numpy()[~valid].any()


def test_share_and_length_of_a_known_covariance_are_found(make_fields: Callable[..., FieldData]) -> None:
    data = make_fields(1000, grids={"12x6": (12, 6)}, variables=("u",))
    valid = data.valid["u"]
    true = Covariance(np.full(72, 0.5), 0.8, 0.6, places(data.grids["12x6"], valid))
    root = np.linalg.cholesky(true.matrix() + 1e-9 * np.eye(72))
    anomalies = np.random.default_rng(0).standard_normal((1000, 72)) @ root.T
    usual = data.climatology["u"][data.day_of_year]
    data.fields["u"][:] = usual + anomalies.reshape(1000, 12, 6)
    found = fit_covariance(data, "u")
    assert found.share == pytest.approx(0.8, abs=0.05)
    assert found.length == pytest.approx(0.6, rel=0.1)
    np.testing.assert_allclose(found.std, 0.5, rtol=0.15)


def test_the_covariance_knows_that_the_globe_is_round_and_is_one() -> None:
    grid = Grid("g", np.arange(-180.0, 180.0, 30.0), np.array([-60.0, 0.0, 60.0]), True)
    where = places(grid, np.ones(grid.shape, bool))
    matrix = Covariance(np.ones(36), 1.0, 0.5, where).matrix()
    by_cell = matrix.reshape(12, 3, 12, 3)
    assert by_cell[0, 1, 11, 1] == pytest.approx(by_cell[0, 1, 1, 1])  # across the date line
    assert by_cell[0, 2, 1, 2] > by_cell[0, 1, 1, 1]  # meridians lie closer at 60 degrees
    assert np.linalg.eigvalsh(matrix).min() > -1e-9
    assert gaussian(np.array([0.0]), 0.9, 1.0)[0] == 0.9


def test_an_exact_observation_among_uncorrelated_cells_stays_alone() -> None:
    anomaly = interpolate(
        Covariance(np.ones(3), 0.0, 1.0, np.eye(3)),
        np.array([1.0, np.nan, np.nan]),
        np.array([True, False, False]),
    )
    np.testing.assert_allclose(anomaly, [1 / (1 + OBSERVATION_NOISE**2), 0, 0])


def test_metrics_are_those_of_a_slow_twin(task: AssimilationTask, data: FieldData) -> None:
    batch = task.evaluation_batch(data, "val", np.arange(6))
    rows = rows_scored(batch).tolist()
    measure = Assimilation(("u", "t2m"))
    rng = np.random.default_rng(0)
    outputs = {
        f"{ANALYSIS}{name}": torch.tensor(rng.standard_normal((len(rows), *mask.shape)))
        for name, mask in data.valid.items()
    }
    found = measure.summarize(measure.add(outputs, batch))
    errors, skills = [], []
    for name, mask in data.valid.items():
        areas = data.grids[data.variables[name].grid].weights * mask
        sums = np.zeros(3)
        for number, row in enumerate(rows):
            truth = data.fields[name][data.days["val"].start + row]
            optimal = optimal_analysis(data, np.array([data.days["val"].start + row]))[name][0].numpy()
            analysis = outputs[f"{ANALYSIS}{name}"][number].numpy()
            for number_of, each in enumerate((analysis - truth, truth, optimal - truth)):
                sums[number_of] += np.average(each.astype(np.float64) ** 2, weights=areas)
        errors.append(math.sqrt(sums[0] / sums[1]))
        skills.append(1 - sums[0] / sums[2])
    assert found["assimilation_rrmse"] == pytest.approx(np.mean(errors), rel=1e-5)
    assert found["assimilation_rrmse_t2m"] == pytest.approx(errors[1], rel=1e-5)
    assert found["assimilation_skill_optimal"] == pytest.approx(np.mean(skills), rel=1e-4)


def test_baselines_rank_as_they_must_where_fields_are_smooth(make_fields: Callable[..., FieldData]) -> None:
    data = make_fields(400, grids={"16x8": (16, 8)}, variables=("u", "v"), noise=0.02)
    task = AssimilationTask(PRESETS["tiny_assimilation"].vary(data={"variables": ("u", "v")}))
    found = {
        name: evaluate_split(task, data, baseline, ALONE, split="val", batch_size=32, is_baseline=True)
        for name, baseline in task.baselines(data).items()
        if name in ("climatology", "optimal_interpolation", "yesterdays_analysis")
    }
    errors = {name: metrics["assimilation_rrmse"] for name, metrics in found.items()}
    assert errors["optimal_interpolation"] < errors["yesterdays_analysis"] < errors["climatology"]
    assert found["optimal_interpolation"]["assimilation_skill_optimal"] == pytest.approx(0.0, abs=1e-9)
    assert found["climatology"]["assimilation_skill_climatology"] == pytest.approx(0.0, abs=1e-9)


def test_yesterdays_analysis_crosses_no_jump(task: AssimilationTask, data: FieldData) -> None:
    batch = task.evaluation_batch(data, "val", np.array([19, 20, 21]))
    batch["scored"][:] = True
    assert batch["has_yesterday"].tolist() == [True, False, True]
    found = task.baselines(data)["yesterdays_analysis"](batch)
    start = data.days["val"].start
    assert torch.equal(found[f"{ANALYSIS}u"][0], optimal_analysis(data, np.array([start + 18]))["u"][0])
    assert torch.equal(found[f"{ANALYSIS}u"][1], batch["climatology/u"][1])


def test_shares_that_descend_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"observed_low must be at most observed_high, got 0.3 > 0.2"):
        PRESETS["tiny_assimilation"].vary(downstream={"observed_low": 0.3})


def test_covariances_of_many_variables_are_fitted_once(
    make_fields: Callable[..., FieldData], monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[str] = []

    def fit(data: FieldData, name: str) -> Covariance:
        fitted.append(name)
        return fit_covariance(data, name)

    monkeypatch.setattr(optimal, "fit_covariance", fit)
    data = make_fields(20, variables=[f"v{number}" for number in range(20)], seed=7)
    for day in (12, 13):
        optimal.optimal_analysis(data, np.array([day]))
    assert sorted(fitted) == sorted(data.variables)
