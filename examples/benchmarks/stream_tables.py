"""Tables of `bench_stream.py` on streams: random order, by class and largest loss first."""

from copy import deepcopy
from itertools import product

import joblib
import pandas as pd
from bench_ablation_logistic import theta
from stream_data import stream_sets
from stream_runs import (
    MAX_REFUSALS,
    SHOWN,
    SOLVERS,
    Retraining,
    class_order,
    erase_stream,
    loss_order,
    one_call,
    original_model,
    random_order,
    ratio,
)

PENALTIES = [0.01, 1.0, 100.0]
CURVATURES = ["empirical_fisher", "fisher"]
QUICK_SETS = ["wine", "iris", "breast cancer"]
# A stream is compared with these events in its trace.
EVENTS = ["refused", "warned", "recommended"]
# The requirements. Accuracies and shares are fractions, the others are factors.
MAX_GAP = 0.05
NO_EVENT_BEFORE = 0.1
MAX_TO_ONE_CALL = 1.5
MAX_SINGLE_TO_ONE_CALL = 3.0
MAX_PARAMETER = 10.0


def rule(text, broken, figure):
    """Print whether a requirement holds, with the figure that decides it."""
    print(f"{'does not hold' if broken else 'holds':13} | {text}: {figure}")


def select_sets(args):
    """The data sets of the streams, fewer with ``--quick``; print their sizes."""
    sets = stream_sets()
    if args.quick:
        sets = {name: sets[name] for name in QUICK_SETS}
    sizes = [f"{name} {X.shape[0]} x {X.shape[1]}" for name, (X, _) in sets.items()]
    print(f"Standardised or one-hot columns: {', '.join(sizes)}.")
    print("Original models: " + "; ".join(SOLVERS) + ". Retrained: newton-cholesky, tol 1e-10.")
    print(f"A refused row is skipped; a stream stops after {MAX_REFUSALS} refusals in a row.\n")
    return sets


def in_parallel(function, tasks, args):
    """Rows of a table, from a function that returns some for each task."""
    results = joblib.Parallel(args.jobs)(joblib.delayed(function)(*task) for task in tasks)
    return pd.DataFrame([row for rows in results for row in rows])


def one_stream(model, X, y, order, retrain, labels, with_one_call):
    """Erase a stream; one row of figures at each share.

    Returns
    -------
    list of dict
        `ratio` and `one call`: distance ratios of the stream, and of one call for the same rows.
        `gap`: accuracy of the retrained model minus accuracy of the erased one, on the retained
        rows. The other columns are the final values of `Trace`.
    """
    original = deepcopy(model)
    start = theta(original)
    rows = []

    def look(event, share, model, retained, trace):
        target, accuracy = retrain(retained)
        once = None
        if with_one_call and round(share, 2) in SHOWN and not retained.all():
            once = one_call(original, X[~retained], y[~retained])
        rows.append(
            {
                **labels,
                "share": round(share, 2),
                "ratio": ratio(start, model, target),
                "one call": ratio(start, once, target),
                "gap": accuracy - model.score(X[retained], y[retained]),
            }
        )

    trace = erase_stream(model, X, y, order, look)
    return [row | vars(trace) for row in rows]


def random_streams(name, X, y, C, seed, folder):
    """Rows of the table for one random order: both curvatures, all solvers."""
    retrain = Retraining(name, X, y, C, folder)
    order = random_order(y, seed)
    rows = []
    for curvature, (solver, params) in product(CURVATURES, SOLVERS.items()):
        model = original_model(X, y, curvature=curvature, C=C, **params)
        labels = {"data": name, "C": C, "curvature": curvature, "solver": solver, "seed": seed}
        rows += one_stream(model, X, y, order, retrain, labels, curvature == "fisher")
    return rows


def hardest_streams(name, X, y, C, seeds, folder):
    """Rows of the table for all orders by class, and for largest loss first."""
    retrain = Retraining(name, X, y, C, folder)
    rows = []
    for curvature, (solver, params) in product(CURVATURES, SOLVERS.items()):
        model = original_model(X, y, curvature=curvature, C=C, **params)
        orders = [("by class", seed, class_order(y, seed)) for seed in range(seeds)]
        orders.append(("largest loss first", 0, loss_order(y, model.predict_proba(X))))
        for kind, seed, order in orders:
            labels = {
                "order": kind,
                "data": name,
                "C": C,
                "curvature": curvature,
                "solver": solver,
                "seed": seed,
            }
            rows += one_stream(deepcopy(model), X, y, order, retrain, labels, False)
    return rows


def by_stream(table):
    """Figures of each whole stream, one row each."""
    keys = [key for key in ("order", "data", "C", "curvature", "solver", "seed") if key in table]
    table = table.assign(
        silent=(table["ratio"] > 1)
        & ~(table["recommended"] < table["share"])
        & ~(table["refused"] < table["share"])
    )
    return table.groupby(keys, sort=False).agg(
        gap=("gap", "max"),
        silent=("silent", "max"),
        refusals=("refusals", "first"),
        refused=("refused", "first"),
        warned=("warned", "first"),
        recommended=("recommended", "first"),
        largest=("largest", "first"),
        stopped=("stopped", "first"),
    )


def print_curves(table, keys):
    """Print median and worst distance ratio at the shown shares, one line for each group."""
    shown = table[table["share"].isin(SHOWN)]
    groups = shown.groupby([*keys, "share"], sort=False)["ratio"]
    cells = groups.median().map("{:.3g}".format) + " / " + groups.max().map("{:.3g}".format)
    cells = cells.unstack("share")
    cells.columns = [f"{share:.0%}" for share in cells.columns]
    print(cells.to_string())


def print_events(streams, keys):
    """Print the worst gap and the first events of the streams, one line for each group."""
    groups = streams.groupby(keys, sort=False)
    print(
        groups.agg(
            worst_gap=("gap", "max"),
            largest_parameter=("largest", "max"),
            refused=("refused", "min"),
            warned=("warned", "min"),
            recommended=("recommended", "min"),
            refusals=("refusals", "median"),
            gap_broken=("gap", lambda gaps: int((gaps > MAX_GAP).sum())),
            silent=("silent", "sum"),
            stopped=("stopped", "sum"),
            streams=("gap", "size"),
        ).to_string(float_format="{:.3g}".format, na_rep="-")
    )


def table_streams(args):
    """One by one to 50 % of the rows in random order."""
    sets = select_sets(args)
    tasks = [
        (name, X, y, C, seed, args.cache)
        for name, (X, y) in sets.items()
        for C in PENALTIES
        for seed in range(args.seeds)
    ]
    table = in_parallel(random_streams, tasks, args)
    streams = by_stream(table)
    for curvature, solver in product(CURVATURES, SOLVERS):
        part = table[(table["curvature"] == curvature) & (table["solver"] == solver)]
        print(f'\n"{curvature}", {solver}. Distance ratio, median / worst of {args.seeds} orders:')
        print_curves(part, ["data", "C"])
        print("Worst accuracy gap, largest parameter over the largest at fit, smallest share of")
        print("rows before the first refusal, warning and recommendation, median of the number of")
        print("refusals; number of streams with a gap above .05, with a ratio above 1 and no")
        print("recommendation or refusal before it, and of those that stopped:")
        print_events(by_stream(part), ["data", "C"])
    print()
    for solver in SOLVERS:
        print(f"Original models: {solver}")
        rules_of_events(streams.xs(solver, level="solver"))
        rules_of_ratios(table[table["solver"] == solver])


def rules_of_events(streams):
    """Print whether the requirements on accuracy, silent failures and early events hold."""
    n = len(streams)
    low = streams.index.get_level_values("C") <= 1
    over = int((streams["gap"] > MAX_GAP).sum())
    rule(
        "accuracy on the retained rows never five points below retraining",
        over,
        f"{over} of {n} streams, worst gap {streams['gap'].max():.3f}",
    )
    silent = int(streams["silent"].sum())
    rule("no ratio above 1 without a recommendation or refusal before", silent, f"{silent} of {n}")
    early = [int((streams.loc[low, name] < NO_EVENT_BEFORE).sum()) for name in EVENTS]
    rule(
        "C <= 1: no refusal, warning or recommendation before 10 % of the rows",
        sum(early),
        f"{early[0]} refused, {early[1]} warned, {early[2]} recommended of {low.sum()}",
    )


def rules_of_ratios(table):
    """Print whether the streams with "fisher" and C <= 1 are close to one call."""
    part = table[(table["curvature"] == "fisher") & (table["C"] <= 1)]
    part = part[part["share"].isin(SHOWN)]
    for share in (0.05, 0.1, 0.2, 0.5):
        at = part.loc[part["share"] == share, ["ratio", "one call"]].median()
        quotient = at["ratio"] / at["one call"]
        rule(
            f'"fisher", C <= 1: median ratio at {share:.0%} at most 1.5 times one call',
            not quotient <= MAX_TO_ONE_CALL,
            f"{at['ratio']:.3f} / {at['one call']:.3f} = {quotient:.2f}",
        )
    worse = part["ratio"] > MAX_SINGLE_TO_ONE_CALL * part["one call"]
    unannounced = part[worse & ~(part["recommended"] < part["share"])]
    rule(
        '"fisher", C <= 1: worse than 3 times one call only after a recommendation',
        len(unannounced),
        f"{worse.sum()} of {len(part)} worse, {len(unannounced)} without a recommendation before "
        f"({(unannounced['ratio'] > 0.1).sum()} with a ratio above .1)",
    )


def table_hardest(args):
    """By class, and largest loss first."""
    sets = select_sets(args)
    print("By class: at the shares where a class has no row left, only accuracies are compared.")
    tasks = [
        (name, X, y, C, args.seeds, args.cache) for name, (X, y) in sets.items() for C in PENALTIES
    ]
    table = in_parallel(hardest_streams, tasks, args)
    streams = by_stream(table)
    for curvature, solver in product(CURVATURES, SOLVERS):
        part = table[(table["curvature"] == curvature) & (table["solver"] == solver)]
        print(f'\n"{curvature}", {solver}. Distance ratio, median / worst:')
        print_curves(part, ["order", "data", "C"])
        print_events(by_stream(part), ["order", "data", "C"])
    print()
    for solver in SOLVERS:
        print(f"Original models: {solver}")
        part = streams.xs(solver, level="solver")
        for kind in ("by class", "largest loss first"):
            rules_of_ruin(part.xs(kind, level="order"), kind)


def rules_of_ruin(streams, kind):
    """Print whether accepted erasures in this order leave accuracy and parameters intact."""
    n = len(streams)
    over = int((streams["gap"] > MAX_GAP).sum())
    rule(
        f"{kind}: accuracy on the retained rows never five points below retraining",
        over,
        f"{over} of {n} streams, worst gap {streams['gap'].max():.3f}",
    )
    large = int((streams["largest"] > MAX_PARAMETER).sum())
    rule(
        f"{kind}: no parameter beyond 10 times the largest at fit",
        large,
        f"{large} of {n} streams, worst {streams['largest'].max():.3g}",
    )
