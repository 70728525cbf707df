"""Differences of configurations, knob by knob, under dotted names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from thalweg.analysis.declared import family_of
from thalweg.config import active, nested_leaves, parse
from thalweg.errors import ConfigError, DiscoveryError
from thalweg.search.store.records import StudyRecord


class Absence(Enum):
    """What stands in the place of a knob that a configuration does not have, which is not the value None."""

    ABSENT = "absent"


ABSENT: Final = Absence.ABSENT


@dataclass(frozen=True)
class KnobDifference:
    """A knob that differs between configurations.

    Attributes:
        name: Its dotted name, with the place in a list of groups: ``data.modalities[0].unit``.
        values: Its value in each configuration; `ABSENT` in one that has no such knob, or where it has no effect.
    """

    name: str
    values: tuple[Any, ...]


def knob_differences(
    configurations: Sequence[Mapping[str, Any]], *, inside_lists: bool = True
) -> list[KnobDifference]:
    """Returns the knobs that differ between configurations, in the order in which these name them.

    Args:
        configurations: Values by dotted name, as `knobs_of` returns them.
        inside_lists: Whether groups in lists are compared knob by knob, and not the lists as wholes.
    """
    columns = [dict(_expanded(values) if inside_lists else values) for values in configurations]
    names = dict.fromkeys(name for values in columns for name in values)
    rows = (KnobDifference(name, tuple(values.get(name, ABSENT) for values in columns)) for name in names)
    return [row for row in rows if not all(is_same(row.values[0], other) for other in row.values[1:])]


def is_same(one: Any, other: Any) -> bool:
    """Returns whether two values in JSON are the same; 1 and 1.0 are, 1 and True are not, nor are None and `ABSENT`."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(is_same(value, other[name]) for name, value in one.items())
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def knobs_of(record: StudyRecord, config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the knobs of a recorded configuration that have an effect, None and empty lists included.

    Knobs that were added since it was recorded have their defaults. If the family is not found from here, or refuses
    the configuration because it has changed since, all knobs are returned as they were recorded.
    """
    try:
        return active(parse(family_of(record).config_type, dict(config)), keep_empty=True)
    except (ConfigError, DiscoveryError):
        return nested_leaves(config, keep_empty=True)


def _expanded(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yields leaves with their names, of which a list of groups has one for each knob of each group."""
    for name, value in values.items():
        if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            items = {f"{name}[{place}]": item for place, item in enumerate(value)}
            yield from _expanded(nested_leaves(items, keep_empty=True))
        else:
            yield name, value
