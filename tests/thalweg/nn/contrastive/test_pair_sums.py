"""Sums over pairs of two different sets, against a table of all pairs."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.nn.contrastive.barlow import barlow
from thalweg.nn.contrastive.info_nce import info_nce
from thalweg.nn.contrastive.pair_sums import Relation, in_fp32, pair_sums
from thalweg.nn.contrastive.pairs import Pairs, matrix
from thalweg.nn.contrastive.supcon import supcon


@settings(deadline=None, max_examples=40)
@given(
    anchors=st.integers(1, 7),
    candidates=st.integers(1, 7),
    tile=st.integers(1, 8),
    masked=st.booleans(),
    seed=st.integers(0, 99),
)
def test_sums_and_gradients_of_two_sets_are_those_of_a_table(
    anchors: int, candidates: int, tile: int, masked: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    size = max(anchors, candidates)
    first = torch.randn(anchors, 3, dtype=torch.float64, requires_grad=True)
    second = torch.randn(candidates, 3, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(size, size) * (torch.rand(size, size) < 0.5)
    here = torch.rand(anchors) < 0.8 if masked else torch.ones(anchors, dtype=torch.bool)
    there = torch.rand(candidates) < 0.8 if masked else torch.ones(candidates, dtype=torch.bool)
    sums = pair_sums(
        first,
        second,
        Relation(
            positives=matrix(weights),
            present_anchors=here if masked else None,
            present_candidates=there if masked else None,
            both_ways=True,
            tile=tile,
        ),
    )
    meet = here[:, None] & there
    table = first @ second.T
    positive = (weights[:anchors, :candidates] * meet).double()
    logits = table.masked_fill(~meet, -torch.inf)
    torch.testing.assert_close(sums.log_sums, logits.logsumexp(1))
    torch.testing.assert_close(sums.back_log_sums, logits.logsumexp(0))
    torch.testing.assert_close(sums.pulls, (positive * table).sum(1))
    torch.testing.assert_close(sums.masses, positive.sum(1))
    assert not sums.masses.requires_grad
    mine, theirs = torch.rand(anchors).double(), torch.rand(candidates).double()
    found = mine @ sums.log_sums.masked_fill(~meet.any(1), 0) - 2 * sums.pulls.sum()
    found = found + theirs @ sums.back_log_sums.masked_fill(~meet.any(0), 0)
    plain = mine[meet.any(1)] @ logits[meet.any(1)].logsumexp(1) - 2 * (positive * table).sum()
    plain = plain + theirs[meet.any(0)] @ logits[:, meet.any(0)].logsumexp(0)
    ours, right = (torch.autograd.grad(value, [first, second]) for value in (found, plain))
    for slope, expected in zip(ours, right, strict=True):
        torch.testing.assert_close(slope, expected)


def test_weights_in_the_sum_are_those_of_negatives() -> None:
    first, second = torch.randn(2, 3), torch.randn(2, 3)
    positives = Pairs(values=torch.arange(2), weigh=torch.eq)
    third = Pairs(values=torch.arange(2), weigh=lambda i, j: torch.full((len(i), j.shape[1]), 1 / 3).log())
    sums = pair_sums(first, second, Relation(positives=positives, log_weights=third))
    table = (first @ second.T).exp()
    expected = [table[0, 0] + table[0, 1] / 3, table[1, 1] + table[1, 0] / 3]
    torch.testing.assert_close(sums.log_sums, torch.stack(expected).log())


def test_rows_of_a_pair_are_the_positives_of_each_other() -> None:
    first, second = torch.randn(4, 3), torch.randn(4, 3)
    sums = pair_sums(first, second, Relation(paired=True, tile=3))
    torch.testing.assert_close(sums.pulls, (first @ second.T).diagonal())
    assert sums.masses.tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_rows_become_fp32_and_absent_ones_zero(dtype: torch.dtype) -> None:
    rows = torch.tensor([[1.5, 2.0], [torch.nan, 1.0]], dtype=dtype)
    found = in_fp32(rows, torch.tensor([True, False]))
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert found.tolist() == [[1.5, 2.0], [0.0, 0.0]]


def test_an_autocast_changes_neither_loss_nor_gradient() -> None:
    first, second = torch.randn(9, 4, requires_grad=True), torch.randn(9, 4)
    loss = info_nce(first, second)
    (slope,) = torch.autograd.grad(loss, first)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = info_nce(first, second)
        (under,) = torch.autograd.grad(cast, first)
    assert float(cast.detach()) == float(loss.detach())
    assert torch.equal(under, slope)


def test_samples_that_do_not_count_may_hold_anything() -> None:
    first, second = torch.randn(2, 5, 3).unbind()
    first[1], second[1] = torch.nan, torch.inf
    first.requires_grad_()
    counted = torch.arange(5) != 1
    loss = info_nce(first, second, counted=counted)
    torch.testing.assert_close(loss, info_nce(first[counted], second[counted]))
    (slope,) = torch.autograd.grad(loss, first)
    assert torch.isfinite(slope).all() and not slope[1].any()


def test_losses_have_shapes_on_the_meta_device() -> None:
    views, labels = torch.empty(6, 2, 3, device="meta"), torch.empty(6, device="meta", dtype=torch.int64)
    first, second = views.unbind(1)
    found = (info_nce(first, second), supcon(views, labels, ignored=3).total, barlow(first, second).total)
    assert all(loss.device.type == "meta" and loss.shape == () for loss in found)
