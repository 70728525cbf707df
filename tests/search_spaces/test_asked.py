"""What shipped spaces ask for reaches their configurations, and is read there."""

from pathlib import Path

import pytest

from thalweg import discovery
from thalweg.search.checks.examined import Examined
from thalweg.search.checks.judgement import Deadline
from thalweg.search.checks.knob_trials import KnobTrials
from thalweg.search.checks.validity import judge_validity
from thalweg.search.space import load_space

QUICK = ("sentinel_supcon_full",)
NAMES = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
    for name in discovery.names("search_spaces")
]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_no_configuration_is_refused_and_no_parameter_is_idle(name: str, tmp_path: Path) -> None:
    space = load_space(name)
    examined = Examined(space, tmp_path, tmp_path)
    found = judge_validity(space, *examined.drawn)
    assert (found.faults, found.warnings) == ((), ())
    trials = KnobTrials(examined, Deadline(600))
    trials.compare_configurations()
    assert {name for name, seen in trials.observed.items() if seen.of("dead")} == set()
