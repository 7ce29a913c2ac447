"""The parameters or models after an erasure as functions of eps, for estimators with models."""

from copy import deepcopy

import numpy as np

from sklearn_ssse._composites import erasable_models, lockable_parts, plan_unlearn, registered
from sklearn_ssse._erasure import EpsilonPath, read_epsilons, warn_of_no_rows
from sklearn_ssse._utils.locks import exclusive
from sklearn_ssse.exceptions import ErasureTypeError


@exclusive(lockable_parts)
def unlearn_path(
    estimator,
    X,
    y,
    epsilons,
    *,
    sample_weight=None,
    groups=None,
    forget=None,
    as_models=False,
    **params,
):
    """Compute the parameters that `unlearn` would give for each of many eps; change nothing.

    The parameters of each model inside the estimator after an erasure are
    ``theta + eps * Delta``, equations (1) and (4) of `docs/method.md`. Delta does not depend on
    eps, so that one erasure, planned and not made, gives the parameters for all of them.

    Parameters
    ----------
    estimator, X, y, sample_weight, groups, forget, **params
        See `unlearn`. The transformers of pipelines are applied and not changed.
    epsilons : array-like of float or str
        Step sizes eps > 0, 'auto' or multiples of it such as '0.5*auto'. A multiple of 'auto' may
        be another number for each model inside the estimator.
    as_models : bool, default=False
        Whether to return models instead of parameters.

    Returns
    -------
    ndarray of shape (n_epsilons, n_parameters), or list of estimators
        The parameters for each eps, see `ErasableLogisticRegression.unlearn_path`. The parameters
        of several models follow each other, for a `MultiOutputClassifier` in the order of its
        outputs. With ``as_models=True``, one deep copy of the estimator for each eps, in which
        scikit-learn's own class replaces each erasable model, as after `unlearn` and
        ``to_plain()``.

    Raises
    ------
    TypeError
        If `unlearn` has no rule for a type, or a third party registered it with
        ``unlearn.register``, because the step of such a type is not known.
    ErasureError, ValueError
        If `unlearn` refuses the smallest value of `epsilons`, or 1 if that is smaller; among
        multiples of 'auto' and numbers, the smallest multiple counts, or 'auto'. Also if
        `epsilons` is empty.

    Warns
    -----
    ErasureWarning
        If there is no row of positive weight. The parameters do not change then.

    See Also
    --------
    preview_unlearn : The record that `unlearn` would make.
    TunedEpsilonCV : Choose eps by gamma_S on forget sets.

    Notes
    -----
    A row of the result equals the parameters after `unlearn` with its eps on a copy of the
    estimator, up to rounding. The result does not contain the refusals and warnings of `unlearn`
    for an eps that is too large; see the notes of `ErasableLogisticRegression.unlearn_path`.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_ssse import ErasableLogisticRegression, unlearn_path
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> pipe = make_pipeline(StandardScaler(), ErasableLogisticRegression()).fit(X, y)
    >>> unlearn_path(pipe, X[:20], y[:20], [0.5, 1.0]).shape
    (2, 31)
    >>> first, second = unlearn_path(pipe, X[:20], y[:20], [0.5, 1.0], as_models=True)
    >>> first[-1]
    LogisticRegression()
    """
    epsilons, paths, no_rows = epsilon_paths(
        estimator, X, y, epsilons, sample_weight, groups=groups, forget=forget, **params
    )
    if no_rows:
        warn_of_no_rows()
    if as_models:
        return [_moved(estimator, paths, eps) for eps in epsilons]
    return np.array([np.concatenate([path.theta(eps) for path in paths]) for eps in epsilons])


def epsilon_paths(estimator, X, y, epsilons, sample_weight=None, **params):
    """The values of eps as numbers or multiples of "auto", and the path of each erasable model.

    Parameters
    ----------
    estimator, X, y, epsilons, sample_weight, **params
        See `unlearn_path`.

    Returns
    -------
    epsilons : list of float or Multiple
    paths : list of EpsilonPath
        In the order of `erasable_models`.
    no_rows : bool
        Whether there is no row of positive weight.
    """
    epsilons, planned, given = read_epsilons(epsilons)
    made = plan_unlearn(estimator, X, y, given, sample_weight, **params)
    for change in made.changes:
        if registered(change.target) is not None:
            raise ErasureTypeError(
                "unlearn_path needs types whose models it knows, got "
                f"{type(change.target).__name__}, which is registered with `unlearn` alone. Call "
                "it for the models inside."
            )
    found = {id(part.model): part for part in made.erasures if part.changes_rows}
    paths = [
        EpsilonPath.of(found[id(model)], planned)
        if id(model) in found
        else EpsilonPath.of_no_rows(model)
        for model in erasable_models(estimator)
    ]
    return epsilons, paths, made.no_rows


def _moved(estimator, paths, eps):
    """A deep copy of the estimator, with the plain model of each path in place of its model."""
    return deepcopy(estimator, {id(path.model): path.plain(eps) for path in paths})
