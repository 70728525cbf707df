"""Loading a search space, running it, and saying where it is wrong."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from thalweg.errors import ConfigError, SpaceError
from thalweg.search.space import Space, load_space, probe
from thalweg.search.store.fingerprint import fingerprint
from trainables.water_mae.config import PRESETS, WaterMAE

Write = Callable[[str, str], Path]
HEAD = """
from lab.config import Toy
from thalweg.study import Study, Trial
study = Study(metric="loss", mode="min", samples=800)
"""


def test_a_space_knows_its_study_its_family_and_its_first_line(lab: Write) -> None:
    space = load_space("lab.toy")
    assert space.study.samples == 800
    assert space.config_type.__name__ == "Toy"
    assert space.doc == "Looks for the bottom of a valley."
    assert space.file.name == "toy.py"


def test_optuna_and_a_recorded_trial_drive_the_same_function(make_space: Callable[..., Space]) -> None:
    space = make_space()
    proposed = optuna.create_study().ask()
    config = space(proposed)  # type: ignore[arg-type]
    again, _ = space.replay(proposed.params)
    assert again == config


def test_the_middle_of_every_range_is_probed(make_space: Callable[..., Space]) -> None:
    trial = probe(make_space())
    assert trial.params == {"x": 0.0, "width": 8, "kind": "plain"}


def test_a_condition_is_followed_by_a_replay(make_space: Callable[..., Space]) -> None:
    config, trial = make_space().replay({"kind": "bent"})
    assert trial.params["bend"] == pytest.approx(1.0)
    assert config.model_dump()["kind"] == "bent"


def test_an_unknown_parameter_is_refused_with_those_that_were_asked(
    make_space: Callable[..., Space],
) -> None:
    with pytest.raises(
        ConfigError, match="got 'bend'; with the other parameters as they are it asks x, width, kind"
    ):
        make_space().replay({"bend": 1.0})


def test_a_parameter_out_of_its_range_is_a_config_error(make_space: Callable[..., Space]) -> None:
    with pytest.raises(
        ConfigError, match=r"width must be in \[1, 64\] on a log scale, got 65; choose such a value"
    ):
        make_space().replay({"width": 65})


def test_first_trials_are_checked_before_anything_runs(make_space: Callable[..., Space]) -> None:
    with pytest.raises(ConfigError, match=r"x must be in \[-1, 1\], got 7"):
        probe(make_space(first_trials=({"x": 7},)))


def test_what_a_space_raises_is_reported_with_file_and_line(lab: Write) -> None:
    file = lab("bad", HEAD + "def space(trial: Trial) -> Toy:\n    return {}['width']\n")
    with pytest.raises(SpaceError, match=rf"{file}:6: KeyError: 'width'"):
        probe(load_space("lab.bad"))


def test_a_configuration_that_breaks_a_law_is_reported_with_the_knob(lab: Write) -> None:
    file = lab("bad", HEAD + "def space(trial: Trial) -> Toy:\n    return Toy(dataset='d', widht=3)\n")
    with pytest.raises(
        SpaceError, match=rf"{file}:6: widht: extra inputs are not permitted, got 3; did you mean width\?"
    ):
        probe(load_space("lab.bad"))


def test_a_space_that_returns_something_else_is_refused(lab: Write) -> None:
    lab("bad", HEAD + "def space(trial: Trial) -> Toy:\n    return {'x': 1}\n")
    with pytest.raises(SpaceError, match=r"bad.py:5: space must return Toy, got dict"):
        probe(load_space("lab.bad"))


def test_a_low_above_a_high_is_refused(lab: Write) -> None:
    text = "def space(trial: Trial) -> Toy:\n    return Toy(dataset='d', x=trial.suggest_float('x', 1, -1))\n"
    lab("bad", HEAD + text)
    with pytest.raises(SpaceError, match="low <= high must hold for 'x', got 1 > -1"):
        probe(load_space("lab.bad"))


def test_imports_of_a_space_of_earlier_versions_are_told_where_they_are(lab: Write) -> None:
    text = (HEAD + "def space(trial: Trial) -> Toy:\n    return Toy(dataset='d')\n").replace(
        "from thalweg.study import Study, Trial",
        "from thalweg.search.space import Trial\nfrom thalweg.search.study import Study",
    )
    assert "thalweg.search.study" in text
    file = lab("earlier", text)
    with pytest.raises(
        SpaceError, match=r"earlier.py:\d.*; import Study and Trial from thalweg.study, by which"
    ):
        load_space("lab.earlier")
    mended = text.replace("search.space", "study").replace("search.study", "study")
    assert fingerprint(lab("mended", mended)) == fingerprint(file)
    assert load_space("lab.mended").study.samples == 800


def test_a_space_without_a_return_type_is_refused(lab: Write) -> None:
    lab("bad", HEAD + "def space(trial):\n    return Toy(dataset='d')\n")
    with pytest.raises(SpaceError, match="annotated with its family's configuration, got no annotation"):
        load_space("lab.bad")


def test_postponed_annotations_are_understood(lab: Write) -> None:
    lab("late", "from __future__ import annotations\n" + HEAD + "def space(trial: Trial) -> Toy: ...\n")
    assert load_space("lab.late").config_type.__name__ == "Toy"


def test_a_return_type_that_is_not_imported_is_named(lab: Write) -> None:
    text = HEAD + "def space(trial: Trial) -> Pond: ...\n"
    lab("late", "from __future__ import annotations\n" + text)
    with pytest.raises(SpaceError, match="must be imported, got name 'Pond' is not defined"):
        load_space("lab.late")


@pytest.mark.parametrize(
    ("old", "new", "law"),
    [
        ("study =", "other =", "must define study = Study"),
        ("def space", "def other", "must define def space"),
    ],
)
def test_a_file_without_study_or_space_is_refused(lab: Write, old: str, new: str, law: str) -> None:
    text = HEAD + "def space(trial: Trial) -> Toy:\n    return Toy(dataset='d')\n"
    lab("bad", text.replace(old, new))
    with pytest.raises(SpaceError, match=law):
        load_space("lab.bad")


def test_a_grid_gives_a_space_its_trials_and_its_values_and_other_settings_leave_them(lab: Write) -> None:
    head = HEAD.replace("import Study, Trial", "import Study, Trial, grid")
    axes = "GRID = grid(kind=['flat', 'bent'], x={'left': -1.0, 'right': 1.0})\n"
    head = head.replace("study = Study(", axes + "study = Study(grid=GRID, ")
    text = "def space(trial: Trial) -> Toy:\n    return Toy(dataset='d').vary(**GRID.ask(trial))\n"
    lab("cells", head + text)
    space = load_space("lab.cells")
    assert probe(space).params == {"kind": "flat", "x": "left"}
    configs = [space.replay(params)[0].model_dump() for params in space.study.first_trials]
    assert [(config["kind"], config["x"]) for config in configs] == [
        ("flat", -1.0),
        ("flat", 1.0),
        ("bent", -1.0),
        ("bent", 1.0),
    ]
    fewer = space.with_settings(num_trials=2, sampler="tpe").study
    assert (fewer.num_trials, fewer.sampler, fewer.scheduler) == (2, "tpe", "none")
    assert fewer.first_trials == space.study.first_trials


def test_a_knob_that_is_misspelt_is_reported_with_file_line_and_the_one_that_is_meant(lab: Write) -> None:
    text = "def space(trial: Trial) -> Toy:\n    return Toy(dataset='d').vary(widht=3)\n"
    file = lab("bad", HEAD + text)
    with pytest.raises(SpaceError, match=rf"{file}:6: knobs must exist, got widht; did you mean width\?"):
        probe(load_space("lab.bad"))


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"image_dept": 2}, "knobs must exist, got model.image_dept"),
        ({"image_depth": -1}, "model.image_depth: input should be greater than or equal to 1, got -1"),
        ({"image_depth": "deep"}, "model.image_depth"),
    ],
)
def test_a_copy_with_a_misspelt_or_impossible_knob_is_refused(update: dict[str, Any], message: str) -> None:
    def function(trial: Any) -> WaterMAE:
        base = PRESETS["tiny"]
        return base.model_copy(update={"model": base.model.model_copy(update=update)})

    space = replace(load_space("quickstart"), function=function)
    with pytest.raises(SpaceError, match=re.escape(message)):
        space.replay({})
