"""The quickstart's space with two trials that are the same whatever samples and stops them, for ``start_up.py``."""

from search_spaces import quickstart

FIRST = {
    "image_mask_ratio": 0.5,
    "vector_mask_ratio": 0.5,
    **{f"weight_{name}": 1.0 for name in ("precipitation", "soil_moisture", "temperature", "evaporation")},
    "lr": 3e-3,
    "batch_size": 16,
}
space = quickstart.space
study = quickstart.study.model_copy(
    update={"first_trials": (FIRST, {**FIRST, "lr": 2e-3}), "scheduler": "none"}
)
