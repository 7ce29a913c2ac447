"""Accuracy and time of erasures from multi-layer perceptrons.

``python examples/benchmarks/bench_network.py`` prints, for each kind of forget set, the largest gap
to retraining from the same seed among the accuracies on forget, retained and test rows. The columns
of the printed tables are the default erasure with both curvatures, doing nothing, and retraining
with another seed. The values are medians over data sets, nets and seeds. The last lines print the
largest difference between the gap of an erasure and the gap of doing nothing.

The nets are trained by adam, lbfgs or sgd with the default tolerance 1e-4.

digits and 6,000 rows of Adult are available without a download. ``--mnist FILE`` adds MNIST from a
CSV file with the label last. ``--fashion DIRECTORY`` adds 10,000 rows of Fashion-MNIST from its idx
files.

``--tuned`` adds two columns for each curvature. "tuned" is an erasure with the multiple of "auto"
that `TunedEpsilonCV` chooses by probabilities on three other sets of the same kind. "in hindsight"
is the best multiple of its grid for each set; no single multiple for all sets of a kind can be
better.
"""

import argparse
import gzip
import platform
import time
import warnings
from copy import deepcopy
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn
from bench_quality import adult
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from sklearn_ssse import ErasableMLPClassifier, ErasureError, ErasureWarning, TunedEpsilonCV
from sklearn_ssse._erasure import RELATIVE_GRID

NETS = {
    "50, adam": {"hidden_layer_sizes": (50,)},
    "50-50, adam": {"hidden_layer_sizes": (50, 50), "max_iter": 60},
    "32-32-32 tanh, adam": {
        "hidden_layer_sizes": (32, 32, 32),
        "activation": "tanh",
        "max_iter": 40,
    },
    "30, lbfgs": {"hidden_layer_sizes": (30,), "solver": "lbfgs", "alpha": 0.1},
    "50, sgd": {
        "hidden_layer_sizes": (50,),
        "solver": "sgd",
        "learning_rate_init": 0.1,
        "max_iter": 60,
    },
}
CURVATURES = ("empirical_fisher", "fisher")


def data_sets(mnist, fashion):
    X, y = load_digits(return_X_y=True)
    yield "digits", X / 16, y
    X, y = adult()
    rows = np.random.default_rng(0).choice(len(y), 6000, replace=False)
    yield "Adult", X[rows], y[rows]
    if mnist:
        table = pd.read_csv(mnist, header=None).to_numpy()
        yield "MNIST", table[:, :-1] / 255, table[:, -1].astype(int)
    if fashion:
        images, labels = (
            _idx(next(Path(fashion).glob(f"train-{kind}*"))) for kind in ("images", "labels")
        )
        yield (
            "Fashion-MNIST",
            images[16:].reshape(-1, 784)[:10_000] / 255,
            labels[8:][:10_000].astype(int),
        )


def _idx(path):
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), np.uint8)


def forget_sets(y, seed):
    rng = np.random.default_rng(seed)
    members = rng.permutation(np.flatnonzero(y == rng.choice(np.unique(y))))
    yield "whole class", members
    yield "90 % of a class", members[: int(0.9 * len(members))]
    yield "half of a class", members[: len(members) // 2]
    yield "random 5 %", rng.choice(len(y), len(y) // 20, replace=False)
    yield "random 1 %", rng.choice(len(y), len(y) // 100, replace=False)


def tuned(model, X, y, kind, seed):
    """The eps for a kind of forget set, tuned by probabilities on three other sets of that kind."""
    folds = []
    all_rows = np.arange(len(y))
    seen = set()
    for other in range(1000 + 100 * seed, 2000 + 100 * seed):
        S = dict(forget_sets(y, other))[kind]
        label = other if kind.startswith("random") else y[S[0]]
        if label not in seen and len(folds) < 3:
            seen.add(label)
            folds.append((np.setdiff1d(all_rows, S), S))
    search = TunedEpsilonCV(model, cv=folds, metric="probability", refit=False)
    try:
        return search.fit(X, y).best_epsilon_
    except ErasureError:
        return np.nan  # an invalid eps, which `gap_at` turns into a gap of nan


def gap(model, retrained, *parts):
    return max(abs(model.score(X, y) - retrained.score(X, y)) for X, y in parts)


def gap_at(epsilon, fitted, X, y, S, retrained, parts):
    """The gap of an erasure with the given eps; nan if the erasure is refused."""
    model = deepcopy(fitted).set_params(unlearn_epsilon=epsilon)
    try:
        return gap(model.unlearn(X[S], y[S]), retrained, *parts)
    except ErasureError:
        return np.nan


def quality(args):
    rows = []
    for name, X, y in data_sets(args.mnist, args.fashion):
        X, X_test, y, y_test = train_test_split(X, y, random_state=0, stratify=y)
        for net, params in NETS.items():
            for seed in range(args.seeds):
                fitted = {
                    c: ErasableMLPClassifier(**params, random_state=seed, curvature=c).fit(X, y)
                    for c in CURVATURES
                }
                for kind, S in forget_sets(y, seed):
                    keep = np.setdiff1d(np.arange(len(y)), S)
                    if len(np.unique(y[keep])) < 2:
                        continue  # a model cannot be trained on a single class
                    parts = (X[S], y[S]), (X[keep], y[keep]), (X_test, y_test)
                    retrained, other = (
                        MLPClassifier(**params, random_state=s).fit(X[keep], y[keep])
                        for s in (seed, seed + 100)
                    )
                    row = {"data": name, "net": net, "forget set": kind, "seed": seed}
                    for c in CURVATURES:
                        row[c] = gap_at("auto", fitted[c], X, y, S, retrained, parts)
                        if args.tuned:
                            eps = tuned(clone(fitted[c]), X, y, kind, seed)
                            row[f"{c}, tuned"] = gap_at(eps, fitted[c], X, y, S, retrained, parts)
                            row[f"{c}, in hindsight"] = np.nanmin(
                                [
                                    gap_at(eps, fitted[c], X, y, S, retrained, parts)
                                    for eps in RELATIVE_GRID.epsilons
                                ]
                            )
                    rows.append(
                        row
                        | {
                            "nothing": gap(fitted[CURVATURES[0]], retrained, *parts),
                            "other seed": gap(other, retrained, *parts),
                        }
                    )
        print(f"{name} done", flush=True)
    return pd.DataFrame(rows)


def speed():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((5000, 90))
    y = (X[:, :10] @ rng.standard_normal((10, 10)) + rng.standard_normal((5000, 10))).argmax(axis=1)
    start = time.perf_counter()
    MLPClassifier((100,), random_state=0).fit(X[10:], y[10:])
    refit = time.perf_counter() - start
    start = time.perf_counter()
    model = ErasableMLPClassifier((100,), random_state=0).fit(X, y)
    fit = time.perf_counter() - start
    seconds = []
    for i in range(10):
        rows = slice(10 * i, 10 * i + 10)
        copy = deepcopy(model)
        start = time.perf_counter()
        copy.unlearn(X[rows], y[rows])
        seconds.append(time.perf_counter() - start)
    d = model.curvature_.n_parameters
    kept = model.curvature_.nbytes / 1e6
    erase = float(np.median(seconds))
    print(
        f"{d:,} parameters, {model.structure_}, {kept:.0f} MB: refit {refit:.1f} s, "
        f"fit with the curvature {fit:.1f} s"
    )
    print(
        f"erasing 10 rows: {1e3 * erase:.1f} ms, {refit / erase:,.0f} times faster than the refit"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--mnist")
    parser.add_argument("--fashion")
    parser.add_argument("--tuned", action="store_true")
    args = parser.parse_args()
    warnings.simplefilter("ignore", ErasureWarning)
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(
        f"{platform.machine()}, Python {platform.python_version()}, "
        f"scikit-learn {sklearn.__version__}"
    )
    speed()
    table = quality(args)
    columns = table.columns.drop(["data", "net", "forget set", "seed"])
    for by in (["forget set"], ["data", "forget set"], ["net", "forget set"]):
        print(table.groupby(by, sort=False)[columns].median().round(3).to_string())
    for c in CURVATURES:
        worse = table[c] - table["nothing"]
        many = (worse > 0.05).sum()
        refused = table[c].isna().sum()
        print(
            f"{c}: at most {worse.max():.3f} worse than nothing, more than .05 worse in {many} of "
            f"{len(table)}; refused {refused}"
        )
        print(table[worse > 0.05].round(3).to_string(index=False))


if __name__ == "__main__":
    main()
