"""`thalweg confirm` on lanes in this process: looks, resume, words, files and the sealed split."""

import csv
import json
import re
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from local_lanes import LocalLane, local_lanes
from typer.testing import Result

from families.toy.task import Waves
from thalweg.analysis.verdict.paired_tests import visible_difference
from thalweg.events import Event, TrialEnded
from thalweg.search.confirmation.confirmation import read_plan
from thalweg.search.preflight import prepare
from thalweg.search.run import search
from thalweg.search.space import load_space
from thalweg.search.starting.run_options import Options
from thalweg.search.store.records import StudyRecord, read_study
from thalweg.study_folder import trial_name
from thalweg.training.messages import Refusal, Report, TrialOrder

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of SQLAlchemy, by MLflow
RUNS = Path("thalweg_runs")


class Quiet:
    """Hears nothing."""

    def handle(self, event: Event) -> None:
        """Takes one event."""

    def close(self) -> None:
        """Nothing to deliver."""


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that keeps what the first test searched, for those that follow."""
    return tmp_path_factory.mktemp("searched") / "toys"


@pytest.fixture
def toys(run: Callable[..., Result], untracked: None, searched: Path) -> Iterator[StudyRecord]:
    """A study of the toy family, searched on a lane in this process, whose runs a confirmation joins."""
    with local_lanes():
        if searched.exists():
            shutil.copytree(searched, RUNS / "toys")
        else:
            _search_toys()
            shutil.copytree(RUNS / "toys", searched)
        yield read_study(RUNS / "toys", "toys")


def _search_toys() -> None:
    space = load_space("spaces.toys").with_settings(
        num_trials=5,
        samples=64,
        num_evaluations=2,
        num_lanes=1,
        scheduler="none",
        first_trials=(
            {"trouble": "none", "lr": 1e-2, "width": 16},
            {"trouble": "none", "lr": 2e-4, "width": 4},
        ),
    )
    search(prepare(space, Path("data")), Options(name="toys", output=RUNS), [Quiet()])


def _confirm(run: Callable[..., Result], *words: str) -> Result:
    return run("confirm", "toys", "--plain", "--tracking-uri", "sqlite:///mlflow.db", *words)


def _own() -> StudyRecord:
    return read_study(RUNS / "toys.confirm", "toys.confirm")


@pytest.mark.slow
def test_a_study_is_confirmed_look_by_look(run: Callable[..., Result], toys: StudyRecord) -> None:
    result = _confirm(run, "--yes", "--lanes", "1", "--matters", "0.001")
    assert result.exit_code == 0, result.output
    text = " ".join(result.output.split())
    champion = toys.best()
    assert champion is not None and f"use trial {champion.number}" in text
    seen = visible_difference(8, 3)  # two rivals and the constants, which the search has evaluated
    assert "x at most 8 seeds" in text and f"will see differences of about {seen:.1f} spreads" in text
    assert re.search(r"baseline|preset", text)
    assert re.search(r"run 0 \(trial \d+, seed \d+\) complete: mse", text) and "new best" not in text
    plan, own = read_plan(RUNS / "toys.confirm"), _own()
    assert plan is not None
    seeds = {trial.config["seed"] for trial in toys.trials}
    assert not seeds & set(plan.seeds)
    by_name: dict[str, list[int]] = {}
    for trial in own.trials:
        assert trial.status == "complete" and trial.samples == 64
        by_name.setdefault(trial.params["configuration"], []).append(trial.params["seed"])
        source = toys.trials[int(trial.params["configuration"].split()[1])]
        assert {**trial.config, "seed": 0} == {**source.config, "seed": 0}
    for taken in by_name.values():
        assert len(taken) in (3, 5, 8) and sorted(taken) == sorted(plan.seeds[: len(taken)])
    again = _confirm(run)
    assert again.exit_code == 0 and len(_own().trials) == len(own.trials)
    assert "starting" not in again.output
    told = run("report", "toys", "--tracking-uri", "sqlite:///none.db")
    assert told.exit_code == 0, told.output
    page = (RUNS / "toys" / "report" / "report.md").read_text(encoding="utf-8")
    assert f"Confirmed with fresh seeds (`toys.confirm`): use trial {champion.number}" in page
    assert "Not confirmed" not in page and "verdict-toys.confirm.svg" in page
    rows = re.findall(r"^\| trial (\d+) \| (?:champion|rival|baseline)", page, re.MULTILINE)
    assert {f"trial {number}" for number in rows} == set(by_name)
    scores = {str(trial.number): trial.metrics for trial in own.trials}
    kept = {"runs": scores, "baselines": {"zero": {"mse": 0.0}}}
    (RUNS / "toys.confirm" / "test_scores.json").write_text(json.dumps(kept))
    assert run("report", "toys", "--tracking-uri", "sqlite:///none.db").exit_code == 0
    page = (RUNS / "toys" / "report" / "report.md").read_text(encoding="utf-8")
    on_test = page[page.index("The same runs on the split test") :]
    assert f"trial {champion.number} loses to zero" in on_test


@pytest.mark.slow
def test_its_files_say_what_the_terminal_says(run: Callable[..., Result], toys: StudyRecord) -> None:
    result = _confirm(run, "--yes", "--seeds", "3", "--json")
    found = json.loads(result.stdout)["validation"]
    stored = json.loads((RUNS / "toys.confirm/verdict/verdict.json").read_text())
    assert stored == found and found["champion"] == f"trial {toys.ranking()[0].number}"
    assert not found["open"] and len(found["seeds"]) == 3
    with (RUNS / "toys.confirm/verdict/scores.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "mse"]
    scores = {(row["model"], row["seed"]): float(row["score"]) for row in rows}
    told = {(one["name"], s): v for one in found["configurations"] for s, v in one["scores"].items()}
    assert scores == pytest.approx(told)
    assert {row["dataset"] for row in rows} == {"waves"} and {row["num_trials"] for row in rows} == {"5"}
    assert (RUNS / "toys.confirm/verdict/verdict.png").stat().st_size > 10_000


@pytest.mark.slow
def test_one_that_was_killed_and_resumed_says_the_same(
    run: Callable[..., Result], toys: StudyRecord, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from thalweg.console import live

    made, count = live.make_view, [0]

    def killing(*given: object, **named: object) -> object:
        view = made(*given, **named)  # type: ignore[arg-type]
        handle = view.handle

        def hears(event: Event) -> None:
            handle(event)
            if isinstance(event, TrialEnded):
                count[0] += 1
                if count[0] in (2, 11):
                    signal.raise_signal(signal.SIGINT)

        view.handle = hears  # type: ignore[method-assign]
        return view

    monkeypatch.setattr(live, "make_view", killing)
    words = ("--yes", "--matters", "0.001", "--seeds", "5")
    stopped = [_confirm(run, *words) for _ in range(4)]
    assert stopped[0].exit_code == 130, stopped[0].output
    assert stopped[-1].exit_code == 0, stopped[-1].output
    resumed = json.loads((RUNS / "toys.confirm/verdict/verdict.json").read_text())
    shutil.rmtree(RUNS / "toys.confirm")
    monkeypatch.setattr(live, "make_view", made)
    whole = _confirm(run, *words)
    assert whole.exit_code == 0, whole.output
    other = json.loads((RUNS / "toys.confirm/verdict/verdict.json").read_text())
    for each in (resumed, other):
        for one in each["configurations"]:
            del one["seconds"]
        for one in each["verdicts"]:
            del one["needed_s"]
    assert resumed == other


@pytest.mark.slow
def test_a_run_that_was_lost_runs_again_when_the_confirmation_goes_on(
    run: Callable[..., Result], toys: StudyRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no failure of its configuration, and is not tried again before somebody has looked at the machine."""
    advance, machine = LocalLane.advance, ["whole"]

    def breaking(lane: LocalLane, order: TrialOrder, reached: int) -> Report | Refusal:
        if machine[0] == "breaks" and order.trial == trial_name(2):
            machine[0] = "whole"
            return Refusal(kind="trial", samples=0, reason="no disk", ended_as="infrastructure")
        return advance(lane, order, reached)

    monkeypatch.setattr(LocalLane, "advance", breaking)
    words = ("--yes", "--matters", "0.001", "--seeds", "3")
    machine[0] = "breaks"
    broken = _confirm(run, *words, "--test")
    first = " ".join(broken.output.split())
    assert broken.exit_code == 1
    assert len(_own().trials) == 9  # it is not tried again at once
    assert "1 run of trial" in first and "was lost, as infrastructure (no disk): that says nothing" in first
    assert "unstable" not in first and "no seeds are judged yet" in first
    assert "the split test is not read before all runs are there" in first
    assert run("report", "toys", "--tracking-uri", "sqlite:///none.db").exit_code == 0
    assert "as infrastructure (no disk): that says" in (RUNS / "toys/report/report.md").read_text()
    last = _confirm(run, *words)
    assert last.exit_code == 0 and "lost" not in last.output, last.output
    plan, own = read_plan(RUNS / "toys.confirm"), _own()
    assert plan is not None and len(own.trials) == 10
    tried = Counter((trial.params["configuration"], trial.params["seed"]) for trial in own.trials)
    assert sorted(tried.values()) == [1] * 8 + [2] and tried[tuple(own.trials[2].params.values())] == 2


@pytest.mark.slow
def test_it_refuses_to_choose_anew_after_a_look(run: Callable[..., Result], toys: StudyRecord) -> None:
    first = toys.ranking()[0].number
    assert _confirm(run, "--yes", "--seeds", "3").exit_code == 0
    assert _confirm(run, "--seeds", "3").exit_code == 0
    for words in (("--seeds", "8"), ("--matters", "3"), ("--trials", f"{toys.ranking()[1].number},{first}")):
        result = _confirm(run, "--yes", *words)
        assert result.exit_code == 2 and "keeps its configurations" in " ".join(result.output.split())
    again = _confirm(run, "--yes", "--seeds", "4", "--as", "toys.again")
    assert again.exit_code == 0 and (RUNS / "toys.again/verdict/verdict.json").exists()
    one, other = (read_plan(RUNS / name) for name in ("toys.confirm", "toys.again"))
    assert one is not None and other is not None and not set(one.seeds) & set(other.seeds)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--seeds", "2"), "at least 3 seeds"),
        (("--seeds", "0"), "at least 3 seeds"),
        (("--seeds", "1000000"), "at most 200; got --seeds 1000000"),
        (("--trials", "99"), "no trial 99"),
        (("--trials", "zero"), "must be numbers of trials"),
        (("--by", "colour"), "options are those of a parameter or a knob"),
        (("--trials", "0", "--by", "width"), "by --trials or by --by"),
        (("--matters", "0"), "must be more than 0"),
        (("--matters", "inf"), "must be more than 0 and finite"),
        (("--as", "toys"), "must have a name of its own, got 'toys', a search"),
        (("--as", "a/b"), "choose another"),
        ((), "got no terminal to ask in; add --yes"),
    ],
)
def test_what_cannot_be_confirmed_is_refused(
    run: Callable[..., Result], toys: StudyRecord, words: tuple[str, ...], told: str
) -> None:
    result = _confirm(run, *words)
    assert result.exit_code == 2 and told in " ".join(result.output.split()), result.output
    assert not (RUNS / "toys.confirm").exists() and not (RUNS / "toys/confirmation.json").exists()


@pytest.mark.slow
def test_other_data_than_those_of_the_search_confirm_nothing(
    run: Callable[..., Result], toys: StudyRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Waves, "fingerprint", "waves-2")
    refused = _confirm(run, "--yes", "--seeds", "3")
    told = " ".join(refused.output.split())
    assert refused.exit_code == 2 and "they differ in the data's fingerprint (waves-1 and waves-2)" in told, (
        told
    )
    assert not (RUNS / "toys.confirm").exists()


@pytest.mark.slow
def test_code_that_changed_since_the_search_is_told(
    run: Callable[..., Result], toys: StudyRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = RUNS / "toys/journal.log"
    (known,) = {toys.code[name] for name in toys.code if name.endswith("toy/task.py")}
    journal.write_text(journal.read_text().replace(known, "0" * len(known)))
    assert "1 module changed since the last trial of 'toys'" in " ".join(
        _confirm(run, "--yes", "--seeds", "3").output.split()
    )


@pytest.mark.slow
def test_a_confirmation_is_of_the_trials_that_it_was_planned_for(
    run: Callable[..., Result], toys: StudyRecord
) -> None:
    """A study that was searched anew under its name has other trials of the same numbers."""
    assert _confirm(run, "--yes", "--seeds", "3").exit_code == 0
    journal = RUNS / "toys/journal.log"
    champion = toys.ranking()[0]
    lr = champion.config["optimization"]["lr"]
    journal.write_text(journal.read_text().replace(str(lr), str(lr / 2)))
    refused = _confirm(run, "--yes")
    told = " ".join(refused.output.split())
    assert refused.exit_code == 2 and "names others than 'toys' has: it was searched anew" in told, told
    assert run("report", "toys", "--tracking-uri", "sqlite:///none.db").exit_code == 0
    page = (RUNS / "toys/report/report.md").read_text(encoding="utf-8")
    assert "Not confirmed" in page and "toys.confirm`)" not in page
    again = run("compare", "toys", "--trials", ",".join(str(each.number) for each in toys.ranking()[:2]))
    assert "--as toys.confirm-2" in " ".join(again.output.split()), again.output


@pytest.mark.slow
def test_the_same_configuration_under_three_names_is_the_same(
    run: Callable[..., Result], toys: StudyRecord
) -> None:
    """Their runs are equal bit for bit on a CPU, since only the seed changes, and the seeds are paired."""
    from dataclasses import replace

    from thalweg.search.confirmation.confirmation import Confirmation, fresh_seeds, write_plan
    from thalweg.search.confirmation.contenders import contenders

    one = contenders(toys)[0]
    names = [replace(one, name=f"copy {n}", role="rival" if n else "champion") for n in range(3)]
    plan = Confirmation(study="toys", contenders=tuple(names), seeds=fresh_seeds(toys, 8))
    write_plan(plan, RUNS / "toys.confirm")
    result = _confirm(run, "--yes")
    assert result.exit_code == 0, result.output
    found = json.loads((RUNS / "toys.confirm/verdict/verdict.json").read_text())
    words = {each["rival"]: each["word"] for each in found["verdicts"] if each["kind"] == "configuration"}
    assert words == {"copy 1": "same", "copy 2": "same"}


@pytest.mark.slow
def test_a_confirmation_is_no_search_and_is_not_confirmed(
    run: Callable[..., Result], toys: StudyRecord
) -> None:
    assert _confirm(run, "--yes", "--seeds", "3").exit_code == 0
    again = run("confirm", "toys.confirm", "--yes")
    assert again.exit_code == 2 and "which confirms 'toys'" in " ".join(again.output.split())
    other = run("search", "spaces.toys", "--study", "toys.confirm", "--tracking-uri", "sqlite:///mlflow.db")
    assert other.exit_code == 2 and "keeps its study that it confirms" in " ".join(other.output.split())
