"""The distance ratio: how far the parameters of an erased model are from the retrained ones."""

import numpy as np
from sklearn.multioutput import MultiOutputClassifier

from sklearn_ssse._composites import final_step
from sklearn_ssse._families import pack

# Values of the parameter `norm`, see `parameter_distance`.
NORMS = ("euclidean", "hessian")


def pack_parameters(model):
    """Parameters of a fitted classifier as one vector, (d,).

    Parameters
    ----------
    model : linear classifier, MLPClassifier, Pipeline or MultiOutputClassifier
        Only the last step of a pipeline is read.
    """
    model = final_step(model)
    if isinstance(model, MultiOutputClassifier):
        return np.concatenate([np.zeros(0), *map(pack_parameters, model.estimators_)])
    return pack(model)


def euclidean_norms(V):
    """Euclidean norms of vectors, (m, d): (m,)."""
    return np.array([np.linalg.norm(v) for v in V])


def distance_ratios(original, erased, retrained, norms=euclidean_norms):
    """``||erased - retrained|| / ||original - retrained||`` of parameters, for m erased models.

    Parameters
    ----------
    original, retrained : ndarray of shape (d,)
    erased : sequence of m ndarray of shape (d,)
    norms : callable
        From vectors, (m, d), to their norms, (m,).

    Returns
    -------
    ndarray of shape (m,)
        nan if the retrained model equals the original one, or there are no parameters.

    Raises
    ------
    ValueError
        If the vectors differ in length.
    """
    sizes = [original.size, erased[0].size, retrained.size]
    if len(set(sizes)) > 1:
        raise ValueError(
            "The models must have the same number of parameters, got {}, {} and {}. Retrain on "
            "data with the same columns and classes.".format(*sizes)
        )
    if not original.size:
        return np.full(len(erased), np.nan)
    away, *left = norms(np.array([original, *erased]) - retrained)
    return np.array(left) / away if away > 0 else np.full(len(left), np.nan)
