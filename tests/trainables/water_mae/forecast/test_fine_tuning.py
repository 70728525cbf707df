"""Encoders are frozen or fine-tuned with the head, at a rate of their own; decoders never change."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import tasks
from thalweg.config import flat, identity
from thalweg.errors import ConfigError
from thalweg.stage_contract import Progress
from thalweg.training.engine.engine import full_weights, parameter_groups, train_mode
from thalweg.training.messages import TrialOrder
from thalweg.training.process_group import join
from thalweg.training.session import DataCache, Session
from trainables.water_mae.config import PRESETS, ForecastKnobs, WaterMAE
from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.task import WaterMAETask

DOWNSTREAM = Progress(samples=0, total_samples=100, stage="forecast", stage_ratio=0.0)
HEAD = ("forecast_head.",)
ENCODERS = (
    *(
        f"{name}_encoder."
        for name in ("precipitation", "soil_moisture", "temperature", "evaporation", "river_flow")
    ),
    "fusion.",
    "encoder_modality_tokens.",
)
ALONE = ("river_flow_encoder.", "encoder_modality_tokens.river_flow")


def task_with(config: WaterMAE, scale: float = 0.25, depth: int = 1) -> WaterMAETask:
    model = config.model.model_copy(update={"shared_depth": depth})
    knobs = ForecastKnobs(share=0.5, lr_scale=2.0, encoder_lr_scale=scale)
    return WaterMAETask(config.model_copy(update={"forecast": knobs, "model": model}))


@pytest.mark.parametrize(
    ("scale", "depth", "below"), [(0.0, 1, ()), (0.25, 1, ENCODERS), (0.0, 0, ()), (0.25, 0, ALONE)]
)
def test_all_that_a_forecast_reads_is_fine_tuned_and_nothing_else(
    config: WaterMAE, data: WaterData, scale: float, depth: int, below: tuple[str, ...]
) -> None:
    task = task_with(config, scale, depth)
    model = task.build(task.facts(data))
    torch.nn.init.normal_(model.get_parameter("forecast_head.weight"))
    stage = task.stages()[-1]
    groups = parameter_groups(model, stage, 1e-3)
    rates = {id(weight): group["lr"] for group in groups for weight in group["params"]}
    train_mode(model, stage)
    indices = np.array([8, 10])
    batch = task.training_batch(data, indices, indices.astype(np.uint64))
    sum(tasks.losses(task, model, batch, DOWNSTREAM).values()).backward()  # type: ignore[union-attr]
    for name, weight in model.named_parameters():
        assert weight.requires_grad == name.startswith(HEAD + below), name
        if weight.requires_grad:
            assert rates[id(weight)] == pytest.approx(2e-3 if name.startswith(HEAD) else 2.5e-4), name
            assert weight.grad is not None and weight.grad.abs().sum() > 0, name
    for name, module in model.named_children():
        if name.endswith("_decoder"):
            assert not module.training
        if name == "river_flow_encoder":
            assert module.training == bool(below)


def test_a_rate_without_a_head_is_refused_and_not_recorded(config: WaterMAE) -> None:
    with pytest.raises(ConfigError, match=r"encoder_lr_scale must be 0\.0 unless share is positive"):
        config.vary(forecast={"encoder_lr_scale": 0.1})
    assert "encoder_lr_scale" in config.forecast.idle()
    assert "encoder_lr_scale" not in task_with(config).config.forecast.idle()


def test_older_configurations_are_read_and_keep_their_identity(config: WaterMAE) -> None:
    frozen = config.vary(forecast={"share": 0.5})
    stored = frozen.model_dump(mode="json")
    del stored["forecast"]["encoder_lr_scale"]
    assert WaterMAE.model_validate(stored) == frozen
    del stored["forecast"]["modality"]
    assert identity(frozen)["forecast"] == stored["forecast"]
    assert identity(task_with(config).config)["forecast"]["encoder_lr_scale"] == 0.25
    assert flat(WaterMAE())["forecast.share"] == 0


def trained(folder: Path, root: Path, scale: float) -> Mapping[str, torch.Tensor]:
    """Weights after half of a small budget of pre-training and half of forecasting."""
    forecasts = {"share": 0.5, "encoder_lr_scale": scale}
    config = PRESETS["tiny"].vary(forecast=forecasts, data={"evaluation_stride": 4}).model_dump(mode="json")
    order = TrialOrder(
        trial=f"trial-{scale}",
        family="trainables.water_mae",
        config=config,
        metric="nse_forecast",
        evaluations=(64,),
        data_root=str(root),
        directory=str(folder),
        checkpoints=False,
    )
    session = Session(order, join(), DataCache())
    session.advance()
    found = {name: value.clone() for name, value in full_weights(session._engine).items()}
    session.close()
    return found


@pytest.mark.slow
def test_fine_tuning_changes_encoders_and_leaves_decoders_alone(tiny_root: Path, tmp_path: Path) -> None:
    frozen, tuned = (trained(tmp_path, tiny_root, scale) for scale in (0.0, 1.0))
    for name, weight in frozen.items():
        if not name.startswith(HEAD):
            assert torch.equal(weight, tuned[name]) != name.startswith(ENCODERS), name
