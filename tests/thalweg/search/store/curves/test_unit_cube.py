"""Points of parameter sets: back and forth, branches, and what distances see."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, create_trial

from thalweg.search.store.curves.unit_cube import Condition, UnitCube, value_at

KINDS: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-5, 1e-1, log=True),
    "rate": FloatDistribution(-1.0, 3.0),
    "grid": FloatDistribution(0.0, 1.0, step=0.25),
    "width": IntDistribution(16, 512, log=True),
    "depth": IntDistribution(2, 10, step=2),
    "fusion": CategoricalDistribution(("add", "concat", None)),
}
VALUES = st.fixed_dictionaries(
    {
        "lr": st.floats(1e-5, 1e-1),
        "rate": st.floats(-1.0, 3.0),
        "grid": st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]),
        "width": st.integers(16, 512),
        "depth": st.sampled_from([2, 4, 6, 8, 10]),
        "fusion": st.sampled_from(["add", "concat", None]),
    }
)
BRANCH = {"kind": CategoricalDistribution(("plain", "bent")), "bend": FloatDistribution(0.0, 1.0)}


def trial_of(params: dict[str, Any], kinds: dict[str, BaseDistribution] = KINDS) -> FrozenTrial:
    return create_trial(value=0.0, params=params, distributions={name: kinds[name] for name in params})


def branches() -> UnitCube:
    return UnitCube([trial_of({"kind": "plain"}, BRANCH), trial_of({"kind": "bent", "bend": 0.2}, BRANCH)])


@given(VALUES)
def test_a_point_gives_its_parameters_back(params: dict[str, Any]) -> None:
    encoding = UnitCube([trial_of(params)])
    (point,) = encoding.points([trial_of(params)])
    assert ((point >= 0) & (point <= 1)).all()
    found = encoding.params(point)
    assert list(found) == list(params)
    for name, value in params.items():
        assert found[name] == (pytest.approx(value) if isinstance(value, float) else value)
        assert type(found[name]) is type(value)


@given(st.lists(st.floats(0, 1), min_size=6, max_size=6))
def test_any_point_gives_parameters_of_the_space_whose_features_are_its_own(values: list[float]) -> None:
    encoding = UnitCube([trial_of({name: kind_default(kind) for name, kind in KINDS.items()})])
    point = np.array(values)
    params = encoding.params(point)
    for name, kind in KINDS.items():
        assert kind._contains(kind.to_internal_repr(params[name]))
    assert encoding.features(encoding.points([trial_of(params)])) == pytest.approx(
        encoding.features(point[None])
    )


def kind_default(kind: BaseDistribution) -> Any:
    return kind.choices[0] if isinstance(kind, CategoricalDistribution) else kind.low  # type: ignore[attr-defined]


def test_numbers_lie_evenly_in_their_scale() -> None:
    encoding = UnitCube([trial_of({"lr": 1e-3, "rate": 0.0})])
    assert encoding.points([trial_of({"lr": 1e-3, "rate": 0.0})])[0] == pytest.approx([0.5, 0.25])


def test_two_choices_differ_by_a_distance_of_one() -> None:
    encoding = UnitCube([trial_of({"fusion": "add"})])
    one, other = encoding.features(encoding.points([trial_of({"fusion": "add"}), trial_of({"fusion": None})]))
    assert math.dist(one, other) == pytest.approx(1.0)
    assert encoding.owners == (0, 0, 0)


def test_what_a_parameter_hangs_on_is_found() -> None:
    encoding = branches()
    assert encoding.conditions == {"bend": Condition("kind", frozenset({"bent"}))}
    plain, bent = encoding.points(
        [trial_of({"kind": "plain"}, BRANCH), trial_of({"kind": "bent", "bend": 0.2}, BRANCH)]
    )
    assert encoding.params(plain) == {"kind": "plain"}
    assert encoding.params(bent) == {"kind": "bent", "bend": pytest.approx(0.2)}


def test_what_is_not_active_moves_no_distance() -> None:
    encoding = branches()
    plain = np.array([[0.25, 0.1], [0.25, 0.9]])
    assert (encoding.features(plain)[0] == encoding.features(plain)[1]).all()
    bent = np.array([[0.75, 0.1], [0.75, 0.9]])
    assert math.dist(*encoding.features(bent)) == pytest.approx(0.8)


def test_a_branch_in_a_branch_is_active_with_both() -> None:
    kinds = {**BRANCH, "inner": CategoricalDistribution((True, False)), "deep": FloatDistribution(0, 1)}
    sets: list[dict[str, Any]] = [
        {"kind": "plain"},
        {"kind": "bent", "bend": 0.1, "inner": False},
        {"kind": "bent", "bend": 0.1, "inner": True, "deep": 0.5},
    ]
    trials = [trial_of(params, kinds) for params in sets]
    encoding = UnitCube(trials)
    assert encoding.conditions["deep"] == Condition("inner", frozenset({True}))
    assert [encoding.params(point).keys() for point in encoding.points(trials)] == [s.keys() for s in sets]
    nowhere = encoding.points([trials[2]])[0]
    nowhere[0] = 0.25  # plain, though inner says that it goes on
    assert encoding.params(nowhere) == {"kind": "plain"}


def test_a_parameter_that_no_choice_explains_counts_as_active() -> None:
    kinds: dict[str, BaseDistribution] = {"depth": IntDistribution(1, 8), "skip": FloatDistribution(0, 1)}
    encoding = UnitCube([trial_of({"depth": 1}, kinds), trial_of({"depth": 5, "skip": 0.3}, kinds)])
    assert encoding.conditions == {}
    assert set(encoding.params(np.array([0.0, 0.3]))) == {"depth", "skip"}


def test_of_ranges_that_differ_a_point_holds_shares_and_single_values_are_left_out() -> None:
    narrow = create_trial(value=0.0, params={"x": 0.5}, distributions={"x": FloatDistribution(0, 1)})
    wide = create_trial(
        value=0.0,
        params={"x": 3.0, "only": "a"},
        distributions={"x": FloatDistribution(0.5, 4), "only": CategoricalDistribution(("a",))},
    )
    encoding = UnitCube([narrow, wide])
    assert encoding.kinds == {"x": FloatDistribution(0, 4)} and encoding.moving == {"x"}
    points = encoding.points([narrow, wide])
    assert points[:, 0] == pytest.approx([0.5, 2.5 / 3.5])
    assert encoding.features(points) == pytest.approx(points)
    assert encoding.params(points[0]) == {} and encoding.shares(points[0]) == {"x": 0.5}
    assert value_at(IntDistribution(2, 4), 0.5) == 3
