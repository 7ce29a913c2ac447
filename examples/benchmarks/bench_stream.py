"""Streams of erasures from `ErasableLogisticRegression`, compared with retraining.

``python examples/benchmarks/bench_stream.py --table NAME`` prints a table, and after it a line for
each requirement: "holds" or "does not hold". The tables are

streams
    One row after the other to 50 % of the rows, in random order.
hardest
    The same class by class, and from the largest loss to smaller ones.
tensor
    One call and streams, with and without the third-derivative tensor.
defaults
    One call for models of the default solver, lbfgs with tol 1e-4.
refresh
    Streams with a refresh whenever it is recommended, and the time of a refresh.
speed
    Time of an erasure of ten rows, and of a fit with and without the tensor.

The distance ratio is ``||erased - retrained|| / ||original - retrained||``: 0 is perfect, and 1 is
no better than doing nothing. The accuracy gap is the accuracy of the retrained model minus the
accuracy of the erased one, on the retained rows.

``--seeds`` is the number of random orders, ``--quick`` takes the small data sets and two orders,
``--jobs`` the number of processes, and ``--cache`` a folder that keeps retrained models between
runs. ``--baseline`` is the folder of another version, with which "speed" compares the erasures.
"""

import argparse
import os
import platform
import time
import warnings

import numpy as np
import sklearn
from one_call_tables import table_defaults, table_tensor
from refresh_tables import table_refresh
from sklearn.exceptions import ConvergenceWarning
from stream_tables import table_hardest, table_streams
from time_tables import table_speed

import sklearn_ssse
from sklearn_ssse import ErasureWarning

TABLES = {
    "streams": table_streams,
    "hardest": table_hardest,
    "tensor": table_tensor,
    "defaults": table_defaults,
    "refresh": table_refresh,
    "speed": table_speed,
}


def ignore_warnings():
    """Ignore warnings of training; `erase_stream` still catches those of an erasure."""
    warnings.simplefilter("ignore", ErasureWarning)
    warnings.simplefilter("ignore", ConvergenceWarning)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", nargs="+", choices=[*TABLES, "all"], default=["streams"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--cache")
    parser.add_argument("--baseline")
    args = parser.parse_args()
    if args.quick:
        args.seeds = min(args.seeds, 2)
    ignore_warnings()
    print(
        f"sklearn-ssse {sklearn_ssse.__version__}, scikit-learn {sklearn.__version__}, "
        f"NumPy {np.__version__}, {platform.machine()}, {os.cpu_count()} cores."
    )
    for name in TABLES if "all" in args.table else args.table:
        start = time.perf_counter()
        print(f"\n== {name}: {TABLES[name].__doc__}")
        TABLES[name](args)
        print(f"({time.perf_counter() - start:.0f} s)")


if __name__ == "__main__":
    main()
