"""The contrastive loss on fixed pools against its published formula, scene by scene."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from thalweg.contract import unmeasured
from trainables.rgb_lidar.chain.knobs import SimilarityKnobs
from trainables.rgb_lidar.config import RGBLidar
from trainables.rgb_lidar.data.scenes import RGBLidarData
from trainables.rgb_lidar.evaluation.contrast import METRIC, POOL, SCALE, PooledLoss, pooled_loss
from trainables.rgb_lidar.evaluation.retrieval import ROWS
from trainables.rgb_lidar.task import task_for


def slow(images: torch.Tensor, scans: torch.Tensor, scale: float, offset: float = 0.0) -> float:
    """CLIP's pseudocode (arXiv:2103.00020, Fig. 3), one scene and one direction at a time."""
    losses = []
    for start in range(0, len(images) - 31, 32):
        for scene in range(32):
            for asking, answering in ((images, scans), (scans, images)):
                logits = [
                    scale * float(asking[start + scene].double() @ answering[start + other].double()) + offset
                    for other in range(32)
                ]
                losses.append(math.log(sum(math.exp(logit) for logit in logits)) - logits[scene])
    return sum(losses) / len(losses)


def random(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first = nn.functional.normalize(torch.randn(count, 5, generator=generator), dim=1)
    noise = torch.randn(count, 5, generator=generator)
    return first, nn.functional.normalize(first + noise, dim=1)


@settings(max_examples=8)
@given(count=st.integers(32, 70), scale=st.floats(0.1, 20), seed=st.integers(0, 9))
def test_the_loss_is_the_published_one_on_pools_of_32(count: int, scale: float, seed: int) -> None:
    images, scans = random(count, seed)
    found = pooled_loss(images, scans, torch.full((count,), scale))
    assert found == pytest.approx(slow(images, scans, scale), rel=1e-5)


def test_the_published_bounds_hold_without_a_temperature() -> None:
    """Logits (cosine + 1) / 2 of 32 scenes: log 32 by chance, log(e + 31) - 1 for perfect embeddings."""
    images, scans = random(64)
    half = torch.full((64,), 0.5)
    assert pooled_loss(images, scans, half) == pytest.approx(slow(images, scans, 0.5, 0.5), rel=1e-6)
    assert pooled_loss(torch.ones(32, 1), torch.ones(32, 1), half[:32]) == pytest.approx(math.log(32))
    least = torch.full((32, 32), -1.0).fill_diagonal_(1.0)  # cosines, which no embeddings have all at once
    assert pooled_loss(torch.eye(32), least, half[:32]) == pytest.approx(math.log(math.e + 31) - 1)


def test_fewer_scenes_than_a_pool_give_no_number_and_are_told(chain: RGBLidar, data: RGBLidarData) -> None:
    images, scans = random(31)
    assert math.isnan(pooled_loss(images, scans, torch.ones(31)))
    task = task_for(chain)
    assert unmeasured(task, data, "val") == {METRIC.name: "it holds 12 scenes, and a pool 32"}
    assert unmeasured(task, data, "train") == {}
    images_alone = chain.model.model_copy(update={"stages": ("classifier",)})
    assert unmeasured(task_for(chain.model_copy(update={"model": images_alone})), data, "val") == {}


@pytest.mark.parametrize(
    ("similarity", "scale"),
    [
        (SimilarityKnobs(), 1 / 0.07),
        (SimilarityKnobs(temperature="fixed", initial_temperature=0.2), 5.0),
        (SimilarityKnobs(temperature="none", logit_map="half_cosine"), 0.5),
    ],
)
def test_a_model_is_measured_at_its_own_temperature(
    chain: RGBLidar, data: RGBLidarData, similarity: SimilarityKnobs, scale: float
) -> None:
    model = chain.model.model_copy(update={"similarity": similarity})
    task = task_for(chain.model_copy(update={"model": model}))
    torch.manual_seed(0)
    network, measure = task.build(task.facts(data)), PooledLoss()
    parts = [task.evaluation_batch(data, "train", np.arange(start, start + 16)) for start in (0, 16, 32)]
    with torch.no_grad():
        outputs = [task.predict(network, batch) for batch in parts]
    states = [measure.add(found, batch) for found, batch in zip(outputs, parts, strict=True)]
    state = {name: torch.cat([each[name] for each in states]) for name in measure.rows}
    found = measure.summarize(state)[METRIC.name]
    assert found == pytest.approx(slow(state[ROWS[0]], state[ROWS[1]], scale), rel=1e-4)
    assert state[SCALE].tolist() == pytest.approx([scale] * 48)


def test_it_is_no_objective_and_baselines_have_none() -> None:
    assert not METRIC.search_invariant
    assert METRIC.name.endswith(f"_{POOL}")
    assert PooledLoss().add(dict.fromkeys(ROWS, torch.ones(2, 3)), {}) == {}
