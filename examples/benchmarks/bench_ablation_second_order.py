"""Ablation of the constants of steps of second order.

``python examples/benchmarks/bench_ablation_second_order.py`` prints one table for each part. The
first line of a group has the shipped value.

- "eigenvalue": one call of order 2, by LEAST_EIGENVALUE, beside order 1.
- "streams": the hardest streams of `bench_ablation_streams.py` and random ones, order 2, by it.
- "times": measured milliseconds of a fit and its parts, and their estimates by
  `_calibration.order`; the fits that keep the third derivatives with order "auto", by its
  constants: 0 and three times the shipped value.
- "tensor": milliseconds of the third derivatives by PRODUCTS, STRIPES and LEAST_STRIPED.

"fisher"; solver newton-cholesky, tol 1e-10 for "eigenvalue" and "streams", lbfgs, tol 1e-4 for the
others. The data sets are those of the table "tensor" of `bench_stream.py`.
"""

from functools import partial
from importlib import import_module
from itertools import product

import numpy as np
import pandas as pd
from bench_ablation_logistic import theta
from bench_ablation_streams import (
    PENALTIES,
    PLACES,
    changed,
    hard,
    label,
    print_parts,
    shipped,
    values,
)
from bench_logistic import correlated, independent, timed
from one_call_tables import forget_sets
from sklearn.linear_model import LogisticRegression
from stream_data import binary_sets, census, softmax_sets, stream_sets, synthetic
from stream_runs import CONVERGED, Retraining, one_call, original_model, ratio

from sklearn_ssse._erasure import validated_batch

# Constants of the estimate whether the tensor is cheap.
ESTIMATES = [
    "LARGEST_TIME_SHARE",
    "FIT_TIME",
    "ITERATION_TIME",
    "ITERATION_TIME_OF_NUMBER",
    "CURVATURE_TIME",
    "TENSOR_TIME",
    "TENSOR_TIME_OF_PRODUCT",
    "TENSOR_TIME_OF_NUMBER",
]
PLACES |= dict.fromkeys(ESTIMATES, "_calibration.order")


def eigenvalue():
    """Distance ratios of single calls by LEAST_EIGENVALUE, beside order 1."""
    some = values("LEAST_EIGENVALUE", [1e-9, 0.1, 0.5, 0.7])
    found = []
    for (name, (X, y)), C in product((binary_sets() | softmax_sets()).items(), PENALTIES):
        params = CONVERGED | {"curvature": "fisher", "C": C}
        models = {order: original_model(X, y, **params, order=order) for order in (1, 2)}
        start = theta(models[1])
        retrain = Retraining(name, X, y, C)
        for seed in range(2):
            for kind, S in forget_sets(y, seed):
                retained = np.ones(len(y), dtype=bool)
                retained[S] = False
                target = retrain(retained)[0]
                first = ratio(start, one_call(models[1], X[S], y[S]), target)
                line = {"kind": kind, "first": first}
                found.append(line | {"value": "order 1", "ratio": first, "order": 1})
                for value in some:
                    with changed(LEAST_EIGENVALUE=value):
                        erased = one_call(models[2], X[S], y[S])
                    order = erased.erasures_[-1].order if erased else np.nan
                    figures = {"ratio": ratio(start, erased, target), "order": order}
                    found.append(line | {"value": label(value), **figures})
    found = pd.DataFrame(found)
    found["worse"] = found["ratio"] - found["first"] > 0.1
    groups = found.groupby("value", sort=False)
    table = groups["ratio"].agg(["count", "median", lambda r: r.quantile(0.9), "max"])
    table.columns = ["count", "median", "90 %", "max"]
    half = found[found["kind"] == "half of a class"].groupby("value")["ratio"].median()
    first = groups["order"].agg(lambda order: int((order == 1).sum()))
    return table.assign(half=half, worse=groups["worse"].sum(), dropped=first)


def streams():
    """Streams of order 2 by LEAST_EIGENVALUE."""
    some = values("LEAST_EIGENVALUE", [1e-9, 0.1, 0.5])
    table = {label(v): hard({"LEAST_EIGENVALUE": v}, order=2, random=2) for v in some}
    return pd.DataFrame(table).T


def timed_sets():
    """Data sets of 150 to 100,000 rows and 5 to 62 columns."""
    yield "iris", *stream_sets()["iris"]
    yield "breast cancer", *stream_sets()["breast cancer"]
    yield "Adult", *census()
    yield "1,000 x 8", *synthetic(1000, 8)
    yield "5,000 x 12, 3 classes", *synthetic(5000, 12, n_classes=3)
    yield "20,000 x 20", *independent(20_000, 20)
    yield "20,000 x 50, correlated", *correlated(20_000, 50)
    yield "100,000 x 15, correlated", *correlated(100_000, 15)


def median_time(function, repeats=7):
    """Median milliseconds of a function."""
    return 1e3 * float(np.median([timed(function) for _ in range(repeats)]))


def timed_fits():
    """Measured milliseconds of each fit and its parts, and what the estimates depend on."""
    for (name, X, y), C in product(timed_sets(), PENALTIES):
        plain = LogisticRegression(C=C, max_iter=1000)
        model = original_model(X, y, curvature="fisher", C=C, max_iter=1000, order=1)
        batch = validated_batch(model, X, y, None, trusted=True)
        fit = median_time(partial(plain.fit, X, y))
        curvature = median_time(partial(model.fit_curvature, X, y))
        figures = {"fit": fit, "curvature": curvature, "tensor": median_time(batch.third_order)}
        yield name, C, batch, int(plain.n_iter_.max()), figures


def times():
    """Milliseconds of fits and their estimates, and then the fits that keep the tensor."""
    rules = import_module(f"sklearn_ssse.{PLACES['FIT_TIME']}")
    rows = []
    fits = list(timed_fits())
    for name, C, batch, n_iter, figures in fits:
        numbers = batch.n_samples * batch.n_parameters
        per_iteration = rules.ITERATION_TIME + rules.ITERATION_TIME_OF_NUMBER * numbers
        per_number = rules.CURVATURE_TIME_OF_NUMBER[batch.family.link]
        estimates = {
            "estimate of fit": rules.FIT_TIME + n_iter * per_iteration,
            "of curvature": rules.CURVATURE_TIME + per_number * numbers,
            "of tensor": rules.tensor_time(batch),
        }
        rows.append({"data": name, "C": C, **figures, **estimates})
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.3g}".format))
    table = {"shipped": kept_tensors(rules, fits)}
    for name in ESTIMATES:
        for value in (0.25, 1.0) if name == "LARGEST_TIME_SHARE" else (0.0, 3 * shipped(name)):
            with changed(**{name: value}):
                table[f"{name} {value:g}"] = kept_tensors(rules, fits)
    return pd.DataFrame(table).T


def kept_tensors(rules, fits):
    """Number of the fits in which order "auto" keeps the tensor, and the largest time of them."""
    shares = [
        1 + (figures["curvature"] + figures["tensor"]) / figures["fit"]
        for _, _, batch, n_iter, figures in fits
        if rules.is_cheap(batch, n_iter)
    ]
    return {"kept": len(shares), "of": len(fits), "largest / plain fit": max(shares, default=0)}


def tensor():
    """Milliseconds of the third derivatives of 20,000 rows by the sizes of their parts."""
    table = {}
    for columns in (10, 20, 60):
        X, y = independent(20_000, columns)
        model = original_model(X, y, curvature="fisher", order=1)
        batch = validated_batch(model, X, y, None, trusted=True)
        for name, others in {
            "PRODUCTS": [2**15, 2**16, 2**20, 2**22],
            "STRIPES": [1, 2, 8],
            "LEAST_STRIPED": [0, 32, 100],
        }.items():
            for value in values(name, others):
                with changed(**{name: value}):
                    row = table.setdefault(f"{name} {value}", {})
                    row[f"{columns} columns"] = median_time(batch.third_order)
    return pd.DataFrame(table).T


PARTS = {"eigenvalue": eigenvalue, "streams": streams, "times": times, "tensor": tensor}


if __name__ == "__main__":
    print_parts(PARTS, __doc__)
