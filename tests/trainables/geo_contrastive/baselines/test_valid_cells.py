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
    # The order is that of the cells, whatever that of the fields.
    rows = cells.rows(dict(reversed(fields.items())))
    values = [
        fields[name][..., first, second]
        for name, valid in VALID.items()
        for first, second in np.argwhere(valid).tolist()
    ]
    assert torch.equal(rows, torch.stack(values, dim=-1))
    for name, field in cells.fields(rows).items():
        valid = torch.from_numpy(VALID[name])
        assert torch.equal(field, fields[name].where(valid, 0))


def test_cells_are_no_part_of_a_state() -> None:
    assert not ValidCells(VALID).state_dict() and len(list(ValidCells(VALID).buffers())) == 2
