"""Cost of a fit and of an erasure: `ErasableLogisticRegression` compared with `LogisticRegression`.

``python examples/benchmarks/bench_logistic.py`` prints one table. It contains the seconds of a
plain fit and of an erasable fit, the milliseconds of ``unlearn`` of 10 rows, their ratios, and the
seconds of ``refresh`` on the retained rows after 3 % of the rows were erased. All times are medians
of alternating runs (plain, erasable, plain, erasable, ...). On Linux the table also contains the
peak memory of each fit, without the data.

The two data sets have 200,000 rows and 100 columns. The models use the default solver, lbfgs with
tolerance 1e-4.

- correlated: from ``make_classification`` with 20 informative and 40 redundant columns, like most
  real tables.
- independent: standard normal columns. The solver needs few iterations, so the curvature takes the
  largest share of the fit.

The figures are not pass marks. Timings on a shared machine vary by 10 % and more.
"""

import argparse
import gc
import os
import platform
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import sklearn
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression

import sklearn_ssse
from sklearn_ssse import ErasableLogisticRegression


def correlated(n, p):
    return make_classification(
        n, p, n_informative=p // 5, n_redundant=2 * p // 5, flip_y=0.05, random_state=0
    )


def independent(n, p):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p))
    logits = X @ rng.standard_normal(p) * 2 / np.sqrt(p)
    return X, (rng.uniform(size=n) < 1 / (1 + np.exp(-logits))).astype(int)


DATA = {"correlated": correlated, "independent": independent}
MODELS = {
    "plain": LogisticRegression,
    "erasable": ErasableLogisticRegression,
    "erasable, fisher": lambda: ErasableLogisticRegression(curvature="fisher"),
}


def timed(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def measure(data, n, p, runs):
    X, y = DATA[data](n, p)
    erasable = list(MODELS)[1:]
    verbs = [f"{verb}, {name}" for name in erasable for verb in ("unlearn", "refresh")]
    seconds = {name: [] for name in [*MODELS, *verbs]}
    last = slice(n - 3 * n // 100, n)
    for run in range(runs):
        for name, make in MODELS.items():
            model = make()
            seconds[name].append(timed(lambda model=model: model.fit(X, y)))
            if name == "plain":
                continue
            time.sleep(0.1)  # until the threads of the fit are idle
            for i in range(20):
                rows = slice(10 * (20 * run + i), 10 * (20 * run + i) + 10)
                step = timed(lambda model=model, rows=rows: model.unlearn(X[rows], y[rows]))
                seconds[f"unlearn, {name}"].append(step)
            model.unlearn(X[last], y[last])
            retained = np.ones(n, dtype=bool)
            retained[last] = False
            retained[200 * run : 200 * run + 200] = False
            rows = X[retained], y[retained]
            refresh = timed(lambda model=model, rows=rows: model.refresh(*rows))
            seconds[f"refresh, {name}"].append(refresh)
        gc.collect()
    return {name: float(np.median(values)) for name, values in seconds.items()}


def peak_megabytes(data, n, p, name):
    """Growth of the resident memory during one fit, in MB, measured in a separate process."""
    code = f"import bench_logistic as b; b.print_peak({data!r}, {n}, {p}, {name!r})"
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=sys.path[0], capture_output=True, text=True, check=True
    )
    return float(out.stdout)


def print_peak(data, n, p, name):
    X, y = DATA[data](n, p)
    MODELS[name]().fit(X[:1000], y[:1000])  # loads modules and allocates thread buffers
    gc.collect()
    model = MODELS[name]()
    sizes = [resident()]
    done = threading.Event()

    def watch():
        while not done.wait(0.0005):
            sizes.append(resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    model.fit(X, y)
    done.set()
    watcher.join()
    print((max(sizes) - sizes[0]) / 2**20)


def resident():
    """Resident memory of this process in bytes (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--runs", type=int, default=7)
    args = parser.parse_args()
    print(
        f"{args.rows:,} x {args.columns}, binary, default solver; {platform.machine()}, "
        f"{os.cpu_count()} cores; Python {platform.python_version()}, "
        f"scikit-learn {sklearn.__version__}, sklearn-ssse {sklearn_ssse.__version__}; "
        f"medians of {args.runs} alternating runs"
    )
    header = (
        "columns",
        "model",
        "fit s",
        "/ plain fit",
        "unlearn 10 rows ms",
        "plain refit / unlearn",
        "refresh s",
        "peak MB",
        "beyond plain MB",
    )
    print("{:12} {:17} {:>7} {:>12} {:>19} {:>22} {:>9} {:>9} {:>16}".format(*header))
    for data in DATA:
        seconds = measure(data, args.rows, args.columns, args.runs)
        peak = {name: peak_megabytes(data, args.rows, args.columns, name) for name in MODELS}
        for name in MODELS:
            ratio = seconds[name] / seconds["plain"]
            line = f"{data:12} {name:17} {seconds[name]:7.3f} {ratio:12.2f}"
            if name != "plain":
                step = seconds[f"unlearn, {name}"]
                refresh = seconds[f"refresh, {name}"]
                line += (
                    f" {1e3 * step:19.3f} {seconds['plain'] / step:22,.0f} {refresh:9.3f} "
                    f"{peak[name]:9.0f} {peak[name] - peak['plain']:16.0f}"
                )
            else:
                line += f" {'':19} {'':22} {'':9} {peak[name]:9.0f}"
            print(line)


if __name__ == "__main__":
    main()
