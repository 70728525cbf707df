"""What a command line says of what a user can mend."""

import re

from typer.testing import Result


def refusal(result: Result) -> str:
    """Checks that a command was refused as a user's error, and returns the message."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert re.fullmatch(r"error: [^\n]+\n", result.stderr), result.stderr
    return result.stderr
