"""The quickstart's space with the seed of the search that ``end_to_end.py`` names."""

import os

from search_spaces import quickstart

space = quickstart.space
study = quickstart.study.model_copy(update={"seed": int(os.environ.get("SEARCH_SEED", "1"))})
