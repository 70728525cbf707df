"""What all tasks of the family share: data, batches, protocol, facts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from thalweg.contract import Batch, Indices, Keys, SplitName, Task
from thalweg.errors import ConfigError
from thalweg.hashing import digest
from trainables.geo_contrastive.config import GeoContrastive
from trainables.geo_contrastive.data import sampling
from trainables.geo_contrastive.data.fields import FieldData, open_fields
from trainables.geo_contrastive.data.pairs import NUM_POSITIVES
from trainables.geo_contrastive.evaluation.protocol import protocol
from trainables.geo_contrastive.knobs import PairKnobs


class FieldTask(Task[GeoContrastive, FieldData]):
    """Opens fields and draws batches of days."""

    config_type = GeoContrastive

    def data_key(self) -> str:
        """Returns the data set and its variables."""
        return f"{self.config.dataset}-{digest(self.config.data.model_dump())}"

    def open(self, root: Path) -> FieldData:
        """Opens the data set.

        Raises:
            ConfigError: No two training days are as far apart as soft negatives have to be.
            DataError: The data are broken; `open_fields` says how.
        """
        data = open_fields(root, self.config.dataset, self.config.data)
        pairs = None if "pairs" in self.config.idle() else self.pairs()
        days = data.day[data.days["train"].start : data.days["train"].stop]
        span = int(days[-1] - days[0])
        if pairs is not None and pairs.soft_negatives and pairs.soft_gap > span:
            raise ConfigError(
                f"pairs.soft_gap must be at most the {span:,} days that the training split of {self.config.dataset} "
                f"spans, got {pairs.soft_gap:,}; lower it, or switch soft_negatives off"
            )
        return data

    def training_batch(self, data: FieldData, indices: Indices, keys: Keys) -> Batch:
        """Draws days with their views, and what is to be reconstructed."""
        joint = self.config.objective.is_contrastive and self.config.stages.decoder_mode != "frozen"
        return sampling.training_batch(
            data,
            self.config.views,
            self.pairs(),
            indices,
            keys,
            num_targets=NUM_POSITIVES if joint else 1,
        )

    def pairs(self) -> PairKnobs | None:
        """Returns which days go together: none without a contrastive loss, negatives for NT-Xent alone."""
        objective, pairs = self.config.objective, self.config.pairs
        if not objective.is_contrastive:
            return None
        if "simclr" in objective.terms:
            return pairs
        return pairs.model_copy(update={"hard_negatives": False, "soft_negatives": False})

    def evaluation_batch(self, data: FieldData, split: SplitName, indices: Indices) -> Batch:
        """Draws days at the fixed protocol, with the data range of each variable and whether its grid wraps."""
        batch = sampling.evaluation_batch(data, split, indices)
        count = len(indices)
        for name, variable in data.variables.items():
            batch[f"range/{name}"] = torch.full((count,), variable.range, dtype=torch.float64)
            batch[f"wraps/{name}"] = torch.full((count,), data.grids[variable.grid].wraps)
        return batch

    def facts(self, data: FieldData) -> Mapping[str, Any]:
        """Returns names, units, statistics and grids of the variables, and the cells that have data."""
        return {
            "variables": [vars(variable) for variable in data.variables.values()],
            "grids": {
                name: {
                    "shape": list(grid.shape),
                    "wraps": grid.wraps,
                    "geographic": grid.geographic,
                    "first": grid.first,
                    "second": grid.second,
                }
                for name, grid in data.grids.items()
            },
            "valid": dict(data.valid),
        }

    def protocol(self) -> Mapping[str, Any]:
        """Returns the variables, the masks of evaluations, and the constants of metrics."""
        return protocol(self.config.data.variables)
