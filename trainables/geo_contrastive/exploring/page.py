"""The page on a data set of weather fields."""

from collections.abc import Mapping, Sequence

import pandas as pd

from thalweg.datasets import page as pages
from thalweg.datasets.page import Section


def page(
    texts: Mapping[str, str],
    tables: Mapping[str, pd.DataFrame],
    notes: Sequence[str],
    coverage: bytes,
    pictures: Mapping[str, bytes],
) -> str:
    """Returns the page.

    Args:
        texts: Plain text: ``title``, ``summary``, ``origin`` and ``gaps_text``; the last
            is empty if days are missing, which notes count.
        tables: The tables ``variables``, ``splits`` and ``gaps``.
        notes: Sentences on the data.
        coverage: Picture of the days, as PNG.
        pictures: A picture of each variable, as PNG.
    """
    sections = [
        Section(title="Notes", notes=notes or ["none"]),
        Section(title="Variables", table=tables["variables"]),
        Section(
            title="Days and splits",
            text="Splits follow one another in time. Statistics of the normalisation and the climatology come from "
            "train alone.",
            table=tables["splits"],
            pictures={"Days of each year, by split": coverage},
        ),
        Section(title="Gaps", text=texts["gaps_text"], table=tables["gaps"]),
        Section(
            title="Mean, spread and seasonal cycle",
            text="Grey cells have no data. Colours hold the middle 98 % of the cells.",
            named=pictures,
        ),
    ]
    return pages.page(texts["title"], [texts["summary"], texts["origin"]], sections)
