"""Contrastive losses against slow twins, and against pytorch-metric-learning where definitions agree."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from pytorch_metric_learning.losses import NTXentLoss, SupConLoss
from torch import Tensor

from thalweg.nn.contrastive.unit_length import unit_length
from thalweg.nn.contrastive.views import Contrast
from trainables.sentinel_supcon.knobs import TuningKnobs
from trainables.sentinel_supcon.training.contrast import (
    nt_xent_of_blocks,
    pairwise_nt_xent,
    supcon_of_classes,
    supcon_of_label,
)

IGNORED = -1
KNOBS = TuningKnobs(temperature=0.1)
ALL = torch.ones(6, dtype=torch.bool)


def unit(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return unit_length(torch.randn(*shape, generator=torch.Generator().manual_seed(seed))).to(dtype)


def slow_mean(
    rows: np.ndarray, positives: np.ndarray, anchors: list[int], taking: list[int], tau: float
) -> float:
    """The formula of SupCon, term by term: a weighted mean over the positives of an anchor, then over anchors."""
    losses = []
    for i in anchors:
        others = [a for a in taking if a != i]
        weights = {p: positives[i, p] for p in others if positives[i, p] > 0}
        if i not in taking or not weights:
            continue
        denominator = math.log(sum(math.exp(rows[i] @ rows[a] / tau) for a in others))
        terms = [weight * (rows[i] @ rows[p] / tau - denominator) for p, weight in weights.items()]
        losses.append(-sum(terms) / sum(weights.values()))
    return float(sum(losses) / len(losses))


def as_rows(views: Tensor) -> np.ndarray:
    return np.asarray(views.transpose(0, 1).flatten(0, 1).numpy(), float)


def mean_of(found: Contrast) -> float:
    return float(found.total / found.count)


class TestSupCon:
    @pytest.mark.parametrize("mode", ["all", "one"])
    def test_it_is_the_formula_and_ignored_samples_take_no_part(self, mode: str) -> None:
        labels = torch.tensor([0, 1, IGNORED, 0, 2, IGNORED])
        views = unit(6, 2, 5)
        knobs = KNOBS.vary(contrast=mode)
        found = supcon_of_label(views, labels, knobs, IGNORED, 0.0)
        both = np.tile(labels.numpy(), 2)
        taking = [row for row in range(12) if both[row] != IGNORED]
        anchors = [row for row in taking if mode == "all" or row < 6]
        expected = slow_mean(as_rows(views), both[:, None] == both[None], anchors, taking, 0.1)
        assert mean_of(found) == pytest.approx(expected, rel=1e-9)
        assert found.count == len(anchors)
        noise = torch.where((labels == IGNORED)[:, None, None], torch.nan, views)
        assert mean_of(supcon_of_label(noise, labels, knobs, IGNORED, 0.0)) == pytest.approx(
            expected, rel=1e-9
        )

    def test_both_sensors_of_a_scene_are_positives_if_labels_are_duplicated(self) -> None:
        labels = torch.tensor([0, 1, 2])  # each class once: only the other sensor and view are positives
        sensors = [unit(3, 2, 5, seed=1), unit(3, 2, 5, seed=2)]
        found = supcon_of_label(torch.cat(sensors), labels.repeat(2), KNOBS, IGNORED, 0.0)
        alone = supcon_of_label(sensors[0][:, :1], labels, KNOBS, IGNORED, 0.0)
        assert found.count == 12
        assert (float(alone.total), float(alone.count)) == (
            0.0,
            0.0,
        )  # an anchor without a positive, never NaN

    def test_it_is_that_of_pytorch_metric_learning(self) -> None:
        labels = torch.tensor([0, 0, 1, 2, 1, 2])
        rows = unit(6, 8, dtype=torch.float32)
        expected = SupConLoss(temperature=0.1)(rows, labels)
        assert mean_of(supcon_of_label(rows[:, None], labels, KNOBS, IGNORED, 0.0)) == pytest.approx(
            float(expected), rel=1e-5
        )

    def test_its_size_does_not_grow_with_the_temperature_by_a_base(self) -> None:
        """Published code multiplies by tau / .07; here the temperature changes the logits alone."""
        views = torch.zeros(4, 2, 3, dtype=torch.float64)
        views[..., 0] = 1  # all alike: the loss is log 7, whatever the temperature
        labels = torch.tensor([0, 0, 1, 1])
        for temperature in (0.05, 0.5):
            knobs = KNOBS.vary(temperature=temperature)
            assert mean_of(supcon_of_label(views, labels, knobs, IGNORED, 0.0)) == pytest.approx(math.log(7))

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_it_is_finite_in_half_precision_with_its_gradient(self, dtype: torch.dtype) -> None:
        views = unit(6, 2, 5).to(dtype).requires_grad_()
        knobs = TuningKnobs(temperature=0.01)
        found = supcon_of_label(views, torch.tensor([0, 1, IGNORED, 0, 2, 5]), knobs, IGNORED, 0.0)
        assert found.total.dtype == torch.float32
        found.total.backward()  # type: ignore[no-untyped-call]
        assert views.grad is not None
        assert bool(torch.isfinite(found.total)) and bool(torch.isfinite(views.grad).all())


class TestSeveralClasses:
    @pytest.mark.parametrize("mode", ["all", "one"])
    def test_positives_weigh_by_the_classes_that_are_common(self, mode: str) -> None:
        classes = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 1], [0, 0, 1]]).bool()
        views = unit(5, 2, 4)
        knobs = KNOBS.vary(contrast=mode)
        found = supcon_of_classes(views, classes, knobs, 0.0)
        sets = [set(np.flatnonzero(row)) for row in classes.numpy()] * 2
        weights = np.array([[len(a & b) / max(len(a | b), 1) for b in sets] for a in sets])
        taking = [row for row in range(10) if sets[row]]
        anchors = [row for row in taking if mode == "all" or row < 5]
        expected = slow_mean(as_rows(views), weights, anchors, taking, 0.1)
        assert mean_of(found) == pytest.approx(expected, rel=1e-7)  # weights are in fp32

    def test_of_one_class_each_it_is_supcon(self) -> None:
        labels = torch.tensor([0, 2, 1, 0, IGNORED, 2])
        classes = torch.nn.functional.one_hot(labels.clamp(min=0), 3).bool() & (labels != IGNORED)[:, None]
        views = unit(6, 2, 5)
        found, expected = (
            supcon_of_classes(views, classes, KNOBS, 0.0),
            supcon_of_label(views, labels, KNOBS, IGNORED, 0.0),
        )
        assert float(found.total) == pytest.approx(float(expected.total), rel=1e-12)
        assert found.count == expected.count


class TestNTXent:
    @pytest.mark.parametrize("num_blocks", [2, 4])
    def test_it_is_the_formula_and_pairs_are_its_mean(self, num_blocks: int) -> None:
        blocks = unit(6, num_blocks, 5)
        scenes = np.tile(np.arange(6), num_blocks)
        rows = list(range(6 * num_blocks))
        expected = slow_mean(as_rows(blocks), scenes[:, None] == scenes[None], rows, rows, 0.2)
        assert mean_of(nt_xent_of_blocks(blocks, 0.2, ALL)) == pytest.approx(expected, rel=1e-9)
        pairs = [
            mean_of(nt_xent_of_blocks(blocks[:, list(pair)], 0.2, ALL))
            for pair in combinations(range(num_blocks), 2)
        ]
        assert mean_of(pairwise_nt_xent(blocks, 0.2, ALL)) == pytest.approx(np.mean(pairs), rel=1e-9)
        if num_blocks == 4:
            assert mean_of(pairwise_nt_xent(blocks, 0.2, ALL)) != pytest.approx(expected, rel=1e-3)

    def test_of_two_blocks_it_is_that_of_pytorch_metric_learning(self) -> None:
        blocks = unit(6, 2, 8, dtype=torch.float32)
        expected = NTXentLoss(temperature=0.2)(
            blocks.transpose(0, 1).flatten(0, 1), torch.arange(6).repeat(2)
        )
        assert mean_of(nt_xent_of_blocks(blocks, 0.2, ALL)) == pytest.approx(float(expected), rel=1e-5)

    @pytest.mark.parametrize("loss", [nt_xent_of_blocks, pairwise_nt_xent])
    def test_negatives_alone_stay_in_every_sum_and_their_own_losses_leave_it(self, loss: type) -> None:
        anchors = torch.tensor([True, False, True, True, False, True])
        blocks = unit(6, 2, 5)
        scenes = np.tile(np.arange(6), 2)
        rows = list(range(12))
        counting = [row for row in rows if anchors[row % 6]]
        expected = slow_mean(as_rows(blocks), scenes[:, None] == scenes[None], counting, rows, 0.2)
        found = loss(blocks, 0.2, anchors)
        assert mean_of(found) == pytest.approx(expected, rel=1e-9)
        assert found.count == len(counting)

    def test_its_size_does_not_depend_on_the_share_of_negatives(self) -> None:
        """Published code would add log 11 for each of them."""
        blocks = torch.zeros(6, 2, 3, dtype=torch.float64)
        blocks[..., 0] = 1
        few, many = ALL.clone(), ALL.clone()
        few[:1], many[:4] = False, False
        found = [mean_of(nt_xent_of_blocks(blocks, 0.2, anchors)) for anchors in (ALL, few, many)]
        assert found == pytest.approx([math.log(11)] * 3)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_it_is_finite_in_half_precision_with_its_gradient(self, dtype: torch.dtype) -> None:
        """Published code subtracts 1e9 from the diagonal, which is -inf in fp16."""
        blocks = unit(6, 4, 5).to(dtype).requires_grad_()
        found = nt_xent_of_blocks(blocks, 0.01, ALL)
        found.total.backward()  # type: ignore[no-untyped-call]
        assert blocks.grad is not None
        assert bool(torch.isfinite(found.total)) and bool(torch.isfinite(blocks.grad).all())
