"""Types of estimators, and the functions that send rows to the models inside them.

A composite type is one file of this folder, or two functions of `meta_estimators`: they register a
``route`` and an ``inside`` for the type. This module imports none of them.
"""

from copy import deepcopy
from functools import singledispatch

from sklearn.utils.validation import check_is_fitted

from sklearn_ssse._composites.rows import Plan
from sklearn_ssse._erasure import Change, ErasableMixin, any_row, part_of_a_call
from sklearn_ssse.exceptions import ErasureError, ErasureTypeError

# Types that rows cannot be erased from, and the reason.
REFUSALS: dict[type, str] = {}
# Functions that register further types. They run when a type is met that is not registered yet.
LATE: list = []


@singledispatch
def third_party(estimator, X, y, epsilon=None, *, sample_weight=None, **params):
    """Erase rows from a type that a third party registered; the default is never called."""


@singledispatch
def route(estimator, rows):
    """The `Plan` for one type, which sends the rows to the estimators inside.

    Parameters
    ----------
    estimator : estimator object
    rows : RoutedRows

    Returns
    -------
    Plan
    """
    if _load_late():
        return route(estimator, rows)
    name = type(estimator).__name__
    for kind, reason in REFUSALS.items():
        if isinstance(estimator, kind):
            raise ErasureTypeError(f"Rows cannot be erased from {name}: {reason}")
    raise ErasureTypeError(
        "Rows can be erased from ErasableLogisticRegression, ErasableMLPClassifier, "
        "ErasableNeuralNetClassifier (of sklearn_ssse.torch), and pipelines, searches and other "
        f"composites of them, got {name}. Make the model erasable with from_estimator, or "
        "from_module for a torch module, or register the type with unlearn.register."
    )


@singledispatch
def inside(estimator):
    """The estimators to which `route` sends rows; none for a type that is not registered."""
    return inside(estimator) if _load_late() else []


@singledispatch
def needs_positions(estimator):
    """Whether the members of a type were fitted to rows by their positions in the data of `fit`."""
    return needs_positions(estimator) if _load_late() else False


def _load_late():
    """Register the types that are registered late; False if there are none left."""
    loaded = bool(LATE)
    while LATE:
        LATE.pop()()
    return loaded


def registered(estimator):
    """The function that a third party registered for the type of an estimator, or None."""
    function = third_party.dispatch(type(estimator))
    return None if function is third_party.dispatch(object) else function


def plan(estimator, rows):
    """The `Plan` of a change of rows; nothing changes yet.

    Parameters
    ----------
    estimator : estimator object
    rows : RoutedRows

    Returns
    -------
    Plan
    """
    function = registered(estimator)
    if function is not None:
        return _plan_on_copy(function, estimator, rows)
    check_is_fitted(estimator)
    may_be_empty = rows.retained or rows.column_map or isinstance(estimator, ErasableMixin)
    if not (rows or may_be_empty):
        return Plan()
    return route(estimator, rows)


def plan_all(pairs):
    """The `Plan` of several estimators, each with its rows."""
    return Plan.joined([plan(estimator, rows) for estimator, rows in pairs])


def _plan_on_copy(function, estimator, rows):
    """Run a third party's function on a copy; the copy's attributes replace the estimator's.

    The function is not called if there is no row of positive weight.
    """
    name = type(estimator).__name__
    if rows.retained:
        raise ErasureTypeError(
            f"refresh needs types whose models it knows, got {name}, which is registered with "
            "`unlearn` alone. Refresh the models inside it, or train it again."
        )
    if rows.added or rows.replaced:
        raise ErasureTypeError(
            f"Rows can only be erased from {name}, got rows to add. Train it again with them."
        )
    if rows.column_map:
        raise ErasureError(
            "preprocessing='downdate' needs a model that can be transformed with its columns, got "
            f"{name}. Use preprocessing='keep'."
        )
    if not any_row(rows.X, rows.sample_weight):
        return Plan()
    twin = deepcopy(estimator)
    params = dict(rows.params)
    if rows.preprocessing != "keep":
        params["preprocessing"] = rows.preprocessing
    if rows.positions is not None:
        params["positions"] = rows.positions
    if rows.request.id:
        params["request_id"] = rows.request.id
    with part_of_a_call():
        function(twin, rows.X, rows.y, rows.epsilon, sample_weight=rows.sample_weight, **params)
    dropped = tuple(vars(estimator).keys() - vars(twin).keys())
    return Plan([], [Change(estimator, vars(twin), dropped)])
