"""A folder is written by one process at a time, goes on where one was killed, and changes file by file."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from thalweg.data.updating import replace_file, updated
from thalweg.errors import DataError, OutputError
from thalweg.files import draft_of


def _own(folder: Path) -> bool:
    return (folder / "mark").exists()


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("empty", [False, True])
def test_a_new_folder_appears_only_when_complete(tmp_path: Path, empty: bool) -> None:
    target = tmp_path / "set"
    if empty:
        target.mkdir()
    with updated(target, _own) as folder:
        (folder / "mark").write_text("x")
        assert not (target / "mark").exists()
    assert (_names(tmp_path), _names(target)) == (["set"], ["mark"])


def test_what_was_written_before_a_failure_is_there_again(tmp_path: Path) -> None:
    target = tmp_path / "set"
    with pytest.raises(DataError), updated(target, _own) as folder:
        (folder / "mark").write_text("x")
        draft_of(folder / "half", own=True).write_text("x")
        raise DataError("broken")
    assert not target.exists()
    with updated(target, _own) as folder:
        assert _names(folder) == ["mark"]
    assert (_names(tmp_path), _names(target)) == (["set"], ["mark"])


def test_a_folder_of_ones_own_is_updated_in_place(tmp_path: Path) -> None:
    (tmp_path / "mark").write_text("x")
    with updated(tmp_path, _own) as folder:
        assert folder == tmp_path


def test_a_folder_with_other_content_and_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    for target in (tmp_path, tmp_path / "mine"):
        with pytest.raises(OutputError, match="made by the same import, got"), updated(target, _own):
            pass
    assert (tmp_path / "mine").read_text() == "x"


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    second = """
        import sys
        from pathlib import Path
        from thalweg.data.updating import updated
        from thalweg.errors import OutputError

        try:
            with updated(Path(sys.argv[1]), lambda folder: True):
                print("came in")
        except OutputError as error:
            print(error)
    """
    with updated(tmp_path / "set", _own) as folder:
        (folder / "mark").write_text("x")
        command = [sys.executable, "-c", textwrap.dedent(second), str(tmp_path / "set")]
        assert "wait for the first" in subprocess.check_output(command, text=True)
    assert "came in" in subprocess.check_output(command, text=True)


def test_a_file_is_replaced_only_if_its_content_changes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert replace_file(path, lambda new: new.write_text("a"))
    first = path.stat().st_ino
    assert not replace_file(path, lambda new: new.write_text("a"))
    assert path.stat().st_ino == first
    assert replace_file(path, lambda new: new.write_text("b"))
    assert (path.read_text(), _names(tmp_path)) == ("b", ["file"])
