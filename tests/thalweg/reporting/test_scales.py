"""Axes of a report's pictures."""

from typing import Any

import pytest

from thalweg.reporting.drawing.scales import Scale, scale_of, scale_of_outcomes
from thalweg.search.domains import ChoiceSet, Domain, NumberRange

LR = NumberRange.make("lr", 1e-4, 1e-2, None, True, whole=False)
SIZES = ChoiceSet.make("size", (4, 8, "all"))


@pytest.mark.parametrize(
    ("values", "domain", "scale"),
    [
        ([1e-3, 5e-3], LR, Scale(1e-4, 1e-2, log=True)),
        ([1e-3, 1.0], LR, Scale(1e-3, 1.0, log=True)),  # the range has changed since
        ([2.0, 3.0], None, Scale(2.0, 3.0)),
        ([0.0, 300.0], None, Scale(0.0, 300.0)),
        ([8, 4], SIZES, Scale(options=("4", "8", "all"))),
        ([8, 9], SIZES, Scale(8.0, 9.0)),
        ([True, False], None, Scale(options=("False", "True"))),
        (["b", 1], None, Scale(options=("1", "b"))),
        (["b", 0.3 - 0.27], None, Scale(options=("0.02999999999999997", "b"), shown=("0.03", "b"))),
    ],
)
def test_a_parameter_has_the_scale_of_its_domain_or_of_what_was_tried(
    values: list[Any], domain: Domain | None, scale: Scale
) -> None:
    assert scale_of(values, domain) == scale
    assert all(0 <= scale.place(value) <= 1 for value in values)


def test_values_lie_where_their_scale_says() -> None:
    scale = Scale(1e-4, 1e-2, log=True)
    assert [round(scale.place(x), 6) for x in (1e-4, 1e-3, 1e-2, 1.0)] == [0.0, 0.5, 1.0, 1.0]
    assert Scale(3.0, 3.0).place(3.0) == 0.5
    options = Scale(options=("a", "b"))
    assert options.place("a", 0.0) < options.place("a", 1.0) < 0.5 < options.place("b", 0.0)
    assert [label for _, label in options.labels()] == ["a", "b"]
    assert [label for _, label in scale.labels()] == ["0.0001", "0.001", "0.01"]
    assert len(Scale(options=tuple(map(str, range(100)))).labels()) <= 12


def test_a_few_diverged_trials_do_not_press_the_others_together() -> None:
    scale, beyond = scale_of_outcomes([1.0, 1.1, 1.2, 1.3, 1e9], "min")
    assert (scale.low, beyond) == (1.0, 1) and scale.high < 2
    scale, beyond = scale_of_outcomes([0.5, 0.4, 0.3, -1e9], "max")
    assert (scale.high, beyond) == (0.5, 1) and scale.low > -1
    assert scale_of_outcomes([2.0, 2.0, 3.0], "min") == (Scale(2.0, 3.0), 0)
    assert scale_of_outcomes([7.0], "max") == (Scale(7.0, 7.0), 0)
