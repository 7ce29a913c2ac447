"""The records of an erasure from all outputs of a classifier together."""

import numpy as np

from sklearn_ssse._erasure import lost_classes, make_record, proof_fields


def own_fields(models, before, after, attributes, bounds, request):
    """The fields of each model's record that no other model shares.

    ``before`` and ``after`` are the states of each model, ``attributes`` its fitted attributes
    after the change, and ``bounds`` the fields of its bounds.
    """
    parts = zip(models, before, after, attributes, bounds, strict=True)
    return [
        {
            "structure": model.structure_,
            "lost_classes": lost_classes(model.classes_, old, new),
            **proof_fields(model, own, own, request),
            **fields,
        }
        for model, old, new, own, fields in parts
    ]


def step_fields(pending, sizes):
    """Fields of the records from the downdates and the sizes of the steps, each (n_models,)."""
    return {
        "margin": pending.margin,
        "max_leverage": pending.leverage,
        "kept_curvature": pending.kept,
        "log_odds_change": np.array([size.mean for size in sizes]),
        "largest_log_odds_change": np.array([size.largest for size in sizes]),
    }


def relative_shifts(change, theta):
    """Norm of each row of ``change`` divided by the norm of the row of theta, (n_models,)."""
    norm = np.linalg.norm(theta, axis=1)
    return np.linalg.norm(change, axis=1) / np.where(norm, norm, 1.0)


def records_together(after, shared, numbers, proofs):
    """The record of each model.

    Parameters
    ----------
    after : list of ErasureState
    shared : dict
        Fields that all records share.
    numbers : dict of ndarray of shape (n_models,)
    proofs : list of dict
        Further fields of each record.
    """
    rows = zip(*(values.tolist() for values in numbers.values()), strict=True)
    own = [dict(zip(numbers, row, strict=True)) for row in rows]
    return [
        make_record(state, shrunken=False, **shared, **fields, **proof)
        for state, fields, proof in zip(after, own, proofs, strict=True)
    ]
