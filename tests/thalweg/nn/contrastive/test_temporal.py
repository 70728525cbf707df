"""NT-Xent of views at other times against loops over anchors, positives and negatives."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from thalweg.nn.contrastive.nt_xent import nt_xent
from thalweg.nn.contrastive.temporal import temporal_nt_xent

Slow = Callable[..., tuple[Tensor, float]]


@settings(deadline=None, max_examples=25)
@given(
    samples=st.integers(1, 4), negatives=st.integers(0, 2), weighted=st.booleans(), seed=st.integers(0, 99)
)
def test_value_and_gradient_equal_the_loops(
    slow_contrast: Slow, samples: int, negatives: int, weighted: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    num_views = 3 + negatives
    views = torch.randn(samples, num_views, 3, requires_grad=True)
    times = torch.randint(0, 30, (samples, num_views))
    present = torch.rand(samples, num_views) < 0.8
    found = temporal_nt_xent(
        views,
        times,
        num_positives=3,
        temperature=0.4,
        decay=0.1,
        weigh_negatives=weighted,
        present=present,
        tile=4,
    )
    days = times.T.flatten().tolist()

    def positive(i: int, j: int) -> float:
        is_pair = i % samples == j % samples and max(i, j) < 3 * samples
        return math.exp(-0.1 * abs(days[i] - days[j])) if is_pair else 0.0

    total, weight = slow_contrast(
        views.transpose(0, 1).flatten(0, 1),
        positive,
        temperature=0.4,
        negative_weight=lambda i, k: 1 - math.exp(-0.1 * abs(days[i] - days[k])) if weighted else 1.0,
        present=present.T.flatten().tolist(),
        anchors=range(3 * samples),
        over="pairs",
    )
    assert float(found.count) == pytest.approx(weight, rel=1e-5)
    assert float(found.total.detach()) == pytest.approx(float(total.detach()), rel=1e-4, abs=1e-5)
    if weight:
        ours, theirs = (torch.autograd.grad(loss, views)[0] for loss in (found.total, total))
        torch.testing.assert_close(ours, theirs.float(), rtol=1e-3, atol=1e-4)


def test_without_decay_and_negatives_it_is_nt_xent_over_pairs() -> None:
    views = functional.normalize(torch.randn(6, 2, 4), dim=2)
    ours = temporal_nt_xent(views, torch.arange(12).view(6, 2), num_positives=2, temperature=0.3)
    theirs = nt_xent(views, temperature=0.3)
    torch.testing.assert_close(ours.total / ours.count, theirs.total / theirs.count)


def test_a_positive_far_away_counts_less_than_a_near_one_and_is_never_a_negative() -> None:
    near, far = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    views = torch.stack([near, near, far])[None]
    times = torch.tensor([[0, 1, 3_000]])
    found = temporal_nt_xent(views, times, num_positives=3, decay=2.0)
    assert float(found.count) == pytest.approx(2 * math.exp(-2), rel=1e-6)
    assert float(found.total / found.count) == pytest.approx(math.log(1 + math.exp(-1)), rel=1e-6)


@pytest.mark.parametrize("weighed", [False, True])
def test_a_negative_of_the_same_day_counts_only_if_negatives_are_not_weighed(weighed: bool) -> None:
    torch.manual_seed(0)
    views = torch.randn(1, 3, 4)
    moved = views + torch.tensor([0.0, 0.0, 1.0])[:, None]
    losses = [
        temporal_nt_xent(
            each, torch.tensor([[5, 5, 5]]), num_positives=2, decay=5.0, weigh_negatives=weighed
        ).total
        for each in (views, moved)
    ]
    assert torch.equal(*losses) == weighed
