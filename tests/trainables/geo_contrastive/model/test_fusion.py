import re
from itertools import combinations
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from thalweg.errors import ConfigError
from thalweg.nn.graph_fusion import Edges
from trainables.geo_contrastive.data.quantities import QUANTITIES
from trainables.geo_contrastive.knobs import REFERENCE_VARIABLES, FusionKnobs
from trainables.geo_contrastive.model.fusion import embedding_fusion, physical_edges, quantity

PAIRS = {("t2m", "z"), ("u", "v"), ("u", "z"), ("v", "z"), ("t2m", "q"), ("u", "q"), ("v", "q")}


@given(order=st.permutations(REFERENCE_VARIABLES))
def test_physics_couples_variables_by_name_in_any_order(order: list[str]) -> None:
    found = {frozenset((order[one], order[other])) for one, other in physical_edges(order)}
    assert found == {frozenset(pair) for pair in PAIRS}


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ("t2m", "temperature"),
        ("2m_temperature", "temperature"),
        ("ta850", "temperature"),
        ("temperature_850", "temperature"),
        ("z500hPa", "mass"),
        ("slp", "mass"),
        ("hus850", "humidity"),
        ("10m_u_component_of_wind", "zonal wind"),
        ("v10", "meridional wind"),
        ("rain", "rain"),
        ("uwnd", "zonal wind"),
        ("10v", "meridional wind"),
        ("10m_v_component_of_wind", "meridional wind"),
        ("sfcWind", None),
        ("hgt", "mass"),
        ("shum", "humidity"),
        ("2d", "humidity"),
        ("td", "humidity"),
        ("chlorophyll", None),
    ],
)
def test_a_quantity_is_known_by_its_usual_names(variable: str, expected: str | None) -> None:
    assert quantity(variable) == expected


def test_every_name_that_an_import_knows_is_known() -> None:
    speeds, clouds = {"wind_speed", "sfcwind", "si10", "ws"}, {"tcc", "clt", "total_cloud_cover"}
    names = {name for each in QUANTITIES for name in each.short_names}
    assert {name for name in names if quantity(name) is None} <= speeds | clouds
    assert {quantity(name) for name in names} == {*map(quantity, ("t", "z", "u", "v", "q", "rain")), None}


def test_one_quantity_at_two_levels_is_coupled() -> None:
    assert list(physical_edges(("z500", "chlorophyll", "z850"))) == [(0, 2)]


@pytest.mark.parametrize("kind", ["gcn", "gat", "cross_attention"])
def test_a_graph_without_edges_is_refused(kind: Any) -> None:
    with pytest.raises(
        ConfigError, match=re.escape("got t2m, chlorophyll, of which none is known to be; set it to")
    ):
        embedding_fusion(FusionKnobs(kind=kind), 8, ("t2m", "chlorophyll"))
    with pytest.raises(ConfigError, match="needs 2 variables or more, got t2m; set it to early"):
        embedding_fusion(FusionKnobs(kind=kind, adjacency="full"), 8, ("t2m",))


@pytest.mark.parametrize("kind", ["gcn", "gat", "cross_attention"])
def test_adjacency_chooses_the_edges(kind: Any) -> None:
    found = {}
    for adjacency in ("physical", "full", "learned"):
        fusion = embedding_fusion(FusionKnobs(kind=kind, adjacency=adjacency), 8, REFERENCE_VARIABLES)
        found[adjacency] = next(part for part in fusion.modules() if isinstance(part, Edges))
    number = {name: int(edges.among.sum()) for name, edges in found.items()}
    assert number == {
        "physical": 2 * len(PAIRS),
        "full": 2 * len([*combinations(range(5), 2)]),
        "learned": 25,
    }
    assert [name for name, edges in found.items() if edges.logits is not None] == ["learned"]


@pytest.mark.parametrize("kind", ["average", "self_attention", "gcn", "gat", "cross_attention"])
def test_fusions_may_have_as_many_parameters(kind: Any) -> None:
    knobs = FusionKnobs(kind=kind, num_parameters=4_100_000)
    with torch.device("meta"):
        fusion = embedding_fusion(knobs, 1000, REFERENCE_VARIABLES)
    assert abs(sum(weight.numel() for weight in fusion.parameters()) - 4_100_000) <= 1001


@pytest.mark.parametrize("variables", [("t2m",), ("t2m", "chlorophyll")])
@pytest.mark.parametrize("kind", ["average", "self_attention"])
def test_any_variables_can_be_averaged_or_attended_to(kind: Any, variables: tuple[str, ...]) -> None:
    tokens = torch.randn(2, len(variables), 8)
    present = torch.ones(2, len(variables), dtype=torch.bool)
    assert embedding_fusion(FusionKnobs(kind=kind), 8, variables)(tokens, present).shape == (2, 8)
