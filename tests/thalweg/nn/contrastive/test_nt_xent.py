"""NT-Xent against loops, and against cross-entropy over a table of all pairs."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from thalweg.nn.contrastive.nt_xent import nt_xent
from thalweg.nn.contrastive.pairs import by_distance
from thalweg.nn.contrastive.supcon import supcon

Slow = Callable[..., tuple[Tensor, float]]


def simclr(views: Tensor, temperature: float) -> Tensor:
    """Follows Algorithm 1 of arXiv:2002.05709 by a table: rows 2k and 2k + 1 are a pair."""
    rows = views.double().flatten(0, 1)
    logits = rows @ rows.T / temperature
    logits.fill_diagonal_(-torch.inf)
    return functional.cross_entropy(logits, torch.arange(len(rows)) ^ 1, reduction="sum")


@settings(deadline=None, max_examples=30)
@given(samples=st.integers(1, 8), tile=st.integers(1, 20), seed=st.integers(0, 99))
def test_two_views_give_the_loss_of_simclr(samples: int, tile: int, seed: int) -> None:
    torch.manual_seed(seed)
    views = functional.normalize(torch.randn(samples, 2, 5), dim=2)
    found = nt_xent(views, temperature=0.2, tile=tile)
    assert float(found.total) == pytest.approx(float(simclr(views, 0.2)), rel=1e-5, abs=1e-6)
    assert float(found.count) == 2 * samples


@settings(deadline=None, max_examples=20)
@given(samples=st.integers(1, 4), views=st.integers(1, 3), seed=st.integers(0, 99))
def test_absent_views_and_soft_negatives_follow_the_loops(
    slow_contrast: Slow, samples: int, views: int, seed: int
) -> None:
    torch.manual_seed(seed)
    embeddings = torch.randn(samples, views, 3)
    present = torch.rand(samples, views) < 0.7
    days = torch.randint(0, 40, (samples,))
    soft = by_distance(days, lambda gap: (gap / (gap + 10)).log())
    found = nt_xent(embeddings, temperature=0.3, log_weights=soft, present=present, tile=2)
    sample = [number % samples for number in range(samples * views)]
    total, count = slow_contrast(
        embeddings.transpose(0, 1).flatten(0, 1),
        lambda i, j: float(sample[i] == sample[j]),
        temperature=0.3,
        negative_weight=lambda i, k: (gap := abs(int(days[sample[i]]) - int(days[sample[k]]))) / (gap + 10),
        present=present.T.flatten().tolist(),
    )
    assert float(found.count) == count
    assert float(found.total) == pytest.approx(float(total), rel=1e-5, abs=1e-5)


def test_weights_of_one_are_no_weights() -> None:
    views = torch.randn(5, 2, 3)
    alike = by_distance(torch.arange(5), lambda gap: torch.zeros_like(gap))
    torch.testing.assert_close(nt_xent(views, log_weights=alike).total, nt_xent(views).total)


def test_it_is_supcon_with_a_class_for_each_sample() -> None:
    views = torch.randn(4, 3, 5)
    ours, theirs = nt_xent(views, temperature=0.4), supcon(views, torch.arange(4), temperature=0.4)
    assert float(ours.total) == float(theirs.total)


def test_one_sample_of_two_views_is_found_for_certain() -> None:
    found = nt_xent(torch.randn(1, 2, 3))
    assert float(found.total) == pytest.approx(0, abs=1e-6)
    assert float(found.count) == 2


def test_one_view_has_nothing_to_find() -> None:
    found = nt_xent(torch.randn(3, 1, 2))
    assert (float(found.total), float(found.count)) == (0, 0)
