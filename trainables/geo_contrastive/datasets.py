"""Data sets of the family that need no files of one's own: synthetic worlds.

What makes them is imported when that happens: a list of data sets must not wait for numpy and h5netcdf.
"""

from collections.abc import Mapping
from pathlib import Path

from thalweg.dataset_contract import PublicDataset, SyntheticDataset


def _make_tiny(folder: Path) -> None:
    from trainables.geo_contrastive.worlds.synthetic import make_tiny

    make_tiny(folder)


def _make_tiny_two_grids(folder: Path) -> None:
    from trainables.geo_contrastive.worlds.synthetic import make_tiny_two_grids

    make_tiny_two_grids(folder)


def _make_small(folder: Path) -> None:
    from trainables.geo_contrastive.worlds.synthetic import make_small

    make_small(folder)


WORLDS: Mapping[str, SyntheticDataset] = {
    "tiny": SyntheticDataset(
        meaning="three years of five coupled variables at 850 hPa on 16 x 8 cells around the globe, with jumps: for "
        "tests and first steps",
        make=_make_tiny,
    ),
    "tiny-two-grids": SyntheticDataset(
        meaning="the same weather, but temperature on a grid of Europe alone, on land: for late fusion",
        make=_make_tiny_two_grids,
    ),
    "small": SyntheticDataset(
        meaning="six years of the same kind of weather on 32 x 16 cells, with jumps",
        make=_make_small,
    ),
}
SOURCES: Mapping[str, PublicDataset] = {}
