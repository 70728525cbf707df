import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from trainables.rgb_lidar.data import RGBLidarData
from trainables.rgb_lidar.retrieval import METRIC, POOL, recall_at_1


def slow(rgb: torch.Tensor, lidar: torch.Tensor, pool: int) -> float:
    """Counts one scene after the other."""
    size = min(pool, len(rgb))
    found, asked = 0, 0
    for start in range(0, len(rgb) - size + 1, size):
        scenes = range(start, start + size)
        for asking, answering in ((rgb, lidar), (lidar, rgb)):
            for scene in scenes:
                cosines = [float(asking[scene].double() @ answering[other].double()) for other in scenes]
                found += cosines.index(max(cosines)) == scene - start
                asked += 1
    return found / asked


@given(count=st.integers(1, 23), pool=st.integers(1, 8), dim=st.integers(1, 3), seed=st.integers(0, 99))
def test_recall_follows_the_slow_definition(count: int, pool: int, dim: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    rgb = nn.functional.normalize(torch.randn(count, dim, generator=generator), dim=1)
    noise = torch.randn(count, dim, generator=generator)
    lidar = nn.functional.normalize(rgb + 0.5 * noise, dim=1)
    assert recall_at_1(rgb, lidar, pool) == pytest.approx(slow(rgb, lidar, pool))


def test_scenes_beyond_the_last_whole_pool_do_not_count() -> None:
    eye = torch.eye(7)
    assert recall_at_1(eye, eye, 3) == 1.0
    wrong = eye.clone()
    wrong[6] = -eye[6]
    assert recall_at_1(eye, wrong, 3) == 1.0
    assert recall_at_1(eye, wrong, 7) < 1.0


def test_a_split_below_one_pool_is_a_smaller_pool() -> None:
    assert recall_at_1(torch.eye(5), torch.eye(5).roll(1, 0)) == 0.0
    assert recall_at_1(torch.eye(5), torch.eye(5)) == 1.0


def test_embeddings_that_are_all_alike_find_one_of_a_pool() -> None:
    same = torch.ones(2 * POOL, 1)
    assert recall_at_1(same, same) == pytest.approx(1 / POOL)


def test_a_pool_holds_both_classes(data: RGBLidarData) -> None:
    """The published validation went through one class after the other: a harder question than that of training."""
    labels = data.labels[data.rows["val"]]
    assert all(0 < labels[start : start + 6].mean() < 1 for start in range(0, len(labels) - 5, 6))
    assert np.abs(np.diff(labels)).sum() > 2


def test_the_metric_may_be_an_objective() -> None:
    assert METRIC.search_invariant


def test_the_meaning_says_that_fewer_scenes_are_an_easier_pool() -> None:
    rows = torch.ones(30, 2)
    assert recall_at_1(rows, rows) == pytest.approx(1 / 30)
    assert POOL > 30
    assert "a split with fewer" in METRIC.meaning and "easier" in METRIC.meaning
