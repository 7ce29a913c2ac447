"""Checks that every erasable estimator must pass."""

import pickle
from copy import deepcopy
from dataclasses import fields
from unittest.mock import patch

import joblib
import numpy as np
import pytest
from scipy.linalg import null_space
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from sklearn_ssse import ErasureError, ErasureRecord, ErasureWarning
from tests.warned import (
    LONG_STEP,
    MINI_BATCHES,
    NO_ROWS,
    NOT_A_MINIMUM,
    STALE,
    TOO_LONG,
    may_warn,
)


def snapshot(value, seen=None):
    """Everything reachable from an object, as comparable bytes; of a record what `==` compares."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return "cycle"
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, dict):
        return {key: snapshot(item, seen | {id(value)}) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [snapshot(item, seen | {id(value)}) for item in value]
    if isinstance(value, np.random.RandomState):
        return snapshot(value.get_state(), seen)
    if isinstance(value, ErasureRecord):
        return {item.name: getattr(value, item.name) for item in fields(value) if item.compare}
    if hasattr(value, "__dict__"):
        return type(value).__qualname__, snapshot(vars(value), seen | {id(value)})
    return value


def make_data(n_classes=2):
    return make_classification(
        120, 5, n_informative=4, n_redundant=0, n_classes=n_classes, flip_y=0.2, random_state=0
    )


def check_erasable(estimator, tmp_path, n_classes=2):
    """Run every check on clones of ``estimator``."""
    X, y = make_data(n_classes)
    S = np.arange(8)
    check_not_fitted(clone(estimator), X, y)
    check_fit_unlearn(clone(estimator), X, y, S)
    check_nothing(clone(estimator), X, y)
    check_preview(clone(estimator), X, y, S)
    check_clone(clone(estimator), X, y, S)
    check_files(clone(estimator), X, y, S, tmp_path)
    check_atomic(clone(estimator), X, y)
    check_refresh(clone(estimator), X, y, S)
    check_no_rows_inside(clone(estimator), X, y)


def check_not_fitted(estimator, X, y):
    methods = (
        estimator.unlearn,
        estimator.preview_unlearn,
        estimator.preview_learn,
        estimator.fit_curvature,
        estimator.refresh,
    )
    for method in methods:
        with pytest.raises(NotFittedError):
            method(X[:2], y[:2])
    with pytest.raises(NotFittedError):
        _ = estimator.fisher_inverse_


def check_fit_unlearn(estimator, X, y, S):
    proba = estimator.fit(X, y).predict_proba(X)
    assert estimator.n_samples_remaining_ == len(X)
    assert estimator.erasures_ == []
    with may_warn(LONG_STEP):
        assert estimator.unlearn(X[S], y[S]) is estimator
    assert estimator.n_samples_remaining_ == len(X) - len(S)
    assert len(estimator.erasures_) == 1
    assert estimator.erasures_[0].n_erased == len(S)
    assert not np.array_equal(estimator.predict_proba(X), proba)
    with may_warn(STALE, LONG_STEP):
        estimator.unlearn(X[50:53], y[50:53])
    assert [record.n_remaining for record in estimator.erasures_] == [112, 109]
    with may_warn(NOT_A_MINIMUM):  # the step of a crude structure may be long
        assert estimator.fit_curvature(X[8:], y[8:]).n_samples_remaining_ == 112
    assert estimator.fit(X, y).erasures_ == []


def check_nothing(estimator, X, y):
    before = snapshot(estimator.fit(X, y))
    empty = X[:0], y[:0]
    rows = X[:3], y[:3]
    for verb in (estimator.unlearn, estimator.learn):
        with pytest.warns(ErasureWarning, match=NO_ROWS):
            verb(*empty)
        with pytest.warns(ErasureWarning, match=NO_ROWS):
            verb(*rows, sample_weight=np.zeros(3))
    with pytest.warns(ErasureWarning, match=NO_ROWS):
        estimator.rectify(*empty, *empty)
    with pytest.warns(ErasureWarning, match=NO_ROWS):
        assert estimator.preview_unlearn(*empty).n_erased == 0
    assert snapshot(estimator) == before


def check_preview(estimator, X, y, S):
    before = snapshot(estimator.fit(X, y))
    record = estimator.preview_unlearn(X[S], y[S])
    if estimator.unlearn_epsilon == "auto":
        assert estimator.preview_unlearn(X[S], y[S], "0.5 * auto").epsilon == 0.5 * record.epsilon
    corrected = X[S] + 0.1, y[S], X[S], y[S]
    records = [estimator.preview_learn(X[S], y[S]), estimator.preview_rectify(*corrected), record]
    assert snapshot(estimator) == before
    with may_warn(LONG_STEP, MINI_BATCHES):
        assert deepcopy(estimator).learn(X[S], y[S]).erasures_ == records[:1]
    with may_warn(LONG_STEP, MINI_BATCHES):
        assert deepcopy(estimator).rectify(*corrected).erasures_ == records[1:2]
    assert estimator.unlearn(X[S], y[S]).erasures_ == records[2:]


def check_clone(estimator, X, y, S):
    estimator.fit(X, y).unlearn(X[S], y[S])
    twin = clone(estimator)
    assert not [name for name in vars(twin) if name.endswith("_") or name.startswith("_")]
    assert snapshot(twin.fit(X, y)) == snapshot(clone(estimator).fit(X, y))


def check_files(estimator, X, y, S, tmp_path):
    estimator.fit(X, y)
    expected = clone(estimator).fit(X, y).unlearn(X[S], y[S])
    path = tmp_path / "model.joblib"
    joblib.dump(estimator, path)
    for loaded in (
        pickle.loads(pickle.dumps(estimator)),
        joblib.load(path),
        joblib.load(path, mmap_mode="r"),
    ):
        assert np.array_equal(loaded.predict_proba(X), estimator.predict_proba(X))
        loaded.unlearn(X[S], y[S])
        assert snapshot(loaded.curvature_) == snapshot(expected.curvature_)
        assert np.array_equal(loaded.predict_proba(X), expected.predict_proba(X))
        with may_warn(STALE):
            loaded.unlearn(X[60:62], y[60:62])
    assert np.array_equal(joblib.load(path).predict_proba(X), estimator.predict_proba(X))


def check_atomic(estimator, X, y):
    estimator.fit(X, y).unlearn(X[:4], y[:4])
    before = snapshot(estimator)
    nan = X[5:8].copy()
    nan[1, 2] = np.nan
    label = y[0]
    (members,) = np.nonzero(y[4:] == label)
    members = members + 4
    unseen = "nobody" if y.dtype.kind in "US" else 99
    bad = [
        (ValueError, (nan, y[5:8]), {}),
        (ValueError, (X[5:8, :3], y[5:8]), {}),
        (ValueError, (X[5:8], y[5:7]), {}),
        (ValueError, (X[5:8], y[5:8]), {"sample_weight": [1.0, 2.0]}),
        (ErasureError, (X[5:8], y[5:8]), {"sample_weight": [1.0, 2.0, -1.0]}),
        (ErasureError, (X[5:8], np.array([y[5], y[6], unseen])), {}),
        (ErasureError, (X[4:], y[4:]), {}),
        (ErasureError, (np.vstack([X, X]), np.hstack([y, y])), {}),
        (ErasureError, (X[5:8], y[5:8]), {"sample_weight": [1e6, 1e6, 1e6]}),
        *[
            (ErasureError, (X[5:8], y[5:8], epsilon), {})
            for epsilon in (0, -1.0, np.nan, np.inf, True, "best", "0*auto", "auto*2")
        ],
    ]
    if isinstance(
        estimator, LogisticRegression
    ):  # a net may lose a class, and may be certain of a row of any norm
        bad += [
            (ErasureError, (X[members], y[members]), {}),
            (ErasureError, (impossible_row(estimator), y[5:6]), {}),
        ]
    for error, args, kwargs in bad:
        for method in (estimator.unlearn, estimator.preview_unlearn):
            with may_warn(STALE), pytest.raises(error):
                method(*args, **kwargs)
            assert snapshot(estimator) == before, f"changed by {args}"


def impossible_row(estimator):
    """A row on the decision boundary, of largest curvature, with too large a norm for training."""
    return 1e4 * null_space(estimator.coef_)[:, :1].T


def check_refresh(estimator, X, y, S):
    """It counts the rows, and a failure in its last stage changes nothing."""
    estimator.fit(X, y).unlearn(X[S], y[S])
    before = snapshot(estimator)
    keep = np.setdiff1d(np.arange(len(X)), S)
    for wrong in (np.arange(len(X)), keep[1:], np.r_[keep, keep[:1]]):
        with pytest.raises(ErasureError, match="retained rows must"):
            estimator.refresh(X[wrong], y[wrong])
    for error in (RuntimeError, KeyboardInterrupt):
        failure = patch.object(type(estimator), "_new_state", side_effect=error)
        with failure, pytest.raises(error):
            estimator.refresh(X[keep], y[keep])
        assert snapshot(estimator) == before
    records = list(estimator.erasures_)
    assert estimator.refresh(X[keep], y[keep]) is estimator
    assert estimator.n_samples_remaining_ == len(keep)
    assert estimator.erasures_ == records
    with may_warn(MINI_BATCHES, STALE, TOO_LONG):
        estimator.unlearn(X[keep[:3]], y[keep[:3]])
    assert estimator.erasures_[-1].erased_fraction == pytest.approx(3 / len(keep))


def check_no_rows_inside(estimator, X, y):
    """No reachable array has the size of the training set, or holds an erased row."""
    estimator.fit(X, y).unlearn(X[:1], y[:1])
    for array in arrays(estimator):
        assert len(X) not in array.shape
        assert len(X) - 1 not in array.shape
        if array.ndim and array.shape[-1] >= X.shape[1]:
            rows = array.reshape(-1, array.shape[-1])[:, : X.shape[1]]
            assert not np.isclose(rows, X[0]).all(axis=1).any()


def arrays(value):
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from arrays(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from arrays(item)
    elif hasattr(value, "__dict__"):
        yield from arrays(vars(value))
