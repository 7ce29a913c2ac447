"""Cost of tracked rows: fit, erasure of 10 rows, file size, and refused second erasures.

``python examples/benchmarks/bench_tracking.py`` prints one line for ``track_rows=False`` and one
for ``track_rows=True``: medians of alternating runs for 200,000 random rows of 100 columns, the
default solver and ``curvature="fisher"``. It then erases each of 600 rows of breast cancer twice,
each time from the fitted model, and counts the second erasures that are refused. The last table
counts training rows that are refused because a projection gives a single row other last bits than
it gave the rows at fit, for the exact values (without rounding) and for other values of the
constants of the rounding. One minute on 2 cores.
``--quick`` uses a tenth of the rows of the first table.
"""

import argparse
import copy
import pickle
import time
import warnings
from contextlib import contextmanager

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.kernel_approximation import RBFSampler
from sklearn.preprocessing import scale
from sklearn.random_projection import GaussianRandomProjection

from sklearn_ssse import ErasableLogisticRegression, ErasureError, ErasureWarning
from sklearn_ssse._erasure import tracking

N_ERASED = 10
N_FITS = 5
N_ERASURES = 200
N_PROJECTED = 4000
PROJECTIONS = [
    PCA(svd_solver="covariance_eigh"),
    PCA(svd_solver="full"),
    PCA(10, whiten=True),
    TruncatedSVD(10),
    RBFSampler(random_state=0),
    GaussianRandomProjection(20, random_state=0),
]
ROUNDINGS = {
    "BITS=20": {"BITS": 20},
    "MAX_ROUNDINGS=0": {"MAX_ROUNDINGS": 0},
    "ROUNDING_ERROR=2^-14": {"ROUNDING_ERROR": 2.0**-14},
    "MAX_ROUNDINGS=1": {"MAX_ROUNDINGS": 1},
    "MAX_ROUNDINGS=10": {"MAX_ROUNDINGS": 10},
}


def random_rows(n_rows, n_columns=100):
    """Rows and labels of a logistic model, in random order."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, n_columns))
    margin = X @ rng.normal(size=n_columns) / np.sqrt(n_columns)
    return X, (margin + rng.logistic(size=n_rows) > 0).astype(int)


def seconds(function, *args):
    """The time of a call."""
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def print_costs(n_rows):
    """Print the medians for models with and without tracked rows."""
    X, y = random_rows(n_rows)
    models = {
        track_rows: ErasableLogisticRegression(curvature="fisher", track_rows=track_rows)
        for track_rows in (False, True)
    }
    fits = {track_rows: [] for track_rows in models}
    erasures = {track_rows: [] for track_rows in models}
    for _ in range(N_FITS):
        for track_rows, model in models.items():
            fits[track_rows].append(seconds(model.fit, X, y))
    for i in range(N_ERASURES):
        rows = slice(N_ERASED * i, N_ERASED * (i + 1))
        for track_rows, model in models.items():
            erasures[track_rows].append(seconds(copy.copy(model).unlearn, X[rows], y[rows]))
    print(f"{n_rows} rows, {X.shape[1]} columns")
    print("track_rows     fit, s    erasure of 10 rows, ms    file, MB")
    for track_rows, model in models.items():
        size = len(pickle.dumps(model)) / 1e6
        fit = np.median(fits[track_rows])
        erasure = 1e3 * np.median(erasures[track_rows])
        print(f"{track_rows!s:10} {fit:10.2f} {erasure:25.2f} {size:11.2f}")


def print_second_erasures(n_rows=600):
    """Print the number of second erasures of one row that are refused."""
    X, y = load_breast_cancer(return_X_y=True)
    X = scale(X)
    n_more = n_rows - len(y)
    X = np.vstack([X, X[:n_more] + 1e-3])
    y = np.concatenate([y, y[:n_more]])
    for track_rows in (False, True):
        model = ErasableLogisticRegression(curvature="fisher", track_rows=track_rows).fit(X, y)
        refused = 0
        for i in range(n_rows):
            row = slice(i, i + 1)
            once = copy.copy(model).unlearn(X[row], y[row])
            try:
                once.unlearn(X[row], y[row])
            except ErasureError:
                refused += 1
        print(f"track_rows={track_rows}: {refused} of {n_rows} second erasures are refused")


def print_roundings():
    """Print the share of training rows that are not recognised after a projection.

    The error is the largest one of a value, as a multiple of the largest value of its row.
    """
    print("share of refused training rows, by the constants of the rounding")
    print(f"{'projection':70}   error   exact  shipped  {'  '.join(ROUNDINGS)}")
    rng = np.random.default_rng(0)
    for load in (load_breast_cancer, load_digits):
        X = load(return_X_y=True)[0]
        noise = 0.1 * X.std(axis=0) * rng.normal(size=(N_PROJECTED, X.shape[1]))
        X = X[rng.integers(0, len(X), N_PROJECTED)] + noise
        for projection in PROJECTIONS:
            at_fit = projection.fit_transform(X)
            later = np.vstack([projection.transform(X[i : i + 1]) for i in range(len(X))])
            shares = [(at_fit != later).any(axis=1).mean(), refused_share(at_fit, later)]
            for constants in ROUNDINGS.values():
                with replaced(tracking, constants):
                    shares.append(refused_share(at_fit, later))
            name = f"{load.__name__[5:]}, {projection}"
            error = (abs(at_fit - later).max(axis=1) / abs(at_fit).max(axis=1)).max()
            print(
                f"{name:70} 2^{np.log2(error):.1f}  {'  '.join(f'{share:.4f}' for share in shares)}"
            )


def refused_share(at_fit, later):
    """The share of rows that digests of the same rows at fit do not recognise."""
    codes = np.zeros(len(at_fit), dtype=int)
    own = tracking.TrackedRows.of(at_fit, codes, None)
    refused = 0
    for i in range(len(later)):
        try:
            own.without(later[i : i + 1], codes[:1], None)
        except ErasureError:
            refused += 1
    return refused / len(later)


@contextmanager
def replaced(module, constants):
    """Constants of a module with other values inside the block."""
    before = {name: getattr(module, name) for name in constants}
    vars(module).update(constants)
    try:
        yield
    finally:
        vars(module).update(before)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    quick = parser.parse_args().quick
    warnings.simplefilter("ignore", ErasureWarning)
    print_costs(20_000 if quick else 200_000)
    print_second_erasures()
    print_roundings()
