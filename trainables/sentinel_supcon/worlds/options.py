"""Options of synthetic data sets."""

from collections.abc import Mapping

from thalweg.errors import ConfigError

OPTIONS: Mapping[str, str] = {
    "num_scenes": "scenes in all, of all classes and splits together",
    "seed": "another number draws other scenes",
}
_BOUNDS = {"num_scenes": (60, 200_000), "seed": (0, 2**31)}


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
