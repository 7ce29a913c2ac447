"""Ablation of the constants of the automatic eps and damping of nets.

``python examples/benchmarks/bench_ablation_network.py`` trains nets on digits and breast cancer,
erases five kinds of forget sets and retrains without them. Then it sets one constant at a time to
another value, calibrates again, and prints the medians of the largest gap to retraining among the
accuracies on forget, retain and test rows, by kind of forget set, and the number of erasures that
end more than .05 farther from retraining than doing nothing (column "farther").

``--adult`` adds 6,000 rows of Adult (10 min on one core), ``--nets N`` takes fewer nets,
``--seeds N`` more seeds, ``--only NAME`` a single constant. docs/constants_network.md has the
figures of more sets.
"""

import argparse
import warnings
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pandas as pd
from bench_network import NETS, data_sets, forget_sets, gap
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import scale

from sklearn_ssse import ErasableMLPClassifier, ErasureError, ErasureWarning
from sklearn_ssse._calibration import neighbors, network
from sklearn_ssse._gradients import CURVATURES

KINDS = ["whole class", "90 % of a class", "half of a class", "random 5 %", "random 1 %"]
# Constant, the module that holds it, its purpose, and the values that are tried beside its own.
CONSTANTS = [
    ("SEARCHED", network, "range of every search", [(0.1, 10.0), (0.001, 1000.0)]),
    ("N_POINTS", network, "points of a search", [5, 10, 40]),
    ("SMALLEST_SHIFT", network, "least effect of a rarer class", [0.0, 1.0, 1.5, 2.0]),
    ("TOLERANCE", network, "rest of a vanishing class", [0.0, 0.01, 0.05, 1.0]),
    ("N_RANDOM", network, "number of random sets", [2, 4, 16]),
    ("RANDOM_ROWS", network, "rows and weight of a random set", [1, 16, 64]),
    ("MAX_ROWS", neighbors, "rows that neighbours predict", [200, 500]),
    ("N_NEIGHBORS", neighbors, "neighbours of a row", [1, 5, 15]),
]
# Values of `network_damping`, for both curvatures, that are tried beside their own.
DAMPINGS = [1e-3, 3e-3, 1e-2]
# Parts of the rule that are left out: name, object, attribute, and the function that replaces it.
PARTS = [
    ("without neighbours", neighbors, "_by_neighbors", lambda *args: 0.0),
    ("without ridge regression", neighbors, "_by_regression", lambda *args: 0.0),
    ("without the cost of a step", network.HeldOut, "_cost", lambda *args: 0.0),
    ("without the temperature", network, "_temperature", lambda *args: 1.0),
]


def small_data_sets(adult):
    for name, X, y in data_sets(None, None):
        if name == "digits" or adult:
            yield name, X, y
    X, y = load_breast_cancer(return_X_y=True)
    yield "breast cancer", scale(X), y


def cases(args):
    """Data, models of both curvatures, and forget sets with retrained nets, for each net."""
    for name, X, y in small_data_sets(args.adult):
        X, X_test, y, y_test = train_test_split(X, y, random_state=0, stratify=y)
        for net, params in list(NETS.items())[: args.nets]:
            for seed in range(args.seeds):
                trained = MLPClassifier(**params, random_state=seed).fit(X, y)
                models = [
                    ErasableMLPClassifier.from_estimator(trained, X, y, curvature=c)
                    for c in CURVATURES
                ]
                sets = []
                for kind, S in forget_sets(y, seed):
                    keep = np.setdiff1d(np.arange(len(y)), S)
                    if len(np.unique(y[keep])) < 2:
                        continue
                    parts = (X[S], y[S]), (X[keep], y[keep]), (X_test, y_test)
                    retrained = MLPClassifier(**params, random_state=seed).fit(X[keep], y[keep])
                    sets.append((kind, S, parts, retrained, gap(trained, retrained, *parts)))
                print(f"{name}, {net}, seed {seed}: trained", flush=True)
                yield X, y, models, sets


def calibrated(model, X, y, anew):
    """A copy of the model, calibrated with the present constants; ``anew`` with a new curvature."""
    model = deepcopy(model)
    if anew:
        return model.fit_curvature(X, y)
    state = model._erasure_state
    batch = model._family().batch(X, y, np.ones(len(y)))
    model._erasure_state = replace(
        state, calibration=model._calibrate(batch, model.curvature_, state)
    )
    return model


def evaluate(trained, anew=False):
    """Medians of the gaps by kind of forget set, and counts, with the present constants."""
    rows = []
    for X, y, models, sets in trained:
        for model in models:
            model = calibrated(model, X, y, anew)
            for kind, S, parts, retrained, nothing in sets:
                try:
                    ours = gap(deepcopy(model).unlearn(X[S], y[S]), retrained, *parts)
                except ErasureError:
                    ours = np.nan
                rows.append((kind, ours, nothing))
    table = pd.DataFrame(rows, columns=["kind", "gap", "nothing"])
    medians = table.groupby("kind").gap.median().reindex(KINDS)
    farther = int((table.gap - table.nothing > 0.05).sum())
    return {
        **medians.round(3),
        "mean": round(table.gap.mean(), 4),
        "farther": farther,
        "refused": int(table.gap.isna().sum()),
    }


def variations(only):
    """Name, value, own value, purpose and patches of each variation."""
    if only in (None, "network_damping"):
        own = {name: curvature.network_damping for name, curvature in CURVATURES.items()}
        for value in DAMPINGS:
            changed = {
                name: curvature._replace(network_damping=value)
                for name, curvature in CURVATURES.items()
            }
            patches = [patch.dict(CURVATURES, changed)]
            yield "network_damping", value, own, "ridge of the curvature", patches
    for name, module, purpose, values in CONSTANTS:
        for value in values:
            if only in (None, name):
                patches = [
                    patch.object(target, name, value)
                    for target in (network, neighbors)
                    if hasattr(target, name)
                ]
                yield name, value, getattr(module, name), purpose, patches
    for name, target, attribute, value in PARTS:
        if only in (None, name):
            yield name, "", "", "part of the rule", [patch.object(target, attribute, value)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--nets", type=int, default=len(NETS))
    parser.add_argument("--adult", action="store_true")
    parser.add_argument("--only")
    args = parser.parse_args()
    warnings.simplefilter("ignore", ErasureWarning)
    warnings.simplefilter("ignore", ConvergenceWarning)
    trained = list(cases(args))
    rows = [{"constant": "as it is", **evaluate(trained)}]
    for name, value, own, purpose, patches in variations(args.only):
        with ExitStack() as stack:
            for replacement in patches:
                stack.enter_context(replacement)
            result = evaluate(trained, anew=name == "network_damping")
        rows.append({"constant": name, "own": own, "tried": value, "purpose": purpose, **result})
        print(f"{name} = {value} done", flush=True)
    print(pd.DataFrame(rows).to_string(index=False, na_rep=""))


if __name__ == "__main__":
    main()
