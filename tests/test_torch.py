"""The torch kernels, and every structure built with them, against the numba kernels; on the CPU."""

import importlib
import inspect
import pickle
import sys
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_classification

from sklearn_ssse import ErasableMLPClassifier, ErasureError, _kernels
from sklearn_ssse._families.network import pack_network
from sklearn_ssse._gradients.scores import Layer, Scores
from sklearn_ssse._inverse import MODULE_INVERSES
from sklearn_ssse._kernels import cpu
from tests.reference import relative
from tests.test_inverse import BUILDS, CASES, make_scores

torch = pytest.importorskip("torch", reason="pip install 'sklearn-ssse[torch]'")

from sklearn_ssse._kernels import torch as torch_kernels  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
KERNELS = _kernels.load("torch", "cpu")


@pytest.fixture(autouse=True, scope="module")
def one_torch_thread():
    """On a busy machine, threads of torch and of NumPy slow each other down."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def rows(m, d, seed=0):
    return np.random.default_rng(seed).standard_normal((m, d))


def positive(d, seed=0):
    R = rows(2 * d, d, seed)
    return R.T @ R + np.eye(d), np.random.default_rng(seed).uniform(0.5, 2.0, d)


def positive_blocks(n_blocks, d):
    blocks, scales = zip(*(positive(d, seed) for seed in range(n_blocks)), strict=True)
    return np.stack(blocks), np.stack(scales)


def layer(n, p, c, n_outputs, bias, csr):
    a, delta = rows(n, p), np.random.default_rng(1).standard_normal((n, c, n_outputs))
    return (sparse.csr_array(np.where(a > 0.5, a, 0.0)) if csr else a), delta, bias


LAYERS = [
    layer(n, p, c, n_outputs, bias, csr)
    for n, p, c, n_outputs, bias in [
        (50, 6, 1, 1, True),
        (50, 6, 3, 1, False),
        (50, 6, 1, 5, True),
        (4, 6, 5, 5, True),
        (50, 70, 2, 9, True),  # more outputs than one product takes
        (0, 3, 1, 2, True),
    ]
    for csr in (False, True)
]
# Arguments of each kernel. Updates and inverses take arrays of the kernels and overwrite the first.
ARGUMENTS = {
    "add_unit_grams": [
        (np.ones((delta.shape[2],) + 2 * (a.shape[1] + bias,)), a, delta, bias)
        for a, delta, bias in LAYERS
    ],
    "layer_gram": LAYERS,
    "product": [(rows(30, 7),), (rows(3, 7),)],
    "invert": [positive(7), positive(1030)],
    "invert_blocks": [positive_blocks(4, 6), positive_blocks(2, 513)],
    "rank1_update": [(np.diag(np.linspace(1, 2, 9)), rows(m, 9)) for m in (0, 1, 40)],
    "rank1_update_blocks": [(np.stack([np.eye(6), 2 * np.eye(6)]), rows(30, 6).reshape(2, 15, 6))],
    "rank_b_update": [(np.eye(20), rows(m, 20)) for m in (0, 3, 600)],
}
UPDATES = [name for name in ARGUMENTS if "update" in name or "add" in name]
CALLS = [(name, i) for name, cases in ARGUMENTS.items() for i in range(len(cases))]


def parameters(function):
    """Names, kinds and defaults; the types of arrays differ between the backends."""
    values = inspect.signature(function).parameters.values()
    return [(value.name, value.kind, value.default) for value in values]


def test_names_and_signatures_equal_the_ones_of_numba():
    methods = {
        name
        for name, _ in inspect.getmembers(KERNELS, inspect.ismethod)
        if not name.startswith("_")
    }
    assert methods == set(cpu.__all__) == {*ARGUMENTS, "activate", "asarray", "inputs", "to_numpy"}
    for name in methods:
        assert parameters(getattr(KERNELS, name)) == parameters(getattr(cpu, name)), name


@pytest.mark.parametrize(("name", "i"), CALLS)
def test_kernel_equals_its_twin(name, i):
    arguments = ARGUMENTS[name][i]
    results = []
    for kernels in (cpu, KERNELS):
        passed = arguments
        if name == "add_unit_grams":
            passed = [kernels.asarray(arguments[0].copy()), *arguments[1:]]
        elif name != "layer_gram":
            passed = [kernels.asarray(argument.copy()) for argument in arguments]
        result = getattr(kernels, name)(*passed)
        results.append(kernels.to_numpy(passed[0] if name in UPDATES else result))
    expected, result = results
    assert type(result) is np.ndarray
    assert result.dtype == np.float64
    assert result.flags.c_contiguous
    assert result.flags.owndata
    if name.startswith("rank1"):  # only the lower triangle is defined
        expected, result = np.tril(expected), np.tril(result)
    assert result.shape == expected.shape
    assert relative(result, expected) < 1e-10 if expected.any() else not result.any()
    if name.startswith("invert"):
        assert np.array_equal(result, np.swapaxes(result, -1, -2))


def test_rank1_reads_the_lower_triangle_only():
    P, R = np.eye(6), rows(4, 6)
    P[np.triu_indices(6, 1)] = np.nan
    passed = KERNELS.asarray(P)
    KERNELS.rank1_update(passed, KERNELS.asarray(R))
    assert relative(KERNELS.to_numpy(passed), np.linalg.inv(np.eye(6) + R.T @ R)) < 1e-12


@pytest.mark.parametrize("d", [3, 513])
def test_not_positive_definite_is_none(d):
    A = np.eye(d)
    A[-1, -1] = -1.0
    ones = np.ones(d)
    assert KERNELS.invert(KERNELS.asarray(A.copy()), KERNELS.asarray(ones)) is None
    stack = KERNELS.asarray(np.stack([np.eye(d), A]))
    assert KERNELS.invert_blocks(stack, KERNELS.asarray(np.stack([ones, ones]))) is None


def test_arrays_of_every_layout_are_moved():
    A = rows(4, 6)
    read_only = A.copy()
    read_only.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for array in (
            A,
            A.T,
            A[::-1],
            A[:, ::2],
            A.astype(np.float32),
            read_only,
            np.broadcast_to(A[0], A.shape),
        ):
            crossed = KERNELS.asarray(array)
            assert crossed.dtype == torch.float64
            assert np.array_equal(KERNELS.to_numpy(crossed), array)
    assert KERNELS.asarray(crossed) is crossed
    back = KERNELS.to_numpy(crossed.mT)
    back[:] = 7.0
    assert not (crossed == 7.0).any()


@pytest.mark.parametrize(("structure", "options"), BUILDS)
@pytest.mark.parametrize(("curvature", "n_outputs", "n"), CASES)
def test_inverse_equals_the_inverse_of_numba(structure, options, curvature, n_outputs, n):
    scores = make_scores(curvature, n_outputs, n)
    ridge = np.linspace(0.05, 0.3, scores.n_parameters)
    expected = MODULE_INVERSES[structure].build(scores, ridge, **options)
    inverse = MODULE_INVERSES[structure].build(scores, ridge, kernels=KERNELS, **options)
    assert relative(inverse.to_dense(), expected.to_dense()) < 1e-8
    assert relative(inverse.diagonal, expected.diagonal) < 1e-12
    assert inverse.inversion == expected.inversion
    some = make_scores(curvature, n_outputs, n, weight=np.arange(n) < 3)
    assert relative(inverse.leverage(scores), expected.leverage(scores)) < 1e-8
    assert relative(inverse.downdate(some).to_dense(), expected.downdate(some).to_dense()) < 1e-8
    assert relative(inverse.update(some).to_dense(), expected.update(some).to_dense()) < 1e-8
    assert inverse.solve(ridge) == pytest.approx(expected.solve(ridge), rel=1e-8)
    for inverse_or_less in (inverse, inverse.downdate(some)):
        for value in vars(inverse_or_less).values():
            arrays = value if isinstance(value, list) else [value]
            assert not any(isinstance(array, torch.Tensor) for array in arrays)
        assert b"torch" not in pickle.dumps(inverse_or_less)


@pytest.mark.parametrize("structure", ["full", "block"])
@pytest.mark.parametrize("size", [None, 7])
def test_several_layers_and_csr(structure, size):
    rng = np.random.default_rng(0)
    a = rows(30, 4)
    layers = [
        Layer(sparse.csr_array(np.where(a > 0, a, 0.0)), rng.standard_normal((30, 2, 3)), True),
        Layer(rng.standard_normal((30, 3)), rng.standard_normal((30, 2, 2)), False),
    ]
    options = {} if structure == "full" else {"block_size": size}
    for parts in (layers, layers[:1]):
        scores = Scores(parts)
        ridge = np.ones(scores.n_parameters)
        expected = MODULE_INVERSES[structure].build(scores, ridge, **options)
        inverse = MODULE_INVERSES[structure].build(scores, ridge, kernels=KERNELS, **options)
        assert relative(inverse.to_dense(), expected.to_dense()) < 1e-10


@pytest.mark.parametrize("structure", ["full", "block"])
def test_singular_curvature_is_refused(structure):
    scores = Scores([Layer(np.zeros((3, 2)), np.ones((3, 1, 1)), True)])
    with pytest.raises(ErasureError, match="positive definite"):
        MODULE_INVERSES[structure].build(scores, np.zeros(3), kernels=KERNELS, inversion="cholesky")
    collinear = Scores([Layer(np.ones((3, 2)), np.ones((3, 1, 1)), False)])
    ridge = np.array([1e-30, -1e-3])
    with pytest.raises(ErasureError, match="positive definite"):
        MODULE_INVERSES[structure].build(collinear, ridge, kernels=KERNELS, inversion="cholesky")


@pytest.mark.parametrize("device", ["banana", "meta", "cuda:99", 3.5])
def test_a_missing_device_is_refused(device):
    with pytest.raises(
        ErasureError,
        match=r"`device` must name a device that torch finds on this machine, got .*Pass 'cpu'",
    ):
        _kernels.load("torch", device)


def test_a_device_without_float64_is_refused(monkeypatch):
    def single_only(*size, dtype=None, device=None):
        if dtype == torch.float64:
            raise TypeError("the framework doesn't support float64")
        return torch.zeros(*size)

    monkeypatch.setattr(torch_kernels.torch, "ones", single_only)
    with pytest.raises(ErasureError, match="computes in float64, got 'cpu', which does not"):
        _kernels.load("torch", "cpu")


def test_no_device_is_cuda_or_cpu():
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert _kernels.load("torch").device.type == expected
    assert _kernels.load("torch", torch.device("cpu")).device.type == "cpu"


def test_missing_torch_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "sklearn_ssse._kernels.torch")
    monkeypatch.delattr(_kernels, "torch")
    with pytest.raises(ImportError, match=r"pip install 'sklearn-ssse\[torch\]'"):
        importlib.import_module("sklearn_ssse._kernels.torch")
    with pytest.raises(ImportError, match=r"pip install 'sklearn-ssse\[torch\]'"):
        _kernels.load("torch")


NET_BUILDS = [
    ("full", {"inversion": "cholesky"}),
    ("full", {"inversion": "rank_b"}),
    ("block", {}),
    ("block", {"block_size": 17}),
    ("block", {"block_size": 17, "inversion": "rank1"}),
    ("low_rank", {"rank": 6}),
    ("diagonal", {}),
]


@pytest.mark.parametrize(("structure", "options"), NET_BUILDS)
@pytest.mark.parametrize("curvature", ["empirical_fisher", "fisher"])
@pytest.mark.parametrize("csr", [False, True])
def test_passes_of_a_net_on_the_device(structure, options, curvature, csr, monkeypatch):
    """Build and passes are equal; tensors reach the host through the kernels only."""
    X, y = make_classification(90, 6, n_informative=5, n_redundant=0, n_classes=3, random_state=0)
    X = sparse.csr_array(X) if csr else X
    params = {
        "hidden_layer_sizes": (7, 5),
        "curvature": curvature,
        "structure": structure,
        "unlearn_epsilon": 1.0,
        "damping": 0.05,
        **options,
    }

    def crossing(*args, **kwargs):
        raise TypeError("a tensor became an array outside the kernels")

    monkeypatch.setattr(torch.Tensor, "__array__", crossing)
    for activation in ["identity", "logistic", "tanh", "relu"]:
        expected = ErasableMLPClassifier(
            **params, activation=activation, max_iter=30, random_state=0
        ).fit(X, y)
        model = clone(expected).set_params(backend="torch", device="cpu").fit(X, y)
        assert relative(model.fisher_inverse_, expected.fisher_inverse_) < 1e-8
        model.unlearn(X[:4], y[:4])
        assert relative(pack_network(model), pack_network(expected.unlearn(X[:4], y[:4]))) < 1e-8
        assert not any(isinstance(value, torch.Tensor) for value in vars(model.curvature_).values())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("structure", "options"), BUILDS)
@pytest.mark.parametrize("n_outputs", [1, 5])
def test_inverse_on_cuda(structure, options, n_outputs):
    scores = make_scores("fisher", n_outputs, 120)
    ridge = np.linspace(0.05, 0.3, scores.n_parameters)
    expected = MODULE_INVERSES[structure].build(scores, ridge, **options).to_dense()
    inverse = MODULE_INVERSES[structure].build(
        scores, ridge, kernels=_kernels.load("torch", "cuda"), **options
    )
    assert relative(inverse.to_dense(), expected) < 1e-8
