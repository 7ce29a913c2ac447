"""Cost of the curvature: structures, inversions and memory, compared with NumPy in the same run.

``python examples/benchmarks/bench_curvature.py`` prints one table. Ratios compare two medians of
alternating runs (A, B, A, B, ...):

- full, binary: a build from 20,000 rows of 1,000 parameters, divided by NumPy's ``G.T @ G`` of that
  size plus one Cholesky inverse;
- full, 5 classes: a build of 505 parameters, divided by the same from the explicit (n, 505)
  gradient matrix;
- block: a Python loop of NumPy calls over 40 blocks of 366 parameters from 16,000 rows, and over
  1,000 blocks of 33, divided by a build of these blocks;
- low_rank and diagonal: seconds of the build, milliseconds of an erasure of 10 rows and the peak
  memory, for CSR rows of 50,000 columns that resemble text;
- memory: growth of the resident memory during a build, beside the allowed growth, which is 3 times
  the stored bytes plus 200 MB;
- inversion: time of the inversion that "auto" chooses, divided by the time of the fastest one, over
  a grid of numbers of parameters and of rows.

The lines "full", "block" and "inversion" build the inverse from given gradients. The others use
models that the default solver trained, lbfgs with tolerance 1e-4 ("memory": 2 iterations).

``--quick`` uses a tenth of the rows. Timings on a shared machine vary by 10 % and more.
"""

import argparse
import gc
import os
import platform
import sys
import threading
import time
from pathlib import Path

import numpy as np
import scipy.linalg
from scipy import sparse
from sklearn.preprocessing import normalize

import sklearn_ssse
from sklearn_ssse import ErasableLogisticRegression
from sklearn_ssse._families.base import Batch
from sklearn_ssse._families.linear import CHUNK_BYTES
from sklearn_ssse._gradients import Layer, ScoreStream
from sklearn_ssse._inverse import INVERSES, INVERSIONS


class GivenRows(Batch):
    """A batch for `ScoreStream`: inputs (n, p) and deltas (n, n_outputs), without intercept."""

    def __init__(self, inputs, deltas, simplex=False):
        self.inputs = inputs
        self.deltas = deltas
        self.simplex = simplex
        self.n_samples = inputs.shape[0]
        self.shapes = [(deltas.shape[1], inputs.shape[1])]
        self.chunk_size = int(np.clip(CHUNK_BYTES // (8 * inputs.shape[1]), 64, 8192))

    def rows_per_sample(self, curvature):
        return 1

    def layers(self, rows, curvature):
        return [Layer(self.inputs[rows], self.deltas[rows][:, np.newaxis, :], False, self.simplex)]

    def stream(self):
        return ScoreStream(self, "empirical_fisher")


def alternate(functions, runs):
    """Median seconds of each function over alternating runs."""
    seconds = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(runs):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def line(what, figure, unit, detail):
    print(f"{what:44} {figure:10.3g} {unit:24} {detail}", flush=True)


def build(structure, batch, **options):
    return INVERSES[structure].build(
        batch.stream(), np.ones(batch.stream().n_parameters), **options
    )


def full_binary(scale, runs):
    rng = np.random.default_rng(0)
    n = 20_000 // scale
    d = 1000
    batch = GivenRows(rng.standard_normal((n, d)), rng.standard_normal((n, 1)))
    G = batch.inputs * batch.deltas

    def floor():
        A = G.T @ G
        A.flat[:: d + 1] += 1
        scipy.linalg.lapack.dpotri(scipy.linalg.lapack.dpotrf(A)[0])

    seconds = alternate({"ours": lambda: build("full", batch), "floor": floor}, runs)
    line(
        f"full, binary, {n:,} x {d:,}",
        seconds["ours"] / seconds["floor"],
        "/ (product + inverse)",
        f"{seconds['ours']:.3f} s",
    )


def full_classes(scale, runs):
    rng = np.random.default_rng(0)
    n = 200_000 // scale
    p = 101
    k = 5
    batch = GivenRows(
        rng.standard_normal((n, p)),
        rng.dirichlet(np.ones(k), n) - np.eye(k)[rng.integers(k, size=n)],
        True,
    )

    def explicit():
        G = (batch.deltas[:, :, np.newaxis] * batch.inputs[:, np.newaxis, :]).reshape(n, -1)
        A = G.T @ G
        A.flat[:: k * p + 1] += 1
        np.linalg.inv(np.linalg.cholesky(A))

    seconds = alternate(
        {"ours": lambda: build("full", batch), "explicit": explicit}, max(3, runs // 2)
    )
    line(
        f"full, {k} classes, {n:,} x {k * p}",
        seconds["ours"] / seconds["explicit"],
        "/ explicit gradients",
        f"{seconds['ours']:.3f} s",
    )


def blocks(scale, runs):
    rng = np.random.default_rng(0)
    for count, size in [(40, 366), (1000, 33)]:
        n = 16_000 // scale
        batch = GivenRows(rng.standard_normal((n, size)), rng.standard_normal((n, count)))

        def loop(batch=batch, size=size, count=count):
            for j in range(count):
                rows = batch.inputs * batch.deltas[:, j : j + 1]
                np.linalg.inv(rows.T @ rows + np.eye(size))

        seconds = alternate(
            {"ours": lambda batch=batch: build("block", batch), "loop": loop}, max(3, runs // 2)
        )
        detail = f"{seconds['ours']:.3f} s, loop {seconds['loop']:.3f} s"
        line(
            f"{count:,} blocks of {size}, {n:,} rows",
            seconds["loop"] / seconds["ours"],
            "times faster than a loop",
            detail,
        )


def text(scale):
    rng = np.random.default_rng(0)
    n = 10_000 // scale
    p = 49_999
    nonzero = 100
    columns = np.minimum(rng.zipf(1.3, n * nonzero) - 1, p - 1)
    X = sparse.csr_array(
        (rng.uniform(size=n * nonzero), columns, np.arange(0, n * nonzero + 1, nonzero)),
        shape=(n, p),
    )
    X.sum_duplicates()
    X = normalize(X)
    y = (X[:, :50].sum(axis=1) + rng.standard_normal(n) > np.median(X[:, :50].sum(axis=1))).astype(
        int
    )
    for structure, params in [("low_rank", {"rank": 256}), ("diagonal", {})]:
        if structure not in INVERSES:
            continue
        model = ErasableLogisticRegression(
            structure=structure, **params, damping=1e-4, unlearn_epsilon=1.0
        )
        model.fit(X, y)
        start = time.perf_counter()
        peak = peak_growth(lambda model=model: model.fit_curvature(X, y))
        seconds = time.perf_counter() - start
        steps = []
        for i in range(10):
            rows = slice(10 * i, 10 * i + 10)
            start = time.perf_counter()
            model.unlearn(X[rows], y[rows])
            steps.append(time.perf_counter() - start)
        stored = model.curvature_.nbytes
        detail = f"build {seconds:.2f} s, peak {peak / 1e6:.0f} MB, stores {stored / 1e6:.0f} MB"
        line(
            f"{structure}, text, {n:,} x {p + 1:,}",
            1e3 * np.median(steps),
            "ms to erase 10 rows",
            detail,
        )


def inversions(scale, runs):
    rng = np.random.default_rng(0)
    for d in (10, 32, 100, 300, 1000, 3000):
        for n in (max(1, d // 10), d, 10 * d, 100 * d):
            if n * d * d > 1e12 / scale:
                continue
            batch = GivenRows(rng.standard_normal((n, d)), np.ones((n, 1)))
            fast = {
                name: lambda batch=batch, name=name: build("full", batch, inversion=name)
                for name in INVERSIONS
            }
            if n * d * d > 3e9:
                fast = (
                    {"cholesky": fast["cholesky"]}
                    if n > d
                    else {name: fast[name] for name in ("cholesky", "rank_b")}
                )
            seconds = alternate(fast, max(3, runs // 2))
            chosen = build("full", batch).inversion
            times = ", ".join(f"{name} {1e3 * value:.3g} ms" for name, value in seconds.items())
            line(
                f"inversion, d = {d:,}, n = {n:,}: {chosen}",
                seconds[chosen] / min(seconds.values()),
                "/ fastest",
                times,
            )


def memory(scale):
    rng = np.random.default_rng(0)
    n = 2_000_000 // scale
    X = rng.standard_normal((n, 50))
    y = (X[:, 0] + rng.standard_normal(n) > 0).astype(int)
    for structure in INVERSES:
        model = ErasableLogisticRegression(structure=structure, max_iter=2).fit(X[:1000], y[:1000])
        growth = peak_growth(lambda model=model: model.fit_curvature(X, y))
        allowed = 3 * model.curvature_.nbytes + 2e8
        line(
            f"memory, {structure}, {n:,} x 51",
            growth / 1e6,
            "MB at the peak",
            f"allowed {allowed / 1e6:.0f} MB",
        )


def peak_growth(function):
    """Growth of the resident memory during a call, in bytes; nan on other systems than Linux."""
    if not Path("/proc/self/statm").exists():
        function()
        return float("nan")
    gc.collect()
    sizes = [resident()]
    done = threading.Event()

    def watch():
        while not done.wait(0.001):
            sizes.append(resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        function()
    finally:
        done.set()
        watcher.join()
    return max(sizes) - sizes[0]


def resident():
    """Resident memory of this process in bytes (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--runs", type=int, default=7)
    args = parser.parse_args()
    scale = 10 if args.quick else 1
    print(
        f"{platform.machine()}, {os.cpu_count()} cores; Python {platform.python_version()}, "
        f"NumPy {np.__version__}, sklearn-ssse {sklearn_ssse.__version__}; "
        f"medians of {args.runs} alternating runs"
    )
    full_binary(scale, args.runs)
    full_classes(scale, args.runs)
    blocks(scale, args.runs)
    text(scale)
    memory(scale)
    inversions(scale, args.runs)


if __name__ == "__main__":
    sys.exit(main())
