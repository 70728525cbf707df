"""The next batch is drawn while the present one is used, and no other."""

import threading

import pytest
import torch

from thalweg.contract import Batch
from thalweg.training.transfer import prefetch_thread, prefetched

CPU = torch.device("cpu")


def test_batches_come_in_their_order_and_each_is_drawn_once_one_ahead() -> None:
    drawn: list[int] = []

    def draw(number: int) -> Batch:
        drawn.append(number)
        return {"number": torch.tensor(number)}

    with prefetch_thread(CPU) as executor:
        for place, batch in enumerate(prefetched(executor, draw, range(4))):
            executor.submit(lambda: None).result()  # behind the batch that is drawn ahead
            assert int(batch["number"]) == place
            assert drawn == list(range(min(place + 2, 4)))


def test_drawing_has_a_thread_of_its_own() -> None:
    names: list[str] = []

    def draw(number: int) -> Batch:
        names.append(threading.current_thread().name)
        return {}

    with prefetch_thread(CPU) as executor:
        assert list(prefetched(executor, draw, range(2))) == [{}, {}]
    assert all(name.startswith("batch") for name in names)


def test_what_goes_wrong_while_drawing_is_raised_at_its_batch() -> None:
    def draw(number: int) -> Batch:
        if number:
            raise OSError("gone")
        return {}

    with prefetch_thread(CPU) as executor:
        batches = prefetched(executor, draw, range(3))
        assert next(batches) == {}
        with pytest.raises(OSError, match="gone"):
            next(batches)
