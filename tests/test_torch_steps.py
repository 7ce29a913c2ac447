"""ErasableNeuralNetClassifier: its steps against the other estimators, and equation (4) by hand."""

import copy

import numpy as np
import pytest
from sklearn.datasets import load_iris, make_classification
from sklearn.preprocessing import scale

from sklearn_ssse import ErasableLogisticRegression, ErasableMLPClassifier, ErasureError
from tests.reference import relative
from tests.warned import (
    DAMPED,
    LARGE_EPSILON,
    LONG_STEP,
    MINI_BATCHES,
    STALE,
    TOO_LONG,
    UNTRAINED,
    may_warn,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
torch = pytest.importorskip("torch", reason="pip install 'sklearn-ssse[torch]'")
skorch = pytest.importorskip("skorch", reason="pip install 'sklearn-ssse[torch]'")

from sklearn_ssse.torch import ErasableNeuralNetClassifier  # noqa: E402

nn = torch.nn
STRUCTURES = ["full", "block", "low_rank", "diagonal"]
STEPS = (DAMPED, LARGE_EPSILON, LONG_STEP, MINI_BATCHES, STALE, TOO_LONG)


@pytest.fixture(autouse=True)
def one_torch_thread():
    """One thread, and a state of the random generator that tests may change."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
    torch.set_num_threads(threads)


def iris():
    X, y = load_iris(return_X_y=True)
    return scale(X), y


def linear_module(layers, activation):
    """A module in float64 of linear layers, each a pair of its matrix (d, m) and intercepts."""
    modules = []
    for W, b in layers:
        layer = nn.Linear(*W.shape).double()
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(W.T))
            layer.bias.copy_(torch.tensor(b))
        modules += [layer, activation()]
    return nn.Sequential(*modules[:-1])


def numbers(net):
    """The parameters of a net, in the order of its module."""
    values = [value.detach().numpy().ravel() for value in net.module_.parameters()]
    return np.concatenate(values).astype(np.float64)


def images(n=60, dtype=np.float32):
    """Small images of three classes, (n, 2, 5, 5)."""
    X, y = make_classification(
        n, 50, n_informative=8, n_classes=3, class_sep=2.0, flip_y=0.05, random_state=0
    )
    return X.reshape(-1, 2, 5, 5).astype(dtype), y


def small_cnn(norm=True):
    """A convolutional module in float64, trained for a few steps on `images`."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3) if norm else nn.Identity()]
    layers += [nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.2), nn.Linear(12, 3)]
    module = nn.Sequential(*layers).double()
    X, y = images(dtype=np.float64)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(torch.tensor(X)), torch.tensor(y)).backward()
        optimizer.step()
    return module, X, y


def gradients_of_rows(module, X, y):
    """The gradient of each row's loss by one backward pass for each, (n, d)."""
    module = copy.deepcopy(module).eval()
    out = []
    for x, label in zip(torch.tensor(X), torch.tensor(y), strict=True):
        module.zero_grad()
        nn.functional.cross_entropy(module(x[None]), label[None]).backward()
        out.append(torch.cat([value.grad.ravel() for value in module.parameters()]).numpy().copy())
    return np.array(out)


@pytest.mark.parametrize("leave_out", [False, True])
@pytest.mark.parametrize("curvature", ["empirical_fisher", "fisher"])
@pytest.mark.parametrize("structure", ["full", "diagonal"])
def test_one_linear_layer_equals_the_logistic_regression(curvature, structure, leave_out):
    X, y = iris()
    given = {"curvature": curvature, "structure": structure, "leave_out": leave_out}
    given |= {"damping": 1e-3, "fisher_batch_size": 1}
    twin = ErasableLogisticRegression(**given, order=1, tol=1e-12, max_iter=1000).fit(X, y)
    module = linear_module([(twin.coef_.T, twin.intercept_)], nn.Identity)
    # The penalty of the regression does not depend on the number of rows, so that no step has it.
    net = ErasableNeuralNetClassifier.from_module(module, X, y, **given)
    np.testing.assert_allclose(net.predict_proba(X), twin.predict_proba(X), rtol=1e-10)
    for rows in (slice(0, 4), slice(60, 63)):  # the second call starts from an erased model
        with may_warn(*STEPS):
            twin.unlearn(X[rows], y[rows], epsilon=0.5)
            net.unlearn(X[rows], y[rows], epsilon=0.5)
        expected = np.concatenate([twin.coef_.ravel(), twin.intercept_])
        np.testing.assert_allclose(numbers(net), expected, rtol=1e-8, atol=1e-8)
        assert net.erasures_[-1].margin == pytest.approx(twin.erasures_[-1].margin, rel=1e-6)


@pytest.mark.parametrize("curvature", ["empirical_fisher", "fisher"])
@pytest.mark.parametrize("structure", ["full", "low_rank"])
def test_two_linear_layers_equal_the_multi_layer_perceptron(curvature, structure):
    X, y = iris()
    given = {"curvature": curvature, "structure": structure, "damping": 1e-2}
    given |= {"fisher_batch_size": 1, "rank": 43 if structure == "low_rank" else None}
    twin = ErasableMLPClassifier(
        (5,), "tanh", solver="lbfgs", alpha=0.0, max_iter=60, random_state=0, **given
    )
    twin.fit(X, y)
    module = linear_module(zip(twin.coefs_, twin.intercepts_, strict=True), nn.Tanh)
    net = ErasableNeuralNetClassifier.from_module(module, X, y, **given)
    with may_warn(*STEPS):
        twin.unlearn(X[:6], y[:6], epsilon=0.1)
        net.unlearn(X[:6], y[:6], epsilon=0.1)
    layers = zip(twin.coefs_, twin.intercepts_, strict=True)
    expected = np.concatenate([part for W, b in layers for part in (W.T.ravel(), b)])
    np.testing.assert_allclose(numbers(net), expected, rtol=1e-8, atol=1e-8)


def test_the_step_of_a_small_cnn_equals_equation_4():
    module, X, y = small_cnn()
    n, k, eps, damping = len(y), 5, 0.2, 1e-2
    G = gradients_of_rows(module, X, y)
    F = G.T @ G / n + damping * np.eye(G.shape[1])
    net = ErasableNeuralNetClassifier.from_module(
        module, X, y, damping=damping, fisher_batch_size=1, structure="full"
    )
    before = numbers(net)
    with may_warn(*STEPS):
        net.unlearn(X[:k], y[:k], epsilon=eps)
    step = eps / (n - k) * np.linalg.solve(F, G[:k].sum(axis=0))
    assert relative(numbers(net) - before, step) < 1e-8


def test_the_step_with_leave_out_equals_equation_1_with_the_penalty():
    module, X, y = small_cnn()
    n, k, damping, decay = len(y), 3, 0.3, 3e-2
    G = gradients_of_rows(module, X, y)
    given = {"damping": damping, "fisher_batch_size": 1, "structure": "full", "leave_out": True}
    net = ErasableNeuralNetClassifier.from_module(module, X, y, weight_decay=decay, **given)
    before = numbers(net)
    with may_warn(*STEPS):
        net.unlearn(X[:k], y[:k], epsilon=0.3)
    assert not net.erasures_[-1].damped
    A = G[k:].T @ G[k:] + n * damping * np.eye(G.shape[1])
    g = G[:k].sum(axis=0) + k * decay * before
    assert relative(numbers(net) - before, 0.3 * np.linalg.solve(A, g)) < 1e-8


def test_mini_batches_are_signed_sums_of_gradients():
    module, X, y = small_cnn()
    G = gradients_of_rows(module, X, y)
    net = ErasableNeuralNetClassifier.from_module(module, X, y, fisher_batch_size=10)
    batch = net._family().batch(*net._checked_rows(X, y, None)[:2], np.ones(len(y)))
    stream = batch.scores("empirical_fisher", 10)
    layout = net._family().layout
    for row, members in zip(stream.to_dense(), stream.members, strict=True):
        sums = np.array([packed(layout, module, g) for g in G[members]])
        signs, *_ = np.linalg.lstsq(sums.T, row, rcond=None)
        np.testing.assert_allclose(np.abs(signs), 1.0, rtol=1e-6)


def packed(layout, module, gradient):
    """A gradient in the order of the module's parameters in the order of the layout."""
    twin = copy.deepcopy(module)
    nn.utils.vector_to_parameters(torch.tensor(gradient), twin.parameters())
    return layout.pack(twin)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_learn_steps_back(structure):
    module, X, y = small_cnn(norm=False)
    net = ErasableNeuralNetClassifier.from_module(
        module, X, y, fisher_batch_size=1, structure=structure, leave_out=False, damping=0.1
    )
    before = numbers(net)
    with may_warn(*STEPS):
        net.unlearn(X[:2], y[:2], epsilon=1e-3)
        erased = numbers(net)
        net.learn(X[:2], y[:2], epsilon=1e-3)
    away = erased - before
    back = numbers(net) - erased
    assert away @ back < -0.9 * np.linalg.norm(away) * np.linalg.norm(back)
    assert net.n_samples_remaining_ == len(y)


def test_parameters_restrict_the_step_to_layers():
    module, X, y = small_cnn()
    net = ErasableNeuralNetClassifier.from_module(
        module, X, y, fisher_batch_size=1, parameters=["6"], structure="full", damping=1e-2
    )
    before = {name: value.clone() for name, value in net.module_.state_dict().items()}
    with may_warn(*STEPS):
        net.unlearn(X[:5], y[:5], epsilon=0.2)
    changed = {
        name
        for name, value in net.module_.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed == {"6.weight", "6.bias"}
    d = 39
    G = gradients_of_rows(module, X, y)[:, -d:]
    F = G.T @ G / len(y) + 1e-2 * np.eye(d)
    step = 0.2 / (len(y) - 5) * np.linalg.solve(F, G[:5].sum(axis=0))
    moved = numbers(net)[-d:] - np.concatenate(
        [before[f"6.{n}"].ravel() for n in ("weight", "bias")]
    )
    assert relative(moved, step) < 1e-8


def test_the_last_layers_alone_move():
    module, X, y = small_cnn()
    given = {"fisher_batch_size": 1, "damping": 1e-2}
    net = ErasableNeuralNetClassifier.from_module(module, X, y, structure="last_layers", **given)
    twin = ErasableNeuralNetClassifier.from_module(module, X, y, structure="full", **given)
    with may_warn(*STEPS):  # all layers have less than 4,000 parameters
        net.unlearn(X[:5], y[:5], epsilon=0.2)
        twin.unlearn(X[:5], y[:5], epsilon=0.2)
    np.testing.assert_array_equal(numbers(net), numbers(twin))

    X = X.reshape(len(X), -1)
    layers = [nn.Linear(50, 40), nn.Tanh(), nn.Linear(40, 60), nn.Tanh(), nn.Linear(60, 3)]
    module = nn.Sequential(*layers).double()
    with may_warn(*STEPS, UNTRAINED):
        net = ErasableNeuralNetClassifier.from_module(
            module, X, y, structure="last_layers", **given
        )
        named = ErasableNeuralNetClassifier.from_module(
            module, X, y, structure="full", parameters=["2", "4"], **given
        )
        net.unlearn(X[:5], y[:5], epsilon=0.2)
        named.unlearn(X[:5], y[:5], epsilon=0.2)
    np.testing.assert_array_equal(numbers(net), numbers(named))
    net.set_params(structure="full")
    with pytest.raises(ErasureError, match="structure must be as it was"):
        net.unlearn(X[5:6], y[5:6])


def test_preview_changes_nothing_and_equals_the_record():
    module, X, y = small_cnn()
    net = ErasableNeuralNetClassifier.from_module(module, X, y, fisher_batch_size=1)
    before = numbers(net)
    with may_warn(*STEPS):
        preview = net.preview_unlearn(X[:3], y[:3])
        assert np.array_equal(numbers(net), before)
        net.unlearn(X[:3], y[:3])
    record = net.erasures_[-1]
    assert (record.epsilon, record.margin) == (preview.epsilon, preview.margin)


def test_an_erasure_that_raises_changes_nothing():
    module, X, y = small_cnn()
    net = ErasableNeuralNetClassifier.from_module(module, X, y, fisher_batch_size=1)
    before = numbers(net)
    with pytest.raises(ErasureError, match="Each row of X must have shape"):
        net.unlearn(X[:3].reshape(3, -1), y[:3])
    with pytest.raises(ErasureError, match="finite numbers"):
        net.unlearn(np.full_like(X[:3], np.nan), y[:3])
    with pytest.raises(ErasureError):
        net.unlearn(1e3 * X[:3], y[:3], epsilon=1e6)
    assert np.array_equal(numbers(net), before)
    assert net.erasures_ == []
