"""The distance ratio between the parameters of three models, and the outputs that they share."""

from copy import copy
from functools import partial

import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline

from sklearn_ssse._composites import final_step
from sklearn_ssse._search.distance import (
    NORMS,
    distance_ratios,
    euclidean_norms,
    pack_parameters,
)
from sklearn_ssse._search.hessian import hessian_norms, stored_hessian_norms


def parameter_distance(
    original, erased, retrained, X=None, y=None, *, norm="euclidean", sample_weight=None
):
    """Compute the distance ratio ``||erased - retrained|| / ||original - retrained||``.

    The norm is over all parameters, intercepts included. The Euclidean norm ``sqrt(v^T v)`` of a
    difference v gives all parameters the same importance. The norm of the Hessian,
    ``sqrt(v^T H v)``, weighs each direction by its effect on the loss of the retained rows:
    ``v^T H v / 2`` is the second-order increase of that loss, penalty included, if v is added to
    the retrained parameters. In directions in which the loss is almost flat, such as the
    coefficient of a column that is zero in nearly all rows, the Euclidean distance can be large
    although no prediction changes much.

    Parameters
    ----------
    original, erased, retrained : fitted classifiers
        The models of `gamma_score`: linear classifiers, multi-layer perceptrons, pipelines that end
        in one, or multi-output classifiers of them. In pipelines only the last steps are compared,
        which is meaningful only if their inputs agree. The models need not be erasable. An output
        that is a `DummyClassifier` in the retrained model, because its retained rows have one
        class, has no parameters and is left out of the ratio.
    X : {array-like, sparse matrix} of shape (n_retained, n_features), default=None
        The retained rows, which the retrained model was trained on. Only for ``norm='hessian'``;
        the Euclidean norm ignores X, y and sample_weight. If the retrained model is a pipeline,
        its steps transform X, and H belongs to the columns that they return.
    y : array-like of shape (n_retained,) or (n_retained, n_outputs), default=None
        The labels of the retained rows, needed if the retrained model has class weights.
    norm : {'euclidean', 'hessian'}, default='euclidean'
        The norm. For 'hessian', H is the Hessian of the penalised loss of the retrained model on
        the rows X, on the scale of a sum over rows; for a multi-layer perceptron, the Gauss-Newton
        matrix plus the penalty; for several outputs, one block for each output. It is not formed:
        one pass over X multiplies its factors by the two differences. Without X, H is the Hessian
        whose full inverse the retrained model stores, or else the erased model: it was computed at
        the parameters of that model's fit, and `curvature` must be 'fisher'.
    sample_weight : array-like of shape (n_retained,), default=None
        The weights of the retained rows, for ``norm='hessian'``.

    Returns
    -------
    float
        Without unit. 0 is perfect, and 1 is no better than doing nothing; nan if the retrained
        model equals the original one.

    Raises
    ------
    ValueError
        If `norm` is unknown, or the models do not have the same number of parameters.
    ErasureError
        For ``norm='hessian'``: if X is not given and neither model stores a full inverse of the
        Hessian, if y is not given for a model with class weights, or if the penalty of the
        retrained model has an l1 part.
    TypeError
        For ``norm='hessian'``: if the Hessian of the retrained model is not known. It is known for
        `LogisticRegression`, `LogisticRegressionCV`, a binary ``SGDClassifier(loss="log_loss")``,
        `MLPClassifier` and the erasable classifiers.

    See Also
    --------
    gamma_score : Compare the predictions on the forget set instead of the parameters.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from sklearn_ssse import ErasableLogisticRegression, parameter_distance
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = scale(X)
    >>> original = ErasableLogisticRegression(curvature="fisher").fit(X, y)
    >>> erased = ErasableLogisticRegression(curvature="fisher").fit(X, y).unlearn(X[:60], y[:60])
    >>> retrained = ErasableLogisticRegression(curvature="fisher").fit(X[60:], y[60:])
    >>> parameter_distance(original, original, retrained)
    1.0
    >>> parameter_distance(original, erased, retrained) < 0.2
    True
    >>> parameter_distance(original, erased, retrained, X[60:], norm="hessian") < 0.2
    True
    """
    if norm not in NORMS:
        raise ValueError(f"norm must be one of {', '.join(NORMS)}, got {norm!r}.")
    kept = varied_outputs(retrained)
    original, erased, retrained = (
        with_outputs(model, kept) for model in (original, erased, retrained)
    )
    norms = euclidean_norms
    if norm == "hessian" and X is None:
        norms = partial(stored_hessian_norms, retrained=retrained, erased=erased)
    elif norm == "hessian":
        norms = partial(
            hessian_norms,
            retrained=retrained,
            erased=erased,
            X=X,
            y=with_columns(y, kept),
            sample_weight=sample_weight,
        )
    first, moved, last = map(pack_parameters, (original, erased, retrained))
    return float(distance_ratios(first, [moved], last, norms)[0])


def varied_outputs(retrained):
    """Positions of the outputs whose model has parameters; None for all, or a single output.

    An output that had rows of one class only is a `DummyClassifier`, see `fit_retained`.
    """
    final = final_step(retrained)
    if not isinstance(final, MultiOutputClassifier):
        return None
    is_constant = [isinstance(output, DummyClassifier) for output in final.estimators_]
    return np.flatnonzero(~np.array(is_constant)) if any(is_constant) else None


def with_outputs(estimator, kept):
    """An estimator with some of its outputs, which it shares with the given one.

    Parameters
    ----------
    estimator : MultiOutputClassifier, or Pipeline that ends in one
    kept : ndarray of int or None
        Positions of the outputs; None returns the estimator as it is.
    """
    if kept is None:
        return estimator
    twin = copy(estimator)
    if isinstance(estimator, Pipeline):
        *steps, (name, final) = estimator.steps
        twin.steps = [*steps, (name, with_outputs(final, kept))]
    else:
        twin.estimators_ = [estimator.estimators_[j] for j in kept]
    return twin


def with_columns(y, kept):
    """The columns of y that belong to some outputs, see `with_outputs`."""
    return y if kept is None or y is None else np.asarray(y)[:, kept]
