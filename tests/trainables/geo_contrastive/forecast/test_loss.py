"""The loss of forecasts: against loops, under scheduled sampling, without a glance at what it may not know."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from tests import tasks
from tests.trainables.geo_contrastive.conftest import MakeFields
from tests.trainables.geo_contrastive.forecast.conftest import MakeTask, anomalies_of, built, head_stage
from thalweg.stage_contract import Progress
from trainables.geo_contrastive.downstream.model import HeadedModel
from trainables.geo_contrastive.forecast.batches import training_batch
from trainables.geo_contrastive.forecast.loss import FORECAST, ForecastError
from trainables.geo_contrastive.forecast.networks import TRUST
from trainables.geo_contrastive.forecast.windows import left_out


@pytest.fixture(scope="module")
def data(make_fields: MakeFields) -> Any:
    """Fields of 60 days with two jumps in the split ``train``."""
    return make_fields(60, jumps={12: 3, 20: 2}, sea=0.2)


def _progress(ratio: float) -> Progress:
    return Progress(samples=0, total_samples=100, stage="forecast", stage_ratio=ratio)


def _batch(task: Any, data: Any, indices: np.ndarray) -> dict[str, torch.Tensor]:
    return training_batch(data, task.head_knobs, indices, indices.astype(np.uint64) + 5)


def _latent(model: HeadedModel, data: Any, position: int) -> torch.Tensor:
    fields = {name: torch.from_numpy(values[[position]]) for name, values in data.fields.items()}
    day_of_year = torch.from_numpy(data.day_of_year[[position]])
    return anomalies_of(model)(model.standardization(model.encode(fields)), day_of_year)  # type: ignore[no-any-return]


@pytest.mark.parametrize("loss", ["latent", "field"])
@pytest.mark.parametrize("cell", ["lstm", "transformer"])
def test_the_loss_is_that_of_a_loop_over_days_and_steps(
    loss: str, cell: str, data: Any, make_task: MakeTask
) -> None:
    task = make_task(loss=loss, cell=cell, stride=1)
    model = built(task, data)
    stage = head_stage(task)
    prepared = tasks.prepare(stage, data, model)
    assert isinstance(prepared, ForecastError)
    indices = np.arange(8, 24)
    batch = _batch(task, data, indices)
    now = _progress(0.5)
    expected, count = 0.0, 0
    with torch.no_grad():
        for row, index in enumerate(indices.tolist()):
            known = [position for position in range(index - 2, index + 1) if _joined(data, position, index)]
            known = [known[0]] * (3 - len(known)) + known
            read = torch.cat([_latent(model, data, position) for position in known])[None]
            for step in (1, 2):
                if not _joined(data, index, index + step):
                    break
                guess = model.head(read, 1)[:, 0]
                learns = not left_out(np.array([index, index + step]), 36, 1).any()
                expected += _error(model, data, guess, index + step, loss) * learns
                count += learns
                is_taught = learns and batch["forecast/draw"][row, step - 1] < 0.55
                following = _latent(model, data, index + step) if is_taught else guess
                read = torch.cat([read, following[:, None]], dim=1)
                read = read if cell == "lstm" else read[:, 1:]
        found = prepared.parts(model, batch, now)[FORECAST]
    assert prepared.counts(batch, now)[FORECAST] == count < 2 * len(indices)
    assert float(found) == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["lstm", "transformer"])
def test_the_trust_is_judged_on_the_days_left_out(
    cell: str, make_fields: MakeFields, make_task: MakeTask
) -> None:
    data = make_fields(300, jumps={100: 4}, sea=0.2)
    task = make_task(loss="latent", cell=cell, dropout=0.4, layers=2)
    model = built(task, data).train()
    prepared = tasks.prepare(head_stage(task), data, model)
    shares = torch.linspace(1.2, -0.3, 10)
    model.head.trust.steps.data.copy_(shares)  # type: ignore[union-attr, operator]
    indices = np.arange(50, 120)
    batch = _batch(task, data, indices)
    found = prepared.parts(model, batch, _progress(0.5))[TRUST]  # type: ignore[attr-defined]
    assert model.head.training
    model.eval()
    expected, count = 0.0, 0
    with torch.no_grad():
        for index in indices.tolist():
            read = torch.cat([_latent(model, data, index - back) for back in (2, 1, 0)])[None]
            path = model.head(read, 10)[0]
            alone = read[0, -1]
            for step in range(1, 11):
                alone = model.head.inside(alone)  # type: ignore[operator]
                ends = np.array([index, index + step])
                if not left_out(ends, 180, 1).all() or not _joined(data, index, index + step):
                    continue
                true = _latent(model, data, index + step)[0]
                shown = [
                    _fields(model, data, each[None], index + step) for each in (alone, path[step - 1], true)
                ]
                errors = {
                    name: own + shares[step - 1] * (shown[1][name] - own) - shown[2][name]
                    for name, own in shown[0].items()
                }
                expected += _mean_square(data, errors)
                count += 1
    assert prepared.counts(batch, _progress(0.5))[TRUST] == count > 10  # type: ignore[attr-defined]
    assert float(found.detach()) == pytest.approx(expected, rel=1e-4)


def test_a_step_on_latents_carries_no_fields_and_decodes_once(
    make_fields: MakeFields, make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_fields(300)
    task = make_task(loss="latent")
    model = built(task, data)
    prepared = tasks.prepare(head_stage(task), data, model)
    batch = _batch(task, data, np.arange(70, 110))
    per_sample = sum(values.nbytes for values in batch.values()) / 40
    assert per_sample < 8 * (3 + 3 * 10) + 4 * 10 + 20  # positions, days of the year, draws and flags
    passes = []
    decode = model.decode

    def watched(latents: torch.Tensor) -> Any:
        passes.append(len(latents))
        return decode(latents)

    monkeypatch.setattr(model, "decode", watched)
    tasks.losses(task, model, batch, _progress(0.5), prepared)
    rows = int(batch["forecast/left_out"].any(1).sum())
    assert passes == [3 * 10 * rows] and rows > 0


def test_the_network_learns_from_other_days_than_the_trust(
    make_fields: MakeFields, make_task: MakeTask
) -> None:
    data = make_fields(300)
    task = make_task(loss="latent")
    model = built(task, data).requires_grad_(True)
    prepared = tasks.prepare(head_stage(task), data, model)
    parts = tasks.losses(task, model, _batch(task, data, np.arange(100)), _progress(0.5), prepared)
    for part in (FORECAST, TRUST):
        weights = dict(model.head.named_parameters())
        found: Sequence[torch.Tensor | None] = torch.autograd.grad(
            parts[part], list(weights.values()), allow_unused=True
        )
        reached = {name for name, slope in zip(weights, found, strict=True) if slope is not None}
        assert (reached == {"trust.steps"}) if part == TRUST else ("trust.steps" not in reached and reached)
    nothing = _batch(task, data, np.arange(3))
    assert prepared.counts(nothing, _progress(0.5))[TRUST] == 0  # type: ignore[attr-defined]
    assert tasks.losses(task, model, nothing, _progress(0.5), prepared)[TRUST] == 0


def _joined(data: Any, first: int, last: int) -> bool:
    is_near: bool = data.day[last] - data.day[first] == last - first
    return is_near and last < data.days["train"].stop


def _error(model: HeadedModel, data: Any, guess: torch.Tensor, position: int, loss: str) -> float:
    if loss == "latent":
        return float((guess - _latent(model, data, position)).square().mean())
    found = _fields(model, data, guess, position)
    return _mean_square(
        data, {name: field - torch.from_numpy(data.fields[name][position]) for name, field in found.items()}
    )


def _fields(
    model: HeadedModel, data: Any, amplitudes: torch.Tensor, position: int
) -> dict[str, torch.Tensor]:
    latents = anomalies_of(model).restore(amplitudes, torch.from_numpy(data.day_of_year[[position]]))
    fields = model.decode(model.standardization.restore(latents))
    return {name: field[0] for name, field in fields.items()}


def _mean_square(data: Any, errors: dict[str, torch.Tensor]) -> float:
    squares = []
    for name, error in errors.items():
        areas = data.grids[data.variables[name].grid].weights * data.valid[name]
        squares.append((error.numpy() ** 2 * areas).sum() / areas.sum())
    return float(np.mean(squares))


def test_teaching_falls_linearly_over_the_stage(make_task: MakeTask) -> None:
    knobs = make_task(first_teaching=0.9, last_teaching=0.3).head_knobs
    assert [knobs.teaching.at(ratio) for ratio in (0.0, 0.5, 1.0)] == pytest.approx([0.9, 0.6, 0.3])


def test_what_is_taught_depends_on_the_key_alone(data: Any, make_task: MakeTask) -> None:
    task = make_task(horizon=4)
    indices = np.arange(30)
    keys = np.random.default_rng(0).integers(0, 2**63, 30).astype(np.uint64)
    draws = training_batch(data, task.head_knobs, indices, keys)["forecast/draw"]
    alone = training_batch(data, task.head_knobs, indices[7:8], keys[7:8])["forecast/draw"]
    torch.testing.assert_close(draws[7:8], alone, rtol=0, atol=0)
    assert len(draws.unique()) == draws.numel()  # type: ignore[no-untyped-call]
    assert float(draws.min()) >= 0
    assert float(draws.max()) < 1


@pytest.mark.parametrize("changed", ["first_teaching", "last_teaching"])
def test_teaching_changes_the_loss(changed: str, data: Any, make_task: MakeTask) -> None:
    losses = []
    for value in (0.0, 1.0):
        task = make_task(horizon=3, **{"first_teaching": 0.5, "last_teaching": 0.5, changed: value})
        model = built(task, data)
        prepared = tasks.prepare(head_stage(task), data, model)
        batch = _batch(task, data, np.arange(20))
        part = tasks.losses(task, model, batch, _progress(0.5), prepared)[FORECAST]
        losses.append(float(part.detach()))
    assert losses[0] != losses[1]


def test_only_the_head_gets_a_gradient(data: Any, make_task: MakeTask) -> None:
    for loss in ("latent", "field"):
        task = make_task(loss=loss)
        model = built(task, data).requires_grad_(True)
        prepared = tasks.prepare(head_stage(task), data, model)
        batch = _batch(task, data, np.arange(20))
        tasks.losses(task, model, batch, _progress(0.5), prepared)[FORECAST].backward()  # type: ignore[no-untyped-call]
        reached = {name.split(".")[0] for name, weight in model.named_parameters() if weight.grad is not None}
        # The decoder passes errors of fields on; its stage freezes it.
        assert reached == ({"head"} if loss == "latent" else {"head", "decoder"})
        assert [group.prefix for group in head_stage(task).groups] == ["head.", "head.trust."]


def test_standardised_latents_are_fitted_to_the_training_days_once(data: Any, make_task: MakeTask) -> None:
    task = make_task()
    model = built(task, data)
    tasks.prepare(head_stage(task), data, model)
    days = data.days["train"]
    fields = {name: torch.from_numpy(values[days.start : days.stop]) for name, values in data.fields.items()}
    with torch.no_grad():
        latents = model.standardization(model.encode(fields)).double()
    torch.testing.assert_close(latents.mean(0), torch.zeros(8).double(), rtol=0, atol=1e-4)
    torch.testing.assert_close(latents.std(0, correction=0), torch.ones(8).double(), rtol=1e-3, atol=0)
    kept = model.standardization.mean.clone()
    model.standardization.fit(torch.randn(5, 8))
    assert torch.equal(model.standardization.mean, kept)
    torch.testing.assert_close(
        model.standardization.restore(model.standardization(torch.ones(8))), torch.ones(8)
    )
