"""``refresh``: against retraining, all models and transformers or none, and refusals."""

from copy import deepcopy

import numpy as np
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import SelectKBest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder, scale

from sklearn_ssse import (
    ErasableLogisticRegression,
    ErasableMLPClassifier,
    ErasureError,
    ErasureWarning,
    parameter_distance,
    refresh,
    unlearn,
)
from sklearn_ssse._composites import erasable_models
from sklearn_ssse._minimum import newton
from tests.check_erasable import snapshot
from tests.reference import relative, residual, theta
from tests.test_composites import SAME_WITHOUT, outputs
from tests.test_composites import data as composite_data  # noqa: F401
from tests.test_progress import Recorder, with_callbacks
from tests.warned import (
    DAMPED,
    LONG_STEP,
    NOT_A_MINIMUM,
    PREFIT,
    REFRESH,
    STALE,
    TOO_LONG,
    may_warn,
)

EXACT = {"solver": "newton-cholesky", "tol": 1e-12, "max_iter": 500}
unconverged = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def exact(X, y, w=None, **params):
    """The converged fit of scikit-learn."""
    params = {
        name: value
        for name, value in params.items()
        if name in LogisticRegression()._get_param_names()
    }
    if params.get("solver") == "liblinear":
        return LogisticRegression(**{**params, "tol": 1e-12, "max_iter": 100_000}).fit(X, y, w)
    return LogisticRegression(**{**params, **EXACT}).fit(X, y, w)


# Logistic regression


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"curvature": "fisher"},
        {"C": 0.01},
        {"C": 100.0, "curvature": "fisher"},
        {"fit_intercept": False},
        {"class_weight": "balanced"},
        {"structure": "diagonal"},
        {"solver": "saga", "max_iter": 50},
        {"fisher_batch_size": 4, "leave_out": False},
        {"damping": 0.1},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["breast_cancer", "four classes"])
@unconverged
def test_the_minimum_of_retraining(real_data, four_classes, name, params):
    """With the default tolerance, after two erasures of random rows and one row added."""
    X, y = real_data["breast_cancer"] if name == "breast_cancer" else four_classes
    n = len(y)
    w = np.random.default_rng(1).uniform(0.5, 2.0, n)
    keep = np.arange(n) >= n // 20
    original = exact(X, y, w, **params)
    retrained = exact(X[keep], y[keep], w[keep], **params)
    batches = "The curvature is made of mini-batches"
    with may_warn(NOT_A_MINIMUM, DAMPED, REFRESH, LONG_STEP, batches):
        model = ErasableLogisticRegression(**params).fit(X, y, w)
        model.unlearn(X[~keep], y[~keep], sample_weight=w[~keep])
        if not model._erasure_state.stale:
            model.unlearn(X[-1:], y[-1:], sample_weight=w[-1:])
            model.learn(X[-1:], y[-1:], sample_weight=w[-1:])
    records = list(model.erasures_)
    assert model.refresh(X[keep], y[keep], w[keep]) is model
    assert parameter_distance(original, model, retrained) < 1e-4
    assert model.erasures_ == records
    assert model.n_samples_remaining_ == keep.sum()
    assert model._erasure_state.stale == ""
    assert model.preview_unlearn(X[-2:], y[-2:], sample_weight=w[-2:]).erased_fraction < 0.05
    assert model.n_iter_.shape == (1,)
    by_class = model._erasure_state.class_weight[y[keep]]
    largest = np.abs(residual(model, X[keep], y[keep], w[keep] * by_class)).max()
    assert largest <= model.tol * w[keep].sum()
    if "class_weight" in params:
        counts = np.bincount(y[keep], w[keep])
        frozen = w[keep].sum() / (len(counts) * counts)
        assert relative(model._erasure_state.class_weight, frozen) < 1e-12


def test_the_penalised_intercept_of_liblinear(real_data):
    X, y = real_data["breast_cancer"]
    params = {"solver": "liblinear", "intercept_scaling": 0.5}
    model = ErasableLogisticRegression(**params, random_state=0).fit(X, y).unlearn(X[:50], y[:50])
    model.refresh(X[50:], y[50:])
    original, retrained = exact(X, y, **params), exact(X[50:], y[50:], **params)
    assert parameter_distance(original, model, retrained) < 1e-3


def test_no_penalty(four_classes, binary):
    for X, y in (binary, four_classes):
        params = {"C": np.inf, "curvature": "fisher"}
        model = ErasableLogisticRegression(**params).fit(X, y).unlearn(X[:9], y[:9])
        model.refresh(X[9:], y[9:])
        retrained = LogisticRegression(C=np.inf, tol=1e-10, max_iter=5000).fit(X[9:], y[9:])
        assert np.allclose(model.predict_proba(X), retrained.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize("kind", ["sparse", "float32", "sparsified"])
def test_other_types_of_rows(real_data, kind):
    X, y = real_data["breast_cancer"]
    model = ErasableLogisticRegression(curvature="fisher").fit(X, y)
    goal = exact(X[9:], y[9:])
    if kind == "sparse":
        X = sparse.csr_matrix(X)
    elif kind == "float32":
        X = X.astype(np.float32)
        model.fit(X, y)
    else:
        model.sparsify()
    dtype = model.coef_.dtype  # of float32 rows, float32 or float64 in different versions
    model.unlearn(X[:9], y[:9]).refresh(X[9:], y[9:])
    assert model.coef_.dtype == dtype
    assert relative(theta(model), theta(goal)) < (1e-5 if kind == "float32" else 1e-8)


def test_wide_rows_are_trained_on_by_scikit_learn(monkeypatch, four_classes):
    """The Hessian is too large: a warm start of the parent, with a smaller tolerance."""
    X, y = four_classes
    model = ErasableLogisticRegression(structure="block").fit(X, y).unlearn(X[:9], y[:9])
    monkeypatch.setattr("sklearn_ssse._inverse.choice.DENSE_PARAMETERS", 10)
    called = []
    fit = LogisticRegression.fit

    def spied(self, *args):
        called.append((self.warm_start, self.tol))
        return fit(self, *args)

    monkeypatch.setattr(LogisticRegression, "fit", spied)
    model.refresh(X[9:], y[9:])
    assert called == [(True, pytest.approx(1e-7))]
    assert (model.warm_start, model.tol) == (False, 1e-4)
    ratio = parameter_distance(exact(X, y), model, exact(X[9:], y[9:]))
    assert ratio < 0.01


def test_a_model_that_did_not_change_is_left_nearly_unchanged(real_data):
    X, y = real_data["digits"]
    model = ErasableLogisticRegression(curvature="fisher", **EXACT).fit(X, y)
    before = deepcopy(model)
    model.refresh(X, y)
    assert relative(theta(model), theta(before)) < 1e-9
    assert relative(model.fisher_inverse_, before.fisher_inverse_) < 1e-6


def test_a_refreshed_model_is_as_good_as_a_fitted_one(real_data):
    """The next erasure starts from the minimum and a fresh curvature."""
    X, y = real_data["breast_cancer"]
    model = ErasableLogisticRegression(curvature="fisher").fit(X, y).unlearn(X[:50], y[:50])
    model.refresh(X[50:], y[50:])
    fitted = ErasableLogisticRegression(curvature="fisher", **EXACT).fit(X[50:], y[50:])
    assert relative(model.fisher_inverse_, fitted.fisher_inverse_) < 1e-6
    start = exact(X[50:], y[50:])
    for twin in (model, fitted):
        twin.unlearn(X[50:60], y[50:60])
    assert relative(theta(model), theta(fitted)) < 1e-6
    assert parameter_distance(start, model, exact(X[60:], y[60:])) < 0.1


def test_a_hessian_serves_several_steps(monkeypatch, real_data):
    """And the steps are few."""
    X, y = real_data["census"]
    X, y = X[:3000], y[:3000]
    built = []
    original = newton._inverse_hessian
    monkeypatch.setattr(
        newton, "_inverse_hessian", lambda *args: built.append(1) or original(*args)
    )
    model = ErasableLogisticRegression(curvature="fisher").fit(X, y).unlearn(X[:90], y[:90])
    model.refresh(X[90:], y[90:])
    assert len(built) < model.n_iter_[0] <= 6


def test_steps_that_are_too_long_are_halved(monkeypatch, real_data):
    """The objective never increases."""
    X, y = real_data["digits"]
    halved = []
    stepped = newton._stepped

    def spied(batch, gradient, step):
        moved = stepped(batch, gradient, step)
        assert moved[0].objective() < batch.objective() + 1e-9
        halved.append(moved[2])
        return moved

    monkeypatch.setattr(newton, "_stepped", spied)
    model = ErasableLogisticRegression(C=100.0).fit(X, y)
    with may_warn(DAMPED):
        model.unlearn(X[:90], y[:90])
    model.refresh(X[90:], y[90:])
    assert max(halved) > 0
    goal = exact(X[90:], y[90:], C=100.0)
    assert relative(theta(model), theta(goal)) < 1e-6


@pytest.mark.parametrize("factor", [20, 1e4, 1e8])
def test_a_ruined_model_is_trained_from_zeros(real_data, factor):
    """Its Hessian may be singular, because all predictions are certain."""
    for name in ("breast_cancer", "wine"):
        X, y = real_data[name]
        model = ErasableLogisticRegression(curvature="fisher").fit(X, y)
        noise = np.random.default_rng(0).standard_normal(model.coef_.shape)
        for parameters in (noise, model.coef_):
            model.coef_ = factor * parameters
            model.refresh(X, y)
            assert relative(theta(model), theta(exact(X, y))) < 1e-8


def test_the_warning_far_from_the_minimum(real_data):
    """`fit_curvature` does not move parameters, and warns; `refresh` moves them."""
    X, y = real_data["breast_cancer"]
    model = ErasableLogisticRegression().fit(X, y)
    with may_warn(LONG_STEP):  # a third of the rows
        model.unlearn(X[:200], y[:200])
    with pytest.warns(ErasureWarning, match="call `refresh`"):
        model.fit_curvature(X[200:], y[200:])
    model.refresh(X[200:], y[200:]).fit_curvature(X[200:], y[200:])


@pytest.mark.parametrize("curvature", ["fisher", "empirical_fisher"])
@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
def test_fits_with_the_defaults_do_not_warn(real_data, C, curvature):
    """Warnings are errors here."""
    for name in ("digits", "breast_cancer", "wine", "census"):
        X, y = (part[:4000] for part in real_data[name])
        ErasableLogisticRegression(C=C, curvature=curvature, max_iter=1000).fit(X, y)


def test_steps_that_do_not_converge(monkeypatch, binary):
    monkeypatch.setattr("sklearn_ssse._minimum.newton.MAX_STEPS", 1)
    X, y = binary
    model = ErasableLogisticRegression().fit(X, y).unlearn(X[:50], y[:50])
    with may_warn(NOT_A_MINIMUM), pytest.warns(ConvergenceWarning, match="must reach tol"):
        model.refresh(X[50:], y[50:])


def test_progress(monkeypatch, binary):
    X, y = binary
    for path in ("_erasure.fit_curvature", "_minimum.refresh"):
        monkeypatch.setattr(f"sklearn_ssse.{path}.LONG_WORK", 0)
    recorder = Recorder()
    model = ErasableLogisticRegression().fit(X, y).unlearn(X[:5], y[:5])
    with_callbacks(model, recorder).refresh(X[5:], y[5:])
    tasks = [name for _, name in recorder.begun]
    assert tasks[:3] == ["refresh", "newton steps", "rows"]
    assert "curvature" in tasks
    assert recorder.open == 0
    assert sorted(recorder.begun) == sorted(recorder.ended)


# Networks


@pytest.mark.parametrize("solver", ["lbfgs", "adam", "sgd"])
@pytest.mark.parametrize("early_stopping", [False, True])
@unconverged
def test_a_network_is_trained_further(four_classes, solver, early_stopping):
    X, y = four_classes
    X = scale(X)
    net = ErasableMLPClassifier(
        (8,),
        solver=solver,
        early_stopping=early_stopping,
        max_iter=300,
        learning_rate_init=0.01,
        alpha=0.01,
        random_state=0,
        curvature="fisher",
    ).fit(X, y)
    if early_stopping and solver != "lbfgs":
        with may_warn(STALE):
            net.fit_curvature(X, y)
    n_epochs = net.n_iter_
    with may_warn(STALE, TOO_LONG, DAMPED):
        net.unlearn(X[:30], y[:30])
    before = net.to_plain()
    net.refresh(X[30:], y[30:])
    assert net.n_samples_remaining_ == 210
    assert net.get_params() == clone(net).get_params()
    assert net.early_stopping is early_stopping
    loss = [-np.log(m.predict_proba(X[30:])[np.arange(210), y[30:]]).mean() for m in (before, net)]
    assert loss[1] < loss[0] + 0.02
    assert all(map(np.array_equal, net._best_coefs, net.coefs_)) or not early_stopping
    if early_stopping and solver != "lbfgs":
        assert net.n_iter_ <= n_epochs
    with may_warn(STALE, TOO_LONG):
        net.unlearn(X[30:33], y[30:33])
    assert not hasattr(net, "_optimizer")


@unconverged
def test_a_network_of_lbfgs_reaches_its_own_minimum(binary):
    """The gradient of its objective is as small as scikit-learn's tolerance."""
    X, y = binary
    net = ErasableMLPClassifier(
        (3,), activation="tanh", solver="lbfgs", alpha=1.0, max_iter=2000, tol=1e-6, random_state=0
    ).fit(X, y)
    with may_warn(TOO_LONG):
        net.unlearn(X[:20], y[:20])
    net.refresh(X[20:], y[20:])
    family = net._family()
    batch = family.batch(X[20:], y[20:], np.ones(130))
    gradient = batch.gradients(np.ones((130, 1)))[:, 0] + family.penalty(130) * family.theta
    assert np.abs(gradient).max() / 130 < 1e-4


@unconverged
def test_a_network_after_the_erasure_of_a_class(four_classes):
    X, y = four_classes
    net = ErasableMLPClassifier((6,), random_state=2, max_iter=60, learning_rate_init=0.02)
    net.fit(X, y)
    with may_warn(STALE, TOO_LONG, "The erased rows of a class"):
        net.unlearn(X[y == 2], y[y == 2])
    keep = y != 2
    net.refresh(X[keep], y[keep])
    assert net.classes_.tolist() == [0, 1, 2, 3]
    assert net._erasure_state.class_counts.tolist()[2] == 0
    assert net.predict_proba(X[keep]).shape == (keep.sum(), 4)
    assert (net.predict(X[keep]) != 2).all()


@unconverged
def test_labels_and_generators_of_a_network(four_classes):
    """A generator that the user passed is not moved, so that a failure can leave it as it was."""
    X, y = four_classes
    Y = np.column_stack([y % 2, y > 1]).astype(int)
    generator = np.random.RandomState(0)
    net = ErasableMLPClassifier((5,), random_state=generator, max_iter=20).fit(X, Y)
    before = snapshot(generator)
    with may_warn(TOO_LONG):
        net.unlearn(X[:9], Y[:9])
    net.refresh(X[9:], Y[9:])
    assert net.random_state is generator
    assert snapshot(generator) == before
    with pytest.raises(ErasureError, match="rows of class 0"):
        net.refresh(X[9:], 1 - Y[9:])


@unconverged
def test_an_interrupted_training_changes_nothing(monkeypatch, four_classes):
    """scikit-learn catches the interrupt and goes on with the parameters at that time."""
    X, y = four_classes
    net = ErasableMLPClassifier((5,), max_iter=20, random_state=0).fit(X, y)
    net.unlearn(X[:9], y[:9])
    before = snapshot(net)
    backprop = ErasableMLPClassifier._backprop
    calls = []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return backprop(*args)

    monkeypatch.setattr(ErasableMLPClassifier, "_backprop", interrupted)
    with pytest.raises(KeyboardInterrupt):
        net.refresh(X[9:], y[9:])
    assert snapshot(net) == before


# Refusals


def test_wrong_rows_are_refused(four_classes):
    X, y = four_classes
    model = ErasableLogisticRegression().fit(X, y).unlearn(X[:5], y[:5])
    before = snapshot(model)
    other = np.where(np.arange(235) == 0, (y[5:] + 1) % 4, y[5:])
    for rows, words in [
        ((X, y), "the 235 rows of positive weight that the model holds, got 240"),
        ((X[6:], y[6:]), "got 234"),
        ((X[5:], other), r"rows of class \d, as the model holds, got"),
        ((X[5:], np.where(y[5:] == 3, 9, y[5:])), "among the classes seen at fit"),
        ((X[5:], y[5:], np.arange(235)), "got 234"),
    ]:
        with pytest.raises(ErasureError, match=words):
            model.refresh(*rows)
    with pytest.raises(ValueError, match="NaN"):
        model.refresh(np.where(X[5:] > 2, np.nan, X[5:]), y[5:])
    assert snapshot(model) == before
    weight = np.repeat([0.0, 1.0], [5, 235])
    assert model.refresh(X, y, weight).n_samples_remaining_ == 235


def test_missing_weights_warn(binary):
    X, y = binary
    model = ErasableLogisticRegression().fit(X, y, np.linspace(1, 2, len(y)))
    with may_warn(NOT_A_MINIMUM), pytest.warns(ErasureWarning, match="retained rows need weights"):
        model.refresh(X, y)


# Pipelines and other composites


@pytest.mark.parametrize("name", SAME_WITHOUT)
def test_composites_reach_retraining(composite_data, name):  # noqa: F811
    estimator, kind, _ = SAME_WITHOUT[name]
    X, y = composite_data[0], composite_data[1][kind]
    estimator = clone(estimator)
    model = clone(estimator).fit(X, y)
    retrained = estimator.fit(X[12:], y[12:])
    original = outputs(model, X)
    goal = outputs(retrained, X)
    unlearn(model, X[:12], y[:12])
    before = snapshot(model)
    records = [m.erasures_ for m in erasable_models(model)]
    with pytest.raises(ErasureError, match="rows of positive weight that the model holds"):
        refresh(model, X, y)
    assert snapshot(model) == before
    assert refresh(model, X[12:], y[12:]) is model
    assert np.linalg.norm(outputs(model, X) - goal) < 1e-4 * np.linalg.norm(original - goal)
    assert [m.erasures_ for m in erasable_models(model)] == records


def table(n=300):
    """Numbers and three categories, the last of which has one row."""
    rng = np.random.default_rng(0)
    numbers = rng.standard_normal((n, 3)) * [1, 5, 20] + [0, 3, -40]
    kinds = rng.integers(0, 2, n)
    kinds[0] = 2
    z = numbers @ [1, 0.1, 0.02] + kinds
    y = (z + rng.logistic(size=n) > np.median(z)).astype(int)
    return np.column_stack([numbers, kinds]), y


def columns(selected=3):
    encode = make_column_transformer((StandardScaler(), [0, 1, 2]), (OneHotEncoder(), [3]))
    model = ErasableLogisticRegression(curvature="fisher")
    return make_pipeline(encode, SelectKBest(k=selected), StandardScaler(), model)


@pytest.mark.parametrize(
    "build",
    [
        columns,
        lambda: make_pipeline(
            make_column_transformer((TargetEncoder(random_state=0), [3]), remainder="passthrough"),
            make_pipeline(StandardScaler(copy=False), ErasableLogisticRegression()),
        ),
        lambda: VotingClassifier(
            [("a", columns()), ("b", make_pipeline("passthrough", columns(4)))], voting="soft"
        ),
    ],
    ids=["columns", "cross-fitted", "vote"],
)
def test_refit_equals_fitting_the_pipeline_again(build):
    """New transformers inside the old ones, and a model at the minimum for their columns."""
    X, y = table()
    S = np.arange(20, 60)
    keep = np.setdiff1d(np.arange(len(y)), S)
    rows = X[keep]
    pipe = build().fit(X, y)
    again = build().fit(X[keep].copy(), y[keep])
    with may_warn("columntransformer encodes"):
        unlearn(pipe, X[S], y[S])
    given = rows.copy()
    with may_warn(NOT_A_MINIMUM):
        assert refresh(pipe, given, y[keep], preprocessing="refit") is pipe
    assert np.array_equal(given, rows)
    distance = np.abs(pipe.predict_proba(X) - again.predict_proba(X)).max()
    assert distance < 2e-3  # of the solver's tolerance
    for model in erasable_models(pipe):
        assert model.n_samples_remaining_ == len(keep)


def test_keep_leaves_the_transformers_unchanged():
    X, y = table()
    pipe = unlearn(columns().fit(X, y), X[20:60], y[20:60])
    steps = snapshot([step for _, step in pipe.steps[:-1]])
    keep = np.r_[0:20, 60:300]
    refresh(pipe, X[keep], y[keep])
    assert snapshot([step for _, step in pipe.steps[:-1]]) == steps
    Z = pipe[:-1].transform(X[keep])
    assert relative(theta(pipe[-1]), theta(exact(Z, y[keep]))) < 1e-8


def test_a_category_that_vanished_is_refused():
    X, y = table()
    encode = make_column_transformer((StandardScaler(), [0, 1, 2]), (OneHotEncoder(), [3]))
    pipe = make_pipeline(encode, ErasableLogisticRegression()).fit(X, y)
    unlearn(pipe, X[:1], y[:1])
    before = snapshot(pipe)
    with pytest.raises(ErasureError, match=r"as many columns as .* fitted to, 6, got 5"):
        refresh(pipe, X[1:], y[1:], preprocessing="refit")
    assert snapshot(pipe) == before
    refresh(pipe, X[1:], y[1:])


def test_all_models_and_transformers_or_none(monkeypatch):
    """The last of three models is interrupted."""
    X, y = table()
    Y = np.column_stack([y, X[:, 0] > 0, X[:, 1] > 3]).astype(int)
    model = make_pipeline(StandardScaler(), MultiOutputClassifier(ErasableLogisticRegression()))
    unlearn(model.fit(X, Y), X[:5], Y[:5])
    before = snapshot(model)
    calls = []
    set_curvature = ErasableLogisticRegression._set_curvature

    def interrupted(self, *args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return set_curvature(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(ErasableLogisticRegression, "_set_curvature", interrupted)
        with pytest.raises(KeyboardInterrupt):
            refresh(model, X[5:], Y[5:], preprocessing="refit")
    assert snapshot(model) == before
    wrong = Y.copy()
    wrong[5:, 2] = 1 - wrong[5:, 2]
    with pytest.raises(ErasureError, match="In output 2: The retained rows must have"):
        refresh(model, X[5:], wrong[5:], preprocessing="refit")
    assert snapshot(model) == before
    refresh(model, X[5:], Y[5:], preprocessing="refit")
    assert np.allclose(model[0].mean_, X[5:].mean(axis=0))


def test_weights_reach_the_steps_that_were_fitted_with_them(binary):
    X, y = binary
    w = np.random.default_rng(0).uniform(0.5, 3, len(y))
    with config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=True)
        clf = ErasableLogisticRegression(curvature="fisher").set_fit_request(sample_weight=False)
        pipe = make_pipeline(scaler, clf).fit(X, y, sample_weight=w)
        unlearn(pipe, X[:9], y[:9], sample_weight=w[:9])
        refresh(pipe, X[9:], y[9:], w[9:], preprocessing="refit")
    mean = np.average(X[9:], axis=0, weights=w[9:])
    assert np.allclose(pipe[0].mean_, mean)
    goal = exact(pipe[0].transform(X[9:]), y[9:])
    assert relative(theta(pipe[1]), theta(goal)) < 1e-8


def test_bags_need_positions(binary):
    X, y = binary
    for model in (
        ErasableLogisticRegression(curvature="fisher"),
        make_pipeline(StandardScaler(), ErasableLogisticRegression(curvature="fisher")),
    ):
        bag = BaggingClassifier(model, 4, max_features=4, oob_score=True, random_state=0).fit(X, y)
        kept = np.arange(5, len(y))
        unlearn(bag, X[:5], y[:5], positions=np.arange(5))
        score = bag.oob_decision_function_.copy()
        with pytest.raises(TypeError, match="positions must be given"):
            refresh(bag, X[5:], y[5:])
        refresh(bag, X[5:], y[5:], positions=kept, preprocessing="refit")
        members = zip(
            bag.estimators_, bag.estimators_samples_, bag.estimators_features_, strict=True
        )
        for member, drawn, features in members:
            drawn = drawn[drawn >= 5]
            rows = X[drawn][:, features]
            inner = member
            if hasattr(member, "steps"):
                rows = StandardScaler().fit_transform(rows)
                inner = member[-1]
            assert relative(theta(inner), theta(exact(rows, y[drawn]))) < 1e-6
        assert np.array_equal(bag.oob_decision_function_, score, equal_nan=True)


def test_frozen_models_are_refreshed_and_calibrators_are_not(binary):
    X, y = binary
    inner = ErasableLogisticRegression(curvature="fisher").fit(X, y)
    model = CalibratedClassifierCV(FrozenEstimator(inner)).fit(X, y)
    with may_warn(PREFIT):
        unlearn(model, X[:9], y[:9])
    calibrators = snapshot([part.calibrators for part in model.calibrated_classifiers_])
    refresh(model, X[9:], y[9:])
    assert relative(theta(inner), theta(exact(X[9:], y[9:]))) < 1e-8
    after = snapshot([part.calibrators for part in model.calibrated_classifiers_])
    assert after == calibrators


def test_refused_arguments_and_types(binary):
    X, y = binary
    model = ErasableLogisticRegression().fit(X, y)
    with pytest.raises(ErasureError, match="one of keep, refit, got 'downdate'"):
        refresh(model, X, y, preprocessing="downdate")
    with pytest.raises(TypeError, match=r"refresh for .* takes no positions"):
        refresh(model, X, y, positions=np.arange(len(y)))
    with pytest.raises(TypeError, match="got LogisticRegression"):
        refresh(LogisticRegression().fit(X, y), X, y)
    with pytest.raises(ValueError, match="inconsistent"):
        refresh(model, X, y[1:])
