"""What is asked of FiftyOne: a new name, and a data set that is whole or not there. It is an optional package."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from thalweg.datasets.fiftyone_export import fiftyone_for, write_groups
from thalweg.errors import ConfigError


class Stand(SimpleNamespace):
    """Stands for the package, which cannot be installed beside the tools of developers."""

    def __init__(self) -> None:
        super().__init__(sets={}, down=False)

    def dataset_exists(self, name: str) -> bool:
        """Looks into the database."""
        if self.down:
            raise RuntimeError("no server")
        return name in self.sets

    def delete_dataset(self, name: str) -> None:
        """Deletes a data set."""
        del self.sets[name]

    def Dataset(self, name: str, persistent: bool) -> Any:
        """Makes a data set."""
        made = SimpleNamespace(samples=[], batches=0, info={}, persistent=persistent, save=lambda: None)
        made.add_group_field = lambda field, default: setattr(made, "default", default)

        def add_samples(samples: list[Any], progress: bool) -> None:
            made.samples += samples
            made.batches += 1

        made.add_samples = add_samples
        self.sets[name] = made
        return made


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Stand:
    found = Stand()
    monkeypatch.setitem(sys.modules, "fiftyone", found)
    return found


def test_every_scene_is_written_in_order_and_told(stand: Stand) -> None:
    told = write_groups(
        fiftyone_for("mine"),
        "mine",
        shown_first="radar",
        count=450,
        samples=lambda row: [(row, "radar"), (row, "optical")],
        info={"fingerprint": "f"},
    )
    written = stand.sets["mine"]
    assert written.samples == [(row, slice_) for row in range(450) for slice_ in ("radar", "optical")]
    assert written.batches == 3
    assert (written.default, written.info, written.persistent) == ("radar", {"fingerprint": "f"}, True)
    assert told == "FiftyOne holds 450 scenes as mine; see them with: fiftyone app launch mine"


def test_what_fails_leaves_nothing(stand: Stand) -> None:
    def samples(row: int) -> list[Any]:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        write_groups(fiftyone_for("mine"), "mine", shown_first="radar", count=3, samples=samples, info={})
    assert stand.sets == {}


def test_a_name_that_exists_and_a_database_that_is_down_are_refused(stand: Stand) -> None:
    stand.sets["mine"] = None
    with pytest.raises(ConfigError, match=r"must be new, got 'mine'.*fiftyone datasets delete mine"):
        fiftyone_for("mine")
    stand.down = True
    with pytest.raises(ConfigError, match=r"must reach its MongoDB, got RuntimeError: no server"):
        fiftyone_for("mine")
