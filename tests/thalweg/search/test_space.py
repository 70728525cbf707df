"""Loading a search space, running it, and saying where it is wrong."""

import re
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from thalweg.errors import ConfigError, SpaceError
from thalweg.search.space import Space, load_space, probe
from thalweg.search.store.laws import fingerprint
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


def asking(lab: Write, body: str) -> tuple[Space, str]:
    """Returns a space of a family whose knobs have bounds, and the file that defines it."""
    lab(
        "config",
        """
        from typing import Literal
        from pydantic import Field, model_validator
        from thalweg.config import FamilyConfig, Presets

        class Toy(FamilyConfig):
            rate: float = Field(0.1, gt=0, le=1)
            width: int = Field(8, ge=1)
            kind: Literal["plain", "bent"] = "plain"

            @model_validator(mode="after")
            def _even(self):
                if self.kind == "bent" and self.width % 2:
                    raise ValueError("width must be even if kind is bent")
                return self

        PRESETS = Presets(tiny=Toy(dataset="d"))
        """,
    )
    head = HEAD.replace("import Toy", "import PRESETS, Toy")
    file = lab(
        "asks", head + "def space(trial: Trial) -> Toy:\n" + textwrap.indent(textwrap.dedent(body), "    ")
    )
    return load_space("lab.asks"), re.escape(str(file))


@pytest.mark.parametrize(
    ("body", "told", "line", "way_out"),
    [
        (
            "return Toy(dataset='d', rate=trial.suggest_float('lr', 1e-3, 4.0, log=True))",
            r"lr in \[0.001, 4\] on a log scale, of which 4.0 is refused",
            "rate: input should be less than or equal to 1, got 4.0",
            "narrow the range",
        ),
        (  # the middle, 1000, is refused already
            "w = trial.suggest_int('w', 1, 9)\n"
            "return Toy(dataset='d', width=w, rate=trial.suggest_float('lr', 1e-3, 1e9, log=True))",
            r"lr in \[0.001, 1e\+09\] on a log scale, of which 1000.0 is refused",
            "rate: input should be less than or equal to 1, got 1000.0",
            "narrow the range",
        ),
        (  # and so are both ends
            "kind = trial.suggest_categorical('kind', ['plain', 'bent'])\n"
            "return Toy(dataset='d', kind=kind, rate=trial.suggest_float('lr', 2.0, 4.0))",
            r"lr in \[2, 4\], of which 3.0 is refused",
            "rate: input should be less than or equal to 1, got 3.0",
            "narrow the range",
        ),
        (
            "return PRESETS['tiny'].vary(width=trial.suggest_int('w', 0, 64))",
            r"w in \[0, 64\], of which 0 is refused",
            "width: input should be greater than or equal to 1, got 0",
            "narrow the range",
        ),
        (  # a value that the space computes from two
            "w = trial.suggest_categorical('w', [1, 16])\n"
            "return PRESETS['tiny'].vary(width=w, rate=w * trial.suggest_float('lr', 0.03, 0.13))",
            r"lr in \[0.03, 0.13\], of which 0.08 is refused with w=16",
            "rate: input should be less than or equal to 1, got 1.28",
            "narrow the range",
        ),
        (
            "return PRESETS['tiny'].vary(kind=trial.suggest_categorical('form', ['plain', 'bnet']))",
            r"form one of plain, bnet, of which 'bnet' is refused",
            "kind: input should be 'plain' or 'bent', got 'bnet'",
            "leave it out",
        ),
        (
            "return PRESETS[trial.suggest_categorical('preset', ['tiny', 'tinny'])]",
            r"preset one of tiny, tinny, of which 'tinny' is refused",
            r"no preset 'tinny' in PRESETS; did you mean 'tiny'\? \(found: tiny\)",
            "leave it out",
        ),
        (  # in one branch only
            "if trial.suggest_categorical('kind', ['plain', 'bent']) == 'plain':\n"
            "    return PRESETS['tiny']\n"
            "return PRESETS['tiny'].vary(width=trial.suggest_int('w', -8, 64, step=2))",
            r"w in \[-8, 64\] step 2, of which -8 is refused with kind='bent'",
            "width: input should be greater than or equal to 1, got -8",
            "narrow the range",
        ),
        (  # which the middle of its range makes impossible already
            "if trial.suggest_categorical('kind', ['plain', 'bent']) == 'plain':\n"
            "    return PRESETS['tiny']\n"
            "return PRESETS['tiny'].vary(rate=trial.suggest_float('lr', 0.5, 3.5))",
            r"lr in \[0.5, 3.5\], of which 2.0 is refused with kind='bent'",
            "rate: input should be less than or equal to 1, got 2.0",
            "narrow the range",
        ),
    ],
)
def test_a_range_beyond_the_bounds_of_its_knob_is_refused_before_anything_runs(
    body: str, told: str, line: str, way_out: str, lab: Write
) -> None:
    space, file = asking(lab, body)
    with pytest.raises(
        SpaceError,
        match=rf"must allow all that its space asks for, got ({told}) \({file}:\d+: {line}\); {way_out}$",
    ):
        probe(space)


def test_a_name_with_another_range_in_another_branch_is_checked_there_too(lab: Write) -> None:
    body = """
    high = 0.5 if trial.suggest_categorical('kind', ['plain', 'bent']) == 'plain' else 1.5
    return Toy(dataset='d', rate=trial.suggest_float('lr', 0.1, high))
    """
    space, _ = asking(lab, body)
    with pytest.raises(
        SpaceError, match=r"got lr in \[0.1, 1.5\], of which 1.5 is refused with kind='bent' \("
    ):
        probe(space)


def test_ranges_that_depend_on_another_one_end(lab: Write) -> None:
    body = """
    low = 0.1
    for number in range(12):
        low = trial.suggest_float(f'x{number}', low, 1.0)
    return Toy(dataset='d', rate=low)
    """
    space, _ = asking(lab, body)
    assert len(probe(space).params) == 12


def test_a_copy_beyond_the_bounds_of_its_knob_is_refused_too(lab: Write) -> None:
    space, _ = asking(
        lab, "return PRESETS['tiny'].model_copy(update={'width': trial.suggest_int('w', -3, 64)})"
    )
    with pytest.raises(SpaceError, match=r"got w in \[-3, 64\], of which -3 is refused \(.*width: input"):
        probe(space)


def test_choices_that_a_law_between_knobs_forbids_together_are_left_to_the_trials(lab: Write) -> None:
    body = """
    kind = trial.suggest_categorical('kind', ['plain', 'bent'])
    return Toy(dataset='d', kind=kind, width=trial.suggest_categorical('width', [8, 9]))
    """
    space, _ = asking(lab, body)
    assert probe(space).params == {"kind": "plain", "width": 8}
    with pytest.raises(SpaceError, match="width must be even if kind is bent"):
        space.replay({"kind": "bent", "width": 9})


def test_what_a_space_refuses_itself_is_left_to_the_trials(lab: Write) -> None:
    body = """
    x = trial.suggest_float('x', 0, 1)
    if x == 1:
        raise ValueError('x must be below 1')
    return Toy(dataset='d', rate=min(0.1 / x, 1))
    """
    space, _ = asking(lab, body)
    assert probe(space).params == {"x": 0.5}


@pytest.mark.parametrize(
    ("rest", "law"),
    [
        (
            "    PRESETS['tiny'].vary(width=3)",
            "space must return Toy, got NoneType; end each of its branches",
        ),
        ("    return {'width': 3}", "space must return Toy, got dict"),
        ("    return PRESETS['tiny'].vary(width=WIDTHS['thin'])", r"asks.py:\d+: NameError: .*WIDTHS"),
        ("    return PRESETS['tiny'].vary(width={'wide': 3}['thin'])", r"asks.py:\d+: KeyError: 'thin'"),
    ],
)
def test_a_branch_that_cannot_run_is_refused_with_what_leads_to_it(rest: str, law: str, lab: Write) -> None:
    body = "if trial.suggest_categorical('kind', ['plain', 'bent']) == 'bent':\n" + rest + "\n"
    space, _ = asking(lab, body + "else:\n    return PRESETS['tiny']")
    with pytest.raises(SpaceError, match=rf"{law}.*; it was asked with kind='bent'"):
        probe(space)


def test_a_return_type_that_cannot_be_evaluated_is_named(lab: Write) -> None:
    text = HEAD + "def space(trial: Trial) -> Toy.Pond: ...\n"
    lab("late", "from __future__ import annotations\n" + text)
    with pytest.raises(SpaceError, match=r"late.py:6: the type .* must be imported, got .*Pond"):
        load_space("lab.late")
