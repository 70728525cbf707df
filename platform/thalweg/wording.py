"""Phrases that sentences for people share."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

_DIGITS = (4, 6, 9, 13)


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


def shortened(value: Any, digits: int = 6) -> str:
    """Writes the value of a parameter; a float with so many digits at most, ``0.03`` for 0.02999999999999997.

    Args:
        value: Any value; those in a list or tuple are written alike.
        digits: Significant digits.
    """
    if isinstance(value, list | tuple):
        opening, closing = "[]" if isinstance(value, list) else "()"
        return f"{opening}{', '.join(shortened(each, digits) for each in value)}{closing}"
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def told_apart(values: Iterable[Any]) -> list[str]:
    """Writes options of a parameter, with as few digits as it takes to tell them apart, but at least four."""
    options = list(values)
    exact = list(map(str, options))
    for digits in _DIGITS:
        texts = [shortened(option, digits) for option in options]
        if len(set(texts)) == len(set(exact)):
            return texts
    return exact


def as_seen(path: str | Path) -> str:
    """Writes a path as it holds from where the user stands: relative if it lies below the working directory."""
    whole = Path(path).absolute()
    return str(whole.relative_to(Path.cwd())) if whole.is_relative_to(Path.cwd()) else str(whole)
