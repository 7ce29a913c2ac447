"""What a search over eps asks of its candidates: their eps, the model inside, the same without a curvature."""

from pickle import PicklingError

import joblib
from sklearn.base import clone
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline

from sklearn_ssse._composites import erasable_models, final_step
from sklearn_ssse._erasure import ErasableMixin, usual_epsilon
from sklearn_ssse._utils.compat import routing_enabled


def epsilon_names(estimator):
    """Names of the parameters ``unlearn_epsilon`` of an estimator and of those inside it."""
    return [
        name
        for name in estimator.get_params()
        if name == "unlearn_epsilon" or name.endswith("__unlearn_epsilon")
    ]


def own_epsilon(estimator):
    """The candidate's eps, as the user wrote it."""
    params = estimator.get_params()
    values = {params[name] for name in epsilon_names(estimator)}
    if len(values) != 1:
        raise ValueError(
            f"The candidate must hold one value of unlearn_epsilon, got {len(values)}. Search over an estimator or a pipeline with "
            "one erasable model."
        )
    (value,) = values
    return value


def with_epsilon(estimator, epsilon):
    """A clone with ``unlearn_epsilon`` set wherever it is."""
    template = clone(estimator)
    return template.set_params(**dict.fromkeys(epsilon_names(template), epsilon))


def set_epsilon(fitted, epsilon):
    """Set ``unlearn_epsilon`` of a fitted estimator, and what it stands for, wherever it is."""
    fitted.set_params(**dict.fromkeys(epsilon_names(fitted), epsilon))
    for model in erasable_models(fitted):
        model.unlearn_epsilon = epsilon
        model.unlearn_epsilon_ = usual_epsilon(epsilon, model._erasure_state.calibration)
    return fitted


def searched_model(estimator):
    """The erasable classifier inside, not fitted."""
    final = final_step(estimator)
    if isinstance(final, MultiOutputClassifier):
        return searched_model(final.estimator)
    if isinstance(final, ErasableMixin):
        return final
    raise TypeError(
        "TunedEpsilonCV takes an erasable classifier, a Pipeline that ends in one, or a MultiOutputClassifier of one, got "
        f"{type(final).__name__} inside. Use ErasableLogisticRegression or ErasableMLPClassifier, and put TunedEpsilonCV inside "
        "of other meta-estimators."
    )


def plain_template(estimator):
    """The estimator with scikit-learn's own class in place of ours: trained alike, without a curvature."""
    if isinstance(estimator, Pipeline):
        name, final = estimator.steps[-1]
        return clone(estimator).set_params(**{name: plain_template(final)})
    if isinstance(estimator, MultiOutputClassifier):
        return clone(estimator).set_params(estimator=plain_template(estimator.estimator))
    return estimator._plain()


def fitted_model(estimator):
    """The fitted model inside, the first of many outputs."""
    final = final_step(estimator)
    return fitted_model(final.estimators_[0]) if isinstance(final, MultiOutputClassifier) else final


def key_of(template):
    """What tells two combinations of parameters apart."""
    parts = [type(template).__qualname__]
    for name, value in sorted(template.get_params().items()):
        if hasattr(value, "get_params"):
            value = type(value).__qualname__
        try:
            parts.append(f"{name}={joblib.hash(value)}")
        except (TypeError, AttributeError, PicklingError):  # such as a lambda
            parts.append(f"{name}={value!r}")
    return tuple(parts)


def fit_with_weights(template, X, y, sample_weight):
    """Fit a model, or a pipeline around one, with weights or without."""
    if sample_weight is None:
        return template.fit(X, y)
    if routing_enabled() or not isinstance(template, Pipeline):
        return template.fit(X, y, sample_weight=sample_weight)
    path, step = "", template
    while isinstance(step, Pipeline):
        path, step = f"{path}{step.steps[-1][0]}__", step.steps[-1][1]
    return template.fit(X, y, **{f"{path}sample_weight": sample_weight})
