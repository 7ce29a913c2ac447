"""Tables of `bench_stream.py` on time: `unlearn` of ten rows, and a fit with the tensor."""

import json
import os
import subprocess
import sys
import time
from copy import deepcopy
from pathlib import Path

import numpy as np
import pandas as pd
from bench_logistic import correlated, independent, timed
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from stream_data import census, scaled
from stream_runs import original_model
from stream_tables import CURVATURES, rule

import sklearn_ssse

# Number of rows at each call, of calls, and of the last calls that are timed.
BATCH = 10
N_CALLS = 15
LATER_CALLS = 5
REPEATS = 20
# Number of turns in which two versions, or fits with and without the tensor, are timed.
ROUNDS = 5
# Requirements: time of an erasure divided by the time in the other version, time of a fit with the
# tensor divided by the time of a plain fit.
MAX_TO_BASELINE = 1.1
MAX_TO_PLAIN_FIT = 1.5
# Parameters up to which a fit with order=2 is timed.
MAX_PARAMETERS = 110


def unlearn_times():
    """Median seconds of `unlearn` of ten rows without the tensor, by data set and place."""
    sets = {
        "2,000 x 20": correlated(2000, 20),
        "Adult": census(),
        "digits": scaled(load_digits),
        "20,000 x 100": correlated(20_000, 100),
    }
    medians = {}
    for name, (X, y) in sets.items():
        rows = np.random.default_rng(0).permutation(len(y))
        batches = rows[: BATCH * N_CALLS].reshape(N_CALLS, BATCH)
        for curvature in CURVATURES:
            fitted = original_model(X, y, curvature=curvature, order=1)
            first = []
            later = []
            for _ in range(REPEATS):
                model = deepcopy(fitted)
                seconds = [
                    timed(lambda model=model, S=S, X=X, y=y: model.unlearn(X[S], y[S]))
                    for S in batches
                ]
                first.append(seconds[0])
                later += seconds[-LATER_CALLS:]
            medians[f"{name}, {curvature}, first call"] = float(np.median(first))
            medians[f"{name}, {curvature}, later calls"] = float(np.median(later))
    return medians


def times_of(checkout):
    """`unlearn_times` of the version in a folder, measured in a process of its own."""
    code = "import warnings; warnings.simplefilter('ignore'); import json, time_tables as t; "
    code += "print(json.dumps(t.unlearn_times()))"
    out = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        env=os.environ | {"PYTHONPATH": str(checkout)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(out.stdout)


def table_speed(args):
    """Time of `unlearn` of ten rows with order=1, and of a fit with and without the tensor."""
    print("Default solver (lbfgs, tol 1e-4). Milliseconds, medians. Later calls are the last")
    print(
        f"{LATER_CALLS} of {N_CALLS} in a stream. With --baseline, the fastest of {ROUNDS} turns."
    )
    here = Path(sklearn_ssse.__file__).parents[1]
    versions = {"this version": here}
    if args.baseline:
        versions["baseline"] = Path(args.baseline).resolve()
    rounds = {name: [] for name in versions}
    for _ in range(ROUNDS if args.baseline else 1):
        for name, checkout in versions.items():
            rounds[name].append(times_of(checkout))
    table = pd.DataFrame({name: pd.DataFrame(times).min() for name, times in rounds.items()})
    print((1e3 * table).to_string(float_format="{:.2f}".format))
    fits = fit_times(args.quick)
    print()
    if args.baseline:
        quotients = table["this version"] / table["baseline"]
        rule(
            "unlearn of ten rows without the tensor at most 1.1 times the baseline",
            quotients.max() > MAX_TO_BASELINE,
            f"median {quotients.median():.2f}, largest {quotients.max():.2f} "
            f"({quotients.idxmax()})",
        )
    else:
        print("Pass --baseline with the folder of another version to compare the erasures.")
    kept = fits[fits["kept"] == 2]
    rule(
        'fit with the tensor at most 1.5 times the plain fit where "auto" keeps it',
        len(kept) == 0 or kept["auto / plain"].max() > MAX_TO_PLAIN_FIT,
        f"kept in {len(kept)} of {len(fits)}, largest {kept['auto / plain'].max():.2f}",
    )


def fit_times(quick):
    """Print and return the times of fits of each `order`, divided by plain fits."""
    sets = {
        "breast cancer": scaled(load_breast_cancer),
        "Adult": census(),
        "20,000 x 50, correlated": correlated(20_000, 50),
        "20,000 x 50, independent": independent(20_000, 50),
    }
    if not quick:
        sets["200,000 x 100, correlated"] = correlated(200_000, 100)
        sets["200,000 x 100, independent"] = independent(200_000, 100)
    rows = []
    for name, (X, y) in sets.items():
        orders = [1, "auto", 2] if X.shape[1] < MAX_PARAMETERS else [1, "auto"]
        seconds = {order: [] for order in ["plain", *orders]}
        for _ in range(ROUNDS):
            seconds["plain"].append(timed(lambda X=X, y=y: LogisticRegression().fit(X, y)))
            for order in orders:
                start = time.perf_counter()
                model = original_model(X, y, curvature="fisher", order=order)
                seconds[order].append(time.perf_counter() - start)
                if order == "auto":
                    kept = model.order_
        medians = {order: float(np.median(times)) for order, times in seconds.items()}
        row = {"data": name, "plain fit, ms": 1e3 * medians["plain"], "kept": kept}
        for order in orders:
            row[f"{order} / plain"] = medians[order] / medians["plain"]
        rows.append(row)
    table = pd.DataFrame(rows)
    print(f"\nTime of a fit of each order divided by a plain fit, medians of {ROUNDS} in turns;")
    print('"kept" is the order that "auto" chooses:')
    print(table.to_string(index=False, float_format="{:.2f}".format))
    return table
