"""Rows that are sent to the models inside an estimator, and the plan of all their changes."""

from contextlib import contextmanager
from dataclasses import replace
from numbers import Real
from typing import NamedTuple

import numpy as np
from scipy import sparse

from sklearn_ssse._erasure import NO_REQUEST, Request
from sklearn_ssse._utils.compat import num_samples, routing_enabled, safe_indexing
from sklearn_ssse._utils.warnings import warn
from sklearn_ssse.exceptions import ErasureError


class RoutedRows(NamedTuple):
    """Rows that are sent to the models inside an estimator.

    Attributes
    ----------
    X, y, sample_weight
        The rows as the estimator at this place was given them at fit.
    positions : array-like or None
        Positions of the rows in the data of `fit`.
    epsilon : float, str or None
        Step size; None takes the parameter `unlearn_epsilon` of each model.
    preprocessing : {"keep", "downdate", "refit"}
    params : dict
        Further arguments, for types that third parties registered.
    kept_by : tuple of str
        Steps and attributes that still hold the rows, outermost first.
    column_map : AffineColumns or None
        Change of the columns of the retained rows when preprocessing is downdated.
    filled : FilledValues or None
        Values that an imputer filled in, column by column.
    added : bool
        True for rows to add, False for rows to erase.
    replaced : bool
        True for rows to erase whose corrected versions are added in the same call.
    retained : bool
        True for all rows that the models hold, on which `refresh` trains them.
    weights_consumed : bool
        True if an earlier step was fitted with the weights.
    path : tuple of str
        Names of the models that were one of several, outermost first, for error messages.
    call_positions : ndarray of int or None
        Positions of the rows in the call of the user, for error messages; None for 0, 1, ...
    request : Request
        The call that the records name.
    may_lose_class : bool
        True if the last rows of a class can be erased, as for one output of several.
    """

    X: object
    y: object
    sample_weight: object = None
    positions: object = None
    epsilon: object = None
    preprocessing: str = "keep"
    params: dict = {}
    kept_by: tuple = ()
    column_map: object = None
    filled: object = None
    added: bool = False
    replaced: bool = False
    retained: bool = False
    weights_consumed: bool = False
    path: tuple = ()
    call_positions: object = None
    request: Request = NO_REQUEST
    may_lose_class: bool = False

    @property
    def data(self):
        """X, y and sample_weight."""
        return self.X, self.y, self.sample_weight

    def __bool__(self):
        return num_samples(self.X) > 0

    def take(self, index):
        """Some of the rows."""
        X = self.X.tocsr() if sparse.issparse(self.X) else self.X
        per_row = (X, self.y, self.sample_weight, self.positions)
        parts = (None if part is None else safe_indexing(part, index) for part in per_row)
        taken = self._replace(**dict(zip(self._fields, parts, strict=False)))
        call_positions = self.call_positions
        if call_positions is None:
            call_positions = np.arange(num_samples(self.X))
        return taken._replace(call_positions=call_positions[index])

    def keep(self, *names):
        """The same rows, still held by the steps or attributes ``names``."""
        return self._replace(kept_by=(*self.kept_by, *names))

    def at(self, name):
        """The same rows for one of several models, with its name for error messages."""
        return self._replace(path=(*self.path, name))

    def for_model(self, model):
        """The same rows, without weights that were given for other steps alone."""
        state = vars(model).get("_erasure_state")
        others = routing_enabled() or self.weights_consumed
        if others and state is not None and not state.weighted:
            return self._replace(sample_weight=None)
        return self


class ModelRows(NamedTuple):
    """Rows that reach an erasable model."""

    model: object
    rows: RoutedRows


class Plan(NamedTuple):
    """The changes that a call will make; nothing has changed yet.

    Attributes
    ----------
    erasures : list of ModelRows or Erasure
        One for each model that the rows reach: its rows, or the `Erasure` computed from them.
    changes : list of Change
        Changes of transformers and other objects.
    warnings : list of str
    no_rows : bool
        True if the call was given no row of positive weight, so that nothing changes.
    """

    erasures: list | tuple = ()
    changes: list | tuple = ()
    warnings: list | tuple = ()
    no_rows: bool = False

    @classmethod
    def joined(cls, plans):
        """One plan of several, each warning once."""
        out = cls([], [], [])
        for plan in plans:
            out.erasures.extend(plan.erasures)
            out.changes.extend(plan.changes)
            out.warnings.extend(text for text in plan.warnings if text not in out.warnings)
        return out

    @property
    def changes_something(self):
        """Whether a row of a model, or an object besides the models, changes."""
        by_rows = any(erasure.changes_rows for erasure in self.erasures)
        return by_rows or any(_alters(change) for change in self.changes)

    def worked_out(self):
        """The same plan with an `Erasure` for each model, or a `Change` that refreshes it."""
        if any(isinstance(part, ModelRows) and part.rows.retained for part in self.erasures):
            return self._replace(erasures=[], changes=[*self.changes, *_refreshes(self.erasures)])
        return self._replace(erasures=_erasures(self.erasures))

    def warn(self):
        """Give the warnings of all changes."""
        for message in self.warnings:
            warn(message)
        for erasure in self.erasures:
            erasure.warn()


def _alters(change):
    """Whether a change gives an object other attributes, beyond rounding."""
    old = vars(change.target)
    return bool(change.dropped) or not all(
        _same_numbers(old.get(name), new) for name, new in change.attributes.items()
    )


def _same_numbers(old, new):
    """Whether two attributes are one object, or numbers that differ by rounding alone."""
    if old is new:
        return True
    numbers = (Real, np.ndarray)
    comparable = isinstance(old, numbers) and isinstance(new, numbers)
    if not comparable or np.shape(old) != np.shape(new):
        return False
    return np.asarray(new).dtype.kind in "iuf" and np.allclose(new, old, rtol=1e-12, atol=0.0)


def _erasures(parts):
    """One `Erasure` for each model: its rows to erase and its rows to add in one step."""
    out = []
    by_model = {}
    for part in parts:
        if isinstance(part, ModelRows):
            by_model.setdefault(id(part.model), []).append(part)
        else:
            out.append(part)
    for own in by_model.values():
        sides = {part.rows.added: part for part in own}
        model, rows = sides[own[0].rows.added]
        forget, added = (sides[side].rows.data if side in sides else None for side in (False, True))
        call = (rows.epsilon, rows.column_map, rows.request, rows.call_positions)
        with _at(rows.path):
            erasure = model._plan_erasure(forget, added, *call, rows.may_lose_class)
        names = [name for part in own for name in part.rows.kept_by]
        kept_by = tuple(dict.fromkeys([*names, *erasure.record.kept_by]))
        record = replace(erasure.record, kept_by=kept_by)
        out.append(erasure._replace(record=record))
    return out


def _refreshes(parts):
    """One `Change` for each model: the model after a refresh on its retained rows."""
    out = []
    for part in {id(part.model): part for part in parts}.values():
        with _at(part.rows.path):
            out.append(part.model._refreshed(*part.rows.data))
    return out


@contextmanager
def _at(path):
    """Name the models of a path in the message of an `ErasureError`."""
    try:
        yield
    except ErasureError as error:
        if not path:
            raise
        raise ErasureError(f"In {', '.join(path)}: {error}") from error
