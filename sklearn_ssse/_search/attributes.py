"""Attributes: the binary labels that a classifier predicts. The distance D is a sum over them.

A binary output is one attribute. An output with more classes has one attribute for each class, and
a multi-label problem has one for each label.
"""

import numpy as np
from scipy.stats import rankdata

from sklearn_ssse._utils.unquoted import (
    attempt,
    check_consistent_length,
    error_like,
    fault,
    unknown_fault,
)


def output_classes(original, y):
    """Classes of each output of the model, a list of arrays."""
    classes = original.classes_
    if isinstance(classes, list):
        return classes
    n_labels = np.shape(y)[1] if np.ndim(y) == 2 else 1
    return [np.array([0, 1])] * n_labels if n_labels > 1 else [classes]


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


def attribute_auc(model, X, y, *, classes=None):
    """Compute the area under the ROC curve of each attribute that a classifier predicts.

    The distance D of equation (5) of the SSSE paper [1]_ is the sum over attributes of the absolute
    difference between the areas of two models on the forget set. A binary output is one attribute:
    its second class. An output of more classes has one attribute for each class, against the rest.
    A multi-label problem has one attribute for each label.

    Parameters
    ----------
    model : estimator with ``predict_proba``
        The fitted classifier, a pipeline, or a `MultiOutputClassifier`.
    X : {array-like, sparse matrix} of shape (k, n_features)
        Rows, such as a forget set.
    y : array-like of shape (k,) or (k, n_outputs)
        The labels of the rows.
    classes : ndarray, or list of ndarray, default=None
        Classes of the output, or of each of the outputs, in ascending order. None takes the classes
        of the model. Pass ``original.classes_`` for a retrained model that may lack a class.

    Returns
    -------
    ndarray of shape (n_attributes,)
        Areas in [0, 1], without unit, by output and then by class. By the convention of the paper,
        an area is 0 if all rows have the attribute, or none. It is also 0 if the output of the
        model has one class only, so that it does not rank rows. For a class that a model of several
        others lacks, all rows have the same rank and the area is 0.5.

    Raises
    ------
    ValueError
        If y has other attributes than the model predicts, or X and y differ in length.

    See Also
    --------
    gamma_score : The distance of an erased model to the original and to the retrained model.

    References
    ----------
    .. [1] A. Peste, D. Alistarh, C. H. Lampert, "SSSE: Efficiently Erasing Samples from Trained
       Machine Learning Models", 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.multioutput import MultiOutputClassifier
    >>> from sklearn.preprocessing import scale
    >>> from sklearn_ssse import ErasableLogisticRegression, attribute_auc
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = scale(X)
    >>> attributes = np.column_stack([y, X[:, 0] > 1])
    >>> model = MultiOutputClassifier(ErasableLogisticRegression()).fit(X, attributes)
    >>> attribute_auc(model, X, attributes).round(2)
    array([1., 1.])
    >>> attribute_auc(model, X[y == 1], attributes[y == 1]).round(2)  # one class of the first
    array([0., 1.])
    """
    check_consistent_length(X, y)
    if classes is None:
        classes = output_classes(model, y)
    elif not isinstance(classes, list):
        classes = [classes]
    targets = attribute_targets(y, classes)
    scores = attribute_scores(model, X, classes)
    if targets.shape != scores.shape:
        raise ValueError(
            "y must have the attributes that the model predicts, got labels of "
            f"{targets.shape[1]} attributes for predictions of {scores.shape[1]}. Pass the labels "
            "as they were given to fit."
        )
    return areas(targets, scores) * ranked_attributes(model, classes)


def ranked_attributes(model, outputs):
    """Whether the model's output of each attribute has several classes, (n_attributes,).

    ``outputs`` are the `output_classes`.
    """
    seen = model.classes_ if isinstance(model.classes_, list) else [model.classes_] * len(outputs)
    pairs = zip(outputs, seen, strict=True)
    return np.array([len(own) > 1 for classes, own in pairs for _ in _attribute_positions(classes)])


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
