"""Regularised logistic regression by iteratively reweighted least squares, in NumPy."""

from dataclasses import dataclass

import numpy as np

MOST_STEPS = 100
CONVERGED = 1e-9


@dataclass(frozen=True)
class Logistic:
    """A logistic model.

    Attributes:
        weights: log-odds for each unit of a feature, `(features,)`.
        bias: log-odds where all features are zero.
    """

    weights: np.ndarray
    bias: float

    def odds(self, features: np.ndarray) -> np.ndarray:
        """Log-odds `(samples,)` of `(samples, features)`."""
        return self.bias + (features * self.weights).sum(axis=1)


def fit_logistic(
    features: np.ndarray, is_true: np.ndarray, sample_weights: np.ndarray, c: float = 1.0
) -> Logistic:
    """Minimise half the squared length of the weights plus `c` times the weighted log-loss.

    Features are scaled to unit deviation, sample weights to a mean of one; the bias is free. Each
    step solves a weighted least-squares problem (Green, 1984).

    Args:
        features: `(samples, features)`.
        is_true: bool, `(samples,)`.
        sample_weights: how much each sample counts, `(samples,)`.
        c: the larger, the less is the model held back.

    Raises:
        RuntimeError: the steps did not converge.
    """
    scale = features.std(axis=0)
    scale[scale == 0.0] = 1.0
    design = np.column_stack([features / scale, np.ones(len(features))])
    ridge = np.append(np.ones(features.shape[1]), 0.0)
    shares = c * sample_weights / sample_weights.mean()
    solution = np.zeros(len(ridge))
    for _ in range(MOST_STEPS):
        step = _newton_step(design, is_true, shares, ridge, solution)
        solution += step
        if np.abs(step).max() < CONVERGED:
            return Logistic(solution[:-1] / scale, float(solution[-1]))
    raise RuntimeError(f"not converged after {MOST_STEPS} steps")


def _newton_step(
    design: np.ndarray,
    is_true: np.ndarray,
    shares: np.ndarray,
    ridge: np.ndarray,
    solution: np.ndarray,
) -> np.ndarray:
    probability = 1.0 / (1.0 + np.exp(-design @ solution))
    gradient = design.T @ (shares * (is_true - probability)) - ridge * solution
    bend = shares * probability * (1.0 - probability)
    return np.linalg.solve((design.T * bend) @ design + np.diag(ridge), gradient)
