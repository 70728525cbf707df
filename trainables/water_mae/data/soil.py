"""Soil and snow routine of HBV: soil moisture under daily weather, for any number of places at once."""

import numpy as np
from jaxtyping import Float

FIELD_CAPACITY = 150.0
"""Water that the soil can hold, in mm."""
BETA = 2.0
"""Exponent of saturation in the share of water that becomes runoff."""
EVAPORATION_LIMIT = 0.7
"""Saturation above which evaporation meets its demand."""
DEGREE_DAY = 3.0
"""Melt in mm per day and degree above 0 degC."""


class SoilBucket:
    """HBV soil routine with a degree-day snow pack; starts without snow at 0.7 of field capacity.

    Source: Bergstrom (1992), The HBV model, SMHI RH 4; Seibert & Vis (2012), HESS 16, 3315-3325, Eqs. 1 to 4.

    Args:
        num_places: Number of places that are computed at once.
    """

    def __init__(self, num_places: int) -> None:
        self._water = np.full(num_places, 0.7 * FIELD_CAPACITY)
        self._snow = np.zeros(num_places)

    @property
    def saturation(self) -> Float[np.ndarray, " place"]:
        """Soil moisture as a share of field capacity, in [0, 1]."""
        return self._water / FIELD_CAPACITY

    def step(
        self,
        precipitation: Float[np.ndarray, " place"],
        temperature: Float[np.ndarray, " place"],
        evaporation: Float[np.ndarray, " place"],
    ) -> Float[np.ndarray, " place"]:
        """Advances the state by one day; returns the runoff in mm.

        Args:
            precipitation: Precipitation in mm; snow below 0 degC.
            temperature: Air temperature in degC.
            evaporation: Evaporation demand in mm.
        """
        snowfall = np.where(temperature < 0, precipitation, 0.0)
        melt = np.minimum(self._snow, DEGREE_DAY * np.maximum(temperature, 0.0))
        self._snow = self._snow + snowfall - melt
        inflow = precipitation - snowfall + melt
        kept = np.minimum(inflow * (1 - self.saturation**BETA), FIELD_CAPACITY - self._water)
        self._water = self._water + kept
        limit = np.minimum(self.saturation / EVAPORATION_LIMIT, 1.0)
        self._water = self._water - np.minimum(evaporation * limit, self._water)
        runoff: Float[np.ndarray, " place"] = inflow - kept
        return runoff
