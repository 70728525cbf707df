"""What a lane is told to train."""

from pathlib import Path

from thalweg.lanes.lane import LaneSettings
from thalweg.lanes.resources import Gang
from thalweg.lanes.trainable import LaneTrainable


def test_the_order_of_a_trial_follows_from_the_settings_of_its_study(tmp_path: Path) -> None:
    lane = LaneTrainable.__new__(LaneTrainable)  # without the workers that `setup` starts
    lane._settings = LaneSettings(
        gang=Gang(1, 1.0, 0.0),
        family="families.toy",
        metric="mse",
        evaluations=(64, 128),
        data_root=str(tmp_path / "data"),
        directory=str(tmp_path / "study"),
        keep_last=3,
        code={"families/toy/task.py": "0123456789abcdef"},
    )
    told = {"number": 7, "config": {"width": 8}, "checkpoint": "/runs/trial-00001/samples-000000000064"}
    lane._take({**told, "baselines": False})
    assert not lane._order.baselines
    lane._take({**told, "baselines": True})
    order = lane._order
    assert order.baselines
    assert (order.trial, order.keep_last, order.evaluations) == ("trial-00007", 3, (64, 128))
    assert order.resumes == "/runs/trial-00001/samples-000000000064"
    assert order.code == {"families/toy/task.py": "0123456789abcdef"}
    assert order.directory == str(tmp_path / "study" / "checkpoints")
