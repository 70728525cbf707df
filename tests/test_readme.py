"""What the README shows works."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from thalweg.cli.app import app
from thalweg.datasets.making import make_world
from thalweg.discovery import load_family
from thalweg.knobs.scheduled import Schedule
from thalweg.knobs.subspaces import schedule
from thalweg.search.replay import RecordedTrial
from thalweg.search.space import load_space, probe
from thalweg.study import Study
from thalweg.training.checkpoints import export
from thalweg.training.messages import TrialOrder
from thalweg.training.process_group import join
from thalweg.training.session import DataCache, Session
from trainables.water_mae.config import PRESETS

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^(?:.*uv run )?thalweg ([a-z]+(?: [a-z]+)?)", re.MULTILINE)
COMMANDS = sorted({command for _, block in BLOCKS for command in _COMMAND.findall(block)})


@pytest.mark.parametrize("command", ["uv run thalweg search quickstart", "uv run pytest"])
def test_each_of_the_two_commands_stands_alone_in_a_block(command: str) -> None:
    assert ("", f"pip install uv && {command}\n") in BLOCKS


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_exists(words: str) -> None:
    name, _, sub = words.partition(" ")
    result = CliRunner().invoke(app, [name, *([sub] if name == "data" else []), "--help"])
    assert result.exit_code == 0, words


# The first one is run in tests/thalweg/tracking/registry/test_register.py.
_, COUNTRY, ENCODING, SPACE, OBJECTIVES, SCHEDULE, QUESTION, GRID = (
    block for language, block in BLOCKS if language == "python"
)


@pytest.fixture
def rivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of the space ``my_lab.rivers``."""
    (tmp_path / "my_lab").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "my_lab" / "rivers.py"
    for name in ("my_lab", "my_lab.rivers"):
        sys.modules.pop(name, None)


def test_a_study_takes_several_objectives_and_constraints() -> None:
    found: dict[str, Any] = {}
    exec(OBJECTIVES, {"Study": Study}, found)
    assert found["study"].objectives == {"skill": "max", "cost/num_parameters": "min"}


def test_the_search_space_loads(rivers: Path) -> None:
    rivers.write_text(SPACE)
    space = load_space("my_lab.rivers")
    assert probe(space).params == {"image_depth": 2}
    assert space.doc == "Does a deeper encoder pay?"


def test_a_schedule_is_given_and_asked_for_as_it_is_shown() -> None:
    found = eval(SCHEDULE, {"PRESETS": PRESETS}).masking.image_mask_ratio
    assert found == Schedule(start=0.2, end=0.8, shape="cosine")
    place: dict[str, Any] = {"trial": RecordedTrial(), "schedule": schedule}
    exec(QUESTION, place)
    assert Schedule(**place["temperature"]).start == pytest.approx(0.07**0.5)
    assert all(name.startswith("temperature_") for name in place["trial"].asked)


def test_the_grid_loads(rivers: Path) -> None:
    rivers.write_text(GRID)
    space = load_space("my_lab.rivers")
    assert probe(space).params == {"image_depth": 1, "lr": 1e-3, "seed": 1}
    assert space.study.num_trials == 18


def test_the_space_of_another_country_loads(rivers: Path) -> None:
    rivers.write_text(COUNTRY)
    space = load_space("my_lab.rivers")
    assert set(probe(space).params) == {"weight_snow", "lr"}


@pytest.mark.slow
def test_an_exported_encoder_encodes_fields_in_their_units(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = load_family("geo_contrastive")
    config = family.preset("tiny").vary(objective={"kind": "autoencoder"})
    make_world(family, tmp_path, config.dataset)
    order = TrialOrder(
        trial="trial",
        family=family.package,
        config=config.model_dump(mode="json"),
        metric="rrmse",
        evaluations=(64,),
        data_root=str(tmp_path),
        directory=str(tmp_path / "trial"),
    )
    session = Session(order, join(), DataCache())
    checkpoint = session.advance().checkpoint
    session.close()
    assert checkpoint
    export.export(Path(checkpoint), tmp_path, tmp_path / "encoder.pt", "encoder")
    task = family.task(config)
    data = task.open(tmp_path)
    normal = {name: torch.from_numpy(np.array(data.fields[name][:3])) for name in data.fields}
    fields = {
        name: normal[name].double().numpy() * each.std + each.mean for name, each in data.variables.items()
    }
    monkeypatch.chdir(tmp_path)
    place: dict[str, Any] = {"fields": fields}
    exec(ENCODING, place)
    with torch.inference_mode():
        expected = place["found"].model.encode(normal)
    assert expected.std(0).min() > 0
    torch.testing.assert_close(place["latents"], expected, rtol=1e-4, atol=1e-5)
