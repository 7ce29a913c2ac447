"""gamma_S and the distance ratio: how far an erased model is from the retrained one."""

import numpy as np
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline

from sklearn_ssse._families import pack
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


def pack_parameters(model):
    """Parameters of a fitted classifier as one vector, (d,).

    Parameters
    ----------
    model : linear classifier, MLPClassifier, Pipeline or MultiOutputClassifier
        Only the last step of a pipeline is read.
    """
    if isinstance(model, Pipeline):
        return pack_parameters(model.steps[-1][1])
    if isinstance(model, MultiOutputClassifier):
        return np.concatenate([pack_parameters(output) for output in model.estimators_])
    return pack(model)


def distance_ratio(original, erased, retrained):
    """``||erased - retrained|| / ||original - retrained||`` of parameter vectors.

    Raises
    ------
    ValueError
        If the vectors differ in length.
    """
    if not original.size == erased.size == retrained.size:
        raise ValueError(
            f"The models must have the same number of parameters, got {original.size}, "
            f"{erased.size} and {retrained.size}. Retrain on data with the same columns and "
            "classes."
        )
    away = np.linalg.norm(original - retrained)
    return float(np.linalg.norm(erased - retrained) / away) if away > 0 else float("nan")
