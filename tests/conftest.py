"""Data, once per session; one thread of BLAS unless the caller asks for more."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg  # noqa: F401 (its BLAS must be loaded before threads are limited)
from sklearn.datasets import load_breast_cancer, load_digits, load_wine, make_classification
from sklearn.preprocessing import StandardScaler, scale
from threadpoolctl import threadpool_limits

# Most matrices in the tests are so small that several threads take longer than one, because they
# wait for each other: ten times as long if other work runs on the same cores. The environment
# variable limits the processes that tests start. The call limits this process, which may have
# loaded BLAS already.
if "OPENBLAS_NUM_THREADS" not in os.environ:
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    threadpool_limits(1, "blas")

ADULT = Path(__file__).parent.parent / "examples" / "data" / "adult.csv.gz"


@pytest.fixture(scope="session")
def binary():
    X, y = make_classification(150, 6, n_informative=4, flip_y=0.2, random_state=0)
    return X, y


@pytest.fixture(scope="session")
def four_classes():
    X, y = make_classification(
        240, 5, n_informative=4, n_redundant=0, n_classes=4, flip_y=0.2, random_state=1
    )
    return X, y


@pytest.fixture(scope="session")
def census():
    """Adult as (X, y): standardised numbers and one-hot categories."""
    pandas = pytest.importorskip("pandas", reason="pip install 'sklearn-ssse[test]'")
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.preprocessing import OneHotEncoder

    with gzip.open(ADULT, "rt") as file:
        frame = pandas.read_csv(file, index_col=0, skipinitialspace=True)
    y = (frame.pop("income") == ">50K").to_numpy().astype(int)
    numbers = make_column_selector(dtype_include="number")
    rest = make_column_selector(dtype_exclude="number")
    encode = make_column_transformer(
        (StandardScaler(), numbers), (OneHotEncoder(sparse_output=False), rest)
    )
    return encode.fit_transform(frame), y


@pytest.fixture(scope="session")
def real_data(census):
    out = {"census": census}
    for name, load in [
        ("digits", load_digits),
        ("breast_cancer", load_breast_cancer),
        ("wine", load_wine),
    ]:
        X, y = load(return_X_y=True)
        out[name] = scale(X), y
    return out


def forget_sets(y, seed):
    """Random 1 %, random 5 %, half of one class."""
    rng = np.random.default_rng(seed)
    n = len(y)
    members = np.flatnonzero(y == rng.choice(np.unique(y)))
    return {
        "random 1 %": rng.choice(n, max(1, n // 100), replace=False),
        "random 5 %": rng.choice(n, n // 20, replace=False),
        "half of a class": rng.choice(members, len(members) // 2, replace=False),
    }
