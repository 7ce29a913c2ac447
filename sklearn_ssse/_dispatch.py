"""``unlearn``, ``learn`` and ``rectify`` for whatever estimator holds erasable models."""

import warnings
from copy import deepcopy
from dataclasses import replace
from functools import singledispatch
from itertools import chain
from typing import NamedTuple

from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from sklearn_ssse._checks import check_outputs, check_pairs
from sklearn_ssse._compat import num_samples, routing_enabled, safe_indexing
from sklearn_ssse._erasure import ErasableMixin
from sklearn_ssse._many import work_out_together
from sklearn_ssse._people import chosen
from sklearn_ssse._plan import Change, carry_out
from sklearn_ssse.exceptions import ErasureError, ErasureWarning

PREPROCESSING = ("keep", "downdate")


@singledispatch
def unlearn(
    estimator, X, y, epsilon=None, *, sample_weight=None, preprocessing="keep", groups=None, forget=None, **params
):
    """Erase training rows from a fitted estimator and every model inside it, in place.

    Third parties register their own types with ``unlearn.register``.

    Parameters
    ----------
    estimator : estimator object
        An erasable estimator, or one that holds such: `Pipeline`, `GridSearchCV` and its kin, `TunedEpsilonCV`, `MultiOutputClassifier`,
        `OneVsRestClassifier`, `OneVsOneClassifier`, `ClassifierChain`, `VotingClassifier`, `BaggingClassifier`, `FrozenEstimator`,
        `CalibratedClassifierCV` around a frozen estimator, `TunedThresholdClassifierCV`, `FixedThresholdClassifier`.
    X : {array-like, sparse matrix} of shape (n_erased, n_features)
        The rows to erase, as they were given to ``estimator.fit``. With `forget`, any rows, those to erase among them.
    y : array-like of shape (n_erased,) or (n_erased, n_outputs)
        The labels that the rows had at fit.
    epsilon : float, default=None
        Step size; None takes the parameter `unlearn_epsilon` of each model.
    sample_weight : array-like of shape (n_erased,), default=None
        The weights that the rows had at fit.
    preprocessing : {'keep', 'downdate'}, default='keep'
        'keep': the transformers of a pipeline are applied, not changed. 'downdate': the rows leave the sums and counts of `StandardScaler`
        and `SimpleImputer` exactly, and the model is re-parametrised so that its predictions do not change by it; what holds other
        statistics is named in an `ErasureWarning`. In either case the record names the steps that still hold the rows (``kept_by``).
    groups : array-like of shape (n_rows,) or str, default=None
        Who each row of X belongs to; or the name of the column of X that says so, which is dropped where the estimator does not know it.
    forget : array-like, default=None
        Erase only the rows of these groups, or, without `groups`, those with these labels in the index of a pandas object.
    **params : dict
        ``positions``, array-like of shape (n_erased,), for a `BaggingClassifier`: where the rows were in the data of `fit`, which
        decides the members that drew them. Others for estimators that third parties registered.

    Returns
    -------
    estimator
        The same object. The call is atomic: after any error it is as it was, with every model inside.

    Raises
    ------
    TypeError
        If rows cannot be erased from an estimator of this type: it says why, and what to do.
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

    A person, not rows:

    >>> patient = [i // 3 for i in range(569)]
    >>> pipe = unlearn(pipe, X, y, groups=patient, forget=[50, 51])
    >>> pipe[-1].n_samples_remaining_
    543
    """
    plan = planned(estimator, X, y, epsilon, sample_weight, preprocessing, groups, forget, params)
    for message in plan.warnings:
        warnings.warn(message, ErasureWarning, stacklevel=2)
    carry_out(plan.erasures, plan.changes)
    return estimator


def learn(estimator, X, y, epsilon=None, *, sample_weight=None):
    """Add training rows to a fitted estimator and every model inside it, in place; transformers are applied, not changed.

    Parameters
    ----------
    estimator : estimator object
        As for `unlearn`; not a `BaggingClassifier`, whose members draw their rows, nor a type of third parties.
    X : {array-like, sparse matrix} of shape (n_added, n_features)
        The rows to add, as they would be given to ``estimator.fit``.
    y : array-like of shape (n_added,) or (n_added, n_outputs)
        Their labels, of classes seen at fit.
    epsilon : float, default=None
        Step size; None takes the parameter `unlearn_epsilon` of each model.
    sample_weight : array-like of shape (n_added,), default=None
        Their weights.

    Returns
    -------
    estimator
        The same object. The call is atomic: after any error it is as it was, with every model inside.

    Raises
    ------
    TypeError
        If rows cannot be added to an estimator of this type.
    ErasureError, ValueError
        See `ErasableLogisticRegression.learn`.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_ssse import ErasableLogisticRegression, learn
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> pipe = make_pipeline(StandardScaler(), ErasableLogisticRegression()).fit(X[20:], y[20:])
    >>> learn(pipe, X[:20], y[:20])[-1].n_samples_remaining_
    569
    """
    check_consistent_length(X, y, sample_weight)
    rows = Rows(X, y, sample_weight, epsilon=epsilon, arriving=True)
    carry_out(erasures_of(work_out(estimator, rows).erasures))
    return estimator


def rectify(estimator, X_old, y_old, X_new, y_new, epsilon=None, *, sample_weight=None):
    """Replace training rows by their corrected version in a fitted estimator and every model inside it, in place.

    Parameters
    ----------
    estimator : estimator object
        As for `learn`.
    X_old, y_old : array-like
        The rows as they were given to ``estimator.fit``.
    X_new, y_new : array-like
        The same rows with right features and labels, in the same order.
    epsilon : float, default=None
        Step size; None takes the parameter `unlearn_epsilon` of each model.
    sample_weight : array-like of shape (n_rows,), default=None
        The weights that the rows had at fit, and keep.

    Returns
    -------
    estimator
        The same object. The call is atomic: after any error it is as it was, with every model inside.

    Raises
    ------
    TypeError
        If rows cannot be replaced in an estimator of this type.
    ErasureError, ValueError
        See `ErasableLogisticRegression.rectify`.

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
    """
    check_pairs(X_old, X_new)
    check_consistent_length(X_old, y_old, X_new, y_new, sample_weight)
    gone = Rows(X_old, y_old, sample_weight, epsilon=epsilon, replaced=True)
    come = Rows(X_new, y_new, sample_weight, epsilon=epsilon, arriving=True)
    carry_out(erasures_of([*work_out(estimator, gone).erasures, *work_out(estimator, come).erasures]))
    return estimator


def preview_unlearn(
    estimator, X, y, epsilon=None, *, sample_weight=None, preprocessing="keep", groups=None, forget=None, **params
):
    """What `unlearn` would do with the same arguments; changes nothing.

    Parameters
    ----------
    estimator, X, y, epsilon, sample_weight, preprocessing, groups, forget, **params
        See `unlearn`.

    Returns
    -------
    ErasureRecord or list of ErasureRecord
        The record of the model inside, or, where there are several, of each that would change.

    Raises
    ------
    TypeError, ErasureError, ValueError
        As `unlearn` would.

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
    plan = planned(estimator, X, y, epsilon, sample_weight, preprocessing, groups, forget, params)
    records = [erasure.record for erasure in plan.erasures]
    if not records:  # of no rows
        records = [model._work_out().record for model in erasable_models(estimator)]
    return records[0] if len(records) == 1 else records


def planned(estimator, X, y, epsilon, sample_weight, preprocessing, groups=None, forget=None, params=None):
    """The `Plan` of `unlearn`, worked out in full."""
    params = dict(params or {})
    if preprocessing not in PREPROCESSING:
        raise ValueError(f"preprocessing must be one of {', '.join(PREPROCESSING)}, got {preprocessing!r}.")
    rows = Rows(X, y, sample_weight, params.pop("positions", None), epsilon, preprocessing, params)
    for part in rows[1:4]:
        check_consistent_length(X, part)
    plan = work_out(estimator, chosen(rows, groups, forget, known_columns(estimator)))
    return plan._replace(erasures=erasures_of(plan.erasures))


def erasures_of(parts):
    """The `Erasure` of each model, of its `Part` that leaves and that which comes; those that are worked out already."""
    by_model, out = {}, []
    for part in parts:
        if isinstance(part, Part):
            by_model.setdefault(id(part.model), {})[part.rows.arriving] = part
        else:
            out.append(part)
    for both in by_model.values():
        part = next(iter(both.values()))
        gone, come = (both[arriving].rows.data if arriving in both else None for arriving in (False, True))
        erasure = part.model._work_out(gone, come, part.rows.epsilon, part.rows.moved)
        out.append(erasure._replace(record=replace(erasure.record, kept_by=part.rows.kept)))
    return out


class Rows(NamedTuple):
    """Rows on their way to the models inside an estimator.

    ``positions`` are those in the data of `fit`; ``kept`` names what still holds the rows, from the outside in. Rows that are
    ``arriving`` come, others leave; those ``replaced`` are followed by rows that come. ``moved`` and ``filled`` say how the columns of the
    rows that remain move when preprocessing is downdated; X itself comes as at fit.
    """

    X: object
    y: object
    sample_weight: object = None
    positions: object = None
    epsilon: object = None
    preprocessing: str = "keep"
    params: dict = {}
    kept: tuple = ()
    moved: object = None
    filled: object = None
    arriving: bool = False
    replaced: bool = False

    @property
    def data(self):
        return self.X, self.y, self.sample_weight

    def __bool__(self):
        return num_samples(self.X) > 0

    def take(self, index):
        """Some of the rows."""
        parts = (None if part is None else safe_indexing(part, index) for part in self[:4])
        return self._replace(**dict(zip(self._fields, parts, strict=False)))

    def keep(self, *names):
        return self._replace(kept=(*self.kept, *names))


class Part(NamedTuple):
    """Rows that reach a model."""

    model: object
    rows: Rows


class Plan(NamedTuple):
    """What reaches each model, a `Part` or, worked out in full, an `Erasure`, and changes of other objects."""

    erasures: list = []
    changes: list = []
    warnings: list = []

    def warn(self):
        """Say what carrying it out would."""
        for message in self.warnings:
            warnings.warn(message, ErasureWarning, stacklevel=3)
        for erasure in self.erasures:
            if erasure.changes_rows:
                erasure.warn(4)


def work_out(estimator, rows):
    """The `Plan` that sends rows to the models inside an estimator; nothing changes.

    Parameters
    ----------
    estimator : estimator object
    rows : Rows

    Returns
    -------
    Plan
    """
    third_party = unlearn.dispatch(type(estimator))
    if third_party is not unlearn.dispatch(object):
        if rows.arriving or rows.replaced:
            raise TypeError(
                f"Rows can only be erased from {type(estimator).__name__}, got rows to add. Train it again with them."
            )
        return _by_copy(third_party, estimator, rows)
    check_is_fitted(estimator)
    return route(estimator, rows) if rows or rows.moved or isinstance(estimator, ErasableMixin) else Plan()


def _by_copy(third_party, estimator, rows):
    if rows.moved:
        raise ErasureError(
            f"preprocessing='downdate' needs a model that follows the columns, got {type(estimator).__name__}. Use preprocessing='keep'."
        )
    twin = deepcopy(estimator)
    params = rows.params if rows.preprocessing == "keep" else {**rows.params, "preprocessing": rows.preprocessing}
    params = params if rows.positions is None else {**params, "positions": rows.positions}
    third_party(twin, rows.X, rows.y, rows.epsilon, sample_weight=rows.sample_weight, **params)
    return Plan([], [Change(estimator, vars(twin), tuple(vars(estimator).keys() - vars(twin).keys()))])


def work_out_all(pairs):
    """The `Plan` of pairs of an estimator and its rows."""
    plans = [work_out(estimator, rows) for estimator, rows in pairs]
    return Plan(*(list(chain.from_iterable(parts)) for parts in zip(*plans, strict=True))) if plans else Plan()


@singledispatch
def route(estimator, rows):
    """`work_out` for a type: sends the rows on to what is inside."""
    from sklearn_ssse import _composites

    if not _composites.knows(estimator):
        raise TypeError(_composites.refusal(estimator))
    return route(estimator, rows)


@singledispatch
def inside(estimator):
    """The estimators that `route` sends rows to."""
    from sklearn_ssse import _composites

    return inside(estimator) if _composites.knows(estimator) else []


@route.register(ErasableMixin)
def _(estimator, rows):
    given = [*rows.params, *(["positions"] if rows.positions is not None else [])]
    if given:
        raise TypeError(f"unlearn for {type(estimator).__name__} takes no {', '.join(sorted(given))}. Leave it out.")
    state = vars(estimator).get("_erasure_state")
    if routing_enabled() and state is not None and not state.weighted:
        rows = rows._replace(sample_weight=None)  # they are for other steps, which asked for them
    return Plan([Part(estimator, rows)])


@inside.register(ErasableMixin)
def _(estimator):
    return []


@route.register(Pipeline)
def _(estimator, rows):
    from sklearn_ssse import _preprocessing

    *steps, (_, final) = estimator.steps
    while isinstance(final, Pipeline):
        *inner, (_, final) = final.steps
        steps = [*steps, *inner]
    flow = _preprocessing.Flow(rows.X, rows.sample_weight, rows.moved, rows.filled)
    flow = (_preprocessing.through if rows.preprocessing == "downdate" else _preprocessing.kept)(steps, flow)
    if estimator.memory is not None:
        flow = flow.keep("memory")
    plan = work_out(final, rows._replace(X=flow.X, moved=flow.moved, filled=flow.filled).keep(*flow.kept))
    messages = [_preprocessing.warning(flow.kept)] if flow.kept and rows.preprocessing == "downdate" else []
    return Plan(plan.erasures, [*flow.changes, *plan.changes], [*messages, *flow.warnings, *plan.warnings])


@inside.register(Pipeline)
def _(estimator):
    return [estimator.steps[-1][1]]


@route.register(MultiOutputClassifier)
def _(estimator, rows):
    Y = check_outputs(rows.y, len(estimator.estimators_))
    of_its_own = unlearn.dispatch(type(estimator.estimators_[0])) is not unlearn.dispatch(object)
    mixed = rows.arriving or rows.replaced or rows.moved
    if not (of_its_own or mixed or rows.params or rows.positions is not None):
        erasures = work_out_together(estimator.estimators_, rows.X, Y, rows.epsilon, rows.sample_weight, rows.kept)
        if erasures is not None:
            return Plan(erasures)
    return work_out_all((output, rows._replace(y=y)) for output, y in zip(estimator.estimators_, Y.T, strict=True))


@inside.register(MultiOutputClassifier)
def _(estimator):
    return estimator.estimators_


def erasable_models(estimator):
    """The erasable models inside an estimator, each once."""
    if isinstance(estimator, ErasableMixin):
        return [estimator]
    models = {id(model): model for part in inside(estimator) for model in erasable_models(part)}
    return list(models.values())


def known_columns(estimator):
    """Names of the columns that an estimator was fitted on, or None: a pipeline that passes them through does not tell."""
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None:
        return names
    if isinstance(estimator, Pipeline):
        steps = [step for _, step in estimator.steps if step is not None and step != "passthrough"]
        return known_columns(steps[0]) if steps and steps[0] is not estimator.steps[0][1] else None
    return next((known_columns(part) for part in inside(estimator)), None)


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


def bare_copies(estimator):
    """A copy that an erasure leaves independent: ``unlearn`` assigns new arrays and never writes into old ones."""
    twin = object.__new__(type(estimator))
    vars(twin).update(vars(estimator))
    if isinstance(estimator, Pipeline):
        *steps, (name, final) = estimator.steps
        twin.steps = [*steps, (name, bare_copies(final))]
    elif isinstance(estimator, MultiOutputClassifier):
        twin.estimators_ = [bare_copies(output) for output in estimator.estimators_]
    return twin
