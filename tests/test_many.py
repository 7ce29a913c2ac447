"""Erasures from many outputs together, compared with a loop over them."""

import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_digits, make_classification
from sklearn.metrics import roc_auc_score
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

from sklearn_ssse import (
    ErasableLogisticRegression,
    ErasableMLPClassifier,
    ErasureError,
    ErasureWarning,
    gamma_score,
    parameter_distance,
    preview_unlearn,
    unlearn,
)
from sklearn_ssse._composites import RoutedRows, bare_copies
from sklearn_ssse._composites.multioutput_batched import plan_together
from sklearn_ssse._composites.registry import plan_all
from sklearn_ssse._erasure.bounds import Bounds
from sklearn_ssse._erasure.changes import carry_out
from tests.check_erasable import snapshot
from tests.warned import LONG_STEP, MINI_BATCHES, NO_ROWS, REFRESH, TOO_LONG, may_warn

N_OUTPUTS = 5
RTOL = 1e-12
# Fields of a record that differ if the parameters differ by rounding, or the calls by their time.
# Of bounds, which amplify the rounding of a step.
BOUND_RTOL = 1e-9
NOT_COMPARED = ("parameters_before", "parameters_after", "previous", "time")


def one_by_one(model, X, Y, epsilon=None, sample_weight=None):
    """The twin: a loop computes the erasure of each output, then all are applied."""
    outputs = enumerate(zip(model.estimators_, np.asarray(Y).T, strict=True))
    rest = (sample_weight, None, epsilon)
    plan = plan_all(
        (output, RoutedRows(X, y, *rest, may_lose_class=True).at(f"output {i}"))
        for i, (output, y) in outputs
    )
    plan = plan.worked_out()
    plan.warn()
    carry_out(plan.erasures)
    return model


def attributes(X, n_outputs=N_OUTPUTS, seed=0):
    rng = np.random.default_rng(seed)
    signal = X @ rng.standard_normal((X.shape[1], n_outputs)) / np.sqrt(X.shape[1])
    return (signal + rng.standard_normal(signal.shape) > rng.uniform(-0.7, 0.7, n_outputs)).astype(
        int
    )


@pytest.fixture(scope="module")
def data():
    X, _ = make_classification(200, 12, n_informative=8, random_state=0)
    X = scale(X)
    return X, attributes(X)


def fitted(data, sample_weight=None, **params):
    estimator = ErasableLogisticRegression(**{"order": 1, "budget": None, **params})
    return MultiOutputClassifier(estimator).fit(*data, sample_weight)


def is_together(model, X, Y, *args):
    return plan_together(model.estimators_, X, np.asarray(Y), *args) is not None


def assert_close(value, expected):
    value, expected = np.asarray(value), np.asarray(expected)
    assert (value.dtype, value.shape) == (expected.dtype, expected.shape)
    rtol = RTOL if value.dtype == np.float64 else 1e-6
    assert np.linalg.norm(value - expected) <= rtol * np.linalg.norm(expected)


def assert_same_inverse(inverse, expected):
    for name in ("matrix", "ridge", "diagonal"):
        assert_close(getattr(inverse, name), getattr(expected, name))


def assert_same_bounds(bounds, expected):
    """Bounds to rounding, which their sums add to."""
    for one, other in [
        (bounds, expected),
        (bounds.euclidean, expected.euclidean),
        (bounds.metric, expected.metric),
    ]:
        for name, value in vars(other).items():
            if isinstance(value, float | np.ndarray):
                assert np.allclose(getattr(one, name), value, rtol=RTOL, atol=1e-10), name


def assert_equal(model, twin):
    """Everything that an erasure writes, to rounding; counts, names and flags exactly."""
    for one, other in zip(model.estimators_, twin.estimators_, strict=True):
        assert vars(one).keys() == vars(other).keys()
        for name in ("coef_", "intercept_", "damping_"):
            assert_close(getattr(one, name), getattr(other, name))
        assert_same_inverse(one.curvature_, other.curvature_)
        paths = one._erasure_state.path, other._erasure_state.path
        assert one.n_samples_remaining_ == other.n_samples_remaining_
        pairs = [
            (one._erasure_state, other._erasure_state),
            paths,
            *zip(one.erasures_, other.erasures_, strict=True),
        ]
        for a, b in pairs:
            a, b = vars(a), vars(b)
            assert a.keys() == b.keys()
            for name, value in b.items():
                if isinstance(value, float | np.ndarray):
                    # Margins and fractions are differences from 1, known to its rounding.
                    rtol = BOUND_RTOL if name.endswith("_bound") else RTOL
                    assert np.allclose(a[name], value, rtol=rtol, atol=1e-14), name
                elif name == "bounds" and isinstance(value, Bounds):
                    assert_same_bounds(a[name], value)
                elif name not in ("calibration", "path", *NOT_COMPARED):
                    assert type(a[name]) is type(value), name
                    assert a[name] == value, name


def check(model, X, Y, *args):
    """Erase together and one by one from copies."""
    assert is_together(model, X, Y, *args)
    together, twin = bare_copies(model), bare_copies(model)
    before = snapshot(model)
    unlearn(
        together, X, Y, args[0] if args else None, sample_weight=args[1] if len(args) > 1 else None
    )
    one_by_one(twin, X, Y, *args)
    assert_equal(together, twin)
    assert snapshot(model) == before  # copies share the old arrays: none was written into
    return together, twin


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("leave_out", ["auto", True, False])
@pytest.mark.parametrize("curvature", ["empirical_fisher", "fisher"])
def test_together_is_one_by_one(data, curvature, leave_out, fit_intercept):
    X, Y = data
    model = fitted(data, curvature=curvature, leave_out=leave_out, fit_intercept=fit_intercept)
    check(model, X[:1], Y[:1])
    check(model, X[:10], Y[:10], 0.7)
    check(model, X[:10], Y[:10], "0.5*auto")
    together, twin = check(model, X[:10], Y[:10])
    for rows in (slice(10, 11), slice(11, 19)):  # erasures after an erasure
        unlearn(together, X[rows], Y[rows])
        assert_equal(together, one_by_one(twin, X[rows], Y[rows]))


@pytest.mark.parametrize("curvature", ["empirical_fisher", "fisher"])
def test_streams(data, curvature):
    X, Y = data
    model = fitted(data, curvature=curvature)
    together, twin = bare_copies(model), bare_copies(model)
    with may_warn(REFRESH):
        for i in range(24):
            unlearn(together, X[[i]], Y[[i]])
            assert_equal(together, one_by_one(twin, X[[i]], Y[[i]]))
    assert together.estimators_[0].erasures_[-1].kept_curvature > 0


@pytest.mark.parametrize("curvature", ["empirical_fisher", "fisher"])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_weights(data, curvature, class_weight):
    X, Y = data
    weight = np.random.default_rng(0).uniform(0.5, 2, len(X))
    weight[[1, 4]] = 0
    model = fitted(data, weight, curvature=curvature, class_weight=class_weight)
    together, _ = check(model, X[:8], Y[:8], None, weight[:8])
    assert [output.erasures_[0].n_erased for output in together.estimators_] == [6] * N_OUTPUTS
    check(model, X[1:3], Y[1:3], 0.3, weight[1:3])


@pytest.mark.parametrize(
    "convert", [np.float32, sparse.csr_array, sparse.coo_matrix, np.asfortranarray]
)
def test_kinds_of_rows(data, convert):
    X, Y = convert(data[0]), data[1]
    model = fitted((X, Y))
    rows = X.tocsr()[:6] if sparse.issparse(X) else X[:6]
    check(model, convert(rows), Y[:6])
    check(model, convert(rows), Y[:6], 1.5)


def test_frames_and_names_of_labels(data):
    pandas = pytest.importorskip("pandas", reason="pip install 'sklearn-ssse[test]'")
    frame = pandas.DataFrame(data[0]).rename(columns="x{}".format)
    Y = np.where(data[1] == 1, "yes", "no")
    model = fitted((frame, Y), curvature="fisher")
    check(model, frame[:5], Y[:5])
    check(model, frame[:5], pandas.DataFrame(Y[:5]))
    with pytest.raises(ValueError, match="feature names"):
        unlearn(model, frame[:5][frame.columns[::-1]], Y[:5])


def test_nothing_to_erase(data):
    X, Y = data
    model = fitted(data, np.ones(len(X)))
    before = snapshot(model)
    with may_warn(NO_ROWS):
        unlearn(model, X[:0], Y[:0])
        unlearn(model, X[:2], Y[:2], sample_weight=[0, 0])
    assert snapshot(model) == before


def test_one_by_one_if_not_alike(data):
    X, Y = data
    three = (X[:, 0] > 0.5).astype(int) + (X[:, 0] > -0.5)
    base = ErasableLogisticRegression()
    cases = {
        "pipelines": MultiOutputClassifier(make_pipeline(StandardScaler(), base)).fit(X, Y),
        "nets": MultiOutputClassifier(
            ErasableMLPClassifier((3,), max_iter=20, unlearn_epsilon=1.0)
        ).fit(X, Y),
        "classes": MultiOutputClassifier(base).fit(X, np.column_stack([Y[:, 0], three])),
        "structure": fitted(data, structure="diagonal"),
        "an output's own structure": fitted(data),
        "an output's own leave-out": fitted(data),
        "steps of second order": fitted(data, curvature="fisher", order=2),
        "an output's own eps": fitted(data),
        "mini-batches": fitted(data, fisher_batch_size=4),
        "a class of the user's own": fitted(data),
    }
    cases["an output's own structure"].estimators_[1] = ErasableLogisticRegression(
        structure="block", block_size=4
    ).fit(X, Y[:, 1])
    cases["an output's own leave-out"].estimators_[1].leave_out = True
    cases["an output's own eps"].estimators_[1].unlearn_epsilon = 0.5
    cases["a class of the user's own"].estimators_[1].__class__ = type(
        "Own", (ErasableLogisticRegression,), {}
    )
    with may_warn(MINI_BATCHES, TOO_LONG):
        for name, model in cases.items():
            labels = np.column_stack([Y[:, 0], three]) if name == "classes" else Y
            assert not is_together(model, X[:4], labels[:4]), name
            twin = bare_copies(model)
            unlearn(model, X[:4], labels[:4])
            one_by_one(twin, X[:4], labels[:4])
            for one, other in zip(model.predict_proba(X), twin.predict_proba(X), strict=True):
                assert np.array_equal(one, other), name


def test_more_rows_than_parameters(data):
    X, Y = data
    model = fitted(data)
    assert is_together(model, X[:13], Y[:13])
    assert not is_together(model, X[:14], Y[:14])
    together, twin = bare_copies(model), bare_copies(model)
    unlearn(together, X[:40], Y[:40])
    assert_equal(together, one_by_one(twin, X[:40], Y[:40]))


def error_of(function, *args):
    with pytest.raises((ValueError, TypeError)) as caught:
        function(*args)
    return type(caught.value), re.sub(
        r"^In output \d: ", "", str(caught.value)
    )  # not from checks of all outputs at once


def test_errors_equal_the_errors_of_the_loop_and_change_nothing(data):
    X, Y = data
    rare = Y.copy()
    rare[:, 3] = np.arange(len(Y)) < 3
    model = fitted((X, rare), unlearn_epsilon=1.0)
    stale, unfitted = fitted(data), fitted(data)
    stale.estimators_[2]._erasure_state = replace(
        stale.estimators_[2]._erasure_state, stale="of an older model"
    )
    del unfitted.estimators_[4].curvature_
    flat = fitted(data, damping=1e-13, fit_intercept=False)
    unseen, missing = rare[:4].copy(), X[:4].copy()
    unseen[2, 1] = 7
    missing[0, 0] = np.nan
    cases = [
        (model, X[[0, 1, 2, 0]], rare[[0, 1, 2, 0]]),  # more rows of a class than there are
        (model, X[:4], unseen),
        (model, missing, rare[:4]),
        (model, X[:4, :5], rare[:4]),
        (model, X[:4], rare[:5]),
        (model, X[:4], rare[:4], "auto"),
        (model, X[:4], rare[:4], -1.0),
        (model, X[:4], rare[:4], 1e308),
        (model, X[:4], rare[:4], None, [1, 1, 1]),
        (model, X[:4], rare[:4], None, [1, 1, -1, 1]),
        (model, X[np.arange(300) % 200], rare[np.arange(300) % 200]),
        (stale, X[:4], Y[:4]),
        (unfitted, X[:4], Y[:4]),
        (flat, np.tile(X[:1], (9, 1)) * 1e4, np.tile(Y[:1], (9, 1))),
    ]
    for case in cases:
        model, rows, labels, *more = case
        before = snapshot(model)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            expected = error_of(one_by_one, model, rows, labels, *more)
            weight = more[1] if len(more) > 1 else None
            found = error_of(
                lambda model=model, rows=rows, labels=labels, more=more, weight=weight: unlearn(
                    model, rows, labels, more[0] if more else None, sample_weight=weight
                )
            )
        assert found == expected
        assert snapshot(model) == before
    assert error_of(unlearn, model, X[:4], Y[:4, :2])[0] is ErasureError


def warnings_of(function, *args):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*args)
    return [(w.category, str(w.message)) for w in caught]


def test_warnings_equal_the_warnings_of_the_loop(data):
    X, Y = data
    X = X.copy()
    X[:3, 0] += 6  # these rows dominate the curvature of some outputs
    model = fitted((X, Y), np.ones(len(X)), curvature="fisher")
    assert is_together(model, X[:3], Y[:3])
    expected = warnings_of(one_by_one, bare_copies(model), X[:3], Y[:3])
    assert {category for category, _ in expected} == {ErasureWarning}
    assert len(expected) > N_OUTPUTS  # of missing weights, and of damped steps
    assert warnings_of(unlearn, bare_copies(model), X[:3], Y[:3]) == expected
    assert {record.damped for record in preview_unlearn(model, X[:3], Y[:3])} == {True, False}
    with may_warn(LONG_STEP), pytest.warns(ErasureWarning, match="damped"):
        check(model, X[:3], Y[:3], None, np.ones(3))


def test_outputs_share_no_memory(data):
    """No array of an output is a view into memory that holds another output's old state."""
    X, Y = data
    model = unlearn(fitted(data), X[:4], Y[:4])
    for output in model.estimators_:
        state = output._erasure_state
        arrays = [
            output.coef_,
            output.intercept_,
            output.curvature_.matrix,
            output.curvature_.diagonal,
        ]
        for array in [*arrays, state.class_counts, state.class_mass]:
            assert array.base is None or array.base.size == array.size


def bits_of_digits():
    X, y = load_digits(return_X_y=True)
    return scale(X), y[:, np.newaxis] >> np.arange(4) & 1


def test_close_to_retraining_on_digits():
    X, Y = bits_of_digits()
    S = np.random.default_rng(0).choice(len(X), 40, replace=False)
    keep = np.delete(np.arange(len(X)), S)
    base = MultiOutputClassifier(
        ErasableLogisticRegression(curvature="fisher", max_iter=1000, tol=1e-6)
    )
    original = base.fit(X, Y)
    retrained = MultiOutputClassifier(base.estimator).fit(X[keep], Y[keep])
    erased = bare_copies(original)
    assert is_together(original, X[S], Y[S])
    unlearn(erased, X[S], Y[S])
    assert parameter_distance(original, erased, retrained) < 0.2
    assert gamma_score(original, erased, retrained, X[S], Y[S]) > 0.7

    def distance(a, b):  # the sum over the attributes, as it is written
        areas = [
            [
                roc_auc_score(y, p[:, 1])
                for y, p in zip(Y[S].T, model.predict_proba(X[S]), strict=True)
            ]
            for model in (a, b)
        ]
        return np.abs(np.subtract(*areas)).sum()

    expected = distance(erased, original) / (
        distance(erased, original) + distance(erased, retrained)
    )
    assert gamma_score(original, erased, retrained, X[S], Y[S]) == pytest.approx(expected, rel=1e-9)


def test_records_and_inverse_are_of_the_rows_that_remain():
    """The stored inverse equals that of the remaining rows at the parameters of the fit."""
    X, Y = bits_of_digits()
    model = fitted((X, Y), damping=0.01, max_iter=200)
    erased = unlearn(bare_copies(model), X[:30], Y[:30])
    for old, new, y in zip(model.estimators_, erased.estimators_, Y.T, strict=True):
        rest = bare_copies(old)
        rest.damping = float(0.01 * len(X) / (len(X) - 30))  # the ridge of the sum does not change
        rest.fit_curvature(X[30:], y[30:])
        assert np.allclose(
            new.curvature_.to_dense(), rest.curvature_.to_dense(), rtol=1e-8, atol=1e-12
        )
        assert new.erasures_[0].n_remaining == len(X) - 30 == rest.n_samples_remaining_


def test_a_refusal_of_one_output_is_raised():
    X, _ = make_classification(60, 4, random_state=0)
    Y = np.column_stack([X[:, 0] > 0, np.arange(60) == 7]).astype(int)
    model = fitted((X, Y))
    twice = [5, 7, 7]
    with pytest.raises(ErasureError, match="not take more rows of a class"):
        unlearn(model, X[twice], Y[twice])
    assert not model.estimators_[0].erasures_
