"""Baselines of a study on disk."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from thalweg.errors import OutputError
from thalweg.training import baselines

FOUND = {"zero": {"mse": 0.5}, "untrained": {"mse": 1.25}}


def test_the_first_who_writes_them_is_heard(tmp_path: Path) -> None:
    baselines.write_once(tmp_path / "study", FOUND)
    baselines.write_once(tmp_path / "study", {"zero": {"mse": 9.0}})
    assert baselines.read(tmp_path / "study") == FOUND


def test_a_full_disk_is_said_and_leaves_nothing(
    tmp_path: Path, room: Callable[[int], AbstractContextManager[None]]
) -> None:
    with (
        room(10),
        pytest.raises(OutputError, match=r"baselines .*free space and give the same command again"),
    ):
        baselines.write_once(tmp_path, FOUND)
    assert list(tmp_path.iterdir()) == []
    assert baselines.read(tmp_path) is None
