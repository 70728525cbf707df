"""Reconstructions with variables missing: neither their cells nor their encodings reach the latent.

The cells that remain are hidden as in every evaluation, seven tenths of them. All variables are reconstructed, the
missing ones too. A late fusion leaves the missing variables out; an early encoder, which knows no absence, sees zeros.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from thalweg.contract import Batch, Measure, Metric, Outputs, State
from thalweg.per_unit import PerUnit
from trainables.geo_contrastive.evaluation.reconstruction import FIELD, mean
from trainables.geo_contrastive.knobs import rrmse_without
from trainables.geo_contrastive.model.field_error import cell_shares
from trainables.geo_contrastive.model.field_model import FieldModel

TERMS = ("count", "error", "truth")
"""Columns of a table: days, and sums over days of means over cells."""

Missing = Sequence[Sequence[str]]
"""Sets of variables that are missing together."""


def output(missing: Sequence[str], name: str) -> str:
    """Returns the name among the outputs of a field that is reconstructed with some variables missing."""
    return f"{rrmse_without(missing)}/{name}"


def reconstructions(model: nn.Module, batch: Batch, sets: Missing) -> dict[str, Tensor]:
    """Reconstructs all fields once for each set of missing variables.

    Args:
        model: The model, or a baseline that reads views; nothing comes of one that reconstructs no fields.
        batch: ``view/V`` (batch, role, lon, lat) of every variable.
        sets: The sets.
    """
    found: dict[str, Tensor] = {}
    for missing in sets:
        rebuild = _by_model if isinstance(model, FieldModel) else _by_baseline
        for name, field in rebuild(model, batch, missing).items():
            if name.startswith(FIELD):
                found[output(missing, name.removeprefix(FIELD))] = field
    return found


def _by_model(model: nn.Module, batch: Batch, missing: Sequence[str]) -> dict[str, Tensor]:
    assert isinstance(model, FieldModel)
    names = model.geometry.variables
    views = {name: batch[f"view/{name}"][:, 0] for name in names}
    first = views[names[0]]
    here = torch.tensor([name not in missing for name in names], device=first.device)
    latents = model.encode(views, here.expand(len(first), -1))
    return {f"{FIELD}{name}": field for name, field in model.decode(latents).items()}


def _by_baseline(model: nn.Module, batch: Batch, missing: Sequence[str]) -> dict[str, Tensor]:
    hidden = {f"view/{name}": torch.zeros_like(batch[f"view/{name}"]) for name in missing}
    outputs: dict[str, Tensor] = model({**batch, **hidden})
    return outputs


class WithoutVariables(Measure):
    """Measure of fields that are reconstructed with variables missing.

    Args:
        variables: Names of the variables.
        sets: Sets of missing ones.
    """

    units = ("year", "season")

    def __init__(self, variables: Sequence[str], sets: Missing) -> None:
        self._variables = tuple(variables)
        self._sets = tuple(tuple(missing) for missing in sets)
        self.metrics = tuple(
            Metric(
                name=rrmse_without(missing),
                mode="min",
                unit="1",
                search_invariant=True,
                meaning=f"rrmse of all variables, reconstructed without any cell of {' and '.join(missing)}",
            )
            for missing in self._sets
        )

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Sums by year and season for each set and variable; nothing if the outputs hold no such fields."""
        fields = {output(missing, name): name for missing in self._sets for name in self._variables}
        if not all(key in outputs for key in fields):
            return {}
        units = torch.stack([batch["year"], batch["season"]], dim=1)
        return {key: PerUnit.of(units, _terms(outputs[key], batch, name)) for key, name in fields.items()}

    def summarize(self, state: State) -> dict[str, float]:
        """Computes the metrics of a split."""
        return {
            rrmse_without(missing): mean(
                _rrmse(state[output(missing, name)].total()) for name in self._variables
            )
            for missing in self._sets
        }


def _terms(found: Tensor, batch: Batch, name: str) -> Tensor:
    """Returns the `TERMS` (batch, term) of each day."""
    shares = cell_shares(batch, name).double()
    truth = batch[f"target/{name}"][:, 0].double()
    errors, sizes = ((values.square() * shares).sum((1, 2)) for values in (found.double() - truth, truth))
    return torch.stack([torch.ones_like(errors), errors, sizes], dim=1)


def _rrmse(total: Tensor) -> float:
    _, error, truth = total.tolist()
    return math.sqrt(error / truth) if truth > 0 else math.nan
