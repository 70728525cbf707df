"""Chooses variables of a source by name and level."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from thalweg.data.faults import Faults
from thalweg.errors import ConfigError, DataError
from thalweg.wording import counted
from trainables.geo_contrastive.data.layout import TAKEN
from trainables.geo_contrastive.importing.axes import find_axes
from trainables.geo_contrastive.importing.levels import AbsentLevel, Level, parse_level
from trainables.geo_contrastive.importing.opening import Opened
from trainables.geo_contrastive.importing.series import Piece, Series, pieces_of

_WANTED = re.compile(
    r"(?:\s*(?P<new>\w+)\s*=)?\s*(?P<name>[^=@\s](?:[^=@]*[^=@\s])?)\s*(?:@(?P<level>[^@=]+))?"
)


@dataclass(frozen=True)
class Wanted:
    """A variable that a data set is to hold.

    Attributes:
        name: Its name in the source.
        new: Its name in the data set.
        level: Its level; None if the source has no choice of levels.
    """

    name: str
    new: str
    level: Level | None


def parse_wanted(text: str) -> list[Wanted]:
    """Reads an option such as ``t2m,z=geopotential@850hPa``.

    Raises:
        ConfigError: It cannot be read, or two variables would have one name.
    """
    found: list[Wanted] = []
    for part in text.split(","):
        match = _WANTED.fullmatch(part)
        if match is None:
            raise ConfigError(
                f"variables must be NAME, NAME@LEVEL or NEW=NAME@LEVEL by commas, got {part!r}; "
                "try t2m,z=geopotential@850hPa"
            )
        level = None if match["level"] is None else parse_level(match["level"])
        new = match["new"] or match["name"]
        if not re.fullmatch(r"\w+", new) or new in TAKEN:
            raise ConfigError(
                f"variables must have names of letters, digits and _ other than {', '.join(sorted(TAKEN))}, got "
                f"{new!r}; name it, such as NEW={part.strip().rpartition('=')[2]}"
            )
        found.append(Wanted(match["name"], new, level))
    _require_different(found)
    return found


def _require_different(wanted: Sequence[Wanted]) -> None:
    names = [each.new for each in wanted]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is None:
        return
    parts = []
    for number, each in enumerate([each for each in wanted if each.new == twice], 1):
        level = "" if each.level is None else each.level.name
        parts.append(f"{twice}_{level or number}={each.name}{'@' * bool(level)}{level}")
    raise ConfigError(
        f"variables must have different names, got {twice!r} twice; name them: --option variables="
        f"{','.join(parts)}"
    )


def choose(opened: Sequence[Opened], wanted: Sequence[Wanted] | None) -> tuple[list[Series], list[str]]:
    """Returns the series of the wanted variables in order, and sentences on what was left out.

    Args:
        opened: Variables of all files.
        wanted: What to take; None takes all fields in time.

    Raises:
        DataError: A variable is not there, is no field, or its level must be named; reported for all at once.
    """
    notes: list[str] = []
    if wanted is None:
        wanted, notes = _all_fields(opened)
        _require_different(wanted)
    faults = Faults()
    found = [faults.attempt(partial(_series, opened, each)) for each in wanted]
    faults.raise_if_any()
    return [series for series in found if series is not None], notes


def _series(opened: Sequence[Opened], wanted: Wanted) -> Series:
    return Series(wanted.new, _pieces(opened, wanted))


def _all_fields(opened: Sequence[Opened]) -> tuple[list[Wanted], list[str]]:
    names: list[str] = []
    others: list[str] = []
    faults = Faults()
    bounds = {
        str(variable.attrs.get("bounds", ""))
        for each in opened
        for variable in each.dataset.variables.values()
    }
    for each in opened:
        if each.name in names or each.name in others or each.name in bounds:
            continue
        with faults.collected():
            (others if find_axes(each) is None else names).append(each.name)
    if not names and faults:
        also = f" ({len(faults.texts) - 1} other variables neither)" * (len(faults.texts) > 1)
        raise DataError(f"{faults.texts[0]}{also}")
    if not names:
        raise DataError(
            f"{opened[0].path if opened else 'the source'} must hold fields with times, got "
            f"{', '.join(others) or 'no variable'}; take another file"
        )
    notes = [f"left out, for they have no times: {', '.join(others)}"] if others else []
    wanted = [Wanted(name, _new_name(name), None) for name in names]
    notes += [
        f"{each.new}: {each.name!r} in the source; names here are letters, digits and _, and none of a coordinate"
        for each in wanted
        if each.new != each.name
    ]
    return wanted, [*notes, *faults.texts]


def _new_name(name: str) -> str:
    """Returns the name that a variable has in the data set unless the user gives one."""
    plain = re.sub(r"\W", "_", name)
    return f"{plain}_" if plain in TAKEN else plain


def _pieces(opened: Sequence[Opened], wanted: Wanted) -> list[Piece]:
    candidates = [each for each in opened if each.name == wanted.name]
    candidates = candidates or [each for each in opened if each.also and each.also == wanted.name]
    if not candidates:
        names = sorted({each.name for each in opened})
        raise DataError(
            f"the source must hold the variable {wanted.name}, got none of that name; there are {', '.join(names)}"
        )
    faults, pieces = Faults(), []
    absent: list[AbsentLevel] = []
    for each in candidates:
        with faults.collected():
            try:
                pieces += pieces_of(each, wanted.level)
            except AbsentLevel as error:  # each level may have a file of its own
                absent.append(error)
    if absent and not pieces and not faults:
        others = len(absent) - 1
        also = f" ({counted(others, 'other file')} neither)" * bool(others)
        raise DataError(f"{absent[0]}{also}")
    # in GRIB a variable may have levels of several types, of which one is meant
    if not pieces or wanted.level is None or any(each.kind != "GRIB" for each in candidates):
        faults.raise_if_any()
    return pieces
