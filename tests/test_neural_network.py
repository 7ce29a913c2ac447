"""ErasableMLPClassifier against finite differences, dense references, and retraining."""

import copy
import pickle
import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit
from sklearn.base import clone
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    make_classification,
    make_multilabel_classification,
)
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import (
    GridSearchCV,
    LeaveOneOut,
    ShuffleSplit,
    cross_val_predict,
    train_test_split,
)
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.neural_network import _multilayer_perceptron as parents_module
from sklearn.preprocessing import scale

from sklearn_ssse import (
    ErasableMLPClassifier,
    ErasureError,
    ErasureWarning,
    GammaScorer,
    gamma_score,
    unlearn,
)
from sklearn_ssse._calibration import neighbors
from sklearn_ssse._calibration.neighbors import leave_one_out_accuracy
from sklearn_ssse._calibration.network import (
    N_POINTS,
    RANDOM_ROWS,
    SEARCHED,
    SMALLEST_SHIFT,
    HeldOut,
    _first_below,
    _prior_shift,
)
from sklearn_ssse._erasure import step_size
from sklearn_ssse._erasure.downdate_cap import cap_downdate
from sklearn_ssse._families.network import NetworkFamily, pack_network
from sklearn_ssse._gradients.scores import Layer, Scores
from sklearn_ssse._inverse import INVERSES
from sklearn_ssse._kernels.cpu import ACTIVATIONS
from tests.check_erasable import arrays, check_erasable
from tests.reference import relative, without
from tests.warned import (
    DAMPED,
    LARGE_EPSILON,
    LONG_STEP,
    MINI_BATCHES,
    REFRESH,
    STALE,
    TOO_LONG,
    UNTRAINED,
    may_warn,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

KINDS = ["binary", "classes", "labels"]


def problem(kind, n=60):
    if kind == "labels":
        return make_multilabel_classification(n, 5, n_classes=3, random_state=0)
    n_classes = 2 if kind == "binary" else 3
    return make_classification(
        n, 5, n_informative=4, n_redundant=0, n_classes=n_classes, flip_y=0.2, random_state=0
    )


def small(kind="classes", **params):
    return ErasableMLPClassifier(
        **{
            "hidden_layer_sizes": (4,),
            "solver": "lbfgs",
            "max_iter": 15,
            "random_state": 0,
            **params,
        }
    )


def unpack(clf, theta):
    out = copy.copy(clf)
    family = NetworkFamily(clf)
    for name in family.parameters:
        setattr(out, name, family.attributes(theta)[name])
    return out


def loss(clf, theta, x, y):
    """Scikit-learn's own loss of one row, without the penalty."""
    moved = unpack(clf, theta)
    moved.alpha = 0.0
    layers = len(clf.coefs_)
    grads = [np.empty_like(W) for W in moved.coefs_], [np.empty_like(b) for b in moved.intercepts_]
    return moved._backprop(
        x[None], y[None], None, [x[None]] + [None] * layers, [None] * layers, *grads
    )[0]


def indicator(clf, y):
    return clf._label_binarizer.transform(y).astype(bool).reshape(len(y), -1)


def curvature_rows(clf, X, y, curvature):
    """Curvature rows of each sample, (n, c, d), by finite differences of the decision values."""
    family, theta = NetworkFamily(clf), pack_network(clf)
    Y = indicator(clf, y)
    out = []
    for x, target in zip(X, Y, strict=True):
        J = np.empty((family.n_outputs, theta.size))
        for j in range(theta.size):
            step = np.zeros_like(theta)
            step[j] = 1e-6
            J[:, j] = (
                family.forward(x[None], theta + step)[1] - family.forward(x[None], theta - step)[1]
            )[0] / 2e-6
        z = family.forward(x[None], theta)[1][0]
        p = np.exp(z) / np.exp(z).sum() if family.link == "softmax" else 1 / (1 + np.exp(-z))
        if curvature == "empirical_fisher":
            seeds = (p - target)[None]
        elif family.link == "softmax":
            seeds = np.sqrt(p)[:, None] * (np.eye(len(p)) - p)
        else:
            seeds = np.diag(np.sqrt(p * (1 - p)))
        out.append(seeds @ J)
    return np.array(out)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [(4,), (4, 3, 3)])
def test_gradients_against_finite_differences_of_the_loss(hidden, activation, kind):
    X, y = problem(kind)
    clf = small(hidden_layer_sizes=hidden, activation=activation, max_iter=5).fit(X, y)
    family, theta, Y = NetworkFamily(clf), pack_network(clf), indicator(clf, y)
    weight = np.linspace(0.5, 2, 6)
    codes = y[:6]
    result = family.batch(X[:6], codes, weight).gradients(np.eye(6))
    for i in range(6):
        expected = np.empty(theta.size)
        for j in range(theta.size):
            step = np.zeros(theta.size)
            step[j] = 1e-6
            expected[j] = (
                loss(clf, theta + step, X[i], Y[i]) - loss(clf, theta - step, X[i], Y[i])
            ) / 2e-6
        assert np.abs(result[:, i] - weight[i] * expected).max() < 1e-6 * max(
            1, np.abs(expected).max()
        )


@pytest.mark.parametrize("curvature", ["empirical_fisher", "fisher"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hidden", [(4,), (3, 3, 3)])
def test_inverse_against_a_dense_reference(hidden, kind, curvature):
    X, y = problem(kind)
    weight = np.linspace(0.5, 2, len(X))
    clf = small(
        hidden_layer_sizes=hidden, activation="tanh", curvature=curvature, damping=0.01
    ).fit(X, y, weight)
    R = curvature_rows(clf, X, y, curvature)
    A = np.einsum("ncd,nce,n->de", R, R, weight) + 0.01 * weight.sum() * np.eye(R.shape[2])
    assert relative(clf.fisher_inverse_, weight.sum() * np.linalg.inv(A)) < 1e-6
    unit = np.concatenate(
        [np.repeat(np.arange(n) + 100 * i, w) for i, (n, w) in enumerate(NetworkFamily(clf).shapes)]
    )
    blocks = clone(clf).set_params(structure="block").fit(X, y, weight)
    expected = np.linalg.inv(np.where(unit[:, None] == unit, A, 0))
    assert relative(blocks.fisher_inverse_, weight.sum() * expected) < 1e-6


@pytest.mark.parametrize("solver", ["lbfgs", "sgd", "adam"])
@pytest.mark.parametrize("curvature", ["empirical_fisher", "fisher"])
def test_step_by_hand(solver, curvature):
    X, y = problem("classes")
    weight = np.linspace(0.5, 2, len(X))
    clf = small(
        solver=solver, curvature=curvature, alpha=0.1, damping=0.02, batch_size=7, structure="full"
    ).fit(X, y, weight)
    S = np.arange(5)
    n, k = weight.sum(), weight[S].sum()
    family, theta = NetworkFamily(clf), pack_network(clf)
    g = family.batch(X[S], y[S], weight[S]).gradients(np.ones((5, 1)))[:, 0]
    if solver != "lbfgs":  # every batch, also the short last one, divides the penalty by its size

        def strength(m):
            sizes = [7] * (m // 7) + [m % 7] * (m % 7 > 0)
            return m * 0.1 * np.mean(1 / np.array(sizes))

        on_weights = np.concatenate(
            [np.hstack([np.ones(W.T.shape), np.zeros((W.shape[1], 1))]).ravel() for W in clf.coefs_]
        )
        g = g + (strength(60) - strength(55)) * theta * on_weights
    A = n * np.linalg.inv(clf.fisher_inverse_)
    R = curvature_rows(clf, X[S], y[S], curvature)
    leaving = np.einsum("ncd,nce,n->de", R, R, weight[S])
    step = (
        np.linalg.solve(A - leaving, g)
        if curvature == "fisher"
        else n / (n - k) * np.linalg.solve(A, g)
    )
    with may_warn(LARGE_EPSILON):
        clf.unlearn(X[S], y[S], 0.5, sample_weight=weight[S])
    assert relative(pack_network(clf) - theta, 0.5 * step) < 1e-5


@pytest.mark.parametrize("solver", ["lbfgs", "sgd", "adam"])
@pytest.mark.parametrize("stopping", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_parent_bit_for_bit(kind, stopping, solver):
    X, y = problem(kind)
    params = {
        "solver": solver,
        "early_stopping": stopping,
        "hidden_layer_sizes": (4,),
        "random_state": 3,
        "max_iter": 15,
    }
    ours, parent = ErasableMLPClassifier(**params).fit(X, y), MLPClassifier(**params).fit(X, y)
    assert np.array_equal(ours.predict_proba(X), parent.predict_proba(X))
    assert all(np.array_equal(a, b) for a, b in zip(ours.coefs_, parent.coefs_, strict=True))
    plain = ours.to_plain()
    assert type(plain) is MLPClassifier
    assert np.array_equal(plain.predict_proba(X), parent.predict_proba(X))
    with may_warn(UNTRAINED):  # after 15 iterations
        made = ErasableMLPClassifier.from_estimator(parent, X, y, curvature="fisher")
    assert np.array_equal(made.predict_proba(X), parent.predict_proba(X))
    with may_warn(DAMPED):  # two rows of 60
        assert made.unlearn(X[:2], y[:2]).n_samples_remaining_ == 58
    assert np.array_equal(parent.predict_proba(X), plain.predict_proba(X))


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_were_held_out_are_not_counted(kind, monkeypatch):
    X, y = problem(kind)
    made = []

    def split(*args, **kwargs):
        made.append(train_test_split(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(parents_module, "train_test_split", split)
    clf = small(solver="adam", early_stopping=True, structure="full").fit(X, y)
    X_train, y_train = made[0][0], made[0][2]
    labels = (
        y_train.astype(int)
        if kind == "labels"
        else clf._label_binarizer.inverse_transform(y_train.astype(int))
    )
    assert clf.n_samples_remaining_ == len(X_train) == 54
    again = copy.deepcopy(clf).fit_curvature(X_train, labels)
    assert relative(again.curvature_.to_dense(), clf.curvature_.to_dense()) < 1e-12
    assert "_trained_on" not in vars(clf)


@pytest.mark.parametrize("kind", ["binary", "classes"])
@pytest.mark.parametrize("params", [{}, {"solver": "adam"}, {"curvature": "fisher"}])
def test_our_own_check(kind, params, tmp_path):
    check_erasable(small(**params), tmp_path, n_classes=2 if kind == "binary" else 3)


def test_multi_label():
    X, y = problem("labels", 200)
    clf = small().fit(X, y)
    assert clf.unlearn(X[:10], y[:10]).n_samples_remaining_ == 190
    assert np.array_equal(clf._erasure_state.class_counts, y[10:].sum(axis=0))
    with may_warn(STALE):
        record = clf.preview_unlearn(sparse.csr_array(X[10:12]), y[10:12])
    assert record.n_remaining == 188
    for bad in (y[10:12, :2], y[10:12, 0], 2 * y[10:12]):
        with may_warn(STALE), pytest.raises(ErasureError, match="Labels must be 0 or 1"):
            clf.unlearn(X[10:12], bad)


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("stopping", [False, True])
def test_no_trace_of_training_is_kept(solver, stopping):
    X, y = problem("classes")
    clf = small(solver=solver, early_stopping=stopping, warm_start=True).fit(X, y)
    old = [id(W) for W in clf.coefs_]
    clf.unlearn(X[:3], y[:3])
    for name in ("_optimizer", "_random_state"):
        assert name not in vars(clf)
    assert np.isnan(clf.loss_)
    if solver != "lbfgs":
        assert clf.loss_curve_ == []
        assert clf.t_ == 0
        assert not clf.validation_scores_
        if stopping:
            assert all(
                np.array_equal(a, b) for a, b in zip(clf._best_coefs, clf.coefs_, strict=True)
            )
    assert not set(old) & {id(W) for W in clf.coefs_}
    assert not any(len(X) in a.shape for a in arrays(clf))
    twin = pickle.loads(pickle.dumps(clf))
    assert np.array_equal(twin.predict_proba(X), clf.predict_proba(X))
    twin.fit(X[3:], y[3:])  # warm start
    assert twin.erasures_ == []
    if solver != "lbfgs" and not stopping:
        clf.partial_fit(X[3:], y[3:])
        assert len(clf.loss_curve_) == 1


def test_partial_fit_makes_the_curvature_stale():
    X, y = problem("classes")
    clf = small(solver="adam").fit(X, y).partial_fit(X, y)
    with pytest.raises(ErasureError, match="fit_curvature"):
        clf.unlearn(X[:2], y[:2])
    assert clf.fit_curvature(X, y).unlearn(X[:2], y[:2]).n_samples_remaining_ == 58
    fresh = small(solver="adam").partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(NotFittedError, match="fit_curvature"):
        fresh.unlearn(X[:2], y[:2])
    assert fresh.fit_curvature(X, y).unlearn(X[:2], y[:2]).n_samples_remaining_ == 58


def test_automatic_damping():
    X, y = problem("classes")
    assert small().fit(X, y).damping_ == pytest.approx(1e-3)
    assert small(solver="adam", curvature="fisher").fit(X, y).damping_ == pytest.approx(3e-3)


@pytest.fixture(scope="module")
def digits_net():
    X, y = load_digits(return_X_y=True)
    return ErasableMLPClassifier((30,), random_state=0, max_iter=60).fit(X / 16, y), X / 16, y


def cost(calibration, length):
    """Share of other rows that a step of this length, relative to the parameters, costs."""
    return np.interp(
        length, calibration.length * np.geomspace(*SEARCHED, N_POINTS), calibration.costs
    )


def log_odds_and_share(clf, X, y):
    p = clf.predict_proba(X)[np.arange(len(y)), y]
    return np.log(p / (1 - p)), (clf.predict(X) == y).mean()


def test_automatic_eps_predicts_as_many_rows_as_a_net_trained_without_them(digits_net):
    clf, X, y = digits_net
    z, accuracy = log_odds_and_share(clf, X, y)
    calibration = clf._erasure_state.calibration
    T = calibration.temperature
    honest = min(accuracy, leave_one_out_accuracy(X, y))
    assert expit(np.abs(z) / T).mean() == pytest.approx(honest, abs=1e-3)

    S = np.flatnonzero(y == 3)[:100]
    n, n_c = len(y), (y == 3).sum()
    s = np.log((n_c - 100) / n_c)
    wanted = np.mean([expit(abs(z[i]) / T) * (abs(z[i]) > -max(T, SMALLEST_SHIFT) * s) for i in S])
    weight = RANDOM_ROWS * np.exp(s)
    record = clf.preview_unlearn(X[S], y[S])
    eps = record.epsilon
    own = np.exp(((100 + weight) * np.log(eps) - weight * np.log(clf.unlearn_epsilon_)) / 100)
    shares = {
        factor: log_odds_and_share(
            copy.deepcopy(clf).unlearn(X[S], y[S], factor * own), X[S], y[S]
        )[1]
        - cost(calibration, factor * own / eps * record.relative_shift)
        for factor in (0.9, 1.0)
    }
    assert shares[1.0] <= wanted < shares[0.9]
    assert n - 100 == clf.preview_unlearn(X[S], y[S]).n_remaining


@pytest.mark.parametrize("where", [0.001, 0.015, 0.7, 40.0])
def test_eps_is_the_smallest_with_the_wanted_share_of_rows_predicted(where):
    first = _first_below(lambda eps: float(eps < where), 0.5)
    assert first == SEARCHED[0] if where < SEARCHED[0] else where <= first < 1.05 * where
    assert _first_below(lambda eps: abs(np.log(eps / where)) + 1, 0.5) == pytest.approx(
        max(where, SEARCHED[0]), rel=0.3
    )


def test_eps_of_random_rows(digits_net):
    """Random sets lose about as much accuracy as nearest neighbours; one row has a similar eps."""
    clf, X, y = digits_net
    eps = clf.preview_unlearn(X[7:8], y[7:8]).epsilon
    assert clf.unlearn_epsilon_ / 1.6 < eps < clf.unlearn_epsilon_ * 1.6
    S = np.random.default_rng(3).choice(len(y), 32, replace=False)
    _, before = log_odds_and_share(clf, X[S], y[S])
    _, after = log_odds_and_share(
        copy.deepcopy(clf).unlearn(X[S], y[S], clf.unlearn_epsilon_), X[S], y[S]
    )
    assert before - 0.15 < after <= before


def test_erasing_the_rest_of_a_class(digits_net):
    clf, X, y = digits_net
    clf = copy.deepcopy(clf)
    members = np.flatnonzero(y == 3)
    S, rest = members[:100], members[100:]
    clf.unlearn(X[S], y[S])
    kept = without(S, len(y))
    clf.fit_curvature(X[kept], y[kept]).unlearn(X[rest], y[rest])  # the class vanishes
    assert (clf.predict(X[rest]) == 3).mean() < 0.05
    with pytest.raises(ErasureError, match="more rows of a class"):
        clf.unlearn(X[rest[:1]], y[rest[:1]])


@pytest.mark.parametrize("n_neighbors", [1, 3, 5])
def test_leave_one_out_accuracy(n_neighbors, monkeypatch):
    X, y = problem("binary", 90)
    monkeypatch.setattr(neighbors, "N_NEIGHBORS", n_neighbors)
    model = KNeighborsClassifier(n_neighbors)
    twin = (cross_val_predict(model, X, y, cv=LeaveOneOut()) == y).mean()
    penalty = np.square(X).sum() / len(X)
    linear = (cross_val_predict(RidgeClassifier(penalty), X, y, cv=LeaveOneOut()) == y).mean()
    assert neighbors._by_regression(X, y) == pytest.approx(linear)
    twin = max(twin, linear)
    assert leave_one_out_accuracy(X, y) == pytest.approx(twin)
    assert leave_one_out_accuracy(sparse.csr_array(X), y) == pytest.approx(twin)
    labels = np.column_stack([y, 1 - y])
    assert leave_one_out_accuracy(X, labels) == pytest.approx(twin)
    many, labels = np.repeat(X, 60, axis=0), np.repeat(y, 60)  # more copies than neighbours
    assert leave_one_out_accuracy(many, labels) == pytest.approx(twin)
    labels[0] = 1 - labels[0]  # identical rows of different people
    assert leave_one_out_accuracy(many, labels) > 0.99


@pytest.fixture(scope="module")
def trained_on_digits():
    """A net, and nets retrained from its seed without a class, half of it, or 60 other rows."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X / 16, y, random_state=0)
    net = MLPClassifier((30,), random_state=0, max_iter=100)
    members = np.flatnonzero(y == 3)
    retrained = []
    for S in (members, members[: len(members) // 2], np.arange(60)):
        keep = without(S, len(y))
        retrained.append((S, keep, clone(net).fit(X[keep], y[keep])))
    return net.fit(X, y), retrained, (X, y), (X_test, y_test)


@pytest.mark.parametrize("curvature", ["empirical_fisher", "fisher"])
def test_quality_on_digits(trained_on_digits, curvature):
    """A whole class, half of it and random rows, against retraining from the same seed."""
    net, retrained_nets, (X, y), (X_test, y_test) = trained_on_digits
    clf = ErasableMLPClassifier.from_estimator(net, X, y, curvature=curvature, structure="block")
    for (S, keep, retrained), allowed in zip(retrained_nets, (0.05, 0.08, 0.05), strict=True):
        with may_warn(DAMPED):  # a whole class
            erased = unlearn(copy.deepcopy(clf), X[S], y[S])
        gaps = [
            abs(erased.score(*d) - retrained.score(*d))
            for d in ((X[S], y[S]), (X[keep], y[keep]), (X_test, y_test))
        ]
        assert max(gaps) <= allowed
        assert gaps[0] <= abs(clf.score(X[S], y[S]) - retrained.score(X[S], y[S]))
    # The whole class: the probabilities are closer to the retrained net's than to the original's.
    S, _, retrained = retrained_nets[0]
    with may_warn(DAMPED):
        erased = unlearn(copy.deepcopy(clf), X[S], y[S])
    assert gamma_score(clf, erased, retrained, X[S], y[S], metric="probability") > 0.5


def test_structures_and_memory():
    X, y = problem("classes", 300)
    for params in (
        {"structure": "diagonal"},
        {"structure": "low_rank", "rank": 20},
        {"block_size": 6},
        {"fisher_batch_size": 5},
    ):
        clf = small(**params).fit(X, y)
        with may_warn(MINI_BATCHES):
            assert clf.unlearn(X[:3], y[:3]).n_samples_remaining_ == 297
    wide = ErasableMLPClassifier((100,), max_iter=1, random_state=0).fit(
        np.random.default_rng(0).random((300, 100)), y
    )
    assert wide.structure_ == "block"
    assert wide.curvature_.nbytes < 3e7


def test_traces_of_training_are_removed_after_set_params_too(monkeypatch):
    X, y = problem("classes")
    parts = []

    def split(*args, **kwargs):
        parts.extend(train_test_split(*args, **kwargs))
        return parts

    monkeypatch.setattr(parents_module, "train_test_split", split)
    clf = small(solver="adam", early_stopping=True).fit(X, y)
    X_train = parts[0]
    y_train = clf._label_binarizer.inverse_transform(parts[2])
    clf.set_params(early_stopping=False).unlearn(X_train[:3], y_train[:3])
    assert all(np.array_equal(a, b) for a, b in zip(clf._best_coefs, clf.coefs_, strict=True))
    clf = small(solver="adam").fit(X, y)
    assert clf.set_params(solver="sgd").unlearn(X[:3], y[:3]).loss_curve_ == []
    X, Y = problem("labels")
    many = unlearn(MultiOutputClassifier(small(solver="adam")).fit(X, Y), X[:3], Y[:3])
    assert not any("_optimizer" in vars(output) for output in many.estimators_)


def test_auto_at_the_erasure_needs_the_calibration_of_fit():
    X, y = problem("classes")
    clf = small(unlearn_epsilon=2.0).fit(X, y)
    assert clf.preview_unlearn(X[:3], y[:3]).epsilon == clf.unlearn_epsilon_ == 2.0
    with pytest.raises(ErasureError, match="calibration"):
        clf.unlearn(X[:3], y[:3], "auto")


@pytest.mark.parametrize(
    ("structure", "curvature"),
    [("full", "fisher"), ("block", "empirical_fisher"), ("low_rank", "fisher")],
)
def test_many_small_erasures_one_after_the_other(structure, curvature):
    """Steps twice as long as the automatic ones.

    The curvature remains positive definite, though curvature rows change with the parameters.
    """
    X, y = make_classification(400, 10, n_informative=6, n_classes=3, flip_y=0.3, random_state=0)
    clf = small(structure=structure, curvature=curvature, max_iter=300).fit(X, y)
    assert clf.preview_unlearn(X[:10], y[:10]).shrunken is False
    for i in range(10):
        rows = slice(10 * i, 10 * i + 10)
        with may_warn(STALE, DAMPED, REFRESH, LARGE_EPSILON):
            clf.unlearn(X[rows], y[rows], "2 * auto")
        assert np.linalg.eigvalsh(clf.curvature_.to_dense())[0] > 0
    assert any(record.shrunken for record in clf.erasures_)
    clf.fit_curvature(X[100:], y[100:])
    assert clf.preview_unlearn(X[100:110], y[100:110]).shrunken is False


@pytest.fixture
def no_step_is_ruinous(monkeypatch):
    """No step is refused because it changes the log-odds of the forget rows too much."""
    monkeypatch.setattr(step_size, "RUINOUS_LOG_ODDS", np.inf)


@pytest.mark.usefixtures("no_step_is_ruinous")
def test_a_step_out_of_proportion_is_shortened():
    """Erasures one after the other, beside a twin whose steps are never shortened."""
    X, y = make_classification(400, 10, n_informative=6, n_classes=3, flip_y=0.3, random_state=0)
    clf = small(hidden_layer_sizes=(6,), structure="full", curvature="fisher", max_iter=300)
    clf.fit(X, y)
    twin = copy.deepcopy(clf)
    state = twin._erasure_state
    unlimited = replace(state.calibration, length=np.inf)
    twin._erasure_state = replace(state, calibration=unlimited)

    def erase_the_first_hundred(net):
        for done in range(0, 100, 10):
            with may_warn(LONG_STEP):
                net.unlearn(X[done : done + 10], y[done : done + 10])
        return max(record.relative_shift for record in net.erasures_[1:])

    warned = pytest.warns(ErasureWarning, match="Call `fit_curvature`")
    with may_warn(STALE, DAMPED, REFRESH), warned:
        longest = erase_the_first_hundred(clf)
    with may_warn(STALE, DAMPED, TOO_LONG, REFRESH):
        assert longest < erase_the_first_hundred(twin)
    rest = X[100:], y[100:]
    largest_class = np.bincount(rest[1]).max() / len(rest[1])
    assert clf.score(*rest) >= max(twin.score(*rest), largest_class)
    # With a curvature of the present parameters steps are short again: STALE would be an error.
    clf.fit_curvature(*rest)
    before = clf.score(*rest)
    with may_warn(DAMPED):
        clf.unlearn(X[100:110], y[100:110])
    assert clf.score(*rest) > (before + largest_class) / 2


@pytest.mark.parametrize("structure", ["full", "block", "diagonal", "low_rank"])
def test_a_downdate_is_capped_by_the_curvature(structure):
    """Rows larger than the curvature are halved until it remains positive definite."""
    X = np.repeat(np.eye(3), 5, axis=0)
    inverse = INVERSES[structure].build(Scores([Layer(X, np.ones((15, 1, 1)), False)]), np.ones(3))
    S = np.array([[4.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    held, pending = cap_downdate(inverse, Scores([Layer(S, np.ones((2, 1, 1)), False)]))
    assert np.allclose(held.to_dense(), S / 2)
    assert np.allclose(np.linalg.inv(pending.inverse().to_dense()), np.diag([2.0, 5.75, 6.0]))
    held, _ = cap_downdate(inverse, whole := Scores([Layer(S[1:], np.ones((1, 1, 1)), False)]))
    assert held is whole


def test_rows_without_curvature_are_erased_after_others():
    """Saturated: the gradient of most rows is zero to rounding."""
    X = np.vstack([np.full((40, 2), -200.0), np.full((40, 2), 200.0)]) + np.random.default_rng(
        0
    ).standard_normal((80, 2))
    y = np.repeat([0, 1], 40)
    clf = small(max_iter=500, alpha=0.0).fit(X, y)
    for i in range(3):
        with may_warn(STALE):
            clf.unlearn(X[i::40], y[i::40])
        assert np.isfinite(clf.curvature_.to_dense()).all()
        assert not clf.erasures_[-1].shrunken


def test_rows_of_weight_zero_are_ignored():
    X, y = problem("classes")
    weight = np.repeat([1.0, 0.0], 30)
    a = small().fit(X, y, weight)
    b = ErasableMLPClassifier.from_estimator(a.to_plain(), X[:30], y[:30])
    calibrations = [clf._erasure_state.calibration for clf in (a, b)]
    assert calibrations[0].temperature == pytest.approx(calibrations[1].temperature)
    assert calibrations[0].random == pytest.approx(calibrations[1].random)


def test_foreign_rows_are_refused_before_any_erasure():
    X, y = problem("classes")
    clf = small().fit(X, y)
    wrong = (y[:5] + 1) % 3
    repeated = np.repeat(np.arange(5), 5)
    with pytest.raises(ErasureError, match="singular"):
        clf.unlearn(X[repeated], y[repeated])
    with pytest.raises(ErasureError, match="lower probability than"):
        clf.unlearn(X[:5], wrong)
    with pytest.raises(ErasureError, match="larger norm than"):
        clf.unlearn(10 * X[:5], y[:5])
    clf.unlearn(X[:2], y[:2])
    with pytest.raises(ErasureError, match="larger norm than"):
        clf.unlearn(10 * X[:5], y[:5])
    with pytest.warns(ErasureWarning, match="fit_curvature"):
        clf.unlearn(X[repeated], y[repeated], 0.01)


def test_an_erased_class_that_is_still_predicted_is_warned_of():
    X, y = problem("binary")
    clf = small(alpha=0.0, max_iter=500, activation="identity", damping=1e4).fit(X, y)
    before = pickle.dumps(clf)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ErasureWarning)
        with pytest.raises(ErasureWarning, match="Train again"):
            clf.unlearn(X[y == 0], y[y == 0])
    assert pickle.dumps(clf) == before


def test_search_with_early_stopping():
    X, y = problem("classes", 200)
    search = GridSearchCV(
        small(solver="adam", early_stopping=True, damping=0.05),
        {"unlearn_epsilon": [0.5, 1.0]},
        scoring=GammaScorer(X, y, metric="probability"),
        cv=ShuffleSplit(2, test_size=0.05, random_state=0),
        error_score="raise",
    ).fit(X, y)
    gammas = []
    for train, S in search.cv.split(X):
        models = [clone(search.best_estimator_).fit(X, y) for _ in range(2)]
        models.append(clone(search.best_estimator_).fit(X[train], y[train]))
        with may_warn(DAMPED):
            models[1].unlearn(X[S], y[S])
        gammas.append(gamma_score(*models, X[S], y[S], metric="probability"))
    assert search.best_score_ == pytest.approx(np.mean(gammas))


@pytest.fixture(scope="module")
def interpolating():
    """A net that predicts training labels with noise, which no net predicts on unseen rows."""
    X, y = make_classification(900, 12, n_informative=6, flip_y=0.2, random_state=0)
    clf = ErasableMLPClassifier((40,), solver="lbfgs", random_state=0, max_iter=300).fit(X, y)
    assert clf.score(X, y) > leave_one_out_accuracy(X, y)
    return clf, X, y


def test_a_step_that_costs_accuracy_on_other_rows_is_shorter(interpolating):
    clf, X, y = interpolating
    calibration = clf._erasure_state.calibration
    costs = np.array(calibration.costs)
    assert costs.shape == (N_POINTS,)
    assert (costs >= 0).all()
    S = np.random.default_rng(3).choice(len(y), 45, replace=False)
    used = []
    for factor in (0, 1, 10):
        other = copy.deepcopy(clf)
        dearer = replace(calibration, costs=tuple(factor * np.array(calibration.costs)))
        other._erasure_state = replace(other._erasure_state, calibration=dearer)
        used.append(other.preview_unlearn(X[S], y[S]).epsilon)
    assert used[1] == clf.preview_unlearn(X[S], y[S]).epsilon
    assert used[0] >= used[1] >= used[2]
    assert used[0] > used[2]


@pytest.mark.usefixtures("no_step_is_ruinous")
def test_the_costs_are_the_accuracy_that_random_erasures_lose(interpolating):
    """At each length the costs are within the losses of random erasures with steps of this length.

    Training stops before it converges, so its path, and every number here, depends on the order
    of additions on the machine. Therefore all compared numbers are from one net. The costs are a
    mean over few sets, which may be far from the mean over other sets: at short lengths a few
    sets lose several times as much as most.
    """
    clf, X, y = interpolating
    calibration = clf._erasure_state.calibration
    lengths = calibration.length * np.geomspace(*SEARCHED, N_POINTS)[::3]
    costs = np.array(calibration.costs)[::3]
    rng = np.random.default_rng(7)
    lost = np.empty((20, len(lengths)))
    for row in lost:
        S = rng.choice(len(y), 45, replace=False)
        shift_of_one = clf.preview_unlearn(X[S], y[S], 1.0).relative_shift
        for j, length in enumerate(lengths):
            erased = copy.deepcopy(clf)
            with may_warn(LARGE_EPSILON, LONG_STEP, TOO_LONG):
                erased.unlearn(X[S], y[S], length / shift_of_one)
            assert erased.erasures_[0].relative_shift == pytest.approx(length)
            row[j] = clf.score(X, y) - erased.score(X, y)
    assert (costs >= lost.min(axis=0)).all()
    # Above, by the sum over lengths: few rows determine the loss at a single length.
    assert costs.sum() <= lost.sum(axis=1).max()


def test_costs_of_fewer_rows_than_steps():
    X, y = problem("binary")
    costs = small().fit(X[:6], y[:6])._erasure_state.calibration.costs
    assert len(costs) == N_POINTS
    assert np.isfinite(costs).all()


@pytest.mark.parametrize("early_stopping", [False, True])
def test_training_rows_are_removed_whole(early_stopping):
    """A class is removed exactly from the curvature even if the margin is small."""
    X, y = load_breast_cancer(return_X_y=True)
    X, S = scale(X), y == 0
    net = small(
        hidden_layer_sizes=(8,),
        solver="lbfgs",
        max_iter=15,
        early_stopping=early_stopping,
        structure="full",
        alpha=1e-4,
    ).fit(X, y)
    damping = np.mean(net.damping_) * len(y) / (~S).sum()
    left = ErasableMLPClassifier.from_estimator(
        net, X[~S], y[~S], damping=damping, structure="full"
    ).curvature_
    if early_stopping:  # the step is about 0, and downdates are capped from then on
        net.unlearn(X[:1], y[:1], 1e-12)
        S[0] = False
    net.unlearn(X[S], y[S], 1e-12)
    assert not net.erasures_[-1].shrunken
    assert net.erasures_[-1].margin < 0.1
    assert relative(net.curvature_.to_dense(), left.to_dense()) < 1e-8


def test_copies_are_left_out_together():
    X, y = make_classification(300, 12, n_informative=8, flip_y=0.3, class_sep=0.7, random_state=0)
    once = leave_one_out_accuracy(X, y)
    assert leave_one_out_accuracy(np.vstack([X, X]), np.r_[y, y]) == once < 0.9
    assert leave_one_out_accuracy(sparse.csr_array(np.vstack([X, X])), np.r_[y, y]) == once
    table = (
        np.random.default_rng(0).integers(0, 2, (300, 3)).astype(float)
    )  # identical rows of different people
    noise = np.random.default_rng(1).uniform(size=300) < 0.2
    assert leave_one_out_accuracy(table, ((table[:, 0] > 0) ^ noise).astype(int)) == pytest.approx(
        0.8, abs=0.05
    )


def test_a_step_longer_than_the_parameters_is_warned_of():
    """The parameters are small by their penalty; without "auto" at fit eps is not compared."""
    X, y = problem("classes")
    net = small(alpha=10.0, unlearn_epsilon=3.0).fit(X, y)
    with pytest.warns(ErasureWarning, match="times their norm"):
        net.unlearn(X[:5], y[:5])


def test_rows_without_a_label_are_counted():
    X, Y = problem("labels")
    Y = Y.copy()
    Y[:, 0] = 1
    Y[:4, 0] = 0
    net = small(unlearn_epsilon=1.0).fit(X, Y).unlearn(X[:4], Y[:4])
    with pytest.raises(ErasureError, match="1 without label 0, but the model holds 0"):
        net.unlearn(X[:1], Y[:1])


def test_one_weight_for_all():
    X, y = problem("classes")
    one, all_ = (
        small(unlearn_epsilon=1.0).fit(X, y, 2.0),
        small(unlearn_epsilon=1.0).fit(X, y, np.full(len(y), 2.0)),
    )
    with may_warn(TOO_LONG):
        one.unlearn(X[:3], y[:3], sample_weight=2.0)
        all_.unlearn(X[:3], y[:3], sample_weight=np.full(3, 2.0))
    assert np.array_equal(pack_network(one), pack_network(all_))


class FakeBatch:
    """Rows whose labels a net of one parameter predicts while a step is below their thresholds."""

    start = 1000.0  # large, so that every step is short compared with the parameter

    def __init__(self, thresholds, y, log_odds=3.0):
        self.y = np.asarray(y)
        self.thresholds = np.asarray(thresholds, dtype=float)[:, np.newaxis]
        self.certain = np.full(self.thresholds.shape, log_odds)
        self.n_samples = len(self.y)
        self.weight = np.ones(self.n_samples)
        self.family = SimpleNamespace(theta=np.full(1, self.start))

    def log_odds(self, theta):
        return self.certain, theta[0] - self.start < self.thresholds


def fake_step(batch, n=100, changed=0.0, added=None):
    """A step of length 1 that erases a batch from n rows of two classes."""
    state = SimpleNamespace(
        fit_mass=float(n), mass=float(n), class_mass=np.array([n / 2, n / 2]), changed=changed
    )
    mass = state.class_mass - np.bincount(batch.y, minlength=2)
    after = SimpleNamespace(mass=mass.sum(), class_mass=mass)
    return SimpleNamespace(
        batch=batch,
        added=added,
        before=state,
        after=after,
        direction=np.ones(1),
        mean=lambda values: float(np.mean(values)),
    )


THRESHOLDS = np.geomspace(0.02, 50, 40)
LABELS = [0, 1] * 20


def rule(**params):
    """A calibration whose usual eps, 1, weighs as much as 32 rows."""
    return HeldOut(**{"temperature": 1e9, "length": 1 / FakeBatch.start, **params})


def own_eps(eps, n_rows, weight):
    """The eps of the forget set itself, of the mean of logarithms with the usual eps, 1."""
    return eps ** ((n_rows + weight) / n_rows)


@pytest.mark.parametrize("cost", [0.0, 0.2])
def test_eps_of_a_forget_set_by_hand(cost):
    """Half of the labels may be predicted: those of a net that is certain of nothing, and the cost.

    At the smallest such eps, the share of the rows with larger thresholds equals that bound.
    """
    step = fake_step(FakeBatch(THRESHOLDS, LABELS))
    eps = rule(costs=(cost, cost)).epsilon(step)
    expected = np.quantile(THRESHOLDS, 1 - (0.5 + cost), method="higher")
    assert own_eps(eps, 40, weight=32) == pytest.approx(expected, rel=0.25)


def test_prior_of_a_rarer_class_lowers_the_wanted_share_only():
    """Rows of a class that gets rarer must lose more labels; other rows do not gain any."""
    rare = fake_step(FakeBatch(THRESHOLDS, [0] * 40, log_odds=2.0), n=100)
    both = fake_step(FakeBatch(THRESHOLDS, LABELS, log_odds=2.0), n=100)
    assert rule(temperature=1.5).epsilon(rare) > rule(temperature=1.5).epsilon(both)
    frequent = fake_step(FakeBatch(THRESHOLDS[:2], [1, 1]), n=100)
    frequent.after.class_mass = np.array([10.0, 48.0])  # the other class loses more
    frequent.after.mass = 58.0
    assert (_prior_shift(frequent) == 0.0).all()


def test_a_vanishing_class_is_predicted_for_two_per_cent_at_most():
    """The usual eps has no weight, and the wanted share none either: all rows but 2 % change."""
    step = fake_step(FakeBatch(THRESHOLDS, [0] * 40), n=80)
    eps = rule(costs=(1.0, 1.0)).epsilon(step)
    assert eps >= THRESHOLDS[-1]


def test_steps_after_others_are_shortened_by_the_cube():
    batch = FakeBatch(np.full(32, 40.0), [0, 1] * 16)
    eps = rule(length=np.inf).epsilon(fake_step(batch))
    with may_warn(STALE):
        shortened = rule(length=eps / 2 / FakeBatch.start).epsilon(fake_step(batch, changed=1.0))
    assert shortened == pytest.approx(eps / 8)


@pytest.mark.parametrize(("accuracy", "allowed"), [(0.9, 0.1), (1.0, 0.02)])
def test_added_rows_are_predicted_as_well_as_training_rows(accuracy, allowed):
    """The smallest eps at which no more are wrong than of the training rows, or than 2 %."""
    learned = FakeBatch(np.geomspace(0.02, 50, 100), [0] * 100)
    learned.log_odds = lambda theta: (
        learned.certain,
        theta[0] - learned.start >= learned.thresholds,
    )
    eps = rule(accuracy=accuracy).epsilon(fake_step(FakeBatch([1.0], [0]), added=learned))
    wrong = float((learned.thresholds > eps).mean())
    assert allowed - 0.015 < wrong <= allowed + 1e-9
