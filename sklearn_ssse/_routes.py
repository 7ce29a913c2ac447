"""The way of rows to the models inside an estimator, and what is inside."""

import warnings
from copy import deepcopy
from dataclasses import replace
from functools import singledispatch
from itertools import chain
from typing import NamedTuple

from scipy import sparse
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from sklearn_ssse._erasure.changes import Change
from sklearn_ssse._erasure.mixin import ErasableMixin
from sklearn_ssse._erasure.validation import check_outputs
from sklearn_ssse._many import work_out_together
from sklearn_ssse._utils.compat import num_samples, routing_enabled, safe_indexing
from sklearn_ssse.exceptions import ErasureError, ErasureWarning


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
        try:
            erasure = part.model._work_out(gone, come, part.rows.epsilon, part.rows.moved)
        except ErasureError as error:
            if not part.rows.place:
                raise
            raise ErasureError(f"In {', '.join(part.rows.place)}: {error}") from error
        out.append(erasure._replace(record=replace(erasure.record, kept_by=part.rows.kept)))
    return out


class Rows(NamedTuple):
    """Rows on their way to the models inside an estimator.

    ``positions`` are those in the data of `fit`; ``kept`` names what still holds the rows, from the outside in. Rows that are
    ``arriving`` come, others leave; those ``replaced`` are followed by rows that come. ``moved`` and ``filled`` say how the columns of the
    rows that remain move when preprocessing is downdated; X itself comes as at fit. ``weighed`` is True if a step before took the weights;
    ``place`` names the models on the way that have others beside them.
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
    weighed: bool = False
    place: tuple = ()

    @property
    def data(self):
        return self.X, self.y, self.sample_weight

    def __bool__(self):
        return num_samples(self.X) > 0

    def take(self, index):
        """Some of the rows."""
        X = self.X.tocsr() if sparse.issparse(self.X) else self.X
        parts = (None if part is None else safe_indexing(part, index) for part in (X, *self[1:4]))
        return self._replace(**dict(zip(self._fields, parts, strict=False)))

    def keep(self, *names):
        return self._replace(kept=(*self.kept, *names))

    def at(self, place):
        """On the way to one model of several."""
        return self._replace(place=(*self.place, place))

    def taken_by(self, model):
        """As a model takes them: without weights that other steps asked for."""
        state = vars(model).get("_erasure_state")
        others = (routing_enabled() or self.weighed) and state is not None and not state.weighted
        return self._replace(sample_weight=None) if others else self


class Part(NamedTuple):
    """Rows that reach a model."""

    model: object
    rows: Rows


class Plan(NamedTuple):
    """What reaches each model, a `Part` or, worked out in full, an `Erasure`, and changes of other objects."""

    erasures: list | tuple = ()
    changes: list | tuple = ()
    warnings: list | tuple = ()

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
    third_party = registered(estimator)
    if third_party is not None:
        if rows.arriving or rows.replaced:
            raise TypeError(
                f"Rows can only be erased from {type(estimator).__name__}, got rows to add. Train it again with them."
            )
        return _by_copy(third_party, estimator, rows)
    check_is_fitted(estimator)
    return route(estimator, rows) if rows or rows.moved or isinstance(estimator, ErasableMixin) else Plan()


def registered(estimator):
    """What a third party registered for the type of an estimator with ``unlearn``, or None."""
    from sklearn_ssse._dispatch import unlearn

    function = unlearn.dispatch(type(estimator))
    return None if function is unlearn.dispatch(object) else function


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
    # Of several models, others may take them: `planned` has seen to it.
    alone = rows.positions is not None and not rows.place
    given = [*rows.params, *(["positions"] if alone else [])]
    if given:
        raise TypeError(f"unlearn for {type(estimator).__name__} takes no {', '.join(sorted(given))}. Leave it out.")
    return Plan([Part(estimator, rows.taken_by(estimator))])


@inside.register(ErasableMixin)
def _(estimator):
    return []


@route.register(Pipeline)
def _(estimator, rows):
    from sklearn_ssse import _preprocessing, _statistics  # noqa: F401

    steps, final, caches, path = [], estimator, [], ""
    while isinstance(final, Pipeline):
        caches += [f"{path}memory"] if final.memory is not None else []
        *inner, (name, final) = final.steps
        path, steps = f"{path}{name}__", [*steps, *inner]
    inner_caches, messages = _preprocessing.remarks(steps)
    model = next(iter(erasable_models(final)), None) if rows.sample_weight is not None else None
    flow = _preprocessing.Flow(rows.X, rows.sample_weight, rows.moved, rows.filled, model=model, weighed=rows.weighed)
    flow = (_preprocessing.through if rows.preprocessing == "downdate" else _preprocessing.kept)(steps, flow)
    own = rows._replace(X=flow.X, moved=flow.moved, filled=flow.filled, weighed=flow.weighed)
    held = [*flow.kept, *caches, *inner_caches]
    plan = work_out(final, own.keep(*held))
    if held and rows.preprocessing == "downdate":
        messages.insert(0, _preprocessing.warning(held))
    return Plan(plan.erasures, [*flow.changes, *plan.changes], [*messages, *flow.warnings, *plan.warnings])


@inside.register(Pipeline)
def _(estimator):
    return [estimator.steps[-1][1]]


@route.register(MultiOutputClassifier)
def _(estimator, rows):
    Y = check_outputs(rows.y, len(estimator.estimators_))
    of_its_own = registered(estimator.estimators_[0]) is not None
    mixed = rows.arriving or rows.replaced or rows.moved
    if not (of_its_own or mixed or rows.params or rows.positions is not None):
        own = rows.taken_by(estimator.estimators_[0])
        erasures = work_out_together(estimator.estimators_, own.X, Y, own.epsilon, own.sample_weight, own.kept)
        if erasures is not None:
            return Plan(erasures)
    outputs = enumerate(zip(estimator.estimators_, Y.T, strict=True))
    return work_out_all((output, rows._replace(y=y).at(f"output {i}")) for i, (output, y) in outputs)


@inside.register(MultiOutputClassifier)
def _(estimator):
    return estimator.estimators_


def erasable_models(estimator):
    """The erasable models inside an estimator, each once."""
    if isinstance(estimator, ErasableMixin):
        return [estimator]
    models = {id(model): model for part in inside(estimator) for model in erasable_models(part)}
    return list(models.values())


def transformers(steps):
    """The steps (name, transformer) of a pipeline that do anything."""
    return [(name, step) for name, step in steps if step is not None and step != "passthrough"]


def is_fitted_to_rows(step):
    """Whether a transformer learns from the rows at fit."""
    return get_tags(step).requires_fit


def known_columns(estimator):
    """Names of the columns that an estimator was fitted on, or None: a pipeline that passes them through does not tell."""
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None:
        return names
    if isinstance(estimator, Pipeline):
        steps = transformers(estimator.steps)
        return known_columns(steps[0][1]) if steps else None
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
