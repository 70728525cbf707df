"""Barlow Twins against loops over Eqs. 1 and 2 of arXiv:2103.03230."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from thalweg.nn.contrastive.barlow import EPSILON, barlow


def slow(first: Tensor, second: Tensor, off_diagonal: float) -> Tensor:
    """Standardises each dimension and correlates each two, number by number, in fp64."""
    first, second = first.double(), second.double()
    count, dim = first.shape

    def standard(rows: Tensor, column: int) -> list[Tensor]:
        values = list(rows[:, column])
        mean = torch.stack(values).sum() / count
        variance = torch.stack([(value - mean) ** 2 for value in values]).sum() / count
        return [(value - mean) / (variance + EPSILON) ** 0.5 for value in values]

    loss = torch.zeros((), dtype=torch.float64)
    for i in range(dim):
        for j in range(dim):
            products = [a * b for a, b in zip(standard(first, i), standard(second, j), strict=True)]
            correlation = torch.stack(products).sum() / count
            loss = loss + ((1 - correlation) ** 2 if i == j else off_diagonal * correlation**2)
    return loss


@settings(deadline=None, max_examples=25)
@given(count=st.integers(2, 7), dim=st.integers(1, 4), masked=st.booleans(), seed=st.integers(0, 99))
def test_value_and_gradient_equal_the_loops(count: int, dim: int, masked: bool, seed: int) -> None:
    torch.manual_seed(seed)
    first, second = (torch.randn(count, dim, requires_grad=True) for _ in range(2))
    counted = torch.rand(count) < 0.7 if masked else torch.ones(count, dtype=torch.bool)
    found = barlow(first, second, off_diagonal=0.3, counted=counted if masked else None)
    number = int(counted.sum())
    if number < 2:
        assert (float(found.total.detach()), float(found.count)) == (0, 0)
        return
    expected = slow(first[counted], second[counted], 0.3)
    assert float(found.count) == number
    assert float((found.total / found.count).detach()) == pytest.approx(
        float(expected.detach()), rel=1e-4, abs=1e-6
    )
    ours = torch.autograd.grad(found.total / found.count, [first, second])
    for slope, right in zip(ours, torch.autograd.grad(expected, [first, second]), strict=True):
        torch.testing.assert_close(slope, right, rtol=1e-2, atol=1e-3)


def test_gradients_in_double_precision() -> None:
    first, second = (torch.randn(5, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    counted = torch.tensor([True, True, False, True, True])
    assert torch.autograd.gradcheck(
        lambda one, other: barlow(one, other, counted=counted).total, [first, second]
    )


def test_dimensions_are_those_of_a_batch_norm_without_weights() -> None:
    first, second = torch.randn(2, 6, 4).unbind()
    norm = nn.BatchNorm1d(4, affine=False)
    correlation = norm(first).T @ norm(second) / 6
    off = correlation - torch.diag(correlation.diagonal())
    expected = (1 - correlation.diagonal()).square().sum() + 5e-3 * off.square().sum()
    found = barlow(first, second)
    torch.testing.assert_close(found.total / found.count, expected)


def test_equal_views_of_independent_dimensions_cost_nothing() -> None:
    rows = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert float(barlow(rows, rows).total) == pytest.approx(0, abs=1e-6)
    doubled = rows[:, :1].repeat(1, 2)
    assert float(barlow(doubled, doubled).total) / 4 == pytest.approx(2 * 5e-3, rel=1e-3)


def test_the_global_batch_is_not_the_mean_of_its_halves() -> None:
    first, second = torch.randn(2, 8, 3).unbind()
    whole = barlow(first, second)
    halves = [barlow(first[part], second[part]) for part in (slice(4), slice(4, 8))]
    assert float(sum(half.count for half in halves)) == float(whole.count)
    assert float(sum(half.total for half in halves)) != pytest.approx(float(whole.total), rel=1e-2)


def test_a_dimension_that_is_constant_stays_finite() -> None:
    first = torch.ones(4, 2, requires_grad=True)
    found = barlow(first, torch.randn(4, 2))
    (slope,) = torch.autograd.grad(found.total, first)
    assert float((found.total / found.count).detach()) == pytest.approx(2)
    assert torch.isfinite(slope).all()


def test_samples_that_do_not_count_may_hold_anything() -> None:
    first, second = torch.randn(2, 5, 3).unbind()
    first[1] = torch.nan
    first.requires_grad_()
    counted = torch.arange(5) != 1
    found = barlow(first, second, counted=counted)
    torch.testing.assert_close(found.total, barlow(first[counted], second[counted]).total)
    (slope,) = torch.autograd.grad(found.total, first)
    assert torch.isfinite(slope).all() and not slope[1].any()


@pytest.mark.parametrize("counted", [[False, False, False], [True, False, False]])
def test_fewer_than_two_samples_have_loss_and_count_zero(counted: list[bool]) -> None:
    first = torch.randn(3, 2, requires_grad=True)
    found = barlow(first, torch.randn(3, 2), counted=torch.tensor(counted))
    assert (float(found.total.detach()), float(found.count)) == (0, 0)
    (slope,) = torch.autograd.grad(found.total, first)
    assert not slope.any()


def test_the_order_of_samples_does_not_matter() -> None:
    first, second = torch.randn(2, 7, 3).unbind()
    order = torch.randperm(7)
    torch.testing.assert_close(barlow(first[order], second[order]).total, barlow(first, second).total)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_fp32(dtype: torch.dtype) -> None:
    first, second = (300 * torch.randn(9, 3).to(dtype) for _ in range(2))
    found = barlow(first, second)
    assert found.total.dtype == found.count.dtype == torch.float32
    torch.testing.assert_close(found.total, barlow(first.float(), second.float()).total)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert float(barlow(first, second).total) == float(found.total)
