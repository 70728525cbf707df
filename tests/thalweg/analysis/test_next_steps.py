"""What to type next."""

import shlex
from pathlib import Path
from typing import Any

from thalweg.analysis.next_steps import axes_of, next_commands, train_command
from thalweg.search.starting.run_options import Options
from thalweg.study import Study, grid

AXES: dict[str, Any] = {"loss": ["CE", "SupCon"], "batch size": [8, 16]}
STUDY = Study(metric="mse", mode="min", samples=8, num_trials=10)


def test_the_command_survives_a_shell_and_gives_the_parameters_back() -> None:
    params = {"lr": 0.020722454850117554, "fusion": "late mean; rm -rf", "on": True}
    words = shlex.split(train_command("my_lab.rivers", params).replace("\\\n", " "))
    assert words[:3] == ["thalweg", "train", "my_lab.rivers"]
    assert [word for word in words[3:] if word != "--param"] == [f"{k}={v}" for k, v in params.items()]


def test_the_command_repeats_data_set_and_budget_of_its_study() -> None:
    command = train_command("rivers", {"lr": 0.1}, overrides={"dataset": "my rivers", "samples": 512})
    words = shlex.split(command.replace("\\\n", " "))
    assert words[3:] == ["--dataset", "my rivers", "--samples", "512", "--param", "lr=0.1"]


def test_the_next_commands_repeat_what_differs_from_the_defaults() -> None:
    options = Options(name="mine", output=Path("/runs here"))
    found = next_commands("rivers", options, STUDY, {"--data": None, "--tracking-uri": "http://host:5000"})
    assert found == {
        "compare trials": "thalweg ui --tracking-uri http://host:5000",
        "use the best": "thalweg best mine --output '/runs here'",
        "carry on": "thalweg search rivers --trials 20 --study mine --output '/runs here' "
        "--tracking-uri http://host:5000",
    }


def test_the_next_commands_are_short_where_everything_is_as_usual() -> None:
    found = next_commands("rivers", Options(name="rivers"), STUDY, {"--data": None})
    assert list(found.values()) == [
        "thalweg ui",
        "thalweg best rivers",
        "thalweg search rivers --trials 20",
    ]


def test_groups_are_compared_after_a_grid_whose_cells_more_trials_would_repeat() -> None:
    study = Study(metric="mse", mode="min", samples=8, grid=grid(**AXES, lr=[1e-3], seeds=3))
    assert axes_of(study) == ["loss", "batch size"]
    options = Options(name="mine", output=Path("/runs here"))
    found = next_commands("rivers", options, study, {})
    assert "carry on" not in found
    assert found["compare groups"] == ("thalweg show mine --by loss --by 'batch size' --output '/runs here'")


def test_a_study_that_samples_has_no_axes() -> None:
    assert axes_of(Study(metric="mse", mode="min", samples=8, num_trials=4)) == []
    cells = grid(loss=["CE", "SupCon"]).cells
    for number in (1, 4):
        study = Study(metric="mse", mode="min", samples=8, num_trials=number, first_trials=cells)
        assert axes_of(study) == []


def test_a_search_of_some_cells_of_a_grid_goes_on_with_those_that_are_left() -> None:
    cells = grid(lr=[1e-3], seeds=6).cells
    study = Study(metric="mse", mode="min", samples=8, num_trials=4, first_trials=cells)
    assert next_commands("rivers", Options(name="rivers"), study, {})["carry on"].endswith("--trials 6")
    stopped = next_commands("rivers", Options(name="rivers"), study, {}, stopped=True)
    assert stopped["carry on"].endswith("--trials 4")
