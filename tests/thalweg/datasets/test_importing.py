"""Importing public data sets into a family."""

from pathlib import Path

import pytest

from thalweg.datasets.importing import import_source
from thalweg.errors import ConfigError, DiscoveryError, OutputError

pytestmark = pytest.mark.usefixtures("buoys")


@pytest.fixture
def download(tmp_path: Path) -> Path:
    """What a user downloaded."""
    folder = tmp_path / "download"
    folder.mkdir()
    (folder / "raw.txt").write_text("observed, ")
    return folder


def test_a_source_finds_its_family_and_takes_its_options(tmp_path: Path, download: Path) -> None:
    target, report = import_source("gauges", download, options={"days": "ten"}, root=tmp_path)
    assert (target, report) == (tmp_path / "buoys" / "gauges", "1 file")
    assert (target / "waves.txt").read_text() == "observed, ten"


def test_an_import_may_have_another_name(tmp_path: Path, download: Path) -> None:
    target, _ = import_source("gauges", download, name="mine", root=tmp_path)
    assert target == tmp_path / "buoys" / "mine"


def test_an_unknown_source_is_refused_with_those_that_there_are(tmp_path: Path, download: Path) -> None:
    with pytest.raises(DiscoveryError, match=r"'radar'.*found: gauges, radar-days"):
        import_source("radar", download, root=tmp_path)


def test_an_unknown_option_is_refused_with_those_that_there_are(tmp_path: Path, download: Path) -> None:
    with pytest.raises(ConfigError, match=r"no option hours.*found: days"):
        import_source("gauges", download, options={"hours": "1"}, root=tmp_path)


def test_an_import_overwrites_nothing(tmp_path: Path, download: Path) -> None:
    import_source("gauges", download, root=tmp_path)
    with pytest.raises(OutputError, match="--as"):
        import_source("gauges", download, root=tmp_path)


def test_a_source_that_updates_is_given_the_data_set_that_exists(tmp_path: Path, download: Path) -> None:
    for _ in range(2):
        target, report = import_source("radar-days", download, root=tmp_path)
    assert ((target / "log.txt").read_text(), report) == ("read read ", "updated")
    with pytest.raises(ConfigError, match=r"that of a folder.*--as"):
        import_source("radar-days", download, name="../mine", root=tmp_path)


def test_a_source_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must exist"):
        import_source("gauges", tmp_path / "nowhere", root=tmp_path)


def test_a_data_folder_that_is_a_file_is_refused(tmp_path: Path, download: Path) -> None:
    (tmp_path / "buoys").write_text("in the way")
    with pytest.raises(OutputError, match="--data"):
        import_source("gauges", download, root=tmp_path)
