"""The picture of options of a parameter."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from thalweg.analysis.side_by_side.options_compared import compare_options
from thalweg.analysis.side_by_side.options_picture import figure
from thalweg.search.store.records import StudyRecord


def test_the_expected_best_is_drawn_up_to_the_trials_of_each_option(
    fusions: StudyRecord, tmp_path: Path, make_record: Callable[..., StudyRecord]
) -> None:
    found = compare_options(fusions, "fusion", tmp_path, None)
    expected, sizes = figure(found).axes
    lines = {str(line.get_label()): np.asarray(line.get_xydata()) for line in expected.get_lines()}
    assert [len(lines[name]) for name in ("add", "concat", "gated")] == [5, 3, 1]  # two of add were stopped
    assert lines["concat"][:, 1] == pytest.approx([0.8, 0.9, 0.9])
    assert len(sizes.collections) == 3 and sizes.get_xscale() == "log"
    unsized = make_record(*(replace(trial, metrics={}) for trial in fusions.trials))
    assert len(figure(compare_options(unsized, "fusion", tmp_path, None)).axes) == 1
