"""Time and memory of the structures of the inverse for a net of the size of a ResNet20.

``python examples/benchmarks/bench_structures.py`` prints one table for 269,722 parameters. The
curvature rows are random float32 vectors whose columns shrink like ``j^(-1/4)``; they are made
chunk by chunk, as the gradient rows of a module are, and the time to make them is not counted. The
damping is 1e-3 on the scale of a mean over rows. Each structure runs in a process of its own with
one thread. Times are seconds of processor time, so that other programs do not change them:

- build: the inverse from the rows;
- solve: the product of the inverse with one vector, the main part of a step;
- erasure: the preparation of the downdate by ten rows, with its margin, and the downdate itself.

Memory is the size of the stored inverse and the peak of the process. A structure whose build does
not fit into the memory of the machine is not run: the table has the memory that it needs.

``--quick`` takes a hundredth of the parameters and a tenth of the rows.
"""

import argparse
import datetime
import os
import platform
import resource
import subprocess
import sys
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is imported
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from machine import processor

import sklearn_ssse
from sklearn_ssse._gradients import Layer, Scores
from sklearn_ssse._inverse import MODULE_INVERSES, sizes
from sklearn_ssse._utils.memory import available_bytes, readable

N_PARAMETERS = 269_722
BLOCK_SIZE = 70_000
# Structure, options and number of rows: 800 rows are the mini-batches of ten of 8,000 images.
CASES = [
    ("full", {}, 800),
    ("block", {"block_size": BLOCK_SIZE}, 800),
    ("gradients", {}, 800),
    ("gradients", {"block_size": BLOCK_SIZE}, 800),
    ("gradients", {}, 5000),
    ("low_rank", {"rank": 100}, 800),
    ("low_rank", {"rank": 100}, 5000),
    ("diagonal", {}, 5000),
]
CHUNK_ROWS = 200
DAMPING = 1e-3
N_ERASED = 10


class RandomRows:
    """Random float32 curvature rows, with the interface of `ScoreStream`."""

    rows_per_sample = 1

    def __init__(self, n_rows, n_parameters):
        self.n_samples = n_rows
        self.n_rows = n_rows
        self.n_parameters = n_parameters
        self.shapes = [(1, n_parameters)]
        self.scale = 0.1 * np.arange(1, n_parameters + 1, dtype=np.float32) ** -0.25
        self.seconds = 0.0

    def chunks(self):
        for start in range(0, self.n_rows, CHUNK_ROWS):
            began = time.process_time()
            shape = min(CHUNK_ROWS, self.n_rows - start), self.n_parameters
            rows = np.random.default_rng(start).standard_normal(shape, dtype=np.float32)
            rows *= self.scale
            self.seconds += time.process_time() - began
            yield explicit(rows)

    def diagonal(self):
        return sum(np.square(chunk.to_dense(), dtype=np.float64).sum(0) for chunk in self.chunks())


def explicit(rows):
    return Scores([Layer(rows, np.ones((len(rows), 1, 1)), False)])


def seconds_of(function):
    """Processor time of one call, and its result."""
    began = time.process_time()
    result = function()
    return time.process_time() - began, result


def measure(structure, options, n_rows, n_parameters):
    """The cells of one structure, as strings."""
    scores = RandomRows(n_rows, n_parameters)
    kind = MODULE_INVERSES[structure]
    needed = kind.peak_bytes(scores.shapes, **sizes(kind, options, n_rows))
    if needed > available_bytes():
        return [f"needs {readable(needed)}", "", "", "", ""]
    forget = explicit(next(scores.chunks()).to_dense()[:N_ERASED].copy())
    scores.seconds = 0.0
    ridge = np.full(n_parameters, n_rows * DAMPING)
    build, inverse = seconds_of(lambda: kind.build(scores, ridge, **options))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    solve, _ = seconds_of(lambda: inverse.solve(np.ones(n_parameters)))
    erasure, _ = seconds_of(lambda: inverse.pending_downdate(forget).inverse())
    return [
        readable(inverse.nbytes),
        f"{peak:.1f} GB",
        f"{build - scores.seconds:.1f}",
        f"{solve:.2f}",
        f"{erasure:.2f}",
    ]


def print_row(cells):
    print("|", " | ".join(cells), "|", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--case", type=int, help="number of the only structure to run")
    args = parser.parse_args()
    n_parameters = N_PARAMETERS // 100 if args.quick else N_PARAMETERS
    if args.case is not None:
        structure, options, n_rows = CASES[args.case]
        if args.quick:
            n_rows //= 10
            options = {name: max(value // 100, 20) for name, value in options.items()}
        cells = measure(structure, options, n_rows, n_parameters)
        given = ", ".join(f"{name}={value}" for name, value in options.items())
        print_row([f'`"{structure}"`' + (f", {given}" if given else ""), f"{n_rows:,}", *cells])
        return
    print(
        f"{datetime.date.today()}, {os.cpu_count()} cores, {processor()}, one thread; Python "
        f"{platform.python_version()}, NumPy {np.__version__}, sklearn_ssse "
        f"{sklearn_ssse.__version__}; {n_parameters:,} parameters, damping {DAMPING:g}\n"
    )
    header = ["structure", "rows", "stored", "peak", "build s", "solve s", "erasure s"]
    print_row(header)
    print_row(["---"] * len(header))
    quick = ["--quick"] if args.quick else []
    for case in range(len(CASES)):
        subprocess.run([sys.executable, __file__, "--case", str(case), *quick], check=True)


if __name__ == "__main__":
    main()
