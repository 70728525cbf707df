"""The relation of two metrics over the settings of a study."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image

from thalweg.analysis.relation import MIN_SETTINGS, MetricRelation, interval, rank_correlation, relate
from thalweg.analysis.relation_picture import figure, store_relation
from thalweg.console.analyses.relation_view import MAX_ROWS, footnote, sentence, show_relation, verdict
from thalweg.contract import Metric
from thalweg.errors import StudyError
from thalweg.search.store.records import StudyRecord, TrialRecord
from thalweg.tracking import additions

NAMES = ("smooth", "error")
Make = Callable[..., StudyRecord]


@pytest.fixture
def make(make_trial: Callable[..., TrialRecord], make_record: Make) -> Make:
    """Makes a study from a list of (width, seed, smooth, error)."""

    def study(*rows: tuple[int, int, float, float]) -> StudyRecord:
        trials = [
            make_trial(
                number,
                0.5 + number,
                params={"width": width, "seed": seed},
                config={"model": {"width": width}, "seed": seed},
                metrics={"smooth": smooth, "error": error},
            )
            for number, (width, seed, smooth, error) in enumerate(rows)
        ]
        return replace(
            make_record(*trials),
            metrics=tuple(
                Metric(name=name, mode="min", unit="1", search_invariant=True, meaning=name) for name in NAMES
            ),
        )

    return study


@pytest.fixture
def falling(make: Make) -> StudyRecord:
    """Eight settings of two seeds each: the larger ``smooth``, the smaller ``error``, but for one exchange."""
    errors = [9.0, 8.0, 6.0, 7.0, 5.0, 4.0, 3.0, 2.0]
    return make(
        *(
            (place, seed, place + seed / 10, error + seed)
            for seed in (0, 1)
            for place, error in enumerate(errors)
        )
    )


def slow_ranks(values: list[float]) -> list[float]:
    """Ranks by counting: what is smaller, and half of what is equal."""
    return [sum(other < value for other in values) + (values.count(value) + 1) / 2 for value in values]


@pytest.mark.parametrize("levels", [100, 3])
def test_the_correlation_is_that_of_ranks_also_with_ties(levels: int) -> None:
    rng = np.random.default_rng(levels)
    first, second = rng.integers(0, levels, (2, 40)).astype(float).tolist()
    expected = np.corrcoef(slow_ranks(first), slow_ranks(second))[0, 1]
    assert rank_correlation(list(zip(first, second, strict=True))) == pytest.approx(expected)


def test_repeats_with_other_seeds_are_one_setting_with_the_mean_of_each_metric(falling: StudyRecord) -> None:
    found = relate(falling, NAMES)
    assert [point.trials for point in found.points] == [(number, number + 8) for number in range(8)]
    assert found.points[0].values == pytest.approx((0.05, 9.5))
    assert found.num_trials == 16
    assert found.correlation == pytest.approx(-1 + 12 / (8 * 63))
    assert found.interval == interval(found.correlation, 8)
    assert found.is_shown


def test_trials_without_finite_values_and_stopped_ones_are_left_out_and_counted(
    falling: StudyRecord, make_trial: Callable[..., TrialRecord]
) -> None:
    extra = [
        make_trial(20, 0.1, config={"width": 20}, metrics={"smooth": math.nan, "error": 1.0}),
        make_trial(21, 0.1, config={"width": 21}, metrics={"error": 1.0}),
        make_trial(22, 0.1, config={"width": 22}, status="pruned", metrics={"smooth": 1.0, "error": 99.0}),
    ]
    found = relate(replace(falling, trials=(*falling.trials, *extra)), NAMES)
    assert found.points == relate(falling, NAMES).points
    assert found.num_left_out == 2
    assert "2 trials without finite values left out" in footnote(found)


def test_the_objective_is_a_metric_too(falling: StudyRecord) -> None:
    found = relate(falling, ("skill", "smooth"))
    assert found.points[0].values == pytest.approx((0.5 + 4, 0.05))
    assert found.same_sense is None


@pytest.mark.parametrize(
    ("rows", "names", "told"),
    [
        (
            [(n, 0, n, n) for n in range(9)],
            ("smooth", "rough"),
            "got 'rough'; 'rivers' has skill, smooth, error",
        ),
        ([(n, 0, n, n) for n in range(9)], ("error", "error"), "got 'error' twice"),
        ([(n, 0, 2.0, n) for n in range(9)], NAMES, "got smooth = 2 in all 9"),
        ([(n % 4, n, n, n) for n in range(16)], NAMES, "at least 5 settings to be related, got 4"),
    ],
    ids=["unknown", "same", "constant", "few"],
)
def test_what_cannot_be_related_is_refused(
    make: Make, rows: list[tuple[int, int, float, float]], names: tuple[str, str], told: str
) -> None:
    with pytest.raises(StudyError, match=told):
        relate(make(*rows), names)


def test_fewer_settings_than_asked_for_could_show_nothing() -> None:
    perfect = sum(order in ((0, 1, 2, 3), (3, 2, 1, 0)) for order in itertools.permutations(range(4)))
    assert perfect / 24 > 0.05
    low, high = interval(1.0, MIN_SETTINGS)
    assert 0 < low < 0.5
    assert high == 1.0
    assert interval(-1.0, MIN_SETTINGS) == (-high, -low)
    assert interval(1.0, MIN_SETTINGS - 1)[0] < 0


@pytest.mark.slow
@pytest.mark.parametrize("count", [5, 8, 24])
@pytest.mark.parametrize("rho", [0.0, 0.6, 0.9])
def test_intervals_hold_the_true_correlation_as_often_as_they_say(count: int, rho: float) -> None:
    rng = np.random.default_rng(count)
    first, noise = rng.standard_normal((2, 600, count))
    second = rho * first + math.sqrt(1 - rho**2) * noise
    true = 6 / math.pi * math.asin(rho / 2)  # of a normal distribution
    held = 0
    for pair in zip(first, second, strict=True):
        low, high = interval(rank_correlation(list(zip(*map(np.ndarray.tolist, pair), strict=True))), count)
        held += low <= true <= high
    assert 0.92 <= held / 600 <= (1.0 if count < 8 else 0.985)


def test_words_say_what_is_shown_and_what_is_not(falling: StudyRecord) -> None:
    found = relate(falling, NAMES)
    assert sentence(found).startswith("rank correlation -0.98, 95 % interval [-1.00, -0.8")
    assert sentence(found).endswith(", 8 settings")
    assert verdict(found) == (
        "the larger smooth, the smaller error: settings that are better by smooth are worse by error"
    )
    opposed = replace(found, same_sense=False)
    assert verdict(opposed).endswith("better by smooth are better by error")
    assert verdict(replace(found, same_sense=None)) == "the larger smooth, the smaller error"
    unclear = replace(found, interval=(-0.4, 0.3))
    assert verdict(unclear) == (
        "no relation is shown: the interval holds 0, error may rise or fall with smooth"
    )


@pytest.mark.parametrize("count", [8, 50])
def test_the_table_shows_settings_from_the_smallest_to_the_largest(
    make: Make, page: Callable[..., tuple[object, object]], count: int
) -> None:
    console, text = page(100)
    rng = np.random.default_rng(0)
    record = make(*((n, 0, float(n), float(value)) for n, value in enumerate(rng.permutation(count))))
    show_relation("rivers", relate(record, NAMES), console)  # type: ignore[arg-type]
    shown = text.getvalue()  # type: ignore[attr-defined]
    numbers = [int(line.split()[0]) for line in shown.splitlines() if line[:1].isdigit() and "." in line]
    assert numbers == sorted(numbers)
    assert (numbers[0], numbers[-1], len(numbers)) == (0, count - 1, min(count, MAX_ROWS))
    assert (f"{MAX_ROWS} of {count} settings" in shown) == (count > MAX_ROWS)


def test_a_picture_goes_into_the_folder_of_the_study_and_to_mlflow(
    falling: StudyRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Path] = []
    monkeypatch.setattr(additions, "add_study_pictures", lambda *words: sent.append(words[-1]))
    told = store_relation(relate(falling, NAMES), "rivers", tmp_path, "sqlite:///m.db")
    (picture,) = tmp_path.rglob("*.png")
    assert picture == tmp_path / "pictures" / "relations" / "smooth-error" / "smooth-error.png"
    assert sent == [picture.parent]
    assert "not in MLflow, for sqlite:///m.db does not know the study" in told
    assert min(image.imread(picture).shape[:2]) > 300


def test_every_setting_is_a_point_of_both_plots(falling: StudyRecord) -> None:
    found: MetricRelation = relate(falling, NAMES)
    values, ranks = figure(found, "rivers").axes
    for place, expected in ((values, [point.values for point in found.points]), (ranks, None)):
        drawn = np.asarray(place.collections[0].get_offsets())
        assert len(drawn) == 8
        if expected is None:
            assert np.corrcoef(drawn.T)[0, 1] == pytest.approx(found.correlation)
        else:
            assert drawn == pytest.approx(np.array(expected))
