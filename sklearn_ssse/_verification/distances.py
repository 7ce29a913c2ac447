"""gamma_S, the distance ratio, and the change of the parameters by the erasure."""

import numpy as np

from sklearn_ssse._composites import transformed
from sklearn_ssse._search import (
    attribute_targets,
    distance_ratios,
    distances,
    euclidean_norms,
    gamma,
    hessian_norms,
)
from sklearn_ssse._verification.not_computed import NotComputedError
from sklearn_ssse._verification.parts import (
    check_unperturbed,
    check_unweighted,
    models_inside,
    packed,
    parts_with_rows,
    without_search,
)
from sklearn_ssse._verification.predictions import check_probabilities

# Largest difference between the transformed rows, relative to their largest cell, that is rounding.
SAME_INPUTS = 1e-9


def gamma_of(predictions, forget, classes, metric):
    """gamma_S, see `gamma_score`.

    Parameters
    ----------
    predictions : dict of str to Predictions
        Of the three models, on the forget rows.
    forget : Rows
    classes : list of ndarray
    metric : {"roc_auc", "probability"}
    """
    ordered = [predictions[name] for name in ("original", "erased", "retrained")]
    check_probabilities(*ordered)
    targets = attribute_targets(forget.y, classes)
    found = gamma(*distances(targets, [part.scores for part in ordered], metric))
    if np.isnan(found):
        raise NotComputedError(
            "It needs a difference between the models on the forget rows, got none: it is 0/0."
            if metric == "probability"
            else "It needs forget rows of two classes whose ranks differ between the models."
        )
    return found


def parameter_change(models):
    """Whether the erased parameters differ from the original ones, and by how much.

    Returns
    -------
    dict
        "changed", and "relative", the Euclidean norm of the change relative to the original
        parameters, or None if these are 0.
    """
    before = np.concatenate([packed(model) for model in models_inside(models.original)])
    after = np.concatenate([packed(model) for model in models_inside(models.erased)])
    if before.shape != after.shape:
        raise NotComputedError(
            "It needs models with the same number of parameters, got "
            f"{before.size} and {after.size}."
        )
    size = np.linalg.norm(before)
    change = np.linalg.norm(after - before)
    return {
        "changed": not np.array_equal(before, after),
        "relative": float(change / size) if size > 0 else None,
    }


def euclidean_ratio(models, forget):
    """The distance ratio of all parameters in the Euclidean norm.

    Parameters
    ----------
    models : Models
    forget : Rows
    """
    check_unperturbed(*models)
    _check_columns(models, forget)
    return _ratio(models, euclidean_norms)


def hessian_ratio(models, forget, retain):
    """The distance ratio in the norm of the Hessian of the retained rows.

    Parameters
    ----------
    models : Models
    forget, retain : Rows
    """
    check_unweighted(models.original)
    check_unperturbed(*models)
    _check_columns(models, forget)
    parts = parts_with_rows(models.retrained, retain)
    twins = models_inside(models.erased)
    stops = np.cumsum([packed(part.model).size for part in parts])[:-1]

    def norms(V):
        pieces = zip(np.split(V, stops, axis=1), parts, twins, strict=True)
        squares = [
            np.square(hessian_norms(piece, part.model, twin, part.X, part.y))
            for piece, part, twin in pieces
        ]
        return np.sqrt(np.sum(squares, axis=0))

    return _ratio(models, norms)


def _check_columns(models, forget):
    """Refuse models whose parameters belong to different columns."""
    if _difference_of_inputs(models, forget) > SAME_INPUTS:
        raise NotComputedError(
            "It needs parameters of the same columns, got steps before the model that transform "
            "the rows differently, such as a scaler fitted to other rows. To compare the last "
            "steps alone, pass rows that are transformed already, and the last steps as models."
        )


def _ratio(models, norms):
    """The distance ratio in a norm, see `parameter_distance`."""
    vectors = [
        np.concatenate([packed(model) for model in models_inside(estimator)])
        for estimator in models
    ]
    if len({vector.size for vector in vectors}) > 1:
        raise NotComputedError(
            "It needs models with the same number of parameters, got "
            f"{', '.join(str(vector.size) for vector in vectors)}."
        )
    original, erased, retrained = vectors
    found = float(distance_ratios(original, [erased], retrained, norms)[0])
    if np.isnan(found):
        raise NotComputedError(
            "It needs retrained parameters that differ from the original ones, got equal ones."
        )
    return found


def _difference_of_inputs(models, forget):
    """Largest difference of the transformed forget rows between the models, relative to all cells.

    0 for estimators that transform no rows.
    """
    inputs = [transformed(without_search(model), forget.X) for model in models.named().values()]
    if any(X is forget.X for X in inputs):
        return 0.0
    inputs = [np.asarray(X.toarray() if hasattr(X, "toarray") else X, float) for X in inputs]
    if len({X.shape for X in inputs}) > 1:
        return np.inf
    largest = max(np.abs(X).max() for X in inputs)
    moved = max(np.abs(X - inputs[0]).max() for X in inputs)
    return float(moved / largest) if largest > 0 else 0.0
