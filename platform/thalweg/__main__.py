"""Runs the command line: the command ``thalweg``, and ``python -m thalweg``."""

from thalweg.lanes.interruption import ending_at_once


def main() -> None:
    """Runs the command that was typed; Ctrl-C ends it without a traceback from here on."""
    with ending_at_once():
        from thalweg.cli.app import main as run
    run()


if __name__ == "__main__":
    main()
