"""Data sets that the family can make or import: synthetic worlds, and public sources."""

from collections.abc import Mapping

from thalweg.contract import Source, World
from trainables.water_mae import gb_hydrology, monthly, synthetic

WORLDS: Mapping[str, World] = {
    "tiny": World(
        meaning="an island of 40 x 40 cells with 48 catchments, three years to train on, one to validate, one to test: "
        "for tests and first steps (vector_patch_size 4 fits)",
        make=synthetic.make_tiny,
    ),
    "small": World(
        meaning="an island of 100 x 80 cells with 200 catchments, four years to train on, one to validate, one to test",
        make=synthetic.make_small,
    ),
}
SOURCES: Mapping[str, Source] = {
    "gb-hydrology": Source(
        meaning="Great Britain, 5 km and daily: observed river flow of CAMELS-GB; precipitation and "
        "temperature interpolated from its catchment means, evaporation derived, soil moisture a model state",
        read=gb_hydrology.read,
        options=gb_hydrology.OPTIONS,
    ),
    "monthly-hydrology": Source(
        meaning="one's own archive of the reference experiment's kind: an HDF5 file per modality and month with a "
        "dataset per day, series of catchments, attributes, land mask; months are merged, gaps told; "
        "again, it takes in what was added or changed",
        read=monthly.read,
        options=monthly.OPTIONS,
        updates=True,
    ),
}
