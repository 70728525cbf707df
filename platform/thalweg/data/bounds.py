"""Plausible range of a quantity, by unit; a value outside it marks missing data or is an error."""

import re
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Bounds:
    """Smallest and largest plausible value of a quantity in one unit.

    Attributes:
        unit: The unit, ``1`` for a share.
        low: Smallest plausible value.
        high: Largest plausible value.
        spellings: Other names of the unit in files; case, blanks, dots, ``^``, ``*`` and ``_`` are ignored.
        limit: Smallest value that is possible, where models that miss it a little are plausible.
    """

    unit: str
    low: float
    high: float
    spellings: tuple[str, ...] = ()
    limit: float | None = None

    def is_called(self, text: str) -> bool:
        """Returns whether a text names this unit."""
        return _plain(text) in {_plain(name) for name in (self.unit, *self.spellings)}


@lru_cache(1024)  # each configuration that is validated asks for the same few names
def _plain(text: str) -> str:
    return re.sub(r"[\s.^*_]", "", text.casefold())
