"""The modules of a trial's family, compared with the record before any of them is imported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from thalweg.search.reproduction.original import Original
from thalweg.training.guards.recorded_code import changed_modules
from thalweg.wording import some

Effect = Literal["other numbers", "other last digits", "perhaps other last digits"]
EFFECTS: tuple[Effect, ...] = get_args(Effect)
"""What is to be expected for a difference, what matters most first."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One circumstance that is not as it was recorded.

    Attributes:
        name: What differs.
        recorded: What the record says.
        here: What it is here.
        effect: What is to be expected for it.
    """

    name: str
    recorded: str
    here: str
    effect: Effect

    def sentence(self) -> str:
        """Returns it as a sentence for people."""
        return f"{self.name}: recorded {self.recorded}, here {self.here}; expect {self.effect}"


def code_differences(original: Original) -> list[Difference]:
    """Compares a family's code with the record; none if that holds no code.

    Raises:
        DiscoveryError: The family is gone.
    """
    if not original.code:
        return []
    changed = changed_modules(original.family, original.code)
    if not changed:
        return []
    kept = f" (kept in {original.kept_code})" if original.kept_code else ""
    return [
        Difference(
            name="code of the family",
            recorded=f"other {some(changed)}{kept}",
            here="changed since",
            effect="other numbers",
        )
    ]
