"""Looking at data sets, with a family whose data set is one file and whose look is one page."""

import importlib
import textwrap
from pathlib import Path

import pytest

from thalweg.datasets.showing import export_fiftyone, show
from thalweg.errors import ConfigError, DataError, DiscoveryError, OutputError

CONFIG = """
    from thalweg.config import FamilyConfig

    class Buoys(FamilyConfig):
        pass
"""
DATASETS = """
    from thalweg.dataset_contract import SyntheticDataset

    def make(folder):
        (folder / "waves.txt").write_text("made")

    WORLDS = {
        "calm": SyntheticDataset(meaning="Still water.", make=make),
        "storm": SyntheticDataset(meaning="Waves.", make=make),
    }
    SOURCES = {}
"""
EXPLORE = """
    from thalweg.dataset_contract import Exploration
    from thalweg.errors import ConfigError, DataError

    def explore(folder, target):
        waves = (folder / "waves.txt").read_text()
        (target / "index.html").write_text(waves)
        if waves == "broken":
            raise DataError("waves must be whole, got broken; copy them again")
        return Exploration(fingerprint=waves, report=folder.name, statistics={"waves": 1.0}, page="index.html")

    def export_fiftyone(folder, name, media):
        if name == "taken":
            raise ConfigError("taken")
        (media / "cloud.pcd").write_text(folder.name)
        return f"see {name}"
"""


def write_family(code: Path, **files: str) -> None:
    folder = code / "buoys"
    folder.mkdir()
    for name, text in {"__init__": "", "config": CONFIG, "datasets": DATASETS, **files}.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    importlib.invalidate_caches()  # else a folder that changed twice within a tick of the clock keeps its old listing


def test_a_look_makes_a_missing_world_and_lies_below_the_output_folder(code: Path, tmp_path: Path) -> None:
    write_family(code, explore=EXPLORE)
    shown = show("buoys", "storm", tmp_path / "runs", tmp_path)
    assert shown.name == "buoys/storm"
    assert shown.page == tmp_path / "runs" / "data" / "buoys-storm" / "index.html"
    assert shown.page.read_text() == "made"
    assert shown.found.statistics == {"waves": 1.0}


def test_without_a_name_the_first_world_is_shown(code: Path, tmp_path: Path) -> None:
    write_family(code, explore=EXPLORE)
    assert show("buoys", None, tmp_path / "runs", tmp_path).name == "buoys/calm"


def test_a_second_look_replaces_the_first(code: Path, tmp_path: Path) -> None:
    write_family(code, explore=EXPLORE)
    folder = show("buoys", "calm", tmp_path / "runs", tmp_path).folder
    (folder / "old.png").write_text("of an earlier version")
    (tmp_path / "buoys" / "calm" / "waves.txt").write_text("mine")
    show("buoys", "calm", tmp_path / "runs", tmp_path)
    assert [path.name for path in folder.parent.iterdir()] == ["buoys-calm"]
    assert [path.name for path in folder.iterdir()] == ["index.html"]
    assert (folder / "index.html").read_text() == "mine"


def test_a_look_that_fails_leaves_the_earlier_one(code: Path, tmp_path: Path) -> None:
    write_family(code, explore=EXPLORE)
    folder = show("buoys", "calm", tmp_path / "runs", tmp_path).folder
    (tmp_path / "buoys" / "calm" / "waves.txt").write_text("broken")
    with pytest.raises(DataError, match="must be whole"):
        show("buoys", "calm", tmp_path / "runs", tmp_path)
    assert [path.name for path in folder.parent.iterdir()] == ["buoys-calm"]
    assert (folder / "index.html").read_text() == "made"


def test_an_unknown_data_set_is_refused_with_those_that_there_are(code: Path, tmp_path: Path) -> None:
    write_family(code, explore=EXPLORE)
    (tmp_path / "buoys" / "own").mkdir(parents=True)
    with pytest.raises(
        DiscoveryError, match=r"'flood' in buoys \(found: calm, own, storm\); `thalweg data list`"
    ):
        show("buoys", "flood", tmp_path / "runs", tmp_path)


def test_a_family_without_synthetic_data_needs_a_name(code: Path, tmp_path: Path) -> None:
    write_family(code, explore=EXPLORE, datasets="WORLDS = {}\nSOURCES = {}")
    (tmp_path / "buoys" / "own").mkdir(parents=True)
    with pytest.raises(DiscoveryError, match=r"no synthetic data set in buoys \(found: own\)"):
        show("buoys", None, tmp_path / "runs", tmp_path)


@pytest.mark.parametrize("files", [{}, {"explore": "NOTHING = True"}], ids=["no module", "no function"])
def test_a_family_that_shows_nothing_is_refused_with_the_way_out(
    code: Path, tmp_path: Path, files: dict[str, str]
) -> None:
    write_family(code, **files)
    with pytest.raises(
        DiscoveryError, match=r"explore in trainables\.buoys\.explore.*thalweg\.dataset_contract\.Explore"
    ):
        show("buoys", "calm", tmp_path / "runs", tmp_path)
    with pytest.raises(DiscoveryError, match=r"export_fiftyone in trainables\.buoys\.explore.*Export"):
        export_fiftyone("buoys", "calm", "mine", tmp_path / "runs", tmp_path)
    assert not (tmp_path / "buoys").exists()


def test_a_broken_look_is_blamed_and_not_missing(code: Path, tmp_path: Path) -> None:
    write_family(code, explore="import nothing_of_this_name")
    with pytest.raises(DiscoveryError, match=r"explore\.py:1: ModuleNotFoundError.*nothing_of_this_name"):
        show("buoys", "calm", tmp_path / "runs", tmp_path)


def test_an_output_folder_that_is_a_file_is_refused(code: Path, tmp_path: Path) -> None:
    write_family(code, explore=EXPLORE)
    (tmp_path / "runs").write_text("in the way")
    with pytest.raises(OutputError, match="--output"):
        show("buoys", "calm", tmp_path / "runs", tmp_path)
    with pytest.raises(OutputError, match="--output"):
        export_fiftyone("buoys", "calm", "mine", tmp_path / "runs", tmp_path)


@pytest.mark.parametrize("what", ["explore", "export_fiftyone"])
@pytest.mark.parametrize(
    ("trouble", "refusal", "message"),
    [
        ("open(folder / 'gone.txt')", FileNotFoundError, r"calm/gone\.txt"),
        ("raise PermissionError(13, 'denied', str(folder))", PermissionError, r"denied: '.*/calm'"),
        ("open(target / 'a' / 'b', 'w')", OutputError, "must be writable.*--output"),
        ("raise OSError(28, 'No space left on device')", OutputError, "No space left.*--output"),
        ("raise DataError('waves must be whole')", DataError, "must be whole"),
    ],
)
def test_the_output_folder_is_blamed_only_for_what_happens_to_it(
    code: Path, tmp_path: Path, what: str, trouble: str, refusal: type[Exception], message: str
) -> None:
    explore = f"""
        from thalweg.errors import DataError

        def explore(folder, target):
            {trouble}

        def export_fiftyone(folder, name, target):
            {trouble}
    """
    write_family(code, explore=explore)
    with pytest.raises(refusal, match=message) as caught:
        if what == "explore":
            show("buoys", "calm", tmp_path / "runs", tmp_path)
        else:
            export_fiftyone("buoys", "calm", "mine", tmp_path / "runs", tmp_path)
    assert caught.type is refusal
    assert not (tmp_path / "runs" / "data").exists() or not list((tmp_path / "runs" / "data").iterdir())


def test_an_export_keeps_its_files_below_the_output_folder(code: Path, tmp_path: Path) -> None:
    write_family(code, explore=EXPLORE)
    assert export_fiftyone("buoys", "calm", "mine", tmp_path / "runs", tmp_path) == "see mine"
    assert (tmp_path / "runs" / "fiftyone" / "mine" / "cloud.pcd").read_text() == "calm"
    with pytest.raises(ConfigError, match="that of a folder"):
        export_fiftyone("buoys", "calm", "../mine", tmp_path / "runs", tmp_path)
    with pytest.raises(ConfigError, match="taken"):
        export_fiftyone("buoys", "calm", "taken", tmp_path / "runs", tmp_path)
