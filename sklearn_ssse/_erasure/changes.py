"""Erasures and other changes of a model's rows worked out in full before anything changes, and carried out all or none."""

import warnings
from collections.abc import Callable
from typing import NamedTuple

from sklearn_ssse._erasure.planning import TRUSTED_MARGIN
from sklearn_ssse._erasure.records import ErasureRecord, ErasureState
from sklearn_ssse.exceptions import ErasureWarning


class Change(NamedTuple):
    """What becomes of an object: attributes that it gets, and names of those that go."""

    target: object
    attributes: dict
    dropped: tuple = ()


class Erasure(NamedTuple):
    """An erasure from one model; rows may also come.

    Attributes
    ----------
    model : ErasableMixin
    record : ErasureRecord
    attributes : dict
        The parameters after the step, and what training left and must start anew.
    curvature : callable
        Makes the inverse of the rows after the change.
    state : ErasureState
        Theirs.
    unweighted : bool
        True if the model was fitted with weights and the rows came without.
    moved : bool
        True if columns have moved, so that the model changes even where no rows leave it.
    """

    model: object
    record: ErasureRecord
    attributes: dict
    curvature: Callable
    state: ErasureState
    unweighted: bool
    moved: bool = False

    @property
    def changes_rows(self):
        return self.record.n_erased > 0 or self.record.n_added > 0

    def change(self):
        """The `Change` of the model."""
        model, record = self.model, self.record
        attributes = {
            **self.attributes,
            "curvature_": self.curvature(),
            "damping_": model.damping_ * float(model._erasure_state.mass / self.state.mass),
            "_erasure_state": self.state,
            "n_samples_remaining_": record.n_remaining,
            "erasures_": [*model.erasures_, *([record] if self.changes_rows else [])],
        }
        return Change(model, attributes, model._traces)

    def warn(self, stacklevel):
        """Say what a user must know before he relies on the erasure."""
        record = self.record
        if self.unweighted:
            warnings.warn(
                "The model was fitted with sample_weight, got rows without; each was counted with weight 1. Pass the weights "
                "that the rows had at fit.",
                ErasureWarning,
                stacklevel=stacklevel,
            )
        if record.damped:
            warnings.warn(
                f"The {record.n_erased} rows carry most of the curvature in some direction (smallest eigenvalue of "
                f"I - R P R^T is {record.margin:.2g}, reliable from {TRUSTED_MARGIN}); the step was damped. Compare with "
                "retraining, or erase fewer rows at once.",
                ErasureWarning,
                stacklevel=stacklevel,
            )
        if record.shrunken:
            warnings.warn(
                f"The curvature must hold the {record.n_erased} rows as they are at the present parameters, got one that holds less; as "
                "much was taken out as leaves it positive definite. Call `fit_curvature` on the rows that remain when they are at hand.",
                ErasureWarning,
                stacklevel=stacklevel,
            )
        if self.state.mixed:
            warnings.warn(
                "The curvature is made of mini-batches (fisher_batch_size > 1), which rows neither leave nor join: it is still that of the "
                "rows before. Call `fit_curvature` on those of now before the model is kept or changed again.",
                ErasureWarning,
                stacklevel=stacklevel,
            )


def carry_out(erasures, changes=(), *, stacklevel=3):
    """Make all changes, after everything that may fail; those of no rows change nothing.

    Parameters
    ----------
    erasures : iterable of Erasure
    changes : iterable of Change
        Of transformers and what else holds statistics.
    stacklevel : int
        Of the warnings: 3 for the caller of the caller.
    """
    erasures = [erasure for erasure in erasures if erasure.changes_rows or erasure.moved]
    for erasure in erasures:
        erasure.warn(stacklevel + 1)
    for target, attributes, dropped in [*(erasure.change() for erasure in erasures), *changes]:
        vars(target).update(attributes)
        for name in dropped:
            vars(target).pop(name, None)
