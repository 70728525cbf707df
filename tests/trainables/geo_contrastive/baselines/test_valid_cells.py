"""Rows of cells that have data: nothing else comes in, and each comes back to its place."""

import numpy as np
import pytest
import torch

from trainables.geo_contrastive.baselines.valid_cells import ValidCells

VALID = {"u": np.array([[True, False, True], [True, True, False]]), "z": np.array([[False, True]])}


@pytest.mark.parametrize("batch", [(4,), (2, 3)])
def test_fields_become_rows_of_cells_with_data_and_come_back(batch: tuple[int, ...]) -> None:
    cells = ValidCells(VALID)
    fields = {name: torch.rand(*batch, *valid.shape) for name, valid in VALID.items()}
    rows = cells.rows(
        dict(reversed(fields.items()))
    )  # the order is that of the cells, whatever that of the fields
    places = [(name, place) for name, valid in VALID.items() for place in np.argwhere(valid)]
    assert rows.shape == (*batch, len(places))
    for number, (name, (first, second)) in enumerate(places):
        assert torch.equal(rows[..., number], fields[name][..., int(first), int(second)])
    for name, field in cells.fields(rows).items():
        valid = torch.from_numpy(VALID[name])
        assert torch.equal(field, fields[name].where(valid, 0))


def test_cells_are_no_part_of_a_state() -> None:
    assert not ValidCells(VALID).state_dict() and len(list(ValidCells(VALID).buffers())) == 2
