"""What is fitted to the data and lies in a model stays as exact in half precision as in fp32."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from thalweg.config import Precision
from thalweg.nn.data_statistics import Statistics
from thalweg.training.engine import half_precision
from trainables.geo_contrastive.downstream.regression import CoordinateRegression
from trainables.geo_contrastive.downstream.standardization import Standardization
from trainables.geo_contrastive.forecast.rest import Memory
from trainables.geo_contrastive.model.interpolation import Interpolation
from trainables.geo_contrastive.seasons.season_regression import SeasonRegression

DIM, DAYS, SHAPE = 4, 80, (4, 3)


def _rows(seed: int) -> Tensor:
    rows = torch.randn(DAYS, DIM, generator=torch.Generator().manual_seed(seed))
    return (0.3 * rows + 1.7).bfloat16().float()  # numbers that half precision holds


def _interpolation() -> tuple[Interpolation, Callable[[Interpolation], Tensor]]:
    found, draw = Interpolation({"u": SHAPE}, DIM), torch.Generator().manual_seed(0)
    cells = SHAPE[0] * SHAPE[1]
    patterns = torch.randn(cells, DIM, generator=draw)
    noise = torch.rand(cells, generator=draw) / 10 + 1e-3
    found.start({"u": {"centre": torch.rand(cells, generator=draw), "patterns": patterns, "noise": noise}})
    fields = torch.randn(DAYS, *SHAPE, generator=draw).bfloat16().float()
    return found, lambda each: each({"u": fields}, torch.ones(DAYS, 1, dtype=torch.bool))[0]


def _standardization() -> tuple[Standardization, Callable[[Standardization], Tensor]]:
    found = Standardization(DIM)
    found.fit(_rows(0) / 3)
    return found, lambda each: each(_rows(1))


def _coordinates() -> tuple[CoordinateRegression, Callable[[CoordinateRegression], Tensor]]:
    found = CoordinateRegression(DIM)
    found.fit(_rows(0), _rows(1) / 3)
    return found, lambda each: each(_rows(2))


def _seasons() -> tuple[SeasonRegression, Callable[[SeasonRegression], Tensor]]:
    found = SeasonRegression(DIM)
    found.fit(_rows(0), torch.ones(DIM), torch.arange(DAYS) // 20)
    return found, lambda each: each(_rows(1))


def _memory() -> tuple[Memory, Callable[[Memory], Tensor]]:
    found = Memory(DIM)
    found.fit(_rows(0).square() / 3, _rows(0).square())
    return found, lambda each: each((1, 10))


@pytest.mark.slow
@pytest.mark.parametrize("make", [_interpolation, _standardization, _coordinates, _seasons, _memory])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_what_is_fitted_to_the_data_is_not_rounded(
    make: Callable[[], tuple[Statistics, Callable[[Statistics], Tensor]]], precision: Precision
) -> None:
    statistics, result = make()
    exact = result(statistics)
    buffers = {name: buffer.clone() for name, buffer in statistics.named_buffers()}
    dtype = half_precision.DTYPES[precision]
    assert any(
        buffer.is_floating_point() and not torch.equal(buffer, buffer.to(dtype).float())
        for buffer in buffers.values()
    )
    half_precision.fit(torch.nn.Sequential(statistics), precision)
    for name, buffer in statistics.named_buffers():
        assert buffer.dtype == buffers[name].dtype and torch.equal(buffer, buffers[name])
    assert torch.equal(result(statistics), exact)
