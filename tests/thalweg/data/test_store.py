"""A store appears once, whole, for all processes, and says which content it belongs to."""

import errno
import fcntl
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thalweg.data.store import StoreWriter, content_hashes, key_of, open_store, release, staged
from thalweg.errors import DataError, OutputError

_KEY = key_of({"format": 1})


def _prepare(writer: StoreWriter) -> Mapping[str, Any]:
    writer.create("days", (4, 3), np.float32)[...] = np.arange(12).reshape(4, 3)
    writer.put("flags", np.array([True, False]))
    return {"mean": 0.1}


def _refuse(writer: StoreWriter) -> Mapping[str, Any]:
    raise AssertionError("prepared twice")


def test_a_store_returns_what_was_prepared(tmp_path: Path) -> None:
    store = open_store(tmp_path, _KEY, _prepare)
    assert store.arrays["days"].tolist() == np.arange(12).reshape(4, 3).tolist()
    assert store.arrays["flags"].tolist() == [True, False]
    assert store.metadata == {"mean": 0.1}


def test_a_store_is_prepared_once(tmp_path: Path) -> None:
    open_store(tmp_path, _KEY, _prepare)
    assert open_store(tmp_path, _KEY, _refuse).metadata == {"mean": 0.1}


def test_arrays_are_read_only_maps_of_the_file(tmp_path: Path) -> None:
    days = open_store(tmp_path, _KEY, _prepare).arrays["days"]
    assert not days.flags.writeable
    assert isinstance(days.base, np.memmap)


def _resident_kb(file: str) -> int:
    """Returns how much of a mapped file is in this process's memory."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    return sum(
        next(int(each.split()[1]) for each in lines if each.startswith("Rss:"))
        for line in lines
        if line.endswith(file)
    )


def test_a_released_array_keeps_its_values_and_no_memory(tmp_path: Path) -> None:
    def prepare(writer: StoreWriter) -> Mapping[str, Any]:
        days = writer.create("large", (512, 1024), np.float32)
        days[:256] = 7
        before = _resident_kb("large.npy")
        release(days)
        assert before >= 1024 and _resident_kb("large.npy") == 0
        days[256:] = days[:256] + 1
        return {}

    large = open_store(tmp_path, _KEY, prepare).arrays["large"]
    assert (large[:256] == 7).all() and (large[256:] == 8).all()
    release(large[3:5].T)
    release(np.zeros(3))
    assert large[0, 0] == 7


def test_another_key_is_another_store(tmp_path: Path) -> None:
    open_store(tmp_path, _KEY, _prepare)
    other = open_store(tmp_path, key_of({"format": 2}), lambda writer: {"mean": 2.0})
    assert other.metadata == {"mean": 2.0}
    assert open_store(tmp_path, _KEY, _refuse).metadata == {"mean": 0.1}


def test_a_key_depends_on_values_and_not_on_their_order() -> None:
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    assert key_of({"a": 1, "b": 2}) != key_of({"a": 1, "b": 3})


def test_a_failed_preparation_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail(writer: StoreWriter) -> Mapping[str, Any]:
        writer.create("days", (4,), np.float32)
        raise DataError("broken")

    with pytest.raises(DataError, match="broken"):
        open_store(tmp_path, _KEY, fail)
    assert [path.name for path in tmp_path.iterdir()] == [f"{_KEY}.lock"]
    assert open_store(tmp_path, _KEY, _prepare).metadata == {"mean": 0.1}


@pytest.mark.parametrize("name", ["days.npy", "facts.json"])
def test_a_store_that_lost_bytes_is_prepared_again(tmp_path: Path, name: str) -> None:
    open_store(tmp_path, _KEY, _prepare)
    file = tmp_path / _KEY / name
    file.write_bytes(file.read_bytes()[:-4])
    assert open_store(tmp_path, _KEY, _prepare).arrays["days"][3].tolist() == [9, 10, 11]


def test_a_store_that_lost_a_file_is_prepared_again(tmp_path: Path) -> None:
    open_store(tmp_path, _KEY, _prepare)
    (tmp_path / _KEY / "flags.npy").unlink()
    assert open_store(tmp_path, _KEY, _prepare).arrays["flags"].tolist() == [True, False]


_RACE = """
    import fcntl, os, sys, time
    from pathlib import Path
    import numpy as np
    from thalweg.data.store import open_store

    folder, mode = Path(sys.argv[1]), sys.argv[2]
    if mode == "no locks":
        def refuse(*arguments):
            raise OSError("no locks available")
        fcntl.flock = refuse

    def prepare(writer):
        with (folder / "log").open("a") as log:
            log.write("prepared\\n")
        days = writer.create("days", (1000,), np.int64)
        time.sleep(0.3)
        days[...] = np.arange(1000)
        return {}

    while not (folder / "go").exists():
        time.sleep(0.01)
    print(int(open_store(folder / "stores", "key", prepare).arrays["days"].sum()))
"""


def _race(folder: Path, mode: str, count: int) -> list[tuple[int, str]]:
    command = [sys.executable, "-c", textwrap.dedent(_RACE), str(folder), mode]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    (folder / "go").touch()
    return [(racer.wait(timeout=120), racer.communicate()[0].strip()) for racer in racers]


@pytest.mark.slow
def test_processes_that_start_at_once_prepare_one_store(tmp_path: Path) -> None:
    assert _race(tmp_path, "locks", 3) == [(0, "499500")] * 3
    assert (tmp_path / "log").read_text() == "prepared\n"


@pytest.mark.slow
def test_processes_without_file_locks_all_get_a_whole_store(tmp_path: Path) -> None:
    assert _race(tmp_path, "no locks", 3) == [(0, "499500")] * 3
    left = {path.name for path in (tmp_path / "stores").iterdir()}
    assert left == {"key", "key.lock"}


_IN_STEPS = """
    import os, sys
    from pathlib import Path
    import numpy as np
    from thalweg.data.store import open_store

    folder, key, dies_in = Path(sys.argv[1]), sys.argv[2], sys.argv[3]

    def prepare(writer):
        def work(name, first):
            (folder / "log").open("a").write(f"{key} {name}\\n")
            days = writer.create("days", (3, 1000), np.int64)
            own = writer.create(name, (2,), np.int64)
            own[...] = first
            if name == dies_in:
                days[first] = -1
                os.kill(os.getpid(), 9)
            days[first] = first
            return {"first": first, "mean": first / 3}
        return {name: writer.step(name, lambda: work(name, first)) for first, name in enumerate("abc")}

    store = open_store(folder / "stores", key, prepare)
    print(store.arrays["days"].sum(axis=1).tolist(), store.metadata["c"], store.arrays["a"].sum())
"""


def _in_steps(folder: Path, key: str, dies_in: str = "") -> tuple[int, str]:
    command = [sys.executable, "-c", textwrap.dedent(_IN_STEPS), str(folder), key, dies_in]
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=120, check=False)
    return found.returncode, found.stdout.strip()


_WHOLE = (0, "[0, 1000, 2000] {'first': 2, 'mean': 0.6666666666666666} 0")


def test_a_killed_preparation_goes_on_after_its_last_finished_step(tmp_path: Path) -> None:
    assert _in_steps(tmp_path, "key", dies_in="b")[0] == -9
    finished = (tmp_path / "stores" / "key.partial" / "a.npy").stat()
    assert _in_steps(tmp_path, "key") == _WHOLE
    assert (tmp_path / "log").read_text().splitlines() == ["key a", "key b", "key b", "key c"]
    kept = (tmp_path / "stores" / "key" / "a.npy").stat()
    assert (kept.st_ino, kept.st_mtime_ns) == (finished.st_ino, finished.st_mtime_ns)
    assert {path.name for path in (tmp_path / "stores").iterdir()} == {"key", "key.lock"}


def test_what_was_killed_is_of_no_use_to_another_key(tmp_path: Path) -> None:
    assert _in_steps(tmp_path, "key", dies_in="b")[0] == -9
    assert _in_steps(tmp_path, "other") == _WHOLE
    assert (tmp_path / "log").read_text().splitlines()[2:] == ["other a", "other b", "other c"]
    assert (tmp_path / "stores" / "key.partial").exists()


@pytest.mark.parametrize("name", ["a.npy", "days.npy", "journal.jsonl"])
def test_a_finished_step_that_lost_bytes_is_done_again(tmp_path: Path, name: str) -> None:
    assert _in_steps(tmp_path, "key", dies_in="b")[0] == -9
    file = tmp_path / "stores" / "key.partial" / name
    file.write_bytes(file.read_bytes()[:-4])
    assert _in_steps(tmp_path, "key") == _WHOLE
    assert (tmp_path / "log").read_text().splitlines()[2:] == ["key a", "key b", "key c"]


def test_an_interrupted_preparation_goes_on_and_a_failed_one_begins_again(tmp_path: Path) -> None:
    done = []

    def prepare(error: type[BaseException] | None) -> Callable[[StoreWriter], Mapping[str, Any]]:
        def step() -> Mapping[str, Any]:
            done.append("a")
            return {}

        def work(writer: StoreWriter) -> Mapping[str, Any]:
            result = writer.step("a", step)
            if error is not None:
                raise error
            return result

        return work

    for error, count in ((KeyboardInterrupt, 1), (DataError, 1), (DataError, 2)):
        with pytest.raises(error):
            open_store(tmp_path, _KEY, prepare(error))
        assert len(done) == count
    open_store(tmp_path, _KEY, prepare(None))
    assert len(done) == 3


def _without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_without_file_locks_the_first_to_finish_keeps_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without_locks(monkeypatch)
    file = tmp_path / _KEY / "days.npy"
    first = []

    def slow(writer: StoreWriter) -> Mapping[str, Any]:
        open_store(tmp_path, _KEY, _prepare)  # another process begins later and is done earlier
        first.append(file.stat().st_ino)
        return _prepare(writer)

    assert open_store(tmp_path, _KEY, slow).metadata == {"mean": 0.1}
    assert [file.stat().st_ino] == first
    assert {path.name for path in tmp_path.iterdir()} == {_KEY, f"{_KEY}.lock"}


def test_without_file_locks_a_damaged_store_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without_locks(monkeypatch)
    open_store(tmp_path, _KEY, _prepare)
    (tmp_path / _KEY / "flags.npy").unlink()
    assert open_store(tmp_path, _KEY, _prepare).arrays["flags"].tolist() == [True, False]
    assert {path.name for path in tmp_path.iterdir()} == {_KEY, f"{_KEY}.lock"}


@pytest.mark.parametrize("code", [errno.ENOENT, errno.ESTALE])
def test_a_store_that_vanishes_while_it_is_opened_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    open_store(tmp_path, _KEY, _prepare)
    load, calls = np.load, []

    def vanish(path: Path, **options: Any) -> Any:
        calls.append(path)
        if len(calls) == 1:
            raise OSError(code, os.strerror(code))
        return load(path, **options)

    monkeypatch.setattr(np, "load", vanish)
    assert open_store(tmp_path, _KEY, _refuse).metadata == {"mean": 0.1}
    assert len(calls) == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match=r"data must be writable, got .*stores"):
        open_store(tmp_path / "stores", _KEY, _prepare)


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "stores").write_text("a file")
    with pytest.raises(OutputError, match=r"data must be writable, got .*stores"):
        open_store(tmp_path / "stores", _KEY, _prepare)


def test_a_full_disk_is_an_output_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OutputError, match=r"No space left on device for .*; free space there"):
        open_store(tmp_path, _KEY, _prepare)


def test_equal_content_has_equal_hashes_wherever_it_lies(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"same")
    (tmp_path / "c").write_bytes(b"other")
    hashes = content_hashes({name: tmp_path / name for name in "abc"}, tmp_path / "stores")
    assert hashes["a"] == hashes["b"] != hashes["c"]


def test_unchanged_files_are_not_read_again(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"content")
    content_hashes({"a": file}, tmp_path)
    cache = tmp_path / "content.json"
    (stamp,) = json.loads(cache.read_text())
    cache.write_text(json.dumps({stamp: "from the cache"}))
    assert content_hashes({"a": file}, tmp_path) == {"a": "from the cache"}


def test_files_of_other_names_stay_in_the_cache_and_old_versions_do_not(tmp_path: Path) -> None:
    for text in ("1", "22"):
        for name in "ab":
            (tmp_path / name).write_text(text)
            content_hashes({name: tmp_path / name}, tmp_path)
    stamps = json.loads((tmp_path / "content.json").read_text())
    assert sorted(stamp.rsplit(":", 2)[0] for stamp in stamps) == ["a:2", "b:2"]


def test_files_of_one_name_in_two_folders_have_hashes_of_their_own(tmp_path: Path) -> None:
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "0001").write_bytes(folder.encode())
    names = ("a/0001", "b/0001")
    hashes = content_hashes({name: tmp_path / name for name in names}, tmp_path)
    assert hashes["a/0001"] != hashes["b/0001"]
    stamps = json.loads((tmp_path / "content.json").read_text())
    assert sorted(stamp.partition(":")[0] for stamp in stamps) == ["a/0001", "b/0001"]


def test_changed_files_are_read_again(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"content")
    before = content_hashes({"a": file}, tmp_path)
    file.write_bytes(b"CONTENT")
    os.utime(file, ns=(0, 10**18))
    assert content_hashes({"a": file}, tmp_path) != before


def test_a_broken_cache_of_hashes_is_rebuilt(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    hashes = content_hashes({"a": tmp_path / "a"}, tmp_path)
    (tmp_path / "content.json").write_text('{"half')
    assert content_hashes({"a": tmp_path / "a"}, tmp_path) == hashes


def test_a_staged_folder_appears_only_when_complete(tmp_path: Path) -> None:
    target = tmp_path / "dataset"
    with staged(target) as folder:
        (folder / "file").write_text("x")
        assert not target.exists()
    assert [path.name for path in target.iterdir()] == ["file"]
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]


def test_an_interrupted_staging_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), staged(tmp_path / "dataset") as folder:
        (folder / "file").write_text("x")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_an_empty_folder_may_be_the_target(tmp_path: Path) -> None:
    target = tmp_path / "dataset"
    target.mkdir()
    with staged(target) as folder:
        (folder / "file").write_text("x")
    assert (target / "file").exists()


def test_a_folder_with_content_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(OutputError, match="must be new or empty"), staged(tmp_path):
        pass
    assert (tmp_path / "mine").read_text() == "x"
