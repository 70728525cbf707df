"""Studies that start from the best trials of others: found, frozen, inherited, recorded."""

import io
import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from kept import evaluated
from rich.console import Console

from families.toy.config import Toy
from thalweg.analysis.best import export_best
from thalweg.analysis.studies import find
from thalweg.console.best_view import show_best
from thalweg.errors import ConfigError, OutputError, StudyError
from thalweg.search.preflight import prepare
from thalweg.search.space import Space, load_space
from thalweg.search.store.optuna_study import Ledger
from thalweg.search.store.proposals import Proposal, Rejection
from thalweg.search.store.warm_start import StartingPoints, inherit, tags
from thalweg.search.train_one import choose, train
from thalweg.study import Trial
from thalweg.training.checkpoints import checkpoint, export
from thalweg.training.messages import Report

PARAMS = {"trouble": "none", "width": 12, "lr": 0.01}
AGAIN = Toy(starts_from=("toys",))

Finish = Callable[..., Path]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """What a training of the toy family left."""
    folder = tmp_path_factory.mktemp("trained")
    single = choose(load_space("spaces.toys"), PARAMS, output=folder, root=folder)
    return train(single, lambda report: None)


@pytest.fixture
def finish(trained: Report, tmp_path: Path) -> Finish:
    """Adds a complete trial with a real checkpoint to the study ``toys``; returns the checkpoint."""

    def add(value: float | None = None, name: str = "toys", storage: str | None = None) -> Path:
        space = load_space("spaces.toys").with_settings(first_trials=(PARAMS,) * 3)
        ledger = Ledger.open(tmp_path / name, name, space, storage=storage)
        proposal = ledger.ask()
        assert isinstance(proposal, Proposal)
        folder = tmp_path / name / "checkpoints" / f"trial-{proposal.number:05d}" / "samples-000000000256"
        shutil.copytree(str(trained.checkpoint), folder)
        value = trained.value if value is None else value
        metrics = {"mse": value}
        ledger.report(
            proposal.number,
            evaluated(samples=256, value=value, metrics=metrics, checkpoint=str(folder), final=True),
        )
        ledger.complete(proposal.number)
        ledger.close()
        return folder

    return add


@pytest.fixture
def starting_points(tmp_path: Path) -> StartingPoints:
    return StartingPoints(tmp_path / "again", own="again")


def again(**changes: Any) -> Space:
    """The space ``toys_again``, whose configurations get other knobs."""
    space = load_space("spaces.toys_again")
    return replace(space, function=lambda trial: space.function(trial).model_copy(update=changes))


def ask(ledger: Ledger) -> Proposal:
    proposal = ledger.ask()
    assert isinstance(proposal, Proposal)
    return proposal


def test_a_configuration_inherits_from_the_best_trial(
    finish: Finish, starting_points: StartingPoints
) -> None:
    finish()
    config = starting_points.take(AGAIN)
    assert config == AGAIN.model_copy(update={"width": 12})


def test_what_starts_from_nothing_stays_as_it_is(starting_points: StartingPoints, tmp_path: Path) -> None:
    assert starting_points.take(Toy()) == starting_points.preview(Toy()) == Toy()
    assert not (tmp_path / "again").exists()


def test_the_frozen_weights_are_those_of_the_checkpoint(
    finish: Finish, starting_points: StartingPoints, trained: Report, tmp_path: Path
) -> None:
    folder = finish()
    (point,) = starting_points.freeze(AGAIN)
    content = torch.load(tmp_path / "again" / "sources" / "toys.pt", weights_only=True)
    expected = checkpoint.fp32_weights(folder)
    assert content["weights"].keys() == expected.keys()
    assert all(torch.equal(content["weights"][name], expected[name]) for name in expected)
    stored = {name: content[name] for name in ("study", "trial", "metric", "value", "samples", "family")}
    assert stored == {
        "study": "toys",
        "trial": 0,
        "metric": "mse",
        "value": trained.value,
        "samples": 256,
        "family": "families.toy",
    }
    assert content["config"]["width"] == point.config["width"] == 12


def test_a_small_file_says_what_the_weights_are(
    finish: Finish, starting_points: StartingPoints, trained: Report, tmp_path: Path
) -> None:
    finish()
    (point,) = starting_points.freeze(AGAIN)
    stored = json.loads((tmp_path / "again" / "sources" / "toys.json").read_text())
    assert (stored["study"], stored["trial"], stored["metric"]) == ("toys", 0, "mse")
    assert (stored["value"], stored["samples"]) == (trained.value, 256)
    assert stored["sha256"] == point.sha256 != ""
    assert stored["config"]["optimization"]["lr"] == 0.01
    assert not list((tmp_path / "again" / "sources").glob("*.partial"))


def test_looking_writes_nothing(finish: Finish, starting_points: StartingPoints, tmp_path: Path) -> None:
    finish()
    assert starting_points.preview(AGAIN).width == 12
    assert not (tmp_path / "again").exists()


def test_what_is_frozen_outlives_a_better_trial_and_the_study_itself(
    finish: Finish, starting_points: StartingPoints, tmp_path: Path
) -> None:
    finish(0.5)
    (before,) = starting_points.freeze(AGAIN)
    weights = (tmp_path / "again" / "sources" / "toys.pt").read_bytes()
    finish(0.25)
    assert StartingPoints(None, output=tmp_path).points(AGAIN)[0].trial == 1
    shutil.rmtree(tmp_path / "toys")
    later = StartingPoints(tmp_path / "again")
    assert later.points(AGAIN) == later.freeze(AGAIN) == later.frozen() == [before]
    assert later.take(AGAIN).width == 12
    assert (tmp_path / "again" / "sources" / "toys.pt").read_bytes() == weights


def test_of_two_that_freeze_at_once_one_does(
    finish: Finish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish()
    written: list[Path] = []
    both = threading.Barrier(2)
    real = export.freeze

    def freeze(folder: Path, file: Path, entries: dict[str, Any]) -> str:
        written.append(file)
        return real(folder, file, entries)

    monkeypatch.setattr(export, "freeze", freeze)
    found: list[Any] = []

    def start() -> None:
        starting_points = StartingPoints(tmp_path / "again")
        both.wait()
        found.append(starting_points.freeze(AGAIN))

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(written) == 1
    assert found[0] == found[1]


def test_a_trial_that_is_overtaken_while_it_is_frozen_gives_way_to_the_better_one(
    finish: Finish, starting_points: StartingPoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = finish(0.5)
    real = export.freeze

    def freeze(folder: Path, file: Path, entries: dict[str, Any]) -> str:
        if first.exists():
            finish(0.25)
            shutil.rmtree(first)
        return real(folder, file, entries)

    monkeypatch.setattr(export, "freeze", freeze)
    (point,) = starting_points.freeze(AGAIN)
    assert (point.trial, point.value) == (1, 0.25)


def test_a_checkpoint_that_lacks_a_part_is_refused(
    finish: Finish, starting_points: StartingPoints, tmp_path: Path
) -> None:
    folder = finish()
    shutil.rmtree(folder / "weights")
    with pytest.raises(StudyError, match=r"checkpoint of a study to start from must be whole"):
        starting_points.freeze(AGAIN)
    assert starting_points.frozen() == []


def test_a_study_that_does_not_exist_is_refused_with_those_that_do(finish: Finish, tmp_path: Path) -> None:
    finish()
    finish(name="others")
    with pytest.raises(
        StudyError, match=r"no study 'cilp' .*found: others, toys.*`thalweg search cilp --output \S+` first"
    ):
        StartingPoints(tmp_path / "again").take(Toy(starts_from=("cilp",)))


@pytest.mark.parametrize("name", ["../toys", "a/b", "/toys"])
def test_a_name_that_is_a_path_is_no_study(finish: Finish, tmp_path: Path, name: str) -> None:
    finish()
    with pytest.raises(StudyError, match="no study"):
        StartingPoints(tmp_path / "runs" / "again").take(Toy(starts_from=(name,)))


def test_a_study_without_a_complete_trial_is_refused(starting_points: StartingPoints, tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "toys", "toys", load_space("spaces.toys"))
    ledger.fail(ask(ledger).number, "why", "infeasible")
    ledger.close()
    with pytest.raises(StudyError, match=r"must have a complete trial, 'toys' has none among 4"):
        starting_points.preview(AGAIN)


def test_a_study_that_kept_no_checkpoint_is_refused(finish: Finish, starting_points: StartingPoints) -> None:
    shutil.rmtree(finish())
    with pytest.raises(StudyError, match=r"trial 0 of 'toys' has none; .*keep_checkpoints of at least 1"):
        starting_points.preview(AGAIN)


@pytest.mark.parametrize("earlier_version", [False, True])
def test_a_moved_study_is_started_from_and_exported(
    finish: Finish, tmp_path: Path, earlier_version: bool
) -> None:
    folder = finish()
    if earlier_version:  # which recorded an absolute path
        journal = tmp_path / "toys" / "journal.log"
        recorded = f'"checkpoints/trial-00000/{folder.name}"'
        before = journal.read_text()
        assert recorded in before
        journal.write_text(before.replace(recorded, f'"{folder}"'))
    (tmp_path / "moved").mkdir()
    (tmp_path / "toys").rename(tmp_path / "moved" / "toys")
    assert StartingPoints(tmp_path / "moved" / "again", own="again").take(AGAIN).width == 12
    stored = json.loads((tmp_path / "moved" / "again" / "sources" / "toys.json").read_text())
    assert stored["checkpoint"] == f"toys/checkpoints/trial-00000/{folder.name}"
    record = find(tmp_path / "moved", "toys")
    export_best(record, tmp_path / "best.pt", tmp_path)
    assert torch.load(tmp_path / "best.pt", weights_only=True)["samples"] == 256
    text = io.StringIO()
    show_best(record, tmp_path / "moved" / "toys", Console(file=text, width=400))
    assert str(tmp_path / "moved" / "toys" / "checkpoints" / "trial-00000" / folder.name) in text.getvalue()
    assert f"thalweg train spaces.toys --output {tmp_path / 'moved'}" in text.getvalue()


def test_a_damaged_checkpoint_is_not_started_from(finish: Finish, starting_points: StartingPoints) -> None:
    weights = finish() / "weights" / "mp_rank_00_model_states.pt"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    with pytest.raises(StudyError, match=r"must be whole, got .*_model_states\.pt has changed since"):
        starting_points.take(AGAIN)


def test_a_study_of_another_family_is_refused(
    finish: Finish, starting_points: StartingPoints, lab: Callable[[str, str], Path]
) -> None:
    finish()
    config = load_space("lab.toy").config_type(dataset="none", starts_from=("toys",))
    with pytest.raises(StudyError, match=r"own family lab, got 'toys' of families.toy"):
        starting_points.preview(config)


def test_a_study_that_starts_from_itself_is_refused(finish: Finish, tmp_path: Path) -> None:
    finish()
    with pytest.raises(StudyError, match="must start from other studies, got its own name 'toys'"):
        StartingPoints(tmp_path / "toys", own="toys").preview(AGAIN)


def test_frozen_weights_that_were_taken_away_are_named(
    finish: Finish, starting_points: StartingPoints, tmp_path: Path
) -> None:
    finish()
    starting_points.freeze(AGAIN)
    (tmp_path / "again" / "sources" / "toys.pt").unlink()
    with pytest.raises(StudyError, match=r"must stay in its folder, got no .*toys\.pt"):
        StartingPoints(tmp_path / "again").take(AGAIN)


def test_a_folder_that_can_not_be_written_is_named(finish: Finish, tmp_path: Path) -> None:
    finish()
    (tmp_path / "again").write_text("a file")
    with pytest.raises(OutputError, match="must be writable"):
        StartingPoints(tmp_path / "again").freeze(AGAIN)


def test_a_configuration_of_an_earlier_version_is_named(
    finish: Finish, starting_points: StartingPoints
) -> None:
    finish()
    (point,) = starting_points.points(AGAIN)
    with pytest.raises(ConfigError, match=r"trial 0 of 'toys' .* as it is now, got depth: extra"):
        inherit(AGAIN, [replace(point, config={**point.config, "depth": 3})])


def test_of_two_starting_points_the_order_is_that_of_the_configuration(
    finish: Finish, starting_points: StartingPoints
) -> None:
    finish()
    finish(name="others")
    points = starting_points.points(Toy(starts_from=("toys", "others", "toys")))
    assert [point.study for point in points] == ["toys", "others"]


def test_the_records_say_trial_value_samples_and_hash(
    finish: Finish, starting_points: StartingPoints
) -> None:
    finish(0.4321987)
    (point,) = starting_points.freeze(AGAIN)
    assert tags([point]) == {
        "starts_from/toys": f"trial 0, mse 0.4322 after 256 samples, sha256 {point.sha256[:8]}"
    }
    assert point.sentence() == "starts from toys, trial 0: mse 0.4322"


@pytest.mark.slow
def test_a_shared_database_holds_the_studies_to_start_from(finish: Finish, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'studies.db'}"
    finish(storage=storage)
    starting_points = StartingPoints(tmp_path / "elsewhere" / "again", own="again", storage=storage)
    assert starting_points.take(AGAIN).width == 12
    with pytest.raises(StudyError, match=r"found: toys\); run `thalweg search cilp --output \S+` first"):
        starting_points.take(Toy(starts_from=("cilp",)))


def test_a_trial_is_proposed_and_recorded_with_what_it_inherits(finish: Finish, tmp_path: Path) -> None:
    finish()
    ledger = Ledger.open(tmp_path / "again", "again", again())
    proposal = ask(ledger)
    assert isinstance(proposal.config, Toy)
    assert proposal.config.width == 12
    assert ledger.trials()[0].config == proposal.config.model_dump(mode="json")
    ledger.close()


def test_a_trial_that_is_continued_inherits_the_same_although_its_starting_point_went_on(
    finish: Finish, tmp_path: Path
) -> None:
    finish(0.5)
    ledger = Ledger.open(tmp_path / "again", "again", again())
    before = ask(ledger)
    ledger.interrupt_all()
    ledger.close()
    finish(0.25)
    shutil.rmtree(tmp_path / "toys")
    ledger = Ledger.open(tmp_path / "again", "again", again())
    after = ask(ledger)
    assert (after.continues, after.config) == (before.number, before.config)
    ledger.close()


def test_a_proposal_whose_starting_point_is_missing_is_rejected_until_there_is_one(
    finish: Finish, tmp_path: Path
) -> None:
    finish()
    space = again()
    chosen = replace(
        space,
        function=lambda trial: space.function(trial).model_copy(
            update={"starts_from": (trial.suggest_categorical("source", ["toys", "cilp"]),)}
        ),
        study=space.study.model_copy(
            update={"first_trials": tuple({"source": "cilp", "seed": seed} for seed in (1, 2))}
        ),
    )
    ledger = Ledger.open(tmp_path / "again", "again", chosen)
    rejection = ledger.ask()
    assert isinstance(rejection, Rejection)
    assert isinstance(rejection.error, StudyError)
    assert ledger.trials()[0].status == "failed"
    assert "no study 'cilp'" in ledger.trials()[0].reason
    finish(name="cilp")
    assert ask(ledger).config.starts_from == ("cilp",)
    ledger.close()


def test_the_evaluation_protocol_is_that_of_trials_that_start_from_nothing(
    finish: Finish, starting_points: StartingPoints, tmp_path: Path
) -> None:
    finish()
    prepared = prepare(again(), tmp_path, starting_points=starting_points)
    assert isinstance(prepared.config, Toy)
    assert prepared.config.width == 12
    alone = prepare(again(starts_from=()), tmp_path, starting_points=starting_points)
    assert prepared.tags["protocol_hash"] == alone.tags["protocol_hash"]
    assert prepared.data_root == alone.data_root


def test_knobs_that_other_studies_overrule_are_told(
    finish: Finish, starting_points: StartingPoints, tmp_path: Path
) -> None:
    finish()
    space = again()

    def widths(trial: Trial) -> Toy:
        width = trial.suggest_categorical("width", [4, 24])
        config = space.function(trial).model_copy(update={"width": width, "dropout": 0.25})
        assert isinstance(config, Toy)
        return config

    told: list[str] = []
    chosen = replace(space, function=widths)
    assert prepare(chosen, tmp_path, told.append, starting_points).config.width == 12  # type: ignore[attr-defined]
    assert "these knobs come with the weights of toys: width 12 (not 4)" in told
    (dead,) = (text for text in told if "changes nothing" in text)
    assert dead == (
        "searching width changes nothing: the knobs come with the weights of toys; leave them out of the space"
    )
    told.clear()
    prepare(again(width=12), tmp_path, told.append, starting_points)
    assert not [text for text in told if "weights of" in text]


def test_a_study_whose_starting_point_is_missing_is_refused_before_anything_is_written(
    starting_points: StartingPoints, tmp_path: Path
) -> None:
    with pytest.raises(StudyError, match="no study 'toys'"):
        prepare(again(), tmp_path / "data", starting_points=starting_points)
    with pytest.raises(StudyError, match="needs their folder"):
        prepare(again(), tmp_path / "data")
    assert not (tmp_path / "again").exists()


def test_a_single_training_starts_from_frozen_weights_and_says_so(finish: Finish, tmp_path: Path) -> None:
    finish(0.5)
    told: list[str] = []
    single = choose(again(), {}, output=tmp_path, root=tmp_path, tell=told.append)
    assert "starts from toys, trial 0: mse 0.5" in told
    assert single.order.config["width"] == 12
    (file,) = single.order.starting_points.values()
    assert torch.load(file, weights_only=True)["study"] == "toys"


def test_a_single_training_is_another_one_when_its_starting_point_got_better(
    finish: Finish, tmp_path: Path
) -> None:
    finish(0.5)
    first, same = (choose(again(), {}, output=tmp_path, root=tmp_path).order for _ in range(2))
    finish(0.25)
    later = choose(again(), {}, output=tmp_path, root=tmp_path).order
    assert first == same
    assert later.directory != first.directory
    assert later.starting_points != first.starting_points


def test_the_best_trial_is_shown_with_where_it_started(finish: Finish, tmp_path: Path) -> None:
    finish()
    ledger = Ledger.open(tmp_path / "again", "again", again())
    number = ask(ledger).number
    ledger.report(number, evaluated(samples=128, value=0.5, metrics={"mse": 0.5}, final=True))
    ledger.complete(number)
    text = io.StringIO()
    show_best(ledger.read(), tmp_path / "again", Console(file=text, width=200))
    ledger.close()
    assert "[toys]" in next(line for line in text.getvalue().splitlines() if "starts_from" in line)
