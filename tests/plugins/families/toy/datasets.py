"""No data sets on disk: the toy family makes its data in memory."""

from thalweg.contract import Source, World

WORLDS: dict[str, World] = {}
SOURCES: dict[str, Source] = {}
