"""All measures that the given models and rows allow."""

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_ssse._search import METRICS
from sklearn_ssse._utils.compat import num_samples
from sklearn_ssse._utils.unquoted import check_consistent_length
from sklearn_ssse._verification.distances import (
    euclidean_ratio,
    gamma_of,
    hessian_ratio,
    parameter_change,
)
from sklearn_ssse._verification.findings import findings_of
from sklearn_ssse._verification.gradients import gradients_left
from sklearn_ssse._verification.injection import injected_weight
from sklearn_ssse._verification.membership import membership
from sklearn_ssse._verification.not_computed import Skipped
from sklearn_ssse._verification.parts import (
    Models,
    Rows,
    described,
    is_balanced,
    is_convex,
    is_perturbed,
    models_inside,
    retrain,
)
from sklearn_ssse._verification.predictions import agreement, label_outputs, predict, quality
from sklearn_ssse.exceptions import ErasureError

# Value of the parameter `retrained` that asks for a fit.
FIT = "fit"
NO_RETAINED = "It needs the retained rows, got none. Pass X_retain and y_retain."
NO_TEST = "It needs rows that were never training rows, got none. Pass X_test and y_test."
NO_RETRAINED = "It needs a retrained model, got none. Pass retrained, or retrained='fit'."


def check_inputs(original, erased, retrained, rows):
    """Refuse arguments that no report can be made of; returns the rows as `Rows` by name.

    Parameters
    ----------
    original, erased : estimator
    retrained : estimator, "fit" or None
    rows : dict of str to tuple (X, y)
    """
    if original is erased or retrained is original or retrained is erased:
        raise ErasureError(
            "The original, the erased and the retrained model must be different objects, got one "
            "object twice. `unlearn` changes a model in place: copy the model before the erasure."
        )
    if isinstance(retrained, str) and retrained != FIT:
        raise ErasureError("retrained must be a fitted estimator, 'fit' or None, got another str.")
    for model in (original, erased, retrained):
        if model is not None and not isinstance(model, str):
            check_is_fitted(model)
    given = {}
    for name, (X, y) in rows.items():
        if (X is None) != (y is None):
            lacking = "X" if X is None else "y"
            raise ErasureError(
                f"X_{name} and y_{name} must be given together, got no {lacking}_{name}. Pass "
                "both or neither."
            )
        if X is not None:
            check_consistent_length(X, y)
            given[name] = Rows(X, y)
    if not num_samples(given["forget"].X):
        raise ErasureError("X_forget must hold at least one row, got none. Pass the erased rows.")
    return given


def measure_all(original, erased, retrained, rows, random_state):
    """Everything that the models and rows allow, as plain types; see `ErasureReport`.

    Parameters
    ----------
    original, erased : estimator
    retrained : estimator, "fit" or None
    rows : dict of str to Rows
        The keys "forget" and, if these rows are given, "retain" and "test".
    random_state : int, RandomState or None
    """
    skipped = Skipped()
    models = Models(original, erased, _retrained(original, retrained, rows, skipped))
    classes = label_outputs(original, rows["forget"].y)
    predictions = {
        name: {part: predict(model, given, classes) for part, given in rows.items()}
        for name, model in models.named().items()
    }
    found = {
        "parameter_change": skipped.attempt("parameter_change", parameter_change, models),
        "scores": {
            name: {part: quality(own) for part, own in sets.items()}
            for name, sets in predictions.items()
        },
        **_of_retrained(models, rows, predictions, classes, skipped),
        **_of_retained(models, rows, skipped),
        **_of_test(predictions, rows, random_state, skipped),
    }
    found["same_predictions"] = _same(predictions["original"], predictions["erased"])
    findings = findings_of(
        found,
        is_convex=is_convex(original),
        is_perturbed=any(map(is_perturbed, models.named().values())),
        is_balanced=any(map(is_balanced, models_inside(original))),
    )
    del found["same_predictions"]
    return {
        "n_rows": {name: num_samples(given.X) for name, given in rows.items()},
        "models": {name: described(model) for name, model in models.named().items()},
        "retrained": _origin(models.retrained, retrained),
        **found,
        "findings": findings.sentences,
        "alarms": findings.alarms,
        "not_computed": dict(skipped),
    }


def _retrained(original, retrained, rows, skipped):
    """The retrained model, fitted here if that is asked for, or None with the reason."""
    if not isinstance(retrained, str):
        if retrained is None:
            skipped["retrained"] = NO_RETRAINED
        return retrained
    if "retain" not in rows:
        skipped["retrained"] = NO_RETAINED
        return None
    return skipped.attempt("retrained", retrain, original, rows["retain"])


def _origin(model, given):
    """How the retrained model was obtained: "fitted", "given", or None without one."""
    if model is None:
        return None
    return "fitted" if isinstance(given, str) else "given"


def _of_retrained(models, rows, predictions, classes, skipped):
    """The measures that need a retrained model."""
    names = [f"gamma_{metric}" for metric in METRICS]
    names += ["distance_ratio_euclidean", "distance_ratio_hessian", "agreement"]
    if models.retrained is None:
        skipped.update(dict.fromkeys(names, NO_RETRAINED))
        return {
            "gamma": dict.fromkeys(METRICS),
            "distance_ratio": {"euclidean": None, "hessian": None},
            "agreement": None,
        }
    of_forget = {name: sets["forget"] for name, sets in predictions.items()}
    gammas = {
        metric: skipped.attempt(
            f"gamma_{metric}", gamma_of, of_forget, rows["forget"], classes, metric
        )
        for metric in METRICS
    }
    hessian = None
    if "retain" in rows:
        hessian = skipped.attempt(
            "distance_ratio_hessian", hessian_ratio, models, rows["forget"], rows["retain"]
        )
    else:
        skipped["distance_ratio_hessian"] = NO_RETAINED
    euclidean = skipped.attempt("distance_ratio_euclidean", euclidean_ratio, models, rows["forget"])
    return {
        "gamma": gammas,
        "distance_ratio": {"euclidean": euclidean, "hessian": hessian},
        "agreement": {
            name: {
                part: agreement(own, predictions["retrained"][part])
                for part, own in predictions[name].items()
            }
            for name in ("original", "erased")
        },
    }


def _of_retained(models, rows, skipped):
    """The measures that need the retained rows."""
    out = {}
    for name, function in (
        ("gradient_left", gradients_left),
        ("feature_injection", injected_weight),
    ):
        out[name] = None
        if "retain" not in rows:
            skipped[name] = NO_RETAINED
        else:
            out[name] = skipped.attempt(name, function, models, rows["retain"], rows["forget"])
    if "retain" not in rows:
        skipped["scores_retain"] = NO_RETAINED
    return out


def _of_test(predictions, rows, random_state, skipped):
    """The measures that need test rows."""
    if "test" not in rows:
        skipped["scores_test"] = NO_TEST
        skipped["membership_inference"] = NO_TEST
        return {"membership_inference": None}
    forget, test = (
        {name: sets[part] for name, sets in predictions.items()} for part in ("forget", "test")
    )
    rng = check_random_state(random_state)
    return {
        "membership_inference": skipped.attempt(
            "membership_inference", membership, forget, test, rng
        )
    }


def _same(original, erased):
    """Whether two models predict all given rows equally, bit for bit."""
    pairs = [(original[part], erased[part]) for part in original]
    return all(
        np.array_equal(one.labels, other.labels)
        and (one.scores is None or np.array_equal(one.scores, other.scores))
        for one, other in pairs
    )
