"""What all tasks of the family share: data, batches, protocol, facts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from thalweg.contract import Batch, Indices, Keys, SplitName, Task
from thalweg.data.normalization import of_runs
from thalweg.errors import ConfigError
from thalweg.hashing import digest
from trainables.geo_contrastive.config import GeoContrastive
from trainables.geo_contrastive.data import sampling
from trainables.geo_contrastive.data.fields import FieldData, open_fields
from trainables.geo_contrastive.data.leading import leading_patterns
from trainables.geo_contrastive.data.pairs import NUM_POSITIVES
from trainables.geo_contrastive.data.record import check_curvature, check_pairs, check_seasons
from trainables.geo_contrastive.evaluation.protocol import protocol
from trainables.geo_contrastive.knobs import PairKnobs
from trainables.geo_contrastive.model.fusion import quantity


class FieldTask(Task[GeoContrastive, FieldData]):
    """Opens fields and draws batches of days."""

    config_type = GeoContrastive

    def data_key(self) -> str:
        """Returns the data set and its variables."""
        return f"{self.config.dataset}-{digest(self.config.data.model_dump())}"

    def open(self, root: Path) -> FieldData:
        """Opens the data set; `open_fields` says what is refused."""
        return open_fields(root, self.config.dataset, self.config.data)

    def check(self, data: FieldData) -> None:
        """Refuses pairs and seasons that the training split does not hold, and mirrors of what has none."""
        if (pairs := self.pairs()) is not None:
            check_pairs(data, pairs)
            if self.config.objective.cycle != "off":
                check_curvature(data, self.config.objective.cycle)
        if "supcon" in self.config.objective.terms:
            check_seasons(data, f"objective.kind {self.config.objective.kind}")
        if self.config.views.flip:
            self._check_mirrors(data)

    def _check_mirrors(self, data: FieldData) -> None:
        """Refuses to mirror winds, which would blow against the Earth's rotation, and coasts that do not fit."""
        flip, names = self.config.views.flip, self.config.data.variables
        if winds := [name for name in names if (quantity(name) or "").endswith("wind")]:
            raise ConfigError(
                "views.flip must be 0 for winds, which blow against the rotation of the Earth in a mirror, got "
                f"{flip:g} with {', '.join(winds)}; set it to 0, or leave out the winds"
            )
        if uneven := [name for name, cells in data.valid.items() if (cells != cells[::-1]).any()]:
            raise ConfigError(
                "views.flip must be 0 for variables whose cells with data are not the same in a mirror, got "
                f"{flip:g} with {', '.join(uneven)}; set it to 0"
            )

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

    def origins(self, data: FieldData, split: SplitName) -> Mapping[str, Sequence[int]]:
        """Returns the days of a split, as days since 1970-01-01: no two splits have one in common."""
        return {"day": data.day[data.days[split]].tolist()}

    def fitted_on(self, data: FieldData) -> Mapping[str, Sequence[int]]:
        """Returns the days that z-scores and climatology were computed from."""
        return {"day": of_runs(data.fitted)} if data.fitted else {}

    def facts(self, data: FieldData) -> Mapping[str, Any]:
        """Returns names, units, statistics and grids of the variables, the cells that have data, patterns if asked.

        Raises:
            ConfigError: The data do not hold what the configuration asks of them; `check` says what.
        """
        self.check(data)
        count = self.config.encoder.num_patterns
        patterns = {"patterns": leading_patterns(data, count)} if count else {}
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
        } | patterns

    def protocol(self) -> Mapping[str, Any]:
        """Returns the variables, the masks of evaluations, and the constants of metrics."""
        return protocol(self.config.data.variables)
