"""The supervised contrastive loss against loops over Eq. 2 of arXiv:2004.11362."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from thalweg.nn.contrastive.supcon import supcon

Slow = Callable[..., tuple[Tensor, float]]


@settings(deadline=None, max_examples=40)
@given(
    samples=st.integers(1, 6),
    views=st.integers(1, 3),
    tile=st.integers(1, 7),
    one=st.booleans(),
    ignored=st.sampled_from([None, 2, 255]),
    masked=st.booleans(),
    apart=st.booleans(),
    seed=st.integers(0, 999),
)
def test_value_count_and_gradient_equal_the_loops(
    slow_contrast: Slow,
    samples: int,
    views: int,
    tile: int,
    one: bool,
    ignored: int | None,
    masked: bool,
    apart: bool,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    embeddings = functional.normalize(torch.randn(samples, views, 4), dim=2).requires_grad_()
    labels = torch.randint(0, 3, (samples, views) if apart else (samples,))
    labels[torch.rand(labels.shape) < 0.2] = 255
    present = torch.rand(samples, views) < 0.8 if masked else None
    found = supcon(
        embeddings,
        labels,
        temperature=0.07,
        ignored=ignored,
        anchor_views=1 if one else None,
        present=present,
        tile=tile,
    )
    classes = labels.T.flatten().tolist() if apart else labels.tolist() * views
    there = [True] * len(classes) if present is None else present.T.flatten().tolist()
    total, count = slow_contrast(
        embeddings.transpose(0, 1).flatten(0, 1),
        lambda i, j: float(classes[i] == classes[j]),
        temperature=0.07,
        present=[here and name != ignored for here, name in zip(there, classes, strict=True)],
        anchors=range(samples if one else samples * views),
    )
    assert float(found.count) == count
    torch.testing.assert_close(found.total.double(), total, rtol=1e-4, atol=1e-4)
    if count:
        (slope,), (right,) = (torch.autograd.grad(value, embeddings) for value in (found.total, total))
        torch.testing.assert_close(slope, right, rtol=1e-3, atol=1e-3)


def test_gradients_in_double_precision() -> None:
    views = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 1, 0, 2])
    assert torch.autograd.gradcheck(
        lambda each: supcon(each, labels, temperature=0.5, ignored=2, tile=3).total, [views]
    )


def test_all_of_one_class_is_not_zero() -> None:
    """A library gives 0.0 here; the formula gives a mean over positives that are all that is searched."""
    views = torch.ones(1, 42, 2) / math.sqrt(2)
    found = supcon(views, torch.zeros(1, dtype=torch.int64))
    assert float(found.total / found.count) == pytest.approx(math.log(41), rel=1e-5)


def test_the_only_one_of_its_class_does_not_count_but_is_a_negative() -> None:
    views, labels = torch.randn(3, 1, 4), torch.tensor([0, 0, 1])
    found, alone = supcon(views, labels), supcon(views[:2], labels[:2])
    assert float(found.count) == float(alone.count) == 2
    assert float(found.total) > float(alone.total)


def test_ignored_samples_change_nothing() -> None:
    views, labels = torch.randn(5, 2, 4, requires_grad=True), torch.tensor([0, 255, 1, 255, 0])
    kept = labels != 255
    found = supcon(views, labels, ignored=255)
    torch.testing.assert_close(found.total, supcon(views[kept], labels[kept]).total)
    (slope,) = torch.autograd.grad(found.total, views)
    assert not slope[~kept].any()


@pytest.mark.parametrize("labels", [[255, 255, 255], [0, 1, 2]])
def test_a_batch_without_pairs_has_loss_and_count_zero(labels: list[int]) -> None:
    views = torch.randn(3, 1, 4, requires_grad=True)
    found = supcon(views, torch.tensor(labels), ignored=255)
    assert (float(found.total.detach()), float(found.count)) == (0, 0)
    (slope,) = torch.autograd.grad(found.total, views)
    assert not slope.any()


def test_the_order_of_samples_and_of_views_does_not_matter() -> None:
    views, labels = torch.randn(6, 3, 4), torch.tensor([0, 1, 0, 2, 1, 0])
    order = torch.randperm(6)
    expected = supcon(views, labels, temperature=0.3)
    for found in (
        supcon(views[order], labels[order], temperature=0.3),
        supcon(views.flip(1), labels, temperature=0.3),
    ):
        torch.testing.assert_close(found.total, expected.total)
        assert float(found.count) == float(expected.count)


def test_one_view_searches_among_the_views_of_all() -> None:
    views, labels = torch.randn(4, 2, 3), torch.tensor([0, 1, 0, 1])
    one, both = supcon(views, labels, anchor_views=1), supcon(views, labels)
    other = supcon(views.flip(1), labels, anchor_views=1)
    assert (float(one.count), float(both.count)) == (4, 8)
    torch.testing.assert_close(one.total + other.total, both.total)
