"""The fusion of one latent per variable that the knobs name, and which variables physics couples."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

from thalweg.errors import ConfigError
from thalweg.nn.embedding_fusion import EMBEDDING_FUSIONS, EmbeddingFusion, FusionSizes, hidden_dim_for
from trainables.geo_contrastive.data import quantities
from trainables.geo_contrastive.knobs import FusionKnobs

_KINDS = {
    "temperature": "temperature",
    "pressure": "mass",
    "geopotential": "mass",
    "geopotential height": "mass",
    "precipitation": "rain",
    "specific humidity": "humidity",
    "relative humidity": "humidity",
}
_DEW_POINTS = ("d2m", "2d", "td", "tdps")
_WINDS = {"u": "zonal wind", "v": "meridional wind"}


def _kind(name: str, quantity_name: str) -> str | None:
    """Returns what couples a variable to others; a wind by its direction, None for its speed."""
    if quantity_name == "wind":
        return _WINDS.get(name.lstrip("0123456789m_")[0])
    return _KINDS.get(quantity_name)


QUANTITIES: dict[str, str] = {
    name: kind
    for each in quantities.QUANTITIES
    for name in each.short_names
    if (kind := _kind(name, each.name)) is not None
} | dict.fromkeys(_DEW_POINTS, "humidity")
"""What a variable is, by its name in CF, ECMWF, CMIP and NCEP tables or in full: any that an import knows."""

COUPLINGS: frozenset[frozenset[str]] = frozenset(
    frozenset(pair)
    for pair in (
        ("temperature", "mass"),  # hydrostatic balance
        ("mass", "zonal wind"),  # geostrophic balance
        ("mass", "meridional wind"),
        ("zonal wind", "meridional wind"),  # continuity
        ("humidity", "temperature"),  # saturation
        ("humidity", "zonal wind"),  # advection of moisture
        ("humidity", "meridional wind"),
        ("rain", "humidity"),  # condensation
        ("rain", "mass"),  # ascent in cyclones
        ("rain", "temperature"),
    )
)
"""Quantities that a balance or a process of the atmosphere couples."""


def quantity(variable: str) -> str | None:
    """Returns what a variable is by its name, None if unknown.

    A height may stand in front of the name (``2m_temperature``) and a level behind it (``z500``, ``ta850``).
    """
    name = re.sub(r"^\d+m_", "", variable.lower())
    return QUANTITIES.get(name) or QUANTITIES.get(re.sub(r"_?\d+(_?h?pa|m)?$", "", name))


def physical_edges(variables: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yields the pairs of variables that are coupled, or the same quantity at two levels; by name, in any order."""
    kinds = [quantity(name) for name in variables]
    for one, other in combinations(range(len(variables)), 2):
        first, second = kinds[one], kinds[other]
        if first is None or second is None:
            continue
        if first == second or frozenset((first, second)) in COUPLINGS:
            yield one, other


def embedding_fusion(knobs: FusionKnobs, latent_dim: int, variables: Sequence[str]) -> EmbeddingFusion:
    """Returns the fusion of latents.

    Raises:
        ConfigError: It is one of coupled variables and none are, or it cannot have the number of parameters.
    """
    sizes = FusionSizes(
        dim=latent_dim,
        num_tokens=len(variables),
        num_heads=1 if "heads" in knobs.idle() else knobs.heads,
        num_layers=knobs.layers,
        edges=_edges(knobs, variables),
    )
    if knobs.num_parameters is not None:
        hidden = hidden_dim_for(knobs.kind, sizes, knobs.num_parameters)
        sizes = replace(sizes, hidden_dim=hidden)
    return EMBEDDING_FUSIONS[knobs.kind](sizes)


def _edges(knobs: FusionKnobs, variables: Sequence[str]) -> tuple[tuple[int, int], ...] | None:
    if "adjacency" in knobs.idle():
        return ()
    if len(variables) < 2:
        raise ConfigError(
            f"encoder.fusion.kind {knobs.kind} needs 2 variables or more, got {', '.join(variables)}; set it to early"
        )
    if knobs.adjacency == "learned":
        return None
    if knobs.adjacency == "full":
        return tuple(combinations(range(len(variables)), 2))
    edges = tuple(physical_edges(variables))
    if not edges:
        raise ConfigError(
            "encoder.fusion.adjacency physical needs two variables of which physics couples one to the other, got "
            f"{', '.join(variables)}, of which none is known to be; set it to full or learned"
        )
    return edges
