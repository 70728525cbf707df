"""The contrastive loss in tiles against the plain one."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from thalweg.nn.contrastive.info_nce import info_nce


def _plain(first: Tensor, second: Tensor) -> Tensor:
    logits = first.double() @ second.double().T
    right = torch.arange(len(logits))
    rows = functional.cross_entropy(logits, right, reduction="sum")
    columns = functional.cross_entropy(logits.T, right, reduction="sum")
    return (rows + columns) / 2


@pytest.mark.slow
@settings(deadline=None)
@given(
    count=st.integers(1, 40),
    dim=st.integers(1, 9),
    tile=st.integers(1, 50),
    scale=st.sampled_from([0.0, 0.5, 1.0, 14.3, 100.0]),
    seed=st.integers(0, 99),
)
def test_value_and_gradients_equal_the_plain_loss(
    count: int, dim: int, tile: int, scale: float, seed: int
) -> None:
    torch.manual_seed(seed)
    first = (scale * functional.normalize(torch.randn(count, dim), dim=1)).requires_grad_()
    second = functional.normalize(torch.randn(count, dim), dim=1).requires_grad_()
    loss, expected = info_nce(first, second, tile), _plain(first, second)
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-4)
    slopes = torch.autograd.grad(3 * loss, [first, second])
    for slope, right in zip(slopes, torch.autograd.grad(3 * expected, [first, second]), strict=True):
        # a logit of 100 is rounded to 4e-6, and each slope adds up to 40 of them
        torch.testing.assert_close(slope, right, rtol=1e-4, atol=4e-5 * (1 + scale))


def test_gradients_in_double_precision() -> None:
    first, second = torch.randn(7, 3).double().requires_grad_(), torch.randn(7, 3).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda one, other: info_nce(one, other, 3), [first, second])


def test_a_second_derivative_is_refused() -> None:
    first, second = torch.randn(3, 2, requires_grad=True), torch.randn(3, 2)
    (slope,) = torch.autograd.grad(info_nce(first, second) ** 2, first, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_extreme_logits_do_not_overflow(size: float) -> None:
    first = torch.tensor([[size, 0.0], [0.0, size]], requires_grad=True)
    second = torch.eye(2, requires_grad=True)
    loss = info_nce(first, second, 1)
    assert float(loss.detach()) == pytest.approx(0.0 if size > 0 else 2 * 1e4)
    loss.backward()  # type: ignore[no-untyped-call]
    assert first.grad is not None and torch.isfinite(first.grad).all()


def test_the_published_bounds_at_a_batch_of_32() -> None:
    """Seed 004 used (cos + 1) / 2 as logits: between ln 32 and, for perfect pairs, ln(e + 31) - 1 per sample."""
    alike = torch.ones(32, 4) / 2
    assert float(info_nce(alike, alike)) / 32 == pytest.approx(math.log(32))
    apart = torch.eye(32)  # (cos + 1) / 2 is 1 for a pair and 0 for opposite directions
    assert float(info_nce(apart, apart)) / 32 == pytest.approx(math.log(math.e + 31) - 1)


def test_half_precision_is_computed_in_fp32() -> None:
    first, second = torch.randn(9, 4).bfloat16(), torch.randn(9, 4).bfloat16()
    loss = info_nce(first, second)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(_plain(first, second)), rel=1e-5)


class _Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Remembers the size of the largest tensor that any operation returned."""

    size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        for part in result if isinstance(result, tuple | list) else [result]:
            if isinstance(part, Tensor):
                self.size = max(self.size, part.numel())
        return result


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "is_small"), [(info_nce, True), (_plain, False)])
def test_nothing_of_the_size_of_all_pairs_is_ever_held(loss, is_small: bool) -> None:  # type: ignore[no-untyped-def]
    count = 3000
    first = torch.randn(count, 4, requires_grad=True)
    second = torch.randn(count, 4, requires_grad=True)
    with _Largest() as largest:  # type: ignore[no-untyped-call]
        loss(first, second).backward()
    assert (largest.size < count**2 / 20) == is_small


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.sampled_from([2, 3, 100]))
def test_samples_that_do_not_count_neither_search_nor_are_found(counted: list[bool], tile: int) -> None:
    mask = torch.tensor(counted)
    first, second = (torch.randn(len(mask), 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    loss = info_nce(first, second, tile, mask)
    slopes = torch.autograd.grad(loss, [first, second])
    if not any(counted):
        assert float(loss.detach()) == 0
        assert not any(slope.any() for slope in slopes)
        return
    expected = _plain(first[mask], second[mask])
    torch.testing.assert_close(loss, expected)
    for slope, plain in zip(slopes, torch.autograd.grad(expected, [first, second]), strict=True):
        torch.testing.assert_close(slope, plain)


def test_where_all_samples_count_nothing_changes() -> None:
    first, second = torch.randn(2, 7, 4).unbind()
    assert torch.equal(
        info_nce(first, second, 3, torch.ones(7, dtype=torch.bool)), info_nce(first, second, 3)
    )
