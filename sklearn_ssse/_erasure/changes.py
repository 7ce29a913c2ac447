"""Changes of objects: all of them are computed before the first one is made."""

from collections import deque
from collections.abc import Callable
from itertools import repeat
from typing import NamedTuple

import numpy as np

from sklearn_ssse._erasure.budget import over_budget
from sklearn_ssse._erasure.guards import DOUBTFUL_MARGIN, TRUSTED_MARGIN
from sklearn_ssse._erasure.records import ErasureRecord, ErasureState, replace_fields
from sklearn_ssse._utils.warnings import warn


class Change(NamedTuple):
    """New attributes of an object, and the names of attributes to delete."""

    target: object
    attributes: dict
    dropped: tuple = ()


class Erasure(NamedTuple):
    """A change of the rows of one model, computed in full.

    Attributes
    ----------
    model : ErasableMixin
    record : ErasureRecord
    attributes : dict
        The fitted attributes after the step, and reset traces of training.
    inverses : callable
        Returns the inverse curvature of the rows after the change, and the fields of `Path` that
        are matrices.
    state : ErasureState
        The counts and weights of the rows after the change.
    unweighted : bool
        True if the model was fitted with weights and the rows were given without.
    columns_change : bool
        True if the columns change, so that the model changes even without a forget row.
    doubts : tuple of str
        Messages about a step whose result should be checked.
    parameter_change : ndarray of shape (d,) or None
        The change of the parameters; None if it is not known.
    """

    model: object
    record: ErasureRecord
    attributes: dict
    inverses: Callable
    state: ErasureState
    unweighted: bool
    columns_change: bool = False
    doubts: tuple = ()
    parameter_change: np.ndarray | None = None

    @property
    def changes_rows(self):
        """Whether a row is erased or added."""
        return self.record.n_erased > 0 or self.record.n_added > 0

    def change(self):
        """The `Change` of the model."""
        model = self.model
        share = float(model._erasure_state.mass / self.state.mass)
        inverse, others = self.inverses()
        path = replace_fields(self.state.path, others)
        records = [self.record] if self.changes_rows or self.columns_change else []
        attributes = {
            **self.attributes,
            "curvature_": inverse,
            "damping_": model.damping_ * share,
            "_erasure_state": replace_fields(self.state, {"path": path}),
            "n_samples_remaining_": self.record.n_remaining,
            "erasures_": [*model.erasures_, *records],
        }
        return Change(model, attributes, model._traces)

    def warn(self):
        """Give the warnings that a user needs to judge the result."""
        if not (self.changes_rows or self.columns_change):
            return
        record = self.record
        if self.unweighted:
            warn(
                "Rows need weights, as the model was fitted with sample_weight, got none: each row "
                "was given weight 1. Pass the weights that the rows had at fit."
            )
        for doubt in self.doubts:
            warn(doubt)
        doubtful = TRUSTED_MARGIN if record.n_erased > 1 else DOUBTFUL_MARGIN
        if record.damped and record.margin < doubtful:
            warn(
                f"The {record.n_erased} rows must not dominate the curvature in any direction, got "
                f"{record.margin:.2g} as smallest eigenvalue of I - R P R^T (reliable from "
                f"{doubtful}): the step was damped. Compare with retraining, or erase fewer "
                "rows at once."
            )
        if record.shrunken:
            warn(
                f"The curvature must contain the curvature of the {record.n_erased} rows at the "
                "present parameters, got a part of it: the rows were scaled down so that the rest "
                "remains positive definite. Call `fit_curvature` on the retained rows if you have "
                "them."
            )
        reason = self._new_recommendation()
        if reason:
            warn(
                f"A refresh of the model is recommended: {reason}. Call `refresh` with the "
                "retained rows. Until then each erasure adds to the error of the model."
            )
        if self.state.minibatch and self.state.stale:
            warn(
                "The curvature is made of mini-batches (fisher_batch_size > 1), which single rows "
                "cannot leave or join: it is not the curvature of the rows after the change. "
                "Call `fit_curvature` on the present rows before you store the model or change it "
                "again."
            )

    def _new_recommendation(self):
        """The reason for a refresh before this change, if no warning gave it; empty if none."""
        state = self.model._erasure_state
        if state.path.recommended:
            return "" if state.path.warned else state.path.recommended
        if state.path.warned_of_budget:
            return ""
        return over_budget(self.model, state.bounds)


def carry_out(erasures, changes=()):
    """Compute every change first, then make all of them; an erasure of no rows changes nothing.

    An exception at any point, Ctrl-C included, leaves all objects as they were before, or all as
    they are after.

    Parameters
    ----------
    erasures : iterable of Erasure
    changes : iterable of Change
        Changes of transformers and of other objects that hold statistics.
    """
    made = [e.change() for e in erasures if e.changes_rows or e.columns_change]
    after = {}  # by the id of an object: the object, and its attributes after all of its changes
    for target, attributes, dropped in [*made, *changes]:
        _, own = after.setdefault(id(target), (target, dict(vars(target))))
        own.update(attributes)
        for name in dropped:
            own.pop(name, None)
    assign_together(list(after.values()))


def assign_together(pairs):
    """Give each object its new dict of attributes, in one call of the interpreter.

    A signal such as Ctrl-C is handled, and another thread runs, only between two calls: both find
    either no object changed or all of them.

    Parameters
    ----------
    pairs : list of (object, dict)
    """
    targets = [target for target, _ in pairs]
    attributes = [own for _, own in pairs]
    # Old values live until the function returns, so that no finalizer runs in the middle.
    before = [vars(target) for target in targets]
    deque(map(object.__setattr__, targets, repeat("__dict__"), attributes), maxlen=0)
    del before
