"""``unlearn`` for whatever estimator holds an erasable model."""

from dataclasses import replace
from functools import singledispatch

import numpy as np
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sklearn_ssse._compat import num_samples
from sklearn_ssse._erasure import ErasableMixin


@singledispatch
def unlearn(estimator, X, y, epsilon=None, *, sample_weight=None, **params):
    """Erase training rows from a fitted estimator or pipeline, in place.

    Third parties register their own composites with ``unlearn.register``.

    Parameters
    ----------
    estimator : estimator object
        An erasable estimator, a `Pipeline` that ends in one, or a `MultiOutputClassifier` of erasable estimators.
        The transformers of a pipeline are applied, not changed; the record names those that were fitted on the rows
        (``kept_by``).
    X : {array-like, sparse matrix} of shape (n_erased, n_features)
        The rows to erase, as they were given to ``estimator.fit``.
    y : array-like of shape (n_erased,) or (n_erased, n_outputs)
        The labels that the rows had at fit.
    epsilon : float, default=None
        Step size; None takes the estimator's parameter `unlearn_epsilon`.
    sample_weight : array-like of shape (n_erased,), default=None
        The weights that the rows had at fit.
    **params : dict
        For estimators that third parties registered.

    Returns
    -------
    estimator
        The same object. The call is atomic: after any error it is as it was.

    Raises
    ------
    TypeError
        If rows cannot be erased from an estimator of this type.
    ErasureError, ValueError
        See `ErasableLogisticRegression.unlearn`.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_ssse import ErasableLogisticRegression, unlearn
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> pipe = make_pipeline(StandardScaler(), ErasableLogisticRegression()).fit(X, y)
    >>> pipe = unlearn(pipe, X[:20], y[:20])
    >>> pipe[-1].n_samples_remaining_
    549
    """
    raise TypeError(
        "Rows can be erased from ErasableLogisticRegression, ErasableMLPClassifier, and pipelines and MultiOutputClassifier around them, "
        f"got {type(estimator).__name__}. Make the model erasable with from_estimator, or register the type with unlearn.register."
    )


def _no_params(estimator, params):
    if params:
        raise TypeError(f"unlearn for {type(estimator).__name__} takes no {', '.join(sorted(params))}. Leave it out.")


@unlearn.register(ErasableMixin)
def _(estimator, X, y, epsilon=None, *, sample_weight=None, **params):
    _no_params(estimator, params)
    return estimator.unlearn(X, y, epsilon, sample_weight=sample_weight)


@unlearn.register(Pipeline)
def _(estimator, X, y, epsilon=None, *, sample_weight=None, **params):
    check_is_fitted(estimator)
    if num_samples(X) == 0:  # most transformers refuse it
        return estimator
    *steps, (_, final) = estimator.steps
    kept = []
    for name, transformer in steps:
        if transformer is None or transformer == "passthrough":
            continue
        X = transformer.transform(X)
        if not getattr(transformer.__sklearn_tags__(), "requires_fit", True):
            continue
        kept.append(name)
    models = list(erasable_models(final))
    before = [len(model.erasures_) for model in models]
    unlearn(final, X, y, epsilon, sample_weight=sample_weight, **params)
    for model, count in zip(models, before, strict=True):
        done, new = model.erasures_[:count], model.erasures_[count:]
        model.erasures_ = done + [replace(record, kept_by=(*kept, *record.kept_by)) for record in new]
    return estimator


def final_step(estimator):
    """The model at the end of a pipeline, nested ones too; another estimator itself."""
    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[-1][1]
    return estimator


def transformed(estimator, X):
    """Rows as the `final_step` is given them."""
    while isinstance(estimator, Pipeline):
        X = estimator[:-1].transform(X) if len(estimator.steps) > 1 else X
        estimator = estimator.steps[-1][1]
    return X


def erasable_models(estimator):
    """The erasable models inside a composite."""
    if isinstance(estimator, Pipeline):
        yield from erasable_models(estimator.steps[-1][1])
    elif isinstance(estimator, MultiOutputClassifier):
        for output in estimator.estimators_:
            yield from erasable_models(output)
    elif isinstance(estimator, ErasableMixin):
        yield estimator


@unlearn.register(MultiOutputClassifier)
def _(estimator, X, y, epsilon=None, *, sample_weight=None, **params):
    check_is_fitted(estimator)
    Y = np.asarray(y)
    if Y.ndim != 2 or Y.shape[1] != len(estimator.estimators_):
        raise ValueError(
            f"y must have one column for each of the {len(estimator.estimators_)} outputs, got shape {Y.shape}. Pass the labels "
            "as they were given to fit."
        )
    # All outputs or none: every output is erased on a copy; the copies take over only when the last one succeeded.
    copies = [bare_copies(output) for output in estimator.estimators_]
    for copy, column in zip(copies, Y.T, strict=True):
        unlearn(copy, X, column, epsilon, sample_weight=sample_weight, **params)
    for output, copy in zip(estimator.estimators_, copies, strict=True):
        for dropped in vars(output).keys() - vars(copy).keys():
            delattr(output, dropped)
        vars(output).update(vars(copy))
    return estimator


def bare_copies(estimator):
    """A copy that an erasure leaves independent: ``unlearn`` assigns new arrays and never writes into old ones."""
    if isinstance(estimator, Pipeline):
        twin = _bare_copy(estimator)
        *steps, (name, final) = estimator.steps
        twin.steps = [*steps, (name, bare_copies(final))]
        return twin
    if isinstance(estimator, MultiOutputClassifier):
        twin = _bare_copy(estimator)
        twin.estimators_ = [bare_copies(output) for output in estimator.estimators_]
        return twin
    return _bare_copy(estimator)


def _bare_copy(estimator):
    twin = object.__new__(type(estimator))
    vars(twin).update(vars(estimator))
    return twin
