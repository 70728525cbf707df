"""The slow twin of all losses over pairs: loops over anchors, candidates and positives, in fp64."""

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

Slow = Callable[..., tuple[Tensor, float]]


def _slow_contrast(
    rows: Tensor,
    weight: Callable[[int, int], float],
    *,
    temperature: float = 1.0,
    negative_weight: Callable[[int, int], float] = lambda i, k: 1.0,
    present: Sequence[bool] | None = None,
    anchors: Sequence[int] | None = None,
    over: str = "anchors",
) -> tuple[Tensor, float]:
    rows = rows.double()
    there = [i for i in range(len(rows)) if present is None or present[i]]
    total, count = torch.zeros((), dtype=torch.float64), 0.0
    for i in there if anchors is None else anchors:
        if i not in there:
            continue
        others = [k for k in there if k != i]
        positives = [k for k in others if weight(i, k) > 0]
        if not positives:
            continue
        terms = []
        for k in others:
            size = 1.0 if weight(i, k) > 0 else negative_weight(i, k)
            terms.append(size * torch.exp(rows[i] @ rows[k] / temperature))
        denominator = torch.stack(terms).sum()
        mass = math.fsum(weight(i, j) for j in positives)
        for j in positives:
            share = torch.exp(rows[i] @ rows[j] / temperature) / denominator
            total = total - weight(i, j) * torch.log(share) / (mass if over == "anchors" else 1)
        count += 1 if over == "anchors" else mass
    return total, count


@pytest.fixture(scope="session")
def slow_contrast() -> Slow:
    """Sums ``-log(exp(l_ij) / sum_k w_ik exp(l_ik))`` by loops; returns the sum and what it is a sum of."""
    return _slow_contrast
