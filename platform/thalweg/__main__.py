"""Runs the command line: ``python -m thalweg``."""

from thalweg.cli.app import main

main()
