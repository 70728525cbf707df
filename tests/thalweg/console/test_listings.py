"""Lists of studies; those of spaces and families are run as commands in `tests/thalweg/cli/test_app.py`."""

from collections.abc import Callable
from io import StringIO
from pathlib import Path

from rich.console import Console

from thalweg.console import listings
from thalweg.search.space import load_space
from thalweg.search.store.optuna_study import Ledger

Page = Callable[..., tuple[Console, StringIO]]


def listed(output: Path, page: Page) -> str:
    console, text = page(100)
    console.print(listings.studies(output))
    return text.getvalue()


def test_a_study_is_listed_with_its_state_and_best(
    tmp_path: Path, page: Page, run_study: Callable[..., None]
) -> None:
    run_study(tmp_path, "short", [0.5, 0.25], num_trials=2)
    run_study(tmp_path, "long", [0.5], num_trials=9)
    cells = {line.split()[0]: line.split() for line in listed(tmp_path, page).splitlines()}
    assert cells["short"][1:8] == ["complete", "2/2", "2", "0", "0", "mse", "0.2500"]
    assert cells["long"][1:3] == ["stopped", "1/9"]


def test_a_study_that_is_being_driven_is_running(
    tmp_path: Path, page: Page, run_study: Callable[..., None]
) -> None:
    run_study(tmp_path, "busy", [0.5], num_trials=2)
    ledger = Ledger.open(tmp_path / "busy", "busy", load_space("spaces.toys").with_settings(first_trials=()))
    try:
        assert "running" in listed(tmp_path, page)
    finally:
        ledger.close()
    assert "running" not in listed(tmp_path, page)


def test_a_broken_study_is_listed_with_the_reason_beside_the_others(
    tmp_path: Path, page: Page, run_study: Callable[..., None]
) -> None:
    run_study(tmp_path, "good", [0.5])
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "journal.log").write_text("not a journal\n")
    text = listed(tmp_path, page)
    assert "unreadable" in text
    assert "0.5000" in text


def test_an_empty_folder_says_how_to_begin(tmp_path: Path, page: Page) -> None:
    assert "thalweg search quickstart" in listed(tmp_path / "nowhere", page)
