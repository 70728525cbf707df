"""The fixed evaluation protocol: which patches are hidden, from which windows, and what is measured there.

Every window is evaluated with half of the patches hidden; about every fourth one (all of them in a short split) also at
other ratios, whose masks are nested in one another: a patch that is hidden at .3 is hidden at .5 too. Values that
were filled count nowhere, and come from their own patch and day, with which they are hidden.

River flow is predicted as a logarithm. What makes a mean in mm/day of it is learnt from windows of the training split,
one for each that is evaluated at the other ratios, hidden as they are; see `metrics.mean_factor`.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from thalweg.contract import Indices, Metric
from thalweg.nn.masking import take_patches
from thalweg.nn.measures.skill import mean_squared_error, skill, spread, squared_error_sums
from trainables.water_mae import metrics
from trainables.water_mae.config import MODALITIES, MaskingKnobs
from trainables.water_mae.model import Batch, Predictions, kind_and_index

MASKING = MaskingKnobs(image_mask_ratio=0.5, vector_mask_ratio=0.5, mask_mode="unified")
MASK_SEED = 20_240
OTHER_RATIOS = (0.3, 0.6, 0.75)
OF_TRAINING = "_of_training"
"""Ends the names under which a batch holds windows of the training split."""

_MOST_APART = 4  # windows between two that are evaluated at the other ratios
_FEWEST = 16  # of them, where the split has so many

Sums = dict[str, Tensor]


def suffix(ratio: float) -> str:
    """Names a ratio in metrics and batches: ``at_30``."""
    return f"at_{round(100 * ratio)}"


def masking_at(ratio: float) -> MaskingKnobs:
    """Returns the masking of one of the other ratios."""
    return MaskingKnobs(image_mask_ratio=ratio, vector_mask_ratio=ratio, mask_mode="unified")


def at_other_ratios(indices: Indices, num_windows: int) -> Bool[np.ndarray, " batch"]:
    """Returns which windows of a split are evaluated at the other ratios too.

    Args:
        indices: Numbers of windows in the split.
        num_windows: Windows of the split.
    """
    apart = min(_MOST_APART, max(1, num_windows // _FEWEST))
    chosen: Bool[np.ndarray, " batch"] = indices % apart == 0
    return chosen


def protocol(modalities: Collection[str]) -> dict[str, Any]:
    """Names what the metrics depend on besides weights and data; `modalities` are those of the mean skill."""
    return {
        "modalities": list(modalities),
        "masking": MASKING.model_dump(),
        "mask_seed": MASK_SEED,
        "other_ratios": list(OTHER_RATIOS),
        "other_windows": [_MOST_APART, _FEWEST],
        "most_flow": metrics.MOST_FLOW,
        "counted": "observed",
        "mean_flow": ["ratio over train", metrics.POOLED_DAYS],
    }


def hidden_values(batch: Batch, modality: str) -> tuple[Tensor, Tensor]:
    """Returns what a model is to predict, in fp32, and which of it counts, both (batch, step, masked, value).

    Cells in the sea and padded catchments do not count.
    """
    kind, index = kind_and_index(modality)
    values = batch[f"{kind}s"][:, index]
    masked = batch[f"{kind}_masked"][:, index]
    valid = batch[f"{kind}_valid"][:, None].expand(values.shape)
    return take_patches(values, masked).float(), take_patches(valid, masked)


def observed_values(batch: Batch, modality: str) -> tuple[Tensor, Tensor]:
    """Returns what `hidden_values` does; of what was filled nothing counts. A batch without gaps need not say so."""
    target, valid = hidden_values(batch, modality)
    kind, index = kind_and_index(modality)
    observed = batch.get(f"{kind}_observed")
    if observed is None:
        return target, valid
    return target, valid & take_patches(observed[:, index], batch[f"{kind}_masked"][:, index])


def present(batch: Batch, modality: str) -> Tensor:
    """Returns 1 for the samples that carry a modality, else 0, (batch,)."""
    kind, index = kind_and_index(modality)
    if f"{kind}_present" in batch:
        return batch[f"{kind}_present"][:, index]
    return torch.ones_like(batch["vector_present"][:, 0])


def reconstructed(batch: Batch, modality: str) -> Tensor:
    """Returns 1 for the samples that carry a modality of which something hidden is data, else 0, (batch,)."""
    carried = present(batch, modality)
    if f"{kind_and_index(modality)[0]}_observed" not in batch:
        return carried
    _, counts = observed_values(batch, modality)
    return carried * counts.flatten(1).any(1)


def evaluate(model: nn.Module, batch: Batch) -> Sums:
    """Sums what `summarize` needs, at the reference ratio and at the others."""
    everything = torch.ones_like(batch["at_other_ratios"])
    predictions = model(batch)
    sums = _sums_of_modalities(predictions, batch, everything)
    sums |= _named("flow", _sums_of_catchments(predictions, batch, everything))
    sums |= _named("flow_train", training_flow(model, batch))
    for ratio in OTHER_RATIOS:
        part, counted = _at(batch, ratio)
        found = _sums_of_modalities(model(part), part, counted)
        sums |= {f"{suffix(ratio)}/{name}": value for name, value in found.items()}
    return sums


def summarize(sums: Mapping[str, Tensor], modalities: Collection[str] = MODALITIES) -> dict[str, float]:
    """Turns the sums of a split into metrics; those of a modality that it lacks, or that is constant, are NaN.

    Such a modality does not enter the mean skill.

    Args:
        sums: What `evaluate` returned, added up.
        modalities: Those that the mean skill is of.
    """
    found = _summarize_modalities(sums, "", modalities)
    for ratio in OTHER_RATIOS:
        found |= _at_ratio(sums, ratio, modalities)
    moments = metrics.scaled(named(sums, "flow"), metrics.mean_factor(named(sums, "flow_train")))
    found["nse_river_flow"] = metrics.median(metrics.nse(moments))
    found["kge_river_flow"] = metrics.median(metrics.kge(moments))
    return found


def training_part(batch: Batch) -> tuple[Batch, Bool[Tensor, " batch"]]:
    """Returns the windows of the training split that go with a batch, and which of them count."""
    rows, counted = _chosen(batch)
    windows = {
        name.removesuffix(OF_TRAINING): value[rows]
        for name, value in batch.items()
        if name.endswith(OF_TRAINING)
    }
    return windows | {"river_flow_scale": batch["river_flow_scale"][rows]}, counted


def training_flow(model: nn.Module, batch: Batch) -> Sums:
    """Sums the moments of hidden flow in the windows of the training split that go with a batch."""
    part, counted = training_part(batch)
    return _sums_of_catchments(model(part), part, counted)


def named(sums: Mapping[str, Tensor], prefix: str) -> Sums:
    """Returns the sums whose names begin with ``prefix/``, without it."""
    return {
        name.removeprefix(f"{prefix}/"): value
        for name, value in sums.items()
        if name.startswith(f"{prefix}/")
    }


def _named(prefix: str, sums: Mapping[str, Tensor]) -> Sums:
    return {f"{prefix}/{name}": value for name, value in sums.items()}


def declared() -> tuple[Metric, ...]:
    """Declares what `summarize` returns, the most telling first."""
    reference = [_skill("", f"hidden {_words(name)}", name) for name in MODALITIES]
    squared = [
        _metric(
            f"mse_{name}",
            f"mean squared error of the hidden {_words(name)}, in variances of the training split",
            mode="min",
        )
        for name in MODALITIES
    ]
    efficiencies = [
        _metric(
            f"{name}_river_flow", f"{words} efficiency of hidden river flow in mm/day, median of catchments"
        )
        for name, words in (("nse", "Nash-Sutcliffe"), ("kge", "Kling-Gupta"))
    ]
    means = [_skill(f"_{suffix(ratio)}", f"values, {ratio:.0%} hidden") for ratio in OTHER_RATIOS]
    others = [
        _skill(f"_{suffix(ratio)}", f"{_words(name)}, {ratio:.0%} hidden", name)
        for ratio in OTHER_RATIOS
        for name in MODALITIES
    ]
    return (_skill("", "hidden values"), *reference, *efficiencies, *means, *others, *squared)


def _at(batch: Batch, ratio: float) -> tuple[Batch, Bool[Tensor, " batch"]]:
    """Returns the chosen windows with the masks of a ratio, and which of them count."""
    rows, counted = _chosen(batch)
    ending = f"_{suffix(ratio)}"
    masks = {name.removesuffix(ending): value for name, value in batch.items() if name.endswith(ending)}
    own = {name: value for name, value in batch.items() if not name.endswith(OF_TRAINING)}
    return {name: value[rows] for name, value in (own | masks).items()}, counted


def _chosen(batch: Batch) -> tuple[Int[Tensor, " chosen"], Bool[Tensor, " chosen"]]:
    """Returns the numbers of the windows that are evaluated at the other ratios, and whether they count.

    There is always a window: ranks that share sharded weights must call the model equally often.
    """
    chosen = batch["at_other_ratios"]
    rows = chosen.nonzero()[:, 0] if chosen.any() else torch.zeros_like(chosen[:1], dtype=torch.int64)
    return rows, chosen[rows]


def _sums_of_modalities(predictions: Predictions, batch: Batch, counted: Bool[Tensor, " batch"]) -> Sums:
    sums: Sums = {}
    for name in MODALITIES:
        target, valid = observed_values(batch, name)
        counts = valid & ((present(batch, name) > 0) & counted)[:, None, None, None]
        found = squared_error_sums(predictions[name], target, counts)
        sums |= {f"{name}/{part}": value for part, value in found.items()}
    return sums


def _sums_of_catchments(predictions: Predictions, batch: Batch, counted: Bool[Tensor, " batch"]) -> Sums:
    name = "river_flow"
    kind, index = kind_and_index(name)
    target, valid = observed_values(batch, name)
    scale = batch["river_flow_scale"]
    return metrics.catchment_sums(
        metrics.river_flow(predictions[name], scale),
        metrics.river_flow(target, scale),
        valid & ((present(batch, name) > 0) & counted)[:, None, None, None],
        batch[f"{kind}_masked"][:, index],
        batch[f"{kind}s"].shape[3],
    )


def _at_ratio(sums: Mapping[str, Tensor], ratio: float, modalities: Collection[str]) -> dict[str, float]:
    found = _summarize_modalities(sums, f"{suffix(ratio)}/", modalities)
    return {f"{name}_{suffix(ratio)}": value for name, value in found.items() if name.startswith("skill")}


def _summarize_modalities(
    sums: Mapping[str, Tensor], prefix: str, modalities: Collection[str]
) -> dict[str, float]:
    found: dict[str, float] = {}
    skills = []
    for name in MODALITIES:
        parts = {part: sums[f"{prefix}{name}/{part}"] for part in ("count", "total", "square", "error")}
        found |= {f"skill_{name}": skill(parts), f"mse_{name}": mean_squared_error(parts)}
        if name in modalities and spread(parts) > 0:
            skills.append(found[f"skill_{name}"])
    return {"skill": sum(skills) / len(skills) if skills else float("nan"), **found}


def _words(modality: str) -> str:
    return "log river flow" if modality == "river_flow" else modality.replace("_", " ")


def _skill(ending: str, what: str, modality: str | None = None) -> Metric:
    name = f"skill_{modality}{ending}" if modality else f"skill{ending}"
    over = "" if modality else "mean over evaluation.modalities of "
    return _metric(name, f"{over}1 - MSE / variance of the {what}; 1 is perfect")


def _metric(name: str, meaning: str, *, mode: Any = "max") -> Metric:
    return Metric(name=name, mode=mode, unit="1", search_invariant=True, meaning=meaning)
