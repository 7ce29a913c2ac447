"""Tables of `bench_stream.py` on single calls: the third-derivative tensor, and the defaults."""

import numpy as np
import pandas as pd
from bench_ablation_logistic import theta
from stream_data import (
    CARRIERS,
    FLIGHTS_ROWS,
    binary_sets,
    carried_sets,
    one_hot_flights,
    softmax_sets,
    twelve_sets,
)
from stream_runs import CONVERGED, Retraining, one_call, original_model, random_order, ratio
from stream_tables import in_parallel, one_stream, rule

LOW_PENALTIES = [0.01, 1.0]
ORDERS = [1, 2]
KINDS = ["random 1 %", "random 5 %", "random 20 %", "half of a class"]
# Largest median distance ratios with the tensor, for each kind of forget set.
MAX_BINARY = dict(zip(KINDS, [0.001, 0.002, 0.01, 0.06], strict=True))
MAX_SOFTMAX = dict(zip(KINDS, [0.001, 0.005, 0.03, 0.08], strict=True))
# The same for random streams of single rows, for shares of the rows.
MAX_STREAM = {0.05: 0.01, 0.1: 0.01, 0.2: 0.03, 0.5: 0.25}
# Distance ratio by which the tensor may be worse than a Newton step in a single case.
MAX_WORSE = 0.1
# Largest median and largest distance ratio with the default parameters.
MAX_DEFAULT_MEDIAN = 0.08
MAX_DEFAULT = 0.3
MAX_FLIGHTS = 0.1


def forget_sets(y, seed):
    """Kind and positions of each forget set."""
    rng = np.random.default_rng(seed)
    for kind, share in zip(KINDS, [0.01, 0.05, 0.2], strict=False):
        yield kind, rng.choice(len(y), max(1, int(share * len(y))), replace=False)
    members = np.flatnonzero(y == rng.choice(np.unique(y)))
    yield KINDS[-1], rng.choice(members, len(members) // 2, replace=False)


def tensor_calls(group, name, X, y, C, seeds, folder):
    """Distance ratios of single calls with and without the tensor, one row for each set."""
    retrain = Retraining(name, X, y, C, folder)
    originals = {
        order: original_model(X, y, **CONVERGED, curvature="fisher", C=C, order=order)
        for order in ORDERS
    }
    rows = []
    for seed in range(seeds):
        for kind, S in forget_sets(y, seed):
            retained = np.ones(len(y), dtype=bool)
            retained[S] = False
            target = retrain(retained)[0]
            row = {"group": group, "data": name, "C": C, "kind": kind, "seed": seed}
            for order, original in originals.items():
                row[order] = ratio(theta(original), one_call(original, X[S], y[S]), target)
            rows.append(row)
    return rows


def tensor_streams(name, X, y, C, seed, folder):
    """Distance ratios of a random stream of single rows, with and without the tensor."""
    retrain = Retraining(name, X, y, C, folder)
    rows = []
    for order in ORDERS:
        model = original_model(X, y, **CONVERGED, curvature="fisher", C=C, order=order)
        labels = {"data": name, "C": C, "derivatives": order, "seed": seed}
        rows += one_stream(model, X, y, random_order(y, seed), retrain, labels, False)
    return rows


def table_tensor(args):
    """One call and streams with the third-derivative tensor (order 2) and without it (order 1)."""
    groups = {"binary": binary_sets(), "softmax": softmax_sets()}
    for group, sets in groups.items():
        if args.quick:
            groups[group] = sets = dict(list(sets.items())[:3])
        sizes = [f"{name} {X.shape[0]} x {X.shape[1]}" for name, (X, _) in sets.items()]
        print(f"{group}: {', '.join(sizes)}.")
    print('"fisher", C = .01 and 1; all models newton-cholesky, tol 1e-10.\n')
    tasks = [
        (group, name, X, y, C, args.seeds, args.cache)
        for group, sets in groups.items()
        for name, (X, y) in sets.items()
        for C in LOW_PENALTIES
    ]
    calls = in_parallel(tensor_calls, tasks, args)
    print_calls(calls)
    tasks = [
        (name, X, y, C, seed, args.cache)
        for name, (X, y) in groups["binary"].items()
        for C in LOW_PENALTIES
        for seed in range(args.seeds)
    ]
    streams = in_parallel(tensor_streams, tasks, args)
    print("\nRandom streams, one row at each call, binary. Distance ratio, median:")
    curves = streams.groupby(["derivatives", "share"])["ratio"].median().unstack("share")
    print(curves.to_string(float_format="{:.4f}".format))
    print()
    for group, limits in [("binary", MAX_BINARY), ("softmax", MAX_SOFTMAX)]:
        for kind, limit in limits.items():
            part = calls[(calls["group"] == group) & (calls["kind"] == kind)]
            median = part[2].median()
            text = f"{group}, {kind}: median ratio with the tensor at most {limit}"
            rule(text, not median <= limit, f"{median:.4f}")
    worse = calls[2] - calls[1] > MAX_WORSE
    refused = calls[2].isna() & calls[1].notna()
    rule(
        "the tensor never worse than a Newton step by more than .1",
        worse.any() or refused.any(),
        f"{worse.sum()} of {len(calls)} cases, largest difference "
        f"{(calls[2] - calls[1]).max():.3f}; {refused.sum()} refused with the tensor only",
    )
    for share, limit in MAX_STREAM.items():
        median = curves.loc[2, share]
        text = f"binary, random streams: median ratio at {share:.0%} at most {limit}"
        rule(text, not median <= limit, f"{median:.4f}")


def print_calls(calls):
    """Print median, 90th percentile and maximum of single calls, and the cases that are worse."""
    print("One call. Distance ratio for order 1 and order 2, median / 90th percentile / worst:")
    long = calls.melt(["group", "data", "C", "kind", "seed"], ORDERS, "order", "ratio")
    groups = long.groupby(["group", "kind", "order"], sort=False)["ratio"]
    cells = groups.quantile(0.5).map("{:.4f} / ".format)
    cells += groups.quantile(0.9).map("{:.3f} / ".format)
    cells += groups.max().map("{:.3f}".format)
    print(cells.unstack("order").to_string())
    worst = calls.assign(difference=calls[2] - calls[1]).nlargest(5, "difference")
    print("\nThe five cases in which order 2 is worst, compared with order 1:")
    print(worst.to_string(index=False, float_format="{:.3f}".format))


def default_calls(name, X, y, seeds, folder):
    """Distance ratios of random forget sets for default and converged original models."""
    retrain = Retraining(name, X, y, 1.0, folder)
    originals = {
        "default": original_model(X, y, curvature="fisher"),
        "converged": original_model(X, y, **CONVERGED, curvature="fisher"),
    }
    iterations = int(originals["default"].n_iter_.max())
    rows = []
    for seed in range(seeds):
        for kind, S in list(forget_sets(y, seed))[:2]:
            retained = np.ones(len(y), dtype=bool)
            retained[S] = False
            target = retrain(retained)[0]
            row = {
                "data": f"{name}, {len(y)} x {X.shape[1]}, {len(np.unique(y))} classes",
                "iterations": iterations,
                "kind": kind,
            }
            for label, original in originals.items():
                row[label] = ratio(theta(original), one_call(original, X[S], y[S]), target)
            rows.append(row)
    return rows


def table_defaults(args):
    """Random 1 % and 5 % in one call, for models of the default solver."""
    sets = twelve_sets()
    if not args.quick:
        sets |= carried_sets()
        for name, line in CARRIERS.items():
            if name not in sets:
                print(f"Without {name}, which is read from a package: {line}")
    print('"fisher", C = 1. Original models: default solver lbfgs, tol 1e-4, and newton-cholesky,')
    print("tol 1e-10. Retrained: newton-cholesky, tol 1e-10.\n")
    tasks = [(name, X, y, args.seeds, args.cache) for name, (X, y) in sets.items()]
    n = FLIGHTS_ROWS // 10 if args.quick else FLIGHTS_ROWS
    tasks.append(("like flights", *one_hot_flights(n), min(args.seeds, 2), args.cache))
    table = in_parallel(default_calls, tasks, args)
    groups = table.groupby(["data", "iterations", "kind"], sort=False)[["default", "converged"]]
    cells = pd.concat({"median": groups.median(), "worst": groups.max()}, axis=1).unstack("kind")
    print(cells.to_string(float_format="{:.3f}".format, na_rep="refused"))
    print()
    flights = table["data"].str.contains("flights")
    small = table.loc[~flights, "default"]
    rule(
        f"defaults: median ratio at most {MAX_DEFAULT_MEDIAN}",
        not small.median() <= MAX_DEFAULT_MEDIAN,
        f"{small.median():.3f}",
    )
    over = ~(small <= MAX_DEFAULT)
    rule(
        f"defaults: no ratio above {MAX_DEFAULT}",
        over.any(),
        f"{over.sum()} of {len(small)}, largest {small.max():.3f}",
    )
    largest = table.loc[flights, "default"].max()
    rule(
        f"flights: ratio at most {MAX_FLIGHTS}",
        not largest <= MAX_FLIGHTS,
        f"largest {largest:.3f}",
    )
