from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thalweg.data.npy import read_npy
from thalweg.errors import DataError

VALUES = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.mark.parametrize("values", [VALUES, VALUES.T, VALUES.astype(bool), np.zeros((0, 2), np.int16)])
def test_what_numpy_wrote_is_read(tmp_path: Path, values: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", values)
    found = read_npy(tmp_path / "a.npy")
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)


def _zipped(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, VALUES)


def _header(text: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)


BREAKS: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: path.unlink(),
    "half": lambda path: path.write_bytes(path.read_bytes()[:-5]),
    "several arrays": _zipped,
    "objects": lambda path: np.save(path, np.array([{}, None], object)),
    "a header without an end": _header(b"{'descr': '<f4', 'shape': ("),
    "a header of no dictionary": _header(b"'''"),
}


@pytest.mark.parametrize("case", sorted(BREAKS))
def test_what_is_damaged_is_refused_by_name(tmp_path: Path, case: str) -> None:
    np.save(tmp_path / "a.npy", VALUES)
    BREAKS[case](tmp_path / "a.npy")
    with pytest.raises(DataError, match=r"a.npy must be a complete npy file, got \w+: .*; copy it again"):
        read_npy(tmp_path / "a.npy")


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 170), content=st.binary(min_size=1, max_size=6))
def test_whatever_is_damaged_is_read_or_refused(tmp_path: Path, at: int, content: bytes) -> None:
    np.save(tmp_path / "a.npy", VALUES)
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(whole[:at] + content + whole[at + len(content) :])
    with suppress(DataError):
        read_npy(tmp_path / "a.npy")
