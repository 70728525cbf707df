"""The errors that a user can cause, as one tree.

ThalwegError
  ConfigError          a configuration or a study that breaks a law
    KnobError          a knob that is unknown, of the wrong type or out of its bounds
    ObjectiveError     a metric that a study must not optimise
  DiscoveryError       a space, family, preset or data set that does not exist
  SpaceError           a search space that raises, or returns something else than a configuration
  DataError            data that are missing, truncated or of the wrong form
  StudyError           a study name already used, or a study that cannot be read or continued
  OutputError          a folder that cannot be written
  FamilyError          a family that breaks the contract
  ResourceError        resources that the cluster does not have
  ConnectionFailed     a Ray or MLflow address that does not answer
  TrialError           a trial that cannot go on
    NonFiniteError     a loss or metric that is not finite
      NonFiniteDataError  one that is not because its data are not; also a DataError
    UndefinedError     an objective without a value for predictions that have other metrics
    OutOfMemory        a worker without enough memory
    LaneDiedError      a lane whose workers are gone

`ended_as` of a class is the word for a trial that such an error ends: ``infeasible`` unless the class says otherwise.

A message states the law, then the value, then the way out, in lower case and without a full stop:
``batch_size must be at least the lane's number of workers, 4, got 3; try 4, or fewer workers``.
Each class is also the built-in exception that it specialises, so that ``except ValueError`` holds.
"""

import difflib
from collections.abc import Collection
from typing import ClassVar

from thalweg.events import EndedAs
from thalweg.wording import some

_NAMED = 20  # names that there are instead


class ThalwegError(Exception):
    """Anything that Thalweg reports to its user without a traceback."""

    ended_as: ClassVar[EndedAs] = "infeasible"


class ConfigError(ThalwegError, ValueError):
    """A configuration or a study breaks a law."""


class KnobError(ConfigError):
    """A knob is refused whatever the others are: it is unknown, of the wrong type or out of its bounds."""


class ObjectiveError(ConfigError):
    """A study names a metric that it must not optimise."""


class ConstraintError(ConfigError):
    """A configuration breaks a constraint of its study, and is not trained."""


class DiscoveryError(ThalwegError, LookupError):
    """No space, family, preset or data set has this name."""


class SpaceError(ThalwegError, ValueError):
    """A search space raises, or returns something else than a configuration."""


class DataError(ThalwegError, ValueError):
    """Data are missing, truncated or of the wrong form."""

    ended_as = "data"


class StudyError(ThalwegError, RuntimeError):
    """A study name is already used, or a study cannot be read or continued."""

    ended_as = "infrastructure"


class OutputError(ThalwegError, OSError):
    """A folder or file cannot be written."""

    ended_as = "infrastructure"


class FamilyError(ThalwegError, TypeError):
    """A family breaks the contract."""


class ResourceError(ThalwegError, RuntimeError):
    """The cluster does not have the resources that a lane needs."""

    ended_as = "infrastructure"


class ConnectionFailed(ThalwegError, ConnectionError):
    """A Ray or MLflow address does not answer."""

    ended_as = "infrastructure"


class TrialError(ThalwegError, RuntimeError):
    """A trial cannot go on; the study can."""


class NonFiniteError(TrialError, ArithmeticError):
    """A loss or a metric is not finite."""

    ended_as: ClassVar[EndedAs] = "diverged"


class NonFiniteDataError(NonFiniteError, DataError):
    """A loss is not finite because the data of its batch are not."""

    ended_as = "data"


class OutOfMemory(TrialError, MemoryError):
    """A worker does not have the memory that a trial needs."""

    ended_as = "out_of_memory"


class UndefinedError(TrialError, ArithmeticError):
    """The objective has no value for a model's predictions, which have other metrics."""


class LostCheckpoint(TrialError):
    """The checkpoint from which a trial must go on is gone or damaged."""

    ended_as = "infrastructure"


class LaneDiedError(TrialError):
    """The workers of a lane are gone."""

    ended_as = "infrastructure"


def ended_as(error: BaseException) -> EndedAs:
    """Returns the word for a trial that an error ends."""
    if isinstance(error, ThalwegError):
        return error.ended_as
    return "out_of_memory" if isinstance(error, MemoryError) else "infrastructure"


def meant(name: object, known: Collection[str]) -> str:
    """Asks whether the name that is most alike was meant: ``; did you mean 'depth'?``; empty if none is."""
    inside = [one for one in known if one.endswith((f"_{name}", f".{name}"))]  # `depth` of lakes/depth.py
    close = inside or difflib.get_close_matches(str(name), list(known), n=1)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""


def nothing(what: str, where: str, name: object, known: Collection[str]) -> str:
    """Says that nothing has a name, which name is most alike, and which there are."""
    there = some(sorted(known), _NAMED) or "none"
    return f"no {what} in {where}{meant(name, known)} (found: {there})"
