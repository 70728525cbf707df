"""The command line: what is refused, what is listed, and how fast."""

import gc
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kept import evaluated
from refused import refusal
from typer.testing import Result

from families.toy.config import Toy
from thalweg import discovery
from thalweg.search import run as search_run
from thalweg.search.controller import StudyController
from thalweg.search.space import load_space
from thalweg.search.starting import early_start
from thalweg.search.store.optuna_study import Ledger
from thalweg.search.store.proposals import Proposal
from thalweg.search.store.records import StudyRecord
from thalweg.search.train_one import Single, choose, train
from thalweg.training.hold_out import evaluate


def commands() -> list[list[str]]:
    return [
        ["search"],
        ["train"],
        ["best"],
        ["ui"],
        ["studies"],
        ["spaces"],
        ["families"],
        ["describe"],
        ["check"],
        *(["new", name] for name in ("family", "space")),
        *(["data", name] for name in ("list", "make", "import", "show")),
    ]


def test_only_commands_that_read_run_without_garbage_collection(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(gc, "disable", lambda: calls.append("off"))
    monkeypatch.setattr(gc, "enable", lambda: calls.append("on"))
    assert run("spaces").exit_code == 0
    assert calls == ["off", "on"]
    run("train", "no_such_family")
    assert calls == ["off", "on", "on"]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_explains_itself(run: Callable[..., Result], words: list[str]) -> None:
    result = run(*words, "--help")
    assert result.exit_code == 0
    assert "Example" in result.output or "Next" in result.output or words == ["data", "list"]


def test_the_short_option_explains_too(run: Callable[..., Result]) -> None:
    for words in ([], ["search"], ["data"], ["data", "make"]):
        assert run(*words, "-h").output == run(*words, "--help").output


@pytest.mark.parametrize("words", [["search", "quikstart"], ["train", "quikstart"]], ids=" ".join)
def test_a_misspelt_space_is_refused_before_anything_heavy_is_imported(words: list[str]) -> None:
    code = (
        f"import sys; from thalweg.cli.app import app; sys.argv[1:] = {words}; app(standalone_mode=False);"
        "print([m for m in ('torch', 'ray', 'optuna', 'mlflow', 'deepspeed') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert "did you mean 'quickstart'" in done.stderr


def test_it_runs_as_a_module(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "thalweg", "describe", "nobody"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("error: no family 'nobody'")


def test_all_spaces_and_families_are_listed(run: Callable[..., Result]) -> None:
    spaces, families = run("spaces").output, run("families").output
    assert [name for name in discovery.names("search_spaces") if name not in spaces] == []
    assert [name for name in discovery.names("trainables") if name not in families] == []


def test_spaces_of_one_family_are_listed_with_their_whole_names(run: Callable[..., Result]) -> None:
    output = run("spaces", "sentinel_supcon").output
    table = output.partition("\n\n")[0]
    assert "rgb_lidar" not in output and "\u2026" not in output
    first = [line.split()[0] for line in table.splitlines() if "sentinel_supcon" in line]
    assert first == [name for name in discovery.names("search_spaces") if name.startswith("sentinel_supcon_")]
    assert "no family 'sentinel' in trainables/" in run("spaces", "sentinel").output


def test_a_broken_space_is_listed_with_what_is_wrong(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import search_spaces

    (tmp_path / "broken_space.py").write_text("import nothing_of_this_name")
    monkeypatch.setattr(search_spaces, "__path__", [*search_spaces.__path__, str(tmp_path)])
    output = run("spaces").output
    assert "broken_space" in output
    assert "nothing_of_this_name" in output
    assert "quickstart" in output


@pytest.mark.parametrize("name", discovery.names("trainables"))
def test_every_family_can_be_described(run: Callable[..., Result], name: str) -> None:
    result = run("describe", name)
    assert result.exit_code == 0, result.output
    assert "total" in result.output


@pytest.mark.parametrize(
    ("words", "law"),
    [
        (["search", "nope"], r"no search space 'nope'"),
        (["search", "quickstrat"], r"did you mean 'quickstart'"),
        (["search", "quickstart.py"], r"without its suffix"),
        (["train", "nope"], r"no search space 'nope'"),
        (
            ["train", "spaces.toys", "--param", "depth=3"],
            r"the space asks for, got 'depth'; .* it asks trouble",
        ),
        (["train", "spaces.toys", "--param", "lr=9"], r"lr must be in \[0.0001, 0.03\]"),
        (["train", "spaces.toys", "--param", "lr"], r"must be name=value, got 'lr'"),
        (["train", "families.toy", "--preset", "huge", "--samples", "8"], r"no preset 'huge'.*default, wide"),
        (["train", "families.toy", "--preset", "wide"], r"preset needs a budget.*add --samples"),
        (
            ["train", "families.toy", "--preset", "wide", "--samples", "8", "--param", "lr=1"],
            r"no knob 'lr' in families.toy; did you mean optimization.lr\?",
        ),
        (
            ["train", "families.toy", "--preset", "wide", "--param", "dataset=mine"],
            r"dataset has an option of its own, got --param dataset=mine; pass --dataset mine",
        ),
        (["train", "spaces.toys", "--metric", "mse"], r"--metric goes with a preset of a family"),
        (
            ["train", "spaces.toys", "--dataset", "tiny"],
            r"no data set 'tiny' in families.toy \(found: none\)",
        ),
        (
            ["search", "spaces.toys", "--samples", "7"],
            r"must hold a batch, up to 8 samples here, got --samples 7",
        ),
        (["search", "rgb_lidar_fusion", "--dataset", "tini"], r"did you mean 'tiny'\?"),
        (
            ["train", "water_mae", "--preset", "tiny", "--samples", "8", "--dataset", "sea"],
            r"no data set 'sea' in water_mae \(found: .*tiny",
        ),
        (["describe", "nope"], r"no family 'nope'"),
        (["describe", "families.toy", "--preset", "huge"], r"no preset 'huge'.*default, wide"),
        (["best", "nope", "--at", "best"], r"--at chooses the weights of --export and --test"),
        (["best", "nope"], r"no study 'nope' in thalweg_runs \(found: none\)"),
        (["data", "make", "families.toy"], r"must have synthetic data sets"),
        (["data", "make", "rgb_lidar", "--option", "seed=3"], r"must be named and get a name.*--as"),
        (
            ["data", "make", "rgb_lidar", "tiny", "--option", "seed=x", "--as", "a"],
            r"seed must be a whole number",
        ),
        (
            ["data", "show", "families.toy"],
            r"no function explore in families\.toy\.explore; take another family "
            r"\(found: geo_contrastive, rgb_lidar, sentinel_supcon, water_mae\)",
        ),
        (["data", "show", "rgb_lidar", "nope"], r"no data set 'nope' in rgb_lidar \(found: default, tiny\)"),
        (["data", "show", "rgb_lidar", "--tracking-uri", "nonsense://x"], r"tracking URI must begin with"),
        (["data", "import", "nope", "."], r"no public data set 'nope' in any family"),
        (
            ["data", "import", "weather-fields", "2001.nc", "2002.nc", "2003.nc"],
            r"one file or folder, got 3: 2001\.nc, 2002\.nc and 1 more; pass the folder that holds them",
        ),
        (["search", "spaces.toys", "--tracking-uri", "nonsense://x"], r"tracking URI must begin with"),
        (["search", "spaces.toys", "--tracking-uri", "http://127.0.0.1:9"], r"MLflow server must answer"),
        (["search", "spaces.toys", "--study", "a/b"], r"study's name must be letters"),
        (["search", "spaces.toys", "--output", "/proc/nowhere"], r"folder must be writable"),
        (["ui", "--tracking-uri", "nonsense://x"], r"tracking URI must begin with"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_gets_one_line_and_code_2(run: Callable[..., Result], words: list[str], law: str) -> None:
    assert re.search(law, refusal(run(*words)))


def test_another_error_keeps_its_traceback(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(family: str | None) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("thalweg.console.listings.spaces", crash)
    assert isinstance(run("spaces").exception, ZeroDivisionError)


def test_ctrl_c_ends_a_command_with_code_130(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(family: str | None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("thalweg.console.listings.spaces", interrupt)
    result = run("spaces")
    assert (result.exit_code, result.stderr) == (130, "stopped\n")


_TRAINS = """
import os, signal
from thalweg.cli.app import main
from thalweg.console.train_view import CurveView
CurveView.report = lambda self, report: os.kill(os.getpid(), signal.SIGTERM)
main()
"""


@pytest.mark.slow
def test_a_training_that_sigterm_ends_has_code_143_and_no_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _TRAINS, "train", "spaces.toys", "--samples", "64"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 143
    assert done.stderr.splitlines()[-1:] == ["stopped"]
    assert "Traceback" not in done.stderr + done.stdout


def test_a_study_name_of_another_space_is_refused_before_ray_starts(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    space = load_space("spaces.toys")
    ledger = Ledger.open(tmp_path / "thalweg_runs" / "mine", "mine", space.with_settings(samples=512))
    proposal = ledger.ask()
    assert isinstance(proposal, Proposal)
    ledger.report(proposal.number, evaluated(samples=128, value=0.5))
    ledger.close()
    message = refusal(run("search", "spaces.toys", "--study", "mine"))
    assert "'mine' has 512, got 256" in message
    assert "ray" not in {path.name for path in (tmp_path / "thalweg_runs" / "mine").iterdir()}


def complete_study(folder: Path, name: str) -> None:
    """Writes a study of one complete trial, without a checkpoint."""
    space = load_space("spaces.toys").with_settings(num_trials=1)
    ledger = Ledger.open(folder / "thalweg_runs" / name, name, space)
    proposal = ledger.ask()
    assert isinstance(proposal, Proposal)
    ledger.report(proposal.number, evaluated(samples=256, value=0.125, metrics={"mse": 0.125}, final=True))
    ledger.complete(proposal.number)
    ledger.close()


@pytest.mark.usefixtures("untracked")
def test_a_complete_study_shows_its_leaderboard_without_running(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    complete_study(tmp_path, "spaces.toys")
    result = run("search", "spaces.toys", "--trials", "1", "--tracking-uri", f"sqlite:///{tmp_path}/m.db")
    assert result.exit_code == 0, result.output
    assert "all trials had ended before" in result.output
    assert "1 trial: 1 complete, 0 pruned, 0 failed" in result.output
    assert re.search(r"mse +0\.1250", result.output)
    assert "thalweg search spaces.toys --trials 2" in result.output


@pytest.mark.usefixtures("untracked")
def test_ctrl_c_ends_a_search_with_what_was_interrupted_and_how_it_goes_on(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tune(prepared: Any, options: Any, controller: StudyController, *rest: Any) -> None:
        for _ in range(2):
            assert isinstance(controller.propose(), Proposal)
        controller.observe(1, evaluated(samples=128, value=0.5))
        raise KeyboardInterrupt

    for module in (search_run, early_start):
        monkeypatch.setattr(module, "connect", lambda *_, **__: nullcontext("here"))
    monkeypatch.setattr(search_run, "book", lambda *_: 2)
    monkeypatch.setattr(search_run, "_tune", tune)
    uri = f"sqlite:///{tmp_path}/m.db"
    told = "2 trials interrupted (0 after 0 samples, 1 after 128 samples): the same `thalweg search` goes on with"
    result = run("search", "spaces.toys", "--study", "toys", "--plain", "--tracking-uri", uri)
    assert result.exit_code == 130, result.output
    assert f"{told} them" in " ".join(result.output.split())
    assert f"thalweg search spaces.toys --trials 10 --study toys --tracking-uri {uri}" in result.output
    assert f"{told} them" in " ".join(run("show", "toys").output.split())


@pytest.mark.slow
def test_training_one_configuration_prints_its_curve_and_checkpoint(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    result = run("train", "spaces.toys", "--samples", "64", "--param", "lr=0.01")
    assert result.exit_code == 0, result.output
    assert re.search(r"64 samples  mse \d\.\d+", result.output)
    assert "baseline zero" in result.output
    checkpoint = Path(result.output.splitlines()[-1].strip())
    assert checkpoint.is_dir()
    assert checkpoint.is_relative_to(tmp_path / "thalweg_runs" / "train")


def test_an_error_inside_a_family_is_told_in_one_line(run: Callable[..., Result]) -> None:
    result = run("train", "spaces.toys", "--samples", "64", "--param", "trouble=bug")
    assert result.exit_code == 2
    told = r"error: .*got RuntimeError: the toy is broken in \S*families/toy/task\.py:\d+ in_loss; mend it there\n"
    assert re.fullmatch(told, result.stderr), result.stderr


@pytest.mark.slow
def test_a_preset_is_trained_without_a_space(run: Callable[..., Result], tmp_path: Path) -> None:
    result = run("train", "rgb_lidar", "--preset", "tiny", "--samples", "16")
    assert result.exit_code == 0, result.output
    assert "preset tiny of rgb_lidar, data set tiny, cross_entropy (min)" in result.output
    assert re.search(r"16 samples  cross_entropy \d\.\d+", result.output)
    checkpoint = Path(result.output.splitlines()[-1].strip())
    assert checkpoint.is_relative_to(tmp_path / "thalweg_runs" / "train")
    assert checkpoint.parents[1].name.startswith("rgb_lidar-tiny-")


def test_only_the_first_of_several_workers_speaks(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    assert run("families").output == ""


def test_importing_the_command_line_changes_no_environment() -> None:
    code = "import os\nbefore = dict(os.environ)\nimport thalweg.cli.app\nassert dict(os.environ) == before"
    environment: dict[str, Any] = dict(os.environ)
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


@pytest.mark.parametrize("at", ["last", "best"])
def test_the_best_trial_is_reported_on_the_split_that_selected_nothing(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    order = choose(load_space("spaces.toys"), {"width": "8"}, output=tmp_path, root=tmp_path).order
    checkpoints: dict[int, str] = {}
    last = train(
        Single(order=replace(order, keep_last=9), params={}, config=Toy()),
        lambda report: checkpoints.update({report.samples: str(report.checkpoint)}),
    )
    ledger = Ledger.open(tmp_path / "thalweg_runs" / "toys", "toys", load_space("spaces.toys"))
    proposal = ledger.ask()
    assert isinstance(proposal, Proposal)
    for samples, value in ((128, 0.01), (256, last.value)):
        evaluation = evaluated(
            samples=samples, value=value, checkpoint=checkpoints[samples], final=samples == 256
        )
        ledger.report(proposal.number, evaluation)
    ledger.complete(proposal.number)
    ledger.close()
    asked: dict[str, Any] = {}

    def record(*place: Any, **values: Any) -> str | None:
        asked.update(place=place, **values)
        return "run" if at == "last" else None

    monkeypatch.setattr("thalweg.tracking.additions.add_hold_out", record)
    uri = f"sqlite:///{tmp_path}/m.db"
    result = run("best", "toys", "--test", "--at", at, "--tracking-uri", uri)
    assert result.exit_code == 0, result.output
    samples = {"last": 256, "best": 128}[at]
    found = evaluate(Path(checkpoints[samples]), tmp_path)
    assert f"trial 0 after {samples} samples" in result.output
    best = f"{found.baselines['zero']['mse']:.4f} zero"
    mark = "+" if found.test["mse"] < found.baselines["zero"]["mse"] else "-"
    row = f"mse +{found.val['mse']:.4f} +{found.test['mse']:.4f} {re.escape(mark)} +{best}"
    assert re.search(row, result.output), result.output
    metrics = {"mse": found.test["mse"]}  # the weighted loss means something else in every trial
    place = (uri, "toys", Path("thalweg_runs/toys").absolute(), 0, metrics)
    assert asked == {"place": place, "samples": samples}
    told = "in MLflow" if at == "last" else f"not in MLflow, for {uri} does not know the trial"
    assert f"trial 0: test metrics {told}\n" in result.output


@pytest.mark.usefixtures("untracked")
def test_reading_the_split_test_for_a_confirmation_is_logged_for_what_it_confirms(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from thalweg.analysis import studies
    from thalweg.analysis.verdict.reading_log import readings

    complete_study(tmp_path, "toys.confirm")
    find = studies.find

    def confirming(*given: Any) -> Any:
        found = find(*given)
        return replace(found, definition={**found.definition, "confirms": "toys"})

    monkeypatch.setattr(studies, "find", confirming)
    result = run("best", "toys.confirm", "--test", "--tracking-uri", f"sqlite:///{tmp_path}/m.db")
    assert result.exit_code == 2, result.output  # no checkpoint was written
    runs = tmp_path / "thalweg_runs"
    (read,) = readings(find(runs, "toys.confirm", None), runs / "toys", None)
    assert read.what == "the best trial of toys.confirm"
    assert (runs / "toys/test_readings.json").exists()
    assert not (runs / "toys.confirm/test_readings.json").exists()


@pytest.mark.usefixtures("untracked")
@pytest.mark.parametrize("flags", [(), ("--no-pictures",)])
def test_a_search_ends_with_pictures_unless_told_otherwise(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...]
) -> None:
    from thalweg.analysis import pictures, studies

    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(pictures, "draw_new", lambda *arguments, **options: asked.append(arguments[:3]))
    monkeypatch.setattr(studies, "finished", lambda *_: None)  # as if its last trial had just ended
    complete_study(tmp_path, "spaces.toys")
    uri = f"sqlite:///{tmp_path}/m.db"
    result = run("search", "spaces.toys", "--trials", "1", "--tracking-uri", uri, *flags)
    assert result.exit_code == 0, result.output
    told = [(folder, where) for _, folder, where in asked]
    assert told == ([] if flags else [(tmp_path / "thalweg_runs" / "spaces.toys", uri)])


def test_a_part_needs_a_file_to_go_to(run: Callable[..., Result]) -> None:
    result = run("best", "rivers", "--part", "encoders")
    assert result.exit_code == 2
    assert "must have a file to go to, got 'encoders'; add --export FILE" in result.output


def test_what_cannot_be_exported_is_refused_before_the_report(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    complete_study(tmp_path, "toys")
    assert "train it again" in run("best", "toys").output
    result = run("best", "toys", "--export", "best.pt")  # no checkpoint was written
    assert result.exit_code != 0
    assert "checkpoint" in result.output
    assert "train it again" not in result.output


@pytest.mark.parametrize("known", [True, False])
def test_pictures_of_the_best_trials_are_told_with_where_they_are(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    from thalweg.analysis import pictures, studies
    from thalweg.console import best_view
    from thalweg.tracking import additions

    asked = []

    def draw(record: object, directory: Path, root: Path | None) -> list[pictures.Drawn]:
        assert directory.is_absolute()
        return [pictures.Drawn(number=7, folder=tmp_path / "drawn", files=[tmp_path / "drawn" / "maps.png"])]

    def shelve(*arguments: object) -> str | None:
        asked.append(arguments)
        return "run" if known else None

    monkeypatch.setattr(studies, "find", lambda *arguments: StudyRecord(name="rivers"))
    monkeypatch.setattr(best_view, "show_best", lambda *arguments: None)
    monkeypatch.setattr(pictures, "draw_best", draw)
    monkeypatch.setattr(additions, "add_pictures", shelve)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    result = run("best", "rivers", "--pictures", "--tracking-uri", uri)
    assert result.exit_code == 0, result.output
    told = "and in MLflow" if known else f"not in MLflow, for {uri} does not know the trial"
    assert result.output.strip() == f"trial 7: 1 picture in drawn, {told}"
    assert asked == [(uri, "rivers", Path("thalweg_runs/rivers").absolute(), 7, tmp_path / "drawn")]
