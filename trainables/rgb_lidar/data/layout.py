"""The files of a data set: finds, pairs and checks them.

``{cubes,spheres}/`` each hold ``azimuth.npy`` and ``zenith.npy``, the angles of rows and columns in radians,
and one scene for each number: ``lidar/NNNN.npy``, distances in metres, and ``rgb/NNNN.png``, an image with opacity
(RGBA), or without (RGB), which may be a JPEG file, too. A number pairs them, however many zeros it is padded with.
Other files beside them are left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from thalweg.data.faults import Faults
from thalweg.data.npy import read_npy
from thalweg.errors import DataError
from thalweg.wording import counted, some
from trainables.rgb_lidar.config import CLASSES
from trainables.rgb_lidar.data.lidar import MAX_RANGE, Angles

OPAQUE = 255
"""Opacity of the pixels of an image without opacity."""

NAMED = 10
"""Number of files that a sentence names."""

_SCANS = (".npy",)
_IMAGES = (".png", ".jpg", ".jpeg")
SUFFIXES = (*_SCANS, *_IMAGES)
"""Suffixes of the files of a scene, in small letters."""

_MAX_DIGITS = 18  # of a number that fits in 64 bits
_LARGEST_ANGLE = np.pi + 1e-6
_MAKE = "make a synthetic one with `thalweg data make rgb_lidar`"


@dataclass(frozen=True, order=True)
class Scene:
    """One scene that both sensors saw.

    Attributes:
        label: Number of its class in `CLASSES`.
        number: Number of its files.
        lidar: Name of its scan below ``lidar/``.
        rgb: Name of its image below ``rgb/``.
    """

    label: int
    number: int
    lidar: str
    rgb: str


@dataclass(frozen=True)
class Files:
    """The files in a data set's folder.

    Attributes:
        folder: The folder.
        scenes: Scenes that both sensors saw, by class and number.
        unpaired: Files without a partner, as paths below the folder; they are left out.
        others: Files of other kinds beside scans and images, as paths below the folder; they are left out.
    """

    folder: Path
    scenes: tuple[Scene, ...]
    unpaired: tuple[str, ...]
    others: tuple[str, ...] = ()

    def paths(self) -> Mapping[str, Path]:
        """Returns the files of all samples, by their path below the folder."""
        names = [f"{kind}/{angle}.npy" for kind in CLASSES for angle in ("azimuth", "zenith")]
        for scene in self.scenes:
            names += [lidar_name(scene), rgb_name(scene)]
        return {name: self.folder / name for name in names}


def lidar_name(scene: Scene) -> str:
    """Returns the path of a scene's scan below the data set's folder."""
    return f"{CLASSES[scene.label]}/lidar/{scene.lidar}"


def rgb_name(scene: Scene) -> str:
    """Returns the path of a scene's image below the data set's folder."""
    return f"{CLASSES[scene.label]}/rgb/{scene.rgb}"


def find_files(folder: Path) -> Files:
    """Finds the scenes of a data set.

    Raises:
        DataError: A folder is missing, an entry is not a file named by a number, or a class has no scene.
    """
    if not folder.is_dir():
        raise DataError(
            f"a data set must be a folder with {' and '.join(CLASSES)}, got none at {folder}; "
            f"copy it there or {_MAKE}"
        )
    scenes: list[Scene] = []
    unpaired: list[str] = []
    others: list[str] = []
    for label, kind in enumerate(CLASSES):
        (scans, no_scans), (images, no_images) = (
            _names(folder / kind / sensor, suffixes)
            for sensor, suffixes in (("lidar", _SCANS), ("rgb", _IMAGES))
        )
        others += [f"{kind}/{name}" for name in (*no_scans, *no_images)]
        pairs = scans.keys() & images.keys()
        unpaired += [f"{kind}/lidar/{scans[number]}" for number in sorted(scans.keys() - pairs)]
        unpaired += [f"{kind}/rgb/{images[number]}" for number in sorted(images.keys() - pairs)]
        if not pairs:
            raise DataError(
                f"{folder / kind} must hold a scene that is in both lidar/ and rgb/, "
                f"got {len(scans)} and {len(images)} files without a partner{_left_out(others)}; copy the rest there"
            )
        scenes += [Scene(label, number, scans[number], images[number]) for number in pairs]
        for angle in ("azimuth", "zenith"):
            if not (folder / kind / f"{angle}.npy").is_file():
                raise DataError(
                    f"a data set must hold {folder / kind / angle}.npy, got none; copy it there or {_MAKE}"
                )
    return Files(folder, tuple(sorted(scenes)), tuple(unpaired), tuple(others))


def _left_out(others: Sequence[str]) -> str:
    if not others:
        return ""
    return f", and {counted(len(others), 'file')} of other kinds: {some(others, NAMED)}"


def _names(folder: Path, suffixes: tuple[str, ...]) -> tuple[dict[int, str], list[str]]:
    """Returns the file of each number, and the paths of what has another suffix, from its folder on."""
    if not folder.is_dir():
        raise DataError(f"a data set must hold the folder {folder}, got none; copy it there or {_MAKE}")
    seen = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    paths = [path for path in seen if path.suffix.lower() in suffixes]
    others = [f"{folder.name}/{path.name}" for path in seen if path.suffix.lower() not in suffixes]
    faults = Faults()
    for path in paths:
        with faults.collected():
            _check_name(path)
    faults.raise_if_any()
    _require_one_spelling(paths)
    return {int(path.stem): path.name for path in paths}, others


def _check_name(path: Path) -> None:
    if not (path.stem.isascii() and path.stem.isdecimal() and len(path.stem) <= _MAX_DIGITS):
        raise DataError(
            f"scenes must be numbered, with at most {_MAX_DIGITS} digits, got {path}; rename or remove it"
        )
    if not path.is_file():
        found = "a link to nothing" if path.is_symlink() else "a folder"
        raise DataError(f"a scene must be a file, got {found} at {path}; copy the file there or remove it")


def _require_one_spelling(paths: Sequence[Path]) -> None:
    spellings: dict[int, list[str]] = {}
    for path in paths:
        spellings.setdefault(int(path.stem), []).append(path.name)
    twice = [f"{' and '.join(names)}" for _, names in sorted(spellings.items()) if len(names) > 1]
    if twice:
        raise DataError(
            f"a number must name one file of {paths[0].parent}, got several for {len(twice)} scenes: "
            f"{some(twice, separator='; ')}; remove the copies"
        )


def read_angles(folder: Path) -> tuple[Angles, Angles]:
    """Reads azimuth and zenith, which must be the same for both classes.

    Raises:
        DataError: A file is missing, broken or without angles in radians, or the classes differ, so that the angles
            would leak the class.
    """
    read = {
        angle: [_read_angle(folder / kind / f"{angle}.npy") for kind in CLASSES]
        for angle in ("azimuth", "zenith")
    }
    for angle, (first, second) in read.items():
        if first.shape != second.shape or not np.allclose(first, second, atol=1e-6):
            raise DataError(
                f"{angle}.npy must be the same in {' and '.join(CLASSES)} of {folder}, for otherwise the angles tell "
                f"the class, got {len(first)} and {len(second)} angles that differ; use scans of one sensor"
            )
    azimuth, zenith = read["azimuth"][0], read["zenith"][0]
    if len(azimuth) != len(zenith):
        raise DataError(
            f"scans must be square, got {len(azimuth)} azimuths and {len(zenith)} zeniths in {folder}; "
            "cut them to a square"
        )
    return azimuth, zenith


def _read_angle(path: Path) -> Angles:
    angles = _read_array(path, None)
    if angles.ndim != 1 or not angles.size:
        raise DataError(
            f"{path} must be one list of angles, got an array of shape {angles.shape}; convert it"
        )
    largest = float(np.abs(angles).max())  # NaN if one is
    if not np.isfinite(largest):
        raise DataError(f"angles must be finite, got {largest:g} in {path}; copy it again")
    if largest > _LARGEST_ANGLE:
        raise DataError(
            f"angles must be in radians, within -pi and pi, got {angles.min():g} to {angles.max():g} in {path}; "
            "convert them, from degrees with numpy.radians"
        )
    return angles


def read_depth(path: Path, side: int) -> tuple[Float32[np.ndarray, "side side"], int]:
    """Reads the distances of a scan in metres, `MAX_RANGE` if a ray did not come back.

    Sensors write such a ray as their range, as infinity, or as 0, because nothing is at 0 m.

    Returns:
        The distances, and the number of rays that were written as 0.

    Raises:
        DataError: The file is broken, or its values are not distances within the range.
    """
    raw = _read_array(path, (side, side))
    zero = raw == 0
    depth = np.where(zero | np.isposinf(raw), np.float32(MAX_RANGE), raw)
    low, high = float(depth.min()), float(depth.max())
    if not (low >= 0 and high <= MAX_RANGE):  # also refuses NaN
        raise DataError(
            f"distances must lie within 0 and {MAX_RANGE:g} m, the value of a ray that did not come back, "
            f"got {low:g} to {high:g} in {path}; remove the scene or convert it"
        )
    return depth, int(zero.sum())


def read_rgb(path: Path, side: int) -> tuple[UInt8[np.ndarray, "4 side side"], bool]:
    """Reads an image; one without opacity is opaque.

    Returns:
        The image, and whether it has opacity.

    Raises:
        DataError: The file is broken, of another kind, or its size differs from that of the scans.
    """
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            mode, size = image.mode, image.size
            pixels = np.asarray(image)
    except Exception as error:  # a damaged file makes Pillow raise many kinds
        raise DataError(
            f"an image must be a complete PNG or JPEG file, got {path}: {error}; copy it again"
        ) from None
    if mode not in ("RGBA", "RGB") or size != (side, side):
        raise DataError(
            f"an image must be RGBA or RGB and have the {side} x {side} pixels of the scans, "
            f"got {mode} and {size[0]} x {size[1]} in {path}; convert it"
        )
    found = np.full((4, side, side), OPAQUE, np.uint8)
    found[: len(mode)] = pixels.transpose(2, 0, 1)
    return found, mode == "RGBA"


def _read_array(path: Path, shape: tuple[int, ...] | None) -> Float32[np.ndarray, "..."]:
    values = read_npy(path)
    if values.dtype.kind != "f" or (shape is not None and values.shape != shape):
        raise DataError(
            f"{path} must hold floating-point numbers{'' if shape is None else f' of shape {shape}'}, "
            f"got {values.dtype} of shape {values.shape}; convert it"
        )
    return np.asarray(values, dtype=np.float32)
