import math
from collections.abc import Mapping

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from thalweg.nn.measures.classification import Classification
from trainables.rgb_lidar.config import CLASSES
from trainables.rgb_lidar.evaluation.classification import (
    LIDAR,
    LIDAR_METRICS,
    METRICS,
    confusion_sums,
    cross_entropy,
    log_odds,
    metrics_from_sums,
    prior_log_odds,
)


def measure(
    odds: list[float], labels: list[int], prefix: str = ""
) -> tuple[Mapping[str, Tensor], dict[str, float]]:
    sums = confusion_sums(torch.tensor(odds), torch.tensor(labels).float(), prefix)
    return sums, metrics_from_sums(sums, prefix)


def slow(odds: list[float], labels: list[int]) -> dict[str, float]:
    called = [1 if value > 0 else 0 for value in odds]
    right = [c == y for c, y in zip(called, labels, strict=True)]
    spheres_called = [y for c, y in zip(called, labels, strict=True) if c == 1]
    spheres = [c for c, y in zip(called, labels, strict=True) if y == 1]
    precision = sum(spheres_called) / len(spheres_called) if spheres_called else 0.0
    recall = sum(spheres) / len(spheres) if spheres else 0.0
    share = [1 / (1 + math.exp(-value)) for value in odds]
    return {
        "cross_entropy": sum(-math.log(p if y else 1 - p) for p, y in zip(share, labels, strict=True))
        / len(labels),
        "accuracy": sum(right) / len(right),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if precision + recall else 0.0,
    }


@given(scenes=st.lists(st.tuples(st.integers(-40, 40), st.integers(0, 1)), min_size=1, max_size=20))
def test_metrics_follow_the_slow_definition(scenes: list[tuple[int, int]]) -> None:
    odds, labels = [value / 4 for value, _ in scenes], [label for _, label in scenes]
    sums, metrics = measure(odds, labels)
    assert all(value.dtype == torch.float64 for value in sums.values())
    assert metrics == pytest.approx(slow(odds, labels), rel=1e-5, abs=1e-6)


def test_precision_recall_and_f1_are_not_mixed_up() -> None:
    _, metrics = measure([1.0, 1.0, 1.0, 1.0, -1.0, -1.0], [1, 0, 0, 0, 1, 0])
    assert metrics["precision"] == 1 / 4
    assert metrics["recall"] == 1 / 2
    assert metrics["f1"] == pytest.approx(1 / 3)
    assert metrics["accuracy"] == 2 / 6


def test_metrics_are_those_that_are_declared_and_all_may_be_objectives() -> None:
    _, metrics = measure([1.0], [1])
    assert [metric.name for metric in METRICS] == list(metrics)
    assert all(metric.search_invariant for metric in METRICS)


def test_two_classifiers_can_be_counted_side_by_side() -> None:
    _, ours = measure([1.0, -2.0, 3.0], [1, 1, 0])
    _, theirs = measure([1.0, -2.0, 3.0], [1, 1, 0], "lidar_")
    assert theirs == {f"lidar_{name}": value for name, value in ours.items()}


def test_one_logit_has_the_binary_and_two_have_the_categorical_cross_entropy() -> None:
    labels = torch.tensor([0.0, 1.0, 1.0])
    one, two = torch.randn(3, 1) * 5, torch.randn(3, 2) * 5
    binary = nn.functional.binary_cross_entropy_with_logits(one[:, 0], labels, reduction="none")
    torch.testing.assert_close(cross_entropy(log_odds(one), labels), binary)
    categorical = nn.functional.cross_entropy(two, labels.long(), reduction="none")
    torch.testing.assert_close(cross_entropy(log_odds(two), labels), categorical)


def test_a_guess_has_the_odds_of_the_shares() -> None:
    assert prior_log_odds((0.25, 0.75)) == pytest.approx(math.log(3), rel=1e-5)
    assert math.isfinite(prior_log_odds((1.0, 0.0)))


@given(scenes=st.lists(st.tuples(st.integers(-40, 40), st.integers(0, 1)), min_size=1, max_size=20))
def test_two_classes_are_a_case_of_the_shared_measure(scenes: list[tuple[int, int]]) -> None:
    odds, labels = [value / 4 for value, _ in scenes], [label for _, label in scenes]
    for metrics, prefix in ((METRICS, ""), (LIDAR_METRICS, LIDAR)):
        measure_ = Classification(CLASSES, scores="odds", prefix=prefix, metrics=metrics)
        found = measure_.summarize(
            measure_.add({"odds": torch.tensor(odds)}, {"label": torch.tensor(labels).float()})
        )
        ours = measure(odds, labels, prefix)[1]
        assert found == pytest.approx({metric.name: ours[metric.name] for metric in metrics}, rel=1e-12)
