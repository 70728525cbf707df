"""What the family of a stored study declares."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from families.toy.config import Toy
from families.toy.task import ToyTask
from thalweg import contract
from thalweg.analysis.declared import comparable, family_of, metrics_of
from thalweg.contract import Metric
from thalweg.search.space import load_space
from thalweg.search.store.optuna_study import Ledger
from thalweg.search.store.records import StudyRecord, read_study

RECORDED = Metric(name="depth", mode="max", unit="m", search_invariant=True, meaning="Water above the bed.")


def test_the_metrics_are_those_with_which_the_study_was_run(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "toys", "toys", load_space("spaces.toys"))
    for metrics in ((RECORDED,), (RECORDED, *contract.metrics_of(ToyTask(Toy())))):
        ledger.declare(metrics)
        assert metrics_of(ledger.read()) == metrics_of(read_study(tmp_path / "toys", "toys")) == metrics
    size = (tmp_path / "toys" / "journal.log").stat().st_size
    ledger.declare((RECORDED, *contract.metrics_of(ToyTask(Toy()))))
    assert (tmp_path / "toys" / "journal.log").stat().st_size == size
    ledger.close()


def test_a_study_that_recorded_none_takes_them_from_its_family(
    make_record: Callable[..., StudyRecord],
) -> None:
    record = make_record()
    assert metrics_of(record) == contract.metrics_of(ToyTask(Toy()))
    assert family_of(record).name == "families.toy"


def test_comparable_metrics_begin_with_the_objective(make_record: Callable[..., StudyRecord]) -> None:
    weighted = Metric(name="loss", mode="min", unit="1", search_invariant=False, meaning="")
    skill = Metric(name="skill", mode="max", unit="1", search_invariant=True, meaning="")
    record = replace(make_record(), metrics=(RECORDED, weighted, skill))
    assert comparable(record) == ["skill", "depth"]
