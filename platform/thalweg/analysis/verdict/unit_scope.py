"""Verdicts over places and years: a paired block bootstrap of the sums that trials kept by unit.

More seeds say nothing about other years or catchments. Blocks of all units of one year, one catchment or one scene are
drawn with replacement, the same ones for both configurations, and metrics are computed anew from the sums.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from thalweg.analysis.verdict.paired_tests import LEVEL_ERROR
from thalweg.contract import Measure, State
from thalweg.per_unit import PerUnit

NUM_RESAMPLES = 200
MIN_BLOCKS = 3
"""Of fewer blocks nothing can be told."""
_ALIKE = 0.5
"""Tables that share at least this part of their blocks are drawn together; those of training days are not."""
_IN_ORDER = ("year", "month", "day")
_MAX_CORRELATION = 0.8
_NO_BLOCKS = ("season",)  # four of them are all that there are
SAMPLE = "sample"


@dataclass(frozen=True, kw_only=True)
class UnitFinding:
    """What the champion does to a rival over blocks of units, at the seeds that both were trained with.

    Attributes:
        unit: What a block is: ``year``, ``catchment``, ``place``, ``sample``.
        num_blocks: Number of blocks.
        word: ``beats``, ``loses``, ``cannot tell``, or ``same`` if no block differs.
        difference: Mean by which the champion is better over the whole split; None if a metric has no value.
        low: Lower end of its interval, simultaneous over the rivals; None if it is not bounded.
        high: Upper end.
        inflation: Factor on the standard error for autocorrelation from block to block; 1 without.
    """

    unit: str
    num_blocks: int
    word: str
    difference: float | None
    low: float | None
    high: float | None
    inflation: float = 1.0


def scopes(measure: Measure, state: State) -> list[tuple[str, int | None]]:
    """Returns what blocks the sums of a measure can be cut into: their names, with the part of the units' keys.

    Args:
        measure: The measure.
        state: What it kept of a split.

    Returns:
        None in place of a part if the rows of samples are drawn; no blocks at all if the measure keeps plain sums.
    """
    tables = [value for value in state.values() if isinstance(value, PerUnit)]
    plain = [name for name, value in state.items() if not isinstance(value, PerUnit)]
    if tables and not plain:
        num_parts = min(table.keys.shape[1] for table in tables)
        names = [*measure.units, *(f"unit {part + 1}" for part in range(len(measure.units), num_parts))]
        return [(name, part) for part, name in enumerate(names[:num_parts]) if name not in _NO_BLOCKS]
    if plain and not tables and all(name in measure.rows for name in plain):
        return [(SAMPLE, None)]
    return []


def over_units(
    measure: Measure,
    metric: str,
    sign: float,
    champion: Sequence[State],
    rivals: Mapping[str, Sequence[State]],
    rng: np.random.Generator,
    *,
    num_rivals: int | None = None,
) -> dict[str, list[UnitFinding]]:
    """Compares the champion with its rivals over blocks of units.

    Args:
        measure: The measure of the objective.
        metric: The objective.
        sign: 1 if larger is better, -1 if smaller is.
        champion: What was kept of its runs, by seed.
        rivals: The same of each rival, as many; a constant has one state for all seeds.
        rng: Draws the blocks.
        num_rivals: Rivals over which intervals are simultaneous; None takes those that are given.

    Returns:
        One verdict for each kind of block, by the rival's name; none if the metric keeps no sums by unit.
    """
    found: dict[str, list[UnitFinding]] = {name: [] for name in rivals}
    states = [champion, *rivals.values()]
    for unit, part in scopes(measure, champion[0]) if champion else ():
        blocks = _Blocks(champion[0], part)
        if blocks.num_blocks < 2:
            continue
        whole = _differences(measure, metric, sign, states)
        cuts = [[{name: _Cut(each[name], part) for name in each} for each in runs] for runs in states]
        drawn = np.array(
            [
                _differences(measure, metric, sign, [_drawn(each, picks) for each in cuts])
                for picks in (blocks.draw(rng) for _ in range(NUM_RESAMPLES))
            ]
        )
        without = np.array(
            [
                _differences(measure, metric, sign, [_drawn(each, picks) for each in cuts])
                for picks in blocks.without_each()
            ]
            if unit in _IN_ORDER
            else []
        )
        for place, name in enumerate(rivals):
            inflation = inflation_of(whole[place] - without[:, place]) if len(without) else 1.0
            found[name].append(
                _finding(
                    unit,
                    blocks.num_blocks,
                    whole[place],
                    drawn[:, place],
                    inflation,
                    num_rivals or len(rivals),
                )
            )
    return found


def inflation_of(influence: np.ndarray) -> float:
    """Returns the factor on a standard error for blocks that follow one another, from their lag-1 autocorrelation.

    For an AR(1) process it is sqrt((1 + r) / (1 - r)); see Geer (2016), "Significance of changes in medium-range
    forecast scores". Negative correlations count as none.

    Args:
        influence: Influence of each block on the difference, in the order of the blocks.
    """
    around = influence - influence.mean()
    square = float((around**2).sum())
    if len(influence) < 2 * MIN_BLOCKS or not square > 0:
        return 1.0
    correlation = min(max(float((around[1:] * around[:-1]).sum()) / square, 0.0), _MAX_CORRELATION)
    return math.sqrt((1 + correlation) / (1 - correlation))


def _finding(
    unit: str, num_blocks: int, whole: float, drawn: np.ndarray, inflation: float, num_rivals: int
) -> UnitFinding:
    """Returns Student's interval with the standard error of the bootstrap: percentiles are too short for few blocks."""
    from scipy.stats import t as student

    known = drawn[np.isfinite(drawn)]
    if num_blocks < MIN_BLOCKS or len(known) < NUM_RESAMPLES // 2 or not math.isfinite(whole):
        mean = whole if math.isfinite(whole) else None
        return UnitFinding(
            unit=unit, num_blocks=num_blocks, word="cannot tell", difference=mean, low=None, high=None
        )
    error = float(known.std(ddof=1)) * math.sqrt(num_blocks / (num_blocks - 1)) * inflation
    reach = float(student.isf(LEVEL_ERROR / num_rivals / 2, num_blocks - 1)) * error
    low, high = whole - reach, whole + reach
    word = "beats" if low > 0 else "loses" if high < 0 else "cannot tell" if reach or whole else "same"
    return UnitFinding(
        unit=unit, num_blocks=num_blocks, word=word, difference=whole, low=low, high=high, inflation=inflation
    )


def _differences(
    measure: Measure, metric: str, sign: float, states: Sequence[Sequence[State]]
) -> list[float]:
    """Returns the champion's mean over its runs minus that of each rival, larger is better."""
    means = [sign * float(np.mean([measure.summarize(state)[metric] for state in each])) for each in states]
    return [means[0] - mean for mean in means[1:]]


class _Blocks:
    """The blocks of a state: groups of tables that share them, each with the values of one part of their keys."""

    def __init__(self, state: State, part: int | None) -> None:
        self._groups: list[tuple[set[str], list[int]]] = []
        if part is None:
            lengths = {len(value) for value in state.values() if isinstance(value, Tensor)}
            self._groups = [(set(state), list(range(max(lengths))))]
            return
        for name, table in state.items():
            assert isinstance(table, PerUnit)
            own = set(table.keys[:, part].tolist())
            for names, values in self._groups:
                if len(own & set(values)) >= _ALIKE * len(own | set(values)):
                    names.add(name)
                    values[:] = sorted({*values, *own})
                    break
            else:
                self._groups.append(({name}, sorted(own)))

    @property
    def num_blocks(self) -> int:
        """Blocks of the group that has the fewest."""
        return min(len(values) for _, values in self._groups)

    def draw(self, rng: np.random.Generator) -> dict[str, list[int]]:
        """Returns blocks drawn with replacement, by the names of the tables."""
        found: dict[str, list[int]] = {}
        for names, values in self._groups:
            picks = [values[index] for index in rng.integers(len(values), size=len(values))]
            found |= dict.fromkeys(names, picks)
        return found

    def without_each(self) -> list[dict[str, list[int]]]:
        """Returns all blocks but one, for each one of the group that has the fewest, in their order."""
        smallest = min(self._groups, key=lambda group: len(group[1]))
        found = []
        for left_out in smallest[1]:
            picks: dict[str, list[int]] = {}
            for names, values in self._groups:
                own = [v for v in values if v != left_out] if values is smallest[1] else values
                picks |= dict.fromkeys(names, own)
            found.append(picks)
        return found


class _Cut:
    """The rows of a table, or of samples, by block: found once, and drawn many times."""

    def __init__(self, value: PerUnit | Tensor, part: int | None) -> None:
        self._value, self._part = value, part
        self._rows: dict[int, Tensor] = {}
        if isinstance(value, PerUnit) and part is not None:
            own = value.keys[:, part]
            for block in sorted(set(own.tolist())):
                self._rows[block] = (own == block).nonzero()[:, 0]

    def drawn(self, picks: Sequence[int]) -> PerUnit | Tensor:
        """Returns the rows of blocks; a block that was drawn twice becomes two blocks."""
        if isinstance(self._value, Tensor):
            return self._value[list(picks)]
        there = [(place, self._rows[pick]) for place, pick in enumerate(picks) if pick in self._rows]
        if not there or self._part is None:
            return self._value.empty()
        joined = torch.cat([rows for _, rows in there])
        places = torch.tensor([place for place, _ in there])
        keys = self._value.keys[joined]
        keys[:, self._part] = places.repeat_interleave(torch.tensor([len(rows) for _, rows in there]))
        return PerUnit(keys, self._value.values[joined])  # unique, and no sum needs them in order


def _drawn(cuts: Sequence[Mapping[str, _Cut]], picks: Mapping[str, list[int]]) -> list[State]:
    return [{name: cut.drawn(picks[name]) for name, cut in each.items() if name in picks} for each in cuts]
