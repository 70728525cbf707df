"""Data sets of the family that need no files of one's own: synthetic worlds."""

from collections.abc import Mapping

from thalweg.contract import Source, World
from trainables.rgb_lidar import synthetic

WORLDS: Mapping[str, World] = {
    "tiny": World(
        meaning="400 cubes and 400 spheres of 64 x 64 pixels, seen by a camera and a LiDAR with noise: for tests "
        "and first steps",
        make=synthetic.make_tiny,
        options=synthetic.OPTIONS,
    ),
    "default": World(
        meaning="2,000 cubes and 2,000 spheres of 64 x 64 pixels, seen by a camera and a LiDAR with noise",
        make=synthetic.make_default,
        options=synthetic.OPTIONS,
    ),
}
SOURCES: Mapping[str, Source] = {}
