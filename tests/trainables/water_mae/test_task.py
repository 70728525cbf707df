import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests import tasks
from thalweg.contract import metrics_of
from thalweg.hashing import splitmix64
from thalweg.nn.measures.skill import ERRORS
from thalweg.stage_contract import Progress
from trainables.water_mae.config import (
    PRESETS,
    ForecastKnobs,
    LossWeights,
    MaskingKnobs,
    ModelKnobs,
    WaterMAE,
)
from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.evaluation import protocol
from trainables.water_mae.knobs import PUBLISHED_SET, DataKnobs
from trainables.water_mae.model.batch import Batch, Predictions
from trainables.water_mae.task import WaterMAETask

NOW = Progress(samples=0, total_samples=100, stage="train", stage_ratio=0.0)
KEYS = np.array([5, 6, 7], np.uint64)
FIRST_WITHOUT_RIVERS = np.array([0, 8, 10])


class Truth(nn.Module):
    """Predicts the hidden values plus an error."""

    def __init__(self, error: float = 0.0) -> None:
        super().__init__()
        self.error = error

    def forward(self, batch: Batch) -> Predictions:
        return {name: slow_hidden(batch, name)[0] + self.error for name in PUBLISHED_SET.names}


def slow_hidden(batch: Batch, name: str) -> tuple[Tensor, Tensor]:
    kind, index = PUBLISHED_SET.places[name]
    values, masked = batch[f"{kind}s"][:, index], batch[f"{kind}_masked"][:, index]
    target = torch.zeros(*masked.shape, values.shape[-1])
    valid = torch.zeros(*masked.shape, values.shape[-1], dtype=torch.bool)
    for b, t, k in np.ndindex(*masked.shape):
        patch = int(masked[b, t, k])
        target[b, t, k] = values[b, t, patch]
        valid[b, t, k] = batch[f"{kind}_valid"][b, patch]
    return target, valid


def build(task: WaterMAETask, data: WaterData) -> nn.Module:
    torch.manual_seed(0)
    return task.build(task.facts(data))


def evaluate(task: WaterMAETask, model: nn.Module, data: WaterData, size: int) -> dict[str, float]:
    indices = np.arange(data.num_samples("val"))
    states = [
        tasks.evaluate(task, model, task.evaluation_batch(data, "val", indices[start : start + size]))
        for start in range(0, len(indices), size)
    ]
    assert {table.values.dtype for state in states for table in state.values()} == {torch.float64}
    return tasks.summarize(task, tasks.added(states))


@pytest.mark.slow
def test_evaluation_does_not_depend_on_batch_or_order(config: WaterMAE, data: WaterData) -> None:
    task = WaterMAETask(config)
    indices = np.arange(data.num_samples("val"))
    together = task.evaluation_batch(data, "val", indices)
    backwards = task.evaluation_batch(data, "val", indices[::-1].copy())
    for name, values in together.items():
        assert torch.equal(values, backwards[name].flip(0)), name
        for index in indices:
            alone = task.evaluation_batch(data, "val", indices[[index]])
            assert torch.equal(values[[index]], alone[name]), name


def test_evaluation_follows_the_date_and_not_the_number_of_a_window(
    config: WaterMAE, data: WaterData
) -> None:
    task = WaterMAETask(config)
    moved = replace(data, starts=data.starts | {"val": data.starts["val"][3:]})
    before = task.evaluation_batch(data, "val", np.array([4]))
    after = task.evaluation_batch(moved, "val", np.array([1]))
    assert torch.equal(before["image_masked"], after["image_masked"])
    assert torch.equal(before["vector_masked"], after["vector_masked"])


def test_evaluation_hides_half_whatever_the_knobs_say(config: WaterMAE, data: WaterData) -> None:
    masking = MaskingKnobs(image_mask_ratio=0.8, vector_mask_ratio=0.2, mask_mode="independent")
    searched = config.model_copy(
        update={"masking": masking, "seed": 9, "loss_weights": LossWeights(precipitation=3.0)}
    )
    indices = np.array([0, 3])
    expected = WaterMAETask(config).evaluation_batch(data, "val", indices)
    batch = WaterMAETask(searched).evaluation_batch(data, "val", indices)
    assert batch["image_masked"].shape[-1] == 3
    assert batch["vector_masked"].shape[-1] == 2
    assert batch.keys() == expected.keys()
    for name, values in batch.items():
        assert torch.equal(values, expected[name]), name


def test_losses_follow_the_slow_definition(config: WaterMAE, data: WaterData) -> None:
    task = WaterMAETask(config)
    batch = task.training_batch(data, FIRST_WITHOUT_RIVERS, KEYS)
    model = build(task, data).requires_grad_(False)
    predictions = model(batch)
    losses = tasks.losses(task, model, batch, NOW)
    assert tuple(losses) == PUBLISHED_SET.names
    for name in PUBLISHED_SET.names:
        target, valid = slow_hidden(batch, name)
        expected = 0.0
        for sample in range(3):
            if name == "river_flow" and sample == 0:
                continue
            errors = (predictions[name][sample] - target[sample])[valid[sample]]
            expected += sum(float(error) ** 2 for error in errors) / len(errors)
        assert float(losses[name]) == pytest.approx(expected, rel=1e-5)
        assert losses[name].shape == ()


def test_counts_are_the_samples_that_carry_a_modality(config: WaterMAE, data: WaterData) -> None:
    task = WaterMAETask(config)
    batch = task.training_batch(data, FIRST_WITHOUT_RIVERS, KEYS)
    assert tasks.counts(task, batch, NOW) == dict.fromkeys(PUBLISHED_SET.names, 3.0) | {"river_flow": 2.0}


def test_an_absent_modality_contributes_no_loss_and_no_gradient(config: WaterMAE, data: WaterData) -> None:
    task = WaterMAETask(config)
    batch = task.training_batch(data, FIRST_WITHOUT_RIVERS[:1], KEYS[:1])
    model = build(task, data)
    loss = tasks.losses(task, model, batch, NOW)["river_flow"]
    torch.autograd.backward(loss)
    assert float(loss.detach()) == 0
    assert tasks.counts(task, batch, NOW)["river_flow"] == 0
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert gradients["river_flow_decoder.head.weight"] is not None
    assert not any(gradient.any() for gradient in gradients.values() if gradient is not None)


def filled(batch: Batch, value: float) -> Batch:
    """Returns a batch with another value in the sea and in padding."""
    sea = (~batch["image_valid"])[:, None, None].expand(batch["images"].shape)
    padding = (~batch["vector_valid"])[:, None, None].expand(batch["vectors"].shape)
    assert sea.any() and padding.any()
    return batch | {
        "images": batch["images"].masked_fill(sea, value),
        "vectors": batch["vectors"].masked_fill(padding, value),
    }


def test_sea_and_padding_do_not_count(config: WaterMAE, data: WaterData) -> None:
    task = WaterMAETask(config)

    class Quiet(Truth):
        def forward(self, batch: Batch) -> Predictions:
            return super().forward(filled(batch, 0.0))

    loud = filled(task.training_batch(data, FIRST_WITHOUT_RIVERS, KEYS), 50.0)
    assert all(float(loss) == 0 for loss in tasks.losses(task, Quiet(), loud, NOW).values())
    sums = tasks.evaluate(task, Quiet(), filled(task.evaluation_batch(data, "val", np.arange(4)), 50.0))
    tables = [table for name, table in sums.items() if name.startswith(("Skill", "SquaredErrors"))]
    assert len(tables) == 5 * (2 + len(protocol.OTHER_RATIOS))
    assert not any(table.values[:, ERRORS.index("error")].any() for table in tables)


def test_losses_of_parts_of_a_batch_add_up(config: WaterMAE, data: WaterData) -> None:
    task = WaterMAETask(config)
    model = build(task, data).requires_grad_(False)
    whole = task.training_batch(data, FIRST_WITHOUT_RIVERS, KEYS)
    parts = [{name: values[part] for name, values in whole.items()} for part in (slice(2), slice(2, 3))]
    for name, loss in tasks.losses(task, model, whole, NOW).items():
        total = sum(float(tasks.losses(task, model, part, NOW)[name]) for part in parts)
        assert float(loss) == pytest.approx(total, rel=1e-5)
        assert tasks.counts(task, whole, NOW)[name] == sum(
            tasks.counts(task, part, NOW)[name] for part in parts
        )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_losses_of_half_precision_models_are_fp32(
    config: WaterMAE, data: WaterData, dtype: torch.dtype
) -> None:
    task = WaterMAETask(config)
    batch = task.training_batch(data, FIRST_WITHOUT_RIVERS, KEYS)
    model = build(task, data).requires_grad_(False)
    exact = tasks.losses(task, model, batch, NOW)
    for name, loss in tasks.losses(task, model.to(dtype), batch, NOW).items():
        assert loss.dtype == torch.float32
        assert float(loss) == pytest.approx(float(exact[name]), rel=0.05)


@pytest.mark.slow
def test_days_stored_in_half_the_bytes_stay_that_until_patches_are_chosen_and_count_as_their_fp32_copies(
    config: WaterMAE, data: WaterData
) -> None:
    half = replace(data, images=data.images.astype(np.float16), vectors=data.vectors.astype(np.float16))
    config = config.model_copy(update={"forecast": ForecastKnobs(share=0.5)})
    task, indices = WaterMAETask(config), FIRST_WITHOUT_RIVERS[:2]
    trained = task.training_batch(half, indices, KEYS[:2])
    evaluated = task.evaluation_batch(half, "val", indices)
    assert {batch[name].dtype for batch in (trained, evaluated) for name in ("images", "vectors")} == {
        torch.float16
    }
    model = build(task, half).requires_grad_(False)
    losses = [tasks.losses(task, model, each, NOW) for each in (trained, in_fp32(trained))]
    assert losses[0].keys() == losses[1].keys() == set(PUBLISHED_SET.names)
    assert all(losses[0][name] == losses[1][name] for name in PUBLISHED_SET.names)
    for name, predictor in {"model": model, **task.baselines(half)}.items():
        found, expected = (
            tasks.tensors(tasks.evaluate(task, predictor, each)) for each in (evaluated, in_fp32(evaluated))
        )
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in expected), name


def in_fp32(batch: Batch) -> Batch:
    return {
        name: values.float() if name in ("images", "vectors") else values for name, values in batch.items()
    }


def test_skill_follows_the_slow_definition(config: WaterMAE, data: WaterData) -> None:
    task = WaterMAETask(config)
    model = build(task, data).requires_grad_(False)
    metrics = evaluate(task, model, data, size=4)
    batch = task.evaluation_batch(data, "val", np.arange(data.num_samples("val")))
    skills = []
    for name in PUBLISHED_SET.names:
        target, valid = slow_hidden(batch, name)
        hidden = target[valid].double()
        mse = float((model(batch)[name][valid].double() - hidden).square().mean())
        skills.append(1 - mse / float(hidden.var(correction=0)))
        assert metrics[f"mse_{name}"] == pytest.approx(mse, rel=1e-6)
        assert metrics[f"skill_{name}"] == pytest.approx(skills[-1], rel=1e-6)
    assert metrics["skill"] == pytest.approx(sum(skills) / 5, rel=1e-6)


@pytest.mark.slow
def test_metrics_do_not_depend_on_the_evaluation_batches(config: WaterMAE, data: WaterData) -> None:
    task = WaterMAETask(config)
    model = build(task, data)
    expected = evaluate(task, model, data, size=100)
    for size in (1, 3):
        assert evaluate(task, model, data, size) == pytest.approx(expected, rel=1e-5)


def test_perfection_has_skill_one_and_the_mean_has_skill_zero(config: WaterMAE, data: WaterData) -> None:
    task = WaterMAETask(config)
    perfect = evaluate(task, Truth(), data, size=4)
    for name, value in perfect.items():
        assert value == pytest.approx(float("mse" not in name and name != "weighted_loss")), name

    batch = task.evaluation_batch(data, "val", np.arange(data.num_samples("val")))
    hidden = {name: slow_hidden(batch, name) for name in PUBLISHED_SET.names}

    class Mean(nn.Module):
        def forward(self, batch: Batch) -> Predictions:
            return {
                name: torch.full_like(slow_hidden(batch, name)[0], float(target[valid].mean()))
                for name, (target, valid) in hidden.items()
            }

    metrics = evaluate(task, Mean(), data, size=4)
    assert metrics["skill"] == pytest.approx(0, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [0.3, 0.6, 0.75])
def test_skill_at_another_ratio_follows_the_slow_definition(
    config: WaterMAE, data: WaterData, ratio: float
) -> None:
    task = WaterMAETask(config)
    model = build(task, data).requires_grad_(False)
    metrics = evaluate(task, model, data, size=3)
    windows = data.windows("val", np.arange(data.num_samples("val")))
    masking = {"image_mask_ratio": ratio, "vector_mask_ratio": ratio, "mask_mode": "unified"}
    other = WaterMAETask(config.model_copy(update={"masking": MaskingKnobs.model_validate(masking)}))
    keys = splitmix64(splitmix64(np.uint64(protocol.MASK_SEED)) ^ windows["window"])
    moved = replace(data, starts={"train": data.starts["val"]})
    batch = other.training_batch(moved, np.arange(data.num_samples("val")), keys)
    ending = f"at_{100 * ratio:.0f}"
    skills = []
    for name in PUBLISHED_SET.names:
        target, valid = slow_hidden(batch, name)
        hidden = target[valid].double()
        mse = float((model(batch)[name][valid].double() - hidden).square().mean())
        skills.append(1 - mse / float(hidden.var(correction=0)))
        assert metrics[f"skill_{name}_{ending}"] == pytest.approx(skills[-1], rel=1e-6)
    assert metrics[f"skill_{ending}"] == pytest.approx(sum(skills) / 5, rel=1e-6)


def test_masks_of_the_ratios_are_nested(config: WaterMAE, make_data: Callable[..., WaterData]) -> None:
    task = WaterMAETask(config)
    batch = task.evaluation_batch(make_data(num_patches=20, num_catchments=60), "val", np.arange(3))
    names = ("at_30", "", "at_60", "at_75")
    for kind in ("image", "vector"):
        masked = [batch["_".join(filter(None, (kind, "masked", name)))] for name in names]
        assert [part.shape[-1] for part in masked] == [6, 10, 12, 15]
        for few, many in itertools.pairwise(masked):
            for where in np.ndindex(*few.shape[:-1]):
                assert set(few[where].tolist()) <= set(many[where].tolist())


@pytest.mark.parametrize(("num_windows", "chosen"), [(3, 3), (31, 31), (54, 18), (90, 23), (898, 225)])
def test_other_ratios_are_evaluated_on_windows_of_all_seasons(num_windows: int, chosen: int) -> None:
    flags = protocol.at_other_ratios(np.arange(num_windows), num_windows)
    assert flags.sum() == chosen
    assert np.ptp(np.diff(np.flatnonzero(flags))) == 0
    part = np.array([4, num_windows - 1])[: num_windows // 2]
    assert np.array_equal(protocol.at_other_ratios(part, num_windows), flags[part % num_windows])


def test_a_batch_without_chosen_windows_adds_nothing_at_other_ratios(
    config: WaterMAE, data: WaterData
) -> None:
    task = WaterMAETask(config)
    batch = task.evaluation_batch(data, "val", np.array([1, 2]))
    calls = []

    class Watched(Truth):
        def forward(self, batch: Batch) -> Predictions:
            calls.append(len(batch["images"]))
            return super().forward(batch)

    nobody = batch | {"at_other_ratios": torch.zeros(2, dtype=torch.bool)}
    sums = tasks.evaluate(task, Watched(0.1), nobody)
    assert calls == [2, 1, 1, 1, 1]  # the training split last; equally often on each rank, whatever it holds
    elsewhere = [
        name for name in sums if name.startswith("SkillAtOtherRatios") or name == "Efficiency.training"
    ]
    assert len(elsewhere) == 5 * len(protocol.OTHER_RATIOS) + 1
    assert not any(sums[name].values.any() for name in elsewhere)
    counted = tasks.evaluate(task, Watched(0.1), batch)["SkillAtOtherRatios.at_30/precipitation"]
    assert float(counted.total()[ERRORS.index("count")]) > 0


def test_river_flow_is_measured_in_mm_per_day_by_catchment(config: WaterMAE, data: WaterData) -> None:
    mean, std = np.zeros(5), np.ones(5)
    mean[4], std[4] = 0.3, 0.6
    scaled = replace(data, mean=mean, std=std)
    task = WaterMAETask(config)
    model = build(task, scaled).requires_grad_(False)
    metrics = evaluate(task, model, scaled, size=4)
    batch = task.evaluation_batch(scaled, "val", np.arange(scaled.num_samples("val")))
    rows = np.flatnonzero(batch["at_other_ratios"])
    training = {
        name.removesuffix("_of_training"): value[rows]
        for name, value in batch.items()
        if name.endswith("_of_training")
    }
    pairs, known = (_pairs_of_flow(model, each, scaled) for each in (batch, training))
    assert len(pairs) == 13
    pooled = np.divide(*np.concatenate([np.array(values) for values in known.values()]).sum(axis=0))
    efficiencies = []
    for place, values in pairs.items():
        seen, given = np.array(values).T
        learnt = np.array(known.get(place, [(1.0, 1.0)]))
        days = len(known.get(place, []))
        factor = (days * np.divide(*learnt.sum(axis=0)) + 10 * pooled) / (days + 10)
        efficiencies.append(1 - np.sum((factor * given - seen) ** 2) / np.sum((seen - seen.mean()) ** 2))
    assert metrics["nse_river_flow"] == pytest.approx(float(np.median(efficiencies)), rel=1e-5)


def _pairs_of_flow(
    model: torch.nn.Module, batch: Batch, data: WaterData
) -> dict[tuple[int, int], list[tuple[float, float]]]:
    """Lists hidden flow as seen and as given in mm/day by catchment, of logs with mean 0.3 and deviation 0.6."""
    masked, predictions = batch["vector_masked"][:, 1], model(batch)["river_flow"]
    pairs: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for b, t, k in np.ndindex(*masked.shape):
        if not batch["vector_present"][b, 1]:
            continue
        patch = int(masked[b, t, k])
        for member in np.flatnonzero(data.geometry.member_valid[patch]):
            logs = (batch["vectors"][b, 1, t, patch, member], predictions[b, t, k, member])
            flows = tuple(max(0.0, math.exp(float(log) * 0.6 + 0.3) - 1e-6) for log in logs)
            pairs.setdefault((patch, int(member)), []).append((flows[0], flows[1]))
    return pairs


def test_metrics_are_those_that_are_declared(config: WaterMAE, data: WaterData) -> None:
    task = WaterMAETask(config)
    metrics = evaluate(task, Truth(0.1), data, size=4)
    ahead = WaterMAETask(config.model_copy(update={"forecast": ForecastKnobs(share=0.5)}))
    assert set(metrics) == set(tasks.names(task))
    assert tasks.names(task) == tasks.names(ahead)[-len(tasks.names(task)) :]
    assert tasks.names(ahead)[:2] == ("nse_forecast", "nse_forecast_1d")


def test_only_the_weighted_loss_changes_with_the_loss_weights(config: WaterMAE, data: WaterData) -> None:
    weights = LossWeights(precipitation=3.0, soil_moisture=2.0)
    task, other = WaterMAETask(config), WaterMAETask(config.model_copy(update={"loss_weights": weights}))
    before, after = (evaluate(each, Truth(0.1), data, size=4) for each in (task, other))
    assert {name for name in before if before[name] != after[name]} == {"weighted_loss"}
    assert {metric.name for metric in metrics_of(task) if not metric.search_invariant} == {"weighted_loss"}
    assert after["weighted_loss"] == pytest.approx((3 + 2 + 10 + 1 + 1) * 0.01, rel=1e-5)


def test_a_modality_that_a_split_lacks_does_not_enter_the_skill(config: WaterMAE, data: WaterData) -> None:
    task = WaterMAETask(config)
    present = data.vector_present.copy()
    present[:, 1] = False
    metrics = evaluate(task, Truth(0.1), replace(data, vector_present=present), size=4)
    assert math.isnan(metrics["skill_river_flow"]) and math.isnan(metrics["mse_river_flow"])
    rest = [metrics[f"skill_{name}"] for name in PUBLISHED_SET.names if name != "river_flow"]
    assert metrics["skill"] == pytest.approx(sum(rest) / 4)
    assert math.isfinite(metrics["weighted_loss"])


def test_climatology_predicts_the_mean_of_the_day_and_place(config: WaterMAE, data: WaterData) -> None:
    task = WaterMAETask(config)
    batch = task.evaluation_batch(data, "val", np.array([1, 2]))
    predictions = task.baselines(data)["climatology"](batch)
    means = dict(zip(("image", "vector"), data.climatology(), strict=True))
    for name in PUBLISHED_SET.names:
        kind, index = PUBLISHED_SET.places[name]
        masked = batch[f"{kind}_masked"][:, index]
        for b, t, k in np.ndindex(*masked.shape):
            day = int(batch["day_of_year"][b, t])
            expected = means[kind][day, index, int(masked[b, t, k])]
            np.testing.assert_array_equal(predictions[name][b, t, k].numpy(), expected)


def test_baselines_are_evaluated_like_the_model(config: WaterMAE, data: WaterData) -> None:
    task = WaterMAETask(config)
    metrics = evaluate(task, task.baselines(data)["climatology"], data, size=4)
    # Random numbers for a mean: twice the variance of the values, so a skill of about -1.
    assert metrics["skill"] == pytest.approx(-1, abs=0.4)


def test_the_protocol_names_the_data_knobs_and_no_searched_knob(config: WaterMAE) -> None:
    searched = config.model_copy(
        update={
            "masking": MaskingKnobs(image_mask_ratio=0.7),
            "model": ModelKnobs(dim=64),
            "loss_weights": LossWeights(temperature=3.0),
            "optimization": config.optimization.model_copy(update={"batch_size": 4}),
        }
    )
    assert WaterMAETask(searched).protocol() == WaterMAETask(config).protocol()
    assert WaterMAETask(config).protocol()["masking"]["image_mask_ratio"] == 0.5


@pytest.mark.slow
def test_a_few_steps_lower_every_part(data: WaterData) -> None:
    tiny = PRESETS["tiny"]
    config = tiny.model_copy(update={"data": DataKnobs(sequence_length=3, stride=2)})
    task = WaterMAETask(config)
    model = build(task, data)
    batch = task.training_batch(data, FIRST_WITHOUT_RIVERS, KEYS)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    first = {name: float(loss.detach()) for name, loss in tasks.losses(task, model, batch, NOW).items()}
    for _ in range(40):
        optimizer.zero_grad()
        torch.autograd.backward(list(tasks.losses(task, model, batch, NOW).values()))
        optimizer.step()
    last = tasks.losses(task, model, batch, NOW)
    assert all(float(last[name].detach()) < 0.8 * first[name] for name in PUBLISHED_SET.names)


@pytest.mark.slow
def test_the_tiny_preset_beats_climatology_within_80_steps(tiny_root: Path) -> None:
    task = WaterMAETask(PRESETS["tiny"].vary(data={"evaluation_stride": 4}))
    data = task.open(tiny_root)
    climatology = evaluate(task, task.baselines(data)["climatology"], data, size=32)
    model = build(task, data)
    assert evaluate(task, model, data, size=32)["skill"] < climatology["skill"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95), weight_decay=0.05)
    rng = np.random.default_rng(0)
    for step in range(80):
        indices = rng.integers(data.num_samples("train"), size=8)
        batch = task.training_batch(data, indices, np.arange(8, dtype=np.uint64) + np.uint64(8 * step))
        optimizer.zero_grad()
        torch.autograd.backward(list(tasks.losses(task, model, batch, NOW).values()))
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    trained = evaluate(task, model, data, size=32)
    for name in ("skill", *(f"skill_{name}" for name in PUBLISHED_SET.names)):
        assert trained[name] > climatology[name] + 0.05, name
