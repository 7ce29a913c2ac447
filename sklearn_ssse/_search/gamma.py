"""gamma_S: whether an erased model predicts more like the retrained or like the original one."""

import numpy as np

from sklearn_ssse._search.attributes import areas

# Values of the parameter `metric`, see `gamma_score`.
METRICS = ("roc_auc", "probability")


def distances(targets, scores, metric):
    """D of the erased model to the original model, and to the retrained one.

    Parameters
    ----------
    targets : ndarray of bool of shape (k, n_attributes)
    scores : sequence of three ndarray of shape (k, n_attributes)
        Attribute scores of the original, the erased and the retrained model.
    metric : {"roc_auc", "probability"}

    Returns
    -------
    to_original, to_retrained : float
    """
    if metric == "probability":
        original, erased, retrained = scores
        return np.abs(erased - original).mean(), np.abs(erased - retrained).mean()
    original, erased, retrained = (areas(targets, columns) for columns in scores)
    return np.abs(erased - original).sum(), np.abs(erased - retrained).sum()


def gamma(to_original, to_retrained):
    """gamma_S, equation (5), from two distances; nan if both are zero."""
    total = to_original + to_retrained
    return float(to_original / total) if total > 0 else float("nan")
