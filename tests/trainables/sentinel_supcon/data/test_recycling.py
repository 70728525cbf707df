"""Memory of batches that is used again, and never while someone holds it."""

import gc

from trainables.sentinel_supcon.data import loading
from trainables.sentinel_supcon.data.loading import empty


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
    held = [empty(2, 13 + number // 5) for number in range(40)]  # five of each of eight sizes
    del held
    gc.collect()
    assert 0 < len(loading._free) <= 4
    assert all(len(kept) <= 2 for kept in loading._free.values())
