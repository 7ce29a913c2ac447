"""Previews of the verbs: each returns the records of a verb and changes nothing."""

from sklearn_ssse._composites import (
    erasable_models,
    lockable_parts,
    plan_learn,
    plan_rectify,
    plan_unlearn,
)
from sklearn_ssse._erasure import warn_of_no_rows
from sklearn_ssse._utils.locks import exclusive


@exclusive(lockable_parts)
def preview_unlearn(
    estimator,
    X,
    y,
    epsilon=None,
    *,
    sample_weight=None,
    preprocessing="keep",
    groups=None,
    forget=None,
    request_id=None,
    **params,
):
    """Return the record that `unlearn` would make with the same arguments; change nothing.

    Parameters
    ----------
    estimator, X, y, epsilon, sample_weight, preprocessing, groups, forget, request_id, **params
        See `unlearn`.

    Returns
    -------
    ErasureRecord or list of ErasureRecord
        The record of the model inside; for several models, the record of each to which rows are
        sent.

    Raises
    ------
    TypeError, ErasureError, ValueError
        In the same cases as `unlearn`.

    Warns
    -----
    ErasureWarning
        If there is no row of positive weight. A preview gives no other warning of `unlearn`.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_ssse import ErasableLogisticRegression, preview_unlearn
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> pipe = make_pipeline(StandardScaler(), ErasableLogisticRegression()).fit(X, y)
    >>> preview_unlearn(pipe, X[:20], y[:20]).kept_by
    ('standardscaler',)
    """
    made = plan_unlearn(
        estimator, X, y, epsilon, sample_weight, preprocessing, groups, forget, request_id, **params
    )
    return _records(estimator, made)


@exclusive(lockable_parts)
def preview_learn(
    estimator,
    X,
    y,
    epsilon=None,
    *,
    sample_weight=None,
    groups=None,
    only=None,
    request_id=None,
):
    """Return the record that `learn` would make with the same arguments; change nothing.

    Parameters
    ----------
    estimator, X, y, epsilon, sample_weight, groups, only, request_id
        See `learn`.

    Returns
    -------
    ErasureRecord or list of ErasureRecord
        The record of the model inside, with ``n_added`` and ``weight_added``; for several models,
        the record of each to which rows are sent.

    Raises
    ------
    TypeError, ErasureError, ValueError
        In the same cases as `learn`.

    Warns
    -----
    ErasureWarning
        If there is no row of positive weight. A preview gives no other warning of `learn`.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_ssse import ErasableLogisticRegression, learn, preview_learn
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> pipe = make_pipeline(StandardScaler(), ErasableLogisticRegression()).fit(X[20:], y[20:])
    >>> record = preview_learn(pipe, X[:20], y[:20])
    >>> record.n_added, record.n_remaining, pipe[-1].n_samples_remaining_
    (20, 569, 549)
    >>> learn(pipe, X[:20], y[:20])[-1].erasures_ == [record]
    True
    """
    made = plan_learn(estimator, X, y, epsilon, sample_weight, groups, only, request_id)
    return _records(estimator, made)


@exclusive(lockable_parts)
def preview_rectify(
    estimator,
    X_old,
    y_old,
    X_new,
    y_new,
    epsilon=None,
    *,
    sample_weight=None,
    groups=None,
    only=None,
    request_id=None,
):
    """Return the record that `rectify` would make with the same arguments; change nothing.

    Parameters
    ----------
    estimator, X_old, y_old, X_new, y_new, epsilon, sample_weight, groups, only, request_id
        See `rectify`.

    Returns
    -------
    ErasureRecord or list of ErasureRecord
        The record of the model inside, in which ``n_erased`` counts the old rows and ``n_added``
        the new ones; for several models, the record of each to which rows are sent.

    Raises
    ------
    TypeError, ErasureError, ValueError
        In the same cases as `rectify`.

    Warns
    -----
    ErasureWarning
        If there is no row of positive weight. A preview gives no other warning of `rectify`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.multiclass import OneVsOneClassifier
    >>> from sklearn_ssse import ErasableLogisticRegression, preview_rectify
    >>> X, y = load_iris(return_X_y=True)
    >>> wrong = y.copy()
    >>> wrong[:2] = 1
    >>> model = OneVsOneClassifier(ErasableLogisticRegression(curvature="fisher")).fit(X, wrong)
    >>> records = preview_rectify(model, X[:2], wrong[:2], X[:2], y[:2])
    >>> [(record.n_erased, record.n_added) for record in records]  # 0 and 1, 0 and 2, 1 and 2
    [(2, 2), (0, 2), (2, 0)]
    """
    given = (epsilon, sample_weight, groups, only, request_id)
    made = plan_rectify(estimator, X_old, y_old, X_new, y_new, *given)
    return _records(estimator, made)


def _records(estimator, made):
    """The record of a plan for one model, or a list of records for several models."""
    if made.no_rows:
        warn_of_no_rows()
    records = [erasure.record for erasure in made.erasures]
    if not records:  # no row reaches a model
        records = [model._plan_erasure().record for model in erasable_models(estimator)]
    return records[0] if len(records) == 1 else records
