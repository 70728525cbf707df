"""The first value that is not finite is named with its batch, key and index."""

import math

import pytest
import torch

from thalweg.data.finite import NonFinite, first_non_finite


def batches() -> list[dict[str, torch.Tensor]]:
    return [
        {"images": torch.ones(2, 3, 4), "day": torch.arange(6).reshape(2, 3), "masks": torch.ones(2) > 0}
        for _ in range(3)
    ]


def test_finite_batches_have_none() -> None:
    assert first_non_finite(batches()) is None
    assert first_non_finite([]) is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_batch_key_and_index_are_named(value: float) -> None:
    found = batches()
    found[1]["images"][1, 0, 3] = value
    found[1]["images"][1, 2, 0] = math.nan
    found[2]["images"][0, 0, 0] = math.nan
    first = first_non_finite(found)
    assert first is not None
    assert (first.batch, first.key, first.index, first.count) == (1, "images", (1, 0, 3), 2)
    assert str(first.value) == str(value)
    assert str(first) == f"images[1, 0, 3] of batch 1 is {value}, and 1 more"


def test_a_single_value_is_not_said_to_have_company() -> None:
    assert str(NonFinite(0, "x", (3,), math.nan, 1)) == "x[3] of batch 0 is nan"
