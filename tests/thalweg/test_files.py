"""What has its name is whole and on the disk; a lock ends with its process."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from thalweg import files
from thalweg.errors import DataError, OutputError
from thalweg.files import (
    LockHeld,
    atomic_file,
    atomic_folder,
    copy_folder,
    discard,
    draft_of,
    drafts,
    lock,
    locked,
    move,
    publish,
    writing,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What was waited for, in order, beside the files that were there under their name at that moment."""
    seen: list[Path] = []
    true = files._sync_path

    def sync(path: Path) -> None:
        seen.append(path)
        true(path)

    monkeypatch.setattr(files, "_sync_path", sync)
    return seen


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, synced: list[Path]) -> None:
    path = tmp_path / "file"
    with atomic_file(path) as draft:
        draft.write_text("x")
        assert not path.exists()
        assert drafts(tmp_path) == [draft]
    assert path.read_text() == "x"
    assert synced == [draft, tmp_path]
    assert names(tmp_path) == ["file"]


def test_a_folder_is_on_the_disk_before_it_has_its_name(tmp_path: Path, synced: list[Path]) -> None:
    path = tmp_path / "above" / "folder"
    with atomic_folder(path) as draft:
        (draft / "in").mkdir()
        (draft / "in" / "file").write_text("x")
        (draft / "link").symlink_to("in")
        os.mkfifo(draft / "pipe")  # opening one would wait for ever
        assert not path.exists()
    assert {draft, draft / "in", draft / "in" / "file"} == set(synced[:-1])
    assert synced[-1] == path.parent
    assert names(path.parent) == ["folder"]


@pytest.mark.parametrize("error", [DataError, KeyboardInterrupt])
def test_a_block_that_fails_changes_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "file").write_text("before")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").touch()
    with pytest.raises(error), atomic_file(tmp_path / "file") as draft:
        draft.write_text("half")
        raise error
    with pytest.raises(error), atomic_folder(tmp_path / "folder", overwrite=True) as draft:
        (draft / "new").touch()
        raise error
    assert names(tmp_path) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == "before"
    assert names(tmp_path / "folder") == ["old"]


def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, room: Callable[[int], AbstractContextManager[None]]
) -> None:
    path = tmp_path / "file"
    path.write_text("before")
    with (
        room(10),
        pytest.raises(OutputError, match=r"a list must be writable, got .* for .*file; free space") as caught,
        writing("a list", path, "free space"),
        atomic_file(path) as draft,
    ):
        draft.write_text("x" * 1000)
    assert caught.value.errno == errno.EFBIG
    assert (path.read_text(), names(tmp_path)) == ("before", ["file"])


def test_what_cannot_be_waited_for_gets_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"), atomic_file(tmp_path / "file") as draft:
        draft.write_text("x")
    with pytest.raises(OSError, match="No space left"), atomic_folder(tmp_path / "folder"):
        pass
    assert names(tmp_path) == []


def test_a_file_system_that_cannot_wait_for_folders_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = os.fsync

    def refuse(handle: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        true(handle)

    monkeypatch.setattr(os, "fsync", refuse)
    with atomic_file(tmp_path / "file") as draft:
        draft.write_text("x")
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("links", [True, False])
def test_the_first_file_keeps_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    def refuse(*paths: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    with atomic_file(tmp_path / "file", overwrite=False) as draft:
        draft.write_text("first")
    with pytest.raises(FileExistsError), atomic_file(tmp_path / "file", overwrite=False) as draft:
        draft.write_text("second")
    assert (names(tmp_path), (tmp_path / "file").read_text()) == (["file"], "first")


def test_a_folder_takes_the_place_of_another_only_if_it_may(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    for name, may in (("in an empty one", False), ("in its place", True)):
        with atomic_folder(path, overwrite=may) as draft:
            (draft / name).touch()
        assert names(path) == [name]
    with pytest.raises(OSError, match="not empty"), atomic_folder(path) as draft:
        (draft / "other").touch()
    assert (names(tmp_path), names(path)) == (["folder"], ["in its place"])


def test_a_folder_that_cannot_be_named_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, true = tmp_path / "folder", os.rename
    path.mkdir()
    (path / "old").touch()

    def refuse(source: Path, target: Path) -> None:
        if target == path and (Path(source) / "new").exists():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        true(source, target)

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(OSError, match="Input/output"), atomic_folder(path, overwrite=True) as draft:
        (draft / "new").touch()
    assert (names(tmp_path), names(path)) == (["folder"], ["old"])


def test_what_a_link_leads_to_stays(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine").touch()
    (tmp_path / "folder").symlink_to(elsewhere)
    with atomic_folder(tmp_path / "folder", overwrite=True) as draft:
        (draft / "new").touch()
    (tmp_path / "link").symlink_to(elsewhere)
    discard(tmp_path / "link")
    assert names(elsewhere) == ["mine"]
    assert (names(tmp_path), names(tmp_path / "folder")) == (["elsewhere", "folder"], ["new"])


def test_a_device_is_written_as_it_is() -> None:
    with atomic_file(Path("/dev/null")) as draft:
        draft.write_text("x")
    assert Path("/dev/null").is_char_device()


def test_a_shared_draft_is_found_by_all_and_published(tmp_path: Path) -> None:
    draft = draft_of(tmp_path / "folder")
    assert draft == draft_of(tmp_path / "folder")
    assert draft_of(tmp_path / "folder", own=True) != draft_of(tmp_path / "folder", own=True)
    draft.mkdir()
    publish(draft, tmp_path / "folder")
    move(tmp_path / "folder", tmp_path / "other")
    assert names(tmp_path) == ["other"]


@pytest.mark.parametrize("links", [True, False])
def test_a_copy_shares_its_bytes_if_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refuse(*paths: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "one" / "in").mkdir(parents=True)
    (tmp_path / "one" / "in" / "file").write_text("x")
    with atomic_folder(tmp_path / "two") as draft:
        copy_folder(tmp_path / "one", draft)
    copy, original = tmp_path / "two" / "in" / "file", tmp_path / "one" / "in" / "file"
    assert copy.read_text() == "x"
    assert copy.samefile(original) == links


HOLD = """
    import sys, time
    from pathlib import Path
    from thalweg.files import locked

    with locked(Path(sys.argv[1]), temporary=True) as held:
        print(held, flush=True)
        time.sleep(600)
"""


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", textwrap.dedent(HOLD), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        with pytest.raises(LockHeld), locked(path, max_wait_s=0.2):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
        with locked(path) as held:
            assert held


def test_a_lock_whose_file_is_removed_is_taken_anew(tmp_path: Path) -> None:
    """Who waits for a temporary lock gets the handle of a file that has no name any more, and must not believe it."""
    path, taken = tmp_path / "lock", threading.Event()

    def wait() -> None:
        with locked(path, temporary=True):
            assert path.exists()
            taken.set()

    waiting = threading.Thread(target=wait)
    with locked(path, temporary=True):
        waiting.start()
        assert not taken.wait(0.3)
    waiting.join(10.0)
    assert taken.is_set()
    assert names(tmp_path) == []


def test_a_folder_can_be_locked_and_shared(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(LockHeld), locked(tmp_path, max_wait_s=0.0):
        pass
    with (tmp_path / "file").open("ab") as one, (tmp_path / "file").open("ab") as two:
        lock(one, shared=True)
        lock(two, wait=False, shared=True)
        with pytest.raises(LockHeld):
            lock(two, wait=False)


def test_an_error_that_is_for_people_already_is_not_wrapped(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^broken$"), writing("a list", tmp_path, "free space"):
        raise DataError("broken")
    with (
        pytest.raises(OutputError, match=r"^there is no room$"),
        writing("a list", tmp_path, "free space"),
    ):
        raise OutputError("there is no room")
    with pytest.raises(ValueError, match=r"^other$"), writing("a list", tmp_path, "free space"):
        raise ValueError("other")
