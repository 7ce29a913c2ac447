"""The models inside an estimator, erasable or not, and the rows that reach each of them."""

from typing import NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.multioutput import MultiOutputClassifier

from sklearn_ssse._composites import (
    RoutedRows,
    erasable_models,
    final_step,
    inside,
    plan,
    transformed,
)
from sklearn_ssse._erasure import ErasableMixin, check_outputs, check_rows, is_certified
from sklearn_ssse._families import pack
from sklearn_ssse._search import PredictingSearch, known_objective, plain_template
from sklearn_ssse._utils.compat import BaseSearchCV
from sklearn_ssse._verification.not_computed import NotComputedError
from sklearn_ssse.exceptions import ErasureTypeError

CERTIFIED = (
    "It needs models without a random perturbation, got a certified model: it differs from a "
    "retrained model by another perturbation, too."
)
WEIGHTED = "It needs a model that was fitted without sample weights, because it takes none."


class Models(NamedTuple):
    """The compared estimators; ``retrained`` is None if there is none."""

    original: object
    erased: object
    retrained: object = None

    def named(self):
        """The estimators that exist, by name."""
        return {name: model for name, model in self._asdict().items() if model is not None}


class Rows(NamedTuple):
    """Rows and labels, as an estimator takes them."""

    X: object
    y: object


class Part(NamedTuple):
    """A model inside an estimator, and the rows that reach it."""

    model: object
    X: object
    y: object


def without_search(estimator):
    """The model that a search fitted on all rows; any other estimator as it is."""
    while isinstance(estimator, (BaseSearchCV, PredictingSearch)):
        (estimator,) = inside(estimator)
    return estimator


def models_inside(estimator):
    """The models of an estimator: the erasable ones, or else the last step or its outputs."""
    found = erasable_models(estimator)
    return found or _outputs(final_step(without_search(estimator)))


def _outputs(model):
    if isinstance(model, MultiOutputClassifier):
        return [part for output in model.estimators_ for part in _outputs(output)]
    return [model]


def packed(model):
    """Parameters of a model, (d,)."""
    try:
        return pack(model)
    except AttributeError:
        raise NotComputedError(
            f"It needs linear classifiers or multi-layer perceptrons, got {type(model).__name__}."
        ) from None


def is_convex(estimator):
    """Whether the objective of every model has one minimum, so that retraining reaches it."""
    linear = (LogisticRegression, SGDClassifier)
    return all(
        model._family().is_convex if isinstance(model, ErasableMixin) else isinstance(model, linear)
        for model in models_inside(estimator)
    )


def check_unweighted(estimator):
    """Refuse a model that is known to be fitted with sample weights."""
    states = [vars(model).get("_erasure_state") for model in erasable_models(estimator)]
    if any(state is not None and state.weighted for state in states):
        raise NotComputedError(WEIGHTED)


def is_perturbed(estimator):
    """Whether a model minimises a randomly perturbed objective, for certified removal."""
    return any(map(is_certified, erasable_models(estimator)))


def check_unperturbed(*estimators):
    """Refuse models with a random perturbation."""
    if any(map(is_perturbed, estimators)):
        raise NotComputedError(CERTIFIED)


def is_balanced(model):
    """Whether the class weights of a model inside an estimator are computed from its rows."""
    class_weight = getattr(model, "class_weight", None)
    return isinstance(class_weight, str) and class_weight == "balanced"


def parts_with_rows(estimator, rows):
    """The rows that reach each model inside an estimator, a list of `Part`."""
    if erasable_models(estimator):
        try:
            found = plan(estimator, RoutedRows(rows.X, rows.y, retained=True)).erasures
        except ErasureTypeError:
            raise NotComputedError(
                f"It needs to send rows to every model inside {type(estimator).__name__}, which "
                "takes no rows without further arguments, or none at all."
            ) from None
        return [Part(part.model, part.rows.X, part.rows.y) for part in found]
    estimator = without_search(estimator)
    X = transformed(estimator, rows.X)
    models = models_inside(estimator)
    labels = [rows.y]
    if isinstance(final_step(estimator), MultiOutputClassifier):
        labels = check_outputs(rows.y, len(models)).T
    return [Part(model, X, y) for model, y in zip(models, labels, strict=True)]


def batch_of(part, twin):
    """The rows of a part as a batch of its model's family, with its class weights.

    Parameters
    ----------
    part : Part
    twin : classifier
        A model of the same form, whose family is used if the model of the part is not known.

    Returns
    -------
    Batch
    """
    X, codes, _ = check_rows(part.model, part.X, part.y, None)
    weight = np.ones(len(codes))
    family, class_weight = known_objective(part.model, twin, codes, weight)
    if class_weight is not None:
        weight = class_weight[codes]
    return family.batch(X, codes, weight)


def retrain(original, rows):
    """A clone of the original estimator, fitted on rows without a curvature.

    A clone of a search has the parameters that the search chose.
    """
    check_unweighted(original)
    check_unperturbed(original)
    estimator = without_search(original)
    final = final_step(estimator)
    inner = final.estimator if isinstance(final, MultiOutputClassifier) else final
    template = plain_template if isinstance(inner, ErasableMixin) else clone
    return template(estimator).fit(rows.X, rows.y)


def described(estimator):
    """The type of an estimator, and the type and solver of its first model, as plain types."""
    model = models_inside(estimator)[0]
    params = model.get_params(deep=False)
    iterations = vars(model).get("n_iter_")
    return {
        "type": type(estimator).__name__,
        "model": type(model).__name__,
        **{name: _plain(params.get(name)) for name in ("solver", "tol", "max_iter")},
        "iterations": None if iterations is None else int(np.max(iterations)),
    }


def _plain(value):
    """A parameter as a type that JSON has."""
    value = value.item() if isinstance(value, np.generic) else value
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
