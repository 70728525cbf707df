"""DeepSpeed's JSON for a configuration."""

from typing import Any

from thalweg.config import Optimization
from thalweg.training.sampling import Layout


def deepspeed_config(knobs: Optimization, layout: Layout) -> dict[str, Any]:
    """Returns DeepSpeed's JSON for a configuration, which is given to the engine; `engine.given` reads it from there.

    fp16 uses dynamic loss scaling from 2**16 with window 1000, hysteresis 2 and minimum 1. In half precision gradients
    are added up over micro-batches and workers in fp32. At ZeRO 0 DeepSpeed refuses this setting for the sum
    over micro-batches, and `thalweg.training.engine.half_precision` makes it fp32.

    DeepSpeed assumes micro-batches of one size, and counts samples by them; nothing reads its count. If some are a
    sample smaller, the largest size is given, and the batch size, which would contradict it, is left out.
    """
    precision: dict[str, Any] = {"enabled": True}
    if knobs.precision == "fp16":
        precision |= {
            "loss_scale": 0,
            "initial_scale_power": 16,
            "loss_scale_window": 1000,
            "hysteresis": 2,
            "min_loss_scale": 1,
        }
    sums: dict[str, Any] = {"communication_data_type": "fp32"}
    if knobs.zero_stage:
        sums["data_types"] = {"grad_accum_dtype": "fp32"}
    return {
        **_batch(layout),
        "gradient_clipping": knobs.clip_norm,
        **_optimizer(knobs),
        "zero_optimization": {
            "stage": knobs.zero_stage,
            "contiguous_gradients": False,
            "overlap_comm": False,
            "reduce_bucket_size": 500_000_000,
        },
        "steps_per_print": 1_000_000_000,
        **({} if knobs.precision == "fp32" else {knobs.precision: precision, **sums}),
    }


def _batch(layout: Layout) -> dict[str, Any]:
    whole = {} if layout.is_uneven else {"train_batch_size": layout.batch_size}
    return whole | {
        "train_micro_batch_size_per_gpu": layout.micro_batch_size,
        "gradient_accumulation_steps": layout.accumulation,
    }


def _optimizer(knobs: Optimization) -> dict[str, Any]:
    if knobs.optimizer == "sgd":  # torch's, which DeepSpeed has not been tested with
        descent = {"lr": knobs.lr, "momentum": knobs.momentum, "weight_decay": knobs.weight_decay}
        return {"optimizer": {"type": "SGD", "params": descent}, "zero_allow_untested_optimizer": True}
    adam = {
        "lr": knobs.lr,
        "betas": [knobs.beta1, knobs.beta2],
        "eps": knobs.eps,
        "weight_decay": knobs.weight_decay,
        "torch_adam": True,  # needs no compiler, on a CPU and on a GPU
    }
    return {"optimizer": {"type": "AdamW", "params": adam}}
