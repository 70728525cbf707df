"""Making synthetic data sets, of a family whose sets hold one file."""

from pathlib import Path

import pytest

from thalweg.datasets import making
from thalweg.errors import DiscoveryError, ThalwegError

pytestmark = pytest.mark.usefixtures("buoys")


def test_without_a_name_all_worlds_are_made(tmp_path: Path) -> None:
    made = making.make("buoys", root=tmp_path)
    assert made == [tmp_path / "buoys" / "calm", tmp_path / "buoys" / "storm"]
    assert [(folder / "waves.txt").read_text() for folder in made] == ["made low", "made low"]


def test_a_world_that_exists_is_left_alone(tmp_path: Path) -> None:
    (folder,) = making.make("buoys", "calm", tmp_path)
    (folder / "waves.txt").write_text("mine")
    making.make("buoys", "calm", tmp_path)
    assert (folder / "waves.txt").read_text() == "mine"


def test_an_unknown_world_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(DiscoveryError, match=r"'flood'.*found: calm, storm"):
        making.make("buoys", "flood", tmp_path)


def test_a_varied_world_gets_a_name_of_its_own_and_the_command_that_makes_it_again(tmp_path: Path) -> None:
    folder = making.make_variant("buoys", "storm", "surge", {"height": "10 m"}, tmp_path)
    assert folder == tmp_path / "buoys" / "surge"
    assert (folder / "waves.txt").read_text() == "made 10 m"
    command = "thalweg data make buoys storm --option 'height=10 m' --as surge"
    assert command in (folder / "README.txt").read_text()


@pytest.mark.parametrize(
    ("world", "name", "options", "law"),
    [
        ("flood", "mine", {}, r"no world 'flood'.*found: calm, storm"),
        ("storm", "mine", {"depth": "1"}, r"storm has no option depth.*found: height"),
        ("calm", "mine", {"height": "1"}, r"calm has no option height.*found: none"),
        ("storm", "calm", {"height": "1"}, r"name of its own, got 'calm'.*--as"),
        ("storm", "../mine", {"height": "1"}, r"that of a folder.*--as"),
        ("storm", ".mine", {"height": "1"}, r"that of a folder.*--as"),
        ("storm", "taken", {"height": "1"}, r"must be new.*--as"),
    ],
)
def test_a_variant_that_cannot_be_made_is_refused(
    tmp_path: Path, world: str, name: str, options: dict[str, str], law: str
) -> None:
    (tmp_path / "buoys" / "taken").mkdir(parents=True)
    with pytest.raises(ThalwegError, match=law):
        making.make_variant("buoys", world, name, options, tmp_path)
    assert [path.name for path in (tmp_path / "buoys").iterdir()] == ["taken"]
