"""`unlearn`, `learn` and `rectify` give the same warnings, at the caller's own line."""

import inspect
import warnings
from copy import deepcopy

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, TargetEncoder

from sklearn_ssse import ErasableLogisticRegression, ErasureWarning, learn, rectify, unlearn

FEW = slice(0, 5)


def weighted(X, y):
    """A model that was fitted with weights; the rows are given without."""
    return ErasableLogisticRegression().fit(X, y, sample_weight=np.linspace(0.5, 2, len(y))), y


def minibatch(X, y):
    """A model whose curvature is made of mini-batches."""
    return ErasableLogisticRegression(fisher_batch_size=4, leave_out=False).fit(X, y), y


def cross_fitted(X, y):
    """A step that encodes rows differently at fit and later."""
    encode = make_column_transformer((TargetEncoder(), [0]), (StandardScaler(), [1]))
    X[:, 0] = np.arange(len(y)) % 5
    return make_pipeline(encode, ErasableLogisticRegression()).fit(X, y), y


def outputs(X, y):
    """Many outputs of models with weights."""
    Y = np.column_stack([y, 1 - y])
    model = MultiOutputClassifier(ErasableLogisticRegression())
    return model.fit(X, Y, sample_weight=np.linspace(0.5, 2, len(y))), Y


def told(verb, model, *args):
    """The texts of the warnings of one call, which must be given for a line of this file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        verb(deepcopy(model), *args)
    found = [warning for warning in caught if issubclass(warning.category, ErasureWarning)]
    assert all(warning.filename == __file__ for warning in found)
    return {str(warning.message) for warning in found}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("case", [weighted, minibatch, cross_fitted, outputs])
def test_three_verbs_warn_alike(case, binary):
    X = binary[0].copy()
    model, y = case(X, binary[1])
    rows = X[FEW], y[FEW]
    erased = told(unlearn, model, *rows)
    assert erased
    assert erased == told(learn, model, *rows) == told(rectify, model, *rows, *rows)
    if hasattr(model, "unlearn"):
        methods = [told(getattr(type(model), verb), model, *rows) for verb in ("unlearn", "learn")]
        assert methods == [erased, erased]
        assert told(type(model).rectify, model, *rows, *rows) == erased


def test_unlearn_is_a_plain_function(binary):
    """Every argument may be given by name, and the signature is the one in the documentation."""
    X, y = binary
    model = ErasableLogisticRegression().fit(X, y)
    assert unlearn(estimator=model, X=X[FEW], y=y[FEW]) is model
    assert model.n_samples_remaining_ == len(y) - 5
    assert inspect.isfunction(unlearn)
    assert list(inspect.signature(unlearn).parameters)[:4] == ["estimator", "X", "y", "epsilon"]


def test_third_parties_are_atomic_at_the_outermost_place(binary):
    """A function of a third party that fails half way leaves its estimator as it was."""

    class Box:
        def __init__(self, inner):
            self.inner = inner

    @unlearn.register(Box)
    def unlearn_box(estimator, X, y, epsilon=None, *, sample_weight=None, **params):
        estimator.inner.unlearn(X, y, epsilon, sample_weight=sample_weight)
        if params.pop("fail", False):
            raise RuntimeError("half way")

    X, y = binary
    box = Box(ErasableLogisticRegression().fit(X, y))
    before = box.inner.coef_.copy()
    with pytest.raises(RuntimeError, match="half way"):
        unlearn(box, X[FEW], y[FEW], fail=True)
    assert np.array_equal(box.inner.coef_, before)
    assert box.inner.erasures_ == []
    assert unlearn(box, X[FEW], y[FEW]) is box
    assert box.inner.n_samples_remaining_ == len(y) - 5
