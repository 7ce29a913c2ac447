"""The functions that change the rows of an estimator and of every model inside it."""

from sklearn_ssse._composites import (
    lockable_parts,
    plan_learn,
    plan_rectify,
    plan_refresh,
    plan_unlearn,
    third_party,
)
from sklearn_ssse._erasure import carry_out, warn_of_no_rows
from sklearn_ssse._utils.locks import exclusive


@exclusive(lockable_parts)
def unlearn(
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
    """Erase training rows from a fitted estimator and every model inside it, in place.

    Third parties register their own types with ``unlearn.register``, each with a function of the
    same arguments that changes its estimator. The function is given a deep copy, whose attributes
    replace those of the estimator if it succeeds, so that an error changes nothing. The copy needs
    memory, and the objects inside the estimator are other ones afterwards.

    Parameters
    ----------
    estimator : estimator object
        An erasable estimator, or one that holds erasable estimators: `Pipeline`, `GridSearchCV` and
        the other searches, `TunedEpsilonCV`, `MultiOutputClassifier`, `OneVsRestClassifier`,
        `OneVsOneClassifier`, `ClassifierChain`, `VotingClassifier`, `BaggingClassifier`,
        `FrozenEstimator`, `CalibratedClassifierCV` around a frozen estimator,
        `TunedThresholdClassifierCV`, `FixedThresholdClassifier`.
    X : {array-like, sparse matrix} of shape (n_erased, n_features)
        The rows to erase, as they were given to ``estimator.fit``. With `forget`, X may hold other
        rows too, which are not erased.
    y : array-like of shape (n_erased,) or (n_erased, n_outputs)
        The labels that the rows had at fit.
    epsilon : float or str, default=None
        Step size eps, see `ErasableLogisticRegression.unlearn`. None takes the parameter
        `unlearn_epsilon` of each model.
    sample_weight : array-like of shape (n_erased,), default=None
        The weights that the rows had at fit.
    preprocessing : {'keep', 'downdate'}, default='keep'
        'keep': the transformers of a pipeline are applied and not changed. 'downdate': the rows
        are also erased from the sums and counts of `StandardScaler` and `SimpleImputer`, exactly,
        and the model is re-parametrised so that this changes no prediction. An `ErasureWarning`
        names the steps with other statistics. In either case the record names the steps that still
        hold the rows (``kept_by``). 'downdate' is refused for models with ``track_rows=True`` and
        for certified models.
    groups : array-like of shape (n_rows,) or str, default=None
        The group of each row of X, such as a person; or the name of the column of X that holds the
        groups. The column is dropped if the estimator was fitted without it.
    forget : array-like, default=None
        The groups to erase. Only their rows are erased. Without `groups`, the labels to erase in
        the index of a pandas object.
    request_id : str, default=None
        The id of the request, such as a case number, for the records: 1 to 200 printable
        characters, without personal data.
    **params : dict
        ``positions``, array-like of shape (n_erased,), for a `BaggingClassifier`: the positions of
        the rows in the data of `fit`, which identify the members that drew them. Other parameters,
        for estimators that third parties registered.

    Returns
    -------
    estimator
        The same object. The call is atomic: after any error the object and every model inside are
        unchanged.

    Raises
    ------
    TypeError
        If rows cannot be erased from an estimator of this type; the message states the reason.
    ErasureError, ValueError
        See `ErasableLogisticRegression.unlearn`; also if a group in `forget` has no row. An output
        of a `MultiOutputClassifier` may lose the last rows of a class, which `lost_classes` of its
        record names; the next erasure then needs a `refresh`.

    Warns
    -----
    ErasureWarning
        See `ErasableLogisticRegression.unlearn`; also if a step or an attribute of the estimator
        still holds the rows and ``preprocessing='downdate'``. If there is no row of positive weight
        to erase, for example because a filter matches no row, one warning is given for all models
        together. No warning is given if only some of the models get no row.

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

    Erase all rows of two patients:

    >>> patient = [i // 3 for i in range(569)]
    >>> pipe = unlearn(pipe, X, y, groups=patient, forget=[50, 51])
    >>> pipe[-1].n_samples_remaining_
    543
    """
    made = plan_unlearn(
        estimator, X, y, epsilon, sample_weight, preprocessing, groups, forget, request_id, **params
    )
    return _carry_out_plan(estimator, made)


unlearn.register = third_party.register


@exclusive(lockable_parts)
def learn(
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
    """Add training rows to a fitted estimator and every model inside it, in place.

    The transformers of a pipeline are applied and not changed.

    Parameters
    ----------
    estimator : estimator object
        As for `unlearn`, except a `BaggingClassifier`, whose members draw their rows at random, and
        types of third parties.
    X : {array-like, sparse matrix} of shape (n_added, n_features)
        The rows to add, as they would be given to ``estimator.fit``. With `only`, X may hold other
        rows too, which are not added.
    y : array-like of shape (n_added,) or (n_added, n_outputs)
        The labels of the added rows. They must have been seen at fit.
    epsilon : float or str, default=None
        Step size eps, see `ErasableLogisticRegression.unlearn`. None takes the parameter
        `unlearn_epsilon` of each model.
    sample_weight : array-like of shape (n_added,), default=None
        The weights of the added rows.
    groups : array-like of shape (n_rows,) or str, default=None
        The group of each row of X, such as a person; or the name of the column of X that holds the
        groups. The column is dropped if the estimator was fitted without it.
    only : array-like, default=None
        The groups whose rows are added. X may hold other rows, which are not used. Without
        `groups`, `only` holds labels of the index of a pandas object.
    request_id : str, default=None
        The id of the request, such as a case number, for the records: 1 to 200 printable
        characters, without personal data.

    Returns
    -------
    estimator
        The same object. The call is atomic: after any error the object and every model inside are
        unchanged.

    Raises
    ------
    TypeError
        If rows cannot be added to an estimator of this type.
    ErasureError, ValueError
        See `ErasableLogisticRegression.learn`; also if a group in `only` has no row.

    Warns
    -----
    ErasureWarning
        See `ErasableLogisticRegression.learn`. If there is no row of positive weight to add, one
        warning is given for all models together.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_ssse import ErasableLogisticRegression, learn
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> pipe = make_pipeline(StandardScaler(), ErasableLogisticRegression()).fit(X[20:], y[20:])
    >>> learn(pipe, X[:15], y[:15])[-1].n_samples_remaining_
    564

    Add all rows of one patient:

    >>> patient = [i // 5 for i in range(569)]
    >>> learn(pipe, X, y, groups=patient, only=[3])[-1].n_samples_remaining_
    569
    """
    made = plan_learn(estimator, X, y, epsilon, sample_weight, groups, only, request_id)
    return _carry_out_plan(estimator, made)


@exclusive(lockable_parts)
def rectify(
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
    """Replace training rows by their corrected version in a fitted estimator, in place.

    The rows are replaced in every model inside it. The transformers of a pipeline are applied and
    not changed.

    Parameters
    ----------
    estimator : estimator object
        As for `learn`.
    X_old : {array-like, sparse matrix} of shape (n_rows, n_features)
        The rows as they were given to ``estimator.fit``. With `only`, X_old and X_new may hold
        other rows too, which are not replaced.
    y_old : array-like of shape (n_rows,) or (n_rows, n_outputs)
        The labels that the rows had at fit.
    X_new, y_new : array-like
        The same rows with the correct features and labels, in the same order.
    epsilon : float or str, default=None
        Step size eps, see `ErasableLogisticRegression.unlearn`. None takes the parameter
        `unlearn_epsilon` of each model.
    sample_weight : array-like of shape (n_rows,), default=None
        The weights that the rows had at fit; the corrected rows get the same weights.
    groups : array-like of shape (n_rows,) or str, default=None
        The group of each row, such as a person, which is the same for the old and the new row; or
        the name of the column that holds the groups in X_old and in X_new. The column is dropped if
        the estimator was fitted without it.
    only : array-like, default=None
        The groups whose rows are replaced. X_old and X_new may hold other rows, which are not used.
        Without `groups`, `only` holds labels of the index of X_old and of X_new, two pandas
        objects.
    request_id : str, default=None
        The id of the request, such as a case number, for the records: 1 to 200 printable
        characters, without personal data.

    Returns
    -------
    estimator
        The same object. The call is atomic: after any error the object and every model inside are
        unchanged.

    Raises
    ------
    TypeError
        If rows cannot be replaced in an estimator of this type.
    ErasureError, ValueError
        See `ErasableLogisticRegression.rectify`; also if a group in `only` has no row, or an old
        row and its new version are not of the same group.

    Warns
    -----
    ErasureWarning
        See `ErasableLogisticRegression.rectify`. If there is no row of positive weight to replace,
        one warning is given for all models together.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.multiclass import OneVsOneClassifier
    >>> from sklearn_ssse import ErasableLogisticRegression, rectify
    >>> X, y = load_iris(return_X_y=True)
    >>> wrong = y.copy()
    >>> wrong[:2] = 1
    >>> model = OneVsOneClassifier(ErasableLogisticRegression(curvature="fisher")).fit(X, wrong)
    >>> model = rectify(model, X[:2], wrong[:2], X[:2], y[:2])
    >>> [pair.n_samples_remaining_ for pair in model.estimators_]
    [100, 100, 100]

    Replace all rows of one patient, with the whole data before and after the correction:

    >>> patient = [i // 2 for i in range(150)]
    >>> model = OneVsOneClassifier(ErasableLogisticRegression(curvature="fisher")).fit(X, wrong)
    >>> model = rectify(model, X, wrong, X, y, groups=patient, only=[0])
    >>> [pair.n_samples_remaining_ for pair in model.estimators_]
    [100, 100, 100]
    """
    given = (epsilon, sample_weight, groups, only, request_id)
    made = plan_rectify(estimator, X_old, y_old, X_new, y_new, *given)
    return _carry_out_plan(estimator, made)


@exclusive(lockable_parts)
def refresh(estimator, X, y, sample_weight=None, *, preprocessing="keep", positions=None):
    """Train every model inside a fitted estimator on the retained rows, in place.

    Each model is trained from its present parameters, and its curvature is computed anew: see
    `ErasableLogisticRegression.refresh`. Logistic regressions reach the minimum of their objective,
    which is the model that training again would reach.

    Parameters
    ----------
    estimator : estimator object
        As for `unlearn`, except types that third parties registered. In a search it is the
        `best_estimator_`. The calibrators of `CalibratedClassifierCV` and a tuned threshold do not
        change.
    X : {array-like, sparse matrix} of shape (n_rows, n_features)
        The retained rows, as they would be given to ``estimator.fit``: its training rows without
        the erased rows and with the added rows.
    y : array-like of shape (n_rows,) or (n_rows, n_outputs)
        The labels of the retained rows.
    sample_weight : array-like of shape (n_rows,), default=None
        The weights of the retained rows, if the models were fitted with weights.
    preprocessing : {'keep', 'refit'}, default='keep'
        'keep': the transformers of a pipeline are applied and not changed. 'refit': clones of the
        transformers are fitted to the retained rows in turn, as ``pipeline.fit`` does, before the
        model is trained on the columns that they give. If their number has changed, as after the
        last row of a category was erased, the call is refused.
    positions : array-like of shape (n_rows,), default=None
        The positions of the retained rows in the data of `fit`, for a `BaggingClassifier`: they
        identify the members that drew each row.

    Returns
    -------
    estimator
        The same object. The call is atomic: after any error the object, its transformers and every
        model inside are unchanged. Until the end it holds the present and the new curvature of each
        model.

    Raises
    ------
    TypeError
        If an estimator of this type cannot be refreshed; the message states the reason.
    ErasureError, ValueError
        See `ErasableLogisticRegression.refresh`; also if the number of columns has changed with
        ``preprocessing='refit'``.

    Warns
    -----
    ErasureWarning, ConvergenceWarning
        See `ErasableLogisticRegression.refresh`.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_ssse import ErasableLogisticRegression, parameter_distance, refresh, unlearn
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> exact = {"solver": "newton-cholesky", "tol": 1e-10}
    >>> def fit(X, y, **params):
    ...     return make_pipeline(StandardScaler(), ErasableLogisticRegression(**params)).fit(X, y)
    >>> pipe = unlearn(fit(X, y), X[:40], y[:40])
    >>> pipe = refresh(pipe, X[40:], y[40:], preprocessing="refit")
    >>> original, retrained = fit(X, y, **exact), fit(X[40:], y[40:], **exact)
    >>> parameter_distance(original[-1], pipe[-1], retrained[-1]) < 1e-3
    True
    """
    made = plan_refresh(estimator, X, y, sample_weight, preprocessing, positions)
    return _carry_out_plan(estimator, made)


def unlearn_for_search(estimator, X, y, epsilon=None, sample_weight=None):
    """Erase rows like `unlearn`, without warnings of a doubtful step: a search measures it."""
    made = plan_unlearn(estimator, X, y, epsilon, sample_weight)
    carry_out(made.erasures, made.changes)
    return estimator


def _carry_out_plan(estimator, made):
    """Give the warnings of a plan, then make all of its changes, and return the estimator."""
    if made.no_rows:
        warn_of_no_rows()
        return estimator
    made.warn()
    carry_out(made.erasures, made.changes)
    return estimator
