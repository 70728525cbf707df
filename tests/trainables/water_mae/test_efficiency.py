"""What a training step may not do: hold an attention matrix, mask or drop attention, wait for a value."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests import tasks
from thalweg.stage_contract import JointLoss, Loss, Progress
from thalweg.training import accumulation, gradcache
from thalweg.training.engine.engine import TaskModule
from thalweg.training.process_group import ProcessGroup
from trainables.water_mae.config import LossKnobs, ModelKnobs, WaterMAE
from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.knobs import DataKnobs
from trainables.water_mae.model.batch import Batch
from trainables.water_mae.task import WaterMAETask

pytestmark = pytest.mark.slow

NOW = Progress(samples=0, total_samples=100, stage="train", stage_ratio=0.0)
NUM_STEPS = 16
# Per modality 57 of 94 image and 46 of 76 vector patches of each day are visible, 37 and 30 hidden.
QUERIES, CONTEXT = NUM_STEPS * 30, NUM_STEPS * 46 + 1
SMALLEST_ATTENTION_MATRIX = QUERIES * CONTEXT
DROPOUT = {"dropout": 0.1}
CONTRASTIVE = "contrastive"
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "published": DROPOUT,
    "self_decoder": DROPOUT | {"decoder_type": "self"},
    "seeing_queries": DROPOUT | {"decoder_self_attention": True},
    "feature_maps": DROPOUT | {"weighted_feature_maps": True, "feature_map_input": True},
    CONTRASTIVE: DROPOUT,
}


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes every operation that runs, and the largest tensor that one returned."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[str] = []
        self.largest = 0
        self.attention_arguments: list[tuple[Any, ...]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.name()
        self.operations.append(name)
        sizes = [leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        self.largest = max([self.largest, *sizes])
        if "attention" in name:
            self.attention_arguments.append((args, kwargs or {}))
        return result


@pytest.fixture
def wide_data(make_data: Callable[..., WaterData]) -> WaterData:
    """The published numbers of patches, 16 days at a time, with few pixels."""
    return make_data(
        num_patches=94, num_catchments=304, num_members=4, sequence_length=NUM_STEPS, num_days=80
    )


def watched_step(config: WaterMAE, data: WaterData) -> tuple[Watch, Batch]:
    """Takes one training step without the optimizer, in the way the platform does."""
    task = WaterMAETask(config)
    torch.manual_seed(0)
    model = task.build(task.facts(data)).train()
    batch = task.training_batch(data, np.array([10]), np.array([7], np.uint64))
    with Watch() as watch:
        parts = tasks.losses(task, model, batch, NOW)
        torch.stack(
            [weight * parts[name] for name, weight in tasks.weights(task, NOW).items()]
        ).sum().backward()  # type: ignore[no-untyped-call]
    return watch, batch


def with_model(config: WaterMAE, variant: str) -> WaterMAE:
    sizes = ModelKnobs.model_validate(config.model.model_dump() | dict(VARIANTS[variant]))
    loss = LossKnobs(contrastive_weight=0.1 if variant == CONTRASTIVE else 0.0)
    data = DataKnobs(sequence_length=NUM_STEPS, stride=2)
    return config.model_copy(update={"model": sizes, "data": data, "loss": loss})


@pytest.fixture(scope="module")
def taken() -> dict[str, tuple[Watch, Batch]]:
    return {}


@pytest.fixture(params=VARIANTS)
def step(
    request: pytest.FixtureRequest,
    config: WaterMAE,
    wide_data: WaterData,
    taken: dict[str, tuple[Watch, Batch]],
) -> tuple[Watch, Batch]:
    """A step of each variant, taken once, and its batch."""
    variant = request.param
    if variant not in taken:
        taken[variant] = watched_step(with_model(config, variant), wide_data)
    return taken[variant]


def test_no_tensor_is_as_large_as_an_attention_matrix(step: tuple[Watch, Batch]) -> None:
    watch, batch = step
    assert batch["vector_masked"].shape[2:] == (NUM_STEPS, 30)
    assert batch["vector_keep"][0, 0].numel() + 1 == CONTEXT
    assert 0 < watch.largest < SMALLEST_ATTENTION_MATRIX


def test_attention_is_fused_and_has_neither_mask_nor_dropout(step: tuple[Watch, Batch]) -> None:
    watch, _ = step
    fused = "aten::_scaled_dot_product_flash_attention_for_cpu"
    assert {name for name in watch.operations if "attention" in name} == {fused, f"{fused}_backward"}
    assert not [name for name in watch.operations if "softmax" in name]
    for args, kwargs in watch.attention_arguments:
        assert kwargs.get("attn_mask") is None
        floats = [argument for argument in args if isinstance(argument, float)]
        assert not any(floats)  # dropout


def test_no_operation_waits_for_a_value(step: tuple[Watch, Batch]) -> None:
    watch, _ = step
    waiting = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "is_nonzero", "equal")
    assert not [name for name in watch.operations if name.split("::")[1].split(".")[0] in waiting]
    # Neither may a Boolean mask choose what is computed: indices do.
    assert not [name for name in watch.operations if name.startswith(("aten::index.", "aten::index_put"))]


class PlainEngine:
    """What the platform calls of DeepSpeed, without it."""

    def __init__(self, module: TaskModule) -> None:
        self.module = module

    def __call__(self, batch: Batch, progress: Progress) -> Mapping[str, Tensor]:
        found: Mapping[str, Tensor] = self.module(batch, progress)
        return found

    def backward(self, loss: Tensor, scale_wrt_gas: bool) -> None:
        loss.backward()  # type: ignore[no-untyped-call]

    def step(self) -> None:
        """Nothing is updated."""


@pytest.mark.parametrize("variant", ["published", CONTRASTIVE])
@pytest.mark.parametrize("num_micro_batches", [1, 2])
def test_the_gradient_of_a_global_batch_reads_nothing_from_the_device(
    config: WaterMAE, data: WaterData, variant: str, num_micro_batches: int
) -> None:
    """The device `meta` holds no values: whoever reads one, or copies to the CPU, fails."""
    device = torch.device("meta")
    task = WaterMAETask(with_model(config, variant).model_copy(update={"data": config.data}))
    loss = task.stages()[0].loss
    module = TaskModule(task, task.build(task.facts(data)).to(device).train(), loss)
    engine, world, placed = PlainEngine(module), ProcessGroup(0, 1, device), data.placed(device)

    def draw(number: int) -> Batch:
        return task.training_batch(placed, np.array([10, number]), np.array([7, number], np.uint64))

    if isinstance(loss, JointLoss):
        with ThreadPoolExecutor(1) as executor:
            micro_batches = gradcache.MicroBatches(
                count=num_micro_batches, sample=draw, seed=lambda number: None, executor=executor
            )
            sums, counts = gradcache.backward(engine, loss, world, micro_batches, NOW)
        assert {count.device.type for count in counts.values() if isinstance(count, Tensor)} == {"meta"}
    else:
        assert isinstance(loss, Loss)
        batches = [draw(number) for number in range(num_micro_batches)]
        sums, counts = accumulation.backward(engine, loss, world, batches, NOW)
        assert counts["precipitation"] == 2 * num_micro_batches
    assert {value.device.type for value in sums.values()} == {"meta"}
    assert set(counts) == set(sums)
    assert all(weight.grad is not None for weight in module.parameters() if weight.requires_grad)
    with pytest.raises(RuntimeError, match="meta"):
        float(sums["precipitation"])


def test_a_dense_attention_would_be_noticed() -> None:
    query = torch.randn(1, 2, QUERIES, 8)
    with Watch() as watch:
        (query @ query.transpose(2, 3)).softmax(-1)
    assert watch.largest >= QUERIES**2
    assert any("softmax" in name for name in watch.operations)


def test_the_loss_is_summed_in_fp32(config: WaterMAE, wide_data: WaterData) -> None:
    task = WaterMAETask(with_model(config, CONTRASTIVE))
    model = task.build(task.facts(wide_data)).to(torch.bfloat16)
    batch = task.training_batch(wide_data, np.array([10]), np.array([7], np.uint64))
    assert {part.dtype for part in tasks.losses(task, model, batch, NOW).values()} == {torch.float32}
