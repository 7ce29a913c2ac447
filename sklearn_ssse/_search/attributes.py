"""Attributes: the binary questions that a classifier answers, over which gamma_S sums.

A binary output is one attribute, an output with more classes has one for each class, a multi-label problem one for each label.
"""

import numpy as np
from scipy.stats import rankdata


def outputs(original, y):
    """Classes of each output of the model: a list of arrays."""
    classes = original.classes_
    if np.ndim(y) == 2 and not isinstance(classes, list):
        return [np.array([0, 1])] * np.shape(y)[1]
    return classes if isinstance(classes, list) else [classes]


def _positions(classes):
    """Positions of the classes that are attributes: the second of two, or each of more."""
    return range(1, 2) if len(classes) == 2 else range(len(classes))


def attribute_scores(model, X, outputs):
    """Predicted probability of each attribute, (k, n_attributes); 0 for a class that the model does not know."""
    proba = model.predict_proba(X)
    if not isinstance(proba, list) and len(outputs) > 1:
        return proba
    proba = proba if isinstance(proba, list) else [proba]
    known = model.classes_ if isinstance(model.classes_, list) else [model.classes_]
    if len(proba) != len(outputs):
        raise ValueError(
            f"The models must predict the same outputs, got {len(outputs)} and {len(proba)}."
        )
    columns = []
    for classes, own, p in zip(outputs, known, proba, strict=True):
        position = {label: i for i, label in enumerate(own)}
        for c in _positions(classes):
            i = position.get(classes[c])
            columns.append(np.zeros(len(p)) if i is None else p[:, i])
    return np.column_stack(columns)


def attribute_targets(y, outputs):
    y = np.asarray(y)
    y = y.reshape(len(y), -1)
    if y.shape[1] != len(outputs):
        raise ValueError(
            f"y must have one column for each of the {len(outputs)} outputs, got {y.shape[1]}."
        )
    return np.column_stack(
        [y[:, j] == classes[c] for j, classes in enumerate(outputs) for c in _positions(classes)]
    )


def areas(targets, scores):
    """Area under the ROC curve of each attribute, by ranks; 0 where all rows or none have it."""
    positive = targets.sum(axis=0)
    negative = len(targets) - positive
    ranks = rankdata(scores, axis=0)
    surplus = np.where(targets, ranks, 0.0).sum(axis=0) - positive * (positive + 1) / 2
    return np.divide(
        surplus, positive * negative, out=np.zeros(len(positive)), where=positive * negative > 0
    )
