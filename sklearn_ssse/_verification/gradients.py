"""The gradient of the penalised objective on the retained rows, which is zero at a minimum."""

import numpy as np

from sklearn_ssse._erasure import ErasableMixin
from sklearn_ssse._verification.not_computed import NotComputedError
from sklearn_ssse._verification.parts import (
    batch_of,
    check_unweighted,
    is_balanced,
    models_inside,
    parts_with_rows,
)


def gradients_left(models, retain, forget):
    """Norm of the gradient that each model leaves on the retained rows.

    Parameters
    ----------
    models : Models
    retain, forget : Rows

    Returns
    -------
    dict
        For each model the norm, on the scale of a mean over the retained rows; "forget_rows", the
        norm of the sum over the forget rows at the original parameters, on the same scale; and
        "relative", the norm of the erased model relative to the original's, or None if that is 0.
    """
    check_unweighted(models.original)
    for estimator in (models.original, models.erased):
        _check_class_weights(estimator)
    twins = models_inside(models.erased)
    found = {}
    for name, estimator in models.named().items():
        batches = [batch_of(*pair) for pair in _pairs(estimator, retain, twins)]
        found[name] = _norm([batch.objective_gradient() for batch in batches], batches)
        if name == "original":
            of_retained = batches
    forgotten = [batch_of(*pair) for pair in _pairs(models.original, forget, twins)]
    found["forget_rows"] = _norm([_loss_gradient(batch) for batch in forgotten], of_retained)
    before = found["original"]
    found["relative"] = found["erased"] / before if before > 0 else None
    return found


def _check_class_weights(estimator):
    """Refuse a model whose class weights at fit are not known."""
    for model in models_inside(estimator):
        if is_balanced(model) and not isinstance(model, ErasableMixin):
            raise NotComputedError(
                "It needs the class weights of the fit, got class_weight='balanced' and "
                f"{type(model).__name__}, which does not keep them."
            )


def _pairs(estimator, rows, twins):
    parts = parts_with_rows(estimator, rows)
    if len(parts) != len(twins):
        raise NotComputedError(
            "It needs rows for the same models in every estimator, got "
            f"{len(parts)} and {len(twins)} models."
        )
    return zip(parts, twins, strict=True)


def _loss_gradient(batch):
    """Gradient of the loss of all rows of a batch, (d,)."""
    return batch.gradients(np.ones((batch.n_samples, 1)))[:, 0]


def _norm(gradients, batches):
    """Norm over all models of gradients that are divided by the weight of the retained rows."""
    scaled = [g / batch.weight.sum() for g, batch in zip(gradients, batches, strict=True)]
    return float(np.linalg.norm(np.concatenate(scaled)))
