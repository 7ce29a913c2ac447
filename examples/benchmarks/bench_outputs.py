"""Speed of `unlearn` for a `MultiOutputClassifier`: all outputs together, compared with a loop.

``python examples/benchmarks/bench_outputs.py`` prints, for d parameters and k erased rows, the
milliseconds of ``unlearn`` for one output, for all outputs in a loop, and for all outputs together.
The times are medians of alternating runs. It also prints the speed-up of "together" over the loop,
and "together" divided by two bounds:

- "products": one bare product ``P @ v`` of an inverse with a vector for each output, plus twice the
  time of one erasure without its own product;
- "+ downdates": the first bound plus one bare downdate for each output. A bare downdate computes
  the eigenvectors of a (k, k) matrix, whose eigenvalues decide whether the downdate exists, and
  ``P + U @ U.T`` in a new array.

The first bound omits necessary work. Every erasure must compute eigenvalues. It must also write the
new inverse into new memory, because copies of the model may share the old inverse, and because the
old inverse is still needed if an error occurs.

The following was measured with 40 outputs on two busy cores of a virtual server:

=========================  ==========  ==========  ==========
"together" divided by      d = 32      d = 128     d = 512
=========================  ==========  ==========  ==========
"products"                 1.1 to 1.4  1.4 to 2.0  3.2 to 8.3
"products + downdates"     .8 to .9    .8 to 1.0   .4 to 1.6
=========================  ==========  ==========  ==========

No erasure can meet the first bound at d = 512. There 40 bare products take 6 ms, and 40 bare
downdates of one row take 25 to 90 ms, nearly all of it for writing to memory for the first time.
Ratios to the second bound are below 1 if other processes use the cores: the bare downdates and the
single erasure make many small BLAS products over two threads, which then wait for each other.

The models use the default solver, lbfgs with tolerance 1e-4, without intercept. The figures are not
pass marks. Timings on a shared machine vary by 50 %.
"""

import argparse
import gc
import os
import platform
import time

import numpy as np
import sklearn
from sklearn.multioutput import MultiOutputClassifier

import sklearn_ssse
from sklearn_ssse import ErasableLogisticRegression, unlearn
from sklearn_ssse._composites import RoutedRows, bare_copies
from sklearn_ssse._composites.registry import plan_all
from sklearn_ssse._erasure import carry_out

WIDTHS = (32, 128, 512)
ROWS = (1, 10)


def attributes(n, d, n_outputs, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    signal = X @ rng.standard_normal((d, n_outputs)) / np.sqrt(d)
    return X, (signal + rng.standard_normal((n, n_outputs)) > rng.uniform(-1, 1, n_outputs)).astype(
        int
    )


def one_by_one(model, X, Y):
    outputs = zip(model.estimators_, Y.T, strict=True)
    carry_out(plan_all((output, RoutedRows(X, y)) for output, y in outputs).worked_out().erasures)


def measure(model, X, Y, runs):
    """Median seconds of the bare operations and of the ways to erase."""
    inverses = [output.curvature_.matrix for output in model.estimators_]
    rng = np.random.default_rng(0)
    v = rng.standard_normal(len(inverses[0]))
    U = rng.standard_normal((len(inverses[0]), len(X))) / 100

    M = U.T @ U

    def downdates(_):
        return [(np.linalg.eigh(M), np.add(new := U @ U.T, P, out=new)) for P in inverses]

    rivals = {
        "products": (lambda: None, lambda _: [P @ v for P in inverses]),
        "downdates": (lambda: None, downdates),
        "one": (lambda: bare_copies(model.estimators_[0]), lambda copy: unlearn(copy, X, Y[:, 0])),
        "loop": (lambda: bare_copies(model), lambda copy: one_by_one(copy, X, Y)),
        "together": (lambda: bare_copies(model), lambda copy: unlearn(copy, X, Y)),
    }
    seconds = {name: [] for name in rivals}
    gc.collect()
    gc.disable()  # as timeit does
    for run in range(runs + 1):
        for name, (make, function) in rivals.items():
            copy = make()
            start = time.perf_counter()
            made = function(copy)
            if run:  # the first run warms up
                seconds[name].append(time.perf_counter() - start)
            del copy, made
    gc.enable()
    return {name: float(np.median(values)) for name, values in seconds.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--outputs", type=int, default=40)
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--runs", type=int, default=21)
    args = parser.parse_args()
    print(
        f"{args.outputs} attributes; {platform.machine()}, {os.cpu_count()} cores; "
        f"Python {platform.python_version()}, NumPy {np.__version__}, "
        f"scikit-learn {sklearn.__version__}, sklearn-ssse {sklearn_ssse.__version__}; "
        f"medians of {args.runs} alternating runs, ms"
    )
    header = ("d", "k", "curvature", "products", "downdates", "one", "loop", "together")
    print(
        "{:>4} {:>3} {:17} {:>9} {:>10} {:>7} {:>8} {:>9}".format(*header),
        " loop/together  /products  /+ downdates",
    )
    for d in WIDTHS:
        X, Y = attributes(args.samples, d, args.outputs)
        for curvature in ("empirical_fisher", "fisher"):
            base = ErasableLogisticRegression(fit_intercept=False, curvature=curvature)
            model = MultiOutputClassifier(base).fit(X, Y)
            for k in ROWS:
                t = measure(model, X[:k], Y[:k], args.runs)
                bound = t["products"] + 2 * (t["one"] - t["products"] / args.outputs)
                times = " ".join(
                    f"{1e3 * t[name]:{width}.2f}"
                    for name, width in zip(header[3:], (9, 10, 7, 8, 9), strict=True)
                )
                print(
                    f"{d:4} {k:3} {curvature:17} {times} {t['loop'] / t['together']:14.1f} "
                    f"{t['together'] / bound:10.2f} "
                    f"{t['together'] / (bound + t['downdates']):13.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
