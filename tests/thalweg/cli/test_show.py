"""What `thalweg show` tells of studies beside their leaderboards."""

from collections.abc import Callable
from pathlib import Path

import pytest
from kept import evaluated
from recorded import RecordedStudy
from typer.testing import Result

from families.toy.config import Toy
from families.toy.task import ToyTask
from thalweg import contract
from thalweg.contract import Metric
from thalweg.search.space import load_space
from thalweg.search.store.optuna_study import Ledger
from thalweg.search.store.proposals import Proposal


@pytest.mark.slow
def test_the_importance_of_parameters_is_told_and_drawn(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from thalweg.tracking import additions

    monkeypatch.setattr(additions, "add_study_pictures", lambda *words: "run")
    space = load_space("spaces.toys").with_settings(num_trials=16, first_trials=())
    ledger = Ledger.open(tmp_path / "thalweg_runs" / "weighed", "weighed", space)
    for _ in range(16):
        proposal = ledger.ask()
        assert isinstance(proposal, Proposal)
        value = float(proposal.params["width"])
        ledger.report(
            proposal.number, evaluated(samples=256, value=value, metrics={"mse": value}, final=True)
        )
        ledger.complete(proposal.number)
    ledger.close()
    uri = f"sqlite:///{tmp_path}/m.db"
    result = run("show", "weighed", "--importance", "--pictures", "--tracking-uri", uri)
    assert result.exit_code == 0, result.output
    assert "width matters; 2 parameters are not shown to" in result.output
    assert "16 complete trials; a forest explains" in result.output
    assert "and in MLflow" in result.output
    assert len(list((tmp_path / "thalweg_runs" / "weighed").rglob("importance.png"))) == 1
    result = run("show", "weighed", "--front", "cost/num_parameters", "--pictures", "--tracking-uri", uri)
    assert result.exit_code == 2
    assert "of others that its complete trials have, got 'cost/num_parameters'" in result.stderr
    for more, told in (
        (("--by", "width"), "--importance takes all trials of a study, got --by beside it"),
        (("--relate", "mse", "width"), "a table shows one of --relate, --importance, got all of them"),
    ):
        result = run("show", "weighed", "--importance", *more)
        assert result.exit_code == 2
        assert told in result.stderr


@pytest.mark.slow
def test_two_metrics_are_related_over_the_trials_of_a_study(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from thalweg.tracking import additions

    monkeypatch.setattr(additions, "add_study_pictures", lambda *words: "run")
    space = load_space("spaces.toys").with_settings(num_trials=6)
    ledger = Ledger.open(tmp_path / "thalweg_runs" / "related", "related", space)
    for number in range(6):
        proposal = ledger.ask()
        assert isinstance(proposal, Proposal)
        metrics = {"mse": 0.5 + number, "curvature": 9.0 - number}
        ledger.report(
            proposal.number, evaluated(samples=256, value=metrics["mse"], metrics=metrics, final=True)
        )
        ledger.complete(proposal.number)
    ledger.close()
    uri = f"sqlite:///{tmp_path}/m.db"
    result = run("show", "related", "--relate", "curvature", "mse", "--pictures", "--tracking-uri", uri)
    assert result.exit_code == 0, result.output
    assert "rank correlation -1.00, 95 % interval [-1.00, -0." in result.output
    assert "the larger curvature, the smaller mse" in result.output
    assert "and in MLflow" in result.output
    assert len(list((tmp_path / "thalweg_runs" / "related").rglob("curvature-mse.png"))) == 1
    result = run("show", "related", "--pictures")
    assert result.exit_code == 2
    assert "--pictures draws what --relate, --importance or --front shows, got none of them" in result.stderr


@pytest.mark.slow
def test_a_study_of_several_objectives_shows_its_front(run: Callable[..., Result], tmp_path: Path) -> None:
    cost = "cost/num_parameters"
    first = tuple({"trouble": "none", "width": width} for width in (8, 16, 32))
    space = load_space("spaces.toys").with_settings(
        num_trials=3, first_trials=first, also={cost: "min"}, at_most={cost: 40}
    )
    ledger = Ledger.open(tmp_path / "thalweg_runs" / "several", "several", space)
    assert run("show", "several").exit_code == 0  # there is no front yet
    for asked, told in (
        (("--front", cost), "a Pareto front needs complete trials, 'several' has none yet"),
        (("--relate", "mse", cost), "a relation of metrics needs complete trials, 'several' has none yet"),
    ):
        refused = run("show", "several", *asked)
        assert refused.exit_code == 2 and told in " ".join(refused.output.split()), refused.output
    for value, size in ((0.1, 50.0), (0.2, 40.0), (0.3, 10.0)):
        proposal = ledger.ask()
        assert isinstance(proposal, Proposal)
        ledger.report(
            proposal.number,
            evaluated(256, value, metrics={"mse": value}, costs={"num_parameters": size}, final=True),
        )
        ledger.complete(proposal.number)
    ledger.close()
    result = run("show", "several")
    assert result.exit_code == 0, result.output
    words = " ".join(result.output.split())
    assert "mse (min), cost/num_parameters (min), cost/num_parameters at most 40" in words
    assert "1 of 3 complete trials break cost/num_parameters at most 40, and rank behind the others" in words
    assert "2 of 2 complete trials are beaten by none in all objectives" in words


@pytest.mark.slow
def test_groups_are_compared_by_metrics_of_their_own(run: Callable[..., Result], tmp_path: Path) -> None:
    space = load_space("spaces.toys").with_settings(num_trials=4)
    ledger = Ledger.open(tmp_path / "thalweg_runs" / "judged", "judged", space)
    bias = Metric(name="bias", mode="max", unit="1", search_invariant=True, meaning="of predictions")
    ledger.declare((*contract.metrics_of(ToyTask(Toy())), bias))
    for number in range(4):
        proposal = ledger.ask()
        assert isinstance(proposal, Proposal)
        metrics = {"mse": 0.5 + number, "bias": 0.125 * (9 - number)}
        ledger.report(
            proposal.number, evaluated(samples=256, value=metrics["mse"], metrics=metrics, final=True)
        )
        ledger.complete(proposal.number)
    ledger.close()
    result = run("show", "judged", "--by", "seed", "--metric", "bias", "--metric", "mse")
    assert result.exit_code == 0, result.output
    first, second = result.output.split("judged  ")[1:]
    assert first.startswith("bias (max)") and "0.9375 +- 0.1614" in first
    assert second.startswith("mse (min)") and "2.0000 +- 1.2910" in second
    result = run("show", "judged", "--metric", "bias")
    assert result.exit_code == 2
    assert "got 'bias' without --by; add --by" in result.stderr


@pytest.mark.slow
def test_values_of_parameters_are_shown_with_as_few_digits_as_tell_them_apart(
    run: Callable[..., Result],
) -> None:
    noisy, lrs = 0.3 - 0.27, (0.3 - 0.27, 0.01, 0.0100001)
    assert repr(noisy) == "0.02999999999999997"
    trials = tuple(({"width": 4 + place, "lr": lr}, (0.4 + place / 10,)) for place, lr in enumerate(lrs))
    RecordedStudy(trials=trials).write("apart")
    RecordedStudy(trials=trials[:2]).write("few")
    for words, told in (
        (("show", "apart", "--by", "lr"), ("0.03", "0.01", "0.0100001")),
        (("show", "few", "--by", "lr", "--by", "width"), ("0.03", "0.01")),
        (("show", "few"), ("0.03", "0.01")),
        (("compare", "few", "--by", "lr"), ("0.03", "0.01")),
        (("compare", "few", "--trials", "0,1"), ("0.03", "0.01")),
    ):
        result = run(*words)
        assert result.exit_code == 0, result.output
        assert set(told) <= set(result.output.split()), result.output
        assert "0.0299" not in result.output, result.output
    shown, again = run("best", "few").output.split("train it again")
    assert "optimization.lr 0.03 " in " ".join(shown.split())
    assert f"lr={noisy!r}" in again  # a command must mean the same trial
