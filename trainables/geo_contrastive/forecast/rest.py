"""The rest: what a decoder cannot show of a field. It is weather too, and lasts from day to day.

A latent is narrower than the fields, and a decoded forecast lacks what it cannot hold even where persistence has it.
That of the climatology may be added to the forecasts, and that of the anomaly of the day of issue damped by ``memory **
lead``: a first-order autoregression whose memory is the regression of the rest of a training day on that of the day
before, over all cells of a variable by area.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from thalweg.contract import Batch, Indices
from thalweg.nn.data_statistics import Statistics
from trainables.geo_contrastive.data import sampling
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.data.pairs import index_of
from trainables.geo_contrastive.downstream.latents import LATENT
from trainables.geo_contrastive.downstream.model import HeadedModel
from trainables.geo_contrastive.forecast.stepping import SteppingLatents
from trainables.geo_contrastive.forecast.windows import window
from trainables.geo_contrastive.model.field_error import cell_shares

MEMORY = "memory"
"""Name of the module among the children of a head."""

Fields = Mapping[str, Float[Tensor, "batch _ _"]]


class Memory(Statistics):
    """How much of the rest of each variable lasts until the next day, as a buffer that `fit` sets; 0 before.

    Args:
        num_variables: Number of variables.
    """

    def __init__(self, num_variables: int) -> None:
        super().__init__()
        self.register_buffer("daily", torch.zeros(num_variables))
        self.daily: Tensor

    def fit(self, product: Float[Tensor, "day variable"], power: Float[Tensor, "day variable"]) -> None:
        """Takes the regression of the rest on that of the day before, between 0 and 1.

        Args:
            product: Products of the rests of both days, means over cells.
            power: Squares of the first.
        """
        squares = power.double().sum(0)
        daily = product.double().sum(0) / squares.clamp(min=torch.finfo(squares.dtype).tiny)
        self.daily.copy_(daily.clamp(0, 1))

    def forward(self, leads: Sequence[int]) -> Float[Tensor, "variable lead"]:
        """Returns the share of the rest that is left after so many days."""
        return self.daily[:, None] ** torch.tensor(leads, device=self.daily.device)


class LatentsAndMemory(SteppingLatents):
    """Encodes the training days, and fits how long their rest lasts."""

    def batch(self, data: FieldData, indices: Indices) -> Batch:
        """Adds the day after each day."""
        found = window(index_of(data, "train"), indices, context=1, stride=1, ahead=np.array([1]))
        after = data.days["train"].start + found.ahead[:, 0]
        batch = super().batch(data, indices) | sampling.cells(data, len(indices))
        batch["has_next"] = torch.from_numpy(found.exists[:, 0])
        return batch | {f"next/{name}": torch.from_numpy(data.fields[name][after]) for name in data.variables}

    def compute(self, model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Adds products of the rests of both days, and squares of the first, means over cells (batch, variable)."""
        assert isinstance(model, HeadedModel)
        names = model.geometry.variables
        found = dict(super().compute(model, batch))
        today = rest_of(model, batch, found[LATENT])
        following = {name: batch[f"next/{name}"] for name in names}
        after = rest_of(model, following, model.encode(following))
        exists = batch["has_next"][:, None]

        def mean_over_cells(first: Fields, second: Fields) -> Tensor:
            products = [(first[name] * second[name] * cell_shares(batch, name)).sum((1, 2)) for name in names]
            return torch.stack(products, dim=1) * exists

        return found | {"product": mean_over_cells(today, after), "power": mean_over_cells(today, today)}

    def keep(self, model: nn.Module, rows: Mapping[str, Tensor]) -> None:
        """Sets the memory, unless the trial goes on."""
        assert isinstance(model, HeadedModel)
        if not model.standardization.fitted:
            _memory_of(model).fit(rows["product"], rows["power"])
        super().keep(model, rows)


def rest_of(model: HeadedModel, fields: Fields, latents: Float[Tensor, "batch dim"]) -> dict[str, Tensor]:
    """Returns what the decoder cannot show of fields, from their latents as the encoder gives them."""
    return {name: fields[name].float() - shown for name, shown in model.decode(latents).items()}


def damping(model: HeadedModel, leads: Sequence[int]) -> Float[Tensor, "variable lead"]:
    """Returns the share of the rest that is left after so many days."""
    left: Tensor = _memory_of(model)(leads)
    return left


def _memory_of(model: HeadedModel) -> Memory:
    memory = model.head.get_submodule(MEMORY)
    assert isinstance(memory, Memory)
    return memory
