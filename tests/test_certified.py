"""Certified removal: the account of the budget, the secret, and the guarantee by experiment."""

import pickle
from dataclasses import asdict
from unittest.mock import patch

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils import estimator_html_repr

from sklearn_ssse import ErasableLogisticRegression, ErasureError, refresh, unlearn
from sklearn_ssse._erasure.certificate import Certificate, largest_shift, secret_normal

EPSILON = 1.0
DELTA = 1e-5
CERTIFIED = {
    "C": 0.01,
    "curvature": "fisher",
    "certify": (EPSILON, DELTA),
    "certify_std": 10.0,
    "budget": None,
}


@pytest.fixture(scope="module")
def data():
    X, y = load_breast_cancer(return_X_y=True)
    return scale(X), y


@pytest.fixture
def model(data):
    return ErasableLogisticRegression(**CERTIFIED).fit(*data)


def gradient_left(model, X, y):
    """Gradient of the perturbed objective on the rows, without the package's own formula."""
    theta = np.append(model.coef_, model.intercept_)
    x = np.hstack([X, np.ones((len(y), 1))])
    penalty = np.append(np.full(X.shape[1], 1 / model.C), 0.0)
    return x.T @ (expit(x @ theta) - y) + penalty * theta + model._perturbation


def test_fit_reaches_the_perturbed_minimum(model, data):
    assert np.linalg.norm(gradient_left(model, *data)) < 1e-5
    assert model.certificate_.spent == pytest.approx(
        np.linalg.norm(gradient_left(model, *data)), abs=1e-9
    )


def test_a_model_without_certify_is_the_parent(data):
    plain = LogisticRegression().fit(*data)
    ours = ErasableLogisticRegression(curvature="fisher").fit(*data)
    assert (ours.coef_ == plain.coef_).all()
    assert not hasattr(ours, "certificate_")
    assert ours.unlearn(data[0][:1], data[1][:1]).erasures_[-1].certified_spent is None


@pytest.mark.parametrize("params", [{}, {"solver": "liblinear"}, {"fit_intercept": False}])
def test_a_fit_draws_a_perturbation_of_its_own(data, params):
    first, second = (
        ErasableLogisticRegression(**CERTIFIED, **params, random_state=0).fit(*data)
        for _ in range(2)
    )
    assert np.abs(first.coef_ - second.coef_).max() > 1e-3


def test_the_bounds_add_up_and_hold(model, data):
    X, y = data
    start = model.certificate_.spent
    for k in range(1, 5):
        before = model.certificate_.spent
        model.unlearn(X[[k - 1]], y[[k - 1]])
        assert model.certificate_.spent > before
        left = np.linalg.norm(gradient_left(model, X[k:], y[k:]))
        assert left <= model.certificate_.spent - start + 1e-6
        record = model.erasures_[-1]
        budget = model.certificate_.budget
        assert record.certified_spent == pytest.approx(model.certificate_.spent / budget)
        assert record.certified_spent + record.certified_left == pytest.approx(1)


def test_float32_parameters_are_covered(data):
    X, y = data
    params = {**CERTIFIED, "solver": "newton-cholesky"}  # keeps float32 in every version
    model = ErasableLogisticRegression(**params).fit(X.astype(np.float32), y)
    assert model.coef_.dtype == np.float32
    model.unlearn(X[:2].astype(np.float32), y[:2])
    left = np.linalg.norm(gradient_left(model, X[2:].astype(np.float32), y[2:]))
    assert left <= model.certificate_.spent


def test_weights_are_covered(data):
    X, y = data
    weight = np.random.default_rng(0).integers(1, 4, len(y)).astype(float)
    weighted = ErasableLogisticRegression(**CERTIFIED).fit(X, y, weight)
    with patch(
        "sklearn_ssse._minimum.perturbed.secret_normal",
        lambda n, std: weighted._perturbation,
    ):
        repeated = ErasableLogisticRegression(**CERTIFIED).fit(
            np.repeat(X, weight.astype(int), axis=0), np.repeat(y, weight.astype(int))
        )
    assert np.allclose(weighted.coef_, repeated.coef_, atol=1e-8)
    i = [int(np.argmin(weighted.predict_proba(X)[np.arange(len(y)), y]))]
    bounds = [
        weighted.unlearn(X[i], y[i], sample_weight=weight[i]),
        repeated.unlearn(*(np.repeat(rows[i], int(weight[i[0]]), axis=0) for rows in data)),
    ]
    first, second = (bound.certificate_.spent for bound in bounds)
    assert first == pytest.approx(second, rel=1e-3)


def erased_until_refused(model, X, y):
    """The number of rows that were erased one by one, the model after them, and the refusal."""
    for k in range(300):
        before = pickle.dumps(model)
        try:
            model.unlearn(X[[k]], y[[k]])
        except ErasureError as error:
            return k, before, str(error)
    return pytest.fail("300 erasures did not spend the budget")


def test_a_spent_budget_is_refused_before_anything_changes(model, data):
    X, y = data
    k, before, message = erased_until_refused(model, X, y)
    assert "Call `refresh`" in message
    assert pickle.dumps(model) == before
    assert 0 < model.certificate_.left < model.certificate_.budget
    with pytest.raises(ErasureError, match="budget"):
        model.preview_unlearn(X[k : k + 9], y[k : k + 9])
    secret = model._perturbation
    model.refresh(X[k:], y[k:])
    assert (model._perturbation != secret).all()
    assert model.certificate_.spent < 1e-5
    assert np.linalg.norm(gradient_left(model, X[k:], y[k:])) < 1e-5


def test_a_new_curvature_does_not_reset_the_account(model, data):
    X, y = data
    model.unlearn(X[:3], y[:3])
    before = model.certificate_
    secret = model._perturbation
    model.fit_curvature(X[3:], y[3:])
    assert model.certificate_ == before
    assert (model._perturbation == secret).all()


def test_erasing_nothing_spends_nothing(model, data):
    before = model.certificate_
    with pytest.warns(match="At least one row"):
        model.unlearn(data[0][:0], data[1][:0])
    assert model.certificate_ == before


def test_certify_is_read_again_by_refresh(model, data):
    model.set_params(certify=None).refresh(*data)
    assert not hasattr(model, "certificate_")
    model.set_params(certify=(2.0, 1e-4)).refresh(*data)
    assert model.certificate_.epsilon == 2.0
    model.set_params(certify=None).fit(*data)
    assert not hasattr(model, "_perturbation")


# The secret.


def numbers_of(array):
    return [repr(float(value)) for value in np.ravel(array)]


def test_the_secret_is_never_shown(model, data):
    X, y = data
    record = model.unlearn(X[:2], y[:2]).erasures_[-1]
    shown = " ".join(
        [repr(model), str(model.certificate_), repr(record), estimator_html_repr(model)]
    )
    shown += repr(model.get_params()) + repr(asdict(model.certificate_))
    with pytest.raises(ErasureError) as error:
        model.unlearn(X[:100], y[:100])
    shown += str(error.value)
    assert not any(number[:8] in shown for number in numbers_of(model._perturbation))


def test_the_secret_is_not_in_a_plain_model_or_a_clone(model):
    assert "_perturbation" not in vars(model.to_plain())
    assert "certificate_" not in vars(model.to_plain())
    assert "_perturbation" not in vars(clone(model))


def test_the_secret_is_kept_in_a_file(model, data):
    X, y = data
    loaded = pickle.loads(pickle.dumps(model))
    assert (loaded._perturbation == model._perturbation).all()
    loaded.unlearn(X[:2], y[:2])
    model.unlearn(X[:2], y[:2])
    assert loaded.certificate_ == model.certificate_


def test_the_secret_is_gaussian():
    values = secret_normal(20_000, 3.0)
    assert len(set(values.tolist())) > 19_990
    ecdf = np.arange(1, 20_001) / 20_000
    assert np.abs(norm.cdf(np.sort(values) / 3.0) - ecdf).max() < 0.025


# Refusals.


@pytest.mark.parametrize(
    "params",
    [
        {"curvature": "empirical_fisher"},
        {"structure": "diagonal"},
        {"damping": 0.1},
        {"leave_out": False},
        {"fisher_batch_size": 4},
        {"order": 2},
        {"unlearn_epsilon": 0.5},
        {"bounds": False},
        {"C": np.inf},
        {"class_weight": "balanced"},
        {"certify": (0.0, 1e-5)},
        {"certify": (1.0, 1.0)},
        {"certify": (1.0,)},
        {"certify_std": ("auto", -1)},
        {"certify_std": 1000.0},
    ],
)
def test_parameters_without_a_guarantee_are_refused(data, params):
    with pytest.raises(ErasureError, match="certify"):
        ErasableLogisticRegression(**{**CERTIFIED, **params}).fit(*data)


def test_changes_without_a_guarantee_are_refused(model, data):
    X, y = data
    before = pickle.dumps(model)
    with pytest.raises(ErasureError, match="erasures only"):
        model.learn(X[:1], y[:1])
    with pytest.raises(ErasureError, match="erasures only"):
        model.rectify(X[:1], y[:1], X[1:2], y[1:2])
    with pytest.raises(ErasureError, match="step size"):
        model.unlearn(X[:1], y[:1], epsilon=0.9)
    assert pickle.dumps(model) == before
    pipe = make_pipeline(StandardScaler(), ErasableLogisticRegression(**CERTIFIED)).fit(X, y)
    with pytest.raises(ErasureError, match="columns"):
        unlearn(pipe, X[:1], y[:1], preprocessing="downdate")
    unlearn(pipe, X[:1], y[:1])
    assert pipe[-1].erasures_[-1].certified_spent > 0


def test_a_model_trained_elsewhere_is_refused(data):
    plain = LogisticRegression(C=0.01).fit(*data)
    params = {name: value for name, value in CERTIFIED.items() if name != "C"}
    with pytest.raises(ErasureError, match="trained by `fit`"):
        ErasableLogisticRegression.from_estimator(plain, *data, **params)


def test_more_classes_have_a_certificate_each():
    X, y = load_iris(return_X_y=True)
    X = scale(X)
    params = {**CERTIFIED, "certify_std": 5.0}
    with pytest.raises(ErasureError, match="OneVsRestClassifier"):
        ErasableLogisticRegression(**params).fit(X, y)
    many = OneVsRestClassifier(ErasableLogisticRegression(**params)).fit(X, y)
    unlearn(many, X[:2], y[:2])
    assert all(part.certificate_.spent > 1e-6 for part in many.estimators_)
    secrets = np.array([part._perturbation for part in many.estimators_])
    assert len(np.unique(secrets)) == secrets.size
    refresh(many, X[2:], y[2:])
    assert all(part.certificate_.spent < 1e-5 for part in many.estimators_)


# The budget.


@pytest.mark.parametrize("epsilon", [0.01, 0.5, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("delta", [1e-6, 1e-3, 0.1])
def test_the_budget_is_the_largest_that_the_gaussians_allow(epsilon, delta):
    def loss(shift):
        first = norm.cdf(shift / 2 - epsilon / shift)
        return first - np.exp(epsilon) * norm.cdf(-shift / 2 - epsilon / shift)

    shift = largest_shift(epsilon, delta)
    assert loss(shift) <= delta
    assert loss(1.01 * shift) > delta * 0.999
    classic = epsilon / np.sqrt(2 * np.log(1.5 / delta))
    if epsilon <= 3 and delta < 0.1:
        assert shift > classic
    if loss(classic) > delta:
        assert shift < classic


@pytest.mark.parametrize("n_rows", [1, 6])
def test_the_automatic_std_suffices_for_one_call(data, n_rows):
    X, y = data
    params = {**CERTIFIED, "certify_std": ("auto", 4 * n_rows)}
    for seed in range(5):
        rows = np.random.default_rng(seed).choice(len(y), n_rows, replace=False)
        model = ErasableLogisticRegression(**params).fit(X, y)
        assert model.unlearn(X[rows], y[rows]).certificate_.left > 0


# The guarantee by experiment.

GROSS = {"epsilon": 0.5, "delta": 0.05}
DRAWS = 150


def ball(n=80, d=2):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    X /= np.linalg.norm(X, axis=1).max()
    return X, (X @ np.full(d, 4.0) + rng.logistic(size=n) > 0).astype(int)


def minima(X, y, std, forget=0):
    params = {"certify": tuple(GROSS.values()), "certify_std": std, "fit_intercept": False}
    params |= {"curvature": "fisher", "solver": "newton-cholesky"}
    found = []
    for _ in range(DRAWS):
        model = ErasableLogisticRegression(**params).fit(X, y)
        if forget:
            model.unlearn(X[:forget], y[:forget])
        found.append(model.coef_[0])
    return np.array(found)


def largest_excess(one, other):
    """Largest ``P(one > t) - e^epsilon P(other > t) - delta``, both ways, in both directions."""
    found = -1.0
    for sign in (1, -1):
        grid = np.concatenate([sign * one, sign * other])
        p, q = ((sign * values > grid[:, np.newaxis]).mean(axis=1) for values in (one, other))
        for a, b in ((p, q), (q, p)):
            found = max(found, (a - np.exp(GROSS["epsilon"]) * b - GROSS["delta"]).max())
    return found


def excess(erased, retrained, X, y):
    """The largest excess along the gradient that the erasure leaves: the likelihood ratio."""
    gradients = [(expit(W @ X.T) - y) @ X + W for W in (erased, retrained)]
    shift = gradients[0].mean(axis=0) - gradients[1].mean(axis=0)
    return largest_excess(*(rows @ shift for rows in gradients))


def test_no_threshold_tells_erased_from_retrained_and_a_small_perturbation_is_told():
    X, y = ball()
    # The perturbation whose budget one erasure spends.
    std = 1.2 * ball_bound(X, y) / largest_shift(*GROSS.values())
    # The Dvoretzky-Kiefer-Wolfowitz band of both distributions, each wrong in 1 of 10,000 runs.
    band = (1 + np.exp(GROSS["epsilon"])) * np.sqrt(np.log(2e4) / (2 * DRAWS))
    retained = X[16:], y[16:]
    certified = excess(minima(X, y, std, 16), minima(*retained, std), *retained)
    assert certified < band
    with patch.object(Certificate, "after", lambda self, bound: self):
        sabotaged = excess(minima(X, y, std / 100, 16), minima(*retained, std / 100), *retained)
    assert sabotaged > band


def ball_bound(X, y):
    """The bound on the gradient that the erasure of the first 16 rows leaves."""
    params = {"certify": tuple(GROSS.values()), "certify_std": 1.0, "fit_intercept": False}
    with patch("sklearn_ssse._minimum.perturbed.secret_normal", lambda n, std: np.zeros(n)):
        model = ErasableLogisticRegression(curvature="fisher", **params).fit(X, y)
    start = model.certificate_.spent
    return model.unlearn(X[:16], y[:16]).certificate_.spent - start
