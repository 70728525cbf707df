"""Wrong and missed words of `thalweg confirm` over seeds: simulated studies of four configurations, seven noise shapes.

Of equal configurations, any beats or loses is a wrong word; of a champion that is better by three spreads of the two,
beats is the right one, its size open or not. Beside them, without a goal: a noise of more skew than runs tend to have;
constants near the champion's mean, for a t-test of one skewed mean is wrong more often than that of a paired
difference; and the usual practice, percentile bootstrap intervals of fresh seeds of which two do not overlap.

    uv run python -m benchmarks.verdicts --json verdicts.json
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks.figures import Figures, tell
from thalweg.analysis.verdict.looks import WORDS, look_by_look, spending

SHAPES = ("equal", "champion x3", "rival x3", "graded", "t4", "skew", "skew, rival x3")
HARSH = "exponential, rival x3"
NUM_CONFIGURATIONS = 4
CONSTANTS = (0.1, 0.0, -0.1)
WRONG = [WORDS.index(word) for word in ("beats", "beats, size open", "loses")]
FOUND = [WORDS.index(word) for word in ("beats", "beats, size open")]


def spreads(shape: str) -> np.ndarray:
    """Returns the standard deviation of each configuration's runs."""
    scale = np.ones(NUM_CONFIGURATIONS)
    if shape == "graded":
        scale = np.array([0.5, 1.0, 2.0, 4.0])
    elif "x3" in shape:
        scale[0 if "champion" in shape else 1] = 3.0
    return scale


def draw(shape: str, num_studies: int, num_seeds: int, rng: np.random.Generator) -> np.ndarray:
    """Draws runs of equal configurations, (study, configuration, seed)."""
    size = (num_studies, NUM_CONFIGURATIONS, num_seeds)
    if shape == "t4":
        drawn = rng.standard_t(4, size) / np.sqrt(2)
    elif "skew" in shape:  # log-normal, skewness 1.75
        drawn = (np.exp(rng.normal(0, 0.5, size)) / np.exp(0.125) - 1) / np.sqrt(np.exp(0.25) - 1)
    elif "exponential" in shape:
        drawn = rng.exponential(1.0, size) - 1
    else:
        drawn = rng.normal(size=size)
    return np.asarray(drawn * spreads(shape)[:, None])


def wrong(shape: str, num_studies: int, num_seeds: int, rng: np.random.Generator) -> float:
    """Returns the share of studies of equal configurations with a wrong word."""
    found = look_by_look(draw(shape, num_studies, num_seeds, rng), spending(num_seeds))
    return float(np.isin(found.words, WRONG).any(-1).mean())


def wrong_beside_constants(shape: str, num_studies: int, num_seeds: int, rng: np.random.Generator) -> float:
    """Returns the share of studies of equal configurations with a wrong word, beside constants on both sides of all."""
    runs = draw(shape, num_studies, num_seeds, rng)
    constants = np.broadcast_to(np.array(CONSTANTS)[:, None], (num_studies, len(CONSTANTS), num_seeds))
    is_constant = np.arange(NUM_CONFIGURATIONS + len(CONSTANTS)) >= NUM_CONFIGURATIONS
    scores = np.concatenate([runs, constants], 1)
    found = look_by_look(scores, spending(num_seeds), constant=is_constant)
    truth = np.sign(-np.array([*np.zeros(NUM_CONFIGURATIONS - 1), *CONSTANTS]))  # 1 if the champion is better
    said = np.isin(found.words, FOUND) * 1.0 - (found.words == WORDS.index("loses"))
    return float(((said != 0) & (said != truth)).any(-1).mean())


def right(shape: str, num_studies: int, num_seeds: int, rng: np.random.Generator) -> tuple[float, float]:
    """Returns the share of rivals that a champion better by three spreads beats, and the seeds that it took.

    The spread is that of the two, the root of the mean of their variances.
    """
    scores, own = draw(shape, num_studies, num_seeds, rng), spreads(shape)
    scores -= 3 * np.sqrt((own**2 + own[0] ** 2) / 2)[:, None]
    scores[:, 0] += 3 * own[0]
    found = look_by_look(scores, spending(num_seeds))
    return float(np.isin(found.words, FOUND).mean()), float(found.seeds.mean())


def usual_practice(num_studies: int, num_seeds: int, rng: np.random.Generator) -> float:
    """Returns the share of studies of equal configurations in which bootstrap intervals of two do not overlap."""
    scores = draw("equal", num_studies, num_seeds, rng)
    picks = rng.integers(num_seeds, size=(500, num_seeds))
    means = scores[..., picks].mean(-1)  # (study, configuration, sample)
    low, high = np.quantile(means, (0.025, 0.975), axis=-1)
    return float((low.max(-1) > high.min(-1)).mean())


def measured(num_studies: int) -> Figures:
    """Simulates studies of 8 and of 12 seeds."""
    figures, rng = Figures(), np.random.default_rng(0)
    bound = 0.05 + 2 * np.sqrt(0.05 * 0.95 / num_studies)
    for num_seeds in (8, 12):
        for shape in SHAPES:
            share = wrong(shape, num_studies, num_seeds, rng)
            figures.add(f"wrong words, {num_seeds} seeds, {shape}", [share], "1", f"at most {bound:.4f}")
    figures.add(f"wrong words, 8 seeds, {HARSH}", [wrong(HARSH, num_studies, 8, rng)], "1")
    for num_seeds in (3, 5, 10):
        share = usual_practice(min(num_studies, 1000), num_seeds, rng)
        figures.add(f"wrong words, bootstrap intervals of {num_seeds} seeds", [share], "1")
    for shape in SHAPES:
        share, seeds = right(shape, num_studies, 8, rng)
        figures.add(f"three spreads found, {shape}", [share], "1", "at least 0.95")
        figures.add(f"seeds that it took, {shape}", [seeds], "1")
    for shape in SHAPES:
        share = wrong_beside_constants(shape, num_studies, 8, rng)
        figures.add(f"wrong words beside {len(CONSTANTS)} constants, 8 seeds, {shape}", [share], "1")
    return figures


def main() -> None:
    """Simulates, and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="200 studies a shape, not 20,000")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    tell(measured(200 if given.quick else 20_000).rows, given.json)


if __name__ == "__main__":
    main()
