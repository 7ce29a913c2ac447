"""Rows that leave the statistics of preprocessors: sums and counts exactly, by closed forms.

What a step knows of others is how its columns move: ``x' = scale * x + shift`` for the rows that remain (`Moved`), but for values that an
imputer filled in (`Filled`), which go from one value to another.
"""

import warnings
from copy import deepcopy
from functools import singledispatch
from typing import NamedTuple

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectorMixin
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import TargetEncoder

from sklearn_ssse._families.affine import Moved
from sklearn_ssse._routes import is_fitted_to_rows, transformers
from sklearn_ssse._utils.compat import num_samples, safe_indexing
from sklearn_ssse.exceptions import ErasureError


class Filled(NamedTuple):
    """Of each column, how many of the values that remain were not filled in, with what others were, and with what from now on.

    ``present`` is infinite for columns of which none was, and None where the number is not known.
    """

    present: np.ndarray
    before: np.ndarray
    after: np.ndarray

    def take(self, columns):
        """Some of the columns."""
        return Filled(*(None if part is None else part[columns] for part in self))

    def append(self, n_columns):
        """The columns, and after them some in which nothing was filled in."""
        ends = np.inf, 0.0, 0.0
        return Filled(
            *(
                None if part is None else np.append(part, np.full(n_columns, end))
                for part, end in zip(self, ends, strict=True)
            )
        )


class Flow(NamedTuple):
    """What leaves and what moves at one place of a pipeline.

    Attributes
    ----------
    X : the rows that leave, as they were at fit
    weight : their weights or None
    moved : Moved or None
        None: nothing has moved before.
    filled : Filled or None
    changes : tuple of Change
    kept : tuple of str
        Names of the steps that still hold the rows.
    warnings : tuple of str
    model : ErasableMixin or None
        The first model behind the pipeline.
    weighed : bool
        Whether a step was fitted with weights.
    """

    X: object
    weight: object = None
    moved: object = None
    filled: object = None
    changes: tuple = ()
    kept: tuple = ()
    warnings: tuple = ()
    model: object = None
    weighed: bool = False

    def columns(self, n_columns):
        """How the columns move."""
        return Moved.nowhere(n_columns) if self.moved is None else self.moved

    def keep(self, name):
        return self._replace(kept=(*self.kept, name))


def kept(steps, flow):
    """Rows through the steps (name, transformer) of a pipeline that keep their statistics."""
    for name, step in transformers(steps):
        flow = flow._replace(X=transform(step, flow.X), weighed=flow.weighed or takes_weights(step, flow))
        flow = flow.keep(name) if is_fitted_to_rows(step) else flow
    return flow


def through(steps, flow):
    """Rows through the steps of a pipeline that they leave: what moves does so up to their end.

    Steps before one that cannot follow a move keep their statistics.
    """
    steps = transformers(steps)
    first = max((i for i, (_, step) in enumerate(steps) if not follows(step)), default=0)
    if flow.moved and not all(follows(step) for _, step in steps):
        raise ErasureError(
            f"preprocessing='downdate' moves columns, got {steps[first][0]}, fitted to them as they were. Put the scaler behind it, or use "
            "preprocessing='keep'."
        )
    flow = kept(steps[:first], flow)
    for name, step in steps[first:]:
        flow = leave(step, flow, name)
    return flow


def warning(names):
    """What to say where steps keep statistics of the rows."""
    return (
        f"The rows left the sums and counts of the pipeline, but not {', '.join(names)}: order, sets and other statistics cannot be "
        "taken back, nor what comes before a step that holds such. Fit these again when the rows that remain are at hand."
    )


def remarks(steps):
    """Names of the caches of pipelines among the steps, which hold the rows, and what to say of steps that are cross-fitted.

    These show a model other rows at fit than they make of the same rows later.
    """
    caches, messages = [], []
    for name, step in transformers(steps):
        params = step.get_params()
        caches += [f"{name}__{path}" for path, value in params.items() if _last(path) == "memory" and value is not None]
        if any(isinstance(part, TargetEncoder) for part in (step, *params.values())):
            messages.append(
                f"{name} encodes rows at fit by the labels of other rows (cross-fitting), and by all labels later: the model was fitted to "
                "other values than the rows to erase are given here, and the erasure may be far off. Compare with retraining, or erase "
                "from the model itself the rows as `fit_transform` made them."
            )
    return caches, messages


def _last(path):
    return path.split("__")[-1]


def _writes_into_rows(step):
    """Whether a step, or one inside, was told not to copy what it is given."""
    inside = isinstance(step, (ColumnTransformer, FeatureUnion, Pipeline))
    return any(
        not value for path, value in (step.get_params() if inside else vars(step)).items() if _last(path) == "copy"
    )


def transform(step, X):
    """Rows through a step; of no rows, which transformers refuse, what they would be."""
    if num_samples(X):
        return step.transform(deepcopy(X) if _writes_into_rows(step) else X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names
        return step.transform(np.zeros((1, step.n_features_in_)))[:0]


@singledispatch
def follows(step):
    """Whether a step can take columns that move."""
    return False


@singledispatch
def takes_weights(step, flow):
    """Whether a step was fitted with weights."""
    return False


@singledispatch
def leave(step, flow, name):
    """Take the rows out of a step; one that is not known keeps them, and must be given columns that stay."""
    flow = flow._replace(X=transform(step, flow.X))
    return flow.keep(name) if is_fitted_to_rows(step) else flow


@follows.register(Pipeline)
def _(step):
    return all(follows(part) for _, part in transformers(step.steps))


@leave.register(Pipeline)
def _(step, flow, name):
    inner = through(step.steps, flow._replace(changes=(), kept=(), warnings=()))
    return inner._replace(
        changes=(*flow.changes, *inner.changes),
        kept=(*flow.kept, *(f"{name}__{part}" for part in inner.kept)),
        warnings=(*flow.warnings, *inner.warnings),
    )


@follows.register(SelectorMixin)
def _(step):
    return True


@leave.register(SelectorMixin)
def _(step, flow, name):
    support = step.get_support(indices=True)
    moved, filled = (None if part is None else part.take(support) for part in (flow.moved, flow.filled))
    return flow._replace(X=transform(step, flow.X), moved=moved, filled=filled).keep(name)


@leave.register(ColumnTransformer)
def _(step, flow, name):
    out, X = transform(step, flow.X), flow.X if hasattr(flow.X, "shape") else np.asarray(flow.X)
    names = step.feature_names_in_ if hasattr(X, "columns") and hasattr(step, "feature_names_in_") else None
    moved = Moved.nowhere(out.shape[1])
    filled = Filled(np.full(out.shape[1], np.inf), *np.zeros((2, out.shape[1])))
    changes, kept, messages, weighed = flow.changes, flow.kept, flow.warnings, flow.weighed
    for part, transformer, columns in step.transformers_:
        at = step.output_indices_.get(part, slice(0))
        if isinstance(transformer, str) or at.stop == at.start:
            continue
        columns = columns if names is None else _named(columns, names)
        branch = Flow(safe_indexing(X, columns, axis=1), flow.weight, model=flow.model, weighed=flow.weighed)
        branch = through([(part, transformer)], branch)
        weight, weighed = (step.transformer_weights or {}).get(part), weighed or branch.weighed
        weight = 1.0 if weight is None else weight
        if branch.moved is not None:
            branch = branch._replace(moved=Moved(branch.moved.scale, weight * branch.moved.shift))
        if branch.filled is not None:
            present, before, after = branch.filled
            branch = branch._replace(filled=Filled(present, weight * before, weight * after))
        for whole, own in ((moved, branch.moved), (filled, branch.filled)):
            for target, values in zip(whole, own or (), strict=bool(own)):
                target[at] = values
        changes = (*changes, *branch.changes)
        kept = (*kept, *(f"{name}__{inner}" for inner in branch.kept))
        messages = (*messages, *branch.warnings)
    return flow._replace(
        X=out,
        moved=moved if moved else None,
        filled=filled if np.isfinite(filled.present).any() else None,
        changes=changes,
        kept=kept,
        warnings=messages,
        weighed=weighed,
    )


def _named(columns, names):
    """Columns of a `ColumnTransformer` by their names at fit, where they are positions: frames may come without those it drops."""
    ends = (columns.start, columns.stop) if isinstance(columns, slice) else np.ravel(columns)
    if any(isinstance(end, str) for end in ends):
        return columns
    found = names[columns if isinstance(columns, slice) else np.asarray(columns)]
    return found.tolist() if isinstance(found, np.ndarray) else found
