"""Validation of the rows and labels that a user passes, all made before anything changes.

Every error states the requirement, the given value and the remedy.
"""

from numbers import Real

import numpy as np

from sklearn_ssse._utils.compat import num_samples
from sklearn_ssse._utils.unquoted import (
    array,
    attempt,
    check_consistent_length,
    column,
    validated,
    weights,
)
from sklearn_ssse.exceptions import ErasureError, ErasureTypeError


def check_rows(estimator, X, y, sample_weight, *, trusted=False, ensure_min_samples=1):
    """Validate rows of data and convert them to arrays.

    Parameters
    ----------
    estimator : fitted classifier
    X, y, sample_weight : array-like
    trusted : bool
        True for rows that the parent's ``fit`` has just validated: they are not checked for
        finite values again, and their type is kept.
    ensure_min_samples : int

    Returns
    -------
    X : {ndarray, CSR matrix} of shape (n_samples, n_features)
    codes : ndarray of int
        Positions of y in ``classes_``, (n_samples,); for a multi-label problem y itself,
        (n_samples, n_labels).
    sample_weight : ndarray of float64 of shape (n_samples,), or None
    """
    own = getattr(estimator, "_checked_rows", None)  # of an estimator whose rows are no tables
    if own is not None:
        return own(X, y, sample_weight, ensure_min_samples=ensure_min_samples)
    X = validated(
        estimator,
        X,
        accept_sparse="csr",
        dtype="numeric" if trusted else [np.float64, np.float32],
        ensure_all_finite=not trusted,
        ensure_min_samples=ensure_min_samples,
    )
    if is_multilabel(estimator):
        codes = check_labels(estimator, y)
    else:
        if not (isinstance(y, np.ndarray) and y.ndim == 1):
            y = column(y, "y", warn=not trusted)
        codes = encode(estimator.classes_, y)
    if len(codes) != X.shape[0]:
        check_consistent_length(X, codes)
    if sample_weight is not None:
        sample_weight = weights(weight_per_row(sample_weight, X), X)
    return X, codes, sample_weight


def is_multilabel(estimator):
    """Whether the fitted model is multi-label: a row may have several of the labels."""
    binarizer = vars(estimator).get("_label_binarizer")
    return binarizer is not None and binarizer.y_type_.startswith("multilabel")


def check_labels(estimator, y):
    """The labels of a multi-label problem as an indicator matrix, (n_samples, n_labels)."""
    n_labels = len(estimator.classes_)
    y = array(y, "y")
    given = f"an array of shape {y.shape}"
    has_shape = y.ndim == 2 and y.shape[1] == n_labels
    if has_shape:
        n_others = int((~np.isin(y, (0, 1))).any(axis=1).sum())
        given = f"other values in {n_others} of {len(y)} rows"
    if not has_shape or n_others:
        raise ErasureError(
            f"Labels must be 0 or 1 in an array of {n_labels} columns, as at fit, got {given}. "
            "Pass the labels that the rows had at fit."
        )
    return y.astype(np.int64)


def row_weights(codes, weight, class_weight):
    """Sample weights times class weights, (n_samples,); None stands for weights of 1."""
    weight = np.ones(len(codes)) if weight is None else weight
    return weight if class_weight is None else weight * class_weight[codes]


def validated_batch(model, X, y, sample_weight, *, trusted=False):
    """The `Batch` of rows, with class weights, for a model that has a curvature."""
    X, codes, weight = check_rows(model, X, y, sample_weight, trusted=trusted)
    weight = row_weights(codes, weight, model._erasure_state.class_weight)
    return model._family().batch(X, codes, weight)


def rows_of_positive_weight(X, y, weight):
    """The rows of positive weight, as others change nothing; all rows if weight is None."""
    if weight is None or weight.all():
        return X, y, weight
    some = weight > 0
    return X[some], y[some], weight[some]


def class_indicator(codes, n_classes):
    """Whether a row has each class or label, as 0.0 or 1.0, (n_samples, n_classes)."""
    return codes.astype(np.float64) if codes.ndim == 2 else np.eye(n_classes)[codes]


def encode(classes, y):
    """Positions of the labels y in the sorted ``classes``, (n_samples,).

    Raises
    ------
    ErasureError
        If a label is not among the classes.
    """
    try:
        codes = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
        known = classes[codes] == y
    except TypeError:  # labels that cannot be ordered with the classes
        codes = np.zeros(len(y), dtype=np.intp)
        seen = set(classes.tolist())
        known = [attempt(seen.__contains__, label)[0] is True for label in y.tolist()]
    known = np.broadcast_to(known, codes.shape)
    if not known.all():
        kinds = sorted({type(label).__name__ for label in y[~known].tolist()})
        raise ErasureError(
            f"Labels must be among the classes seen at fit, got other labels in {(~known).sum()} "
            f"of {len(y)} rows, of type {', '.join(kinds)}. Pass the labels that the rows had at "
            f"fit, such as {', '.join(str(label) for label in classes[:10])}. A new class needs a "
            "model that is fitted anew."
        )
    return codes


def check_pairs(X_old, X_new):
    """Refuse old and new rows that differ in number."""
    if num_samples(X_old) != num_samples(X_new):
        raise ErasureError(
            f"Each row must have its corrected version, got {num_samples(X_old)} old rows and "
            f"{num_samples(X_new)} new ones. Pass the same rows in the same order, or use "
            "`unlearn` and `learn`."
        )


def check_outputs(y, n_outputs):
    """The labels of several outputs as an array, (n_rows, n_outputs)."""
    y = array(y, "y")
    if y.ndim != 2 or y.shape[1] != n_outputs:
        raise ErasureError(
            f"y must have one column for each of the {n_outputs} outputs, got shape {y.shape}. "
            "Pass the labels as they were given to fit."
        )
    return y


def weight_per_row(weight, X):
    """A number as one weight for each row, (n_rows,); an array as it is."""
    return np.full(num_samples(X), float(weight)) if isinstance(weight, Real) else weight


def as_objects(values):
    """A column of ids as a list of Python objects.

    A NumPy array would turn integers into floats if an id is missing, and several large ids would
    become equal.
    """
    is_sequence = isinstance(values, (list, tuple))
    if not (is_sequence or isinstance(values, np.ndarray)):  # a column of pandas or polars
        as_list = getattr(values, "to_list", getattr(values, "tolist", None))
        if as_list is not None:
            return as_list()
    if is_sequence and not any(isinstance(value, (list, np.ndarray)) for value in values):
        return [
            value.astype("datetime64[us]").item() if isinstance(value, np.datetime64) else value
            for value in values
        ]
    values = column(values, "The groups, forget or positions")
    return (values.astype("datetime64[us]") if values.dtype.kind == "M" else values).tolist()


def check_positions(positions, n_rows, n_samples):
    """Validate the positions of rows in the data of a fit, each given once: (n_rows,)."""
    if positions is None:
        raise ErasureTypeError(
            "positions must be given for the rows of a BaggingClassifier, got none. Pass "
            "positions=, the positions of the rows in the data of fit: they identify the members "
            "that drew them."
        )
    if not isinstance(positions, np.ndarray):
        positions = as_objects(positions)
    positions = column(positions, "positions")
    if len(positions) != n_rows or not np.issubdtype(positions.dtype, np.integer):
        raise ErasureError(
            f"positions must hold one integer for each of the {n_rows} rows, got {len(positions)} "
            f"of type {positions.dtype}. Pass the positions of the rows in the data of fit."
        )
    n_repeated = n_rows - len(np.unique(positions))
    n_outside = int(((positions < 0) | (positions >= n_samples)).sum())
    if n_repeated or n_outside:
        raise ErasureError(
            f"positions must be distinct and from 0 to {n_samples - 1}, got {n_repeated} repeated "
            f"and {n_outside} outside. Pass the positions of the rows in the data of fit."
        )
    return positions
