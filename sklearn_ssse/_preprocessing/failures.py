"""The error of a step that cannot transform the rows, without the message of the step itself."""

import warnings

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags

from sklearn_ssse._utils.compat import safe_indexing
from sklearn_ssse._utils.unquoted import AS_AT_FIT, UNREAD, attempt, fault, faulty_cells, refusal


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
    """
    reason = ""
    if verb == "transform":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they were given before the error
            found, _ = attempt(_diagnosis, step, X, name)
        if found is not None:
            name, step, reason = found
    given = f"{kind.__name__}, {UNREAD}"
    if reason:
        given = f"rows that must {reason.removesuffix(AS_AT_FIT).rstrip(' .')} ({given})"
    return refusal(
        kind,
        f"Step {name} ({type(step).__name__}) must be able to {verb} the rows, got {given}. "
        f"{AS_AT_FIT} Call `{verb}` of the steps before the model yourself to read the message.",
    )


def _diagnosis(step, X, name):
    """The innermost step that fails: its path, the step, and the reason if it is known."""
    for path, part, rows in _parts(step, X, name):
        _, kind = attempt(part.transform, rows)
        if kind is not None:
            return _diagnosis(part, rows, path)
    return name, step, _reason(step, X)


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
    """The reason for which a step of scikit-learn refused rows, or an empty str."""
    tags = get_tags(step).input_tags
    is_known = type(step).__module__.startswith("sklearn.")
    if not is_known or not tags.two_d_array or isinstance(step, FunctionTransformer):
        return ""
    reason = fault(step, X, cells=False)
    if reason or tags.string:
        return reason
    names = getattr(step, "feature_names_in_", None)
    if "categories_" in vars(step):
        found = _unknown_categories(step, X, names)
        return f"hold categories that were seen at fit, got {'; '.join(found)}" if found else ""
    if getattr(vars(step).get("statistics_"), "dtype", None) == object:  # imputed text
        return ""
    found = faulty_cells(X, names, allow_nan=tags.allow_nan)
    return f"hold finite numbers, got {'; '.join(found)}" if found else ""


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
            where = j if names is None else names[j]
            found.append(f"others in column {where} ({sum(unknown)} of {len(cells)} rows)")
    return found
