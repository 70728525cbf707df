"""Structural similarity against loops over cells and their windows."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.geo_contrastive.evaluation.similarity import structural_similarity


def slow(found: Tensor, truth: Tensor, valid: Tensor, data_range: float, wraps: bool) -> np.ndarray:
    """Equation 13 of doi:10.1109/TIP.2003.819861 with weights from all valid cells of the window."""
    num_first, num_second = found.shape
    similarity = np.zeros((num_first, num_second))
    for i, j in np.ndindex(num_first, num_second):
        seen = []
        for di in range(-5, 6):
            for dj in range(-5, 6):
                first, second = i + di, j + dj
                if wraps:
                    first %= num_first
                if 0 <= first < num_first and 0 <= second < num_second and valid[first, second]:
                    share = math.exp(-(di**2 + dj**2) / (2 * 1.5**2))
                    seen.append((share, float(found[first, second]), float(truth[first, second])))
        whole = math.fsum(share for share, *_ in seen)
        x, y = (math.fsum(each[0] * each[k] for each in seen) / whole for k in (1, 2))
        xx, yy = (
            math.fsum(each[0] * each[k] ** 2 for each in seen) / whole - m**2 for k, m in ((1, x), (2, y))
        )
        xy = math.fsum(share * a * b for share, a, b in seen) / whole - x * y
        one, two = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
        similarity[i, j] = (2 * x * y + one) * (2 * xy + two) / ((x**2 + y**2 + one) * (xx + yy + two))
    return similarity


@pytest.mark.parametrize("wraps", [True, False])
@pytest.mark.parametrize("sea", [0.0, 0.3])
def test_it_equals_the_loops(wraps: bool, sea: float) -> None:
    torch.manual_seed(0)
    found, truth = torch.randn(2, 1, 9, 6).unbind()
    valid = torch.rand(1, 9, 6) >= sea
    ours = structural_similarity(found, truth, valid, torch.tensor([4.0]), wraps=wraps)
    expected = slow(found[0], truth[0], valid[0], 4.0, wraps)
    np.testing.assert_allclose(ours[0].numpy()[valid[0]], expected[valid[0]], rtol=1e-9)


def test_equal_fields_are_alike_and_a_wrap_sees_the_other_side() -> None:
    torch.manual_seed(0)
    truth = torch.randn(1, 12, 5)
    valid, span = torch.ones(1, 12, 5, dtype=torch.bool), torch.tensor([3.0])
    same = structural_similarity(truth, truth, valid, span, wraps=True)
    torch.testing.assert_close(same, torch.ones_like(same))
    other = truth.clone()
    other[0, -1] += 1.0
    by_wrap = {
        wraps: structural_similarity(other, truth, valid, span, wraps=wraps)[0, 0] for wraps in (True, False)
    }
    assert float(by_wrap[True].min()) < 1
    torch.testing.assert_close(by_wrap[False], torch.ones_like(by_wrap[False]))
