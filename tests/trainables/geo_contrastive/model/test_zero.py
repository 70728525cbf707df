"""The parts that read weights outside a plain layer, through DeepSpeed's engine, which shards weights at ZeRO 3."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from families.toy.config import Toy
from families.toy.task import ToyTask
from tests.thalweg.training.conftest import linear_layers_of
from thalweg.config import Optimization
from thalweg.contract import Batch
from thalweg.stage_contract import Loss, Progress, Stage
from thalweg.training.engine import engine
from thalweg.training.process_group import join
from thalweg.training.sampling import Layout
from trainables.geo_contrastive.model.field_model import FieldModel

NOW = Progress(samples=0, total_samples=8, stage="train", stage_ratio=0.0)
SHAPE = (8, 6)


class Error(Loss):
    """The squared error of the first view, and the mean square of its projection."""

    def parts(self, model: nn.Module, batch: Batch, progress: Progress) -> Mapping[str, Tensor]:
        assert isinstance(model, FieldModel)
        latents = model.encode({name: batch[f"view/{name}"][:, 0] for name in model.geometry.variables})
        decoded = torch.stack(list(model.decode(latents).values()))
        return {"mse": (decoded - 1).square().sum(), "projection": model.project(latents).square().sum()}

    def counts(self, batch: Batch, progress: Progress) -> Mapping[str, float]:
        return {"mse": 1.0, "projection": 1.0}

    def weights(self, progress: Progress) -> Mapping[str, float]:
        return {"mse": 1.0, "projection": 1.0}


@pytest.fixture(scope="module", autouse=True)
def world() -> Iterator[None]:
    join()
    yield


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["self_attention", "gcn", "gat"])
def test_the_model_descends_the_same_way_with_and_without_sharded_weights(
    build: Callable[..., FieldModel], facts: Callable[..., Any], kind: str
) -> None:
    torch.manual_seed(3)
    batch = {f"view/{name}": torch.randn(4, 1, *SHAPE) for name in ("t2m", "z", "q")}
    geometry = facts(dict.fromkeys(("t2m", "z", "q"), SHAPE))
    encoder = {"fusion": {"kind": kind, "adjacency": "learned"}, "norm": "batch"}
    decoder = {"kind": "improved", "dropout": 0.0}
    start, found = build(geometry, encoder=encoder, decoder=decoder), []
    for zero_stage in (0, 3):
        model = build(geometry, encoder=encoder, decoder=decoder)
        module = engine.TaskModule(ToyTask(Toy()), model, Error())  # the task only predicts
        knobs = Optimization(
            optimizer="sgd",
            lr=1e-3,
            clip_norm=1.0,
            weight_decay=0.0,
            zero_stage=zero_stage,
            precision="bf16",
        )
        started = engine.start(module, Stage(loss=Error()), knobs, Layout.of(4, None, 1))
        for _ in range(2):
            with linear_layers_of(3):  # half precision is rounded alike
                started.backward(torch.stack(list(started(batch, NOW).values())).sum())
            engine.step(started)
        found.append(engine.full_weights(started))
        engine.release(started)
    for name, weight in start.named_parameters():
        torch.testing.assert_close(found[0][name], found[1][name], atol=1e-5, rtol=1e-3)
        assert not torch.equal(found[0][name], weight), name
