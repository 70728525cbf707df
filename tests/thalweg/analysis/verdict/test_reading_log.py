"""The log of readings of the split ``test``, of a study and of its data."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from thalweg.analysis.verdict import reading_log
from thalweg.analysis.verdict.reading_log import Reading, log_folder, log_reading, readings, told
from thalweg.errors import OutputError, StudyError
from thalweg.search.store.records import StudyRecord
from thalweg.study_folder import StudyFolder

BEST = "thalweg best rivers --test"


@pytest.fixture
def rivers(make_record: Callable[..., StudyRecord]) -> StudyRecord:
    """A study whose record holds the fingerprint of its data."""
    return replace(make_record(), protocol={"data": "rivers-1"})


def test_the_log_is_that_of_the_study_that_was_searched(rivers: StudyRecord, tmp_path: Path) -> None:
    """`thalweg best rivers.confirm --test` reads the split for `rivers`, too."""
    own = replace(rivers, name="rivers.confirm", definition={**rivers.definition, "confirms": "rivers"})
    assert log_folder(own, tmp_path / "rivers.confirm") == tmp_path / "rivers"
    assert log_folder(rivers, tmp_path / "rivers") == tmp_path / "rivers"
    (read,) = log_reading(own, tmp_path / "rivers.confirm", None, BEST, "the best trial")
    assert read.study == "rivers" and readings(rivers, tmp_path / "rivers", None) == [read]


def test_a_second_reading_is_told_for_ever_after(rivers: StudyRecord, tmp_path: Path) -> None:
    folder = tmp_path / "rivers"
    assert "never read" in told(readings(rivers, folder, None), "rivers")
    once = told(log_reading(rivers, folder, None, BEST, "the best trial"), "rivers")
    assert once.startswith("the split test was read once, ") and f"`{BEST}`" in once
    log_reading(rivers, folder, None, "thalweg confirm rivers --test", "9 runs")
    known = readings(rivers, folder, None)
    assert [one.command for one in known] == [BEST, "thalweg confirm rivers --test"]
    assert "read 2 times, first" in told(known, "rivers")
    assert "was not chosen blindly" in told(known, "rivers")


@pytest.mark.parametrize("lost", ["nothing", "data", "runs"])
def test_another_study_of_the_same_data_is_told(
    rivers: StudyRecord, tmp_path: Path, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, runs = tmp_path / "data", tmp_path / "runs"
    data.mkdir()
    add = reading_log._add

    def unless_read_only(file: Path, new: Reading) -> None:
        if lost == "data" and file.is_relative_to(data):
            raise OutputError("read-only")
        add(file, new)

    monkeypatch.setattr(reading_log, "_add", unless_read_only)
    log_reading(rivers, runs / "rivers", data, BEST, "the best trial")
    assert any(data.iterdir()) == (lost != "data")
    output = tmp_path / "elsewhere" if lost == "runs" else runs
    lakes = replace(rivers, name="lakes")
    first = told(readings(lakes, output / "lakes", data), "lakes")
    assert "read once" in first and "for rivers, of the same data" in first
    again = log_reading(lakes, output / "lakes", data, "thalweg", "9 runs")
    assert "read 2 times (1 of them for rivers, of the same data)" in told(again, "lakes")
    if lost != "runs":
        assert "1 of them for lakes" in told(readings(rivers, runs / "rivers", data), "rivers")
    assert not readings(replace(rivers, protocol={"data": "rivers-2"}), output / "others", data)
    assert not readings(replace(rivers, protocol={}), output / "early", data)


def test_a_log_of_an_earlier_version_is_of_its_own_study(rivers: StudyRecord, tmp_path: Path) -> None:
    file = StudyFolder(tmp_path / "rivers").test_readings
    file.parent.mkdir()
    file.write_text('[{"when": "2026-11-01", "command": "thalweg", "what": "the best trial"}]')
    (read,) = readings(rivers, tmp_path / "rivers", None)
    assert read.study == "rivers"


@pytest.mark.parametrize("content", ["{", "[1]", '{"when": 1}'])
def test_a_damaged_log_is_not_taken_for_an_empty_one(
    rivers: StudyRecord, tmp_path: Path, content: str
) -> None:
    StudyFolder(tmp_path).test_readings.write_text(content)
    with pytest.raises(StudyError, match="how often the split was read"):
        readings(rivers, tmp_path, None)
    with pytest.raises(StudyError):
        log_reading(rivers, tmp_path, None, "thalweg", "what")
