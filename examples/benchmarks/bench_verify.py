"""Time of a report on an erasure, and its numbers: 300 people erased from Adult, one retraining.

``python examples/benchmarks/bench_verify.py`` takes under a minute on 2 cores. A third of the
rows are test rows. For each solver and tolerance, the script prints the time of `verify_erasure`,
which contains the training of the retrained model, the fit of the clone of the feature-injection
test and 1,000 bootstrap samples, and it prints the report of the last one.
"""

import argparse
import copy
import time

import numpy as np
from bench_quality import adult

from sklearn_ssse import ErasableLogisticRegression, verify_erasure

SOLVERS = (("lbfgs", 1e-4), ("newton-cholesky", 1e-8))
N_ERASED = 300


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--html", help="file for the last report as a page")
    args = parser.parse_args()
    X, y = adult()
    order = np.random.default_rng(0).permutation(len(y))
    test, train = np.split(order, [len(y) // 3])
    forget, retain = np.split(train, [N_ERASED])
    counts = f"{len(train)} training rows, {N_ERASED} erased, {len(test)} test rows"
    print(f"{counts}, {X.shape[1]} columns")
    for solver, tol in SOLVERS:
        original = ErasableLogisticRegression(
            curvature="fisher", solver=solver, tol=tol, max_iter=1000
        )
        original.fit(X[train], y[train])
        erased = copy.deepcopy(original).unlearn(X[forget], y[forget])
        start = time.perf_counter()
        report = verify_erasure(
            original,
            erased,
            X[forget],
            y[forget],
            X[retain],
            y[retain],
            retrained="fit",
            X_test=X[test],
            y_test=y[test],
            random_state=0,
        )
        seconds = time.perf_counter() - start
        ratio = report.distance_ratio["hessian"]
        print(
            f"{solver}, tol {tol:g}: {seconds:.1f} s; distance ratio (Hessian) {ratio:.3g}; "
            f"alarms: {len(report.alarms)}"
        )
    print(f"\n{report}")
    if args.html:
        report.save_html(args.html)


if __name__ == "__main__":
    main()
