"""Steps that hold other steps, or select columns."""

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectorMixin
from sklearn.pipeline import Pipeline

from sklearn_ssse._families import AffineColumns
from sklearn_ssse._preprocessing.state import FilledValues, PreprocessingState
from sklearn_ssse._preprocessing.steps import (
    downdate_step,
    downdate_steps,
    follows_columns,
    transform,
    transformers,
)
from sklearn_ssse._utils.compat import safe_indexing


@follows_columns.register(Pipeline)
def pipeline_follows_columns(step):
    """Whether all of its steps can take rescaled columns."""
    return all(follows_columns(part) for _, part in transformers(step.steps))


@downdate_step.register(Pipeline)
def downdate_pipeline(step, state, name):
    """Downdate its steps."""
    inner = downdate_steps(step.steps, state._replace(changes=(), kept_by=(), warnings=()))
    return inner._replace(
        changes=(*state.changes, *inner.changes),
        kept_by=(*state.kept_by, *(f"{name}__{part}" for part in inner.kept_by)),
        warnings=(*state.warnings, *inner.warnings),
    )


@follows_columns.register(SelectorMixin)
def selector_follows_columns(step):
    """A selection of columns does not depend on their scale."""
    return True


@downdate_step.register(SelectorMixin)
def downdate_selector(step, state, name):
    """Select the columns; the selection itself still depends on the rows."""
    support = step.get_support(indices=True)
    column_map = None if state.column_map is None else state.column_map.take(support)
    filled = None if state.filled is None else state.filled.take(support)
    X = transform(step, state.X, name)
    return state._replace(X=X, column_map=column_map, filled=filled).keep(name)


@downdate_step.register(ColumnTransformer)
def downdate_column_transformer(step, state, name):
    """Downdate the transformer of each group of columns."""
    out = transform(step, state.X, name)
    X = state.X if hasattr(state.X, "shape") else np.asarray(state.X)
    has_names = hasattr(X, "columns") and hasattr(step, "feature_names_in_")
    names = step.feature_names_in_ if has_names else None
    column_map = AffineColumns.identity(out.shape[1])
    filled = FilledValues.none(out.shape[1])
    for part, transformer, columns in step.transformers_:
        at = step.output_indices_.get(part, slice(0))
        if isinstance(transformer, str) or at.stop == at.start:
            continue
        own_columns = columns if names is None else _by_name(columns, names)
        branch = PreprocessingState(
            safe_indexing(X, own_columns, axis=1),
            state.sample_weight,
            model=state.model,
            weights_consumed=state.weights_consumed,
        )
        branch = downdate_steps([(part, transformer)], branch)
        weight = (step.transformer_weights or {}).get(part)
        weight = 1.0 if weight is None else weight
        if branch.column_map is not None:
            column_map.scale[at] = branch.column_map.scale
            column_map.shift[at] = weight * branch.column_map.shift
        if branch.filled is not None:
            filled.present[at] = branch.filled.present
            filled.before[at] = weight * branch.filled.before
            filled.after[at] = weight * branch.filled.after
        state = state._replace(
            changes=(*state.changes, *branch.changes),
            kept_by=(*state.kept_by, *(f"{name}__{inner}" for inner in branch.kept_by)),
            warnings=(*state.warnings, *branch.warnings),
            weights_consumed=state.weights_consumed or branch.weights_consumed,
        )
    return state._replace(
        X=out,
        column_map=column_map if column_map else None,
        filled=filled if np.isfinite(filled.present).any() else None,
    )


def _by_name(columns, names):
    """Column positions as names, since a frame may lack columns that the transformer drops."""
    is_slice = isinstance(columns, slice)
    ends = (columns.start, columns.stop) if is_slice else np.ravel(columns)
    if any(isinstance(end, str) for end in ends):
        return columns
    found = names[columns if is_slice else np.asarray(columns)]
    return found.tolist() if isinstance(found, np.ndarray) else found
