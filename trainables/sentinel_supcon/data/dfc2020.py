"""The layout of DFC2020 and SEN12MS: one GeoTIFF for each sensor and scene, and a map of classes.

``ROIs*/s1_N/*_s1_N_pM.tif`` (VV, VH in dB), ``ROIs*/s2_N/*_s2_N_pM.tif`` (13 bands) and ``ROIs*/dfc_N/*_dfc_N_pM.tif``
(codes 1 to 10) or ``ROIs*/lc_N/*_lc_N_pM.tif`` (the first band is IGBP). Models train on DFC2020's official validation
split, as published, and are tested on its test split. Sources: Robinson et al. (2021), doi:10.1109/JSTARS.2021.3063849;
Schmitt et al. (2019), doi:10.5194/isprs-annals-IV-2-W7-153-2019.
"""

import re
from pathlib import Path

from thalweg.errors import DataError
from trainables.sentinel_supcon.data.contents import Contents, Scene, require_some
from trainables.sentinel_supcon.data.labels import DFC2020, DFC2020_CODES, IGBP_CODES
from trainables.sentinel_supcon.knobs import BANDS

_NAME = re.compile(r"(?P<roi>ROIs.+)_(?P<kind>s1|s2|dfc|lc)_(?P<number>\d+)_p(?P<patch>\d+)\.tiff?")
_BLOCK = 32  # consecutive patches of a region without coordinates that count as one place
_OFFICIAL = {"validation": "train", "test": "test"}


def is_dfc2020(folder: Path) -> bool:
    """Returns whether a folder has this layout."""
    return any(path.is_dir() for path in folder.glob("ROIs*"))


def find_dfc2020(folder: Path) -> Contents:
    """Finds the scenes of a DFC2020 or SEN12MS folder.

    Raises:
        DataError: The folder has maps of both schemes, or no scene is whole.
    """
    found: dict[tuple[str, int, int], dict[str, str]] = {}
    for path in sorted(folder.glob("ROIs*/*/*.tif*")):
        if match := _NAME.fullmatch(path.name):
            key = (match["roi"], int(match["number"]), int(match["patch"]))
            found.setdefault(key, {})[match["kind"]] = path.relative_to(folder).as_posix()
    kinds = {kind for files in found.values() for kind in files}
    if {"dfc", "lc"} <= kinds:
        raise DataError(
            f"maps of classes must be of one scheme, got both dfc and lc files in {folder}; remove one of them"
        )
    maps = "dfc" if "dfc" in kinds else "lc" if "lc" in kinds else ""
    expected = [kind for kind in ("s1", "s2", maps) if kind]
    scenes, left_out = [], {}
    for (roi, number, patch), files in sorted(found.items()):
        name = f"{roi}_{number}_p{patch}"
        if missing := [kind for kind in expected if kind not in files]:
            left_out[name] = f"its {' and '.join(missing)} file is missing"
            continue
        first = patch // _BLOCK * _BLOCK
        scenes.append(
            Scene(
                name=name,
                s1=files["s1"],
                s2=files["s2"],
                labels=files.get(maps, ""),
                place="" if maps == "dfc" else f"{roi}_{number}",
                fallback=f"{roi}_{number} patches {first} to {first + _BLOCK - 1}",
                split=next((split for word, split in _OFFICIAL.items() if roi.endswith(f"_{word}")), ""),
            )
        )
    return require_some(
        Contents(
            folder=folder,
            layout="SEN12MS" if maps == "lc" else "DFC2020",
            scenes=tuple(scenes),
            classes=DFC2020,
            bands=BANDS["l1c"],
            codes=IGBP_CODES if maps == "lc" else DFC2020_CODES,
            left_out=left_out,
        )
    )
