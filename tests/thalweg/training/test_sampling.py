"""The order of samples, and how a batch is cut."""

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.errors import ConfigError, DataError
from thalweg.training.sampling import Layout, SampleStream


@given(st.integers(1, 40), st.integers(0, 100), st.lists(st.integers(1, 17), min_size=1, max_size=8))
def test_the_stream_is_the_same_however_it_is_cut(num_samples: int, seed: int, cuts: list[int]) -> None:
    whole_indices, whole_keys = SampleStream(num_samples, seed).take(0, sum(cuts))
    stream, start = SampleStream(num_samples, seed), 0
    for cut in cuts:
        indices, keys = stream.take(start, cut)
        assert np.array_equal(indices, whole_indices[start : start + cut])
        assert np.array_equal(keys, whole_keys[start : start + cut])
        start += cut


@given(st.integers(1, 40), st.integers(0, 3))
def test_every_pass_holds_every_sample_once(num_samples: int, number: int) -> None:
    indices, _ = SampleStream(num_samples, 5).take(number * num_samples, num_samples)
    assert sorted(indices.tolist()) == list(range(num_samples))


def test_passes_are_shuffled_differently() -> None:
    stream = SampleStream(50, 0)
    assert stream.take(0, 50)[0].tolist() != stream.take(50, 50)[0].tolist()


def test_the_seed_changes_order_and_keys() -> None:
    one, other = SampleStream(50, 0).take(0, 50), SampleStream(50, 1).take(0, 50)
    assert one[0].tolist() != other[0].tolist()
    assert not set(one[1].tolist()) & set(other[1].tolist())


def test_keys_do_not_repeat_within_many_passes() -> None:
    _, keys = SampleStream(10, 0).take(0, 20_000)
    assert len(set(keys.tolist())) == 20_000


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(DataError, match="at least 1 sample"):
        SampleStream(0, 0)


@given(st.integers(1, 300), st.one_of(st.none(), st.integers(2, 64)), st.integers(1, 8))
def test_micro_batches_of_all_workers_tile_the_batch(
    batch_size: int, most: int | None, world_size: int
) -> None:
    hypothesis.assume(batch_size >= world_size)
    layout = Layout.of(batch_size, most, world_size)
    shares = [layout.positions(1000, rank) for rank in range(world_size)]
    pieces = [piece for share in shares for piece in share]
    assert [position for piece in pieces for position in piece] == list(range(1000, 1000 + batch_size))
    assert {len(share) for share in shares} == {layout.accumulation}
    held = [sum(map(len, share)) for share in shares]
    assert held == [layout.share(rank) for rank in range(world_size)]
    assert max(held) - min(held) <= 1
    sizes = {len(piece) for piece in pieces}
    assert max(sizes) == layout.micro_batch_size <= (most or batch_size)
    assert min(sizes) >= max(layout.micro_batch_size - 1, 1)
    assert layout.is_uneven == (len(sizes) > 1)


@given(st.integers(1, 16), st.integers(1, 16), st.integers(1, 8))
def test_a_micro_batch_that_divides_a_share_is_taken_as_it_is(
    micro: int, accumulation: int, world_size: int
) -> None:
    batch_size = micro * accumulation * world_size
    layout = Layout.of(batch_size, micro, world_size)
    assert layout == Layout(batch_size, micro, accumulation, world_size)
    found = [piece for rank in range(world_size) for piece in layout.positions(0, rank)]
    assert found == [range(start, start + micro) for start in range(0, batch_size, micro)]


def test_the_fewest_fitting_micro_batches_are_taken() -> None:
    assert Layout.of(24, 7, 2) == Layout(24, 6, 2, 2)


@pytest.mark.parametrize(
    ("workers", "sizes"),
    [(1, [[32, 32, 32, 31]]), (2, [[32, 32], [32, 31]]), (3, [[22, 21], [21] * 2, [21] * 2])],
)
def test_an_odd_batch_is_cut_into_nearly_equal_micro_batches(workers: int, sizes: list[list[int]]) -> None:
    layout = Layout.of(127, 32, workers)
    assert [[len(piece) for piece in layout.positions(0, rank)] for rank in range(workers)] == sizes


def test_a_batch_that_cannot_be_shared_is_refused_with_a_way_out() -> None:
    with pytest.raises(
        ConfigError, match=r"at least the lane's number of workers, 4, got 3; try 4, or fewer"
    ):
        Layout.of(3, None, 4)
    with pytest.raises(
        ConfigError,
        match=r"multiple of the lane's 2 workers where micro_batch_size is 1, got 7; try 6 or 8, or",
    ):
        Layout.of(7, 1, 2)


@pytest.mark.parametrize(("count", "batch"), [(10, 3), (10, 10), (7, 4), (12, 4)])
def test_whole_batches_hold_no_sample_twice_and_passes_are_shuffled_anew(count: int, batch: int) -> None:
    stream = SampleStream(count, 5, whole_batches_of=batch)
    batches = [stream.take(start, batch)[0].tolist() for start in range(0, 40 * batch, batch)]
    assert all(len(set(found)) == batch for found in batches)
    assert {index for found in batches for index in found} == set(range(count))


def test_a_batch_larger_than_the_split_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"none twice, got optimization.batch_size 11 and 10"):
        SampleStream(10, 0, whole_batches_of=11)


@pytest.mark.parametrize(
    ("batch", "max_size", "workers", "sizes"),
    [
        (16, None, 1, [16, 8, 4, 2, 1, None]),
        (7, None, 2, [4, 2, None]),  # one sample at a time would leave a worker without
        (24, 5, 2, [4, 2, 1, None]),
    ],
)
def test_micro_batches_are_halved_down_to_one_sample_of_each_worker(
    batch: int, max_size: int | None, workers: int, sizes: list[int | None]
) -> None:
    whole = Layout.of(batch, max_size, workers)
    halves = [whole.halved(times) for times in range(len(sizes))]
    assert [half and half.micro_batch_size for half in halves] == sizes
    assert {half.batch_size for half in halves if half} == {batch}
