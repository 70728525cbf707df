"""The best trials are drawn from the checkpoints that were kept."""

import html
import io
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib import rc_context

from families.toy.task import ToyTask
from thalweg.analysis import pictures
from thalweg.analysis.importance import importance_picture
from thalweg.analysis.importance.parameters import ParameterImportance, StudyImportance
from thalweg.analysis.pictures import draw_best, draw_new
from thalweg.errors import ConnectionFailed, StudyError
from thalweg.lanes.interruption import Ended
from thalweg.search.store.records import StudyRecord, TrialRecord
from thalweg.tracking import additions
from thalweg.training.checkpoints import export

Record = Callable[..., StudyRecord]
Make = Callable[..., TrialRecord]


@pytest.fixture
def record(make_record: Record, make_trial: Make, tmp_path: Path) -> StudyRecord:
    """Four trials; the best has no checkpoint any more, and a pruned one has one."""
    kept = []
    for number in range(3):
        (tmp_path / f"checkpoint-{number}").mkdir()
        kept.append(str(tmp_path / f"checkpoint-{number}"))
    return make_record(
        make_trial(0, 0.5, checkpoint=kept[0]),
        make_trial(1, 0.7, checkpoint=kept[1]),
        make_trial(2, 0.9, checkpoint=str(tmp_path / "gone")),
        make_trial(3, 0.8, checkpoint=kept[2], status="pruned"),
    )


def test_complete_trials_with_a_checkpoint_are_drawn_best_first(
    record: StudyRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def draw(folder: Path, data_root: Path, target: Path) -> list[Path]:
        asked.append((folder.name, data_root))
        assert not list(target.iterdir())
        (target / "maps.png").write_bytes(b"picture")
        return [target / "maps.png"]

    monkeypatch.setattr(export, "draw", draw)
    for _ in range(2):  # the second time the first ones' pictures are replaced
        drawn = list(draw_best(record, tmp_path / "study", tmp_path / "data"))
        assert [(item.number, item.folder.name) for item in drawn] == [(1, "trial-00001"), (0, "trial-00000")]
        assert all(item.files == [item.folder / "maps.png"] for item in drawn)
        assert drawn[0].folder.parent == tmp_path / "study" / "pictures"
    assert asked[:2] == [
        (name, tmp_path / "data" / "families.toy") for name in ("checkpoint-1", "checkpoint-0")
    ]


def test_a_family_that_draws_nothing_is_named(
    record: StudyRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "draw", lambda folder, root, target: [])
    with pytest.raises(StudyError, match=r"families\.toy does not; define draw in its task"):
        list(draw_best(record, tmp_path / "study", tmp_path))


def test_a_study_without_kept_checkpoints_cannot_be_drawn(
    make_record: Record, make_trial: Make, tmp_path: Path
) -> None:
    with pytest.raises(StudyError, match="none has among 1 of 'rivers'; search anew with keep_checkpoints"):
        list(draw_best(make_record(make_trial(0)), tmp_path))


Search = Callable[..., list[str]]


@pytest.fixture
def end_search(record: StudyRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Search:
    """Ends the search of a family that draws; returns what is told."""

    def draw(folder: Path, data_root: Path, target: Path) -> list[Path]:
        (target / "maps.png").write_bytes(folder.name.encode())
        return [target / "maps.png"]

    monkeypatch.setattr(ToyTask, "draw", lambda *arguments: None)
    monkeypatch.setattr(export, "draw", draw)
    monkeypatch.setattr(additions, "add_pictures", lambda *arguments: "run")

    def end(share: float = 60.0) -> list[str]:
        told: list[str] = []
        uri = f"sqlite:///{tmp_path}/mlflow.db"
        monkeypatch.setattr(pictures, "MAX_SHARE", share)
        draw_new(record, tmp_path / "study", uri, told.append, tmp_path)
        return told

    return end


def drawn_trials(tmp_path: Path) -> list[str]:
    return sorted(folder.name for folder in (tmp_path / "study" / "pictures").glob("*"))


def test_the_end_of_a_search_draws_each_trial_once(end_search: Search, tmp_path: Path) -> None:
    first = end_search()
    assert [text.partition(":")[0] for text in first] == ["trial 1", "trial 0"]
    assert all(text.endswith("and in MLflow") for text in first)
    assert drawn_trials(tmp_path) == ["trial-00000", "trial-00001"]
    assert end_search() == []


def test_only_the_three_best_trials_are_drawn_by_themselves(
    make_record: Record, make_trial: Make, end_search: Search, tmp_path: Path
) -> None:
    trials = [make_trial(number, number / 10, checkpoint=str(tmp_path)) for number in range(5)]
    told: list[str] = []
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    draw_new(make_record(*trials), tmp_path / "study", uri, told.append, tmp_path)
    best = [trial.number for trial in make_record(*trials).ranking()][:3]
    assert drawn_trials(tmp_path) == sorted(f"trial-{number:05d}" for number in best)


def test_pictures_take_little_of_a_searchs_time(end_search: Search, tmp_path: Path) -> None:
    told = end_search(share=0.0)
    assert drawn_trials(tmp_path) == ["trial-00001"]
    assert told[-1].startswith("1 more of the best trials have no pictures yet; thalweg best rivers ")
    assert told[-1].endswith(f" --output {tmp_path} --pictures draws them")
    assert len(end_search()) == 1


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            ValueError("no such colour"),
            "pictures could not be drawn: ValueError: no such colour; thalweg best",
        ),
        (KeyboardInterrupt(), "stopped drawing pictures; thalweg best rivers --output "),
    ],
)
def test_a_drawing_that_fails_is_told_and_leaves_nothing_behind(
    end_search: Search,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    sentence: str,
) -> None:
    def draw(folder: Path, data_root: Path, target: Path) -> list[Path]:
        (target / "maps.png").write_bytes(b"half")
        raise error

    monkeypatch.setattr(export, "draw", draw)
    (told,) = end_search()
    assert told.startswith(sentence)
    assert drawn_trials(tmp_path) == []


def test_a_signal_that_ends_the_process_ends_more_than_the_drawing(
    make_record: Record, make_trial: Make, end_search: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(folder: Path, data_root: Path, target: Path) -> list[Path]:
        raise Ended(signal.SIGTERM)

    monkeypatch.setattr(export, "draw", draw)
    told: list[str] = []
    study = make_record(make_trial(0, 0.5, checkpoint=str(tmp_path)))
    with pytest.raises(Ended):
        draw_new(study, tmp_path / "study", f"sqlite:///{tmp_path}/mlflow.db", told.append, tmp_path)
    assert [text.partition(";")[0] for text in told] == ["stopped drawing pictures"]
    assert drawn_trials(tmp_path) == []


def test_an_mlflow_that_does_not_take_pictures_is_told(
    end_search: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> str:
        raise ConnectionFailed("MLflow must take the pictures, got no answer")

    monkeypatch.setattr(additions, "add_pictures", refuse)
    (told,) = end_search()
    assert "MLflow must take the pictures, got no answer" in told
    assert drawn_trials(tmp_path) == ["trial-00001"]


def test_a_family_that_draws_nothing_is_left_in_peace(
    record: StudyRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "draw", None)
    draw_new(record, tmp_path / "study", "sqlite:///m.db", pytest.fail, tmp_path)
    assert not (tmp_path / "study").exists()


NAMES = ("cost in US$ or CA$", "$\\frac$", "lr_{max}$")


@pytest.mark.slow
def test_a_name_with_dollars_is_drawn_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """matplotlib would read a formula, and fail on a broken one."""
    monkeypatch.setattr(additions, "add_study_pictures", lambda *words: None)
    each = [
        ParameterImportance(name=name, importance=0.2, interval=(0.1, 0.3), num_trials=9) for name in NAMES
    ]
    found = StudyImportance(parameters=tuple(each), fixed=(), explained=0.5, num_complete=9, num_stopped=0)
    drawn = importance_picture.figure(found, "toys$a$")
    assert not pictures.store_study_picture(
        drawn, tmp_path / "importance", "toys", tmp_path, "sqlite:///no.db"
    )
    text = io.StringIO()
    with rc_context({"svg.fonttype": "none"}), pictures.literal_text():
        drawn.savefig(text, format="svg")
    assert all(name in html.unescape(text.getvalue()) for name in (*NAMES, "toys$a$"))


def test_every_figure_of_a_study_draws_names_as_they_are() -> None:
    sources = [*Path(pictures.__file__).parent.rglob("*_picture.py")]
    assert len(sources) >= 6
    for source in sources:
        text = source.read_text(encoding="utf-8")
        assert "@literal_text()\ndef figure(" in text or "Figure(" not in text, source.name
