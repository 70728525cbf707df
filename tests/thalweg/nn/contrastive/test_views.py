"""The general contrastive loss against loops over all pairs."""

from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from thalweg.nn.contrastive.pairs import Pairs, by_distance, matrix, same
from thalweg.nn.contrastive.views import Contrast, as_rows, contrast

Slow = Callable[..., tuple[Tensor, float]]


def agree(found: Contrast, rows: Tensor, expected: tuple[Tensor, float]) -> None:
    total, count = expected
    assert float(found.count) == pytest.approx(count, rel=1e-6)
    torch.testing.assert_close(found.total.double(), total, rtol=1e-5, atol=1e-5)
    if not count:
        assert float(found.total.detach()) == 0
        (slope,) = torch.autograd.grad(found.total, rows)
        assert not slope.any()
        return
    (slope,) = torch.autograd.grad(found.total, rows)
    (right,) = torch.autograd.grad(total, rows)
    torch.testing.assert_close(slope, right, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 9),
    dim=st.integers(1, 4),
    tile=st.integers(1, 11),
    over=st.sampled_from(["anchors", "pairs"]),
    weighted=st.booleans(),
    num_anchors=st.none() | st.integers(0, 9),
    data=st.data(),
)
def test_value_count_and_gradient_equal_the_loops(
    slow_contrast: Slow,
    rows: int,
    dim: int,
    tile: int,
    over: Literal["anchors", "pairs"],
    weighted: bool,
    num_anchors: int | None,
    data: st.DataObject,
) -> None:
    torch.manual_seed(data.draw(st.integers(0, 999)))
    embeddings = torch.randn(rows, dim, requires_grad=True)
    samples = torch.randint(0, 4, (rows,))
    times = torch.randint(0, 5, (rows,))
    here = data.draw(st.none() | st.lists(st.booleans(), min_size=rows, max_size=rows))
    sizes = torch.rand(rows, rows) * (torch.rand(rows, rows) < 0.4)
    positives = matrix(sizes) if weighted else same(samples)
    found = contrast(
        embeddings,
        positives,
        temperature=0.5,
        log_weights=by_distance(times, lambda distance: (distance / 4).log()),
        present=None if here is None else torch.tensor(here),
        num_anchors=num_anchors,
        over=over,
        tile=tile,
    )
    expected = slow_contrast(
        embeddings,
        lambda i, j: float(sizes[i, j]) if weighted else float(samples[i] == samples[j]),
        temperature=0.5,
        negative_weight=lambda i, k: abs(int(times[i]) - int(times[k])) / 4,
        present=here,
        anchors=range(rows if num_anchors is None else min(num_anchors, rows)),
        over=over,
    )
    agree(found, embeddings, expected)


def test_gradients_in_double_precision() -> None:
    rows = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    days = torch.tensor([0, 1, 2, 40, 41, 80, 81])
    near = by_distance(days, lambda distance: torch.exp(-0.1 * distance) * (distance <= 5))
    far = by_distance(days, lambda distance: -1 / (1 + distance.double()))
    for over in ("anchors", "pairs"):
        assert torch.autograd.gradcheck(
            lambda each, over=over: (
                contrast(each, near, temperature=0.3, log_weights=far, over=over, tile=3).total
            ),
            [rows],
        )


def test_pairs_count_by_their_weight_and_anchors_as_one() -> None:
    rows = torch.randn(4, 3)
    weights = torch.zeros(4, 4)
    weights[0, 1], weights[1, 0], weights[2, 3] = 0.5, 0.25, 0.125
    assert float(contrast(rows, matrix(weights)).count) == 3
    assert float(contrast(rows, matrix(weights), over="pairs").count) == 0.875


def test_the_weight_of_an_anchor_s_only_positive_counts_over_pairs_alone() -> None:
    rows = torch.randn(2, 3)
    half, whole = (matrix(size * torch.ones(2, 2)) for size in (0.5, 1.0))
    assert float(contrast(rows, half).total) == pytest.approx(float(contrast(rows, whole).total))
    assert float(contrast(rows, half, over="pairs").total) == pytest.approx(
        float(contrast(rows, whole, over="pairs").total) / 2
    )


def test_a_negative_of_weight_zero_is_not_there() -> None:
    rows, samples = torch.randn(5, 3), torch.tensor([0, 0, 1, 1, 2])
    without = Pairs(
        values=torch.arange(5), weigh=lambda i, j: torch.where((i == 4) | (j == 4), -torch.inf, 0.0)
    )
    torch.testing.assert_close(
        contrast(rows, same(samples), log_weights=without).total, contrast(rows[:4], same(samples[:4])).total
    )


def test_absent_rows_may_hold_anything() -> None:
    rows = torch.randn(5, 3)
    rows[2], rows[4] = torch.nan, torch.inf
    rows.requires_grad_()
    samples, present = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([True, True, False, True, False])
    found = contrast(rows, same(samples), present=present, tile=2)
    kept = rows.detach()[present]
    torch.testing.assert_close(found.total.detach(), contrast(kept, same(samples[present])).total)
    (slope,) = torch.autograd.grad(found.total, rows)
    assert torch.isfinite(slope).all() and not slope[~present].any()


@pytest.mark.parametrize("absent", [True, False])
def test_where_nothing_has_a_positive_loss_and_count_are_zero(absent: bool) -> None:
    rows = torch.randn(4, 3, requires_grad=True)
    samples = torch.zeros(4) if absent else torch.arange(4.0)
    found = contrast(rows, same(samples), present=torch.zeros(4, dtype=torch.bool) if absent else None)
    assert (float(found.total.detach()), float(found.count)) == (0, 0)
    (slope,) = torch.autograd.grad(found.total, rows)
    assert not slope.any()


def test_an_empty_batch_has_no_loss() -> None:
    found = contrast(torch.zeros(0, 3), same(torch.zeros(0)))
    assert (float(found.total), float(found.count)) == (0, 0)


@settings(deadline=None, max_examples=20)
@given(st.permutations(range(8)), st.sampled_from([1, 3, 8]))
def test_the_order_of_rows_does_not_matter(order: list[int], tile: int) -> None:
    torch.manual_seed(1)
    rows, samples = torch.randn(8, 3), torch.tensor([0, 0, 0, 1, 1, 2, 2, 3])
    expected, found = (
        contrast(rows, same(samples)),
        contrast(rows[order], same(samples[torch.tensor(order)]), tile=tile),
    )
    torch.testing.assert_close(found.total, expected.total)
    assert float(found.count) == float(expected.count) == 7


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_fp32(dtype: torch.dtype) -> None:
    rows = functional.normalize(torch.randn(9, 4), dim=1).to(dtype)
    samples = torch.arange(9) % 3
    found = contrast(rows, same(samples), temperature=0.01)
    assert found.total.dtype == found.count.dtype == torch.float32
    expected = contrast(rows.double(), same(samples), temperature=0.01).total
    assert float(found.total) == pytest.approx(float(expected), rel=1e-5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert float(contrast(rows, same(samples), temperature=0.01).total) == float(found.total)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_gradients_of_half_precision_are_finite_at_the_lowest_temperature(dtype: torch.dtype) -> None:
    rows = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]).to(dtype).requires_grad_()
    found = contrast(rows, same(torch.tensor([0, 0, 1, 1])), temperature=0.005)
    assert float(found.total.detach()) == pytest.approx(4 * (200 + torch.tensor(2.0).log().item()), rel=1e-4)
    (slope,) = torch.autograd.grad(found.total, rows)
    assert slope.dtype == dtype and torch.isfinite(slope).all() and slope.any()


class _Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Remembers the size of the largest tensor that any operation returned."""

    size = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for part in result if isinstance(result, tuple | list) else [result]:
            if isinstance(part, Tensor):
                self.size = max(self.size, part.numel())
        return result


@pytest.mark.slow
def test_nothing_of_the_size_of_all_pairs_is_ever_held() -> None:
    count = 2000
    rows, days = torch.randn(count, 4, requires_grad=True), torch.arange(count)
    near = by_distance(days, lambda distance: torch.exp(-0.1 * distance) * (distance <= 5))
    far = by_distance(days, lambda distance: -1 / (1 + distance))
    with _Largest() as largest:  # type: ignore[no-untyped-call]
        contrast(rows, near, log_weights=far, present=days > 3, tile=128).total.backward()  # type: ignore[no-untyped-call]
    assert largest.size < count**2 / 20


def test_rows_are_all_first_views_and_then_all_second_ones() -> None:
    views = torch.arange(6).reshape(3, 2)
    assert as_rows(views.float()).tolist() == [0, 2, 4, 1, 3, 5]
    labels = same(torch.tensor([7, 8, 9])).of_views(2)
    assert labels.values.tolist() == [7, 8, 9, 7, 8, 9]
