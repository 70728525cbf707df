"""The log of readings of the split ``test``."""

from pathlib import Path

import pytest

from thalweg.analysis.verdict.sealed_split import log_reading, readings, told
from thalweg.errors import StudyError
from thalweg.study_folder import StudyFolder


def test_a_second_reading_is_told_for_ever_after(tmp_path: Path) -> None:
    assert "never read" in told(readings(tmp_path))
    once = log_reading(tmp_path, "thalweg best rivers --test", "the best trial")
    assert told(once).startswith("the split test was read once, ") and "`thalweg best rivers --test`" in told(
        once
    )
    log_reading(tmp_path, "thalweg confirm rivers --test", "9 runs")
    known = readings(tmp_path)
    assert [one.command for one in known] == ["thalweg best rivers --test", "thalweg confirm rivers --test"]
    assert "read 2 times" in told(known) and "was not chosen blindly" in told(known)


def test_a_damaged_log_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    StudyFolder(tmp_path).test_readings.write_text("{")
    with pytest.raises(StudyError, match="how often the split was read"):
        readings(tmp_path)
    with pytest.raises(StudyError):
        log_reading(tmp_path, "thalweg", "what")
