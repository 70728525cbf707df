"""Multinomial logistic regression with a penalty on its weights."""

import torch
from jaxtyping import Float64, Int64
from torch import Tensor, nn

_ITERATIONS = 100


def fit_logistic(
    members: Float64[Tensor, "sample member"],
    labels: Int64[Tensor, " sample"],
    penalty: float,
    num_classes: int,
) -> Float64[Tensor, "term class_"]:
    """Returns the weights that minimise mean cross-entropy and penalty, which spares the constant in the last row.

    Args:
        members: What the classes are told by.
        labels: Their numbers.
        penalty: Of the sum of squared weights.
        num_classes: Number of classes, of which samples may lack some.
    """
    terms = torch.cat([members, members.new_ones(len(members), 1)], dim=1)
    weights = terms.new_zeros(terms.shape[1], num_classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=_ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        found = nn.functional.cross_entropy(terms @ weights, labels) + penalty * weights[:-1].square().sum()
        found.backward()  # type: ignore[no-untyped-call]
        return found

    with torch.enable_grad():
        optimizer.step(loss)  # type: ignore[no-untyped-call]
    return weights.detach()
