"""Accuracy of an erasure: distance ratios of `ErasableLogisticRegression` on real data.

``python examples/benchmarks/bench_quality.py`` prints the median and the worst distance ratio
``||erased - retrained|| / ||original - retrained||`` for each kind of forget set. 0 is perfect, and
1 is no better than doing nothing. The columns of the printed tables are

- eps = 1 with the empirical Fisher information,
- eps = "auto" with the empirical Fisher information,
- the best eps of a fine grid, which is known in hindsight only,
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


def theta(model):
    return np.hstack([model.coef_, model.intercept_[:, None]])


def compared(original, X, y, S):
    """The retrained model, the one erased with eps = 1, and their changes of the parameters.

    Returns
    -------
    retrained, erased : ErasableLogisticRegression
        Trained without the rows S, and erased from `original` with eps = 1.
    step, away : ndarray of shape (n_outputs, n_features + 1)
        Parameters of the erased and of the retrained model, minus the original parameters.
    """
    keep = np.setdiff1d(np.arange(len(y)), S)
    retrained = ErasableLogisticRegression(**PARAMS, unlearn_epsilon=1.0).fit(X[keep], y[keep])
    one = deepcopy(original).unlearn(X[S], y[S], 1.0)
    return retrained, one, theta(one) - theta(original), theta(retrained) - theta(original)


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
                retrained, one, step, away = compared(empirical, X, y, S)
                rows.append(
                    {
                        "data": name,
                        "forget set": kind,
                        "eps = 1": parameter_distance(empirical, one, retrained),
                        "auto": parameter_distance(
                            empirical, deepcopy(empirical).unlearn(X[S], y[S]), retrained
                        ),
                        "best eps": min(np.linalg.norm(e * step - away) for e in GRID)
                        / np.linalg.norm(away),
                        "fisher": parameter_distance(
                            fisher, deepcopy(fisher).unlearn(X[S], y[S]), retrained
                        ),
                        "fisher, lbfgs": parameter_distance(
                            default, deepcopy(default).unlearn(X[S], y[S]), retrained
                        ),
                    }
                )
    table = pd.DataFrame(rows)
    figures = ["eps = 1", "auto", "best eps", "fisher", "fisher, lbfgs"]
    for label, by in [("by forget set", "forget set"), ("by data set", "data")]:
        for what in ("median", "max"):
            print(f"\n{what} of the distance ratio {label}, {len(table)} erasures")
            print(
                table.groupby(by, sort=False)[figures]
                .agg(what)
                .to_string(float_format="{:.2f}".format)
            )
    print(f"\nauto / best eps, median: {(table['auto'] / table['best eps']).median():.2f}")


if __name__ == "__main__":
    main()
