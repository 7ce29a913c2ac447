"""Inspection of the models inside an estimator."""

from sklearn.base import BaseEstimator
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline

from sklearn_ssse._composites.registry import inside, needs_positions, registered, third_party
from sklearn_ssse._erasure import ErasableMixin
from sklearn_ssse._preprocessing import transform, transformers


def erasable_models(estimator):
    """The erasable models inside an estimator, each once."""
    if isinstance(estimator, ErasableMixin):
        return [estimator]
    models = {id(model): model for part in inside(estimator) for model in erasable_models(part)}
    return list(models.values())


def lockable_parts(estimator):
    """Every estimator inside an estimator, itself included, each once.

    Models without a curvature are left out: no verb changes them, and several composites may share
    one as the model that they clone.
    """
    third_parties = [kind for kind in third_party.registry if kind is not object]
    kinds = (BaseEstimator, *third_parties)
    seen = {}
    found = []
    waiting = [estimator]
    while waiting:
        part = waiting.pop()
        if not isinstance(part, (*kinds, list, tuple, dict)) or id(part) in seen:
            continue
        seen[id(part)] = part
        if isinstance(part, ErasableMixin):
            found += [part] if "curvature_" in vars(part) else []
        elif isinstance(part, kinds):
            found.append(part)
            waiting.extend(vars(part).values())
        else:
            waiting.extend(part.values() if isinstance(part, dict) else part)
    return found


def takes_positions(estimator):
    """Whether the estimator holds a type that needs positions, or a third party's type."""
    if needs_positions(estimator) or registered(estimator) is not None:
        return True
    return any(takes_positions(part) for part in inside(estimator))


def known_columns(estimator):
    """Names of the columns that an estimator was fitted on, or None if no part of it has them."""
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None:
        return names
    if isinstance(estimator, Pipeline):
        steps = transformers(estimator.steps)
        return known_columns(steps[0][1]) if steps else None
    return next((known_columns(part) for part in inside(estimator)), None)


def final_step(estimator):
    """The model at the end of a pipeline or of nested ones; any other estimator as it is."""
    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[-1][1]
    return estimator


def transformed(estimator, X):
    """The rows X as the steps before the `final_step` transform them."""
    while isinstance(estimator, Pipeline):
        for name, step in transformers(estimator.steps[:-1]):
            X = transform(step, X, name)
        estimator = estimator.steps[-1][1]
    return X


def bare_copies(estimator):
    """A copy of an estimator, such that erasing rows from it does not change the original.

    The copy shares arrays with the original, since `unlearn` assigns new arrays and never writes
    into old ones.
    """
    twin = object.__new__(type(estimator))
    vars(twin).update(vars(estimator))
    if isinstance(estimator, Pipeline):
        *steps, (name, final) = estimator.steps
        twin.steps = [*steps, (name, bare_copies(final))]
    elif isinstance(estimator, MultiOutputClassifier):
        twin.estimators_ = [bare_copies(output) for output in estimator.estimators_]
    return twin
