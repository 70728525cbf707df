"""Phrases that sentences for people share."""

from collections.abc import Iterable
from pathlib import Path


def counted(count: int, noun: str) -> str:
    """Writes ``1 trial`` or ``2 trials``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def some(names: Iterable[str], most: int = 5, separator: str = ", ") -> str:
    """Writes the first of many names and how many more there are: ``a, b and 7 more``.

    Args:
        names: The names.
        most: Number of names that are written.
        separator: What stands between two of them.
    """
    listed = list(names)
    more = f" and {len(listed) - most:,} more" if len(listed) > most else ""
    return separator.join(listed[:most]) + more


def as_seen(path: str | Path) -> str:
    """Writes a path as it holds from where the user stands: relative if it lies below the working directory."""
    whole = Path(path).absolute()
    return str(whole.relative_to(Path.cwd())) if whole.is_relative_to(Path.cwd()) else str(whole)
