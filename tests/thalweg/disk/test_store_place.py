"""Where prepared stores lie if not beside their data."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thalweg.data.store import StoreWriter, content_hashes, open_store
from thalweg.disk import store_place
from thalweg.errors import OutputError

_KEY = "0123456789abcdef0123"


def _prepare(writer: StoreWriter) -> dict[str, Any]:
    writer.put("days", np.arange(3))
    return {"count": 3}


def _refuse(writer: StoreWriter) -> dict[str, Any]:
    raise AssertionError("it is prepared already")


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("THALWEG_CACHE", str(tmp_path / "caches"))
    monkeypatch.delenv("THALWEG_STORE", raising=False)
    return tmp_path / "caches"


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "rain" / "coast"
    folder.mkdir(parents=True)
    (folder / "days.txt").write_text("1 2 3")
    return folder


@pytest.fixture
def lock(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets the system refuse to make folders below one, as on a file system that is mounted so; root may do all."""

    def lock(folder: Path, code: int = errno.EROFS) -> None:
        make = os.mkdir

        def refuse(path: Any, *arguments: Any, **options: Any) -> None:
            if Path(path).is_relative_to(folder) and not Path(path).is_dir():
                raise OSError(code, os.strerror(code), str(path))
            make(path, *arguments, **options)

        monkeypatch.setattr(os, "mkdir", refuse)

    return lock


def test_a_store_lies_beside_its_data_if_these_can_be_written(caches: Path, data_set: Path) -> None:
    open_store(data_set / ".store", _KEY, _prepare)
    assert (data_set / ".store" / _KEY).is_dir()
    assert not caches.exists()
    assert store_place.elsewhere(data_set) == ""


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_a_store_of_data_that_cannot_be_written_lies_in_the_caches_and_is_told(
    caches: Path, data_set: Path, lock: Callable[..., None], code: int
) -> None:
    lock(data_set, code)
    files = {"days.txt": data_set / "days.txt"}
    hashes = content_hashes(files, data_set / ".store")
    assert open_store(data_set / ".store", _KEY, _prepare).metadata == {"count": 3}
    (place,) = (caches / "stores").iterdir()
    assert place.name.startswith("rain-coast-")
    assert {path.name for path in place.iterdir()} >= {_KEY, "content.json"}
    assert not (data_set / ".store").exists()
    assert open_store(data_set / ".store", _KEY, _refuse).arrays["days"].tolist() == [0, 1, 2]
    (data_set / "days.txt").chmod(0o644)
    assert content_hashes(files, data_set / ".store") == hashes
    assert store_place.elsewhere(data_set) == (
        f"{data_set} cannot be written, so what is prepared of it lies in {place}; set THALWEG_STORE to choose "
        "another folder"
    )


def test_a_store_that_lies_beside_data_that_cannot_be_written_is_read_there(
    caches: Path, data_set: Path, lock: Callable[..., None]
) -> None:
    files = {"days.txt": data_set / "days.txt"}
    hashes = content_hashes(files, data_set / ".store")
    open_store(data_set / ".store", _KEY, _prepare)
    lock(data_set)
    assert content_hashes(files, data_set / ".store") == hashes
    assert open_store(data_set / ".store", _KEY, _refuse).metadata == {"count": 3}
    assert not caches.exists()


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="no folder in which nobody may write")
def test_the_real_system_refuses_where_nobody_may_write(caches: Path) -> None:
    open_store(Path("/sys/rain/coast/.store"), _KEY, _prepare)
    assert [path.name[:11] for path in (caches / "stores").iterdir()] == ["rain-coast-"]


def test_the_user_s_folder_holds_the_stores_of_all_data_sets(
    caches: Path, data_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(data_set / ".store", _KEY, _prepare)
    monkeypatch.setenv("THALWEG_STORE", str(tmp_path / "fast"))
    other = tmp_path / "more" / "rain" / "coast"
    for folder in (data_set, other):  # one name, two places
        open_store(folder / ".store", _KEY, _prepare)
    assert sorted(path.name[:11] for path in (tmp_path / "fast").iterdir()) == ["rain-coast-", "rain-coast-"]
    assert not other.exists()
    assert store_place.elsewhere(data_set) == ""


def test_a_folder_of_the_user_s_is_the_same_wherever_a_process_works(
    data_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("THALWEG_STORE", "fast")
    store_place.settle()
    monkeypatch.chdir(data_set)
    (place,) = store_place.readable(data_set / ".store")
    assert place.parent == tmp_path / "fast"


def test_without_caches_the_error_names_the_data(
    data_set: Path, lock: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THALWEG_CACHE", os.devnull)
    lock(data_set)
    with pytest.raises(OutputError, match=rf"Read-only file system for {data_set}.*set THALWEG_STORE"):
        open_store(data_set / ".store", _KEY, _prepare)


def test_a_full_disk_is_told_and_not_evaded(caches: Path, data_set: Path, lock: Callable[..., None]) -> None:
    lock(data_set, errno.ENOSPC)
    with pytest.raises(OutputError, match=r"No space left on device"):
        open_store(data_set / ".store", _KEY, _prepare)
    assert not caches.exists()
