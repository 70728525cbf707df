import numpy as np
import pytest
import torch

from thalweg.nn.contrastive.retrieval import found_at_1, recall_at_1, standard_error
from trainables.rgb_lidar.data.scenes import RGBLidarData
from trainables.rgb_lidar.evaluation.retrieval import METRIC, POOL, RETRIEVAL, ROWS


def test_a_pool_holds_both_classes(data: RGBLidarData) -> None:
    """The published validation went through one class after the other: a harder question than that of training."""
    labels = data.labels[data.rows["val"]]
    assert all(0 < labels[start : start + 6].mean() < 1 for start in range(0, len(labels) - 5, 6))
    assert np.abs(np.diff(labels)).sum() > 2


def test_the_metric_may_be_an_objective() -> None:
    assert METRIC.search_invariant


def test_the_meaning_says_that_fewer_scenes_are_an_easier_pool() -> None:
    rows = torch.ones(30, 2)
    assert recall_at_1(rows, rows, POOL) == pytest.approx(1 / 30)
    assert POOL > 30
    assert "a split with fewer" in METRIC.meaning and "easier" in METRIC.meaning


def test_images_and_scans_are_searched_among_a_pool() -> None:
    rows = dict(zip(ROWS, torch.randn(2, 2 * POOL, 3), strict=True))
    found = RETRIEVAL.summarize(RETRIEVAL.add(rows, {}))
    searched = found_at_1(rows[ROWS[0]], rows[ROWS[1]], POOL)
    assert found == {"retrieval_r1": float(searched.mean()), "retrieval_r1_se": standard_error(searched)}
    assert found["retrieval_r1"] == recall_at_1(rows[ROWS[0]], rows[ROWS[1]], POOL)
