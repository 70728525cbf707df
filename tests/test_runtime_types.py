"""The checks of types and shapes that pytest puts around functions do refuse what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import pytest
import torch
from beartype.roar import BeartypeCallHintViolation, BeartypeHintViolation
from jaxtyping import Float, Int, TypeCheckError
from runtime_types import check, jaxtyped
from torch import Tensor

from thalweg.nn.contrastive.nt_xent import nt_xent

if TYPE_CHECKING:
    from pathlib import PurePath

F = TypeVar("F", bound=Callable[..., Any])


def checked(function: F) -> F:
    decorated: F = jaxtyped(function, typechecker=check)
    return decorated


@checked
def _product(
    left: Float[Tensor, "n k"], right: Float[Tensor, "k m"], *, turned: bool = False
) -> Float[Tensor, "n m"]:
    product = left @ right
    return product.T if turned else product


@checked
def _half(number: float, where: PurePath | None = None) -> float:
    return number / 2 if where is None else str(number)  # type: ignore[return-value]


@checked
def _outer(inner: Callable[[], Float[Tensor, " n"]], rows: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    return inner() * rows


@checked
def _halves(left: Float[Tensor, " n"], right: Float[Tensor, " n"]) -> Iterator[Float[Tensor, " n"]]:
    yield left / 2
    yield right / 2


@checked
@dataclass
class _Pair:
    left: Float[Tensor, " n"]
    right: Float[Tensor, " n"]

    @checked
    def scaled(self, by: float) -> Self:
        return type(self)(self.left * by, self.right * by)


@pytest.mark.parametrize(
    "call",
    [
        lambda: _product(torch.ones(2, 3), torch.ones(4, 2)),
        lambda: _product(torch.ones(2, 3), torch.ones(3, 4), turned=True),
        lambda: _product(torch.ones(2, 3), torch.ones(3, 4, dtype=torch.int64)),
        lambda: _half("1"),  # type: ignore[arg-type]
        lambda: _half(1.0, where="here"),  # type: ignore[arg-type]
        lambda: _halves(torch.ones(2), torch.ones(3)),
        lambda: _Pair(torch.ones(2), torch.ones(3)),
        lambda: _Pair(torch.ones(2), torch.ones(2)).scaled("2"),  # type: ignore[arg-type]
        pytest.param(lambda: nt_xent(torch.ones(4)), marks=pytest.mark.slow),  # quick runs check no calls
    ],
    ids=[
        "axis_of_arguments",
        "axis_of_result",
        "dtype",
        "type",
        "result",
        "generator",
        "dataclass",
        "beside_self",
        "product",
    ],
)
def test_what_is_wrong_is_refused(call: Callable[[], Any]) -> None:
    with pytest.raises((BeartypeCallHintViolation, TypeCheckError)):
        call()


@checked
def _rows(values: Float[Tensor, "n k"], count: int, name: Literal["first", "last"]) -> Float[Tensor, "m k"]:
    rows = values[:count] if name == "first" else values[-count:]
    return rows.double().sum(1) if count > 2 else rows


def _wrong(call: Callable[[], Any]) -> bool:
    try:
        call()
    except (BeartypeHintViolation, TypeCheckError):
        return True
    return False


def test_a_call_that_is_unlike_those_that_passed_is_refused() -> None:
    for _ in range(3):
        assert not _wrong(lambda: _rows(torch.ones(3, 2), 1, "first"))
        assert not _wrong(lambda: _rows(torch.ones(3, 2), 2, "last"))
        assert not _wrong(lambda: _product(torch.ones(2, 3), torch.ones(3, 4)))
        assert _wrong(lambda: _rows(torch.ones(3, 2), 1, "middle"))  # type: ignore[arg-type]
        assert _wrong(lambda: _rows(torch.ones(3), 1, "first"))
        assert _wrong(lambda: _rows(torch.ones(3, 2, dtype=torch.int64), 1, "first"))
        assert _wrong(lambda: _rows(torch.ones(3, 2).numpy(), 1, "first"))  # type: ignore[arg-type]
        assert _wrong(lambda: _rows(torch.ones(3, 2), 3, "first"))
        assert _wrong(lambda: _product(torch.ones(2, 3), torch.ones(4, 2)))
        assert _wrong(lambda: _product(right=torch.ones(2, 3), left=torch.ones(3, 4)))


def test_a_result_that_is_unlike_those_that_passed_is_refused() -> None:
    given = [torch.ones(3, 2)]

    @checked
    def kept(values: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
        return given[-1][0] if len(given) > 1 else values.sum(1)

    for _ in range(3):
        assert kept(torch.ones(3, 2)).shape == (3,)
    given.append(torch.ones(2, 3))
    assert kept(torch.ones(3, 2)).shape == (3,)
    for wrong in (torch.ones(2, 4), torch.ones(2, 3, 1), torch.ones(2, 3, dtype=torch.int64)):
        given.append(wrong)
        assert _wrong(lambda: kept(torch.ones(3, 2)))


def test_what_is_right_passes_and_each_call_has_axes_of_its_own() -> None:
    assert _product(torch.ones(2, 3), torch.ones(3, 4)).shape == (2, 4)
    assert _product(torch.ones(5, 1), torch.ones(1, 5), turned=True).shape == (5, 5)
    assert _half(1) == 0.5
    assert (
        len([_product(half[:, None], torch.ones(1, 9)) for half in _halves(torch.ones(4), torch.ones(4))])
        == 2
    )
    inner = lambda: _product(torch.ones(3, 1), torch.ones(1, 7))[:, 0]  # noqa: E731 - a call within a call
    assert _outer(inner, torch.ones(3, dtype=torch.int64)).tolist() == [1, 1, 1]
    assert _Pair(torch.ones(2), torch.ones(2)).scaled(2).left.tolist() == [2, 2]
