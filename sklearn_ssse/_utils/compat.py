"""The one place for imports of scikit-learn that are not public."""

import inspect
from contextlib import contextmanager

import numpy as np
from scipy import sparse
from sklearn.externals import array_api_compat
from sklearn.externals.array_api_compat import device
from sklearn.model_selection._search import BaseSearchCV
from sklearn.multiclass import _ConstantPredictor as ConstantPredictor
from sklearn.preprocessing._data import _handle_zeros_in_scale, _is_constant_feature
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._missing import is_pandas_na, is_scalar_nan
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    Options,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils.metadata_routing import _routing_enabled as routing_enabled
from sklearn.utils.validation import _check_sample_weight, _num_samples

from sklearn_ssse.exceptions import ErasureTypeError

try:  # scikit-learn 1.9 or later
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class _Silent:
        """A callback context without callbacks."""

        def subcontext(self, **kwargs):
            return self

        def call_on_fit_task_begin(self, **kwargs):
            return self

        call_on_fit_task_end = call_on_fit_task_begin

        @contextmanager
        def propagate_callback_context(self, estimator):
            yield

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """The interface of scikit-learn's mixin, without callbacks."""

        def _init_callback_context(self, *args, **kwargs):
            return _Silent()

    def with_callbacks(method):
        return method


__all__ = [
    "BaseSearchCV",
    "CallbackSupportMixin",
    "ConstantPredictor",
    "HasMethods",
    "Interval",
    "Options",
    "StrOptions",
    "check_sample_weight",
    "device",
    "has_callbacks",
    "is_pandas_na",
    "is_scalar_nan",
    "namespace",
    "num_samples",
    "routing_enabled",
    "safe_indexing",
    "scale_of",
    "validate_parameter_constraints",
    "with_callbacks",
]

# scikit-learn 1.9 or later refuses weights that are all zero, unless this argument allows them.
_ALLOW_ZERO = "allow_all_zero_weights"
_ALLOW_ZERO_WEIGHTS = (
    {_ALLOW_ZERO: True} if _ALLOW_ZERO in inspect.signature(_check_sample_weight).parameters else {}
)


def num_samples(X):
    """Number of rows, or of labels or weights of rows."""
    # Of an array without dimensions, scikit-learn's message prints the value.
    if isinstance(X, (str, bytes)) or getattr(X, "shape", None) == ():
        raise ErasureTypeError(
            "Rows, labels, weights, groups and positions must be arrays with one entry for each "
            f"row, got a single {type(X).__name__}. Pass an array."
        )
    return _num_samples(X)


def check_sample_weight(sample_weight, X, *, dtype):
    """Weights as an array of finite numbers, (n_samples,); all of them may be zero."""
    return _check_sample_weight(sample_weight, X, dtype=dtype, **_ALLOW_ZERO_WEIGHTS)


def namespace(array):
    """The array API namespace of an array, NumPy's or torch's; NumPy's for a sparse matrix."""
    if sparse.issparse(array):
        return array_api_compat.numpy
    return array_api_compat.array_namespace(array)


def has_callbacks(context):
    """Whether a callback context has callbacks."""
    return bool(getattr(context, "_callbacks", None))


def scale_of(var, mean, n_samples):
    """The scale of `StandardScaler` for a variance, (n_columns,); 1 for a constant column."""
    constant = _is_constant_feature(var, mean, n_samples)
    return _handle_zeros_in_scale(np.sqrt(var), copy=False, constant_mask=constant)
