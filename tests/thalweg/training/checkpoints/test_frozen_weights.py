"""Initial weights from other studies."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from families.toy.config import Toy
from families.toy.task import ToyTask
from thalweg.errors import ConfigError, FamilyError, TrialError
from thalweg.training import baselines
from thalweg.training.checkpoints.frozen_weights import load_initial, load_starting_points, sha256_of
from thalweg.training.process_group import ProcessGroup
from thalweg.training.session import DataCache, Session

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes weights as the driver of a study does."""

    def save(name: str, weights: dict[str, Tensor]) -> str:
        file = tmp_path / f"{name}.pt"
        torch.save({"weights": weights}, file)
        return str(file)

    return save


def _toy(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return ToyTask(Toy()).build(None)


def test_the_later_of_two_starting_points_wins_and_the_rest_stays(write: Write) -> None:
    model, first, second = _toy(0), _toy(1).state_dict(), _toy(2).state_dict()
    own = {name: weight.clone() for name, weight in model.state_dict().items()}
    bias = {"head.bias": second["head.bias"], "elsewhere": torch.ones(3)}
    head = {name: first[name] for name in ("head.weight", "head.bias")}
    given = load_starting_points(model, {"one": write("one", head), "two": write("two", bias)})
    assert given == {"one": 18, "two": 2}
    found = model.state_dict()
    assert torch.equal(found["head.weight"], first["head.weight"])
    assert torch.equal(found["head.bias"], second["head.bias"])
    assert torch.equal(found["body.0.weight"], own["body.0.weight"])


def test_a_starting_point_without_a_part_of_the_model_is_refused(write: Write) -> None:
    with pytest.raises(
        ConfigError, match=r"must give a part of this model, got 'far' with stem where .* body, head"
    ):
        load_starting_points(_toy(0), {"far": write("far", {"stem.weight": torch.ones(1)})})


def test_another_shape_is_refused_before_anything_is_copied(write: Write) -> None:
    model = _toy(0)
    own = {name: weight.clone() for name, weight in model.state_dict().items()}
    weights = {"head.bias": torch.ones(2), "head.weight": torch.ones(2, 9)}
    with pytest.raises(
        ConfigError, match=r"head.weight of shape \(2, 9\) from 'wide' where this model has \(2, 8\)"
    ):
        load_starting_points(model, {"wide": write("wide", weights)})
    assert all(torch.equal(weight, own[name]) for name, weight in model.state_dict().items())


def test_only_weights_whose_names_begin_as_asked_are_copied(write: Write) -> None:
    model, trained = _toy(0), _toy(1).state_dict()
    own = {name: weight.clone() for name, weight in model.state_dict().items()}
    file = write("one", trained | {"body.0.weight": torch.ones(1)})  # of another shape, which does not matter
    assert load_starting_points(model, {"one": file}, ("head.",)) == {"one": 18}
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, (trained if name.startswith("head.") else own)[name]), name


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrialError, match=r"study 'lost' must lie at .*lost.pt, got none"):
        load_starting_points(_toy(0), {"lost": str(tmp_path / "lost.pt")})


@pytest.mark.slow
def test_a_trial_begins_with_the_weights_of_its_starting_point(
    order: Any, run: Any, world: ProcessGroup, write: Write
) -> None:
    trained = write("trained", _toy(7).state_dict())
    begun = replace(order("a", opt={"lr": 1e-12}), starting_points={"trained": trained})
    again = order("b", seed=7, opt={"lr": 1e-12})
    assert run(begun)[0].value == pytest.approx(run(again)[0].value, rel=1e-6)
    session = Session(replace(begun, trial="c", baselines=True), world, DataCache())
    session.close()


@pytest.mark.parametrize("weights", [{"elsewhere": torch.ones(1)}, {"head.weight": torch.ones(2, 9)}])
def test_initial_weights_that_the_model_lacks_are_refused(weights: dict[str, Tensor]) -> None:
    model = _toy(0)
    own = {name: weight.clone() for name, weight in model.state_dict().items()}
    given = {"head.bias": torch.ones_like(own["head.bias"]), **weights}
    with pytest.raises(
        FamilyError, match=r"must have names and shapes of the model, got (elsewhere|head.weight)"
    ):
        load_initial(model, given)
    assert all(torch.equal(weight, own[name]) for name, weight in model.state_dict().items())


@pytest.mark.slow
def test_a_trial_begins_with_what_its_family_gives_and_remembers_the_hash(
    order: Any, world: ProcessGroup, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = _toy(7).state_dict(), _toy(8).state_dict()
    monkeypatch.setattr(ToyTask, "initial_weights", lambda self, data: first)
    asked = replace(order("g"), checkpoints=True)
    session = Session(replace(asked, baselines=True), world, DataCache())
    begun = {name: weight.clone() for name, weight in session._module.model.state_dict().items()}
    report = session.advance()
    session.close()
    assert all(torch.equal(begun[name], weight) for name, weight in first.items())
    assert "before_training" in (baselines.read(Path(asked.directory)) or {})
    assert report.provenance["initial_weights_sha256"] == sha256_of(first)
    monkeypatch.setattr(ToyTask, "initial_weights", lambda self, data: pytest.fail("asked again"))
    again = Session(asked, world, DataCache())
    assert again.advance().provenance["initial_weights_sha256"] == sha256_of(first)
    again.close()
    monkeypatch.setattr(ToyTask, "initial_weights", lambda self, data: first)
    other = replace(asked, trial="h", starting_points={"second": write("second", second)})
    session = Session(other, world, DataCache())
    assert all(torch.equal(session._module.model.state_dict()[name], second[name]) for name in second)
    session.close()


@pytest.mark.slow
def test_a_trial_takes_only_what_its_task_names(
    order: Any, run: Any, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = write("trained", _toy(7).state_dict())
    begun = [
        replace(order(trial, opt={"lr": 1e-12}), starting_points={"trained": trained}) for trial in ("d", "e")
    ]
    whole = run(begun[0])[0].value
    monkeypatch.setattr(ToyTask, "starting_weights", lambda self: ("head.",))
    assert run(begun[1])[0].value != pytest.approx(whole, rel=1e-3)
