"""The 19 classes of BigEarthNet, and the CORINE land cover classes of which each consists.

Source: Sumbul et al. (2021), doi:10.1109/MGRS.2021.3089174, Table 1. CORINE classes that are too small or too varied
for patches of 120 pixels, such as airports, are in none.
"""

from collections.abc import Mapping, Sequence

CLASSES: Mapping[str, tuple[str, ...]] = {
    "Urban fabric": ("Continuous urban fabric", "Discontinuous urban fabric"),
    "Industrial or commercial units": (),
    "Arable land": ("Non-irrigated arable land", "Permanently irrigated land", "Rice fields"),
    "Permanent crops": (
        "Vineyards",
        "Fruit trees and berry plantations",
        "Olive groves",
        "Annual crops associated with permanent crops",
    ),
    "Pastures": (),
    "Complex cultivation patterns": (),
    "Land principally occupied by agriculture, with significant areas of natural vegetation": (),
    "Agro-forestry areas": (),
    "Broad-leaved forest": (),
    "Coniferous forest": (),
    "Mixed forest": (),
    "Natural grassland and sparsely vegetated areas": ("Natural grassland", "Sparsely vegetated areas"),
    "Moors, heathland and sclerophyllous vegetation": ("Moors and heathland", "Sclerophyllous vegetation"),
    "Transitional woodland, shrub": ("Transitional woodland/shrub",),
    "Beaches, dunes, sands": (),
    "Inland wetlands": ("Inland marshes", "Peatbogs"),
    "Coastal wetlands": ("Salt marshes", "Salines"),
    "Inland waters": ("Water courses", "Water bodies"),
    "Marine waters": ("Coastal lagoons", "Estuaries", "Sea and ocean"),
}
DROPPED = frozenset(
    (
        "Road and rail networks and associated land",
        "Port areas",
        "Airports",
        "Mineral extraction sites",
        "Dump sites",
        "Construction sites",
        "Green urban areas",
        "Sport and leisure facilities",
        "Bare rock",
        "Burnt areas",
        "Intertidal flats",
    )
)
"""CORINE classes that are in none of the 19."""

_OF = {part: name for name, parts in CLASSES.items() for part in (name, *parts)}


def classes_of(labels: Sequence[str]) -> tuple[str, ...]:
    """Returns which of the 19 classes some labels name, in the order of the labels.

    Args:
        labels: Names of the 19 classes, or of CORINE land cover.

    Raises:
        KeyError: A label is of neither.
    """
    return tuple(dict.fromkeys(_OF[label] for label in labels if label not in DROPPED))
