"""Data sets that the family can make: synthetic worlds."""

from collections.abc import Mapping

from thalweg.dataset_contract import PublicDataset, SyntheticDataset
from trainables.rgb_lidar.worlds import synthetic

WORLDS: Mapping[str, SyntheticDataset] = {
    "tiny": SyntheticDataset(
        meaning="400 cubes and 400 spheres of 64 x 64 pixels, seen by a camera that fails in the dark and a LiDAR that "
        "fails in the light: for tests and first steps",
        make=synthetic.make_tiny,
        options=synthetic.OPTIONS,
    ),
    "default": SyntheticDataset(
        meaning="2,000 cubes and 2,000 spheres, harder: the better sensor alone gets about 0.9 of them right, "
        "both together about 0.95",
        make=synthetic.make_default,
        options=synthetic.OPTIONS,
    ),
}
SOURCES: Mapping[str, PublicDataset] = {}
