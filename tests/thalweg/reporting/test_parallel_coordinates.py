"""Parallel coordinates of few and of many trials."""

import xml.etree.ElementTree as ET
from collections.abc import Callable

from thalweg.reporting.drawing.parallel_coordinates import parallel_coordinates
from thalweg.search.store.records import StudyRecord, TrialRecord

_PATH, _TITLE, _TEXT = (f"{{http://www.w3.org/2000/svg}}{name}" for name in ("path", "title", "text"))


def test_a_line_goes_through_each_trial_the_best_on_top(
    make_trial: Callable[..., TrialRecord], make_record: Callable[..., StudyRecord]
) -> None:
    trials = [make_trial(n, 0.1 * n, params={"a<b": n, "kind": "x&y" if n % 2 else "z"}) for n in range(8)]
    trials += [make_trial(8, 0.9, status="pruned", params={"a<b": 3}), make_trial(9, None, status="failed")]
    record = make_record(*trials)
    found = parallel_coordinates(record, ["a<b", "kind", "never"], {})
    assert found is not None and found.inline
    page = ET.fromstring(found.content)
    titles = [path.findtext(_TITLE) for path in page.iter(_PATH)]
    assert titles == ["trial 8: stopped early", *(f"trial {n}: {0.1 * n:.4f}" for n in range(8))]
    kinds = [path.get("class") for path in page.iter(_PATH)]
    assert kinds == ["stopped", "one", "one", "one", *["top"] * 5]
    labels = [text.text for text in page.iter(_TEXT)]
    assert {"a<b", "kind", "skill", "x&y", "z"} <= set(labels)
    assert "1 trial stopped early" in found.caption


def test_nothing_is_drawn_of_nothing(
    make_trial: Callable[..., TrialRecord], make_record: Callable[..., StudyRecord]
) -> None:
    assert parallel_coordinates(make_record(make_trial(0, None, status="failed")), ["lr"], {}) is None
    assert parallel_coordinates(make_record(make_trial(0, params={})), [], {}) is None


def test_a_thousand_trials_stay_small(
    make_trial: Callable[..., TrialRecord], make_record: Callable[..., StudyRecord]
) -> None:
    names = [f"p{place}" for place in range(10)]
    trials = [
        make_trial(
            n, (n * 37 % 1000) / 1000, params={name: n * 7 % (place + 90) for place, name in enumerate(names)}
        )
        for n in range(1000)
    ]
    found = parallel_coordinates(make_record(*trials), names, {})
    assert found is not None and len(found.content) < 300_000
    assert sum(1 for _ in ET.fromstring(found.content).iter(_PATH)) == 1000
