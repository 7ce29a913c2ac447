"""Candidates of a search over eps: their eps, their model, and their copy without a curvature."""

from pickle import PicklingError

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline

from sklearn_ssse._composites import erasable_models, final_step
from sklearn_ssse._erasure import (
    ErasableMixin,
    Multiple,
    check_outputs,
    read_epsilon,
    usual_epsilon,
)
from sklearn_ssse._utils.compat import routing_enabled


def epsilon_names(estimator):
    """Names of the parameters ``unlearn_epsilon`` of an estimator and of the estimators inside."""
    return [
        name
        for name in estimator.get_params()
        if name == "unlearn_epsilon" or name.endswith("__unlearn_epsilon")
    ]


def own_epsilon(estimator):
    """The eps of a candidate, as the user wrote it."""
    params = estimator.get_params()
    values = {params[name] for name in epsilon_names(estimator)}
    if len(values) != 1:
        raise ValueError(
            f"The candidate must hold one value of unlearn_epsilon, got {len(values)}. Search over "
            "an estimator or a pipeline with one erasable model."
        )
    (value,) = values
    return value


def with_epsilon(estimator, epsilon):
    """A clone with a new eps in every parameter ``unlearn_epsilon``."""
    template = clone(estimator)
    return template.set_params(**dict.fromkeys(epsilon_names(template), epsilon))


def set_epsilon(fitted, epsilon):
    """Set the eps of a fitted estimator and of every model inside it."""
    fitted.set_params(**dict.fromkeys(epsilon_names(fitted), epsilon))
    for model in erasable_models(fitted):
        model.unlearn_epsilon = epsilon
        model.unlearn_epsilon_ = usual_epsilon(epsilon, model._erasure_state.calibration)
    return fitted


def searched_model(estimator):
    """The unfitted erasable classifier inside an estimator."""
    final = final_step(estimator)
    if isinstance(final, MultiOutputClassifier):
        return searched_model(final.estimator)
    if isinstance(final, ErasableMixin):
        return final
    raise TypeError(
        "TunedEpsilonCV must be given an erasable classifier, a Pipeline that ends in one, or a "
        f"MultiOutputClassifier of one, got {type(final).__name__} inside. Use "
        "ErasableLogisticRegression or ErasableMLPClassifier, and put TunedEpsilonCV inside other "
        "meta-estimators."
    )


def search_grid(estimator, epsilons, tolerance):
    """The `SearchGrid` of a search, each eps a float or a string; None takes the defaults."""
    grid = searched_model(estimator)._search_grid
    if tolerance is None:
        tolerance = grid.tolerance if epsilons is None else 0.0
    values = grid.epsilons if epsilons is None else epsilons
    values = [value.item() if isinstance(value, np.generic) else value for value in values]
    if not values:
        raise ValueError(
            "epsilons must hold at least one value, got none. Pass numbers above 0, or 'auto'."
        )
    read = [read_epsilon(value) for value in values]
    pairs = zip(values, read, strict=True)
    values = [value if isinstance(eps, Multiple) else eps for value, eps in pairs]
    return grid._replace(epsilons=values, tolerance=tolerance)


def plain_template(estimator):
    """An unfitted estimator with scikit-learn's class in place of the erasable one."""
    if isinstance(estimator, Pipeline):
        name, final = estimator.steps[-1]
        return clone(estimator).set_params(**{name: plain_template(final)})
    if isinstance(estimator, MultiOutputClassifier):
        return clone(estimator).set_params(estimator=plain_template(estimator.estimator))
    return estimator._plain()


def fitted_model(estimator):
    """The fitted model inside an estimator; of several outputs, the first one."""
    final = final_step(estimator)
    return fitted_model(final.estimators_[0]) if isinstance(final, MultiOutputClassifier) else final


def parameters_key(template):
    """A hashable key that differs between two combinations of parameters."""
    parts = [type(template).__qualname__]
    for name, value in sorted(template.get_params().items()):
        if hasattr(value, "get_params"):
            value = type(value).__qualname__
        try:
            parts.append(f"{name}={joblib.hash(value)}")
        except (
            TypeError,
            AttributeError,
            PicklingError,
        ):  # a value that cannot be hashed, such as a lambda
            parts.append(f"{name}={value!r}")
    return tuple(parts)


def fit_with_weights(template, X, y, sample_weight):
    """Fit an estimator; in a pipeline, the weights are passed to the last step."""
    if sample_weight is None:
        return template.fit(X, y)
    if routing_enabled() or not isinstance(template, Pipeline):
        return template.fit(X, y, sample_weight=sample_weight)
    path = ""
    step = template
    while isinstance(step, Pipeline):
        name, step = step.steps[-1]
        path += f"{name}__"
    return template.fit(X, y, **{f"{path}sample_weight": sample_weight})


def fit_retained(template, X, y, sample_weight):
    """Fit an estimator to retained rows, in which an output of several may have lost a class.

    scikit-learn's logistic regression refuses rows of one class. Each such output of a
    `MultiOutputClassifier` becomes a `DummyClassifier`, which predicts that class.

    Parameters
    ----------
    template : estimator
        Not fitted.
    X, y, sample_weight : array-like
        The retained rows.
    """
    if not isinstance(final_step(template), MultiOutputClassifier):
        return fit_with_weights(template, X, y, sample_weight)
    Y = check_outputs(y, np.shape(y)[-1])
    is_constant = (Y[:1] == Y).all(axis=0)
    if not is_constant.any():
        return fit_with_weights(template, X, y, sample_weight)
    if is_constant.all():
        final_step(template).set_params(estimator=DummyClassifier())
        return template.fit(X, Y)
    fitted = fit_with_weights(template, X, Y[:, ~is_constant], sample_weight)
    final = final_step(fitted)
    varied = iter(final.estimators_)
    nothing = np.zeros((len(Y), 1))
    final.estimators_ = [
        DummyClassifier().fit(nothing, labels) if constant else next(varied)
        for labels, constant in zip(Y.T, is_constant, strict=True)
    ]
    final.classes_ = [output.classes_ for output in final.estimators_]
    return fitted
