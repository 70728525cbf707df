"""Making, importing and listing data sets, with a family whose sets hold one file."""

import textwrap
from pathlib import Path

import pytest

from thalweg.errors import ConfigError, DiscoveryError, OutputError, ThalwegError
from thalweg.search import datasets

CONFIG = """
    from thalweg.config import FamilyConfig

    class Buoys(FamilyConfig):
        pass
"""
DATASETS = """
    from thalweg.contract import Source, World

    def make(folder, height="low"):
        (folder / "waves.txt").write_text(f"made {height}")

    def read(source, target, *, days="all"):
        target.mkdir()
        (target / "waves.txt").write_text((source / "raw.txt").read_text() + days)
        return "1 file"

    WORLDS = {
        "calm": World(meaning="Still water.", make=make),
        "storm": World(meaning="Waves.", make=make, options={"height": "of the waves"}),
    }
    def add(source, target):
        target.mkdir(exist_ok=True)
        with (target / "log.txt").open("a") as log:
            log.write("read ")
        return "updated"

    SOURCES = {
        "gauges": Source(meaning="Observed.", read=read, options={"days": "which"}),
        "radar-days": Source(meaning="Observed day by day.", read=add, updates=True),
    }
"""


@pytest.fixture(autouse=True)
def _only_family(code: Path) -> None:
    """Makes ``buoys`` the only family."""
    folder = code / "buoys"
    folder.mkdir()
    for name, text in (("__init__", ""), ("config", CONFIG), ("datasets", DATASETS)):
        (folder / f"{name}.py").write_text(textwrap.dedent(text))


@pytest.fixture
def download(tmp_path: Path) -> Path:
    """What a user downloaded."""
    folder = tmp_path / "download"
    folder.mkdir()
    (folder / "raw.txt").write_text("observed, ")
    return folder


def test_without_a_name_all_worlds_are_made(tmp_path: Path) -> None:
    made = datasets.make("buoys", root=tmp_path)
    assert made == [tmp_path / "buoys" / "calm", tmp_path / "buoys" / "storm"]
    assert [(folder / "waves.txt").read_text() for folder in made] == ["made low", "made low"]


def test_a_world_that_exists_is_left_alone(tmp_path: Path) -> None:
    (folder,) = datasets.make("buoys", "calm", tmp_path)
    (folder / "waves.txt").write_text("mine")
    datasets.make("buoys", "calm", tmp_path)
    assert (folder / "waves.txt").read_text() == "mine"


def test_an_unknown_world_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(DiscoveryError, match=r"'flood'.*found: calm, storm"):
        datasets.make("buoys", "flood", tmp_path)


def test_a_varied_world_gets_a_name_of_its_own_and_the_command_that_makes_it_again(tmp_path: Path) -> None:
    folder = datasets.make_variant("buoys", "storm", "surge", {"height": "10 m"}, tmp_path)
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
        datasets.make_variant("buoys", world, name, options, tmp_path)
    assert [path.name for path in (tmp_path / "buoys").iterdir()] == ["taken"]


def test_a_source_finds_its_family_and_takes_its_options(tmp_path: Path, download: Path) -> None:
    target, report = datasets.import_source("gauges", download, options={"days": "ten"}, root=tmp_path)
    assert (target, report) == (tmp_path / "buoys" / "gauges", "1 file")
    assert (target / "waves.txt").read_text() == "observed, ten"


def test_an_import_may_have_another_name(tmp_path: Path, download: Path) -> None:
    target, _ = datasets.import_source("gauges", download, name="mine", root=tmp_path)
    assert target == tmp_path / "buoys" / "mine"


def test_an_unknown_source_is_refused_with_those_that_there_are(tmp_path: Path, download: Path) -> None:
    with pytest.raises(DiscoveryError, match=r"'radar'.*found: gauges, radar-days"):
        datasets.import_source("radar", download, root=tmp_path)


def test_an_unknown_option_is_refused_with_those_that_there_are(tmp_path: Path, download: Path) -> None:
    with pytest.raises(ConfigError, match=r"no option hours.*found: days"):
        datasets.import_source("gauges", download, options={"hours": "1"}, root=tmp_path)


def test_an_import_overwrites_nothing(tmp_path: Path, download: Path) -> None:
    datasets.import_source("gauges", download, root=tmp_path)
    with pytest.raises(OutputError, match="--as"):
        datasets.import_source("gauges", download, root=tmp_path)


def test_a_source_that_updates_is_given_the_data_set_that_exists(tmp_path: Path, download: Path) -> None:
    for _ in range(2):
        target, report = datasets.import_source("radar-days", download, root=tmp_path)
    assert ((target / "log.txt").read_text(), report) == ("read read ", "updated")
    with pytest.raises(ConfigError, match=r"that of a folder.*--as"):
        datasets.import_source("radar-days", download, name="../mine", root=tmp_path)


def test_a_source_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must exist"):
        datasets.import_source("gauges", tmp_path / "nowhere", root=tmp_path)


def test_a_data_folder_that_is_a_file_is_refused(tmp_path: Path, download: Path) -> None:
    (tmp_path / "buoys").write_text("in the way")
    with pytest.raises(OutputError, match="--data"):
        datasets.import_source("gauges", download, root=tmp_path)


def test_the_list_holds_what_exists_and_what_could(tmp_path: Path) -> None:
    datasets.make("buoys", "storm", tmp_path)
    (tmp_path / "buoys" / "own").mkdir()
    (tmp_path / "buoys" / ".calm.123").mkdir()  # left by a process that died
    found = [(item.name, item.origin, item.num_bytes) for item in datasets.data_sets(tmp_path)]
    assert found == [
        ("calm", "make", None),
        ("storm", "make", 8),
        ("gauges", "import", None),
        ("radar-days", "import", None),
        ("own", "own", 0),
    ]
