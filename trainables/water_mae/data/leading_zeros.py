"""Identifiers of digits alone, such as 01013500 of the USGS, whose leading zeros spreadsheets lose."""

from collections.abc import Collection, Iterable

import pandas as pd


def without_zeros(name: object) -> str:
    """Returns an identifier of digits alone without its leading zeros, and any other as it is."""
    text = str(name)
    return text.lstrip("0") or "0" if text.isdigit() else text


def longest_spellings(names: Iterable[str]) -> dict[str, str]:
    """Returns for each of some identifiers the longest one that differs by leading zeros only, mostly itself."""
    every = sorted(set(names), key=len)
    longest = {without_zeros(name): name for name in every}
    return {name: longest[without_zeros(name)] for name in every}


def spelled_as(table: pd.DataFrame, ids: Collection[object]) -> pd.DataFrame:
    """Returns a table by catchment with its identifiers spelled as others are, as far as these tell its rows apart."""
    if set(ids) <= set(table.index):
        return table
    names = {without_zeros(name): name for name in ids}
    spelled = pd.Index(
        [names.get(without_zeros(name), name) for name in table.index], dtype=object, name=table.index.name
    )
    return table if spelled.has_duplicates else table.set_axis(spelled)
