"""Rows out of the statistics of fitted transformers, by closed forms.

The folder knows scikit-learn's transformers and how their columns change when rows leave. It must
not know a composite, nor a model beyond the number of rows that it was fitted to.
"""

from sklearn_ssse._preprocessing import containers, simple_imputer, standard_scaler
from sklearn_ssse._preprocessing.state import PreprocessingState
from sklearn_ssse._preprocessing.steps import (
    caches_and_warnings,
    downdate_steps,
    is_fitted_to_rows,
    keep_steps,
    kept_message,
    transformers,
)
