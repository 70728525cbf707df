"""`thalweg report` on a recorded study: the page, its twin, the table of trials, and what it refuses."""

import csv
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from kept import evaluated
from typer.testing import CliRunner, Result

from families.toy.config import Toy
from families.toy.task import ToyTask
from thalweg import contract
from thalweg.cli.app import app
from thalweg.contract import Metric
from thalweg.events import StudyStarted
from thalweg.search.space import load_space
from thalweg.search.store.optuna_study import Ledger
from thalweg.search.store.proposals import Proposal
from thalweg.search.store.records import StudyRecord, read_study
from thalweg.tracking.spool import Moment, Spool

pytestmark = pytest.mark.slow  # for the imports of what draws
STUDY = 'a<b onload="x">&`c'
VALUES = [0.5, 0.25, 0.75, 0.125, 0.625, 0.375]
SPACE = '''"""Not this."""

from families.toy.config import Toy
from thalweg.config import Optimization
from thalweg.study import Study, Trial

study = Study(metric="mse", mode="min", samples=256, num_trials=8, num_evaluations=4, sampler="random")


def space(trial: Trial) -> Toy:
    """Does <script>alert(1)</script> pay?

    And | what *of* "the" & rest?
    """
    return Toy(
        width=trial.suggest_int("width", 4, 32),
        optimization=Optimization(
            lr=trial.suggest_float("lr", 1e-4, 3e-2, log=True),
            batch_size=trial.suggest_categorical("batch_size", [4, 8]),
        ),
    )
'''
_VOID = {"meta", "img", "wbr", "br"}


@dataclass(frozen=True)
class Reported:
    """A study, its report, and what the command said."""

    record: StudyRecord
    folder: Path
    html: str
    markdown: str
    rows: list[dict[str, str]]
    said: str


def record_study(output: Path, name: str) -> StudyRecord:
    """Records a study in which trials complete, one is stopped and one fails, with a session and baselines."""
    folder, space = output / name, load_space("weir.spell")
    ledger = Ledger.open(folder, name, space)
    bias = Metric(name="bias", mode="max", unit="mm", search_invariant=True, meaning="Of <all> waves.")
    ledger.declare((*contract.metrics_of(ToyTask(Toy())), bias))
    for value in [*VALUES, 2.0, None]:
        proposal = ledger.ask()
        assert isinstance(proposal, Proposal)
        if value is None:
            ledger.fail(proposal.number, "the loss must be finite, got <nan>", "diverged")
            continue
        for samples, above in ((64, 0.5), (256, 0.0)):
            seen = value + above
            metrics = {"mse": seen, "bias": seen / 2, "loss": 9.0, "cost/num_parameters": 77.0}
            stops = value == 2.0
            ledger.report(
                proposal.number,
                evaluated(
                    samples=samples, value=seen, metrics=metrics, protocol="feed", final=samples == 256
                ),
            )
            if stops:
                ledger.prune(proposal.number)
                break
        else:
            ledger.complete(proposal.number)
    ledger.close()
    (folder / "checkpoints").mkdir(exist_ok=True)
    known = {"zeros": {"mse": 1.0, "bias": 0.01}, "ridge": {"mse": 0.25, "bias": 0.3}}
    (folder / "checkpoints" / "baselines.json").write_text(json.dumps(known))
    return read_study(folder, name)


def record_session(folder: Path, started: StudyStarted) -> None:
    """Records how the session of a study began."""
    Spool.begin(folder, 1).append([Moment(1, started).line()])


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reported]:
    """The report of a study whose name and question are hostile."""
    here = tmp_path_factory.mktemp("reported")
    (here / "weir").mkdir()
    (here / "weir" / "spell.py").write_text(SPACE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.syspath_prepend(str(here))
        record = record_study(here / "thalweg_runs", STUDY)
        folder = here / "thalweg_runs" / STUDY
        tags = {"data_fingerprint": "cafe", "num_train_samples": "96", "hardware": "2 x abacus"}
        tags |= {"code_version": "v1-dirty", "code_hash": "c0de", "version/torch": "2.15.0", "python": "3.12"}
        record_session(
            folder,
            StudyStarted(
                study=STUDY, space="weir.spell", family="toy", metric="mse", mode="min", num_trials=8,
                samples=256, num_lanes=2, num_workers=1, directory=str(folder), tags=tags,
            ),
        )  # fmt: skip
        (picture := folder / "pictures" / f"trial-{best_number(record):05d}").mkdir(parents=True)
        (picture / "waves.png").write_bytes(small_png())
        result = CliRunner().invoke(app, ["report", STUDY, "--tracking-uri", f"sqlite:///{here}/m.db"])
        assert result.exit_code == 0, result.output
        assert not (here / "m.db").exists()
        report = folder / "report"
        with (report / "trials.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        texts = [(report / name).read_text(encoding="utf-8") for name in ("report.html", "report.md")]
        yield Reported(record, report, texts[0], texts[1], rows, result.output)
    for name in ("weir", "weir.spell"):
        sys.modules.pop(name, None)


def best_number(record: StudyRecord) -> int:
    """Returns the number of the best trial."""
    best = record.best()
    assert best is not None
    return best.number


def small_png() -> bytes:
    """Returns a picture of a few pixels."""
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (3, 2), (9, 9, 9)).save(file, "PNG")
    return file.getvalue()


class Reader(HTMLParser):
    """Reads a page: its tags in balance, the resources that it names, its text, its chapters and tables."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.resources: list[str] = []
        self.chapters: list[str] = []
        self.cells: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes a tag."""
        found = dict(attrs)
        self.seen.append(tag)
        self.resources += [str(found[name]) for name in ("src", "href", "xlink:href") if name in found]
        assert not [name for name in found if name.startswith("on")], found
        if tag == "section":
            self.chapters.append(str(found["id"]))
        if tag in ("td", "th"):
            self.cells.append("")
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes a tag that ends at once, as in an SVG."""
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Notes the end of a tag."""
        assert self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data: str) -> None:
        """Notes text."""
        if self.open and self.open[-1] in ("script", "style"):
            return
        self.text += data
        if "td" in self.open or "th" in self.open:
            self.cells[-1] += data


def read(html: str) -> Reader:
    """Returns what a page holds."""
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


CHAPTERS = [
    "question",
    "findings",
    "searched",
    "protocol",
    "leaderboard",
    "verdicts",
    "parameters",
    "curves",
    "rungs",
    "pictures",
    "cost",
    "reproduce",
]


def test_the_page_holds_each_chapter_and_needs_no_network(reported: Reported) -> None:
    page = read(reported.html)
    assert page.chapters == CHAPTERS
    assert {each[:5] for each in page.resources} == {"data:", *(f"#{name}"[:5] for name in CHAPTERS)}
    assert not re.search(r"url\(|@import|<link|<iframe", reported.html)
    assert page.seen.count("script") == 1
    assert page.seen.count("svg") == 1
    assert "report in" in reported.said and "report.html" in reported.said
    assert "not in MLflow, for there is no sqlite" in reported.said


def test_what_others_wrote_is_text(reported: Reported) -> None:
    page = read(reported.html)
    assert "Does <script>alert(1)</script> pay?" in page.text
    assert 'And | what *of* "the" & rest?' in page.text
    assert 'a<b onload="x">&`c' in page.text
    assert "Does &lt;script&gt;alert(1)&lt;/script&gt; pay?" in reported.markdown
    assert 'And \\| what \\*of\\* "the" &amp; rest?' in reported.markdown
    assert "<script" not in reported.markdown
    assert "Not this" not in page.text


def test_wins_and_losses_beside_the_baselines_are_marked(reported: Reported) -> None:
    page = read(reported.html)
    assert "Its value is better than that of the best baseline, ridge, 0.2500." in page.text
    best = best_number(reported.record)
    start = page.cells.index("zeros")
    assert page.cells[start : start + 3] == ["zeros", "1.0000", "0.0100"]
    row = page.cells.index("0.1250+")
    assert page.cells[row - 1] == str(best)
    assert page.cells[row + 1] == "0.0625\u2212"
    equal = next(cell for cell in page.cells if cell.startswith("0.2500") and cell != "0.2500")
    assert equal == "0.2500="
    assert f"| **{best}** | **0.1250** (+) | **0.0625** (-) |" in reported.markdown
    assert "*ridge*" in reported.markdown
    assert "bias [mm]" in page.cells and "Of <all> waves." in page.cells


def test_the_twin_holds_the_same_numbers(reported: Reported) -> None:
    plain = re.sub(r"[*\\]|&lt;|&gt;|&amp;", "", reported.markdown)
    cells = {cell.strip() for line in plain.splitlines() if line.startswith("|") for cell in line.split("|")}
    told = {re.sub(r" \([+=-]\)$", "", cell) for cell in cells}
    page = {re.sub(r"[+=\u2212]$", "", re.sub(r"[*\\<>&]", "", cell)) for cell in read(reported.html).cells}
    assert {cell for cell in page if cell} <= told
    for name in ("curves.svg", "parallel_coordinates.svg"):
        assert f"report_pictures/{name}" in reported.markdown
        assert (reported.folder / "report_pictures" / name).stat().st_size > 1000


def test_the_table_of_trials_equals_the_records(reported: Reported) -> None:
    assert [int(row["number"]) for row in reported.rows] == [t.number for t in reported.record.trials]
    for row, trial in zip(reported.rows, reported.record.trials, strict=True):
        assert row["ended_as"] == trial.ended_as
        assert row["value"] == ("" if trial.value is None else repr(trial.value))
        assert {name: row[f"param/{name}"] for name in trial.params} == {
            name: str(value) for name, value in trial.params.items()
        }
        assert row["metric/bias"] == str(trial.metrics.get("bias", ""))
        assert row["cost/num_parameters"] == str(trial.metrics.get("cost/num_parameters", ""))
        assert row["seed"] == str(trial.config["seed"]) and row["reason"] == trial.reason
        assert int(row["samples"]) == trial.samples and row["continues"] == ""


def test_what_a_reader_could_take_for_more_is_told(reported: Reported) -> None:
    text = read(reported.html).text
    for sentence in (
        "the ranking stands on one seed each",
        "settles it",
        "Only 6 trials are complete",
        "1 trial was stopped early and could not be judged: not found worse, only stopped.",
        "1 trial failed (1 diverged) and is not ranked.",
        "the split test was never read",
        "The code had changes that were not committed.",
        "got <nan>",
        "importance must be estimated from at least 10 complete or stopped trials, got 7",
    ):
        assert sentence in text, sentence


def test_how_to_reproduce_is_what_was_recorded(reported: Reported) -> None:
    text = read(reported.html).text
    commands = ("git checkout v1", "thalweg search weir.spell --study")
    for words in (*commands, "cafe", "c0de", "feed", "2 x abacus", "torch 2.15.0"):
        assert words in text, words
    best = reported.record.best()
    assert best is not None and f"--param lr={best.params['lr']}" in text


def test_a_report_that_cannot_be_is_refused(
    run: Callable[..., Result], tmp_path: Path, reported: Reported, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = ("--output", str(reported.folder.parents[1]))
    result = run("report", "nothing")
    assert result.exit_code == 2 and "study 'nothing'" in result.stderr
    space = load_space("spaces.toys")
    Ledger.open(tmp_path / "thalweg_runs" / "empty", "empty", space).close()
    result = run("report", "empty")
    assert result.exit_code == 2
    assert "a report needs a trial that has ended, 'empty' has none of" in result.stderr
    (tmp_path / "taken").write_text("")
    result = run("report", STUDY, *output, "--to", "taken")
    assert result.exit_code == 2
    assert "the report must be writable" in result.stderr and "--to" in result.stderr


def test_what_else_lies_in_the_folder_stays_and_mlflow_gets_the_page(
    run: Callable[..., Result], tmp_path: Path, reported: Reported, monkeypatch: pytest.MonkeyPatch
) -> None:
    from thalweg.tracking import additions

    sent: list[Path] = []

    def send(uri: str, study: str, directory: Path, file: Path) -> str:
        sent.append(file)
        return "run"

    monkeypatch.setattr(additions, "add_study_file", send)
    monkeypatch.setattr("thalweg.reporting.mlflow_copy.file_identity", lambda uri: (1, 2))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    result = run("report", STUDY, "--output", str(reported.folder.parents[1]), "--to", "mine")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"
    assert "the page is in MLflow, too" in result.output
    assert sent == [Path("mine/report.html")]


def test_a_confirmation_is_told_with_its_search(
    run: Callable[..., Result], tmp_path: Path, run_study: Callable[..., None]
) -> None:
    space = replace(load_space("spaces.toys"), confirms="toys")
    ledger = Ledger.open(tmp_path / "thalweg_runs" / "toys.confirm", "toys.confirm", space)
    ledger.close()
    result = run("report", "toys.confirm")
    assert result.exit_code == 2
    assert "a report is of a search, got 'toys.confirm', which confirms 'toys'" in result.stderr
