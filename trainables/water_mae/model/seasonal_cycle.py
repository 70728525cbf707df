"""The seasonal cycle of each place: the mean and two harmonics of the year, of the training split.

Fitted by least squares to the climatology of its days, as is common (Wilks 2011, chapter 9).
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from thalweg.nn.data_statistics import Statistics
from trainables.water_mae.data.windows import Geometry, WaterData
from trainables.water_mae.knobs import ModalitySet, Place

NUM_HARMONICS = 2
_DAYS = 366

Coefficients = Mapping[str, Float32[np.ndarray, "term modality patch value"]]


def seasonal_terms() -> Float32[np.ndarray, "366 term"]:
    """Returns 1, and cosine and sine of each harmonic, for each day of the year."""
    angle = 2 * np.pi * np.arange(_DAYS)[:, None] / _DAYS * np.arange(1, NUM_HARMONICS + 1)
    terms: Float32[np.ndarray, "366 term"] = np.concatenate(
        [np.ones((_DAYS, 1)), np.cos(angle), np.sin(angle)], axis=1
    ).astype(np.float32)
    return terms


def fitted(data: WaterData) -> dict[str, Float32[np.ndarray, "term modality patch value"]]:
    """Returns the coefficients of `seasonal_terms` for ``image`` and ``vector``, in normalised units."""
    projection = np.linalg.pinv(seasonal_terms().astype(np.float64)).astype(np.float32)
    return {
        kind: np.einsum("td,dmpv->tmpv", projection, means)
        for kind, means in zip(("image", "vector"), data.climatology(), strict=True)
    }


def unknown(geometry: Geometry, modalities: ModalitySet) -> dict[str, np.ndarray]:
    """Returns coefficients of 0, for a model that is only counted."""
    num_terms = 1 + 2 * NUM_HARMONICS
    image = (num_terms, len(modalities.fields), geometry.num_patches, geometry.num_pixels)
    vector = (num_terms, len(modalities.series), geometry.num_vector_patches, geometry.num_members)
    return {"image": np.zeros(image, np.float32), "vector": np.zeros(vector, np.float32)}


class SeasonalCycle(Statistics):
    """What a place usually has on a day of the year.

    Args:
        coefficients: Coefficients of `seasonal_terms`, as `fitted` returns them.
    """

    def __init__(self, coefficients: Coefficients) -> None:
        super().__init__()
        self.register_buffer("terms", torch.tensor(seasonal_terms()), persistent=False)
        for kind, each in coefficients.items():
            self.register_buffer(kind, torch.tensor(np.asarray(each), dtype=torch.float32), persistent=False)

    def forward(
        self, modality: Place, day_of_year: Int[Tensor, "batch step"]
    ) -> Float[Tensor, "batch step patch value"]:
        """Returns the cycle of a modality on some days, in fp32 and normalised units."""
        kind, index = modality
        coefficients = self.get_buffer(kind)[:, index]
        usual: Tensor = torch.einsum("bst,tpv->bspv", self.get_buffer("terms")[day_of_year], coefficients)
        return usual
