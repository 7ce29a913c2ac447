"""Accuracy of an erasure: distance ratios of `ErasableLogisticRegression` on real data.

``python examples/benchmarks/bench_quality.py`` prints the median and the worst distance ratio
``||erased - retrained|| / ||original - retrained||`` for each kind of forget set, in the Euclidean
norm and in the norm of the Hessian of the retained rows. 0 is perfect, and 1 is no better than
doing nothing. The columns of the printed tables are

- eps = 1 with the empirical Fisher information,
- eps = "auto" with the empirical Fisher information,
- the best eps of a fine grid for the norm of the table, which is known in hindsight only,
- the Fisher information with its default parameters,
- the same for a model that was trained by the default solver, lbfgs, with its tolerance 1e-4. The
  retrained model is the converged one.

The data sets are digits, breast cancer, wine and Adult, with standardised or one-hot columns. The
models have the default C. All but the last are trained by newton-cholesky with tolerance 1e-10.
"""

import argparse
import warnings
from copy import deepcopy
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.preprocessing import OneHotEncoder, StandardScaler, scale

from sklearn_ssse import ErasableLogisticRegression, ErasureWarning, parameter_distance

PARAMS = {"solver": "newton-cholesky", "tol": 1e-10}
GRID = np.geomspace(0.02, 20, 80)
NORMS = ("euclidean", "hessian")


def adult():
    path = Path(__file__).resolve().parents[1] / "data" / "adult.csv.gz"
    frame = pd.read_csv(path, index_col=0, skipinitialspace=True)
    y = (frame.pop("income") == ">50K").to_numpy().astype(int)
    encode = make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include="number")),
        (OneHotEncoder(sparse_output=False), make_column_selector(dtype_exclude="number")),
    )
    return encode.fit_transform(frame), y


def data_sets():
    yield "Adult", *adult()
    for name, load in [
        ("digits", load_digits),
        ("breast cancer", load_breast_cancer),
        ("wine", load_wine),
    ]:
        X, y = load(return_X_y=True)
        yield name, scale(X), y


def forget_sets(y, seed):
    rng = np.random.default_rng(seed)
    members = np.flatnonzero(y == rng.choice(np.unique(y)))
    yield "random 1 %", rng.choice(len(y), max(1, len(y) // 100), replace=False)
    yield "random 5 %", rng.choice(len(y), len(y) // 20, replace=False)
    yield "half of a class", rng.choice(members, len(members) // 2, replace=False)


def retrain(X, y, S):
    """The model trained without the rows S."""
    keep = np.setdiff1d(np.arange(len(y)), S)
    return ErasableLogisticRegression(**PARAMS, unlearn_epsilon=1.0).fit(X[keep], y[keep])


def distances(original, retrained, X, y, S, norm):
    """Functions of eps: the model without the rows S, and its distance ratio in a norm."""
    keep = np.setdiff1d(np.arange(len(y)), S)

    def erased(eps=None):
        return deepcopy(original).unlearn(X[S], y[S], eps)

    def ratio(eps=None):
        return parameter_distance(original, erased(eps), retrained, X[keep], norm=norm)

    return erased, ratio


def best_eps(ratio):
    """The eps of ``GRID`` with the smallest distance ratio, and this ratio.

    The square of the ratio is a quadratic function of eps, with the value 1 at eps = 0. Two values
    of eps determine it.
    """
    one = ratio(1.0) ** 2
    two = ratio(2.0) ** 2
    second = (two - 2 * one + 1) / 2
    first = one - 1 - second
    squares = 1 + first * GRID + second * GRID**2
    best = int(np.argmin(squares))
    return GRID[best], np.sqrt(max(squares[best], 0.0))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    warnings.simplefilter("ignore", ErasureWarning)
    rows = []
    for name, X, y in data_sets():
        empirical = ErasableLogisticRegression(**PARAMS).fit(X, y)
        fisher = ErasableLogisticRegression(**PARAMS, curvature="fisher").fit(X, y)
        default = ErasableLogisticRegression(curvature="fisher").fit(X, y)
        for seed in range(seeds):
            for kind, S in forget_sets(y, seed):
                retrained = retrain(X, y, S)
                for norm in NORMS:
                    ratios = [
                        distances(model, retrained, X, y, S, norm)[1]
                        for model in (empirical, fisher, default)
                    ]
                    rows.append(
                        {
                            "data": name,
                            "forget set": kind,
                            "norm": norm,
                            "eps = 1": ratios[0](1.0),
                            "auto": ratios[0](),
                            "best eps": best_eps(ratios[0])[1],
                            "fisher": ratios[1](),
                            "fisher, lbfgs": ratios[2](),
                        }
                    )
    table = pd.DataFrame(rows)
    figures = ["eps = 1", "auto", "best eps", "fisher", "fisher, lbfgs"]
    for norm, part in table.groupby("norm", sort=False):
        for label, by in [("by forget set", "forget set"), ("by data set", "data")]:
            for what in ("median", "max"):
                print(f"\n{what} of the distance ratio {label}, {norm} norm, {len(part)} erasures")
                print(
                    part.groupby(by, sort=False)[figures]
                    .agg(what)
                    .to_string(float_format="{:.2f}".format)
                )
        print(f"\nauto / best eps, median: {(part['auto'] / part['best eps']).median():.2f}")


if __name__ == "__main__":
    main()
