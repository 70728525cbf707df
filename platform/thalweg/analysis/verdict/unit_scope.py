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
        cutter = _Cutter(part)
        cuts = [[cutter.cut(each) for each in runs] for runs in states]
        picked = [blocks.draw(rng) for _ in range(NUM_RESAMPLES)]
        picked += blocks.without_each() if unit in _IN_ORDER else []
        resampled = np.array(
            [
                _differences(measure, metric, sign, [*map(_drawn, states, cuts, [picks] * len(states))])
                for picks in picked
            ]
        )
        drawn, without = resampled[:NUM_RESAMPLES], resampled[NUM_RESAMPLES:]
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


class _Rows:
    """The rows of tables with the same keys by block: sorted once, and drawn many times.

    Args:
        keys: Keys of the tables; shape (rows, parts).
        part: The part that names a row's block.
    """

    def __init__(self, keys: Tensor, part: int) -> None:
        self.keys = keys
        self._part = part
        own = keys[:, part].numpy()
        self._order = np.argsort(own, kind="stable")
        self._blocks, self._starts, self._counts = np.unique(
            own[self._order], return_index=True, return_counts=True
        )
        self._last: tuple[Sequence[int], tuple[Tensor, Tensor]] | None = None

    def drawn(self, picks: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Returns the numbers of the rows of blocks, and their keys: a block that was drawn twice becomes two blocks.

        What was drawn last is remembered, since all runs are drawn with the same picks in turn.
        """
        if self._last is None or self._last[0] is not picks:
            self._last = picks, self._found(np.asarray(picks, np.int64))
        return self._last[1]

    def _found(self, picks: np.ndarray) -> tuple[Tensor, Tensor]:
        blocks = np.searchsorted(self._blocks, picks)
        places = np.flatnonzero(self._blocks[np.minimum(blocks, len(self._blocks) - 1)] == picks)
        counts, starts = self._counts[blocks[places]], self._starts[blocks[places]]
        ends = np.cumsum(counts)
        rows = torch.from_numpy(
            self._order[np.arange(counts.sum()) + np.repeat(starts - ends + counts, counts)]
        )
        keys = self.keys[rows]
        keys[:, self._part] = torch.from_numpy(np.repeat(places, counts))
        return rows, keys


class _Cutter:
    """Draws blocks of the states of all runs; those that keep the same units share the work.

    Args:
        part: The part of the keys that names a block; None if rows of samples are drawn.
    """

    def __init__(self, part: int | None) -> None:
        self._part = part
        self._known: list[_Rows] = []

    def cut(self, state: State) -> dict[str, _Rows | None]:
        """Returns the rows of the tables of a state by block; None for what is drawn by samples."""
        return {
            name: self._rows(value.keys, self._part)
            if isinstance(value, PerUnit) and self._part is not None
            else None
            for name, value in state.items()
        }

    def _rows(self, keys: Tensor, part: int) -> _Rows:
        for rows in self._known:
            if torch.equal(rows.keys, keys):
                return rows
        self._known.append(_Rows(keys, part))
        return self._known[-1]


def _of_blocks(value: PerUnit | Tensor, rows: _Rows | None, picks: Sequence[int]) -> PerUnit | Tensor:
    """Returns what a run kept of blocks."""
    if isinstance(value, Tensor):
        return value[list(picks)]
    if rows is None or not len(rows.keys):
        return value.empty()
    found, keys = rows.drawn(picks)
    return PerUnit(keys, value.values[found])  # unique, and no sum needs them in order


def _drawn(
    states: Sequence[State], cuts: Sequence[Mapping[str, _Rows | None]], picks: Mapping[str, list[int]]
) -> list[State]:
    return [
        {name: _of_blocks(value, cut[name], picks[name]) for name, value in state.items() if name in picks}
        for state, cut in zip(states, cuts, strict=True)
    ]
