"""Tables of `bench_stream.py` on `refresh`: streams with it, and its time."""

import gc
from copy import deepcopy

import numpy as np
import pandas as pd
from bench_ablation_logistic import theta
from bench_logistic import correlated, timed
from sklearn.linear_model import LogisticRegression
from stream_runs import SOLVERS, Retraining, erase_stream, original_model, random_order, ratio
from stream_tables import in_parallel, rule, select_sets

from sklearn_ssse import ErasableLogisticRegression

LOW_PENALTIES = [0.01, 1.0]
# Requirements on the distance ratio of a stream and right after a refresh, the number of
# refreshes of a stream, and the time of a refresh divided by the time of a plain fit.
MAX_RATIO = 0.35
MAX_AFTER = 0.01
MAX_REFRESHES = 12
MAX_TIME = 1.0
# Rows and columns of the timed refresh, and the number of runs.
ROWS = 200_000
COLUMNS = 100
RUNS = 5


def refreshed_streams(name, X, y, C, seed, folder):
    """Distance ratios of a random stream with refreshes: at shares, before and after each."""
    retrain = Retraining(name, X, y, C, folder)
    rows = []
    for solver, params in SOLVERS.items():
        model = original_model(X, y, curvature="fisher", C=C, **params)
        start = theta(model)
        labels = {"data": name, "C": C, "solver": solver, "seed": seed}
        events = []

        def look(event, share, model, retained, trace, start=start, labels=labels, events=events):
            value = ratio(start, model, retrain(retained)[0])
            events.append({**labels, "event": event, "share": share, "ratio": value})

        trace = erase_stream(model, X, y, random_order(y, seed), look, refresh=True)
        rows += [row | vars(trace) for row in events]
    return rows


def table_refresh(args):
    """Random streams of single rows with a refresh whenever it is recommended, and its time."""
    sets = select_sets(args)
    tasks = [
        (name, X, y, C, seed, args.cache)
        for name, (X, y) in sets.items()
        for C in LOW_PENALTIES
        for seed in range(args.seeds)
    ]
    table = in_parallel(refreshed_streams, tasks, args)
    print('"fisher". Largest ratio on the stream (looked at every 5 % of the rows and before each')
    print("refresh), largest ratio right after a refresh, number of refreshes (median, largest):")
    table["after"] = table["ratio"].where(table["event"] == "after")
    groups = table.groupby(["solver", "data", "C"], sort=False)
    print(
        groups.agg(
            largest=("ratio", "max"),
            after_refresh=("after", "max"),
            refreshes=("refreshes", "median"),
            most_refreshes=("refreshes", "max"),
            first_recommended=("recommended", "min"),
            refusals=("refusals", "max"),
        ).to_string(float_format="{:.3g}".format, na_rep="-")
    )
    print()
    for solver in SOLVERS:
        print(f"Original models: {solver}")
        part = table[table["solver"] == solver]
        largest = part["ratio"].max()
        rule(
            f"with refresh: ratio never above {MAX_RATIO}",
            not largest <= MAX_RATIO,
            f"{largest:.3f}",
        )
        after = part["after"].dropna()
        rule(
            f"right after a refresh: ratio below {MAX_AFTER}",
            (after >= MAX_AFTER).any(),
            f"{(after >= MAX_AFTER).sum()} of {len(after)} are not, largest {after.max():.4f}",
        )
        most = part["refreshes"].max()
        rule(f"at most {MAX_REFRESHES} refreshes to 50 %", most > MAX_REFRESHES, f"{most}")
    refresh_time(ROWS // 4 if args.quick else ROWS)


def refresh_time(n_rows):
    """Print the time of a refresh and of a plain fit on the same rows, in turns."""
    X, y = correlated(n_rows, COLUMNS)
    gone = n_rows // 100
    model = ErasableLogisticRegression(curvature="fisher").fit(X, y)
    for start in range(0, gone, 100):
        model.unlearn(X[start : start + 100], y[start : start + 100])
    X = np.ascontiguousarray(X[gone:])
    y = y[gone:]
    seconds = []
    for _ in range(RUNS):
        plain = timed(lambda: LogisticRegression().fit(X, y))
        erasable = timed(lambda: ErasableLogisticRegression(curvature="fisher").fit(X, y))
        copy = deepcopy(model)
        seconds.append((plain, erasable, timed(lambda copy=copy: copy.refresh(X, y))))
        gc.collect()
    names = ["plain fit", "erasable fit", "refresh"]
    median = pd.DataFrame(seconds, columns=names).median()
    print(f"\n{len(y)} x {COLUMNS}, correlated columns, after 1 % of the rows were erased in calls")
    print(f'of 100. lbfgs, tol 1e-4, "fisher". Seconds, medians of {RUNS} runs in turns:')
    print(median.to_string(float_format="{:.2f}".format))
    quotient = median["refresh"] / median["plain fit"]
    rule("time of a refresh at most a plain fit", quotient > MAX_TIME, f"{quotient:.2f}")
