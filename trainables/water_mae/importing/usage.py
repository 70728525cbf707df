"""Tells what a search space says of imported data."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from thalweg.errors import DataError
from trainables.water_mae.data.patches import kept_patches
from trainables.water_mae.knobs import NRFA_ATTRIBUTES, PUBLISHED, DataKnobs, Modality

_SMALLER, _FEW_PATCHES = (5, 4, 3, 2), 6


def usage(
    name: str, rows: Sequence[Modality], attributes: Sequence[str], land: Bool[np.ndarray, "row col"]
) -> list[str]:
    """Returns lines of Python for a search space; none for the published configuration.

    Args:
        name: Name of the data set.
        rows: Its modalities.
        attributes: Attributes that the model is to see.
        land: Land mask, without cells if there are no fields.
    """
    if tuple(rows) == PUBLISHED and tuple(attributes) == NRFA_ATTRIBUTES:
        return []
    size = _patch_size(land) if land.size else DataKnobs().patch_size
    has_catchments = any(row.kind == "series" for row in rows)
    told = ", ".join(_spelled(row) for row in rows)
    return [
        "in a search space: from trainables.water_mae.knobs import Modality",
        f'    PRESETS["small"].vary(dataset="{name}", data={{',
        f'        "modalities": ({told},),',
        *([f'        "attributes": {tuple(attributes)!r},'] if has_catchments else []),
        *([f'        "patch_size": {size},'] if size != DataKnobs().patch_size else []),
        "    })",
    ]


def _patch_size(land: Bool[np.ndarray, "row col"]) -> int:
    """Returns the usual size of image patches, or a smaller one of which the grid has some."""
    knobs = DataKnobs()
    for size in (knobs.patch_size, *_SMALLER):
        try:
            patches = kept_patches(land, size, knobs.land_threshold)
        except DataError:
            continue
        if len(patches.valid) >= _FEW_PATCHES:
            return size
    return 1


def _spelled(row: Modality) -> str:
    values = row.model_dump(exclude_defaults=True)
    return f"Modality({', '.join(f'{name}={value!r}' for name, value in values.items())})"
