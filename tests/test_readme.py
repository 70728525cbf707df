"""What the README shows works."""

import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from thalweg.cli.app import app
from thalweg.search.space import load_space, probe

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^(?:.*uv run )?thalweg ([a-z]+(?: [a-z]+)?)", re.MULTILINE)
COMMANDS = sorted({command for _, block in BLOCKS for command in _COMMAND.findall(block)})


@pytest.mark.parametrize("command", ["uv run thalweg search quickstart", "uv run pytest"])
def test_each_of_the_two_commands_stands_alone_in_a_block(command: str) -> None:
    assert ("", f"pip install uv && {command}\n") in BLOCKS


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_exists(words: str) -> None:
    name, _, sub = words.partition(" ")
    result = CliRunner().invoke(app, [name, *([sub] if name == "data" else []), "--help"])
    assert result.exit_code == 0, words


def test_the_search_space_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = [block for language, block in BLOCKS if language == "python"]
    (tmp_path / "my_lab").mkdir()
    (tmp_path / "my_lab" / "rivers.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        space = load_space("my_lab.rivers")
        assert probe(space).params == {"image_depth": 2}
        assert space.doc == "Does a deeper encoder pay?"
    finally:
        for name in ("my_lab", "my_lab.rivers"):
            sys.modules.pop(name, None)
