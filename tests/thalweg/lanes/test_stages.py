"""What a lane that starts is doing can be read while it starts, and not afterwards."""

import os
import time
from pathlib import Path

from thalweg.lanes import stages


def test_stages_are_told_by_lane_with_their_seconds_until_the_lane_has_started(tmp_path: Path) -> None:
    lanes = tmp_path / "lanes"
    one, two = (stages.stage_file(lanes, name) for name in ("lane-1", "lane-2"))
    assert stages.current(lanes, 0.0) == []
    stages.begin(two, "starting its worker")
    stages.begin(one, "starting its worker")
    stages.begin(one, "importing torch")
    os.utime(one, (time.time() - 12, time.time() - 12))
    (first, seconds), (second, _) = stages.current(lanes, 0.0)
    assert (first, second) == ("importing torch", "starting its worker")
    assert 12 <= seconds < 60
    stages.end(one)
    assert [stage for stage, _ in stages.current(lanes, 0.0)] == ["starting its worker"]


def test_what_killed_lanes_of_an_earlier_session_left_is_not_told(tmp_path: Path) -> None:
    file = stages.stage_file(tmp_path, "lane-1")
    stages.begin(file, "importing torch")
    assert stages.current(tmp_path, time.time() + 1) == []


def test_a_folder_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "lanes").touch()  # a file, where a folder should be
    file = stages.stage_file(tmp_path / "lanes", "lane-1")
    stages.begin(file, "importing torch")
    stages.end(file)
    assert stages.current(tmp_path / "lanes", 0.0) == []
