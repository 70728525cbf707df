"""Collects the faults of a data set, so that they are reported together and not one per run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from thalweg.errors import DataError

_MAX_TOLD = 10

T = TypeVar("T")


class DataFaults(DataError):
    """Error for several faults; each argument is one message."""

    def __str__(self) -> str:
        told = [f"\n  {number}. {text}" for number, text in enumerate(self.args[:_MAX_TOLD], 1)]
        others = len(self.args) - len(told)
        rest = f"\n  and {others} more" if others else ""
        return f"data must be sound, got {len(self.args)} faults:{''.join(told)}{rest}"


class Faults:
    """Collects the messages of `DataError`s, so that later checks still run."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._texts)

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Catches a `DataError` of the block and keeps its message."""
        try:
            yield
        except DataFaults as error:
            self._texts += error.args
        except DataError as error:
            self._texts.append(str(error))

    def add(self, text: str) -> None:
        """Keeps a message."""
        self._texts.append(text)

    def attempt(self, work: Callable[[], T]) -> T | None:
        """Returns the result of `work`; None if it raises a `DataError`, whose message is kept."""
        found: list[T] = []
        with self.collected():
            found.append(work())
        return found[0] if found else None

    @property
    def texts(self) -> tuple[str, ...]:
        """The messages, each once."""
        return tuple(dict.fromkeys(self._texts))

    def raise_if_any(self) -> None:
        """Raises the collected messages as one error.

        Raises:
            DataError: There are messages.
        """
        texts = self.texts
        if len(texts) == 1:
            raise DataError(texts[0])
        if texts:
            raise DataFaults(*texts)
