"""Ablation of the constants of the guards of an erasure and of the structures of the inverse.

``python examples/benchmarks/bench_ablation_guards.py`` prints one table for each part:

- "cap": 15 erasures one after the other from small nets, 20 % of the rows or 80 % of a class; the
  largest gap in accuracy to the retrained net on forget and retained rows.
- "margin": the relative error of the downdated inverse, by the smallest eigenvalue of I - M and
  by the limit on it, where C goes up to 1e8.
- "fit check": the distance of a model from the minimum of its objective, for converged models and
  for models of other rows.
- "signs": the spread of that distance over the random signs, by their number.
- "low rank": the relative error of a step of structure "low_rank" beside structure "full".
- "sparse": the change of the steps of "low_rank" on 2,500 sparse columns by UNPENALISED_SHARE.
- "scaler" and "foreign": the error of a downdated scaler, and the rows that it refuses.
- "start": the relative error of the recurrences beside the Cholesky factorisation.
- "newton": Newton steps, Hessians and distance ratio of a refresh after an erasure of 5 % of the
  rows from a fit of the default solver, by the constants of `_minimum.newton`.
- "left": distance ratio of fits of the default solver by LARGEST_STEPS and SMALL_LEFT.
- "usual": distances from the minimum of fits of the default solver, and whether a derivative of the
  mean objective exceeds its tolerance.

The data sets are those of `bench_ablation_logistic.py`.
"""

import argparse
import importlib
import warnings
from contextlib import ExitStack, nullcontext, suppress
from copy import deepcopy
from itertools import product
from unittest.mock import patch

import numpy as np
import pandas as pd
from bench_ablation_logistic import PARAMS, data, erase_one_by_one, theta
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from sklearn_ssse import ErasableLogisticRegression, ErasableMLPClassifier, ErasureError
from sklearn_ssse._erasure import validated_batch

# Modules that hold the constants.
MODULES = {
    "checks": "sklearn_ssse._erasure.guards",
    "fit check": "sklearn_ssse._minimum.distance",
    "newton": "sklearn_ssse._minimum.newton",
    "low rank": "sklearn_ssse._inverse.low_rank",
    "nystrom": "sklearn_ssse._inverse.nystrom",
    "full": "sklearn_ssse._inverse.full",
    "planning": "sklearn_ssse._erasure.planning",
    "scaler": "sklearn_ssse._preprocessing.standard_scaler",
}
UNIT = np.finfo(np.float64).eps


def module(name):
    return importlib.import_module(MODULES[name])


def fitted(X, y, C, **params):
    """An erasable model of a converged logistic regression."""
    plain = LogisticRegression(**PARAMS, C=C, max_iter=1000).fit(X, y)
    return ErasableLogisticRegression.from_estimator(plain, X, y, **params)


def without(X, y, S):
    return np.delete(X, S, axis=0), np.delete(y, S)


def scaled_until_possible(factor):
    """The downdate cap with another factor of the curvature for each trial."""
    checks = module("checks")

    def cap(inverse, scores):
        least = checks.least_margin(inverse.condition)
        while True:
            try:
                pending = inverse.pending_downdate(scores)
            except ErasureError:
                pending = None
            if pending is not None and pending.margin >= least:
                return scores, pending
            scores = scores.scaled(np.full(scores.n_samples, factor**0.5))

    return cap


def cap_cases():
    """A net, the retrained net, X, y and the rows to erase."""
    nets = [((16,), "adam"), ((10, 10), "lbfgs")]
    for (name, X, y), (hidden, solver), seed in product(data(), nets, range(2)):
        if name in ("COMPAS", "German credit"):
            continue
        params = {
            "solver": solver,
            "random_state": seed,
            "max_iter": 200,
            "unlearn_epsilon": "auto",
        }
        rng = np.random.default_rng(seed)
        order = rng.permutation(np.flatnonzero(y == y[0]))
        sets = [rng.permutation(len(y))[: len(y) // 5], order[: int(0.8 * len(order))]]
        for curvature in ("fisher", "empirical_fisher"):
            net = ErasableMLPClassifier(
                hidden, **params, curvature=curvature, structure="block"
            ).fit(X, y)
            for S in sets:
                params_of_retraining = {**params, "unlearn_epsilon": 1.0}
                retrained = ErasableMLPClassifier(hidden, **params_of_retraining).fit(
                    *without(X, y, S)
                )
                yield net, retrained, X, y, S


def cap():
    """Figures of the downdate cap by the factor of a trial."""
    planning = module("planning")
    variations = {"shipped, 1/2": planning.cap_downdate}
    variations.update({f"factor {f}": scaled_until_possible(f) for f in (0.9, 0.25, 0.1, 1e-9)})
    rows = []
    for net, retrained, X, y, S in cap_cases():
        keep = np.setdiff1d(np.arange(len(y)), S)
        for name, function in variations.items():
            model = deepcopy(net)
            with patch.object(planning, "cap_downdate", function):
                refused = erase_one_by_one(model, X, y, S, 15)
            gap = max(abs(model.score(X[i], y[i]) - retrained.score(X[i], y[i])) for i in (S, keep))
            capped = sum(record.shrunken for record in model.erasures_)
            rows.append({"variation": name, "gap": gap, "capped": capped, "refused": refused})
    groups = pd.DataFrame(rows).groupby("variation", sort=False)
    table = groups["gap"].agg(["count", "median", "mean", "max"])
    return table.join(groups[["capped", "refused"]].sum())


def margin_sets(X, y):
    """Rows of each rare value of a column, and 5 to 95 % of all rows."""
    for column in X.T:
        S = np.flatnonzero(column == column.max())
        if 0 < len(S) < 0.2 * len(y):
            yield S
    rng = np.random.default_rng(0)
    for share in (0.05, 0.3, 0.6, 0.8, 0.9, 0.95):
        yield rng.choice(len(y), int(share * len(y)), replace=False)


def margins():
    """Margin, condition number and error of the downdated inverse of each forget set."""
    for (name, X, y), C in product(data(), [1.0, 1e2, 1e4, 1e6, 1e8]):
        if name in ("digits", "COMPAS"):
            continue
        model = fitted(X, y, C, curvature="fisher")
        family = model._family()
        inverse = model.curvature_
        for S in margin_sets(X, y):
            pending = inverse.pending_downdate(
                family.batch(X[S], y[S], np.ones(len(S))).scores("fisher")
            )
            X_kept, y_kept = without(X, y, S)
            kept = family.batch(X_kept, y_kept, np.ones(len(y_kept))).scores("fisher")
            try:
                built = type(inverse).build(kept, inverse.ridge).matrix
            except ErasureError:
                continue
            error = np.nan
            if pending.margin > 0:
                scale = built.diagonal() ** -0.5
                scale = scale * scale[:, None]
                error = pending.inverse().matrix - built
                error = np.linalg.norm(error * scale, 2) / np.linalg.norm(built * scale, 2)
            yield {"margin": pending.margin, "kappa": inverse.condition, "error": error}


def margin():
    """Largest error of the accepted erasures, median error of the refused, by the limits."""
    table = pd.DataFrame(margins())
    rows = []
    for factor, least in [
        (1e3, 1e-6),
        (1e3, 0.0),
        (0.0, 1e-6),
        (1.0, 0.0),
        (10.0, 0.0),
        (1e4, 0.0),
    ]:
        passed = table["margin"] >= np.maximum(least, factor * table["kappa"] * UNIT)
        rows.append(
            {
                "limit": f"max({least:g}, {factor:g} kappa u)",
                "refused": int((~passed).sum()),
                "of": len(table),
                "largest error of the others": table["error"][passed].max(),
                "median error of the refused": table["error"][~passed].median(),
            }
        )
    return pd.DataFrame(rows).set_index("limit")


def far_models(X, y, C):
    """Name, model, and the rows that are given with it."""
    order = np.random.default_rng(0).permutation(len(y))
    half = len(y) // 2
    tenth = len(y) // 10

    def train(rows, labels):
        return LogisticRegression(C=C, max_iter=1000).fit(X[rows], labels)

    whole = train(order, y[order])
    yield "converged", whole, order, y[order]
    yield "10 % of the rows missing", whole, order[tenth:], y[order[tenth:]]
    yield "10 % too many rows", train(order[tenth:], y[order[tenth:]]), order, y[order]
    yield (
        "other half of the rows",
        train(order[:half], y[order[:half]]),
        order[half:],
        y[order[half:]],
    )
    yield "permuted labels", whole, np.arange(len(y)), y[order]


def distance(model, X, y):
    batch = validated_batch(model, X, y, None, trusted=True)
    gradient = batch.objective_gradient()
    return module("fit check").distance_from_minimum(gradient, batch, model.curvature_)


def fit_check():
    """Distances of models, and share of the models beyond limits."""
    rows = []
    for (_, X, y), C, curvature in product(
        data(), [0.01, 0.1, 1.0], ["fisher", "empirical_fisher"]
    ):
        for name, plain, at, labels in far_models(X, y, C):
            model = ErasableLogisticRegression.from_estimator(
                plain, X[at], labels, curvature=curvature
            )
            rows.append({"model": name, "distance": distance(model, X[at], labels)})
    groups = pd.DataFrame(rows).groupby("model", sort=False)["distance"]
    table = groups.agg(["count", "min", "median", "max"])
    for limit in (1.0, 1.5, 2.0, 3.0, 4.0, 6.0):
        table[f"beyond {limit:g}"] = groups.apply(lambda found, limit=limit: (found > limit).mean())
    return table


def signs():
    """Relative standard deviation of the distance over random signs, by their number.

    Only an inverse that is not one matrix needs the signs.
    """
    check = module("fit check")
    generator = np.random.default_rng
    rows = []
    for (_, X, y), structure, count in product(data(), ["block", "low_rank"], [1, 2, 4, 8, 16, 64]):
        plain = LogisticRegression(max_iter=1000).fit(X, y)
        model = ErasableLogisticRegression.from_estimator(plain, X, y, structure=structure)
        found = []
        for seed in range(30):
            with (
                patch.object(check, "N_SIGNS", count),
                patch.object(np.random, "default_rng", lambda _, seed=seed: generator(seed)),
            ):
                found.append(distance(model, X, y))
        rows.append({"N_SIGNS": count, "spread": np.std(found) / np.mean(found)})
    return pd.DataFrame(rows).groupby("N_SIGNS")["spread"].agg(["median", "max"])


def low_rank_errors(variation, full, X, y, **params):
    """Relative error of two steps of structure "low_rank", and the columns of its sketch."""
    model = ErasableLogisticRegression.from_estimator(full, X, y, structure="low_rank", **params)
    columns = len(model.curvature_.C)
    for share in (0.01, 0.2):
        S = np.random.default_rng(0).choice(len(y), int(share * len(y)), replace=False)
        goal = theta(deepcopy(full).unlearn(X[S], y[S])) - theta(full)
        step = theta(deepcopy(model).unlearn(X[S], y[S])) - theta(full)
        error = np.linalg.norm(step - goal) / np.linalg.norm(goal)
        yield {"variation": variation, "error": error, "columns": columns}


def low_rank():
    """Error of the steps of the low-rank structure by its constants."""
    values = {
        "low rank": {
            "OVERSAMPLING": [1, 3],
            "EXTRA_COLUMNS": [0, 32],
            "SMALLEST_EIGENVALUE": [0.01, 0.03, 0.3, 1.0],
            "MIN_RANK": [1, 32],
            "MAX_RANK": [64, 128],
            "UNPENALISED_SHARE": [0.0, 1e-9, 1e-3],
            "N_EXACT_VARIANCES": [0],
        },
        "nystrom": {
            "REUSE_ERROR": [0.0, 1e-4],
            "REUSE_OPERATIONS": [0.0, np.inf],
            "INDEFINITE_SHARE": [0.0, 1e-6],
            "POWER_ITERATIONS": [1, 100],
        },
    }
    variations = [("shipped", nullcontext())]
    variations += [
        (f"{name} = {v:g}", patch.object(module(place), name, v))
        for place, constants in values.items()
        for name, some in constants.items()
        for v in some
    ]
    cases = [case for case in data() if case[0] not in ("iris", "wine", "COMPAS")]
    rows = []
    for (_, X, y), C, curvature in product(
        cases, [0.01, 1.0, 100.0], ["fisher", "empirical_fisher"]
    ):
        params = {"curvature": curvature, "unlearn_epsilon": 1.0}
        full = fitted(X, y, C, structure="full", **params)
        for variation, replaced in variations:
            with replaced:
                rows += low_rank_errors(variation, full, X, y, C=C, **params)
    groups = pd.DataFrame(rows).groupby("variation", sort=False)
    table = groups["error"].agg(["count", "median", lambda e: e.quantile(0.9), "max"])
    table.columns = ["count", "median", "90 %", "max"]
    return table.join(groups["columns"].mean())


def start():
    """Error of the recurrences by STARTING_SHARE."""
    place = module("full")
    rows = []
    for (name, X, y), C in product(data(), [1.0, 1e3, 1e5]):
        if name in ("COMPAS", "digits"):
            continue
        goal = fitted(X, y, C, curvature="fisher", inversion="cholesky").curvature_.matrix
        for inversion, value in product(
            ["rank1", "rank_b"], [0.0, 1e-9, place.STARTING_SHARE, 1e-2, 1.0]
        ):
            with patch.object(place, "STARTING_SHARE", value):
                found = fitted(X, y, C, curvature="fisher", inversion=inversion).curvature_.matrix
            error = np.linalg.norm(found - goal) / np.linalg.norm(goal)
            rows.append({"inversion": inversion, "STARTING_SHARE": value, "error": error})
    groups = pd.DataFrame(rows).groupby(["inversion", "STARTING_SHARE"])
    return groups["error"].agg(["count", "median", "max"])


def sparse_columns():
    """Change of 12 erasures from sparse columns by UNPENALISED_SHARE, beside the shipped value."""
    place = module("low rank")
    rng = np.random.default_rng(0)
    X = sparse.random(1200, 2500, 0.02, format="csr", random_state=0)
    X = sparse.csr_matrix(X)
    signal = X @ rng.standard_normal(2500)
    rows = []
    for n_classes, C in product([2, 4], [0.01, 1.0]):
        limits = np.quantile(signal, np.arange(1, n_classes) / n_classes)
        y = np.digitize(signal + rng.logistic(size=1200), limits)
        plain = LogisticRegression(C=C, max_iter=1000, tol=1e-8).fit(X, y)
        goal = None
        for value in (place.UNPENALISED_SHARE, 0.0, 1e-9, 1e-3):
            params = {"curvature": "fisher", "structure": "low_rank", "rank": 32}
            with patch.object(place, "UNPENALISED_SHARE", value):
                model = ErasableLogisticRegression.from_estimator(plain, X, y, **params)
            before = theta(model)
            refused = erase_one_by_one(model, X, y, np.arange(24), 12)
            step = theta(model) - before
            goal = step if goal is None else goal
            change = np.linalg.norm(step - goal) / np.linalg.norm(goal)
            line = {"classes": n_classes, "C": C, "UNPENALISED_SHARE": value}
            rows.append({**line, "change": change, "refused": refused})
    return pd.DataFrame(rows).set_index(["classes", "C", "UNPENALISED_SHARE"])


def scaled_columns():
    """Sum of squares over its rounding error, and error of the variance, of scalers."""
    place = module("scaler")
    loaders = [load_digits, load_breast_cancer, load_wine, load_iris]
    tables = [load(return_X_y=True)[0] for load in loaders]
    offsets = [0, 1e3, 1e6, 1e8]
    for X, offset, share, seed in product(tables, offsets, [0.01, 0.5, 0.9, 0.99], range(5)):
        moved = X + offset * X.std(axis=0).max()
        S = np.random.default_rng(seed).choice(len(X), max(1, int(share * len(X))), replace=False)
        old = place._statistics(StandardScaler().fit(moved))
        forget = place._statistics(StandardScaler().fit(moved[S]))
        goal = place._statistics(StandardScaler().fit(np.delete(moved, S, axis=0)))
        new = old.add(forget, -1.0)
        for found, exact, lost in zip(new.squares, goal.squares, new.rounding, strict=True):
            if exact > 0 and lost > 0:
                yield {"by rounding": found / lost, "error": abs(found / exact - 1)}


def scaler():
    """Relative error of a downdated variance, by sum of squares over rounding error."""
    table = pd.DataFrame(scaled_columns())
    table["decade"] = np.floor(np.log10(table["by rounding"].clip(0.1, 1e12)))
    return table.groupby("decade")["error"].agg(["count", "median", "max"])


def foreign_rows():
    """Refusals of foreign rows, and of the rows that alone made a column vary, by IMPOSSIBLE."""
    place = module("scaler")
    X = load_breast_cancer(return_X_y=True)[0]
    rows = []
    for value in (0.0, 1.0, place.IMPOSSIBLE, 1e6, 1e9):
        refused = np.zeros(2, dtype=int)
        for seed in range(100):
            rng = np.random.default_rng(seed)
            S = rng.choice(len(X), 3, replace=False)
            constant = np.full((len(X), 3), 1e3)
            constant[S] += rng.standard_normal((3, 3))
            foreign = X[S] + 30 * X.std(axis=0) * np.sqrt(len(X))
            for i, (whole, rows_to_erase) in enumerate([(X, foreign), (constant, constant[S])]):
                old = place._statistics(StandardScaler().fit(whole))
                forget = place._statistics(StandardScaler().fit(rows_to_erase))
                with patch.object(place, "IMPOSSIBLE", value):
                    refused[i] += np.any(old.add(forget, -1.0).impossible)
        rows.append({"IMPOSSIBLE": value, "foreign of 100": refused[0], "own of 100": refused[1]})
    return pd.DataFrame(rows).set_index("IMPOSSIBLE")


def newton():
    """Steps, Hessians and distance ratios of refreshes, by the constants of the steps.

    A refresh that is refused leaves the erased model.
    """
    place = module("newton")
    build = place._inverse_hessian
    exact = {**PARAMS, "tol": 1e-13, "max_iter": 1000}
    variations = [("shipped", {})]
    variations += [(f"FAST {value:g}", {"FAST": value}) for value in (0.0, 0.005, 0.3, 0.8)]
    variations += [(f"PRECISION {value:g}", {"PRECISION": value}) for value in (1.0, 1e-6, 1e-18)]
    variations += [(f"OVERSHOOT {value:g}", {"OVERSHOOT": value}) for value in (0.0, np.inf)]
    rows = []
    for (name, X, y), C in product(data(), [0.01, 1.0, 100.0]):
        S = np.random.default_rng(0).choice(len(y), len(y) // 20, replace=False)
        kept = np.delete(np.arange(len(y)), S)
        original = theta(LogisticRegression(**exact, C=C).fit(X, y))
        retrained = theta(LogisticRegression(**exact, C=C).fit(X[kept], y[kept]))
        fitted = ErasableLogisticRegression(C=C, max_iter=1000).fit(X, y)
        erased = fitted.unlearn(X[S], y[S])
        for variation, values in variations:
            hessians = []
            patches = [patch.object(place, name, value) for name, value in values.items()]
            counted = lambda *args, found=hessians: found.append(1) or build(*args)  # noqa: E731
            patches.append(patch.object(place, "_inverse_hessian", counted))
            model = deepcopy(erased)
            with ExitStack() as stack:
                for change in patches:
                    stack.enter_context(change)
                with suppress(ErasureError):
                    model.refresh(X[kept], y[kept])
            ratio = np.linalg.norm(theta(model) - retrained) / np.linalg.norm(original - retrained)
            numbers = {"steps": model.n_iter_[0], "Hessians": len(hessians), "ratio": ratio}
            rows.append({"variation": variation, **numbers})
    groups = pd.DataFrame(rows).groupby("variation", sort=False)
    return groups[["steps", "Hessians", "ratio"]].agg(["median", "max"])


def usual():
    """Distances of default fits, and whether a derivative exceeds the default tolerance."""
    rows = []
    for (name, X, y), C, curvature in product(
        data(), [0.01, 1.0, 100.0, 1e6], ["fisher", "empirical_fisher"]
    ):
        model = ErasableLogisticRegression(C=C, curvature=curvature, max_iter=1000).fit(X, y)
        batch = validated_batch(model, X, y, None, trusted=True)
        largest = np.abs(batch.objective_gradient()).max() / len(y)
        line = {"curvature": curvature, "C": C, "data": name, "distance": distance(model, X, y)}
        rows.append({**line, "within tol": largest <= model.tol})
    return pd.DataFrame(rows).set_index(["curvature", "C", "data"])


def left():
    """Distance ratios of random 1 % and 5 % of the rows for fits of the default solver."""
    place = module("fit check")
    variations = {"shipped": {}, "LARGEST_STEPS 1": {"LARGEST_STEPS": 1}}
    variations |= {f"LARGEST_STEPS {n}": {"LARGEST_STEPS": n} for n in (2, 6)}
    variations |= {f"SMALL_LEFT {v:g}": {"SMALL_LEFT": v} for v in (0.01, 0.3)}
    rows = []
    for (_, X, y), C in product(data(), [0.01, 1.0, 100.0]):
        for variation, values in variations.items():
            with ExitStack() as stack:
                for constant, value in values.items():
                    stack.enter_context(patch.object(place, constant, value))
                model = ErasableLogisticRegression(C=C, curvature="fisher").fit(X, y)
            for seed, share in product(range(3), [0.01, 0.05]):
                rng = np.random.default_rng(seed)
                S = rng.choice(len(y), max(1, int(share * len(y))), replace=False)
                retrained = theta(fitted(*without(X, y, S), C, curvature="fisher"))
                with suppress(ErasureError):
                    erased = theta(deepcopy(model).unlearn(X[S], y[S]))
                    ratio = np.linalg.norm(erased - retrained)
                    ratio /= np.linalg.norm(theta(model) - retrained)
                    rows.append({"variation": variation, "C": C, "ratio": ratio})
    groups = pd.DataFrame(rows).groupby(["C", "variation"], sort=False)["ratio"]
    table = groups.agg(["count", "median", lambda r: r.quantile(0.9), "max"])
    table.columns = ["count", "median", "90 %", "max"]
    return table


PARTS = {
    "cap": cap,
    "margin": margin,
    "fit check": fit_check,
    "signs": signs,
    "low rank": low_rank,
    "start": start,
    "sparse": sparse_columns,
    "scaler": scaler,
    "foreign": foreign_rows,
    "newton": newton,
    "usual": usual,
    "left": left,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=list(PARTS), nargs="*", default=list(PARTS))
    warnings.simplefilter("ignore")
    for part in parser.parse_args().part:
        print(f"\n{part}", flush=True)
        print(PARTS[part]().to_string(float_format="{:.3g}".format), flush=True)


if __name__ == "__main__":
    main()
