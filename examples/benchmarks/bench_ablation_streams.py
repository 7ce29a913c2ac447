"""Ablation of the constants of streams of erasures.

``python examples/benchmarks/bench_ablation_streams.py`` prints one table for each part. The first
line of a table has the shipped values.

- "kept": random streams of single rows to 50 % of the rows, by KEPT_RATE; the median distance
  ratio divided by the median of one call for the same rows, and the hardest streams as below.
- "log-odds": streams of wine, iris and breast cancer by class and by largest loss, by
  LARGEST_LOG_ODDS, by LARGEST_GROWTH, and without the refusals.
- "refused": the same streams by REFUSED, and by REFUSED_OTHER for the empirical Fisher information.
- "recommended": random streams and streams by class with a refresh whenever it is recommended, by
  RECOMMENDED, RECOMMENDED_SECOND_ORDER and RECOMMENDED_OTHER (the empirical Fisher information).
- "single rows": distance ratio of single rows of small margin, by the limits of DOUBTFUL_MARGIN.

"fisher", unless a part names another curvature; solver newton-cholesky, tol 1e-10. The data sets
are those of `bench_stream.py`. A refused row is skipped. "Worse" counts streams whose accuracy on
the retained rows is more than five points below retraining.
"""

import argparse
import time
import warnings
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from functools import cache
from importlib import import_module
from itertools import product
from unittest.mock import patch

import numpy as np
import pandas as pd
from bench_ablation_logistic import theta
from stream_data import stream_sets
from stream_runs import (
    CONVERGED,
    Retraining,
    class_order,
    erase_stream,
    loss_order,
    one_call,
    original_model,
    random_order,
    ratio,
)
from stream_tables import one_stream

from sklearn_ssse._erasure import validated_batch
from sklearn_ssse._erasure.shares import Shares

SMALL = ["wine", "iris", "breast cancer"]
PENALTIES = [0.01, 1.0, 100.0]
MAX_GAP = 0.05
NO_LIMITS = Shares(1.0, 1.0, 1.0, np.inf)
PLACES = {
    "KEPT_RATE": "_erasure.path",
    "LARGEST_LOG_ODDS": "_erasure.step_size",
    "REFUSED": "_erasure.shares",
    "REFUSED_OTHER": "_erasure.shares",
    "RECOMMENDED": "_erasure.shares",
    "RECOMMENDED_OTHER": "_erasure.shares",
    "RECOMMENDED_SECOND_ORDER": "_erasure.shares",
    "LARGEST_GROWTH": "_erasure.steps",
    "LEAST_EIGENVALUE": "_erasure.second_order",
    "PRODUCTS": "_gradients.third_order",
    "STRIPES": "_gradients.third_order",
    "LEAST_STRIPED": "_gradients.third_order",
}
sets = cache(stream_sets)


def place(name):
    """The module of a constant."""
    return import_module(f"sklearn_ssse.{PLACES[name]}")


def shipped(name):
    """The value of a constant in the package."""
    return getattr(place(name), name)


@contextmanager
def changed(**constants):
    """Context in which constants have other values."""
    with ExitStack() as stack:
        for name, value in constants.items():
            stack.enter_context(patch.object(place(name), name, value))
        yield


def values(name, others):
    """The shipped value of a constant, and then the others."""
    return [shipped(name), *others]


def limits(name, **others):
    """The shipped limits of shares, and then each with one of them changed."""
    now = shipped(name)
    return [now, *(now._replace(**{field: v}) for field, some in others.items() for v in some)]


def label(value):
    """A value as a short text."""
    return " ".join(f"{v:g}" for v in value) if isinstance(value, Shares) else f"{value:g}"


@cache
def model_of(name, curvature, C, order):
    """The original model of a data set."""
    return original_model(*sets()[name], **CONVERGED, curvature=curvature, C=C, order=order)


@cache
def retraining(name, C):
    """The retrained models of a data set."""
    return Retraining(name, *sets()[name], C)


def run(name, curvature, C, order, rows, once=False):
    """The rows of `one_stream` for the erasure of some rows, one after the other."""
    X, y = sets()[name]
    model = deepcopy(model_of(name, curvature, C, order))
    return one_stream(model, X, y, rows, retraining(name, C), {"data": name, "C": C}, once)


def kept():
    """Distance ratio of random streams divided by one call, by KEPT_RATE."""
    table = {}
    for rate in values("KEPT_RATE", [0.0, 0.5, 0.75, 1.5, 2.0]):
        found = []
        for (name, (_, y)), C in product(sets().items(), [0.01, 1.0]):
            for seed in range(3 if name in SMALL else 1):
                with changed(KEPT_RATE=rate):
                    found += run(name, "fisher", C, 1, random_order(y, seed), once=True)
        found = pd.DataFrame(found).dropna(subset="one call")
        at = found.groupby("share")[["ratio", "one call"]].median()
        row = {f"{share:.0%}": v for share, v in (at["ratio"] / at["one call"]).items()}
        row["> 3 times"] = int((found["ratio"] > 3 * found["one call"]).sum())
        row["> .1 and 3 times"] = int(
            ((found["ratio"] > 3 * found["one call"]) & (found["ratio"] > 0.1)).sum()
        )
        row |= {"of": len(found), "worst gap": found["gap"].max()}
        row["hardest, worse"] = hard({"KEPT_RATE": rate})["worse"]
        table[label(rate)] = row
    return pd.DataFrame(table).T


def hard_orders(y, model, X):
    """Two orders by class, and the largest losses first."""
    return [class_order(y, 0), class_order(y, 1), loss_order(y, model.predict_proba(X))]


def hard(constants, curvature="fisher", order=1, random=0):
    """Figures of the hardest streams of the small data sets with other values of constants."""
    found = []
    for data, C in product(SMALL, PENALTIES):
        X, y = sets()[data]
        orders = hard_orders(y, model_of(data, curvature, C, order), X)
        orders += [random_order(y, seed) for seed in range(random)]
        for rows in orders:
            with changed(**constants):
                stream = pd.DataFrame(run(data, curvature, C, order, rows))
            last = stream.iloc[-1]
            line = {"gap": stream["gap"].max(), "ratio": stream["ratio"].max()}
            found.append(line | last[["refusals", "largest", "refused"]].to_dict())
    found = pd.DataFrame(found)
    return {
        "streams": len(found),
        "worse": int((found["gap"] > MAX_GAP).sum()),
        "worst gap": found["gap"].max(),
        "median ratio": found["ratio"].median(),
        "ratio > 1": int((found["ratio"] > 1).sum()),
        "largest parameter": found["largest"].max(),
        "refusals": found["refusals"].sum(),
        "first refusal": found["refused"].median(),
    }


def log_odds():
    """The hardest streams by LARGEST_LOG_ODDS."""
    some = values("LARGEST_LOG_ODDS", [0.25, 1.0, 2.0, np.inf])
    table = {label(value): hard({"LARGEST_LOG_ODDS": value}) for value in some}
    off = {"LARGEST_LOG_ODDS": np.inf, "REFUSED": NO_LIMITS}
    table |= {f"LARGEST_GROWTH {v:g}": hard({"LARGEST_GROWTH": v}) for v in (1.0, 10.0)}
    table["no refusals"] = hard(off)
    table["no refusals, KEPT_RATE 0"] = hard(off | {"KEPT_RATE": 0.0})
    return pd.DataFrame(table).T


def refused():
    """The hardest streams by REFUSED; with two random orders by REFUSED_OTHER."""
    some = limits(
        "REFUSED", of_class=[0.5, 0.8, 1.0], curvature=[0.5, 1.0], effect=[0.3, 0.8, np.inf]
    )
    table = {f"fisher {label(v)}": hard({"REFUSED": v}) for v in [*some, NO_LIMITS]}
    some = limits(
        "REFUSED_OTHER",
        rows=[0.2, 1.0],
        of_class=[0.2, 0.5, 1.0],
        curvature=[0.3, 1.0],
        effect=[0.2, 0.6, np.inf],
    )
    for value in [*some, NO_LIMITS]:
        row = hard({"REFUSED_OTHER": value}, "empirical_fisher", random=2)
        table[f"empirical {label(value)}"] = row
    return pd.DataFrame(table).T


def with_refresh(name, value, curvature, order):
    """Figures of streams of the small data sets that are refreshed whenever it is recommended."""
    found = []
    for data, C, by_class in product(SMALL, [0.01, 1.0], [False, True]):
        X, y = sets()[data]
        retrain = retraining(data, C)
        for seed in range(2):
            model = deepcopy(model_of(data, curvature, C, order))
            start = theta(model)
            ratios = []

            def look(event, share, model, retained, trace, *, start=start, to=ratios, by=retrain):
                to.append(ratio(start, model, by(retained)[0]))

            rows = class_order(y, seed) if by_class else random_order(y, seed)
            with changed(**{name: value}):
                trace = erase_stream(model, X, y, rows, look, refresh=True)
            kind = "class" if by_class else "random"
            line = {"kind": kind, "ratio": np.nanmax(ratios), "refreshes": trace.refreshes}
            found.append(line | {"refusals": trace.refusals})
    groups = pd.DataFrame(found).groupby("kind")
    table = groups.agg(
        median=("ratio", "median"),
        worst=("ratio", "max"),
        refreshes=("refreshes", "max"),
        refusals=("refusals", "sum"),
    )
    return {f"{kind}, {key}": v for kind, row in table.iterrows() for key, v in row.items()}


def recommended():
    """Streams with refreshes by the limits of their curvature and order."""
    table = {}
    for curvature, order, name in [
        ("fisher", 1, "RECOMMENDED"),
        ("fisher", 2, "RECOMMENDED_SECOND_ORDER"),
        ("empirical_fisher", 1, "RECOMMENDED_OTHER"),
    ]:
        rows = [0.05, 0.25, 1.0] if order == 1 else [0.1, 1.0]
        effect = [0.1, 0.3, np.inf]
        some = limits(
            name, rows=rows, of_class=[0.1, 0.5, 1.0], curvature=[0.15, 1.0], effect=effect
        )
        for value in some:
            key = f"{curvature}, order {order}, {label(value)}"
            table[key] = with_refresh(name, value, curvature, order)
    return pd.DataFrame(table).T


def single_rows():
    """Distance ratios of single rows whose margin is below .3, by their margin."""
    found = []
    for (name, (X, y)), C in product(sets().items(), [1.0, 100.0]):
        model = model_of(name, "fisher", C, 1)
        scores = validated_batch(model, X, y, None, trusted=True).scores("fisher")
        leverage = model.curvature_.leverage(scores)
        for i in np.argsort(leverage)[: -1 - (5 if name in SMALL else 2) : -1]:
            if leverage[i] > 0.7:
                retained = np.arange(len(y)) != i
                target = retraining(name, C)(retained)[0]
                erased = one_call(model, X[[i]], y[[i]])
                found.append((1 - leverage[i], ratio(theta(model), erased, target)))
    table = pd.DataFrame(found, columns=["margin", "ratio"])
    groups = table.groupby(pd.cut(table["margin"], [0, 0.05, 0.1, 0.3]), observed=True)["ratio"]
    return groups.agg(["count", "median", "max"])


PARTS = {
    "kept": kept,
    "log-odds": log_odds,
    "refused": refused,
    "recommended": recommended,
    "single rows": single_rows,
}


def print_parts(parts, description):
    """Print the tables that the command line names, and the time of each."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--part", choices=list(parts), nargs="*", default=list(parts))
    warnings.simplefilter("ignore")
    for part in parser.parse_args().part:
        start = time.perf_counter()
        print(f"\n{part}", flush=True)
        print(parts[part]().to_string(float_format="{:.3g}".format))
        print(f"({time.perf_counter() - start:.0f} s)", flush=True)


if __name__ == "__main__":
    print_parts(PARTS, __doc__)
