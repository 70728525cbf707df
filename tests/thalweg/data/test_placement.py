"""Windows gathered on a device equal those copied out of the file, and nothing is put where it has no room."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from thalweg.data import placement
from thalweg.data.placement import fits, gather_here, gather_there, pin, send, upload
from thalweg.data.windows import gather

CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@given(length=st.integers(1, 5), starts=st.lists(st.integers(0, 14), min_size=1, max_size=6))
def test_gathering_on_a_device_equals_copying_windows_bit_for_bit(
    dtype: type[np.floating], length: int, starts: list[int]
) -> None:
    series = np.random.default_rng(0).standard_normal((20, 3, 4, 2)).astype(dtype)
    series.flags.writeable = False  # as a memory map is
    expected = torch.from_numpy(gather(series, np.array(starts), length))
    found = gather_there(upload(series, CPU), np.array(starts), length)
    assert torch.equal(found, expected)
    assert found.stride() == expected.stride()


def test_an_upload_keeps_the_stored_format_and_is_a_copy() -> None:
    array = np.ones((2, 3), np.float16)
    there = upload(array, CPU)
    array[:] = 0
    assert there.dtype == torch.float16
    assert there.sum() == 6


def test_a_cpu_has_no_room_for_what_its_processes_share() -> None:
    assert not fits(1, CPU)


def test_data_take_a_quarter_of_what_is_free_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "free_bytes", lambda device: 400)
    assert fits(100, CPU)
    assert not fits(101, CPU)


def test_on_a_cpu_nothing_is_copied_to_travel() -> None:
    values = torch.arange(3).expand(2, 3)
    assert pin(values, CPU) is values
    assert send(values, CPU) is values


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_an_expanded_tensor_travels_to_a_gpu() -> None:
    device = torch.device("cuda")
    sent = send(torch.arange(3).expand(2, 3), device)
    assert sent.device.type == "cuda"
    assert sent.tolist() == [[0, 1, 2], [0, 1, 2]]
    assert pin(sent, device) is sent


def test_memory_is_lent_again_only_once_no_view_of_it_is_left() -> None:
    placement.free()
    first = placement.empty(3, 5)
    place, view = first.data_ptr(), first.numpy()[1:]
    del first
    assert placement.empty(3, 5).data_ptr() != place  # the view holds it
    del view
    again = placement.empty(5, 3, dtype=torch.int32)
    assert again.data_ptr() == place
    placement.free()


@pytest.mark.parametrize("shape", [(0,), (4, 0, 25), (2, 3, 0)])
def test_an_empty_modality_has_no_memory(shape: tuple[int, ...]) -> None:
    found = placement.empty(*shape, dtype=torch.float64)
    assert found.shape == shape and found.dtype == torch.float64


@given(starts=st.lists(st.integers(0, 15), max_size=4), items=st.integers(0, 3))
def test_windows_in_lent_memory_are_those_of_new_memory(starts: list[int], items: int) -> None:
    series = np.random.default_rng(0).normal(size=(20, 2, items)).astype(np.float32)
    where = np.array(starts, np.int64)
    assert np.array_equal(gather_here(series, where, 5).numpy(), gather(series, where, 5))
