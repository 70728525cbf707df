"""Files of whole lines, on a disk that fills up in the middle of one."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from thalweg.lines import append

Room = Callable[[int], AbstractContextManager[None]]


@pytest.mark.parametrize("size", [20, 21, 40, 54])
def test_what_a_full_disk_cut_short_is_taken_back(tmp_path: Path, room: Room, size: int) -> None:
    file = tmp_path / "lines"
    append(file, b"a" * 19 + b"\n")
    with room(size), pytest.raises(OSError, match="too large"):
        append(file, b"b" * 19 + b"\n" + b"c" * 15 + b"\n")
    assert file.read_bytes() == b"a" * 19 + b"\n"
    append(file, b"d\n")  # space was freed
    assert file.read_bytes() == b"a" * 19 + b"\nd\n"


@pytest.mark.parametrize("half", [1, 4095, 4096, 10_000])
@pytest.mark.parametrize("whole", [b"", b"whole\n", b"w" * 9_000 + b"\n"])
def test_half_a_line_of_a_dead_writer_is_cut_off(tmp_path: Path, whole: bytes, half: int) -> None:
    file = tmp_path / "lines"
    file.write_bytes(whole + b"x" * half)
    append(file, b"next\n", locked=True)
    assert file.read_bytes() == whole + b"next\n"
