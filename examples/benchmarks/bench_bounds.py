"""Bounds without data: the bound divided by the true value, and the time that bounds take.

Tables, chosen by ``--table``:

one
    One call for two classes: 1 row to 20 % of the rows, at random and of one class.
streams
    Sums of the bounds over 20 calls.
classes
    One-vs-rest and multinomial models of three to ten classes, one call and 20 calls.
times
    Time of `fit_curvature` and of `unlearn` of ten rows with the bounds and without.

The true values are the norm of the gradient of the penalised objective on the retained rows, and
the distance to the retrained parameters in the norm of the Hessian of the retained rows.
Retraining is by Newton steps until rounding stops them.

Run with ``python examples/benchmarks/bench_bounds.py --table one``; ``--table all`` prints all.
"""

import argparse
import time
import warnings
from copy import deepcopy

import numpy as np
import pandas as pd
from scipy.special import softmax
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import scale
from stream_data import against_the_rest, carried_sets, census, scaled, some_digits

from sklearn_ssse import ErasableLogisticRegression, ErasureError, ErasureWarning, unlearn

PENALTIES = [0.01, 1.0, 100.0]
SOLVERS = {
    "newton-cholesky, tol 1e-10": {"solver": "newton-cholesky", "tol": 1e-10},
    "lbfgs, tol 1e-4": {"solver": "lbfgs", "tol": 1e-4, "max_iter": 1000},
}
# Label of each kind of step: `order` of the fit and of the erasure, and `bounds`.
STEPS = {
    "Newton": (1, 1, True),
    "Newton, bounds='all'": (1, 1, "all"),
    "Newton, third derivatives kept": (2, 1, True),
    "Halley": (2, 2, True),
}
RANDOM_SHARES = [0.0, 0.01, 0.05, 0.2]
CLASS_SHARES = [0.01, 0.05, 0.2]
STREAM_SHARES = [0.05, 0.2]
N_CALLS = 20
# Rows of the larger data sets.
MAX_ROWS = 20_000
# Columns up to which the third derivatives are measured.
MAX_COLUMNS = 64
NEWTON_STEPS = 100
# Rows and columns of the table of times, and the largest product with steps of second order.
SIZES = [(150, 5), (569, 30), (5_000, 100), (200_000, 100), (3_000, 1_000)]
LARGEST_SECOND_ORDER = 100_000


def two_classes():
    """The real data sets of two classes, by name; several are parts of one data set."""
    X, progression = load_diabetes(return_X_y=True)
    digits, digit = scaled(load_digits)
    found = {
        "breast cancer": scaled(load_breast_cancer),
        **{f"wine {c}": against_the_rest(load_wine, c) for c in range(3)},
        **{f"iris {c}": against_the_rest(load_iris, c) for c in range(1, 3)},
        "diabetes": (scale(X), (progression > np.median(progression)).astype(int)),
        "digits 3 or 8": some_digits([3, 8], 30),
        "digits 1 or 7": some_digits([1, 7], 20),
        "digits 4 or 9": some_digits([4, 9], 30),
        "digits below 5": (digits, (digit < 5).astype(int)),
        "Adult": census(),
    }
    for name, (X, y) in carried_sets().items():
        binary = (y == np.bincount(y).argmax()).astype(int)
        found[name] = (X[:MAX_ROWS], binary[:MAX_ROWS])
    return found


def several_classes():
    """The real data sets of three to ten classes, by name."""
    return {
        "iris": scaled(load_iris),
        "wine": scaled(load_wine),
        "digits 0 to 2": some_digits([0, 1, 2], 15),
        "digits 5 to 9": some_digits([5, 6, 7, 8, 9], 15),
        "digits": some_digits(range(10), 20),
    }


def derivatives(Z, theta, target, penalty):
    """Gradient (K d,) and Hessian (K d, K d) of the penalised objective, summed over rows.

    A model of two classes has one output, that of the second class.
    """
    outputs = Z @ theta.T
    is_binary = len(theta) == 1
    p = softmax(np.hstack([np.zeros_like(outputs), outputs]) if is_binary else outputs, axis=1)
    p = p[:, -len(theta) :]
    gradient = (p - target).T @ Z + penalty * theta
    d = Z.shape[1]
    hessian = np.diag(np.tile(penalty, len(theta)))
    for a in range(len(theta)):
        for b in range(a + 1):
            block = (Z * (p[:, a] * ((a == b) - p[:, b]))[:, np.newaxis]).T @ Z
            hessian[a * d : (a + 1) * d, b * d : (b + 1) * d] += block
            if a != b:
                hessian[b * d : (b + 1) * d, a * d : (a + 1) * d] += block.T
    return gradient.ravel(), hessian


def true_values(model, X, y):
    """Norm of the gradient on the retained rows, and distance to the retrained parameters.

    The distance is only computed for two classes; nan for more.
    """
    Z = np.hstack([X, np.ones((len(X), 1))])
    theta = np.hstack([model.coef_, model.intercept_[:, np.newaxis]])
    target = (y[:, np.newaxis] == model.classes_[-len(theta) :]).astype(float)
    penalty = np.append(np.full(X.shape[1], 1 / model.C), 0.0)
    gradient, hessian = derivatives(Z, theta, target, penalty)
    norm = float(np.linalg.norm(gradient))
    if len(theta) > 1:
        return norm, np.nan
    retrained = theta.copy()
    size = np.inf
    for _ in range(NEWTON_STEPS):
        g, H = derivatives(Z, retrained, target, penalty)
        step = np.linalg.solve(H, g)
        if step @ H @ step >= size:
            break
        size = step @ H @ step
        retrained -= step
    apart = (theta - retrained).ravel()
    return norm, float(np.sqrt(apart @ hessian @ apart))


def forget_sets(y, seed):
    """Kind and positions of each forget set."""
    rng = np.random.default_rng(seed)
    for share in RANDOM_SHARES:
        kind = f"random {share:.0%}" if share else "1 row"
        yield kind, rng.choice(len(y), max(1, int(share * len(y))), replace=False)
    for share in CLASS_SHARES:
        members = np.flatnonzero(y == rng.choice(np.unique(y)))
        k = min(max(1, int(share * len(y))), len(members) // 2)
        yield f"one class {share:.0%}", rng.choice(members, k, replace=False)


def stream_sets(y, seed):
    """Kind and positions of the forget rows of each stream."""
    rng = np.random.default_rng(seed)
    for share in STREAM_SHARES:
        k = max(N_CALLS, int(share * len(y)))
        yield f"random {share:.0%}", rng.choice(len(y), k, replace=False)


def sub_models(model):
    """The logistic regressions of a model, each with a function of the labels that it sees."""
    if isinstance(model, OneVsRestClassifier):
        for c, own in zip(model.classes_, model.estimators_, strict=True):
            yield own, lambda y, c=c: (y == c).astype(int)
    else:
        yield model, lambda y: y


def ratios(original, X, y, S, n_calls):
    """Ratio of each bound to the true value; None if a call is refused."""
    model = deepcopy(original)
    try:
        for part in np.array_split(S, n_calls):
            model = unlearn(model, X[part], y[part])
    except ErasureError:
        return None
    retained = np.ones(len(y), dtype=bool)
    retained[S] = False
    found = []
    for own, labels in sub_models(model):
        bound = own.erasure_budget_
        norm, distance = true_values(own, X[retained], labels(y[retained]))
        parameters = np.nan if bound.parameters is None else bound.parameters / distance
        found.append({"gradient": bound.gradient / norm, "parameters": parameters})
    return found


def measured(sets, fitted, stream, seeds):
    """One row for each erased model, for a function that fits models by name."""
    rows = []
    for data, (X, y) in sets.items():
        for C in PENALTIES:
            for name, original in fitted(X, y, C):
                for seed in range(seeds):
                    for kind, S in (stream_sets if stream else forget_sets)(y, seed):
                        found = ratios(original, X, y, S, N_CALLS if stream else 1)
                        labels = {"model": name, "data": data, "C": C, "kind": kind}
                        rows += [labels | own for own in found or [{"refused": True}]]
    return pd.DataFrame(rows)


def fitted_binary(X, y, C):
    """Models of two classes, by name."""
    for solver, params in SOLVERS.items():
        for step, (order, at_erasure, bounds) in STEPS.items():
            if order == 2 and X.shape[1] > MAX_COLUMNS:
                continue
            own = params | {"C": C, "curvature": "fisher", "order": order, "bounds": bounds}
            model = ErasableLogisticRegression(**own)
            yield f"{step}; {solver}", model.fit(X, y).set_params(order=at_erasure)


def fitted_several(X, y, C):
    """One-vs-rest and multinomial models, by name."""
    for solver, params in SOLVERS.items():
        model = ErasableLogisticRegression(C=C, curvature="fisher", order=1, **params)
        yield f"one-vs-rest; {solver}", OneVsRestClassifier(deepcopy(model)).fit(X, y)
        yield f"multinomial; {solver}", model.fit(X, y)


def summary(rows):
    """A line of a table."""
    done = rows[rows["refused"].isna()] if "refused" in rows else rows
    gradient = done["gradient"]
    parameters = done["parameters"].to_numpy()
    bounded = parameters[np.isfinite(parameters)]
    line = {
        "n": len(done),
        "refused": len(rows) - len(done),
        "below": int((gradient < 1).sum() + (bounded < 1).sum()),
    }
    for name, values in (("gradient", gradient), ("parameters", bounded)):
        quantiles = np.quantile(values, [0.5, 0.9, 1]) if len(values) else [np.nan] * 3
        line[name] = " / ".join(f"{q:.3g}" for q in quantiles)
    line["no bound"] = f"{1 - len(bounded) / max(len(done), 1):.0%}"
    return pd.Series(line)


def print_tables(rows):
    """The tables of ratios: median / 90 % / maximum. "below" counts bounds below the true value."""
    for by in (["model"], ["model", "C"], ["model", "kind"], ["model", "data"]):
        table = pd.DataFrame({key: summary(group) for key, group in rows.groupby(by, sort=False)})
        print(table.T.to_string(), end="\n\n")


def table_one(seeds):
    """One call, two classes."""
    print_tables(measured(two_classes(), fitted_binary, False, seeds))


def table_streams(seeds):
    """Twenty calls, two classes."""
    print_tables(measured(two_classes(), fitted_binary, True, seeds))


def table_classes(seeds):
    """More than two classes."""
    for stream in (False, True):
        print_tables(measured(several_classes(), fitted_several, stream, seeds))


def gaussian(n, p):
    """Correlated normal columns, and labels of a logistic model."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p)) + rng.standard_normal((n, 1))
    logits = X @ rng.standard_normal(p) / np.sqrt(p)
    return X, (rng.uniform(size=n) < 1 / (1 + np.exp(-logits))).astype(int)


def seconds(work, *args):
    """Time of a call."""
    start = time.perf_counter()
    work(*args)
    return time.perf_counter() - start


def fit_curvature(model, X, y):
    """Compute the curvature of a fitted model, with the sums for bounds if it keeps them."""
    model.fit_curvature(X, y)


def erase_ten(model, X, y):
    """Erase ten rows from a copy of a model."""
    deepcopy(model).unlearn(X[:10], y[:10])


def alternating(models, work, repeats):
    """Median times in ms of a function of each model, which take turns."""
    times = [[seconds(work, *model) for model in models] for _ in range(repeats)]
    return 1e3 * np.median(times, axis=0)


def times_of(X, y, order):
    """A line of the table of times."""
    n, p = X.shape
    models = []
    for bounds in (False, True, "all"):
        model = ErasableLogisticRegression(
            curvature="fisher", order=order, bounds=bounds, max_iter=1000
        )
        models.append((model.fit(X, y), X, y))
    fit = alternating(models, fit_curvature, int(np.clip(1e7 / (n * p), 9, 201)))
    copies = alternating([[model] for model, _, _ in models], deepcopy, 51)
    erase = alternating(models, erase_ten, 51) - copies
    return {
        "rows x columns": f"{n} x {p}",
        "order": order,
        "fit_curvature, ms": " / ".join(f"{time:.2f}" for time in fit),
        "factors": f"{fit[1] / fit[0]:.2f} / {fit[2] / fit[0]:.2f}",
        "unlearn, ms": " / ".join(f"{time:.2f}" for time in erase),
    }


def table_times(_seeds):
    """Times without bounds, with bounds, and with bounds='all'."""
    lines = []
    for n, p in SIZES:
        X, y = gaussian(n, p)
        orders = (1, 2) if n * p <= LARGEST_SECOND_ORDER else (1,)
        lines += [times_of(X, y, order) for order in orders]
    print(pd.DataFrame(lines).to_string(index=False))


TABLES = {
    "one": table_one,
    "streams": table_streams,
    "classes": table_classes,
    "times": table_times,
}


def main():
    """Print the chosen tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", choices=[*TABLES, "all"], default="one")
    parser.add_argument("--seeds", type=int, default=2, help="forget sets of each kind")
    args = parser.parse_args()
    pd.set_option("display.width", 200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ErasureWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        for name, table in TABLES.items():
            if args.table in (name, "all"):
                print(f"== {name} ==")
                table(args.seeds)


if __name__ == "__main__":
    main()
