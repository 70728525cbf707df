"""Whole gangs on the nodes of a cluster."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.lanes.resources import Gang, lanes_that_fit


def test_a_gang_is_placed_whole_or_not_at_all() -> None:
    assert lanes_that_fit(Gang(3, 1, 0), [{"CPU": 2.0}]) == 0
    assert lanes_that_fit(Gang(3, 1, 0), [{"CPU": 2.0}, {"CPU": 2.0}]) == 1


def test_workers_do_not_straddle_nodes() -> None:
    assert lanes_that_fit(Gang(1, 3, 0), [{"CPU": 2.0}, {"CPU": 2.0}]) == 0


def test_every_resource_counts() -> None:
    node = {"CPU": 16.0, "GPU": 2.0}
    assert lanes_that_fit(Gang(1, 1, 1), [node]) == 2
    assert lanes_that_fit(Gang(1, 1, 1), [{"CPU": 16.0}]) == 0


def test_fractions_add_up() -> None:
    assert lanes_that_fit(Gang(1, 0.1, 0), [{"CPU": 1.0}]) == 10


@given(st.integers(1, 4), st.integers(1, 4), st.lists(st.integers(0, 8), min_size=1, max_size=5))
def test_equal_bundles_fill_the_nodes_exactly(workers: int, cpus: int, nodes: list[int]) -> None:
    slots = sum(node // cpus for node in nodes)
    assert (
        lanes_that_fit(Gang(workers, cpus, 0), [{"CPU": float(node)} for node in nodes]) == slots // workers
    )


@pytest.mark.parametrize(
    ("gang", "text"), [(Gang(2, 1, 0), "2 x 1 CPU"), (Gang(1, 4, 0.5), "1 x 4 CPU and 0.5 GPU")]
)
def test_a_gang_says_what_it_needs(gang: Gang, text: str) -> None:
    assert str(gang) == text
