"""The DeepSpeed engine of a stage: parameter groups, start, optimizer step, full weights, release."""

from __future__ import annotations

import atexit
import gc
import json
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from thalweg.config import Optimization
from thalweg.contract import Task
from thalweg.errors import ConfigError
from thalweg.stage_contract import (
    FrozenFeatures,
    JointLoss,
    Loss,
    ParameterGroup,
    Progress,
    Stage,
    StageLoss,
)
from thalweg.training.engine import eager_optimizers, half_precision, one_worker, sync_batch_norm, zero3
from thalweg.training.engine.deepspeed_config import deepspeed_config
from thalweg.training.engine.quiet_deepspeed import deepspeed
from thalweg.training.guards.returned import scalars, tensors
from thalweg.training.sampling import Layout

if TYPE_CHECKING:
    from deepspeed.runtime.engine import DeepSpeedEngine

    from thalweg.contract import Batch


eager_optimizers.leave_compiler_out()
half_precision.take_one_optimizer()
zero3.forget_engines()


class TaskModule(nn.Module):
    """Task, model and the loss of a stage as one module: DeepSpeed must see every use of the weights in one forward.

    Args:
        task: The task.
        model: Its model.
        loss: The loss of the present stage; None for a module that only predicts.
    """

    def __init__(self, task: Task[Any, Any], model: nn.Module, loss: StageLoss | None = None) -> None:
        super().__init__()
        self.model = model
        self._task = task
        self._loss = loss

    def forward(
        self, batch: Batch, progress: Progress | None, features: FrozenFeatures | None = None
    ) -> dict[str, Any]:
        """Computes the parts of the loss of a training batch or, for a joint loss, the fields of its `Rows`.

        With `features` it computes these. Without progress it predicts an evaluation batch. All results are
        dictionaries of tensors, to which DeepSpeed can attach its hooks.
        """
        if features is not None:
            with torch.no_grad():
                return dict(features.compute(self.model, batch))
        if progress is None:
            with torch.no_grad():
                return tensors(self._task.predict(self.model, batch), "predict")
        if isinstance(self._loss, JointLoss):
            rows = self._loss.embed(self.model, batch, progress)
            return {"embeddings": dict(rows.embeddings), "companions": dict(rows.companions)}
        assert isinstance(self._loss, Loss)
        return scalars(self._loss.parts(self.model, batch, progress))


def check_precision(knobs: Optimization) -> None:
    """Refuses a number format that this worker cannot compute in.

    Raises:
        ConfigError: fp16 on a processor without half-precision arithmetic.
    """
    accelerator = deepspeed.accelerator.get_accelerator()
    if knobs.precision == "fp16" and not accelerator.is_fp16_supported():
        raise ConfigError(
            "precision fp16 needs a GPU or a processor with half-precision arithmetic, got "
            f"{accelerator.device_name()}; use bf16 or fp32"
        )


def parameter_groups(model: nn.Module, stage: Stage, lr: float) -> list[dict[str, Any]]:
    """Splits the trainable parameters of a stage into optimizer groups and freezes all others.

    The longest matching prefix decides.

    Raises:
        ConfigError: A prefix matches no parameter or stands twice, or a frozen module does not exist or has a trained
            parameter.
    """
    groups = {group.prefix: group for group in stage.groups}
    if len(groups) < len(stage.groups):
        raise ConfigError(
            "groups of a stage must have different prefixes, got "
            f"{', '.join(repr(group.prefix) for group in stage.groups)} in stage {stage.name!r}; leave one out"
        )
    parameters: dict[str, list[nn.Parameter]] = {prefix: [] for prefix in groups}
    for name, parameter in model.named_parameters():
        prefixes = [prefix for prefix in groups if name.startswith(prefix)]
        parameter.requires_grad_(bool(prefixes))
        if prefixes:
            parameters[max(prefixes, key=len)].append(parameter)
    for prefix, members in parameters.items():
        if not members:
            raise ConfigError(
                f"each group of a stage must train something, got {prefix!r} in stage {stage.name!r}, with which no "
                "parameter's name begins that is not another group's; name one that the model has"
            )
    _check_frozen(model, stage)
    return [_group(group, parameters[prefix], lr) for prefix, group in groups.items()]


def _group(group: ParameterGroup, parameters: list[nn.Parameter], lr: float) -> dict[str, Any]:
    """Returns an optimizer group, which takes the optimizer's own weight decay unless it says otherwise."""
    decay = {} if group.decay else {"weight_decay": 0.0}
    return {"params": parameters, "lr": lr * group.lr_scale, "lr_scale": group.lr_scale, **decay}


def _check_frozen(model: nn.Module, stage: Stage) -> None:
    """Refuses frozen modules that do not exist or have a parameter in an optimizer group."""
    for prefix in stage.frozen:
        found = _frozen(model, (prefix,))
        if not found:
            raise ConfigError(
                f"frozen modules of a stage must exist, got {prefix!r} in stage {stage.name!r}, with which no module's "
                "name begins; name one that the model has"
            )
        for name, module in found.items():
            trained = [own for own, weight in module.named_parameters() if weight.requires_grad]
            if trained:
                raise ConfigError(
                    f"frozen modules of a stage must not train, got {prefix!r} in stage {stage.name!r}, where a group "
                    f"trains {name}.{trained[0]}; name narrower prefixes in groups, or leave it out of frozen"
                )


def _frozen(model: nn.Module, prefixes: tuple[str, ...]) -> dict[str, nn.Module]:
    """Returns the modules whose names begin with a prefix; a module with several names stands under each of them."""
    named = model.named_modules(remove_duplicate=False)
    return {name: module for name, module in named if name and name.startswith(prefixes)}


def train_mode(model: nn.Module, stage: Stage) -> None:
    """Puts a model into training mode, except modules that are frozen or hold only frozen parameters."""
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()
    for module in _frozen(model, stage.frozen).values():
        module.eval()


def start(module: TaskModule, stage: Stage, knobs: Optimization, layout: Layout) -> DeepSpeedEngine:
    """Starts the engine of one stage. The module must be in fp32 and without an engine so far; it is cast in place.

    At every ZeRO stage the weights are those of the module, and the optimizer has taken no step.
    """
    groups = parameter_groups(module.model, stage, knobs.lr)
    sync_batch_norm.fit(module.model)
    half_precision.fit(module.model, knobs.precision)
    engine, *_ = deepspeed.initialize(
        model=module,
        model_parameters=groups,
        config=deepspeed_config(knobs, layout),
        dist_init_required=False,
    )
    half_precision.settle(engine)
    one_worker.settle(engine)
    return engine


def given(engine: DeepSpeedEngine) -> str:
    """Returns the JSON that an engine was given, for people."""
    return json.dumps(engine.config, indent=2, default=str)


def step(engine: DeepSpeedEngine) -> Tensor | float | None:
    """Takes the step that ends a global batch.

    Returns:
        Norm of the whole gradient before it was clipped and without the loss scale; not finite if the step was
        skipped.
    """
    if engine.zero_optimization_stage():
        engine.step()
        known: Tensor | float | None = engine.get_global_grad_norm()
        return known
    # For weights that are not sharded, DeepSpeed gives no norm in fp32, and one with the loss scale in half precision.
    gradients = [weight.grad for weight in engine.module.parameters() if weight.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients) / half_precision.loss_scale(engine)
    engine.step()
    return norm


def full_weights(engine: DeepSpeedEngine) -> dict[str, Tensor]:
    """Returns the model's weights in fp32 on every rank, whatever the precision and ZeRO stage, and its buffers.

    Buffers that are wider than fp32, or no fractions, stay as they are.
    """
    from deepspeed.utils import safe_get_full_fp32_param

    model = engine.module.model
    parameters = dict(model.named_parameters())
    masters = half_precision.masters(engine)
    weights = {
        name: half_precision.widened(value).detach().clone()
        for name, value in model.state_dict().items()
        if name not in parameters
    }
    with deepspeed.zero.GatheredParameters(
        list(parameters.values()), enabled=engine.zero_optimization_stage() == 3
    ):
        for name, parameter in parameters.items():
            master = masters.get(parameter)
            if master is None and parameter.requires_grad:
                master = safe_get_full_fp32_param(parameter)
            weights[name] = (parameter if master is None else master).detach().float().clone()
    return weights


def release(engine: DeepSpeedEngine) -> None:
    """Frees an engine and all that it holds, so that every trial has as much memory as the first."""
    engine.destroy()
    zero3.forget(engine)
    for parameter in engine.module.parameters():
        parameter.grad = None
    engine.optimizer = None
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def warm_up() -> None:
    """Builds and frees a tiny engine: the first one of a process imports for seconds, the next take milliseconds."""
    model = nn.Linear(2, 1)
    groups = [{"params": list(model.parameters()), "lr": 1e-3}]
    layout = Layout(torch.distributed.get_world_size(), 1, 1, torch.distributed.get_world_size())
    config = deepspeed_config(Optimization(zero_stage=1), layout)
    engine, *_ = deepspeed.initialize(
        model=model, model_parameters=groups, config=config, dist_init_required=False
    )
    engine.backward(engine(torch.zeros(1, 2, device=engine.device)).sum())
    engine.step()
    release(engine)
    # Everything alive now lives as long as the process; without it, the collection after each trial is short.
    gc.freeze()
    atexit.register(gc.unfreeze)
