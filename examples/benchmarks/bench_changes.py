"""Accuracy of adding and of correcting rows, compared with training again on the right rows.

``python examples/benchmarks/bench_changes.py`` prints medians of the distance ratio
``||changed - retrained|| / ||original - retrained||`` (0 is perfect, 1 is no better than doing
nothing) over digits, breast cancer, wine and 4,000 rows of Adult. The columns of the printed table
are

- "empirical_fisher": the empirical Fisher information with eps = "auto",
- "best eps": the same with the best eps of a grid, which is known in hindsight only,
- "fisher": the Fisher information with its default parameters,
- "erase, ...": for corrections only, the distance ratio of an erasure of the wrong rows to a model
  trained without them.

Data columns are standardised or one-hot. The models have the default C and are trained by
newton-cholesky with tolerance 1e-10.

``--nets`` prints results for four small nets on digits and breast cancer: the largest gap to
retraining from the same seed among the accuracies on changed, other and test rows. Its columns are
the change with "fisher", doing nothing, and retraining with another seed. The nets are trained by
adam, lbfgs or sgd with the default tolerance 1e-4.
"""

import argparse
import warnings
from copy import deepcopy

import numpy as np
import pandas as pd
from bench_network import gap
from bench_quality import GRID, PARAMS, data_sets
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import scale

from sklearn_ssse import (
    ErasableLogisticRegression,
    ErasableMLPClassifier,
    ErasureError,
    ErasureWarning,
    parameter_distance,
)

NETS = {
    "30, adam": {"hidden_layer_sizes": (30,)},
    "32-32, adam": {"hidden_layer_sizes": (32, 32), "max_iter": 60},
    "15, lbfgs": {"hidden_layer_sizes": (15,), "solver": "lbfgs", "alpha": 0.1},
    "30, sgd": {
        "hidden_layer_sizes": (30,),
        "solver": "sgd",
        "learning_rate_init": 0.1,
        "max_iter": 60,
    },
}


def learned_sets(y, seed, shares):
    rng = np.random.default_rng(seed)
    for share in (0.01, 0.05, *shares):
        yield f"random {share:.0%}", rng.choice(len(y), max(1, int(share * len(y))), replace=False)
    members = rng.permutation(np.flatnonzero(y == rng.choice(np.unique(y))))
    yield "half of a class", members[: len(members) // 2]
    if shares:
        yield "90 % of a class", members[: int(0.9 * len(members))]


def with_others(y, rows, seed):
    """The labels, with wrong ones in the given rows."""
    out = y.copy()
    classes = np.unique(y)
    shift = np.random.default_rng(seed).integers(1, len(classes), len(rows))
    out[rows] = classes[(np.searchsorted(classes, y[rows]) + shift) % len(classes)]
    return out


def changes(X, y, seed, shares=()):
    """Triples of a change: its name, its rows S, and the data before the change.

    The data before the change is None for added rows; for corrected rows, it is the pair (X, y) in
    which the rows S are wrong.
    """
    for kind, S in learned_sets(y, seed, shares):
        yield f"learn {kind}", S, None
        if kind in ("random 1%", "random 5%"):
            yield f"correct the labels, {kind}", S, (X, with_others(y, S, seed))
            Xw = X.copy()
            Xw[S, 2] += 2.0
            yield f"correct a feature, {kind}", S, (Xw, y)


def changed(model, X, y, S, before, epsilon=None):
    model = deepcopy(model)
    if before is None:
        return model.learn(X[S], y[S], epsilon)
    return model.rectify(before[0][S], before[1][S], X[S], y[S], epsilon)


def linear(seeds):
    rows = []
    for name, X, y in data_sets():
        if name == "Adult":
            some = np.random.default_rng(0).choice(len(y), 4000, replace=False)
            X = X[some]
            y = y[some]
        retrained = ErasableLogisticRegression(**PARAMS, curvature="fisher").fit(X, y)
        for seed in range(seeds):
            for kind, S, before in changes(X, y, seed):
                keep = np.setdiff1d(np.arange(len(y)), S)
                if before is None and len(np.unique(y[keep])) < len(np.unique(y)):
                    continue
                X_fit, y_fit = (X[keep], y[keep]) if before is None else before
                row = {"change": kind}
                for curvature in ("empirical_fisher", "fisher"):
                    model = ErasableLogisticRegression(**PARAMS, curvature=curvature).fit(
                        X_fit, y_fit
                    )
                    row[curvature] = parameter_distance(
                        model, changed(model, X, y, S, before), retrained
                    )
                    if curvature == "empirical_fisher":
                        # The parameters after the step are an affine function of eps.
                        one = changed(model, X, y, S, before, 1.0)
                        start, end = (
                            np.hstack([m.coef_, m.intercept_[:, None]]) for m in (model, one)
                        )
                        away = np.hstack([retrained.coef_, retrained.intercept_[:, None]]) - start
                        ratios = [np.linalg.norm(eps * (end - start) - away) for eps in GRID]
                        row["best eps"] = min(ratios) / np.linalg.norm(away)
                    if before is not None:
                        without = ErasableLogisticRegression(**PARAMS, curvature=curvature).fit(
                            X[keep], y[keep]
                        )
                        erased = deepcopy(model).unlearn(X_fit[S], y_fit[S])
                        row[f"erase, {curvature}"] = parameter_distance(model, erased, without)
                rows.append(row)
    return pd.DataFrame(rows).groupby("change", sort=False).median().round(3)


def nets(seeds):
    rows = []
    for name, load in (("digits", load_digits), ("breast cancer", load_breast_cancer)):
        X, y = load(return_X_y=True)
        X = X / 16 if name == "digits" else scale(X)
        X, X_test, y, y_test = train_test_split(X, y, random_state=0, stratify=y)
        for params in NETS.values():
            for seed in range(seeds):
                retrained, other = (
                    MLPClassifier(**params, random_state=s).fit(X, y) for s in (seed, seed + 100)
                )
                for kind, S, before in changes(X, y, seed, (0.2,)):
                    keep = np.setdiff1d(np.arange(len(y)), S)
                    X_fit, y_fit = (X[keep], y[keep]) if before is None else before
                    model = ErasableMLPClassifier(
                        **params, random_state=seed, curvature="fisher"
                    ).fit(X_fit, y_fit)
                    parts = (X[S], y[S]), (X[keep], y[keep]), (X_test, y_test)
                    try:
                        ours = gap(changed(model, X, y, S, before), retrained, *parts)
                    except ErasureError:
                        ours = np.nan
                    gaps = {"fisher": ours, "nothing": gap(model, retrained, *parts)}
                    rows.append(
                        {"data": name, "change": kind}
                        | gaps
                        | {"other seed": gap(other, retrained, *parts)}
                    )
    table = pd.DataFrame(rows).groupby(["data", "change"], sort=False)
    return table.median().join(table["fisher"].max().rename("worst")).round(3)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--nets", action="store_true")
    args = parser.parse_args()
    warnings.simplefilter("ignore", ErasureWarning)
    warnings.simplefilter("ignore", ConvergenceWarning)
    print((nets if args.nets else linear)(args.seeds).to_string())


if __name__ == "__main__":
    main()
