import math
import re

from hypothesis import given
from hypothesis import strategies as st

from thalweg.tracking import naming


@given(st.text())
def test_any_name_becomes_one_that_mlflow_accepts(name: str) -> None:
    got = naming.key(name)
    assert re.fullmatch(r"[/\w.\- :]+", got)
    assert len(got) <= 250
    assert not any(part in ("", ".", "..") for part in got.split("/"))


@given(st.text(), st.text())
def test_two_names_stay_two(first: str, second: str) -> None:
    assert (naming.key(first) == naming.key(second)) == (first == second)


def test_names_that_differ_after_what_mlflow_takes_of_them_stay_two() -> None:
    ends = ["x", "y", "", "/", "//", "."]
    assert len({naming.key("name" * 62 + "na" + end) for end in ends}) == len(ends)
    assert len({naming.key(f"lr {end}") for end in ("(max)", "[max]", "<max>", "_max_")}) == 4


def test_a_good_name_stays_as_it_is() -> None:
    for name in ("loss/soil_moisture", "x" * 250, "G\u00fcte", "\u03b7", "lr _max_", "a: b.c-d"):
        assert naming.key(name) == name


def test_what_was_searched_comes_first_and_is_rounded_for_reading() -> None:
    got = naming.params({"lr": 0.00012345678}, {"optimization.lr": 0.00012345678})
    assert list(got.items()) == [("lr", "0.00012346"), ("with/optimization.lr", "0.00012345678")]


def test_a_long_value_is_clipped_visibly() -> None:
    got = naming.params({}, {"note": "x" * 9000})["with/note"]
    assert len(got) == 6000
    assert got.endswith("...")


def test_names_of_a_curve_stand_in_groups() -> None:
    assert naming.curve_metrics({"loss/rain": 1.0, "lr": 0.1}) == {"loss/rain": 1.0, "train/lr": 0.1}


def test_metrics_of_the_family_are_told_from_thalwegs_own() -> None:
    own = {"objective": 1.0, "samples": 2.0, "time/train_s": 3.0, "loss/rain": 4.0, "train/lr": 5.0}
    family = {"skill": 0.5, "after_fit/skill": 0.25, "cost/epoch_s": 9.0}
    taken = naming.family_metrics({"objective": 7.0})  # under a name of Thalweg's own
    assert naming.of_family({**own, **family, **taken}) == family


def test_names_of_times_end_in_their_unit_once() -> None:
    assert naming.time_metrics({"train_s": 1.0, "wait": 2.0}) == {"time/train_s": 1.0, "time/wait_s": 2.0}


def test_metrics_that_are_not_finite_are_set_apart() -> None:
    kept, others = naming.finite({"a": 1.0, "b": math.nan, "c": math.inf})
    assert (kept, others) == ({"a": 1.0}, ["b", "c"])
