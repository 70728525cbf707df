"""The page on a data set of pairs of scenes."""

from collections.abc import Mapping, Sequence

import pandas as pd

from thalweg.datasets import page as pages
from thalweg.datasets.page import Section


def page(
    texts: Mapping[str, str],
    tables: Mapping[str, pd.DataFrame],
    notes: Sequence[str],
    charts: Mapping[str, bytes],
    samples: Mapping[str, bytes],
    extremes: Mapping[str, bytes],
) -> str:
    """Returns the page.

    Args:
        texts: Plain text: ``title``, ``summary`` and ``legend``.
        tables: The tables ``classes``, ``bands``, ``places`` and ``left_out``.
        notes: Sentences on the data.
        charts: The pictures ``classes`` and ``bands``, as PNG.
        samples: Scenes of each class, as PNG.
        extremes: Scenes at the ends of each measure, as PNG, by what it means.
    """
    sections = [
        Section(title="Notes", notes=notes or ["none"]),
        Section(
            title="Classes and splits",
            text="Scenes of each class by split; also_in counts those that name it beside their label.",
            table=tables["classes"],
            pictures={"Scenes of each class, by split": charts["classes"]},
        ),
        Section(title="Scenes of each class", text=texts["legend"], named=samples),
        Section(
            title="What both sensors see of the classes",
            text="Mean and standard deviation are those of the training pixels, by which inputs are standardised.",
            table=tables["bands"],
            pictures={"Mean spectra of the classes, and backscatter of their scenes": charts["bands"]},
        ),
        Section(title="Smallest and largest values", text=texts["legend"], named=extremes),
        Section(
            title="Places", text="Splits that are not official ones share no place.", table=tables["places"]
        ),
        Section(
            title="Left out", table=tables["left_out"], notes=[] if len(tables["left_out"]) else ["none"]
        ),
    ]
    return pages.page(texts["title"], [texts["summary"]], sections)
