"""Every preset of every family trains in each precision and at each ZeRO stage, through the engine that trials use.

Each kind of stage, but for heads on latents, does so in every precision at every ZeRO stage.

Presets keep their options and lose their size: `LIMITS` bounds widths, depths and windows, stages of a chain get equal
shares, and all train on the synthetic world of the preset ``tiny``, of which evaluations see a few samples.
What is compared is the gradient that the optimizer gets in the first stage: each engine's with that of torch alone for
the same model, and in half precision with that in fp32.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests import tasks
from tests.thalweg.training.conftest import STEP, linear_layers_of, step_gradient
from thalweg import discovery
from thalweg.config import FamilyConfig, Precision, nested_leaves
from thalweg.contract import SplitName, Task
from thalweg.datasets.making import make_world
from thalweg.nn.norm import BatchNorm
from thalweg.stage_contract import JointLoss, Loss
from thalweg.training.engine import engine, half_precision
from thalweg.training.engine.half_precision import DTYPES
from thalweg.training.messages import Report, TrialOrder
from thalweg.training.process_group import ProcessGroup, join
from thalweg.training.session import DataCache, Session
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.diffusion import schedule
from trainables.sentinel_supcon.data.scenes import PatchData

BATCH, MICRO = 4, 1
LIMITS = {
    "dim": 16,
    "num_heads": 2,
    "image_depth": 1,
    "vector_depth": 1,
    "decoder_dim": 16,
    "decoder_num_heads": 2,
    "decoder_depth": 1,
    "sequence_length": 4,
    "stride": 2,
    "vector_patch_size": 4,
    "channels": 4,
    "max_channels": 8,
    "hidden_dim": 16,
    "neck_dim": 16,
    "embedding_dim": 16,
    "head_dim": 16,
    "latent_dim": 16,
    "hidden": 16,
    "projection_dim": 16,
    "width": 4,
    "blocks": 1,
    "soft_gap": 40,
    "num_blocks": 1,
    "size": 32,
    "num_prototypes": 8,
}
"""Largest value of a knob, wherever a family has one of this name."""

MAX_FACTOR = 0.05
"""Largest value of a width that is a factor on those of a published network."""
OF_TINY = ("variables", "classes", "ignored", "optical")
"""Knobs of data that say what a data set holds."""

SAME: Mapping[Precision, float] = {"fp32": 1e-5, "bf16": 8e-4, "fp16": 1e-4}
"""Largest error of an engine's gradient against torch's own of the same model, as a share of its norm.

A gradient that was rounded to half precision once is off by about 1.7e-3 in bf16 and 2.1e-4 in fp16.
"""
ERROR: Mapping[Precision, float] = {"fp32": 1e-3, "bf16": 0.02, "fp16": 0.003}
"""Largest error of a gradient against that in fp32, or of micro-batches against the whole, as a share of its norm.

It may be larger where already the fp32 gradient at rounded weights is another: embeddings of an untrained network that
are all but alike differ by less than half precision tells apart, and a contrastive loss lives of these differences.
"""
OF_MORE_SAMPLES = {
    *("contrastive_loss_32", "latent_curvature", "latent_negative_cosine"),
    *("sample_density", "sample_realism"),
}
"""Metrics that the two samples of an evaluation do not give: they compare more, or days further apart."""
ON_ANOTHER = {"tiny_assimilation", "tiny_diffusion", "tiny_forecast", "tiny_seasons"}
"""Presets that train a head on what another preset trains, at every ZeRO stage in every precision."""
SOME: Mapping[Precision, tuple[int, ...]] = {"fp32": (0, 3), "bf16": (1, 3), "fp16": (0, 3)}
"""ZeRO stages of presets all of whose stages train for another preset, in every precision at every ZeRO stage.

In micro-batches, or where there are none as a whole, they train at ZeRO 2 too: each meets every precision and every
ZeRO stage, and ZeRO 2 and 3 in every precision.
"""
MAX_AMPLIFICATION = 12
"""Roundings of a pass, activations and all, as a multiple of those of weights alone: 7.8 in the worst case."""
SCALE = 128.0
"""Loss scale in fp16."""


NUM_SCENES = 16
"""Scenes that are evaluated, for some have no class that counts."""
NUM_DAYS = 64
"""Training days of fields, all of which a head's stage encodes."""


class FewCache(DataCache):
    """Opens data and lets evaluations see a few samples of them."""

    def open(self, task: Task[Any, Any], root: Path, device: torch.device) -> Any:
        """Returns the data, whose other splits than ``train`` are cut; they stay open for all presets."""
        opened = super().open(task, root, device)
        kind, scenes = type(opened), isinstance(opened, PatchData)
        if kind.__name__ != "Few":

            def num_samples(self: Any, split: SplitName) -> int:
                count: int = kind.num_samples(self, split)
                return count if split == "train" else min(count, NUM_SCENES if scenes else 2)

            if isinstance(opened, FieldData):
                days = {**opened.days, "train": opened.days["train"][:NUM_DAYS]}
                object.__setattr__(opened, "days", days)
            object.__setattr__(opened, "__class__", type("Few", (kind,), {"num_samples": num_samples}))
        return opened


def shrunken(values: Any, name: str = "") -> Any:
    """Returns a configuration in JSON with the same options and within the limits."""
    if isinstance(values, dict):
        if name == "shares":
            return dict.fromkeys(values, 1.0)
        values = {key: 1.0 if key.endswith("_share") else value for key, value in values.items()}
        return {key: shrunken(value, key) for key, value in values.items()}
    if name == "width" and isinstance(values, float):
        return min(values, MAX_FACTOR)
    limited = name in LIMITS and isinstance(values, int)
    return min(values, LIMITS[name]) if limited else values


def on_tiny(name: str, config: FamilyConfig) -> dict[str, Any]:
    """Returns a configuration in JSON, for the data set of the preset ``tiny`` and what this holds."""
    values, tiny = (
        each.model_dump(mode="json") for each in (config, discovery.load_family(name).preset("tiny"))
    )
    for knob in OF_TINY:
        if knob in values.get("data", ()):
            values["data"][knob] = tiny["data"][knob]
    return values | {"dataset": tiny["dataset"]}


def distinct() -> list[tuple[str, str]]:
    """Names all presets of all families, of those that have the same options when shrunken the last one.

    Of a number counts whether it is above zero: a weight or a share takes a part of the code or does not.
    """
    found = {}
    for name in discovery.names("trainables"):
        for preset, config in discovery.load_family(name).presets.items():
            values = shrunken(on_tiny(name, config)) | {"dataset": "", "optimization": "", "seed": 0}
            options = {knob: _option(value) for knob, value in nested_leaves(values).items()}
            found[name, str(options)] = (name, preset)
    return list(found.values())


def _option(value: Any) -> Any:
    return value > 0 if isinstance(value, int | float) and not isinstance(value, bool) else value


PRESETS = distinct()


@cache
def of_each_kind() -> list[tuple[str, str]]:
    """Names presets that between them have each kind of stage: task, name and loss."""
    seen: set[tuple[Any, ...]] = set()
    found = []
    for name, preset in reversed(PRESETS):
        family = discovery.load_family(name)
        task = family.task(family.preset(preset))
        kinds = {(type(task), stage.name, type(stage.loss)) for stage in task.stages()}
        if preset not in ON_ANOTHER and not kinds <= seen:
            found.append((name, preset))
            seen |= kinds
    return found


pytestmark = pytest.mark.usefixtures("fp16_everywhere", "short_work")


@pytest.fixture(scope="module")
def short_work() -> Iterator[None]:
    """Leaves out what only takes time: all but two of the like steps of a sampler, and most digits of messages.

    DeepSpeed writes out all weights whenever ZeRO 3 starts, for a message that nobody reads.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule, "NUM_SAMPLING_STEPS", 2)
        patch.setattr(schedule, "_ddim", cache(schedule._ddim.__wrapped__))  # the sampler of all steps stays
        torch.set_printoptions(threshold=1, edgeitems=1)  # type: ignore[no-untyped-call]
        yield
        torch.set_printoptions(profile="default")  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def world() -> ProcessGroup:
    """This process alone, with all that a first engine imports."""
    group = join()
    engine.warm_up()
    return group


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Callable[[discovery.Family], Path]:
    """Returns where the tiny synthetic world of a family lies."""
    root = tmp_path_factory.mktemp("worlds")

    @cache
    def made(name: str) -> Path:
        family = discovery.load_family(name)
        make_world(family, root / name, family.preset("tiny").dataset)
        return root / name

    return lambda family: made(family.name)


class Bench:
    """Trains one configuration in several ways.

    Args:
        family: The family.
        values: Its configuration, shrunken.
        root: Folder of the data.
        world: The process group.
        opened: Opened data.
        directory: An empty folder.
    """

    def __init__(
        self,
        family: discovery.Family,
        values: Mapping[str, Any],
        root: Path,
        world: ProcessGroup,
        opened: DataCache,
        directory: Path,
    ) -> None:
        self.values = {**values, "dataset": family.preset("tiny").dataset}
        self.family, self.root, self.world, self.opened = family, root, world, opened
        self.directory = directory
        self.config: FamilyConfig = family.config_type.model_validate(self.values)
        self.task = family.task(self.config)

    def has_batch_norm(self) -> bool:
        """Whether the model has batch norms, whose statistics are those of a micro-batch."""
        data = self.opened.open(self.task, self.root, self.world.device)
        return any(
            isinstance(module, BatchNorm) for module in self.task.build(self.task.facts(data)).modules()
        )

    def start(self, **optimization: Any) -> Session:
        """Begins a trial with one step in each stage; the first one is evaluated too."""
        steps = len(self.task.stages())
        order = TrialOrder(
            trial="trial",
            family=self.family.package,
            config=self.values | {"optimization": STEP | {"batch_size": BATCH} | optimization},
            metric=tasks.names(self.task)[0],
            evaluations=tuple(sorted({BATCH, steps * BATCH})),
            data_root=str(self.root),
            directory=str(self.directory),
            checkpoints=False,
        )
        session = Session(order, self.world, self.opened)
        if optimization["precision"] == "fp16":
            # From 2**16 the scale would first fall for some steps, none of which is taken.
            session._engine.optimizer.loss_scale = SCALE
        return session

    def gradient(self, *, to_the_end: bool = True, **optimization: Any) -> tuple[dict[str, Tensor], Report]:
        """Takes a step in each stage, or in the first one, and returns the gradient of that one, in fp32."""
        session = self.start(**optimization)
        gradient, report = step_gradient(session)
        while to_the_end and not report.done:
            report = session.advance(report.samples)
        session.close()
        return gradient, report

    def lacking(self, report: Report) -> set[str]:
        """Returns the names of the metrics that a report does not have, but for those of classes that no sample has."""
        lacking = set(tasks.names(self.task)) - set(report.metrics)
        return {name for name in lacking if not name.startswith("auprc_")}

    def plain(
        self, precision: Precision, rounded: Precision = "fp32", zero_stage: int = 0
    ) -> dict[str, Tensor]:
        """Returns the gradient of the first step by torch alone, without an engine and without micro-batches.

        Args:
            precision: What the model is cast to as for training.
            rounded: Precision that the weights are rounded to before, and the buffers that are cast with them.
            zero_stage: Stage by whose linear layers it is computed.
        """
        session = self.start(precision="fp32", zero_stage=0)
        model = session._module.model
        for buffer in half_precision.rounded_buffers(model):
            buffer.data = buffer.data.to(DTYPES[rounded]).float()
        half_precision.fit(model, precision)
        for weight in model.parameters():
            weight.data = weight.data.to(DTYPES[rounded]).to(DTYPES[precision])
        alone = Alone(session._module, SCALE if precision == "fp16" else 1.0)
        engine.train_mode(session._module.model, session._plan.stages[0])
        loop, loss = session._loop, session._plan.stages[0].loss
        loop._seed(0)
        with linear_layers_of(zero_stage):
            if isinstance(loss, JointLoss):
                loop._joint_backward(alone, loss)
            else:
                assert isinstance(loss, Loss)
                loop._backward(alone, loss, loop._fetch(0).result())
        gradient = {
            name: torch.zeros(weight.shape) if weight.grad is None else weight.grad.float() / alone.scale
            for name, weight in model.named_parameters()
            if weight.requires_grad
        }
        session.close()
        return gradient


class Alone:
    """Stands for an engine in a backward pass of torch's own.

    Args:
        module: What is trained.
        scale: What the loss is multiplied by.
    """

    def __init__(self, module: torch.nn.Module, scale: float) -> None:
        self.module, self.scale = module, scale

    def __call__(self, *inputs: Any) -> Any:
        """Goes forward."""
        return self.module(*inputs)

    def backward(self, loss: Tensor, scale_wrt_gas: bool) -> None:
        """Goes backward."""
        assert not scale_wrt_gas
        (self.scale * loss).backward()  # type: ignore[no-untyped-call]


def error_of(gradient: Mapping[str, Tensor], reference: Mapping[str, Tensor]) -> float:
    """Returns the norm of the difference as a share of the reference's norm."""
    assert set(gradient) == set(reference)
    squares = sum(float((gradient[name] - value).square().sum()) for name, value in reference.items())
    return float(squares**0.5 / sum(float(value.square().sum()) for value in reference.values()) ** 0.5)


@pytest.fixture(scope="module")
def opened() -> FewCache:
    """Keeps the data of all presets open."""
    return FewCache(max_open=100)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "preset"), PRESETS, ids=["-".join(pair) for pair in PRESETS])
def test_a_preset_trains_in_every_precision_at_every_zero_stage(
    name: str,
    preset: str,
    data: Callable[[discovery.Family], Path],
    world: ProcessGroup,
    opened: FewCache,
    tmp_path: Path,
) -> None:
    family = discovery.load_family(name)
    values = shrunken(on_tiny(name, family.preset(preset)))
    bench = Bench(family, values, data(family), world, opened, tmp_path)
    divisible = not draws_at_random(bench.values) and not bench.has_batch_norm()
    reference = bench.plain("fp32")
    for precision, most in ERROR.items():
        plain = bench.plain(precision)
        of_zero_3 = bench.plain(precision, zero_stage=3) if precision != "fp32" else plain
        error = max(error_of(twin, reference) for twin in (plain, of_zero_3))
        # Where a gradient amplifies roundings, it does so with those by which ZeRO 3 adds up in another order.
        same = SAME[precision] * max(1.0, error / most)
        if error >= most:
            most = MAX_AMPLIFICATION * error_of(bench.plain("fp32", rounded=precision), reference)
            assert error < most, precision
        some = SOME[precision] if divisible else (*SOME[precision], 2)
        for zero_stage in range(4) if (name, preset) in of_each_kind() else some:
            # At ZeRO 2 later stages train in micro-batches.
            whole = zero_stage != 2 or not divisible
            found, report = bench.gradient(to_the_end=whole, precision=precision, zero_stage=zero_stage)
            twin = of_zero_3 if zero_stage == 3 else plain
            assert error_of(found, twin) < same, (precision, zero_stage)
            assert not whole or bench.lacking(report) <= OF_MORE_SAMPLES, (precision, zero_stage)
        if divisible:
            micro, report = bench.gradient(precision=precision, zero_stage=2, micro_batch_size=MICRO)
            assert error_of(micro, plain) < most, precision
            assert bench.lacking(report) <= OF_MORE_SAMPLES, precision


def draws_at_random(values: Mapping[str, Any]) -> bool:
    """Whether a configuration has dropout, which micro-batches change."""
    return any(
        draws_at_random(value) if isinstance(value, dict) else name == "dropout" and value > 0
        for name, value in values.items()
    )
