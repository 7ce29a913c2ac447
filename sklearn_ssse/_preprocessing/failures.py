"""The error of a step that cannot transform the rows, without the message of the step itself."""

import warnings

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags

from sklearn_ssse._utils.compat import safe_indexing
from sklearn_ssse._utils.unquoted import AS_AT_FIT, UNREAD, attempt, error_like, fault, faulty_cells

# Types whose steps inside are inspected one by one.
CONTAINERS = (Pipeline, ColumnTransformer, FeatureUnion)


def step_error(step, X, name, kind, verb="transform"):
    """The error for a step that raised one.

    Parameters
    ----------
    step : transformer
    X : array-like
        The rows that were given to it.
    name : str
        Its name in the pipeline.
    kind : type of Exception
        The type of the error that it raised.
    verb : {"transform", "fit_transform"}
        The method that raised it.
    """
    reason = ""
    call = "clone(pipe[:-1]).fit_transform(X, y)"
    if verb == "transform":
        call = "pipe[:-1].transform(X)"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they were given before the error
            name, step, reason = _diagnosis(step, X, name)
    place = f"step {name} ({type(step).__name__})"
    if reason:
        return error_like(kind, f"The rows for {place} must {reason}")
    return error_like(
        kind,
        f"`{verb}` of {place} must succeed on the rows, got {kind.__name__}, {UNREAD}. {AS_AT_FIT} "
        f"To read the message, call the steps before the model yourself, such as {call}.",
    )


def _diagnosis(step, X, name):
    """The innermost step that fails: its path, the step, and the reason if it is known."""
    found, _ = attempt(_failing_part, step, X, name)
    if found is not None:
        return _diagnosis(*found)
    reason, _ = attempt(_reason, step, X)
    return name, step, reason


def _failing_part(step, X, name):
    """The first step inside a step that fails, with its rows and its path, or None."""
    for path, part, rows in _parts(step, X, name):
        _, kind = attempt(part.transform, rows)
        if kind is not None:
            return part, rows, path
    return None


def _parts(step, X, name):
    """The steps inside a step, each with its path and its rows; no steps for any other type."""
    if isinstance(step, Pipeline):
        for path, part in step.steps:
            if part is not None and part != "passthrough":
                yield f"{name}__{path}", part, X
                X = part.transform(X)
    elif isinstance(step, ColumnTransformer):
        for path, part, columns in step.transformers_:
            if not isinstance(part, str):
                yield f"{name}__{path}", part, safe_indexing(X, columns, axis=1)
    elif isinstance(step, FeatureUnion):
        for path, part in step.transformer_list:
            if not isinstance(part, str):
                yield f"{name}__{path}", part, X


def _reason(step, X):
    """The end of "The rows must ...", if it is known for which reason a step refused them."""
    tags = get_tags(step).input_tags
    is_known = type(step).__module__.startswith(("sklearn.", "sklearn_ssse."))
    if not is_known or not tags.two_d_array or isinstance(step, FunctionTransformer):
        return ""
    reason = fault(step, X, cells=False)
    if reason or tags.string or isinstance(step, CONTAINERS):
        return reason
    names = getattr(step, "feature_names_in_", None)
    must = "hold finite numbers"
    if "categories_" in vars(step):
        must = "hold categories that were seen at fit"
        found = _unknown_categories(step, X, names)
    elif np.asarray(vars(step).get("statistics_", 0.0)).dtype.kind == "O":  # imputed text
        found = []
    else:
        found = faulty_cells(X, names, allow_nan=tags.allow_nan)
    return f"{must}, got {'; '.join(found)}. {AS_AT_FIT}" if found else ""


def _unknown_categories(step, X, names):
    """The columns with categories that an encoder was not fitted to, and the number of rows."""
    found = []
    table = X if hasattr(X, "shape") else np.array(X, dtype=object)
    for j, categories in enumerate(step.categories_):
        cells = np.asarray(safe_indexing(table, j, axis=1)).tolist()
        seen = set(categories.tolist())
        missing = any(category != category for category in seen)
        unknown = [cell not in seen and not (missing and cell != cell) for cell in cells]
        if any(unknown):
            label = j if names is None else names[j]
            found.append(f"others in column {label} ({sum(unknown)} of {len(cells)} rows)")
    return found
