"""The head forecasts what follows a window; with frozen encoders nothing else is trained for it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests import tasks
from thalweg.contract import metrics_of
from thalweg.stage_contract import Progress
from thalweg.training.checkpoints.frozen_weights import load_starting_points
from thalweg.training.engine.engine import parameter_groups
from thalweg.training.messages import TrialOrder
from thalweg.training.process_group import join
from thalweg.training.session import DataCache, Session
from trainables.water_mae.config import PRESETS, ForecastKnobs, WaterMAE
from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.forecast import ridge
from trainables.water_mae.forecast.forecast import LEAD_DAYS, ForecastingAutoencoder
from trainables.water_mae.model.autoencoder import MaskedAutoencoder
from trainables.water_mae.task import WaterMAETask

DOWNSTREAM = Progress(samples=0, total_samples=100, stage="forecast", stage_ratio=0.0)
PRETRAINING = Progress(samples=0, total_samples=100, stage="train", stage_ratio=0.0)


def with_head(config: WaterMAE, share: float = 0.5) -> WaterMAE:
    return config.model_copy(update={"forecast": ForecastKnobs(share=share)})


@pytest.fixture
def task(config: WaterMAE) -> WaterMAETask:
    return WaterMAETask(with_head(config))


@pytest.fixture
def model(task: WaterMAETask, data: WaterData) -> ForecastingAutoencoder:
    torch.manual_seed(0)
    found = task.build(task.facts(data)).eval()
    assert isinstance(found, ForecastingAutoencoder)
    torch.nn.init.normal_(found.forecast_head.weight)
    torch.nn.init.normal_(found.forecast_head.bias)
    return found.requires_grad_(False)


def evaluate(task: WaterMAETask, model: torch.nn.Module, data: WaterData, size: int = 4) -> dict[str, float]:
    indices = np.arange(data.num_samples("val"))
    states = (
        tasks.evaluate(task, model, task.evaluation_batch(data, "val", indices[start : start + size]))
        for start in range(0, len(indices), size)
    )
    return tasks.summarize(task, tasks.added(states))


def slow_targets(data: WaterData, batch_of: np.ndarray) -> dict[tuple[int, int], np.ndarray]:
    """Flow by sample and lead; a day that does not count is missing. Windows of 3 days, rivers from day 12 on."""
    found = {}
    for sample, index in enumerate(batch_of):
        start = int(data.starts["train"][index])
        for lead in LEAD_DAYS:
            day = start + 2 + lead
            if start >= 12 and day < 40:
                found[sample, lead] = data.vectors[day, 1]
    return found


def test_targets_are_the_days_after_a_window_inside_its_split(task: WaterMAETask, data: WaterData) -> None:
    indices = np.arange(data.num_samples("train"))
    batch = task.training_batch(data, indices, indices.astype(np.uint64))
    expected = slow_targets(data, indices)
    assert 0 < len(expected) < 3 * len(indices)
    for sample, number in np.ndindex(len(indices), len(LEAD_DAYS)):
        lead = LEAD_DAYS[number]
        known = (sample, lead) in expected
        assert batch["forecast_present"][sample, number] == known
        target = expected.get((sample, lead), np.zeros_like(data.vectors[0, 1]))
        assert np.array_equal(batch["forecast_target"][sample, number], target)


def test_a_forecast_is_the_last_day_and_a_linear_function_of_its_token(
    task: WaterMAETask, model: ForecastingAutoencoder, data: WaterData
) -> None:
    batch = task.evaluation_batch(data, "val", np.array([0, 3]))
    forecast = model.forecast(batch)
    visible = dict(batch)
    for kind, num_patches in (("image", 6), ("vector", 5)):
        every = torch.arange(num_patches).expand(*batch[f"{kind}s"].shape[:3], num_patches)
        visible[f"{kind}_keep"] = every
    tokens = model.encode(visible).maps["river_flow"][-1]
    assert tokens.shape[1] == 3 * 5 + 1
    head = model.forecast_head
    for sample, lead, patch, member in np.ndindex(2, 3, 5, 3):
        token = tokens[sample, 2 * 5 + patch]
        expected = batch["vectors"][sample, 1, 2, patch, member] + head.bias[lead, patch, member]
        expected = expected + token @ head.weight[lead, patch, member]
        assert float(forecast[sample, lead, patch, member]) == pytest.approx(float(expected), abs=1e-4)


def test_a_forecast_does_not_see_the_masks_nor_the_days_to_come(
    task: WaterMAETask, model: ForecastingAutoencoder, data: WaterData
) -> None:
    one, other = (
        task.training_batch(data, np.array([8, 10]), np.array(keys, np.uint64)) for keys in ([1, 2], [3, 4])
    )
    assert not torch.equal(one["image_keep"], other["image_keep"])
    assert torch.equal(model.forecast(one), model.forecast(other))
    blind = one | {"forecast_target": torch.full_like(one["forecast_target"], 9.0)}
    assert torch.equal(model.forecast(one), model.forecast(blind))


@pytest.mark.slow
def test_a_new_head_repeats_the_last_day_like_persistence(task: WaterMAETask, data: WaterData) -> None:
    batch = task.evaluation_batch(data, "val", np.arange(4))
    fresh = task.build(task.facts(data)).eval()
    persistence = task.baselines(data)["persistence"]
    with torch.no_grad():
        assert torch.equal(fresh.forecast(batch), persistence.forecast(batch))  # type: ignore[operator]
    ours, theirs = evaluate(task, fresh, data), evaluate(task, persistence, data)
    assert ours["nse_forecast"] == theirs["nse_forecast"] < 0  # noise, repeated


def test_climatology_forecasts_the_mean_of_the_day_to_come(task: WaterMAETask, data: WaterData) -> None:
    batch = task.evaluation_batch(data, "val", np.array([1, 2]))
    batch["day_of_year"][1] = torch.tensor([362, 363, 364])
    forecast = task.baselines(data)["climatology"].forecast(batch)  # type: ignore[operator]
    for sample, number in np.ndindex(2, len(LEAD_DAYS)):
        day = (int(batch["day_of_year"][sample, -1]) + LEAD_DAYS[number]) % 366
        assert np.array_equal(forecast[sample, number], data.climatology()[1][day, 1])


def test_the_loss_follows_the_slow_definition(
    task: WaterMAETask, model: ForecastingAutoencoder, data: WaterData
) -> None:
    indices = np.array([0, 8, 16, 17, 18])
    batch = task.training_batch(data, indices, indices.astype(np.uint64))
    forecast, expected, count = model.forecast(batch), 0.0, 0
    for sample in range(len(indices)):
        errors = [
            float(forecast[sample, number, patch, member] - target[patch, member]) ** 2
            for number, lead in enumerate(LEAD_DAYS)
            for target in [slow_targets(data, indices).get((sample, lead))]
            if target is not None
            for patch, member in np.argwhere(data.geometry.member_valid)
        ]
        expected += float(np.mean(errors)) if errors else 0.0
        count += bool(errors)
    losses = tasks.losses(task, model, batch, DOWNSTREAM)
    assert {name: float(value) for name, value in losses.items()} == {
        "forecast": pytest.approx(expected, rel=1e-5)
    }
    assert 0 < count < len(indices)
    assert tasks.counts(task, batch, DOWNSTREAM) == {"forecast": count}
    assert tasks.weights(task, DOWNSTREAM) == {"forecast": 1.0}
    assert set(tasks.weights(task, PRETRAINING)) == set(tasks.losses(task, model, batch, PRETRAINING))


def slow_kge(seen: np.ndarray, given: np.ndarray) -> float:
    """Eqs. 9 and 10 of Gupta et al. (2009)."""
    terms = np.corrcoef(seen, given)[0, 1], given.std() / seen.std(), given.mean() / seen.mean()
    return float(1 - np.sqrt(sum((term - 1) ** 2 for term in terms)))


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 3, 100])
def test_metrics_are_the_median_nse_and_kge_of_flow_by_lead(
    task: WaterMAETask, model: ForecastingAutoencoder, data: WaterData, size: int
) -> None:
    scaled = replace(data, mean=np.full(5, 0.3), std=np.full(5, 0.6))
    metrics = evaluate(task, model, scaled, size)
    batch = task.evaluation_batch(scaled, "val", np.arange(scaled.num_samples("val")))
    rows = np.flatnonzero(batch["at_other_ratios"])
    training = {
        name.removesuffix("_of_training"): value[rows]
        for name, value in batch.items()
        if name.endswith("_of_training")
    }
    valid = scaled.geometry.member_valid
    medians, others = [], []
    for number, lead in enumerate(LEAD_DAYS):
        (seen, given), (learnt, first) = (
            [
                np.maximum(np.exp(each[known, number].double().numpy()[:, valid] * 0.6 + 0.3) - 1e-6, 0)
                for each in (part["forecast_target"], model.forecast(part))
            ]
            for part in (batch, training)
            for known in [part["forecast_present"][:, number] > 0]
        )
        assert len(seen) == {1: 9, 3: 8, 7: 6}[lead]
        own, pooled = learnt.sum(0) / first.sum(0), learnt.sum() / first.sum()
        given = given * (len(learnt) * own + 10 * pooled) / (len(learnt) + 10)
        efficiencies = 1 - ((given - seen) ** 2).sum(0) / ((seen - seen.mean(0)) ** 2).sum(0)
        medians.append(float(np.median(efficiencies)))
        assert metrics[f"nse_forecast_{lead}d"] == pytest.approx(medians[-1], rel=1e-5)
        others.append(float(np.median([slow_kge(*both) for both in zip(seen.T, given.T, strict=True)])))
        assert metrics[f"kge_forecast_{lead}d"] == pytest.approx(others[-1], rel=1e-5)
    assert metrics["nse_forecast"] == pytest.approx(np.mean(medians), rel=1e-5)
    assert metrics["kge_forecast"] == pytest.approx(np.mean(others), rel=1e-5)
    assert set(metrics) == set(tasks.names(task))


def test_without_a_head_nothing_is_forecast(config: WaterMAE, data: WaterData) -> None:
    task = WaterMAETask(config)
    assert type(task.build(task.facts(data))) is MaskedAutoencoder
    assert not any("forecast" in name for name in tasks.names(task))
    assert not any("forecast" in name for name in task.evaluation_batch(data, "val", np.arange(2)))
    assert "forecast_ridge" not in task.baselines(data)
    ahead = WaterMAETask(with_head(config)).protocol()
    assert {name: ahead[name] for name in task.protocol()} == task.protocol()
    assert set(ahead) - set(task.protocol()) == {"flow_events"}


@pytest.mark.parametrize(
    ("share", "stages"), [(0.0, ["train"]), (0.25, ["train", "forecast"]), (1.0, ["forecast"])]
)
def test_stages_train_the_encoders_or_the_head(
    config: WaterMAE, data: WaterData, share: float, stages: list[str]
) -> None:
    task = WaterMAETask(with_head(config, share))
    model = task.build(task.facts(data))
    assert [stage.name for stage in task.stages()] == stages
    assert sum(stage.share for stage in task.stages()) == 1
    for stage in task.stages():
        parameter_groups(model, stage, 1e-3)
        for name, parameter in model.named_parameters():
            assert parameter.requires_grad == (name.startswith("forecast_head") == (stage.name == "forecast"))


def test_a_model_without_shared_layers_can_be_staged(config: WaterMAE, data: WaterData) -> None:
    knobs = config.model.model_copy(update={"shared_depth": 0})
    task = WaterMAETask(with_head(config).model_copy(update={"model": knobs}))
    for stage in task.stages():
        parameter_groups(task.build(task.facts(data)), stage, 1e-3)


def test_the_architecture_is_that_of_the_study_it_starts_from(config: WaterMAE, data: WaterData) -> None:
    first = config.model_copy(update={"model": config.model.model_copy(update={"dim": 24, "image_depth": 1})})
    inherited = WaterMAETask(with_head(config, 1.0)).inherit({"first": config, "last": first})
    assert inherited.model == first.model
    assert inherited.forecast.share == 1


def test_the_encoders_of_another_study_are_taken_and_the_head_is_new(
    config: WaterMAE, data: WaterData, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    pretrained = WaterMAETask(config).build(WaterMAETask(config).facts(data))
    torch.save({"weights": pretrained.state_dict()}, tmp_path / "first.pt")
    model = WaterMAETask(with_head(config, 1.0)).build(WaterMAETask(with_head(config, 1.0)).facts(data))
    load_starting_points(model, {"first": str(tmp_path / "first.pt")})
    own = dict(model.named_parameters())
    assert all(torch.equal(own[name], weight) for name, weight in pretrained.named_parameters())
    assert not own["forecast_head.weight"].any()


def order(folder: Path, root: Path, **optimization: Any) -> TrialOrder:
    config = with_head(PRESETS["tiny"].vary(data={"evaluation_stride": 4})).model_dump(mode="json")
    config["optimization"] |= {"batch_size": 8, "lr": 3e-3, **optimization}
    return TrialOrder(
        trial="trial",
        family="trainables.water_mae",
        config=config,
        metric="nse_forecast",
        evaluations=(192, 384),
        data_root=str(root),
        directory=str(folder),
        checkpoints=False,
        baselines=optimization.get("zero_stage") == 1,
    )


@pytest.mark.slow
@pytest.mark.parametrize("zero_stage", [1, 3])
def test_a_trained_head_beats_persistence_and_leaves_the_encoders_alone(
    tiny_root: Path, tmp_path: Path, zero_stage: int
) -> None:
    session = Session(order(tmp_path, tiny_root, zero_stage=zero_stage), join(), DataCache())
    first = session.advance()
    middle = weights(session)
    second = session.advance(first.samples)
    end = weights(session)
    changed = {name for name in end if not torch.equal(end[name], middle[name])}
    assert changed == {"forecast_head.weight", "forecast_head.bias"}
    assert not middle["forecast_head.weight"].any()
    assert {name for name, _ in second.curve[-1][1].items() if name.startswith("loss/")} == {
        "loss/forecast",
        "loss/weighted",
    }
    skill = [report.metrics["skill"] for report in (first, second)]
    assert skill[0] == pytest.approx(skill[1], abs=1e-6)
    assert second.metrics["nse_forecast"] > first.metrics["nse_forecast"] + 0.01
    session.close()


def weights(session: Session) -> Mapping[str, Tensor]:
    from thalweg.training.engine.engine import full_weights

    return {name: value.clone() for name, value in full_weights(session._engine).items()}


def test_regressions_equal_those_solved_one_by_one(data: WaterData) -> None:
    rows = ridge.training_rows(data, "river_flow")
    shared, own = ridge.solve(rows, penalty=5.0)
    places = data.geometry.member_valid.ravel()
    for catchment in np.flatnonzero(places):
        features = np.concatenate([rows.shared.numpy(), rows.own[:, catchment].numpy()], axis=1)
        ridge_matrix = 5.0 * np.eye(features.shape[1])
        ridge_matrix[0, 0] = 1e-9
        expected = np.linalg.solve(
            features.T @ features + ridge_matrix, features.T @ rows.target[:, catchment].numpy()
        )
        found = np.concatenate([shared[catchment].numpy(), own[catchment].numpy()])
        np.testing.assert_allclose(found, expected, atol=1e-7)


def test_rows_are_days_with_rivers_before_and_after(data: WaterData) -> None:
    rows = ridge.training_rows(data, "river_flow")
    # windows of 3 days, rivers from day 12 on, 40 days in the split, forecasts 7 days ahead
    assert len(rows.target) == len(range(14, 33))
    flow = data.vectors[:, 1].reshape(60, -1)
    np.testing.assert_allclose(rows.target[0].numpy(), (flow[[15, 17, 21]] - flow[14]).T, rtol=1e-5)
    np.testing.assert_allclose(rows.own[0, :, :3].numpy(), flow[[14, 13, 12]].T, rtol=1e-6)
    assert rows.shared.shape[1] == 1 + 6 * (3 + 1 + 1)
    assert (rows.shared[:, 0] == 1).all()


def test_a_batch_is_regressed_as_the_training_days_were(task: WaterMAETask, data: WaterData) -> None:
    baseline = task.baselines(data)["forecast_ridge"]
    rows = ridge.training_rows(data, "river_flow")
    # the window that starts on day 12 ends on day 14, the first row
    index = np.flatnonzero(data.starts["train"] == 12)
    batch = task.training_batch(data, index, index.astype(np.uint64))
    forecast = baseline.forecast(batch)  # type: ignore[operator]
    assert isinstance(baseline, ridge.Ridge)
    for lead, catchment in np.ndindex(3, 13):
        patch, member = divmod(catchment, 3)
        expected = batch["vectors"][0, 1, -1, patch, member]
        expected = expected + rows.shared[0].float() @ baseline.shared[lead, patch, member]
        expected = expected + rows.own[0, catchment].float() @ baseline.own[lead, patch, member]
        assert float(forecast[0, lead, patch, member]) == pytest.approx(float(expected), abs=1e-5)


@pytest.mark.slow
def test_the_regression_beats_persistence_and_is_measured_by_its_forecasts_alone(tiny_root: Path) -> None:
    task = WaterMAETask(with_head(PRESETS["tiny"]))
    data = task.open(tiny_root)
    baselines = task.baselines(data)
    found = {
        name: evaluate(task, baselines[name], data, 64)
        for name in ("forecast_ridge", "persistence", "climatology")
    }
    reconstruction = {metric.name for metric in metrics_of(WaterMAETask(PRESETS["tiny"]))}
    assert set(found["forecast_ridge"]) == set(tasks.names(task)) - reconstruction
    for lead in LEAD_DAYS:
        name = f"nse_forecast_{lead}d"
        assert found["forecast_ridge"][name] > found["persistence"][name] + 0.005
    assert found["persistence"]["nse_forecast_1d"] > found["persistence"]["nse_forecast_7d"]
