"""gamma_S: whether an erased model predicts more like the retrained or like the original one."""

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning

from sklearn_ssse._search.attributes import (
    areas,
    attribute_auc,
    attribute_scores,
    attribute_targets,
    output_classes,
)
from sklearn_ssse._utils.unquoted import check_consistent_length
from sklearn_ssse._utils.warnings import warn

# Values of the parameter `metric`, see `gamma_score`.
METRICS = ("roc_auc", "probability")


def distances(targets, scores, metric, ranks=None):
    """D of the erased model to the original model, and to the retrained one.

    Parameters
    ----------
    targets : ndarray of bool of shape (k, n_attributes)
    scores : sequence of three ndarray of shape (k, n_attributes)
        Attribute scores of the original, the erased and the retrained model.
    metric : {"roc_auc", "probability"}
    ranks : ndarray of bool of shape (n_attributes,), default=None
        See `ranked_attributes`, of the retrained model; None for all True.

    Returns
    -------
    to_original, to_retrained : float
    """
    if metric == "probability":
        original, erased, retrained = scores
        return np.abs(erased - original).mean(), np.abs(erased - retrained).mean()
    original, erased, retrained = (areas(targets, columns) for columns in scores)
    return _distances_of_areas(original, erased, retrained if ranks is None else retrained * ranks)


def _distances_of_areas(original, erased, retrained):
    """D of the erased model to the other two from the areas of each attribute."""
    return np.abs(erased - original).sum(), np.abs(erased - retrained).sum()


def gamma(to_original, to_retrained):
    """gamma_S, equation (5), from two distances; nan if both are zero."""
    total = to_original + to_retrained
    return float(to_original / total) if total > 0 else float("nan")


def gamma_score(original, erased, retrained, X, y, *, metric="roc_auc"):
    """Measure whether the erased model is closer to the retrained or to the original model.

    Equation (5) of the method [1]_:
    ``gamma_S = D(erased, original) / (D(erased, original) + D(erased, retrained))``. Above 0.5 the
    erased model predicts the forget set S more like the retrained model than like the original one.
    At 1 its distance D to the retrained model is 0.

    Parameters
    ----------
    original : estimator with ``predict_proba``
        The model trained on all rows.
    erased : estimator with ``predict_proba``
        The original model after the erasure of S.
    retrained : estimator with ``predict_proba``
        The model trained on all rows without S.
    X : {array-like, sparse matrix} of shape (k, n_features)
        The forget set S.
    y : array-like of shape (k,) or (k, n_attributes)
        The labels of S. Each column of a multi-label y is one attribute; so is each class of a
        problem with more than two classes.
    metric : {'roc_auc', 'probability'}, default='roc_auc'
        The distance D. 'roc_auc', as in the paper: the sum over attributes of the absolute
        difference between the areas under the ROC curve on S, see `attribute_auc`; an area counts
        as 0 if S does not define it, or if the model's output was trained on rows of one class.
        'probability': the mean absolute difference between the predicted probabilities, which is
        defined for any S. A class that the model was not trained on has probability 0.

    Returns
    -------
    float
        In [0, 1]; nan if both distances are 0.

    Raises
    ------
    ValueError
        If `metric` is unknown or the models do not predict the same outputs.

    Warns
    -----
    UndefinedMetricWarning
        If the result is nan: no area is defined, because S holds one class, or no area differs.

    References
    ----------
    .. [1] A. Peste, D. Alistarh, C. H. Lampert, "SSSE: Efficiently Erasing Samples from Trained
       Machine Learning Models", 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from sklearn_ssse import ErasableLogisticRegression, gamma_score
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = scale(X)
    >>> original = ErasableLogisticRegression(curvature="fisher").fit(X, y)
    >>> erased = ErasableLogisticRegression(curvature="fisher").fit(X, y).unlearn(X[:60], y[:60])
    >>> retrained = ErasableLogisticRegression(curvature="fisher").fit(X[60:], y[60:])
    >>> gamma_score(original, erased, retrained, X[:60], y[:60], metric="probability") > 0.5
    True
    """
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(METRICS)}, got {metric!r}.")
    check_consistent_length(X, y)
    models = (original, erased, retrained)
    classes = output_classes(original, y)
    if metric == "roc_auc":
        auc = [attribute_auc(model, X, y, classes=classes) for model in models]
        to_original, to_retrained = _distances_of_areas(*auc)
    else:
        scores = [attribute_scores(model, X, classes) for model in models]
        to_original, to_retrained = distances(attribute_targets(y, classes), scores, metric)
    if to_original + to_retrained == 0:
        reason = "no predicted probability differs between the models. Use another forget set."
        if metric == "roc_auc":
            reason = (
                "the forget set holds one class, or no rank differs between the models. Use "
                "metric='probability' for such sets."
            )
        warn(f"gamma_S is undefined and set to nan: {reason}", UndefinedMetricWarning)
    return gamma(to_original, to_retrained)
