"""Data sets of the family that need no files of one's own: synthetic worlds, and readers of public data sets.

What makes and reads them is imported when that happens: a list of data sets must not wait for SciPy or rasterio.
"""

from collections.abc import Mapping
from pathlib import Path

from thalweg.dataset_contract import PublicDataset, SyntheticDataset
from trainables.sentinel_supcon.importing.options import BIGEARTHNET, GEOTIFF_PAIRS, PATCHES
from trainables.sentinel_supcon.worlds.options import OPTIONS


def _make_tiny(folder: Path, **options: str) -> None:
    from trainables.sentinel_supcon.worlds.meterml import make_tiny

    make_tiny(folder, **options)


def _make_default(folder: Path, **options: str) -> None:
    from trainables.sentinel_supcon.worlds.meterml import make_default

    make_default(folder, **options)


def _make_tiny_dfc(folder: Path, **options: str) -> None:
    from trainables.sentinel_supcon.worlds.dfc2020 import make_tiny_dfc

    make_tiny_dfc(folder, **options)


def _read_patches(source: Path, target: Path, **options: str) -> str:
    from trainables.sentinel_supcon.importing.patches import read

    return read(source, target, **options)


def _read_bigearthnet(source: Path, target: Path, **options: str) -> str:
    from trainables.sentinel_supcon.importing.bigearthnet import read

    return read(source, target, **options)


def _read_geotiff_pairs(source: Path, target: Path, **options: str) -> str:
    from trainables.sentinel_supcon.importing.geotiff_pairs import read

    return read(source, target, **options)


WORLDS: Mapping[str, SyntheticDataset] = {
    "tiny": SyntheticDataset(
        meaning="600 scenes of 32 x 32 pixels with six kinds of facilities in the layout of METER-ML, of which radar "
        "and camera each tell some apart that the other does not: for tests and first steps",
        make=_make_tiny,
        options=OPTIONS,
    ),
    "default": SyntheticDataset(
        meaning="2,400 such scenes of 72 x 72 pixels, the size of METER-ML",
        make=_make_default,
        options=OPTIONS,
    ),
    "tiny-dfc": SyntheticDataset(
        meaning="300 scenes of 64 x 64 pixels with maps of ten classes, radar in dB and 13 bands, in the layout of "
        "DFC2020",
        make=_make_tiny_dfc,
        options=OPTIONS,
    ),
}
SOURCES: Mapping[str, PublicDataset] = {
    "s1s2-patches": PublicDataset(
        meaning="observed scenes of both sensors from one HDF5 file of TerraMesh, Sen1Floods11 (cut into patches, "
        "labels from their maps of land cover or water) or BigEarthNet",
        read=_read_patches,
        options=PATCHES,
        takes_files=True,
    ),
    "bigearthnet": PublicDataset(
        meaning="BigEarthNet v2: observed scenes of both sensors in Europe with 19 classes of CORINE land cover, "
        "several for each",
        read=_read_bigearthnet,
        options=BIGEARTHNET,
    ),
    "geotiff-pairs": PublicDataset(
        meaning="one's own pairs of GeoTIFF of both sensors: a folder, or a table (CSV or GeoJSON) of files, with "
        "classes by name or as maps",
        read=_read_geotiff_pairs,
        options=GEOTIFF_PAIRS,
        takes_files=True,
    ),
}
