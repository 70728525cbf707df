"""Measures against slow twins and scikit-learn, whole splits cut anyhow, and ignored classes."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score, log_loss, recall_score
from torch import Tensor

from thalweg.contract import Batch, Measure, Outputs
from trainables.sentinel_supcon.config import PRESETS
from trainables.sentinel_supcon.evaluation.average_precision import average_precision
from trainables.sentinel_supcon.evaluation.calibration import NUM_BINS
from trainables.sentinel_supcon.evaluation.measures import measures, protocol
from trainables.sentinel_supcon.knobs import METERML_CLASSES, DataKnobs
from trainables.sentinel_supcon.model.scene_model import LOGITS, NEVER

COUNT = 80
VALID = [0, 1, 2, 4, 5, 6]
SINGLE = DataKnobs(classes=METERML_CLASSES, ignored=("Negative",), optical="rgbn")
MULTI = SINGLE.vary(target="multi")


def drawn() -> tuple[Batch, Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(-1, 5, (COUNT,), generator=generator)  # classes 5 and 6 do not occur
    labels[labels == 3] = -1
    multi = torch.rand(COUNT, 7, generator=generator) < 0.2
    multi[:, [3, 6]] = False
    logits = 2 * torch.randn(COUNT, 7, generator=generator)
    logits[torch.arange(COUNT), labels.clamp(min=0)] += 1.5
    logits = (logits + multi).round(decimals=1)  # with ties
    logits[:, 3] = NEVER
    place = torch.arange(COUNT) // 7
    return {"label": labels, "multi": multi.float(), "place": place}, logits


def metrics_of(
    knobs: DataKnobs, batch: Batch, logits: Tensor, cuts: tuple[int, ...] = ()
) -> dict[str, float]:
    found: dict[str, float] = {}
    edges = (0, *cuts, len(logits))
    for measure in measures(knobs):
        states = [
            measure.add(
                {LOGITS: logits[first:last]}, {name: values[first:last] for name, values in batch.items()}
            )
            for first, last in itertools.pairwise(edges)
        ]
        whole: dict[str, Any] = {}
        for state in states:
            for name, value in state.items():
                if name in measure.rows:
                    whole[name] = torch.cat((whole[name], value)) if name in whole else value
                else:
                    whole[name] = whole[name] + value if name in whole else value
        found |= measure.summarize(whole)
    return found


@pytest.mark.parametrize("knobs", [SINGLE, MULTI])
def test_metrics_do_not_depend_on_how_a_split_is_cut(knobs: DataKnobs) -> None:
    batch, logits = drawn()
    whole, cut = metrics_of(knobs, batch, logits), metrics_of(knobs, batch, logits, (3, 40, 41))
    assert whole == pytest.approx(cut, nan_ok=True)
    assert set(whole) == {metric.name for measure in measures(knobs) for metric in measure.metrics}
    assert not any("Negative" in name for name in whole)


def test_one_class_against_scikit_learn() -> None:
    batch, logits = drawn()
    found = metrics_of(SINGLE, batch, logits)
    counted = (batch["label"] >= 0).numpy()
    labels = batch["label"].numpy()[counted]
    chances = logits[:, VALID].double().softmax(1).numpy()[counted]
    called = np.array(VALID)[chances.argmax(1)]
    occurring = sorted(set(labels))
    assert found["accuracy"] == pytest.approx((called == labels).mean())
    assert found["macro_recall"] == pytest.approx(
        recall_score(labels, called, labels=occurring, average="macro")
    )
    assert found["macro_f1"] == pytest.approx(f1_score(labels, called, labels=occurring, average="macro"))
    assert found["cross_entropy"] == pytest.approx(log_loss(labels, chances, labels=VALID))
    areas = {one: average_precision_score(labels == one, chances[:, VALID.index(one)]) for one in occurring}
    assert found["macro_auprc"] == pytest.approx(np.mean(list(areas.values())))
    for one, area in areas.items():
        assert found[f"auprc_{METERML_CLASSES[one]}"] == pytest.approx(area)
        assert found[f"recall_{METERML_CLASSES[one]}"] == pytest.approx((called == one)[labels == one].mean())
    assert math.isnan(found["auprc_RefineriesAndTerminals"])  # no scene of val has it


def test_several_classes_against_scikit_learn() -> None:
    batch, logits = drawn()
    found = metrics_of(MULTI, batch, logits)
    there = batch["multi"][:, VALID].numpy().astype(int)
    counted = there.any(1)
    there, chances = there[counted], logits[:, VALID].double().sigmoid().numpy()[counted]
    called = (chances > 0.5).astype(int)
    occurs = there.any(0)
    assert found["accuracy"] == pytest.approx((called == there).all(1).mean())
    for name, score in (("macro_f1", f1_score), ("macro_recall", recall_score)):
        expected = score(there[:, occurs], called[:, occurs], average="macro", zero_division=0)
        assert found[name] == pytest.approx(expected)
    assert found["micro_f1"] == pytest.approx(f1_score(there, called, average="micro"))
    losses = -(there * np.log(chances) + (1 - there) * np.log(1 - chances))
    assert found["cross_entropy"] == pytest.approx(losses.mean())
    assert found["macro_auprc"] == pytest.approx(
        average_precision_score(there[:, occurs], chances[:, occurs], average="macro")
    )


def slow_error(chances: np.ndarray, true: np.ndarray) -> float:
    """The sum over bins of the share of decisions in it times the distance of mean probability and mean truth."""
    error = 0.0
    for number in range(NUM_BINS):
        inside = (chances > number / NUM_BINS) & (chances <= (number + 1) / NUM_BINS)
        if inside.any():
            error += inside.mean() * abs(chances[inside].mean() - true[inside].mean())
    return error


def test_calibration_against_a_slow_twin() -> None:
    batch, logits = drawn()
    counted = (batch["label"] >= 0).numpy()
    chances = logits[:, VALID].double().softmax(1).numpy()[counted]
    right = np.array(VALID)[chances.argmax(1)] == batch["label"].numpy()[counted]
    found = metrics_of(SINGLE, batch, logits)["calibration_error"]
    assert found == pytest.approx(slow_error(chances.max(1), right))
    there = batch["multi"][:, VALID].numpy()
    kept = there.any(1)
    several = logits[:, VALID].double().sigmoid().numpy()[kept]
    found = metrics_of(MULTI, batch, logits)["calibration_error"]
    assert found == pytest.approx(slow_error(several.ravel(), there[kept].ravel()))


def test_a_certain_and_right_classifier_has_no_calibration_error() -> None:
    batch, _ = drawn()
    logits = torch.full((COUNT, 7), -50.0)
    logits[torch.arange(COUNT), batch["label"].clamp(min=0)] = 50.0
    found = metrics_of(SINGLE, batch, logits)
    assert found["calibration_error"] == pytest.approx(0, abs=1e-9)
    assert found["macro_auprc"] == found["macro_recall"] == 1.0


def test_scenes_of_ignored_classes_change_no_metric() -> None:
    batch, logits = drawn()
    for knobs, ignored in ((SINGLE, batch["label"] < 0), (MULTI, ~batch["multi"].bool().any(1))):
        kept = {name: values[~ignored] for name, values in batch.items()}
        assert bool(ignored.any())
        expected = metrics_of(knobs, kept, logits[~ignored])
        assert metrics_of(knobs, batch, logits) == pytest.approx(expected, nan_ok=True)


def test_a_split_of_ignored_scenes_alone_has_no_metric() -> None:
    batch, logits = drawn()
    nothing = batch | {"label": torch.full((COUNT,), -1), "multi": torch.zeros(COUNT, 7)}
    for knobs in (SINGLE, MULTI):
        found = metrics_of(knobs, nothing, logits)
        names = ("cross_entropy", "accuracy", "macro_recall", "macro_auprc", "calibration_error")
        assert all(math.isnan(found[name]) for name in names)


@pytest.mark.parametrize("ties", [False, True])
def test_average_precision_is_that_of_scikit_learn(ties: bool) -> None:
    generator = torch.Generator().manual_seed(2)
    scores = torch.rand(50, generator=generator, dtype=torch.float64)
    scores = scores.round(decimals=1) if ties else scores
    there = torch.rand(50, generator=generator) < 0.3
    assert average_precision(scores, there) == pytest.approx(
        average_precision_score(there.numpy(), scores.numpy())
    )
    assert math.isnan(average_precision(scores, torch.zeros(50, dtype=torch.bool)))


def test_outputs_without_logits_measure_nothing() -> None:
    batch, _ = drawn()
    empty: Outputs = {}
    every: list[Measure] = [*measures(SINGLE), *measures(MULTI)]
    assert [measure.add(empty, batch) for measure in every] == [{}] * 6
    assert [measure.summarize({}) for measure in every] == [{}] * 6


def test_sums_by_place_tell_all_but_ranks_again() -> None:
    batch, logits = drawn()
    for knobs in (SINGLE, MULTI):
        calls, _, calibration = measures(knobs)
        for measure in (calls, calibration):
            state = measure.add({LOGITS: logits}, batch)
            assert all(len(table) == len(set(batch["place"].tolist())) for table in state.values())
            assert measure.rows == frozenset()


def test_the_protocol_names_classes_target_and_bins_but_no_input_of_the_model() -> None:
    assert protocol(SINGLE) == protocol(SINGLE.vary(size=48, scaling="image_max"))
    assert len({str(protocol(knobs)) for knobs in (SINGLE, MULTI, SINGLE.vary(ignored=()))}) == 3


def test_metrics_of_presets_are_named_once() -> None:
    for config in PRESETS.values():
        for target in ("single", "multi"):
            names = [
                metric.name
                for measure in measures(config.data.vary(target=target))
                for metric in measure.metrics
            ]
            assert len(names) == len(set(names))
            assert {"macro_recall", "accuracy", "macro_auprc", "calibration_error"} <= set(names)
