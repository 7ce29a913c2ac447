"""Random data of a sequence, and the containers in which a user may hold them."""

import numpy as np
from scipy import sparse

# A cell of this value is planted in the data of some sequences. No message may contain it.
SENTINEL = 98765.4321
# A label that no model has seen, and the beginning of the ids of the groups.
UNKNOWN_LABEL = "zebra-731"
GROUP = "person-5417"

# Least number of rows of each class at fit.
LEAST_OF_CLASS = 6
# Rows in a group.
GROUP_SIZE = 3


def make_rows(options, rng):
    """Rows of the distribution of a sequence: X (n, p), codes (n,) or (n, n_outputs).

    There are half as many rows again as the model is fitted to.
    """
    n_rows = options["n_rows"] * 3 // 2
    n_columns = options["n_columns"]
    n_classes = options["n_classes"]
    X = rng.normal(size=(n_rows, n_columns))
    if options["estimator"] in ("multi_output", "chain") or options["multilabel"]:
        codes = _several_outputs(X, n_classes, rng)
    else:
        codes = rng.integers(n_classes, size=n_rows)
        codes[: LEAST_OF_CLASS * n_classes] = np.tile(np.arange(n_classes), LEAST_OF_CLASS)
        X += rng.normal(size=(n_classes, n_columns))[codes] * options["separation"]
    wrong = rng.random(n_rows) < options["noise"]
    wrong[: LEAST_OF_CLASS * n_classes] = False
    codes[wrong] = rng.integers(n_classes, size=codes[wrong].shape)
    X = COLUMNS[options["columns"]](X, rng)
    if options["sentinel"]:
        X[0, rng.integers(n_columns)] = SENTINEL
    if options["container"] == "float32":
        X = X.astype(np.float32).astype(np.float64)
    return X, codes


def _several_outputs(X, n_classes, rng):
    """Labels of two or three outputs, each by the quantiles of a linear function."""
    scores = X @ rng.normal(size=(X.shape[1], rng.integers(2, 4)))
    ranks = scores.argsort(axis=0).argsort(axis=0)
    return ranks * n_classes // len(X)


def _with_rare_column(X, rng):
    """The first column is 1 in a few rows and 0 in the others."""
    X[:, 0] = rng.random(len(X)) < 0.05
    return X


def _with_constant_column(X, rng):
    """The first column is 0 in all rows."""
    X[:, 0] = 0.0
    return X


def _with_equal_columns(X, rng):
    """The first two columns are equal."""
    X[:, 0] = X[:, 1]
    return X


def _raw_columns(X, rng):
    """Columns of very different scale and mean, as in a file before any preprocessing."""
    scale = 10.0 ** rng.uniform(-2, 3, X.shape[1])
    return (X + rng.uniform(0, 5, X.shape[1])) * scale


COLUMNS = {
    "as drawn": lambda X, rng: X,
    "rare": _with_rare_column,
    "constant": _with_constant_column,
    "equal": _with_equal_columns,
    "raw": _raw_columns,
}


def make_weights(kind, n_rows, rng):
    """Weights of the rows, (n_rows,), or None."""
    if kind == "none":
        return None
    weights = rng.uniform(0.2, 3.0, n_rows)
    if kind == "zeros":
        weights[rng.random(n_rows) < 0.2] = 0.0
        weights[: 4 * LEAST_OF_CLASS] = 1.0
    if kind == "large":
        weights *= 10.0 ** rng.uniform(-1, 3, n_rows)
    return weights


def label_names(options):
    """The labels by their codes, (n_classes,), in ascending order."""
    n_classes = options["n_classes"]
    return {
        "int": np.arange(n_classes),
        "negative": np.arange(n_classes) * 2 - 3,
        "str": np.array([f"kind {'abcd'[i]}" for i in range(n_classes)]),
        "bool": np.array([False, True]),
    }[options["labels"]]


def contained(X, container):
    """A copy of rows in a container: an array, a sparse matrix, a frame or a list.

    A list of no rows would not have columns: it is an array.
    """
    if not len(X) and container == "list":
        return np.array(X)
    with np.errstate(over="ignore"):
        return CONTAINERS[container](np.array(X))


def _frame(X):
    """A frame with named columns."""
    import pandas

    return pandas.DataFrame(X, columns=[f"column {i}" for i in range(X.shape[1])])


CONTAINERS = {
    "array": lambda X: X,
    "fortran": np.asfortranarray,
    "float32": lambda X: X.astype(np.float32),
    "csr": sparse.csr_matrix,
    "frame": _frame,
    "list": lambda X: X.tolist(),
}


def group_ids(n_rows):
    """The group of each row, (n_rows,)."""
    return np.array([f"{GROUP}{i // GROUP_SIZE}" for i in range(n_rows)], dtype=object)
