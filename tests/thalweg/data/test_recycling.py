"""Memory of batches that is used again, and never while someone holds it."""

import gc

import numpy as np
import pytest
import torch

from thalweg.data import placement
from thalweg.data.placement import empty, gather_here
from thalweg.data.windows import gather


def test_memory_that_nobody_holds_is_used_again() -> None:
    first = empty(3, 5, 7)
    place = first.data_ptr()
    del first
    gc.collect()
    assert empty(5, 21).data_ptr() == place


def test_memory_that_any_view_holds_is_not_used_again() -> None:
    whole = empty(3, 5, 11)
    whole.fill_(2)
    views = [whole[1:, None], whole.numpy()[2], whole.flatten(1).T]
    del whole
    gc.collect()
    others = [empty(3, 5, 11).fill_(7) for _ in range(3)]
    assert all((view == 2).all() for view in views)
    assert len({other.data_ptr() for other in others}) == 3


def test_no_more_is_kept_than_some_batches() -> None:
    held = [empty(2, 13 + number // 5) for number in range(80)]  # five of each of sixteen sizes
    del held
    gc.collect()
    assert 0 < len(placement._free) <= 8
    assert all(len(kept) <= 2 for kept in placement._free.values())


def test_the_end_of_a_trial_frees_what_is_kept() -> None:
    held = empty(3, 5, 17)
    kept = empty(2, 5, 17)
    del kept
    gc.collect()
    placement.free()
    assert not placement._free
    held.fill_(1)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.bool_, np.uint8])
def test_windows_are_gathered_into_memory_that_is_used_again(dtype: type[np.generic]) -> None:
    series = (np.random.default_rng(0).random((20, 3, 4, 2)) * 9).astype(dtype)
    first = gather_here(series, np.array([0, 4]), 5)
    place = first.data_ptr()
    assert torch.equal(first, torch.from_numpy(gather(series, np.array([0, 4]), 5)))
    del first
    gc.collect()
    second = gather_here(series, np.array([7, 15]), 5)
    assert second.data_ptr() == place
    assert torch.equal(second, torch.from_numpy(gather(series, np.array([7, 15]), 5)))
