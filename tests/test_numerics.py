"""Overflow, weak penalties and changed parameters: a clear error before anything changes."""

import copy
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.multioutput import MultiOutputClassifier

from sklearn_ssse import (
    ErasableLogisticRegression,
    ErasableMLPClassifier,
    ErasureError,
    ErasureWarning,
    parameter_distance,
    unlearn,
)
from sklearn_ssse._gradients import Layer, Scores
from sklearn_ssse._inverse import INVERSES
from sklearn_ssse._inverse.base import downdate_factor

STRUCTURES = [
    {"structure": "full"},
    {"structure": "full", "inversion": "rank1"},
    {"structure": "block"},
    {"structure": "block", "block_size": 2},
    {"structure": "low_rank"},
    {"structure": "low_rank", "rank": 1},
    {"structure": "diagonal"},
]
CURVATURES = ["empirical_fisher", "fisher"]
NETS = [
    {"solver": "lbfgs", "activation": "tanh"},
    {"solver": "adam", "activation": "relu"},
]


def state_of(model):
    """Everything that a verb may change, as comparable values."""
    arrays = [model.curvature_.to_dense(), *np.ravel(model.n_samples_remaining_)]
    coefs = model.coefs_ if hasattr(model, "coefs_") else [model.coef_, model.intercept_]
    return [np.array(a) for a in (*arrays, *coefs)], len(model.erasures_)


def assert_same(before, after):
    assert before[1] == after[1]
    for old, new in zip(before[0], after[0], strict=True):
        np.testing.assert_array_equal(old, new)


def assert_positive_definite(model):
    P = model.curvature_.to_dense()
    assert np.isfinite(P).all()
    scale = P.diagonal() ** -0.5
    assert np.linalg.eigvalsh(P * scale * scale[:, np.newaxis])[0] > -1e-8


def quiet():
    """Only RuntimeWarnings of this package are errors."""
    catcher = warnings.catch_warnings()
    catcher.__enter__()
    warnings.simplefilter("ignore", ConvergenceWarning)
    warnings.simplefilter("ignore", ErasureWarning)
    return catcher


@pytest.fixture(autouse=True)
def _no_other_warnings():
    catcher = quiet()
    yield
    catcher.__exit__(None, None, None)


def small_data(n_classes=2):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 4))
    noisy = X[:, 0] + 0.5 * rng.normal(size=40)
    return X, np.digitize(noisy, [0.0] if n_classes == 2 else [-0.5, 0.5])


def with_column(X, values):
    X = X.copy()
    X[:, 1] = values
    return X


def unusual_data():
    X, y = small_data()
    yield "zero", with_column(X, 0.0), y
    yield "constant", with_column(X, 3.0), y
    yield "duplicate", with_column(X, X[:, 0]), y
    yield "tiny", with_column(X, 1e-300 * X[:, 1]), y
    yield "large", with_column(X, 1e30 * X[:, 1]), y
    yield "float32", with_column(X, 1e25 * X[:, 1]).astype(np.float32), y
    yield "sparse", sparse.csr_matrix(np.where(np.abs(X) > 0.7, X, 0.0)), y
    yield "one row", X, (np.arange(40) == np.argmax(X[:, 0])).astype(int)
    yield "three", *small_data(3)


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("options", STRUCTURES)
@pytest.mark.parametrize("C", [np.inf, 1e-8, 0.1, 1e12])
def test_no_runtime_warning(C, options, curvature):
    """Every verb works or raises ErasureError: RuntimeWarnings are errors in this suite."""
    for _, X, y in unusual_data():
        model = ErasableLogisticRegression(C=C, curvature=curvature, max_iter=30, **options)
        try:
            model.fit(X, y)
            assert_positive_definite(model)
            copy.deepcopy(model).rectify(X[:2], y[:2], X[2:4], y[:2])
            model.unlearn(X[:3], y[:3])
            model.learn(X[3:5], y[3:5])
            assert_positive_definite(model)
            model.fit_curvature(X, y)
        except ErasureError:
            pass


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("options", STRUCTURES)
@pytest.mark.parametrize("size", [1e30, 1e154, 1e300])
def test_huge_rows_of_logistic_regression(size, options, curvature):
    """A refusal, or a finite model with a positive definite curvature; never another error."""
    X, y = small_data()
    zero = with_column(X, 0.0)
    fitted = ErasableLogisticRegression(curvature=curvature, C=1e6, **options).fit(zero, y)
    before = state_of(fitted)
    one = X[:2].copy()
    one[0, 2] = size
    calls = []
    for rows in (one, np.full((2, 4), size), np.tile(one, (8, 1))):
        labels = np.tile(y[:2], len(rows) // 2)
        calls += [
            lambda m, r=rows, t=labels: m.unlearn(r, t),
            lambda m, r=rows, t=labels: m.preview_unlearn(r, t),
            lambda m, r=rows, t=labels: m.learn(r, t),
            lambda m, r=rows, t=labels: m.rectify(zero[: len(r)], y[: len(r)], r, t),
        ]
    for call in calls:
        model = copy.deepcopy(fitted)
        try:
            call(model)
        except ErasureError:
            assert_same(before, state_of(model))
        else:
            assert_positive_definite(model)
            assert np.isfinite(model.predict_proba(X)).all()


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("options", [s for s in STRUCTURES if "inversion" not in s])
@pytest.mark.parametrize("net", NETS)
def test_huge_rows_of_networks(net, options, curvature):
    X, y = small_data()
    fitted = ErasableMLPClassifier(
        (3,), curvature=curvature, max_iter=20, random_state=0, **net, **options
    ).fit(X, y)
    before = state_of(fitted)
    for size in (1e30, 1e300):
        for rows in (np.full((2, 4), size), np.tile([[0.0, size, 1.0, 0.0]], (30, 1))):
            for verb in ("unlearn", "learn"):
                model = copy.deepcopy(fitted)
                try:
                    getattr(model, verb)(rows, np.resize(y[:2], len(rows)))
                except ErasureError:
                    assert_same(before, state_of(model))
                else:
                    assert np.isfinite(model.predict_proba(X)).all()


@pytest.mark.parametrize("size", [1e155, 1e300, 1.7e308])
def test_the_message_names_overflow(size):
    X, y = small_data()
    model = ErasableLogisticRegression(curvature="fisher").fit(X, y)
    rows = X[:2].copy()
    rows[0, 1] = size
    for verb in (model.unlearn, model.preview_unlearn):
        with pytest.raises(ErasureError, match=r"larger norm than any training row \(it overflows"):
            verb(rows, y[:2])
    with pytest.raises(ErasureError, match=r"must be finite.*got overflow"):
        model.learn(rows, y[:2])


def test_huge_rows_of_many_outputs():
    """The batched path raises the error of the single path, and changes no model."""
    X, y = small_data()
    Y = np.column_stack([y, 1 - y, X[:, 1] > 0]).astype(int)
    many = MultiOutputClassifier(ErasableLogisticRegression(curvature="fisher", order=1)).fit(X, Y)
    before = [state_of(model) for model in many.estimators_]
    for size in (1e155, 1e300):
        rows = X[:2].copy()
        rows[0, 1] = size
        with pytest.raises(ErasureError, match="it overflows"):
            unlearn(many, rows, Y[:2])
    for old, model in zip(before, many.estimators_, strict=True):
        assert_same(old, state_of(model))


def test_a_fit_that_overflows_is_refused():
    X, y = small_data()
    model = ErasableLogisticRegression(max_iter=2).fit(X, y)
    for structure in INVERSES:
        model.set_params(structure=structure)
        with pytest.raises(ErasureError, match="must be finite"):
            model.fit_curvature(with_column(X, 1e200), y)
    assert_positive_definite(model)


@pytest.mark.parametrize("verb", ["unlearn", "learn"])
def test_float32_predictions_remain_finite(verb):
    """In float32, outputs of a network overflow for parameters that are finite."""
    X, y = small_data()
    X = X.astype(np.float32)
    for curvature in CURVATURES:
        fitted = ErasableMLPClassifier(
            (5,), solver="adam", curvature=curvature, max_iter=20, random_state=0
        ).fit(X, y)
        assert fitted.coefs_[0].dtype == np.float32
        for size in (1e10, 1e20, 1e30, 3e38):
            rows = X[:2].copy()
            rows[0, 1] = size
            model = copy.deepcopy(fitted)
            try:
                getattr(model, verb)(rows, 1 - y[:2], epsilon=1.0)
            except ErasureError:
                continue
            assert np.isfinite(model.predict_proba(np.vstack([X, rows]))).all()


CHANGES_OF_LINEAR = [
    {"C": 10.0},
    {"fit_intercept": False},
    {"solver": "liblinear"},
    {"l1_ratio": 0.5},
]
CHANGES_OF_NETWORK = [
    {"alpha": 1.0},
    {"activation": "tanh"},
    {"solver": "lbfgs"},
    {"batch_size": 7},
    {"hidden_layer_sizes": (4, 4)},
]


def fitted_model(changes, X, y):
    if changes in CHANGES_OF_LINEAR:
        return ErasableLogisticRegression().fit(X, y)
    return ErasableMLPClassifier((3,), max_iter=5, random_state=0).fit(X, y)


@pytest.mark.parametrize("changes", [*CHANGES_OF_LINEAR, *CHANGES_OF_NETWORK])
def test_changed_objective_is_refused(changes):
    """The error names the parameter, and the verbs work again after the parameter is set back."""
    X, y = small_data()
    model = fitted_model(changes, X, y)
    (name,) = changes
    old = getattr(model, name)
    before = state_of(model)
    model.set_params(**changes)
    for call in (
        lambda: model.unlearn(X[:2], y[:2]),
        lambda: model.preview_unlearn(X[:2], y[:2]),
        lambda: model.learn(X[:2], y[:2]),
        lambda: model.rectify(X[:2], y[:2], X[2:4], y[:2]),
    ):
        with pytest.raises(ErasureError, match=name):
            call()
    model.set_params(**{name: old})
    assert_same(before, state_of(model))
    assert model.unlearn(X[:2], y[:2]).n_samples_remaining_ == 38


@pytest.mark.parametrize(
    "changes",
    [
        {"solver": "newton-cholesky"},
        {"intercept_scaling": 3},
        {"tol": 1e-2},
        {"max_iter": 7},
        {"verbose": 0},
        {"unlearn_epsilon": 0.5},
        {"leave_out": False},
        {"order": 1},
        {"class_weight": "balanced"},
        {"curvature": "fisher"},
        {"structure": "diagonal"},
        {"damping": 3.0},
    ],
)
def test_other_parameters_may_change(changes):
    """They do not belong to the objective, or the value of the fit is used."""
    X, y = small_data()
    model = ErasableLogisticRegression(max_iter=100).fit(X, y)
    twin = copy.deepcopy(model).set_params(**changes).unlearn(X[:2], y[:2])
    assert twin.erasures_[-1].curvature == "empirical_fisher"
    assert twin.structure_ == "full"
    if not changes.keys() & {"unlearn_epsilon", "leave_out"}:
        np.testing.assert_array_equal(twin.coef_, model.unlearn(X[:2], y[:2]).coef_)


def test_equal_values_are_not_a_change():
    X, y = small_data()
    net = ErasableMLPClassifier((3,), max_iter=5, random_state=0).fit(X, y)
    net.set_params(
        hidden_layer_sizes=np.array([3]), batch_size=200, solver="sgd", alpha=np.array(1e-4)
    )
    assert net.unlearn(X[:2], y[:2]).n_samples_remaining_ == 38


def test_early_stopping_is_used_as_at_fit():
    """Rows may have been held out at fit: their curvature is scaled down, now as then."""
    X, y = small_data()
    net = ErasableMLPClassifier((3,), early_stopping=True, max_iter=5, random_state=0).fit(X, y)
    assert net._family().rows_may_differ(net._erasure_state)
    net.set_params(early_stopping=False)
    assert net._family().rows_may_differ(net._erasure_state)
    assert net.unlearn(X[:1], y[:1]).erasures_[-1].n_erased == 1


def test_refresh_and_fit_curvature_take_a_new_penalty():
    X, y = small_data()
    exact = {"solver": "newton-cholesky", "tol": 1e-10}
    original = ErasableLogisticRegression(**exact).fit(X, y)
    model = copy.deepcopy(original).set_params(C=0.1)
    retrained = ErasableLogisticRegression(C=0.1, **exact).fit(X, y)
    assert parameter_distance(original, model.refresh(X, y), retrained) < 1e-6
    assert model.unlearn(X[:2], y[:2]).n_samples_remaining_ == 38
    other = copy.deepcopy(original).set_params(C=0.9).fit_curvature(X, y)
    assert other.unlearn(X[:2], y[:2]).n_samples_remaining_ == 38


@pytest.mark.parametrize(
    ("changes", "verbs"),
    [
        ({"l1_ratio": 0.5}, ["refresh", "fit_curvature"]),
        ({"fit_intercept": False}, ["fit_curvature"]),
        ({"activation": "tanh"}, ["refresh", "fit_curvature"]),
        ({"hidden_layer_sizes": (4, 4)}, ["refresh", "fit_curvature"]),
    ],
)
def test_changes_that_need_a_fit(changes, verbs):
    X, y = small_data()
    model = fitted_model(changes, X, y)
    before = state_of(model)
    model.set_params(**changes)
    for verb in verbs:
        with pytest.raises(ErasureError, match=next(iter(changes))):
            getattr(model, verb)(X, y)
    assert_same(before, state_of(model))


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"l1_ratio": 0.5}, "Set it back."),
        ({"activation": "tanh"}, "Set it back, or call `fit`."),
        ({"C": 10.0}, "Set it back, or call `fit`, or call `refresh` with the retained rows."),
    ],
)
def test_advice_names_the_calls_that_accept_the_change(changes, advice):
    X, y = small_data()
    model = fitted_model(changes, X, y).set_params(**changes)
    with pytest.raises(ErasureError) as caught:
        model.unlearn(X[:2], y[:2])
    assert str(caught.value).endswith(advice)


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("options", STRUCTURES)
def test_largest_leverage_is_below_one(options, curvature):
    """It is the largest over the blocks; the sum of them may exceed 1."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(30, 4))
    X[0] *= 100.0
    for n_classes in (2, 3):
        y = rng.integers(0, n_classes, 30)
        model = ErasableLogisticRegression(curvature=curvature, C=100, **options).fit(X, y)
        for rows in ([0], [0, 1, 2], range(20)):
            rows = list(rows)
            try:
                record = model.preview_unlearn(X[rows], y[rows])
            except ErasureError:
                continue
            assert 0 <= record.max_leverage < 1
            assert record.max_leverage <= 1 - record.margin + 1e-9


def dense_leverages(inverse, scores, blocks):
    """Largest eigenvalue of each sample's rows within each block, by loops."""
    P = inverse.to_dense()
    R = scores.to_dense().reshape(scores.n_samples, scores.rows_per_sample, -1)
    return max(
        np.linalg.eigvalsh(rows[:, block] @ P[block, block] @ rows[:, block].T)[-1]
        for rows in R
        for block in blocks
    )


@pytest.mark.parametrize("n_samples", [2, 25])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_leverage_within_a_block_against_loops(n_samples, is_sparse):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(40, 3))
    deltas = rng.normal(size=(40, 2, 3))
    X = sparse.csr_array(np.where(np.abs(X) > 0.5, X, 0.0)) if is_sparse else X
    scores = Scores([Layer(X, deltas, True)])
    some = Scores([scores.layers[0].take(slice(0, n_samples))])
    widths = {"diagonal": 1, "block": 4}
    for structure, width in widths.items():
        inverse = INVERSES[structure].build(scores, np.full(12, 0.5))
        blocks = [slice(i, i + width) for i in range(0, 12, width)]
        found = inverse.pending_downdate(some).max_leverage
        assert found == pytest.approx(dense_leverages(inverse, some, blocks))
    inverse = INVERSES["block"].build(scores, np.full(12, 0.5), block_size=5)
    blocks = [slice(0, 5), slice(5, 10), slice(10, 12)]
    found = inverse.pending_downdate(some).max_leverage
    assert found == pytest.approx(dense_leverages(inverse, some, blocks))


def wide_data(n_classes):
    """Columns of a few factors with noise, a zero column and two equal columns."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 5)) @ rng.normal(size=(5, 60)) + 0.3 * rng.normal(size=(300, 60))
    X[:, 3] = 0.0
    X[:, 4] = X[:, 5]
    z = X[:, 0] + 3 * rng.normal(size=300)
    return X, np.digitize(z, [0.0] if n_classes == 2 else [-1.0, 1.0])


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("C", [np.inf, 1e12, 1e6, 1.0])
def test_low_rank_with_a_weak_penalty(C, n_classes, curvature):
    """Steps are as long as with the full inverse: the ridge holds what the sketch omits."""
    X, y = wide_data(n_classes)
    options = {"C": C, "curvature": curvature, "max_iter": 300}
    full = ErasableLogisticRegression(structure="full", **options).fit(X[10:], y[10:])
    low = ErasableLogisticRegression(structure="low_rank", rank=2, **options).fit(X[10:], y[10:])
    assert_positive_definite(low)
    calls = [
        lambda model: model.learn(X[:10], y[:10]),
        lambda model: model.learn(X[10:15], y[10:15]),
        lambda model: model.unlearn(X[10:20], y[10:20]),
    ]
    for call in calls:
        one = call(copy.deepcopy(low))
        assert_positive_definite(one)
        length = call(copy.deepcopy(full)).erasures_[-1].relative_shift
        assert one.erasures_[-1].relative_shift < 10 * length


@pytest.mark.parametrize("options", [s for s in STRUCTURES if s["structure"] in ("full", "block")])
def test_rows_in_columns_that_were_constant(options):
    """Without a penalty such rows have all the curvature of the column: they are refused."""
    X, y = small_data()
    fitted = ErasableLogisticRegression(C=np.inf, **options).fit(with_column(X, 0.0), y)
    before = state_of(fitted)
    model = copy.deepcopy(fitted)
    with pytest.raises(ErasureError, match="curvature"):
        model.learn(X[:5], y[:5])
    assert_same(before, state_of(model))


@pytest.mark.parametrize("structure", ["full", "block"])
@pytest.mark.parametrize("factor", [1e3, 1e4])
def test_large_updates_are_accurate(structure, factor):
    """Beyond a sum of leverages of 1e6 the update is a product, which is positive definite."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(60, 5))
    delta = rng.normal(size=(60, 1, 1))
    scores = Scores([Layer(X, delta, True)])
    added = Scores([Layer(factor * X[:2], delta[:2], True)])
    both = Scores([Layer(np.vstack([X, factor * X[:2]]), np.vstack([delta, delta[:2]]), True)])
    ridge = np.full(6, 1e-3)
    updated = INVERSES[structure].build(scores, ridge).update(added)
    built = INVERSES[structure].build(both, ridge)
    np.testing.assert_allclose(updated.to_dense(), built.to_dense(), rtol=1e-5, atol=1e-12)
    with pytest.raises(ErasureError, match="far more curvature"):
        INVERSES[structure].build(scores, ridge).update(added.scaled(np.full(2, 1e9)))


# Weights, samples and eigenvalues at their limits


def test_an_infinite_loss_of_a_row_without_weight_is_not_counted():
    X, y = small_data()
    clf = ErasableLogisticRegression(C=1e6, curvature="fisher").fit(X, y)
    far = np.vstack([X, 1e4 * np.sign(clf.coef_)])
    wrong = np.append(y, 1 - clf.predict(far[-1:]))
    weight = np.append(np.ones(len(y)), 0.0)
    objective = clf._family().batch(far, wrong, weight).objective()
    assert objective == pytest.approx(clf._family().batch(X, y, weight[:-1]).objective())


def test_a_damped_factor_is_finite_for_eigenvalues_that_are_rounded_to_one():
    eigenvalues = np.array([0.0, 0.5, 0.9, 1.0, 1.0 + 1e-9])
    factor = downdate_factor(eigenvalues, damped=True)
    assert np.isfinite(factor).all()
    assert (np.diff(factor[:4]) > 0).all()


@pytest.mark.parametrize("n_rows", [4, 7, 9])
def test_a_net_of_few_rows_is_calibrated(n_rows):
    """Its random forget sets are more than its rows."""
    X, y = small_data()
    rows = np.r_[np.flatnonzero(y == 0)[:2], np.flatnonzero(y == 1)[: n_rows - 2]]
    net = ErasableMLPClassifier((3,), solver="lbfgs", random_state=0).fit(X[rows], y[rows])
    assert np.isfinite(net.unlearn_epsilon_)


@pytest.mark.parametrize("curvature", CURVATURES)
def test_a_damping_smaller_than_the_penalty_is_warned_of(curvature):
    """The step then is too long by a factor that is known; with the smaller eps it is not."""
    X, y = small_data()
    params = {"C": 0.01, "curvature": curvature, "solver": "newton-cholesky"}
    clf = ErasableLogisticRegression(**params, damping=1e-4, unlearn_epsilon=1.0).fit(X, y)
    outputs = np.column_stack([y, y])
    for erase in (
        lambda eps: copy.deepcopy(clf).unlearn(X[:3], y[:3], eps),
        lambda eps: unlearn(MultiOutputClassifier(clf).fit(X, outputs), X[:3], outputs[:3], eps),
    ):
        with pytest.warns(ErasureWarning, match="as the L2 penalty allows") as caught:
            erase(1.0)
        shorter = float(str(caught[0].message).split()[-1].rstrip("."))
        with warnings.catch_warnings(action="error", category=ErasureWarning):
            erase(shorter)
    with warnings.catch_warnings(action="error", category=ErasureWarning):
        ErasableLogisticRegression(**params).fit(X, y).unlearn(X[:3], y[:3])
