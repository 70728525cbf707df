"""The best trials are drawn from the checkpoints that were kept."""

from collections.abc import Callable
from pathlib import Path

import pytest

from thalweg.analysis.pictures import draw_best
from thalweg.errors import StudyError
from thalweg.search.records import StudyRecord, TrialRecord
from thalweg.training import export

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
    assert asked[:2] == [(name, tmp_path / "data" / "toy") for name in ("checkpoint-1", "checkpoint-0")]


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
