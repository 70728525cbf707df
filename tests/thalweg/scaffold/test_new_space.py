"""A new search space asks about any family, and a search can begin with it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from thalweg import discovery
from thalweg.contract import metrics_of
from thalweg.errors import ConfigError, OutputError
from thalweg.scaffold.new_family import write_family
from thalweg.scaffold.new_space import write_space
from thalweg.search.objective import check_objective
from thalweg.search.space import load_space, probe, refused


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield tmp_path
    for module in [name for name in sys.modules if name.partition(".")[0] in ("heath", "my_lab")]:
        del sys.modules[module]


@pytest.mark.parametrize("family", [*discovery.names("trainables"), "families.toy"])
def test_a_space_of_any_family_can_be_searched(here: Path, family: str) -> None:
    name = write_space(f"rates_{family.rpartition('.')[2]}", family, "heath")
    space = load_space(name)
    assert set(probe(space).params) == {"lr", "batch_size"}
    assert space.doc.endswith("?")
    assert refused(space, 8) == []
    loaded = discovery.load_family(space.config_type)
    assert check_objective(space.study, metrics_of(loaded.task(space.replay({})[0])), family).search_invariant


def test_it_asks_about_the_only_family_of_the_package(here: Path) -> None:
    with pytest.raises(ConfigError, match="asks about one family, got none in my_lab; add --family NAME"):
        write_space("rates")
    write_family("pond")
    assert load_space(write_space("rates")).config_type.__module__ == "my_lab.pond.config"
    assert discovery.own_spaces() == ("my_lab.rates",)
    with pytest.raises(OutputError, match=r"must not replace anything, got my_lab/rates\.py, which exists"):
        write_space("rates")
