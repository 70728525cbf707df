"""What counts as a change of a search space."""

from pathlib import Path

import pytest

from thalweg.search.store.laws import fingerprint

BASE = '''"""Doc."""
study = Study(num_trials=3)
def space(trial):
    """Doc."""
    return trial.suggest_float("x", 0, 1)
'''


def of(folder: Path, text: str) -> str:
    file = folder / "space.py"
    file.write_text(text, encoding="utf-8")
    return fingerprint(file)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Doc."""', '"""Another."""'),
        ("num_trials=3", "num_trials=99, seed=4"),
        ("study =", "study: Study ="),
        ("def space", "# why\n\ndef space"),
        ('"x", 0, 1', '"x",  0,\n 1'),
    ],
)
def test_words_layout_and_settings_do_not_count(tmp_path: Path, old: str, new: str) -> None:
    assert old in BASE
    assert of(tmp_path, BASE.replace(old, new)) == of(tmp_path, BASE)


@pytest.mark.parametrize(
    ("old", "new"), [("0, 1", "0, 2"), ('"x"', '"y"'), ("def space", "LOW = 3\ndef space")]
)
def test_a_change_of_code_counts(tmp_path: Path, old: str, new: str) -> None:
    assert old in BASE
    assert of(tmp_path, BASE.replace(old, new)) != of(tmp_path, BASE)


def test_it_does_not_count_where_study_and_trial_are_imported_from(tmp_path: Path) -> None:
    first = "from thalweg.search.space import Trial\nfrom thalweg.search.study import Study\n"
    assert of(tmp_path, first + BASE) == of(tmp_path, "from thalweg.study import Study, Trial\n" + BASE)
    assert of(tmp_path, first + BASE) != of(tmp_path, "from thalweg.study import Study\n" + BASE)


def test_a_grid_counts_wherever_it_stands(tmp_path: Path) -> None:
    named = "GRID = grid(x=[1, 2])\n" + BASE.replace("num_trials=3", "grid=GRID")
    inline = BASE.replace("num_trials=3", "grid=grid(x=[1, 2])")
    for text in (named, inline):
        assert of(tmp_path, text) != of(tmp_path, text.replace("[1, 2]", "[1, 3]"))
        assert of(tmp_path, text) == of(tmp_path, text.replace("grid=", "seed=4, grid="))
