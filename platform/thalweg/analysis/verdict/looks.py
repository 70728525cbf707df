"""Looks: verdicts over ever more seeds, each spending a part of the error, until every rival is settled.

The looks are those of group-sequential trials with the error divided among them beforehand (Bonferroni), which holds
whatever the dependence of looks. Verdicts are computed from all runs anew: what was killed and resumed says the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64

from thalweg.analysis.verdict.paired_tests import LEVEL_ERROR, PairedTests, paired_tests

Word = Literal["beats", "beats, size open", "same", "cannot tell", "loses", "unstable"]
"""What the champion does to a rival; ``unstable`` if a run of either failed."""
WORDS: tuple[Word, ...] = ("cannot tell", "beats", "beats, size open", "same", "loses", "unstable")
_OPEN, _BEATS, _SIZE_OPEN, _SAME, _LOSES, _UNSTABLE = range(len(WORDS))
MIN_SEEDS = 3
MAX_SEEDS = 200
"""What more of them could tell apart matters to nobody."""
_LOOKS = (3, 5, 8, 12, 18, 27)
_WEIGHTS: Mapping[int, tuple[int, ...]] = {1: (1,), 2: (2, 3), 3: (2, 3, 5)}

Floats = Float64[np.ndarray, "..."]
Flags = Bool[np.ndarray, "..."]


@dataclass(frozen=True, kw_only=True)
class Looks:
    """The verdicts on one study, or on many at once, with the runs that the next look needs.

    Attributes:
        words: Indices into `WORDS`, (..., rival).
        mean: Mean difference at the last look, champion minus rival, (..., rival); NaN before a look and if unstable.
        low: Lower end of its interval, simultaneous over the rivals.
        high: Upper end.
        seeds: Seeds of the last look, (..., rival); 0 before one.
        error: Error that this look spends, (..., rival).
        matters: The smallest difference that matters at that look, (..., rival).
        wanted: Runs that the next look needs and that have not ended, (..., configuration, seed).
    """

    words: np.ndarray
    mean: Floats
    low: Floats
    high: Floats
    seeds: np.ndarray
    error: Floats
    matters: Floats
    wanted: Flags


def spending(num_seeds: int) -> dict[int, float]:
    """Returns the error that each look spends, by its number of seeds.

    Looks lie at 3, 5, 8, 12, 18 and 27 seeds below ``num_seeds``, and there. Later ones spend more: .010, .015 and .025
    of up to 8 seeds, .005, .010, .015 and .020 of up to 12.

    Args:
        num_seeds: Seeds at most.

    Raises:
        ValueError: There are fewer than `MIN_SEEDS`.
    """
    if num_seeds < MIN_SEEDS:
        raise ValueError(f"seeds must be at least {MIN_SEEDS}, got {num_seeds}")
    looks = [*(look for look in _LOOKS if look < num_seeds), num_seeds]
    weights = _WEIGHTS.get(len(looks)) or tuple(range(1, len(looks) + 1))
    return {look: LEVEL_ERROR * weight / sum(weights) for look, weight in zip(looks, weights, strict=True)}


def look_by_look(
    scores: Floats,
    spent: Mapping[int, float],
    *,
    matters: float | None = None,
    ended: Flags | None = None,
    constant: Bool[np.ndarray, " configuration"] | None = None,
) -> Looks:
    """Judges the champion against its rivals.

    At each look, rivals that are still open are compared over their first seeds. A rival is settled if the champion
    beats it, loses to it or is the same, or if a run of either failed; it gets no more seeds.

    Args:
        scores: Objective of each run, larger is better, (..., configuration, seed); the first configuration is the
            champion, NaN is a run that failed. A constant has one value at all seeds.
        spent: Error that each look spends, by its number of seeds, ascending.
        matters: Smallest difference that matters; None takes the median spread over seeds of the configurations.
        ended: Whether a run has ended, (..., configuration, seed); None takes all.
        constant: Configurations that are constants, (configuration,), whose scores are all there; None takes none.
    """
    ended = np.ones(scores.shape, np.bool_) if ended is None else ended
    constant = np.zeros(scores.shape[-2], np.bool_) if constant is None else constant
    shape = (*scores.shape[:-2], scores.shape[-2] - 1)
    words, seeds = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    mean, low, high, error, used = (np.full(shape, np.nan) for _ in range(5))
    rejected, halted = np.zeros(shape, np.bool_), np.zeros(shape[:-1], np.bool_)
    wanted = np.zeros(scores.shape, np.bool_)
    for num_seeds, part in spent.items():
        still = (words == _OPEN) & ~halted[..., None]
        needed = np.concatenate([still.any(-1, keepdims=True), still], -1)
        missing = needed[..., None] & ~ended[..., :num_seeds]
        wanted[..., :num_seeds] |= missing
        halted |= missing.any((-2, -1))
        still &= ~halted[..., None]
        here = scores[..., :num_seeds]
        failed = (np.isnan(here) & ended[..., :num_seeds]).any(-1)
        stable = still & ~failed[..., :1] & ~failed[..., 1:]
        band = spread_between(here, ended[..., :num_seeds], constant) if matters is None else None
        band = np.broadcast_to(np.asarray(matters if band is None else band)[..., None], shape)
        differences = np.where(stable[..., None], here[..., :1, :] - here[..., 1:, :], 0.0)
        found = paired_tests(differences, part, judged=stable, constant=constant[1:], before=rejected)
        words = np.where(stable, _words(found, band), np.where(still, _UNSTABLE, words))
        fell = failed[..., :1] & (words != _LOSES)  # also after it was found better
        words = np.where(fell, _UNSTABLE, words)
        rejected |= stable & found.rejected
        mean, low, high = (
            np.where(fell, np.nan, np.where(stable, new, np.where(still, np.nan, old)))
            for new, old in ((found.mean, mean), (found.low, low), (found.high, high))
        )
        seeds = np.where(still, num_seeds, seeds)
        error, used = np.where(still, part, error), np.where(still, band, used)
    return Looks(
        words=words, mean=mean, low=low, high=high, seeds=seeds, error=error, matters=used, wanted=wanted
    )


def spread_between(scores: Floats, ended: Flags, constant: Flags) -> Floats:
    """Returns the median standard deviation over seeds of the configurations, (...); NaN if none has two runs.

    Args:
        scores: (..., configuration, seed); NaN is a run that failed.
        ended: Whether a run has ended, of the same shape.
        constant: Configurations that are constants, (configuration,).
    """
    values = np.where(ended & ~constant[:, None], scores, np.nan)
    count = np.isfinite(values).sum(-1)
    centre = np.nansum(values, -1, keepdims=True) / np.maximum(count, 1)[..., None]
    squares = np.nansum((values - centre) ** 2, -1) / np.maximum(count - 1, 1)
    spreads = np.sort(np.where(count > 1, np.sqrt(squares), np.inf), -1)
    known = (count > 1).sum(-1, keepdims=True)
    middle = [np.take_along_axis(spreads, np.maximum(known - 1 + odd, 0) // 2, -1) for odd in (0, 1)]
    return np.where(known > 0, (middle[0] + middle[1]) / 2, np.nan)[..., 0]


def _words(found: PairedTests, band: Floats) -> np.ndarray:
    """Returns the words that tests of stable configurations allow, (..., rival)."""
    same = found.equal | ((-band < found.low) & (found.high < band))
    better = np.where(found.low >= band, _BEATS, _SIZE_OPEN)
    rejected = np.where(found.mean > 0, better, _LOSES)
    return np.where(same, _SAME, np.where(found.rejected, rejected, _OPEN))
