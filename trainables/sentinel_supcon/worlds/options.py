"""Options of synthetic data sets."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from thalweg.errors import ConfigError

OPTIONS: Mapping[str, str] = {
    "num_scenes": "scenes in all, of all classes and splits together",
    "seed": "another number draws other scenes",
}
_BOUNDS = {"num_scenes": (60, 200_000), "seed": (0, 2**31)}


@dataclass(frozen=True, kw_only=True)
class Scenes:
    """The size of a synthetic data set; recipes add what it is made of.

    Attributes:
        num_scenes: Scenes in all, of all classes and splits together.
        side: Height and width of images.
        seed: Seed of all random numbers.
    """

    num_scenes: int
    side: int
    seed: int


R = TypeVar("R", bound=Scenes)


def varied(recipe: R, options: Mapping[str, str]) -> R:
    """Returns a recipe changed by options of `OPTIONS`.

    Raises:
        ConfigError: A value is no whole number, or out of its bounds.
    """
    num_scenes = number("num_scenes", options, recipe.num_scenes)
    return replace(recipe, num_scenes=num_scenes, seed=number("seed", options, recipe.seed))


def number(name: str, options: Mapping[str, str], default: int) -> int:
    """Returns the value of an option of `OPTIONS`.

    Raises:
        ConfigError: It is no whole number, or out of its bounds.
    """
    text, (low, high) = options.get(name), _BOUNDS[name]
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and low <= int(text) <= high):
        raise ConfigError(
            f"{name} must be a whole number from {low:,} to {high:,}, got {text!r}; choose another"
        )
    return int(text)


def counts_of(shares: Mapping[str, float], total: int) -> dict[str, int]:
    """Returns how many scenes each class has: its share of all, at least one, and `total` together."""
    counts = {name: max(1, int(share * total)) for name, share in shares.items()}
    largest = max(counts, key=counts.__getitem__)
    counts[largest] += total - sum(counts.values())
    return counts
