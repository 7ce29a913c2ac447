"""The norm ``sqrt(v^T H v)`` of differences v of parameters, H the Hessian of the retained rows.

H is the Hessian of the penalised objective of the retrained model, on the scale of a sum over rows.
For a network it is the Gauss-Newton matrix plus the penalty. With the curvature rows R of the
curvature "fisher", ``v^T H v`` is ``||R v||^2`` plus the penalty of v, so that one pass over the
rows suffices and no (d, d) matrix is formed.
"""

import numpy as np
from scipy.linalg import solve
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.utils import compute_class_weight

from sklearn_ssse._composites import bare_copies, final_step, transformed
from sklearn_ssse._erasure import (
    ErasableMixin,
    check_outputs,
    check_rows,
    is_multilabel,
)
from sklearn_ssse._families import LinearFamily, NetworkFamily
from sklearn_ssse._from_estimator import logistic_parameters
from sklearn_ssse._gradients import HESSIAN
from sklearn_ssse._search.distance import pack_parameters
from sklearn_ssse._utils.chunks import add_up
from sklearn_ssse._utils.compat import num_samples
from sklearn_ssse.exceptions import ErasureError, ErasureTypeError


def hessian_norms(V, retrained, erased, X, y=None, sample_weight=None):
    """Norms of vectors in the Hessian of the retrained model on rows of data.

    Parameters
    ----------
    V : ndarray of shape (m, d)
    retrained : classifier, Pipeline or MultiOutputClassifier
        H is taken at its parameters. A pipeline transforms the rows with its own steps.
    erased : estimator of the same form
        Its family is used if `retrained` is a classifier that is not known.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Labels of the rows, for a model with class weights.
    sample_weight : array-like of shape (n_samples,), default=None

    Returns
    -------
    ndarray of shape (m,)
    """
    return np.sqrt(_squares(V, retrained, erased, X, y, sample_weight))


def stored_hessian_norms(V, retrained, erased):
    """Norms of vectors in the Hessian whose inverse the retrained or the erased model stores.

    Parameters
    ----------
    V : ndarray of shape (m, d)
    retrained, erased : estimator
        The first of the two that stores the inverse of a Hessian is used.

    Returns
    -------
    ndarray of shape (m,)

    Raises
    ------
    ErasureError
        If neither model stores one.
    """
    for models in map(output_models, (retrained, erased)):
        if all(map(_stores_hessian, models)):
            parts = zip(_split(V, models), models, strict=True)
            squares = add_up(_stored_squares(part, model) for part, model in parts)
            return np.sqrt(np.maximum(squares, 0.0))
    raise ErasureError(
        "norm='hessian' needs rows of data or a stored Hessian, got no X, and neither the "
        "retrained nor the erased model stores a full inverse with curvature='fisher'. Pass X, "
        "the retained rows."
    )


def _squares(V, retrained, erased, X, y, sample_weight):
    """``v^T H v`` of each vector v, (m,), see `hessian_norms`."""
    X = transformed(retrained, X)
    retrained = final_step(retrained)
    erased = final_step(erased)
    if not isinstance(retrained, MultiOutputClassifier):
        return _squares_of_model(V, retrained, erased, X, y, sample_weight)
    models = retrained.estimators_
    labels = [None] * len(models) if y is None else check_outputs(y, len(models)).T
    parts = zip(_split(V, models), models, erased.estimators_, labels, strict=True)
    return add_up(
        _squares(part, model, twin, X, own_labels, sample_weight)
        for part, model, twin, own_labels in parts
    )


def _squares_of_model(V, retrained, erased, X, y, sample_weight):
    """``v^T H v`` of each vector v for one classifier, (m,), see `hessian_norms`."""
    if y is None:
        y = _placeholder_labels(retrained, num_samples(X))
    X, codes, weight = check_rows(retrained, X, y, sample_weight)
    weight = np.ones(len(codes)) if weight is None else weight
    family, class_weight = known_objective(retrained, erased, codes, weight)
    if V.shape[1] != family.n_parameters:
        raise ErasureError(
            "norm='hessian' needs a model all of whose parameters move, got "
            f"{family.n_parameters} of {V.shape[1]} parameters. Use norm='euclidean'."
        )
    penalty = family.penalty(int((weight > 0).sum()))
    if class_weight is not None:
        weight = weight * class_weight[codes]
    columns = V.T
    rows = family.batch(X, codes, weight).scores(HESSIAN)
    squares = add_up(np.square(chunk.matvec(columns)).sum(axis=0) for chunk in rows.chunks())
    return squares + penalty @ np.square(columns)


def _placeholder_labels(model, n_rows):
    """Labels for rows without labels, which have no effect on H if all classes weigh the same."""
    if getattr(model, "class_weight", None) is not None:
        raise ErasureError(
            "y must be given for a model with class weights, got none. Pass the labels of the rows "
            "X."
        )
    if is_multilabel(model):
        return np.zeros((n_rows, len(model.classes_)), dtype=np.int64)
    return np.full(n_rows, model.classes_[0])


def known_objective(retrained, erased, codes, weight):
    """The family of a model at the retrained parameters, and its class weights.

    Parameters
    ----------
    retrained, erased : classifier
    codes : ndarray of int of shape (n_samples,)
        Positions of the labels in ``classes_``.
    weight : ndarray of shape (n_samples,)

    Returns
    -------
    family : Family
    class_weight : ndarray of shape (n_classes,) or None
    """
    if isinstance(retrained, ErasableMixin):
        return retrained._family(), retrained._erasure_state.class_weight
    if isinstance(retrained, (LogisticRegression, SGDClassifier)):
        classes = retrained.classes_
        y = classes[codes]
        given = logistic_parameters(retrained, y)
        names = LogisticRegression._get_param_names()
        twin = LogisticRegression(**{k: v for k, v in given.items() if k in names})
        for name in LinearFamily.parameters:
            setattr(twin, name, getattr(retrained, name))
        class_weight = None
        if twin.class_weight is not None:
            class_weight = compute_class_weight(
                twin.class_weight, classes=classes, y=y, sample_weight=weight
            )
        return LinearFamily(twin), class_weight
    if isinstance(retrained, MLPClassifier):
        return NetworkFamily(retrained), None
    if isinstance(erased, ErasableMixin):
        twin = bare_copies(erased)
        vars(twin).update(erased._family().attributes_of(retrained))
        return twin._family(), erased._erasure_state.class_weight
    raise ErasureTypeError(
        "norm='hessian' needs a model whose Hessian is known, got "
        f"{type(retrained).__name__}. Pass a LogisticRegression, an MLPClassifier, an erasable "
        "classifier, or a Pipeline or MultiOutputClassifier of one; or use norm='euclidean'."
    )


def output_models(estimator):
    """The classifiers of an estimator: one for each output."""
    model = final_step(estimator)
    if not isinstance(model, MultiOutputClassifier):
        return [model]
    return [part for output in model.estimators_ for part in output_models(output)]


def _split(V, models):
    """The columns of V, (m, d), that belong to each model, in the order of `pack_parameters`."""
    stops = np.cumsum([pack_parameters(model).size for model in models])
    return np.split(V, stops[:-1], axis=1)


def _stores_hessian(model):
    """Whether a model stores the full inverse of the Hessian of single rows."""
    if not isinstance(model, ErasableMixin) or "curvature_" not in vars(model):
        return False
    state = model._erasure_state
    of_rows = state.curvature == HESSIAN and not (state.minibatch or state.stale)
    return of_rows and model.curvature_.is_matrix


def _stored_squares(V, model):
    """``v^T H v`` of each vector v, (m,), with the penalty in place of the ridge."""
    inverse = model.curvature_
    columns = V.T
    product = solve(inverse.matrix, columns, assume_a="pos")
    added = model._family().penalty(model._erasure_state.n_rows) - inverse.ridge
    return np.einsum("dm,dm->m", columns, product) + added @ np.square(columns)
