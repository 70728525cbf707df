import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from thalweg.errors import ConfigError
from trainables.geo_contrastive.model.geometry import FieldGeometry, GridShape, position_code


def test_a_model_without_data_has_the_global_grid_of_the_reference() -> None:
    geometry = FieldGeometry.of(None, ("t2m", "q"))
    assert geometry.variables == ("t2m", "q")
    assert geometry.shared_grid() == GridShape((64, 32), True)


def test_variables_of_a_grid_keep_their_order() -> None:
    facts = {
        "variables": [
            {"name": name, "grid": grid} for name, grid in (("b", "two"), ("a", "one"), ("c", "two"))
        ],
        "grids": {name: {"shape": (4, 3), "wraps": False} for name in ("one", "two", "unused")},
    }
    geometry = FieldGeometry.of(facts, ())
    assert geometry.on("two") == ("b", "c")
    assert list(geometry.grids) == ["two", "one"]
    with pytest.raises(
        ConfigError, match=r"must share a grid .*, got b, c on two and a on one; choose another"
    ):
        geometry.shared_grid()


@given(first=st.integers(1, 200), second=st.integers(1, 200))
def test_a_pyramid_begins_with_few_cells_and_each_grid_has_half_of_the_next(first: int, second: int) -> None:
    pyramid = GridShape((first, second), True).pyramid(5)
    assert pyramid[-1].shape == (first, second)
    for coarse, fine in pairwise(pyramid):
        assert all(
            small == math.ceil(large / 2) for small, large in zip(coarse.shape, fine.shape, strict=True)
        )
    assert 2 <= len(pyramid) <= 6
    assert min(pyramid[0].shape) == 1 or len(pyramid) == 6


def test_the_reference_grid_begins_with_two_cells() -> None:
    assert [grid.shape for grid in GridShape((64, 32), True).pyramid(5)] == [
        (2, 1),
        (4, 2),
        (8, 4),
        (16, 8),
        (32, 16),
        (64, 32),
    ]


def test_a_layer_of_stride_2_keeps_two_cells() -> None:
    assert GridShape((5, 2), False).strides() == (2, 1)
    assert GridShape((5, 2), False).halved() == GridShape((3, 2), False)


@pytest.mark.parametrize("wraps", [True, False])
def test_the_code_tells_every_cell_from_every_other(wraps: bool) -> None:
    code = position_code(GridShape((16, 9), wraps), 16).flatten(1).T
    distances = torch.cdist(code, code) + torch.eye(len(code)) * 9
    assert distances.min() > 0.2


def test_the_code_is_continuous_where_the_longitudes_close_the_circle() -> None:
    code = position_code(GridShape((16, 8), True), 16)
    steps = (code - code.roll(1, dims=1)).square().sum((0, 2))
    torch.testing.assert_close(steps, steps[:1].expand(16), rtol=1e-4, atol=0)
