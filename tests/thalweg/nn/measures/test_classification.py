"""Metrics of classes against counts by loops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from thalweg.contract import Metric
from thalweg.nn.measures.classification import (
    Classification,
    accuracy,
    confusion_matrices,
    f1,
    macro,
    precision,
    recall,
)
from thalweg.per_unit import PerUnit

CLASSES = ("forest", "urban", "water")


def slow(logits: list[list[float]], labels: list[int]) -> dict[str, float]:
    """Counts class by class, sample by sample."""
    called = [row.index(max(row)) for row in logits]
    pairs = list(zip(called, labels, strict=True))
    shares = [math.exp(row[y]) / math.fsum(map(math.exp, row)) for row, y in zip(logits, labels, strict=True)]
    found = {
        "cross_entropy": math.fsum(-math.log(share) for share in shares) / len(labels),
        "accuracy": sum(c == y for c, y in pairs) / len(pairs),
    }
    present = [name for number, name in enumerate(CLASSES) if number in labels]
    for number, name in enumerate(CLASSES):
        calls = [y for c, y in pairs if c == number]
        members = [c for c, y in pairs if y == number]
        exact = calls.count(number) / len(calls) if calls else 0.0
        complete = members.count(number) / len(members) if members else 0.0
        found[f"precision_{name}"], found[f"recall_{name}"] = exact, complete
        found[f"f1_{name}"] = 2 * exact * complete / (exact + complete) if exact + complete else 0.0
    for kind in ("precision", "recall", "f1"):
        found[f"macro_{kind}"] = sum(found[f"{kind}_{name}"] for name in present) / len(present)
    return found


def all_metrics() -> list[Metric]:
    names = list(slow([[0.0, 0.0, 0.0]], [0]))
    return [Metric(name=name, mode="max", unit="1", search_invariant=True, meaning="it") for name in names]


def measured(measure: Classification, logits: Tensor, labels: Tensor, cuts: int = 1) -> dict[str, float]:
    total: dict[str, Tensor] = {}
    for scores, truth in zip(logits.tensor_split(cuts), labels.tensor_split(cuts), strict=True):
        for name, value in measure.add({"logits": scores}, {"label": truth}).items():
            assert value.dtype == torch.float64
            total[name] = total[name] + value if name in total else value
    return measure.summarize(total)


@settings(deadline=None, max_examples=50)
@given(
    labels=st.lists(st.sampled_from([0, 1, 2, 255]), min_size=1, max_size=12),
    cuts=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_every_metric_follows_the_slow_definition_over_all_batches(
    labels: list[int], cuts: int, seed: int
) -> None:
    torch.manual_seed(seed)
    logits = 3 * torch.randn(len(labels), 3)
    measure = Classification(CLASSES, scores="logits", ignored=255, metrics=all_metrics())
    found = measured(measure, logits, torch.tensor(labels), cuts)
    kept = [number for number, label in enumerate(labels) if label != 255]
    if not kept:
        assert math.isnan(found["cross_entropy"]) and math.isnan(found["accuracy"])
        return
    expected = slow(logits[kept].double().tolist(), [labels[number] for number in kept])
    assert found == pytest.approx(expected, rel=1e-6)


def test_a_class_that_does_not_occur_is_in_no_average() -> None:
    confusion = torch.tensor([[3.0, 1, 0], [0, 2, 2], [0, 0, 0]], dtype=torch.float64)
    assert float(macro(recall(confusion), confusion)) == pytest.approx((3 / 4 + 2 / 4) / 2)
    assert float(macro(precision(confusion), confusion)) == pytest.approx((1 + 2 / 3) / 2)
    assert recall(confusion)[2] == f1(confusion)[2] == 0


def test_confusion_matrices_of_units_are_measured_side_by_side() -> None:
    called, labels = torch.randint(0, 3, (2, 20)).unbind()
    matrices = confusion_matrices(called, labels, 3)
    units = torch.stack([matrices[:7].sum(0), matrices[7:].sum(0)])
    for of in (accuracy, precision, recall, f1):
        for unit, whole in zip(units, of(units), strict=True):
            torch.testing.assert_close(of(unit), whole)
    torch.testing.assert_close(macro(f1(units), units)[1], macro(f1(units[1]), units[1]))


def test_sums_can_be_kept_apart_by_unit() -> None:
    measure = Classification(CLASSES, scores="logits", ignored=255)
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 255, 2, 1, 0])
    lines = measure.per_sample({"logits": logits}, {"label": labels})
    unit = torch.tensor([0, 2, 4])
    found = measure.summarize({name: values[unit].sum(0) for name, values in lines.items()})
    assert found == pytest.approx(measured(measure, logits[unit], labels[unit]))


def test_rows_are_labels_and_columns_are_calls() -> None:
    counted = torch.tensor([True, True, False])
    matrices = confusion_matrices(torch.tensor([2, 1, 0]), torch.tensor([0, 1, 99]), 3, counted)
    assert matrices.sum(0).tolist() == [[0, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert matrices[2].sum() == 0


def test_ignored_samples_may_have_any_logits() -> None:
    logits = torch.tensor([[0.0, 1.0, 0.0], [math.nan, math.nan, math.nan]])
    measure = Classification(CLASSES, scores="logits", ignored=255)
    found = measured(measure, logits, torch.tensor([1, 255]))
    assert found["cross_entropy"] == pytest.approx(-math.log(math.e / (math.e + 2)))
    assert found["accuracy"] == 1


def test_log_odds_are_logits_of_two_classes() -> None:
    odds, labels = torch.tensor([1.0, 1.0, 1.0, 1.0, -1.0, 0.0]), torch.tensor([1, 0, 0, 0, 1, 0])
    names = ("cross_entropy", "accuracy", "precision", "recall", "f1")
    metrics = [
        Metric(name=f"lidar_{name}", mode="max", unit="1", search_invariant=True, meaning="it")
        for name in names
    ]
    measure = Classification(("cube", "sphere"), scores="logits", prefix="lidar_", metrics=metrics)
    one = measured(measure, odds, labels)
    two = measured(measure, torch.stack((torch.zeros(6), odds), dim=1), labels)
    assert one == two
    assert list(one) == [metric.name for metric in metrics]
    assert (one["lidar_precision"], one["lidar_recall"], one["lidar_accuracy"]) == (1 / 4, 1 / 2, 2 / 6)
    assert one["lidar_f1"] == pytest.approx(1 / 3)


def test_metrics_that_are_described_are_those_that_are_reported() -> None:
    measure = Classification(CLASSES, scores="logits", prefix="late_")
    found = measured(measure, torch.randn(5, 3), torch.tensor([0, 1, 2, 1, 0]))
    assert list(found) == [metric.name for metric in measure.metrics]
    assert {"late_macro_recall", "late_recall_water", "late_cross_entropy"} <= set(found)
    assert [metric.name for metric in measure.metrics if metric.mode == "min"] == ["late_cross_entropy"]


def test_outputs_without_scores_are_not_measured() -> None:
    measure = Classification(CLASSES, scores="logits")
    assert measure.add({"odds": torch.ones(2)}, {"label": torch.zeros(2)}) == {}
    assert measure.summarize({}) == {}


def test_sums_by_unit_give_the_same_metrics_and_those_of_each_year() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(40, 3), torch.randint(3, (40,))
    batch = {"label": labels, "year": torch.arange(40) // 10, "season": torch.arange(40) % 4}
    plain = Classification(CLASSES, scores="logits", metrics=all_metrics())
    kept = Classification(CLASSES, scores="logits", metrics=all_metrics(), units=("year", "season"))
    state = kept.add({"logits": logits}, batch)
    expected = plain.summarize(plain.add({"logits": logits}, batch))
    assert kept.summarize(state) == pytest.approx(expected)
    second = {name: PerUnit(*_of_year(table, 1)) for name, table in state.items()}
    rows = slice(10, 20)
    expected = plain.summarize(plain.add({"logits": logits[rows]}, {"label": labels[rows]}))
    assert kept.summarize(second) == pytest.approx(expected)
    assert kept.add({}, batch) == {}


def _of_year(table: PerUnit, year: int) -> tuple[Tensor, Tensor]:
    here = table.keys[:, 0] == year
    return table.keys[here], table.values[here]


def test_logits_that_are_no_numbers_call_no_class() -> None:
    measure = Classification(CLASSES, scores="logits")
    logits = torch.zeros(4, 3)
    logits[1, 2] = torch.nan
    found = measure.summarize(measure.add({"logits": logits}, {"label": torch.tensor([0, 0, 1, 2])}))
    assert len(found) == len(measure.metrics) and all(math.isnan(value) for value in found.values())
