"""The plans of the verbs for an estimator and every model inside it."""

from sklearn_ssse._composites.groups import rows_of_groups
from sklearn_ssse._composites.inspection import known_columns, takes_positions
from sklearn_ssse._composites.registry import plan, plan_all
from sklearn_ssse._composites.rows import RoutedRows
from sklearn_ssse._erasure import Request, any_row, check_pairs, weight_per_row
from sklearn_ssse._utils.unquoted import check_consistent_length, weights
from sklearn_ssse.exceptions import ErasureError, ErasureTypeError

# The values of the parameter `preprocessing` of `unlearn`, and of `refresh`.
PREPROCESSING = ("keep", "downdate")
PREPROCESSING_OF_REFRESH = ("keep", "refit")


def plan_unlearn(
    estimator,
    X,
    y,
    epsilon=None,
    sample_weight=None,
    preprocessing="keep",
    groups=None,
    forget=None,
    request_id=None,
    **params,
):
    """The `Plan` of `unlearn` with the same arguments, with an `Erasure` for each model.

    Returns
    -------
    Plan
        Nothing has changed yet.
    """
    _check_preprocessing(preprocessing, PREPROCESSING)
    positions = params.pop("positions", None)
    weight = weight_per_row(sample_weight, X)
    request = Request.of("unlearn", request_id)
    rows = RoutedRows(X, y, weight, positions, epsilon, preprocessing, params, request=request)
    for part in (y, weight, positions):
        check_consistent_length(X, part)
    return _plan_of_groups(estimator, [rows], groups, forget, "forget")


def plan_learn(
    estimator, X, y, epsilon=None, sample_weight=None, groups=None, only=None, request_id=None
):
    """The `Plan` of `learn` with the same arguments, with an `Erasure` for each model.

    Returns
    -------
    Plan
        Nothing has changed yet.
    """
    weight = weight_per_row(sample_weight, X)
    check_consistent_length(X, y, weight)
    request = Request.of("learn", request_id)
    rows = RoutedRows(X, y, weight, epsilon=epsilon, added=True, request=request)
    return _plan_of_groups(estimator, [rows], groups, only, "only")


def plan_rectify(
    estimator,
    X_old,
    y_old,
    X_new,
    y_new,
    epsilon=None,
    sample_weight=None,
    groups=None,
    only=None,
    request_id=None,
):
    """The `Plan` of `rectify` with the same arguments, with an `Erasure` for each model.

    Returns
    -------
    Plan
        Nothing has changed yet.
    """
    check_pairs(X_old, X_new)
    weight = weight_per_row(sample_weight, X_old)
    check_consistent_length(X_old, y_old, X_new, y_new, weight)
    given = {"epsilon": epsilon, "request": Request.of("rectify", request_id)}
    old = RoutedRows(X_old, y_old, weight, replaced=True, **given)
    new = RoutedRows(X_new, y_new, weight, added=True, **given)
    return _plan_of_groups(estimator, [old, new], groups, only, "only")


def plan_refresh(estimator, X, y, sample_weight=None, preprocessing="keep", positions=None):
    """The `Plan` of `refresh` with the same arguments, with the refreshed models.

    Returns
    -------
    Plan
        Nothing has changed yet.
    """
    _check_preprocessing(preprocessing, PREPROCESSING_OF_REFRESH)
    weight = weight_per_row(sample_weight, X)
    check_consistent_length(X, y, weight, positions)
    rows = RoutedRows(X, y, weight, positions, preprocessing=preprocessing, retained=True)
    _check_weights(rows)
    made = plan(estimator, rows)
    _check_takes_positions(estimator, positions)
    return made.worked_out()


def _plan_of_groups(estimator, sides, groups, chosen, parameter):
    """The `Plan` of a change of the rows of the chosen groups, see `rows_of_groups`."""
    known = None
    if isinstance(groups, str):
        names = known_columns(estimator)
        known = getattr(estimator, "n_features_in_", None) if names is None else names
    sides = rows_of_groups(sides, groups, chosen, known, parameter)
    for rows in sides:
        _check_weights(rows)
    made = plan_all((estimator, rows) for rows in sides)
    _check_takes_positions(estimator, sides[0].positions)
    made = made.worked_out()
    # A transformer that takes no weights may change, too, by rows of weight 0.
    has_rows = any(any_row(rows.X, rows.sample_weight) for rows in sides)
    return made._replace(no_rows=not (has_rows or made.changes_something))


def _check_weights(rows):
    """Refuse weights that are not valid, also if no model inside the estimator takes weights."""
    if rows.sample_weight is not None:
        weights(rows.sample_weight, rows.X)


def _check_preprocessing(preprocessing, allowed):
    """Refuse a value that is not among the ``allowed`` ones."""
    if preprocessing not in allowed:
        raise ErasureError(
            f"preprocessing must be one of {', '.join(allowed)}, got {preprocessing!r}. Pass one "
            "of them."
        )


def _check_takes_positions(estimator, positions):
    """Refuse positions for an estimator that does not need them."""
    if positions is not None and not takes_positions(estimator):
        raise ErasureTypeError(
            f"positions are for a BaggingClassifier, got {type(estimator).__name__} without one. "
            "Omit them."
        )
