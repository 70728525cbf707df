"""Whether optical numbers of some source hold the offset of processing baseline 04.00, which nothing else tells."""

from collections.abc import Sequence

from thalweg.errors import ConfigError, DataError
from thalweg.wording import counted, some
from trainables.sentinel_supcon.data.units import SHIFT, shows_shift


class Shifts:
    """Decides what is added to the numbers of each tile.

    Args:
        option: ``auto``, ``by-values``, ``0`` or ``-1000``; see `options.OFFSET`.

    Attributes:
        taken: Names of tiles whose numbers are shifted.

    Raises:
        ConfigError: The option is none of these.
    """

    def __init__(self, option: str) -> None:
        if option not in ("auto", "by-values", "0", f"{SHIFT:.0f}"):
            raise ConfigError(
                f"offset must be auto, by-values, 0 or {SHIFT:.0f}, got {option!r}; choose one of these"
            )
        self._option = option
        self._shown: list[str] = []
        self.taken: list[str] = []

    def of(self, tile: str, darkest_numbers: Sequence[float]) -> float:
        """Returns what is to be added to the numbers of a tile.

        Args:
            tile: Its name.
            darkest_numbers: What `units.darkest` returned for its images.
        """
        if self._option not in ("auto", "by-values"):
            shift = float(self._option)
        else:
            shows = shows_shift(list(darkest_numbers))
            if shows and self._option == "auto":
                self._shown.append(tile)
            shift = SHIFT if shows else 0.0
        if shift:
            self.taken.append(tile)
        return shift

    def require_known(self) -> None:
        """Refuses tiles whose numbers show the offset if nobody said what to do.

        Raises:
            DataError: There are some.
        """
        if self._shown:
            raise DataError(
                f"reflectance must be known from its numbers, got {counted(len(self._shown), 'tile')} with no pixel "
                f"below {-SHIFT:.0f}, as since processing baseline 04.00: {some(self._shown)}; say "
                "--option offset=by-values to take 1000 off these, or offset=0 if they are bright"
            )

    def report(self, num_told: int = 0) -> str:
        """Says whose optical numbers are shifted.

        Args:
            num_told: Scenes whose files, or whose table, tell an offset.
        """
        parts = []
        if num_told:
            scenes = counted(num_told, "scene")
            parts.append(
                f"The offset that files or a table tell is taken off the optical numbers of {scenes}."
            )
        if self.taken:
            tiles = counted(len(self.taken), "tile")
            parts.append(f"{-SHIFT:.0f} is taken off the optical numbers of {tiles}: {some(self.taken)}.")
        return " ".join(parts) or "No offset is taken off optical numbers."
