"""Removal of rows from the statistics of fitted transformers in closed form, or a new fit of them.

The folder depends on scikit-learn's transformers and on the change of their columns. It must not
depend on a composite, nor on a model beyond the number and weight of the rows that it holds.
"""

from sklearn_ssse._preprocessing import containers, simple_imputer, standard_scaler
from sklearn_ssse._preprocessing.failures import step_error
from sklearn_ssse._preprocessing.refit import refit_steps
from sklearn_ssse._preprocessing.state import PreprocessingState
from sklearn_ssse._preprocessing.steps import (
    caches_and_warnings,
    downdate_step,
    downdate_steps,
    fitted_with_weights,
    follows_columns,
    is_fitted_to_rows,
    keep_steps,
    kept_message,
    transform,
    transformers,
)
