"""Certified removal: its guarantee by experiment, and its price in accuracy.

``python examples/benchmarks/bench_certified.py`` prints three tables of `docs/certified.md`.

- "outputs": the erased and the retrained model, each for many fresh perturbations, told apart by
  thresholds on their coefficients and on the likelihood ratio of two shifted Gaussians. The excess
  is the largest ``P(one > t) - e^eps P(other > t) - delta`` over all thresholds and both orders. It
  is compared with a band of Dvoretzky, Kiefer and Wolfowitz. A sabotaged model, whose perturbation
  is 100 times too small for its budget, must exceed the band.
- "loss": the exact privacy loss at random perturbations, by the change of variables from the
  perturbation to the parameters. It includes the determinant of the map, which the proof of the
  theorem leaves out.
- "adult": accuracy on Adult for three epsilons, beside the plain model.
"""

import argparse
import time
import warnings
from contextlib import suppress
from unittest.mock import patch

import numpy as np
from bench_quality import adult
from scipy.special import expit
from scipy.stats import norm
from sklearn.model_selection import train_test_split

from sklearn_ssse import ErasableLogisticRegression, ErasureError
from sklearn_ssse._erasure.certificate import Certificate, largest_shift

EPSILON, DELTA = 0.5, 0.05
# Probability that a band does not hold, for all tests of a table together.
LEVEL = 0.01
SOLVER = {"solver": "newton-cholesky", "tol": 1e-8}


def small_data(n=120, d=3, seed=0):
    """Rows in the unit ball and noisy labels; the forget set is the first eighth."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    X /= np.linalg.norm(X, axis=1).max()
    y = (X @ np.full(d, 4.0) + rng.logistic(size=n) > 0).astype(int)
    return X, y, np.arange(n // 8)


def certified(X, y, std, **params):
    """A certified model without intercept."""
    given = {"curvature": "fisher", "fit_intercept": False, "certify": (EPSILON, DELTA)}
    model = ErasableLogisticRegression(**{**given, **SOLVER, **params}, certify_std=std)
    return model.fit(X, y)


def whole_budget(X, y, S):
    """The standard deviation whose budget one erasure spends in full, up to ten per cent."""
    std = 10.0
    for _ in range(20):
        model = certified(X, y, std)
        with patch.object(Certificate, "after", lambda self, bound: _Spent(self, bound)):
            model.unlearn(X[S], y[S])
        std = 1.1 * model.certificate_.bound / largest_shift(EPSILON, DELTA)
    return std


class _Spent(Certificate):
    """A certificate that no bound exceeds."""

    def __init__(self, before, bound):
        super().__init__(before.epsilon, before.delta, before.std)
        vars(self)["bound"] = bound


def outputs(X, y, S, std, draws):
    """Coefficients of erased and of retrained models, each (draws, d)."""
    keep = np.setdiff1d(np.arange(len(y)), S)
    erased = [certified(X, y, std).unlearn(X[S], y[S]).coef_[0] for _ in range(draws)]
    retrained = [certified(X[keep], y[keep], std).coef_[0] for _ in range(draws)]
    return np.array(erased), np.array(retrained)


def gradients(W, X, y):
    """Gradients of the objective without a perturbation at the coefficients (m, d)."""
    return (expit(W @ X.T) - y) @ X + W


def largest_excess(one, other):
    """Largest ``P(one > t) - e^eps P(other > t) - delta`` over t, in both orders and directions."""
    found = -1.0
    for sign in (1, -1):
        a = np.sort(sign * one)
        b = np.sort(sign * other)
        grid = np.concatenate([a, b])
        above_a = 1 - np.searchsorted(a, grid, side="right") / len(a)
        above_b = 1 - np.searchsorted(b, grid, side="right") / len(b)
        for p, q in ((above_a, above_b), (above_b, above_a)):
            found = max(found, float((p - np.exp(EPSILON) * q - DELTA).max()))
    return found


def excess_of(erased, retrained, X, y, S):
    """The largest excess over the coefficients and the direction of the likelihood ratio."""
    keep = np.setdiff1d(np.arange(len(y)), S)
    half = len(erased) // 2
    before = gradients(erased, X[keep], y[keep])
    after = gradients(retrained, X[keep], y[keep])
    shift = before[:half].mean(axis=0) - after[:half].mean(axis=0)
    shift /= np.linalg.norm(shift)
    pairs = zip(erased[half:].T, retrained[half:].T, strict=True)
    found = [largest_excess(*pair) for pair in pairs]
    return max([*found, largest_excess(before[half:] @ shift, after[half:] @ shift)])


def band(draws, n_projections):
    """Half-width of the excess: each of two empirical distributions is off by the DKW bound."""
    each = np.sqrt(np.log(2 * 2 * n_projections / LEVEL) / (2 * (draws // 2)))
    return (1 + np.exp(EPSILON)) * each


def table_outputs(draws):
    """Print the table "outputs"."""
    X, y, S = small_data()
    std = whole_budget(X, y, S)
    print(f"\n{len(y)} rows, {X.shape[1]} coefficients, {len(S)} erased, C = 1, {SOLVER}")
    print(f"epsilon {EPSILON}, delta {DELTA}, {draws} draws of each, std {std:.3g}")
    print(f"band {band(draws, X.shape[1] + 1):.3f}")
    print(f"certified: excess {excess_of(*outputs(X, y, S, std, draws), X, y, S):.3f}")
    with patch.object(Certificate, "after", lambda self, bound: self):
        sabotaged = outputs(X, y, S, std / 100, draws)
    print(f"perturbation 100 times too small: excess {excess_of(*sabotaged, X, y, S):.3f}")


def perturbed_minimum(X, y, penalty, b):
    """Minimum of the perturbed objective, (d,), by damped Newton steps."""
    theta = np.zeros(X.shape[1])
    for _ in range(60):
        p = expit(X @ theta)
        gradient = X.T @ (p - y) + penalty * theta + b
        step = np.linalg.solve(hessian(X, theta, penalty), gradient)
        theta = theta - step / max(1.0, np.abs(X @ step).max())
        if np.linalg.norm(step) < 1e-13 * (1 + np.linalg.norm(theta)):
            break
    return theta


def hessian(X, theta, penalty):
    """Hessian of the objective, (d, d)."""
    p = expit(X @ theta)
    return (X.T * (p * (1 - p))) @ X + np.diag(penalty)


def privacy_loss(X, y, S, penalty, std, rng):
    """The loss of one random perturbation, its part from the determinant, and the residual's norm.

    The erased model is the exact minimum of the objective on the retained rows for the perturbation
    ``b - u``, with u its residual. The loss is the logarithm of the density of b, minus that of
    ``b - u``, minus the logarithm of the determinant of the map from b to ``b - u``.
    """
    keep = np.setdiff1d(np.arange(len(y)), S)
    b = std * rng.standard_normal(X.shape[1])
    theta = perturbed_minimum(X, y, penalty, b)
    own = expit(X @ theta)
    all_rows = hessian(X, theta, penalty)
    retained = hessian(X[keep], theta, penalty)
    step = np.linalg.solve(retained, X[S].T @ (own[S] - y[S]))
    moved = theta + step
    p = expit(X[keep] @ moved)
    residual = X[keep].T @ (p - y[keep]) + penalty * moved + b
    third = own[keep] * (1 - own[keep]) * (1 - 2 * own[keep])
    change = (X[keep].T * (third * (X[keep] @ step))) @ X[keep]
    log_determinant = (
        np.linalg.slogdet(hessian(X[keep], moved, penalty))[1]
        - np.linalg.slogdet(retained)[1]
        + np.linalg.slogdet(all_rows - change)[1]
        - np.linalg.slogdet(all_rows)[1]
    )
    shifted = b - residual
    gaussian = (shifted @ shifted - b @ b) / (2 * std**2)
    return gaussian - log_determinant, -log_determinant, np.linalg.norm(residual)


def exact_delta(losses):
    """The smallest delta for EPSILON from losses, erased before retrained and the reverse."""
    forward = np.maximum(1 - np.exp(EPSILON - losses), 0).mean()
    backward = np.maximum(np.exp(-losses) - np.exp(EPSILON), 0).mean()
    return forward, backward


def table_loss(draws, cells):
    """Print the table "loss": std as certified, and as small as the residual allows."""
    X, y, S = small_data()
    rng = np.random.default_rng(1)
    penalty = np.ones(X.shape[1])
    std = whole_budget(X, y, S)
    mean = np.mean([privacy_loss(X, y, S, penalty, std, rng)[2] for _ in range(200)])
    for name, value in (("bound", std), ("residual", mean / largest_shift(EPSILON, DELTA))):
        found = np.array([privacy_loss(X, y, S, penalty, value, rng) for _ in range(draws)])
        losses, determinants, norms = found.T
        print(f"\nsmall data, std {value:.3g} from the {name}, {draws} perturbations")
        print(f"residual {norms.mean():.3g}, standard deviation {norms.std():.2g}")
        print(f"loss: largest {np.abs(losses).max():.3g}")
        print(f"of it from the determinant: largest {np.abs(determinants).max():.2g}")
        print("delta {:.3g} and {:.3g}".format(*exact_delta(losses)))
    X, y = adult()
    X = np.hstack([X, np.ones((len(y), 1))])
    penalty = np.append(np.full(X.shape[1] - 1, 100.0), 0.0)
    S = rng.choice(len(y), len(y) // 100, replace=False)
    for std in cells:
        found = np.array([privacy_loss(X, y, S, penalty, std, rng) for _ in range(20)])
        largest = np.abs(found).max(axis=0)
        print(
            f"Adult, C = .01, {len(S)} rows erased, std {std:g}: largest loss of 20 "
            f"{largest[0]:.2g}, determinant {largest[1]:.2g}, residual {largest[2]:.2g}"
        )


def table_adult(seeds):
    """Print the table "adult"."""
    X, y = adult()
    X = X.astype(np.float64)
    for C in (0.001, 0.01, 0.1, 1.0):
        for epsilon in (0.1, 1.0, 5.0):
            found = np.array([_adult_cell(X, y, C, epsilon, seed) for seed in range(seeds)])
            refused = int(np.isnan(found[:, 3]).sum())
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # if all calls are refused
                medians = np.nanmedian(found, axis=0)
            names = ("plain", "certified", "std", "spent", "truth", "seconds")
            text = ", ".join(f"{name} {v:.4g}" for name, v in zip(names, medians, strict=True))
            print(f"C {C:g}, epsilon {epsilon:g}: {text}, refused {refused}", flush=True)


def _adult_cell(X, y, C, epsilon, seed):
    """Figures of one certified model: accuracies, and what an erasure of 1 % of the rows spends."""
    train, test = train_test_split(np.arange(len(y)), test_size=0.2, random_state=seed)
    params = {"C": C, "curvature": "fisher", **SOLVER}
    plain = ErasableLogisticRegression(**params).fit(X[train], y[train])
    begun = time.perf_counter()
    model = ErasableLogisticRegression(**params, certify=(epsilon, 1e-5)).fit(X[train], y[train])
    seconds = time.perf_counter() - begun
    S = np.random.default_rng(seed).choice(train, len(train) // 100, replace=False)
    keep = np.setdiff1d(train, S)
    accuracy = model.score(X[test], y[test])
    spent = truth = np.nan
    with suppress(ErasureError):  # the budget does not suffice
        spent = model.unlearn(X[S], y[S]).erasures_[-1].certified_spent
        left = model._family().batch(X[keep], y[keep], np.ones(len(keep))).objective_gradient()
        truth = np.linalg.norm(left) / model.certificate_.budget
    return plain.score(X[test], y[test]), accuracy, model.certificate_.std, spent, truth, seconds


def constants():
    """Print the budget in standard deviations beside the classic one."""
    for delta in (1e-3, 1e-5, 1e-6):
        for epsilon in (0.1, 0.5, 1.0, 3.0, 5.0, 10.0):
            classic = epsilon / np.sqrt(2 * np.log(1.5 / delta))
            first = norm.cdf(classic / 2 - epsilon / classic)
            second = np.exp(epsilon + norm.logcdf(-classic / 2 - epsilon / classic))
            print(
                f"delta {delta:g}, epsilon {epsilon:g}: exact {largest_shift(epsilon, delta):.4f}, "
                f"classic {classic:.4f} with delta {first - second:.2g}"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", choices=["outputs", "loss", "adult", "constants"])
    parser.add_argument("--draws", type=int, default=3000)
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    if args.table in (None, "constants"):
        constants()
    if args.table in (None, "outputs"):
        table_outputs(args.draws)
    if args.table in (None, "loss"):
        table_loss(args.draws, cells=(10.0, 100.0))
    if args.table in (None, "adult"):
        table_adult(args.seeds)
