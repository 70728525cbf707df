"""Logistic regression against scikit-learn's."""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from thalweg.nn.logistic import fit_logistic


def test_it_is_that_of_scikit_learn_with_the_same_penalty() -> None:
    generator = torch.Generator().manual_seed(0)
    members = torch.randn(60, 3, generator=generator, dtype=torch.float64)
    labels = (members[:, 0] + 0.5 * torch.randn(60, generator=generator) > 0.3).long() + (
        members[:, 1] > 0.8
    ).long()
    found = fit_logistic(members, labels, 0.02, 3)
    # scikit-learn minimises the summed cross-entropy and half the sum of squared weights over C.
    reference = LogisticRegression(C=1 / (2 * 0.02 * 60), tol=1e-10, max_iter=1000)
    reference.fit(members.numpy(), labels.numpy())
    probabilities = (members @ found[:-1] + found[-1]).softmax(1).numpy()
    np.testing.assert_allclose(probabilities, reference.predict_proba(members.numpy()), atol=1e-4)


def test_a_class_that_no_sample_has_gets_the_least_chance() -> None:
    members = torch.randn(40, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    labels = (members[:, 0] > 0).long()
    weights = fit_logistic(members, labels, 0.01, 3)
    assert bool(torch.isfinite(weights).all())
    assert float((members @ weights[:-1] + weights[-1]).softmax(1)[:, 2].max()) < 0.01
