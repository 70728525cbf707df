"""Fields as rows of the cells that have data, variable after variable, and back."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

Fields = Mapping[str, Float[Tensor, "*batch _ _"]]
Rows = Float[Tensor, "*batch cell"]


class ValidCells(nn.Module):
    """Knows the cells that have data; buffers hold them, so that they lie where the values do.

    Args:
        valid: Cells that have data, by variable, in the order of rows.
    """

    def __init__(self, valid: Mapping[str, Bool[np.ndarray, "_ _"]]) -> None:
        super().__init__()
        self._numbers = {name: number for number, name in enumerate(valid)}
        self._sizes = [int(cells.sum()) for cells in valid.values()]
        for number, cells in enumerate(valid.values()):
            self.register_buffer(f"valid_{number}", torch.from_numpy(cells.copy()), persistent=False)

    def rows(self, fields: Fields) -> Rows:
        """Returns the values in cells with data of all variables."""
        return torch.cat([fields[name][..., self._of(name)] for name in self._numbers], dim=-1)

    def fields(self, rows: Rows) -> dict[str, Float[Tensor, "*batch _ _"]]:
        """Returns the fields of rows; 0 where there are no data."""
        found = {}
        for name, values in zip(self._numbers, torch.split(rows, self._sizes, dim=-1), strict=True):
            valid = self._of(name)
            found[name] = rows.new_zeros(*rows.shape[:-1], *valid.shape)
            found[name][..., valid] = values
        return found

    def _of(self, name: str) -> Bool[Tensor, "_ _"]:
        return self.get_buffer(f"valid_{self._numbers[name]}")
