"""Decoders that read the interpolation of visible values, or correct it."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from thalweg.training.engine import half_precision
from trainables.water_mae.config import ModelKnobs, WaterMAE
from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.knobs import PUBLISHED_SET
from trainables.water_mae.model.autoencoder import MaskedAutoencoder
from trainables.water_mae.model.batch import Batch
from trainables.water_mae.model.interpolation import Interpolation
from trainables.water_mae.model.seasonal_cycle import SeasonalCycle, fitted
from trainables.water_mae.task import WaterMAETask


@pytest.fixture
def batch(config: WaterMAE, data: WaterData) -> Batch:
    """Two windows with all modalities."""
    return WaterMAETask(config).training_batch(data, np.array([8, 10]), np.array([5, 6], np.uint64))


def build(config: WaterMAE, data: WaterData, **knobs: Any) -> MaskedAutoencoder:
    torch.manual_seed(0)
    sizes = ModelKnobs.model_validate(config.model.model_dump() | knobs)
    return MaskedAutoencoder(sizes, data.geometry, config.data.sequence_length, PUBLISHED_SET, fitted(data))


def expected_of(data: WaterData, *, anomalies: bool) -> Interpolation:
    cycle = SeasonalCycle(fitted(data)) if anomalies else None
    return Interpolation(data.geometry, data.modalities, cycle)


@pytest.mark.parametrize("decoder_type", ["cross", "self"])
@pytest.mark.parametrize("mode", ["added", "both"])
@pytest.mark.parametrize("anomalies", [False, True])
def test_an_untrained_decoder_leaves_the_interpolation_as_it_is_and_then_corrects_it(
    config: WaterMAE, data: WaterData, batch: Batch, anomalies: bool, mode: str, decoder_type: str
) -> None:
    knobs = {"interpolation": mode, "interpolate_anomalies": anomalies}
    model = build(config, data, decoder_type=decoder_type, **knobs)
    expected = expected_of(data, anomalies=anomalies)(batch)
    for name, values in model(batch).items():
        torch.testing.assert_close(values, expected[name], rtol=0, atol=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):  # after a first step the rest of a decoder learns too
        model(batch)["temperature"].square().mean().backward()
        optimizer.step()
    assert not torch.allclose(model(batch)["temperature"], expected["temperature"], atol=1e-3)
    slope = model.get_parameter("temperature_decoder.mask_token").grad
    assert slope is not None and slope.any()


@pytest.mark.parametrize("mode", ["read", "both"])
def test_what_is_read_is_what_is_interpolated_from_visible_values(
    config: WaterMAE, data: WaterData, batch: Batch, mode: str
) -> None:
    model = build(config, data, interpolation=mode)
    decoder = model.get_submodule("temperature_decoder")
    nn.init.normal_(decoder.head.weight)  # type: ignore[union-attr, arg-type]
    found = model(batch)["temperature"]
    with torch.no_grad():
        decoder.reading.weight.mul_(2)  # type: ignore[union-attr, operator]
    assert not torch.allclose(model(batch)["temperature"], found, atol=1e-3)
    hidden = dict(batch, images=batch["images"].clone())
    masked = batch["image_masked"][:, 2]
    mark = torch.zeros(hidden["images"].shape[:1] + hidden["images"].shape[2:4], dtype=torch.bool)
    hidden["images"][:, 2][mark.scatter(2, masked, True)] += 100.0
    torch.testing.assert_close(model(hidden)["temperature"], model(batch)["temperature"], rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("anomalies", [False, True])
def test_what_is_added_is_added_in_fp32(
    config: WaterMAE, data: WaterData, batch: Batch, anomalies: bool, dtype: torch.dtype
) -> None:
    model = build(config, data, interpolation="both", interpolate_anomalies=anomalies)
    half_precision.fit(model, "fp16" if dtype == torch.float16 else "bf16")
    for weight in model.parameters():
        weight.data = weight.data.to(dtype)
    expected = expected_of(data, anomalies=anomalies)(batch)
    for name, values in model(batch).items():
        assert values.dtype == torch.float32
        assert torch.equal(values, expected[name])


def test_a_model_that_was_kept_knows_the_seasonal_cycle_again(
    config: WaterMAE, data: WaterData, batch: Batch
) -> None:
    knobs = config.model.model_dump() | {"interpolation": "added", "interpolate_anomalies": True}
    task = WaterMAETask(config.model_copy(update={"model": ModelKnobs.model_validate(knobs)}))
    facts = task.facts(data)
    assert "seasonal_cycle" not in WaterMAETask(config).facts(data)
    expected = expected_of(data, anomalies=True)(batch)
    for name, values in task.build(facts)(batch).items():
        assert torch.equal(values, expected[name])
    assert all(each.isfinite().all() for each in task.build(None).buffers())


def test_anomalies_without_interpolation_are_refused(config: WaterMAE) -> None:
    with pytest.raises(
        ValueError, match="interpolate_anomalies must be False unless interpolation is not none"
    ):
        ModelKnobs.model_validate(config.model.model_dump() | {"interpolate_anomalies": True})
