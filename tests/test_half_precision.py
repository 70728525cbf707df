"""Every preset of every family trains in each precision, at each ZeRO stage, through the engine that trials use.

Presets keep their options and lose their size: `LIMITS` bounds widths, depths and windows, stages of a chain get equal
shares, and all train on the synthetic world of the preset ``tiny``, of which evaluations see a few samples.
The optimizer of the tests moves each weight by ``lr * g / (1 + |g|)``, from which the gradient g follows: AdamW with
``beta1 = beta2 = 0``, ``eps = 1`` and no weight decay. So what is compared is what a step did to the fp32 masters.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from thalweg import discovery
from thalweg.config import FamilyConfig, Precision
from thalweg.contract import SplitName, Task
from thalweg.search.prepare import make_world
from thalweg.training import engine
from thalweg.training.orders import Report, TrialOrder
from thalweg.training.process_group import World, join
from thalweg.training.quiet_deepspeed import deepspeed
from thalweg.training.session import DataCache, Session

BATCH, MICRO = 8, 2
LR = 1e-2
PRESETS = [
    (name, preset) for name in discovery.names("trainables") for preset in discovery.load_family(name).presets
]
LIMITS = {
    "dim": 32,
    "num_heads": 2,
    "image_depth": 2,
    "vector_depth": 2,
    "decoder_dim": 32,
    "decoder_num_heads": 2,
    "decoder_depth": 2,
    "sequence_length": 4,
    "stride": 2,
    "vector_patch_size": 4,
    "channels": 4,
    "max_channels": 8,
    "hidden_dim": 16,
    "neck_dim": 16,
    "embedding_dim": 16,
    "head_dim": 16,
}
"""Largest value of a knob, wherever a family has one of this name."""

ERROR: Mapping[Precision, float] = {"fp32": 1e-5, "bf16": 0.02, "fp16": 0.004}
"""Largest error of a gradient against that in fp32, as a share of its norm."""

STEP = {
    "lr": LR,
    "eps": 1.0,
    "beta1": 0.0,
    "beta2": 0.0,
    "weight_decay": 0.0,
    "clip_norm": 0.0,
    "lr_schedule": "constant",
    "min_lr_ratio": 0.0,
    "warmup_ratio": 0.0,
    "batch_size": BATCH,
}


class FewCache(DataCache):
    """Opens data and lets evaluations see a few samples of them."""

    def open(self, task: Task[Any, Any], root: Path, device: torch.device) -> Any:
        """Returns the data, whose other splits than ``train`` are cut; they stay open for all presets."""
        opened = super().open(task, root, device)
        kind = type(opened)
        if kind.__name__ != "Few":

            def num_samples(self: Any, split: SplitName) -> int:
                count: int = kind.num_samples(self, split)
                return count if split == "train" else min(count, 4)

            object.__setattr__(opened, "__class__", type("Few", (kind,), {"num_samples": num_samples}))
        return opened


def shrunken(values: Any, name: str = "") -> Any:
    """Returns a configuration in JSON with the same options and within the limits."""
    if isinstance(values, dict):
        if name == "shares":
            return dict.fromkeys(values, 1.0)
        return {key: shrunken(value, key) for key, value in values.items()}
    limited = name in LIMITS and isinstance(values, int)
    return min(values, LIMITS[name]) if limited else values


@pytest.fixture(scope="module")
def world() -> World:
    """This process alone."""
    return join()


@pytest.fixture(scope="module", autouse=True)
def _fp16_everywhere() -> Iterator[None]:
    """Lets processors without arithmetic in fp16 take torch's slower kernels, which round alike."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deepspeed.accelerator.get_accelerator(), "is_fp16_supported", lambda: True)
        yield


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
    """Trains one preset, shrunken, in several ways.

    Args:
        family: The family.
        preset: Its preset.
        root: Folder of the data.
        world: The process group.
        opened: Opened data.
        directory: An empty folder.
    """

    def __init__(
        self,
        family: discovery.Family,
        preset: str,
        root: Path,
        world: World,
        opened: DataCache,
        directory: Path,
    ) -> None:
        values = shrunken(family.preset(preset).model_dump(mode="json"))
        self.values = values | {"dataset": family.preset("tiny").dataset}
        self.family, self.root, self.world, self.opened = family, root, world, opened
        self.directory = directory
        self.config: FamilyConfig = family.config_type.model_validate(self.values)
        self.task = family.task_type(self.config)

    def start(self, **optimization: Any) -> Session:
        """Begins a trial with one step in each stage; the first one is evaluated too."""
        steps = len(self.task.stages())
        order = TrialOrder(
            trial="trial",
            family=self.family.package,
            config=self.values | {"optimization": STEP | optimization},
            metric=self.task.measured()[0],
            evaluations=tuple(sorted({BATCH, steps * BATCH})),
            data_root=str(self.root),
            directory=str(self.directory),
            checkpoints=False,
        )
        session = Session(order, self.world, self.opened)
        if optimization["precision"] == "fp16":
            # From 2**16 the scale would first fall for some steps, none of which is taken.
            session._engine.optimizer.loss_scale = 128.0
        return session

    def gradient(self, **optimization: Any) -> tuple[dict[str, Tensor], Report]:
        """Takes a step in each stage and returns the gradient of the first one, in fp32."""
        session = self.start(**optimization)
        before = engine.full_weights(session._engine)
        report = session.advance()
        after = engine.full_weights(session._engine)
        trained = {name for name, weight in session._module.model.named_parameters() if weight.requires_grad}
        while not report.done:
            report = session.advance(report.samples)
        session.close()
        moved = {name: (before[name] - after[name]) / (LR * self._lr_scale(name)) for name in trained}
        return {name: value / (1 - value.abs()) for name, value in moved.items()}, report

    def _lr_scale(self, name: str) -> float:
        groups = [group for group in self.task.stages()[0].groups if name.startswith(group.prefix)]
        return max(groups, key=lambda group: len(group.prefix)).lr_scale


def error_of(gradient: Mapping[str, Tensor], reference: Mapping[str, Tensor]) -> float:
    """Returns the norm of the difference as a share of the reference's norm."""
    assert set(gradient) == set(reference)
    squares = sum(float((gradient[name] - value).square().sum()) for name, value in reference.items())
    return float(squares**0.5 / sum(float(value.square().sum()) for value in reference.values()) ** 0.5)


@pytest.fixture(scope="module")
def opened() -> FewCache:
    """Keeps the data of all presets open."""
    return FewCache(most=100)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "preset"), PRESETS, ids=["-".join(pair) for pair in PRESETS])
def test_a_preset_trains_in_every_precision_at_every_zero_stage(
    name: str,
    preset: str,
    data: Callable[[discovery.Family], Path],
    world: World,
    opened: FewCache,
    tmp_path: Path,
) -> None:
    family = discovery.load_family(name)
    bench = Bench(family, preset, data(family), world, opened, tmp_path)
    reference, _ = bench.gradient(precision="fp32", zero_stage=1)
    assert all(torch.isfinite(value).all() for value in reference.values())
    import time

    for precision, most in ERROR.items():
        for zero_stage in range(4):
            t = time.time()
            gradient, report = bench.gradient(precision=precision, zero_stage=zero_stage)
            print(name, preset, precision, zero_stage, error_of(gradient, reference), time.time() - t)
            assert error_of(gradient, reference) < most, (precision, zero_stage)
            assert set(bench.task.measured()) <= set(report.metrics), (precision, zero_stage)
