"""What half precision leaves in fp32, on real DeepSpeed at every ZeRO stage, against fp32 and fp64."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from families.toy.config import Toy
from families.toy.task import SquaredErrors, ToyTask
from tests.thalweg.training.conftest import STEP, Orders, Run, order_in, step_gradient
from thalweg.config import Optimization, Precision
from thalweg.stage_contract import Stage
from thalweg.training.checkpoints import checkpoint
from thalweg.training.engine import engine, half_precision
from thalweg.training.process_group import ProcessGroup
from thalweg.training.sampling import Layout
from thalweg.training.session import DataCache, Session

HALF: tuple[Precision, ...] = ("bf16", "fp16")
ROUNDING = {torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11}
"""Largest relative error of one rounding."""

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("fp16_everywhere")]
every_stage = pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
every_half = pytest.mark.parametrize("precision", HALF)


def _flat(gradient: dict[str, Tensor]) -> Tensor:
    return torch.cat([gradient[name].flatten() for name in sorted(gradient)])


def _gradient(world: ProcessGroup, order: Any) -> tuple[Tensor, float]:
    """Returns the gradient that a session's first step took, and the norm that the curve holds of it."""
    session = Session(order, world, DataCache())
    if order.config["optimization"].get("precision") == "fp16":
        session._engine.optimizer.loss_scale = 128.0
    gradient, report = step_gradient(session)
    session.close()
    return _flat(gradient), report.curve[-1][1]["grad_norm"]


@pytest.fixture(scope="module")
def exact(world: ProcessGroup, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Tensor]:
    """Returns the gradient of the first step in fp32 by the batch size; each is computed once."""

    @functools.cache
    def gradient(batch_size: int) -> Tensor:
        folder = tmp_path_factory.mktemp("exact")
        return _gradient(world, order_in(folder, opt=STEP | {"batch_size": batch_size}))[0]

    return gradient


@every_stage
@pytest.mark.parametrize("precision", ["fp32", *HALF])
@pytest.mark.parametrize("clip_norm", [0.0, 0.5])
def test_the_curve_holds_the_norm_of_the_gradient_before_clipping(
    precision: str,
    zero_stage: int,
    clip_norm: float,
    order: Orders,
    world: ProcessGroup,
    exact: Callable[[int], Tensor],
) -> None:
    knobs = {"precision": precision, "zero_stage": zero_stage, "batch_size": 64}
    gradient, norm = _gradient(world, order(opt=STEP | knobs | {"clip_norm": clip_norm}))
    whole = exact(64)
    assert norm == pytest.approx(float(whole.norm()), rel=5e-3)
    assert float(gradient.norm()) == pytest.approx(clip_norm or norm, rel=5e-3)


@pytest.mark.slow
@every_stage
@every_half
def test_gradients_of_many_micro_batches_are_added_in_fp32(
    precision: str, zero_stage: int, order: Orders, world: ProcessGroup, exact: Callable[[int], Tensor]
) -> None:
    """Of 512 equal addends a sum in bf16 takes 256."""
    knobs = STEP | {"precision": precision, "zero_stage": zero_stage, "batch_size": 512}
    whole = exact(512)
    many, _ = _gradient(world, order(opt=knobs | {"micro_batch_size": 1}))
    assert float((many - whole).norm() / whole.norm()) < 5e-3


@every_stage
@pytest.mark.parametrize("precision", ["fp32", *HALF])
def test_no_step_hides_in_the_start_of_an_engine(
    precision: Precision, zero_stage: int, world: ProcessGroup
) -> None:
    task = ToyTask(Toy())
    model = task.build(None)
    dtype = half_precision.DTYPES[precision]
    before = {name: weight.detach().to(dtype).float() for name, weight in model.named_parameters()}
    knobs = Optimization(lr=0.5, weight_decay=1.0, zero_stage=zero_stage, precision=precision, batch_size=4)
    module = engine.TaskModule(task, model)
    started = engine.start(module, Stage(loss=SquaredErrors(Toy())), knobs, Layout.of(4, None, 1))
    weights = engine.full_weights(started)
    assert all(torch.equal(weights[name], value) for name, value in before.items())
    if precision == "fp16":
        started.optimizer.loss_scale = 128.0
    for _ in range(3):
        started.backward(half_precision.loss_scale(started) * started.module.model(torch.ones(4, 4)).sum())
        engine.step(started)
    counted = {int(state["step"]) for state in started.optimizer.state.values()}
    engine.release(started)
    assert counted == {3}


@every_stage
@pytest.mark.parametrize("precision", ["fp32", *HALF])
def test_what_no_sample_reaches_has_a_gradient_of_zero(
    precision: Precision, zero_stage: int, world: ProcessGroup
) -> None:
    task = ToyTask(Toy())
    model = task.build(None)
    idle = nn.Linear(2, 2)
    model.add_module("idle", idle)
    dtype = half_precision.DTYPES[precision]
    before = idle.weight.detach().clone().to(dtype).float()
    knobs = Optimization(lr=0.5, weight_decay=0.5, zero_stage=zero_stage, precision=precision, batch_size=4)
    started = engine.start(
        engine.TaskModule(task, model), Stage(loss=SquaredErrors(Toy())), knobs, Layout.of(4, 2, 1)
    )
    if precision == "fp16":
        started.optimizer.loss_scale = 128.0
    for _ in range(2):
        started.backward(
            half_precision.loss_scale(started) * model(torch.ones(4, 4)).sum(), scale_wrt_gas=False
        )
        engine.step(started)
    after = engine.full_weights(started)["idle.weight"]
    engine.release(started)
    torch.testing.assert_close(after, 0.75 * before)  # decay and nothing else


@every_stage
@every_half
def test_masters_outlive_a_stage_unrounded(
    precision: str, zero_stage: int, order: Orders, world: ProcessGroup
) -> None:
    session = Session(
        order(opt={"precision": precision, "zero_stage": zero_stage, "batch_size": 8}), world, DataCache()
    )
    session._engine.optimizer.loss_scale = 128.0
    folder = Path(str(session.advance().checkpoint))
    weights = engine.full_weights(session._engine)
    session.close()
    saved = checkpoint.fp32_weights(folder)
    rounded = {name: value.to(half_precision.DTYPES[precision]).float() for name, value in weights.items()}
    for name, value in weights.items():
        assert value.dtype == torch.float32
        assert not torch.equal(value, rounded[name])
        assert torch.equal(value, saved[name])


@every_stage
@every_half
def test_batch_norm_trains_as_in_fp32(
    precision: str, zero_stage: int, order: Orders, world: ProcessGroup
) -> None:
    def trained(opt: dict[str, Any]) -> tuple[dict[str, float], nn.Module]:
        session = Session(order(batch_norm=True, opt={"batch_size": 16} | opt), world, DataCache())
        if opt:
            session._engine.optimizer.loss_scale = 128.0
        return dict(session.advance().metrics), session._module.model

    metrics, model = trained({"precision": precision, "zero_stage": zero_stage})
    expected, twin = trained({})
    assert metrics == pytest.approx(expected, rel=0.02, abs=0.02)
    for (name, value), wanted in zip(model.named_buffers(), twin.buffers(), strict=True):
        assert value.dtype == wanted.dtype, name
        torch.testing.assert_close(value, wanted, rtol=0.02, atol=5e-3)


@pytest.mark.slow
@every_stage
@every_half
def test_a_trial_in_half_precision_goes_on_from_its_checkpoint_bit_for_bit(
    precision: str, zero_stage: int, order: Orders, run: Run, world: ProcessGroup
) -> None:
    knobs: dict[str, Any] = {"batch_norm": True, "stages": "two", "dropout": 0.3}
    opt = {"precision": precision, "zero_stage": zero_stage, "batch_size": 4}
    whole = run(order("whole", opt=opt, **knobs))
    first = Session(order("cut", opt=opt, **knobs), world, DataCache())
    reached = first.advance(0).samples
    first.close()
    rest = run_from(Session(order("cut", opt=opt, **knobs), world, DataCache()), reached)
    assert rest == [dict(report.metrics) for report in whole[1:]]
    assert whole[-1].value < whole[0].value  # the loss scale fell, and something was trained


def run_from(session: Session, reached: int) -> list[dict[str, float]]:
    """Trains to the end and returns the metrics of each evaluation."""
    reports = [session.advance(reached)]
    while not reports[-1].done:
        reports.append(session.advance(reports[-1].samples))
    session.close()
    return [dict(report.metrics) for report in reports]


LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "layer": (nn.LayerNorm(4), (2048, 4)),
    "rms": (nn.RMSNorm(4), (2048, 4)),
    "group": (nn.GroupNorm(2, 4), (2048, 4, 3)),
    "batch": (nn.BatchNorm1d(4), (2048, 4)),
    "instance": (nn.InstanceNorm1d(4, affine=True), (2048, 4, 3)),
    "embedding": (nn.Embedding(4, 3), (2048,)),
}


@every_half
@pytest.mark.parametrize("name", LAYERS)
def test_weights_of_layers_outside_matrix_products_get_sums_over_many_samples(
    precision: Precision, name: str
) -> None:
    layer, shape = LAYERS[name]
    dtype = half_precision.DTYPES[precision]
    twin, model = _copied(layer).double(), _copied(layer)
    half_precision.fit(model, precision)
    for weight in model.parameters():
        weight.data = weight.data.to(dtype)  # as DeepSpeed does
    generator = torch.Generator().manual_seed(0)
    x = (
        torch.randint(4, shape, generator=generator)
        if name == "embedding"
        else (1 + torch.randn(shape, generator=generator)).to(dtype)
    )
    result, wanted = model(x), twin(x.double() if x.is_floating_point() else x)
    assert result.dtype == dtype
    (result.float() + result.float().square()).sum().backward()
    (wanted + wanted.square()).sum().backward()
    for weight, right in zip(model.parameters(), twin.parameters(), strict=True):
        assert weight.grad is not None and right.grad is not None
        assert float((weight.grad - right.grad).norm() / right.grad.norm()) < 3 * ROUNDING[dtype]


def _copied(layer: nn.Module) -> nn.Module:
    """Returns a layer like another, with its initial weights."""
    import copy

    return copy.deepcopy(layer)


def test_what_is_cast_and_what_is_not() -> None:
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2))
    model.register_buffer("table", torch.tensor([1.001]))
    model.register_buffer("indices", torch.tensor([70_001]))
    model.register_buffer("exact", torch.tensor([1.001], dtype=torch.float64))
    half_precision.fit(model, "bf16")
    found = {name: buffer.dtype for name, buffer in model.named_buffers()}
    assert found == {
        "table": torch.bfloat16,
        "indices": torch.int64,
        "exact": torch.float64,
        "0.running_mean": torch.float32,
        "0.running_var": torch.float32,
        "0.num_batches_tracked": torch.int64,
    }


def test_fp32_is_left_as_it_is() -> None:
    model = nn.Sequential(nn.LayerNorm(2), nn.BatchNorm1d(2))
    model.register_buffer("table", torch.ones(1))
    half_precision.fit(model, "fp32")
    assert all("forward" not in vars(module) for module in model.modules())
    assert {buffer.dtype for buffer in model.buffers()} == {torch.float32, torch.int64}
