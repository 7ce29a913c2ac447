"""The feature-injection test of Izzo et al. (2021), "Approximate Data Deletion".

A column that is zero in all retained rows is planted behind the last transformer. Its value in a
forget row depends on the label, so that training gives it a weight. A model that is trained
without the forget rows gives it none.
"""

import warnings

import numpy as np
from scipy import sparse
from sklearn.base import clone

from sklearn_ssse._composites import erasable_models
from sklearn_ssse._erasure import check_rows
from sklearn_ssse._verbs import unlearn_for_search
from sklearn_ssse._verification.not_computed import NotComputedError
from sklearn_ssse._verification.parts import (
    check_unperturbed,
    check_unweighted,
    is_convex,
    parts_with_rows,
)


def injected_weight(models, retain, forget):
    """The effect of the planted column before and after the erasure of the forget rows.

    Parameters
    ----------
    models : Models
    retain, forget : Rows

    Returns
    -------
    dict
        "measure", "weight" for linear models and "prediction" for others; "before", "after", the
        effects of the column, and "ratio", the second relative to the first.
    """
    settings = erasable_models(models.erased)
    if not settings or len(settings) != len(erasable_models(models.original)):
        plain = models.original if settings else models.erased
        raise NotComputedError(
            "It needs erasable models, whose clones are fitted and erased from, got "
            f"{type(plain).__name__} without them."
        )
    check_unweighted(models.original)
    check_unperturbed(models.original, models.erased)
    linear = is_convex(models.original)
    retained = parts_with_rows(models.original, retain)
    forgotten = {id(part.model): part for part in parts_with_rows(models.original, forget)}
    squares = []
    for part, model in zip(retained, settings, strict=True):
        if id(part.model) in forgotten:
            pair = _effects(model, part, forgotten[id(part.model)], linear)
            squares.append(np.square(pair))
    before, after = np.sqrt(np.sum(squares, axis=0)).tolist()
    return {
        "measure": "weight" if linear else "prediction",
        "before": before,
        "after": after,
        "ratio": after / before if before > 0 else None,
    }


def _effects(settings, retained, forgotten, linear):
    """The effect of the planted column on a clone of one model, before and after the erasure.

    Parameters
    ----------
    settings : ErasableMixin
        The model whose parameters the clone has.
    retained, forgotten : Part
    linear : bool
    """
    rows, _, _ = check_rows(retained.model, retained.X, retained.y, None)
    erased, codes, _ = check_rows(forgotten.model, forgotten.X, forgotten.y, None)
    values = _planted_values(codes, len(forgotten.model.classes_))
    X = _with_column(rows, np.zeros(rows.shape[0]))
    X_erased = _with_column(erased, values)
    stack = sparse.vstack if sparse.issparse(X) else np.vstack
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the clone is not the model of the report
        model = clone(settings)
        y = np.concatenate([np.asarray(retained.y), np.asarray(forgotten.y)])
        model.fit(stack([X, X_erased]), y)
        before = _effect(model, X_erased, linear)
        unlearn_for_search(model, X_erased, np.asarray(forgotten.y))
        return before, _effect(model, X_erased, linear)


def _planted_values(codes, n_classes):
    """Values of the column in the forget rows, from -1 to 1 by the position of the label, (k,)."""
    if codes.ndim == 2:
        return 2.0 * codes[:, 0] - 1.0
    return 2.0 * codes / max(n_classes - 1, 1) - 1.0


def _with_column(X, values):
    """Rows with one more column, at the end."""
    column = values[:, np.newaxis].astype(X.dtype)
    if sparse.issparse(X):
        return sparse.hstack([X, column], format="csr")
    return np.hstack([X, column])


def _effect(model, X, linear):
    """Norm of the weights of the last column, or the mean change of a prediction by it."""
    if linear:
        probe = np.zeros((2, X.shape[1]))
        probe[1, -1] = 1.0
        without, planted = model.decision_function(probe)
        return float(np.linalg.norm(planted - without))
    zeroed = X.copy()
    zeroed = zeroed.tolil() if sparse.issparse(zeroed) else zeroed
    zeroed[:, -1] = 0.0
    zeroed = zeroed.tocsr() if sparse.issparse(zeroed) else zeroed
    return float(np.abs(model.predict_proba(X) - model.predict_proba(zeroed)).mean())
