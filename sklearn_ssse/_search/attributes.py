"""Attributes: the binary labels that a classifier predicts. The distance D is a sum over them.

A binary output is one attribute. An output with more classes has one attribute for each class, and
a multi-label problem has one for each label.
"""

import numpy as np
from scipy.stats import rankdata

from sklearn_ssse._utils.unquoted import attempt, error_like, fault, unknown_fault


def output_classes(original, y):
    """Classes of each output of the model, a list of arrays."""
    classes = original.classes_
    if isinstance(classes, list):
        return classes
    return [np.array([0, 1])] * np.shape(y)[1] if np.ndim(y) == 2 else [classes]


def _attribute_positions(classes):
    """Positions of the classes that are attributes: the second of two, or all of more."""
    return range(1, 2) if len(classes) == 2 else range(len(classes))


def attribute_scores(model, X, outputs):
    """Predicted probability of each attribute, (k, n_attributes).

    A class that was not in the training data of the model has probability 0.

    Parameters
    ----------
    model : classifier
    X : array-like of shape (k, n_features)
    outputs : list of ndarray
        See `output_classes`.
    """
    proba, kind = attempt(model.predict_proba, X)
    if kind is not None:
        must = fault(model, X) or unknown_fault(model, kind)
        raise error_like(kind, f"The rows to predict must {must}")
    if not isinstance(proba, list):
        if len(outputs) > 1:
            return proba
        proba = [proba]
    seen = model.classes_ if isinstance(model.classes_, list) else [model.classes_]
    if len(proba) != len(outputs):
        raise ValueError(
            f"The models must predict the same outputs, got {len(outputs)} and {len(proba)}. "
            "Retrain on labels with the same columns."
        )
    columns = []
    for classes, own, p in zip(outputs, seen, proba, strict=True):
        position = {label: i for i, label in enumerate(own)}
        for c in _attribute_positions(classes):
            i = position.get(classes[c])
            columns.append(np.zeros(len(p)) if i is None else p[:, i])
    return np.column_stack(columns)


def attribute_targets(y, outputs):
    """Whether each row has each attribute, (k, n_attributes)."""
    y = np.asarray(y)
    y = y.reshape(len(y), -1)
    if y.shape[1] != len(outputs):
        raise ValueError(
            f"y must have one column for each of the {len(outputs)} outputs, got {y.shape[1]}. "
            "Pass the labels as they were given to fit."
        )
    return np.column_stack(
        [
            y[:, j] == classes[c]
            for j, classes in enumerate(outputs)
            for c in _attribute_positions(classes)
        ]
    )


def areas(targets, scores):
    """Area under the ROC curve of each attribute, by ranks; 0 if all rows have it, or none.

    Parameters
    ----------
    targets : ndarray of bool of shape (k, n_attributes)
    scores : ndarray of shape (k, n_attributes)

    Returns
    -------
    ndarray of shape (n_attributes,)
    """
    positive = targets.sum(axis=0)
    negative = len(targets) - positive
    ranks = rankdata(scores, axis=0)
    surplus = np.where(targets, ranks, 0.0).sum(axis=0) - positive * (positive + 1) / 2
    pairs = positive * negative
    return np.divide(surplus, pairs, out=np.zeros(len(positive)), where=pairs > 0)
