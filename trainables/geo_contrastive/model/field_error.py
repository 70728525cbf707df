"""Squared errors of fields by the area of cells, over cells that have data."""

from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.contract import Batch


def cell_shares(batch: Batch, variable: str) -> Float[Tensor, "batch lon lat"]:
    """Returns the share of each cell in the area of all cells that have data; 0 for the others."""
    areas = batch[f"weight/{variable}"].float() * batch[f"valid/{variable}"]
    return areas / areas.sum((-2, -1), keepdim=True)


def field_errors(
    found: Mapping[str, Float[Tensor, "batch role _ _"]], batch: Batch, variables: Iterable[str]
) -> Float[Tensor, "batch role"]:
    """Returns the mean squared error of each field, averaged over variables, in variances of the training split.

    Args:
        found: Reconstructions of the first roles, by variable.
        batch: ``target/VARIABLE`` (batch, target, lon, lat) with at least these roles, ``weight`` and ``valid``.
        variables: Names of the variables.
    """
    errors = []
    for name in variables:
        squares = (found[name].float() - batch[f"target/{name}"][:, : found[name].shape[1]]).square()
        errors.append((squares * cell_shares(batch, name)[:, None]).sum((-2, -1)))
    return torch.stack(errors).mean(0)
