"""DeepSpeed's JSON, as it is recorded and as the engine gets it."""

import numpy as np
import pytest

from tests.thalweg.training.conftest import Orders, Run
from thalweg.config import Optimization, Precision
from thalweg.training.engine.deepspeed_config import deepspeed_config
from thalweg.training.engine.quiet_deepspeed import deepspeed
from thalweg.training.process_group import ProcessGroup
from thalweg.training.sampling import Layout
from thalweg.training.session import DataCache, Session


def test_the_reference_settings_are_emitted() -> None:
    knobs = Optimization(precision="fp16", zero_stage=1, batch_size=64)
    assert deepspeed_config(knobs, Layout.of(64, 16, 4)) == {
        "train_batch_size": 64,
        "train_micro_batch_size_per_gpu": 16,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": 1.0,
        "optimizer": {
            "type": "AdamW",
            "params": {
                "lr": 1e-4,
                "betas": [0.9, 0.95],
                "eps": 1e-8,
                "weight_decay": 0.05,
                "torch_adam": True,
            },
        },
        "zero_optimization": {
            "stage": 1,
            "contiguous_gradients": False,
            "overlap_comm": False,
            "reduce_bucket_size": 500_000_000,
        },
        "steps_per_print": 1_000_000_000,
        "fp16": {
            "enabled": True,
            "loss_scale": 0,
            "initial_scale_power": 16,
            "loss_scale_window": 1000,
            "hysteresis": 2,
            "min_loss_scale": 1,
        },
        "communication_data_type": "fp32",
        "data_types": {"grad_accum_dtype": "fp32"},
    }


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_other_formats_need_no_scaler(precision: Precision) -> None:
    config = deepspeed_config(Optimization(precision=precision), Layout.of(16, None, 1))
    assert "fp16" not in config
    assert config.get("bf16") == ({"enabled": True} if precision == "bf16" else None)


def test_an_uneven_batch_is_left_to_deepspeed_to_derive() -> None:
    config = deepspeed_config(Optimization(), Layout.of(127, 32, 2))
    assert "train_batch_size" not in config
    assert (config["train_micro_batch_size_per_gpu"], config["gradient_accumulation_steps"]) == (32, 2)


def test_descent_is_that_of_torch() -> None:
    knobs = Optimization(optimizer="sgd", lr=0.1, momentum=0.8, weight_decay=1e-4)
    config = deepspeed_config(knobs, Layout.of(16, None, 1))
    params = {"lr": 0.1, "momentum": 0.8, "weight_decay": 1e-4}
    assert config["optimizer"] == {"type": "SGD", "params": params}
    assert config["zero_allow_untested_optimizer"] is True


def _fp16_is_supported() -> bool:
    return bool(deepspeed.accelerator.get_accelerator().is_fp16_supported())


@pytest.mark.skipif(not _fp16_is_supported(), reason="this processor computes no half precision")
def test_fp16_scales_the_loss_and_stays_near_fp32(order: Orders, run: Run, world: ProcessGroup) -> None:
    full = run(order("full"))[-1].value
    session = Session(order("half", opt={"precision": "fp16"}), world, DataCache())
    assert session._engine.optimizer.loss_scaler.loss_scale == 2**16
    report = session.advance(0)
    while not report.done:
        report = session.advance(report.samples)
    session.close()
    assert report.value == pytest.approx(full, rel=0.02)


@pytest.mark.skipif(not _fp16_is_supported(), reason="this processor computes no half precision")
def test_an_overflow_under_fp16_skips_the_step_and_halves_the_scale(
    order: Orders, world: ProcessGroup
) -> None:
    huge = {"first": 1e6, "second": 1e6}
    session = Session(order("huge", opt={"precision": "fp16"}, loss_weights=huge), world, DataCache())
    session.advance(0)
    assert session._engine.skipped_steps > 0
    assert session._engine.optimizer.loss_scaler.loss_scale < 2**16
    session.close()


@pytest.mark.skipif(not _fp16_is_supported(), reason="this processor computes no half precision")
@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
def test_an_overflow_under_fp16_is_left_to_the_loss_scaler(
    zero_stage: int, order: Orders, world: ProcessGroup
) -> None:
    # The last step before the evaluation overflows; it is skipped and the scale falls.
    knobs = {"precision": "fp16", "zero_stage": zero_stage}
    session = Session(order(breaks_at=56, opt=knobs), world, DataCache())
    assert np.isfinite(session.advance(0).value)
    session.close()
