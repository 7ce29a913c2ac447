"""Gradient rows of torch modules against ``vmap(grad)``, and the layout of their parameters."""

import copy
import pickle

import numpy as np
import pytest

from sklearn_ssse import ErasureError

torch = pytest.importorskip("torch", reason="pip install 'sklearn-ssse[torch]'")

from torch import nn  # noqa: E402
from torch.func import functional_call, grad, vmap  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from sklearn_ssse._modules import (  # noqa: E402
    ParameterLayout,
    check_rows,
    evaluating,
    gradient_rows,
    gradient_sums,
    rows,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel lengths"),
    pytest.mark.filterwarnings("ignore:There is a performance drop"),
]
N_SAMPLES = 10
N_ROWS = 3
N_OUTPUTS = 2
TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-10}


@pytest.fixture(autouse=True)
def one_torch_thread():
    """One thread, seeded tensors, and a state of the random generator that tests may change."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
    torch.set_num_threads(threads)


class Outputs(nn.Module):
    """Smooth outputs (n, 2) of a layer whose output has any shape: each depends on all elements."""

    def forward(self, values):
        values = values.flatten(1)
        weights = torch.linspace(-1, 2, values.shape[1], dtype=values.dtype)
        return torch.stack([values.sin() @ weights, (values * values) @ weights], dim=1)


def net(*layers):
    return nn.Sequential(*layers, Outputs())


class Residual(nn.Module):
    """Residual block with batch norm, group norm and activations in place."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.norm2 = nn.GroupNorm(2, 4)
        self.skip = nn.Conv2d(3, 4, 1, stride=2)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(4, N_OUTPUTS)

    def forward(self, x):
        z = F.relu(self.norm1(self.conv1(x)), inplace=True)
        z = self.norm2(self.conv2(z))
        z += self.skip(x)
        return self.fc(self.drop(F.relu(z, inplace=True)).mean((2, 3)))


class Twice(nn.Module):
    """One layer that is called twice, the second time by keyword."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.fc = nn.Linear(4, N_OUTPUTS)

    def forward(self, x):
        return self.fc(torch.tanh(self.layer(input=torch.tanh(self.layer(x)))))


class Attention(nn.Module):
    """Encoder layer of a transformer, whose attention does not move."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.encoder = nn.TransformerEncoderLayer(4, 2, dim_feedforward=6, batch_first=True)
        self.fc = nn.Linear(4, N_OUTPUTS)

    def forward(self, tokens):
        return self.fc(self.encoder(self.embedding(tokens)).mean(1))


def tokens(n_embeddings):
    return torch.randint(n_embeddings, (N_SAMPLES, 6))


# A module, and the shape of a sample or a function that makes the samples.
CASES = {
    "linear": (net(nn.Linear(5, 3)), (5,)),
    "linear without bias": (net(nn.Linear(5, 3, bias=False)), (5,)),
    "linear with positions": (net(nn.Linear(5, 3)), (4, 2, 5)),
    "conv1d": (net(nn.Conv1d(4, 6, 3, stride=2, padding=1)), (4, 9)),
    "conv1d circular": (net(nn.Conv1d(4, 2, 4, padding=2, padding_mode="circular")), (4, 9)),
    "conv2d": (net(nn.Conv2d(3, 4, 3, padding=1, bias=False)), (3, 6, 5)),
    "conv2d 1x1": (net(nn.Conv2d(3, 4, 1, stride=2)), (3, 6, 5)),
    "conv2d same": (net(nn.Conv2d(3, 4, (2, 4), padding="same", dilation=(1, 2))), (3, 6, 5)),
    "conv2d valid": (net(nn.Conv2d(3, 4, (3, 2), padding="valid")), (3, 6, 5)),
    "conv2d groups": (net(nn.Conv2d(4, 6, 3, stride=(2, 1), padding=(1, 0), groups=2)), (4, 6, 5)),
    "conv2d depthwise": (net(nn.Conv2d(4, 4, 3, groups=4, dilation=2)), (4, 6, 7)),
    "conv2d reflect": (
        net(nn.Conv2d(3, 2, 3, padding=(1, 2), padding_mode="reflect")),
        (3, 6, 5),
    ),
    "conv2d same replicate": (
        net(nn.Conv2d(3, 2, (2, 3), padding="same", padding_mode="replicate")),
        (3, 6, 5),
    ),
    "conv3d": (
        net(nn.Conv3d(2, 4, (1, 2, 3), stride=(1, 2, 1), padding=(0, 1, 1), groups=2)),
        (2, 3, 4, 5),
    ),
    "embedding": (net(nn.Embedding(7, 3)), lambda: tokens(7)),
    "embedding with padding": (net(nn.Embedding(7, 3, padding_idx=2)), lambda: tokens(7)),
    "batch norm 1d": (net(nn.BatchNorm1d(4)), (4,)),
    "batch norm 1d with positions": (net(nn.BatchNorm1d(4)), (4, 5)),
    "batch norm 2d": (net(nn.BatchNorm2d(4), nn.ReLU(inplace=True)), (4, 3, 2)),
    "batch norm 3d": (net(nn.BatchNorm3d(4)), (4, 3, 2, 2)),
    "layer norm": (net(nn.LayerNorm(5)), (3, 5)),
    "layer norm of two axes": (net(nn.LayerNorm((3, 5))), (2, 3, 5)),
    "layer norm without bias": (net(nn.LayerNorm(5, bias=False)), (5,)),
    "group norm": (net(nn.GroupNorm(2, 4)), (4, 3, 2)),
    "instance norm": (net(nn.InstanceNorm2d(4, affine=True), nn.ReLU(inplace=True)), (4, 3, 2)),
    "instance norm with statistics": (
        net(nn.InstanceNorm1d(4, affine=True, track_running_stats=True)),
        (4, 3),
    ),
    "rms norm": (net(nn.RMSNorm((3, 5))), (2, 3, 5)),
    "prelu": (net(nn.PReLU()), (4, 3)),
    "prelu of channels": (net(nn.PReLU(4)), (4, 3)),
    "relu in place": (net(nn.Linear(5, 4), nn.ReLU(inplace=True), nn.Linear(4, 3)), (5,)),
    "residual": (Residual(), (3, 6, 6)),
    "twice": (Twice(), (4,)),
}


def make(case, dtype=torch.float64):
    """A module of random parameters and statistics, its samples and its seeds."""
    module, samples = CASES[case] if isinstance(case, str) else case
    module = copy.deepcopy(module).to(dtype)
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(0.5 + torch.rand_like(tensor))
            tensor.mul_(
                torch.where(torch.rand_like(tensor) < 0.5, -0.5, 1) if tensor.ndim > 1 else 1
            )
    X = samples() if callable(samples) else torch.randn(N_SAMPLES, *samples, dtype=dtype)
    seeds = torch.randn(N_SAMPLES, N_ROWS, N_OUTPUTS, dtype=dtype)
    return module, X, seeds


def expected_rows(module, layout, X, seeds, group_size=1):
    """The rows by ``vmap(grad)`` of torch."""
    state = {name: tensor.detach() for name, tensor in module.state_dict().items()}
    moving = {name: state.pop(name) for name in layout.names}

    def seeded(moving, x, seed):
        return (functional_call(module, {**state, **moving}, (x[None],))[0] * seed).sum()

    n, c = seeds.shape[:2]
    with evaluating(module):
        each = vmap(grad(seeded), (None, 0, 0))
        gradients = each(moving, X.repeat_interleave(c, 0), seeds.flatten(0, 1))
    out = torch.empty(n * c, layout.n_parameters, dtype=seeds.dtype)
    layout.gather(gradients, out)
    return out.unflatten(0, (-1, group_size, c)).sum(1).flatten(0, 1)


def assert_close(found, expected, dtype=torch.float64):
    assert found.shape == expected.shape
    assert found.dtype == dtype
    assert not found.requires_grad
    assert expected.abs().max() > 0
    assert (found - expected).abs().max() <= TOLERANCES[dtype] * expected.abs().max()


# Rows


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_rows_are_the_gradients_of_each_sample(case, dtype):
    module, X, seeds = make(case, dtype)
    layout = ParameterLayout.of(module)
    assert layout.n_parameters == sum(p.numel() for p in module.parameters())
    expected = expected_rows(module, layout, X, seeds)
    assert_close(gradient_rows(module, module, layout, X, seeds), expected, dtype)
    groups = gradient_rows(module, module, layout, X, seeds, group_size=5)
    sums = expected.unflatten(0, (-1, 5, N_ROWS)).sum(1).flatten(0, 1)
    assert_close(groups, sums, dtype)


@pytest.mark.parametrize("case", ["residual", "twice", "conv3d", "embedding with padding"])
def test_sums_are_the_sums_of_the_rows(case):
    module, X, seeds = make(case)
    layout = ParameterLayout.of(module)
    total = gradient_rows(module, module, layout, X, seeds, group_size=N_SAMPLES)
    assert_close(gradient_sums(module, module, layout, X, seeds), total)


@pytest.mark.parametrize("case", ["conv2d groups", "linear with positions", "embedding"])
def test_small_chunks_yield_the_same_rows(case, monkeypatch):
    module, X, seeds = make(case)
    layout = ParameterLayout.of(module)
    at_once = gradient_rows(module, module, layout, X, seeds, group_size=2)
    monkeypatch.setattr(rows, "CHUNK_SIZE", 1)
    assert_close(gradient_rows(module, module, layout, X, seeds, group_size=2), at_once)


@pytest.mark.parametrize(
    "parameters",
    [["fc"], ["fc.bias"], ["conv1", "fc.weight"], ["norm?"], ["*.bias"], ["norm2.weight", "skip"]],
)
def test_some_parameters(parameters):
    module, X, seeds = make("residual")
    whole = ParameterLayout.of(module)
    part = ParameterLayout.of(module, parameters)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name not in part.names)
    columns = np.flatnonzero(whole.per_parameter(lambda name: name in part.names))
    assert len(columns) == part.n_parameters
    expected = gradient_rows(module, module, whole, X, seeds)[:, columns]
    assert_close(gradient_rows(module, module, part, X, seeds), expected)
    sums = gradient_sums(module, module, part, X, seeds)
    assert_close(sums, expected.unflatten(0, (-1, N_ROWS)).sum(0))


def test_layers_beside_an_attention_that_does_not_move():
    module, X, seeds = make((Attention(), lambda: tokens(7)))
    layout = ParameterLayout.of(module, ["fc", "*.linear?", "*.norm?", "embedding"])
    assert_close(
        gradient_rows(module, module, layout, X, seeds), expected_rows(module, layout, X, seeds)
    )


def test_layer_whose_outputs_are_not_used():
    class Unused(Twice):
        def forward(self, x):
            self.layer(x)
            return self.fc(x)

    module, X, seeds = make((Unused(), (4,)))
    layout = ParameterLayout.of(module)
    found = gradient_rows(module, module, layout, X, seeds)
    columns = layout.per_parameter(lambda name: name.startswith("layer")) == 1
    assert not found[:, columns].any()
    assert found[:, ~columns].any()
    sums = gradient_sums(module, module, layout, X, seeds)
    assert_close(sums, found.unflatten(0, (-1, N_ROWS)).sum(0))


# The module is left as it was


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_inside_contexts_of_the_caller(context):
    module, X, seeds = make("residual")
    layout = ParameterLayout.of(module)
    expected = gradient_rows(module, module, layout, X, seeds)
    with context():
        X_inside = X + 0
        seeds_inside = seeds + 0
        found = gradient_rows(module, module, layout, X_inside, seeds_inside)
        sums = gradient_sums(module, module, layout, X_inside, seeds_inside)
    assert_close(found, expected)
    assert_close(sums, expected.unflatten(0, (-1, N_ROWS)).sum(0))


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("function", [gradient_rows, gradient_sums])
def test_module_is_unchanged(function, fails):
    module, X, seeds = make("residual")
    module.train()
    module.norm1.eval()
    module.conv1.weight.requires_grad_(False)
    before = copy.deepcopy(module.state_dict())
    training = [submodule.training for submodule in module.modules()]
    layout = ParameterLayout.of(module)
    state = torch.get_rng_state()

    def forward(X):
        assert not any(submodule.training for submodule in module.modules())
        torch.rand(3)
        if fails:
            raise KeyError
        return module(X)

    if fails:
        with pytest.raises(KeyError):
            function(forward, module, layout, X, seeds)
    else:
        function(forward, module, layout, X, seeds)
    assert torch.equal(torch.get_rng_state(), state)
    assert [submodule.training for submodule in module.modules()] == training
    assert [p.requires_grad for p in module.parameters()].count(False) == 1
    assert not module.conv1.weight.requires_grad
    assert all(parameter.grad is None for parameter in module.parameters())
    assert all(not submodule._forward_hooks for submodule in module.modules())
    assert torch.backends.mha.get_fastpath_enabled()
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


# The layout


def test_pack_and_write():
    module, _, _ = make("residual", torch.float32)
    layout = ParameterLayout.of(module)
    theta = layout.pack(module)
    assert theta.dtype == np.float64
    assert theta.shape == (layout.n_parameters,)
    tensors = {name: id(parameter) for name, parameter in module.named_parameters()}
    other = make("residual", torch.float32)[0]
    layout.write(theta, other)
    for name, parameter in other.named_parameters():
        assert parameter.dtype == torch.float32
        assert torch.equal(parameter, module.get_parameter(name))
    layout.write(theta + 1, module)
    assert {name: id(parameter) for name, parameter in module.named_parameters()} == tensors
    np.testing.assert_allclose(layout.pack(module), theta + 1, rtol=1e-6)


def test_a_layer_is_a_matrix_with_the_bias_in_the_last_column():
    layer = nn.Conv2d(2, 3, 2).double()
    layout = ParameterLayout.of(layer)
    assert layout.shapes == [(3, 9)]
    matrix = np.hstack([layer.weight.detach().flatten(1), layer.bias.detach()[:, None]])
    np.testing.assert_array_equal(layout.pack(layer), matrix.ravel())
    weights = layout.per_parameter({"weight": 2.0, "bias": 0.0}.get)
    np.testing.assert_array_equal(weights.reshape(3, 9), [[2.0] * 8 + [0.0]] * 3)
    assert ParameterLayout.of(layer, ["bias"]).shapes == [(3, 1)]


def test_layout_is_copied_without_the_module():
    module, X, seeds = make("residual")
    layout = ParameterLayout.of(module)
    expected = gradient_rows(module, module, layout, X, seeds)
    for copied in (copy.deepcopy(layout), pickle.loads(pickle.dumps(layout))):
        assert copied.layers == layout.layers or copied.shapes == layout.shapes
        assert_close(gradient_rows(module, module, copied, X, seeds), expected)
    assert len(pickle.dumps(layout)) < 3000


def test_subclasses_with_the_same_forward_are_supported():
    class Named(nn.Linear):
        pass

    class Scaled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    assert ParameterLayout.of(Named(2, 3)).shapes == [(3, 3)]
    with pytest.raises(ErasureError, match="type Scaled"):
        ParameterLayout.of(Scaled(2, 3))


# Refusals


class Direct(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.fc = nn.Linear(3, 2)


def tied():
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2))
    module[1].weight = module[0].weight
    return module


REFUSED = {
    "lstm": (nn.Sequential(nn.LSTM(3, 2), nn.Linear(2, 2)), "type LSTM.* may move: '1'"),
    "attention": (nn.MultiheadAttention(4, 2), "in_proj_weight.*type MultiheadAttention"),
    "transposed": (nn.Sequential(nn.ConvTranspose2d(2, 2, 2)), "weight, bias of 0 .type ConvT"),
    "direct": (Direct(), "scale of the module itself .type Direct.*'fc'"),
    "bilinear": (nn.Bilinear(2, 2, 2), "type Bilinear.*none in this module"),
    "max_norm": (nn.Embedding(3, 2, max_norm=1.0), "type Embedding with the option max_norm"),
    "sparse": (nn.Embedding(3, 2, sparse=True), "the option sparse"),
    "frequency": (nn.Embedding(3, 2, scale_grad_by_freq=True), "option scale_grad_by_freq"),
    "lazy": (nn.Sequential(nn.LazyLinear(2)), "LazyLinear|first batch"),
    "weight norm": (nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), "Parametriz"),
    "tied": (tied(), "one tensor under the names '0.weight', '1.weight'"),
    "batch statistics": (
        nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False)),
        "evaluation would depend on the other rows of a batch",
    ),
    "no parameters": (nn.ReLU(), "must move, got none in ReLU"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_modules(case):
    module, message = REFUSED[case]
    with pytest.raises(ErasureError, match=message):
        ParameterLayout.of(module)


def test_layers_that_do_not_move_are_not_refused():
    assert ParameterLayout.of(REFUSED["lstm"][0], ["1"]).names == ["1.weight", "1.bias"]
    assert ParameterLayout.of(REFUSED["direct"][0], ["fc.*"]).shapes == [(2, 4)]
    assert ParameterLayout.of(tied(), ["2", "1.bias"]).names == ["1.bias", "2.weight", "2.bias"]


@pytest.mark.parametrize("parameters", [["fc", "nothing"], ["f"], [""]])
def test_names_that_match_nothing(parameters):
    with pytest.raises(ErasureError, match=r"matches no parameter\. Choose from 'fc'"):
        ParameterLayout.of(Direct(), parameters)
    with pytest.raises(ErasureError, match="must move"):
        ParameterLayout.of(Direct(), [])


def refused_rows(change, message, samples=(4,)):
    """Check the message for a module that calls its layers by ``change``."""

    class Changed(Twice):
        def forward(self, x):
            return change(self, x)

    module, X, seeds = make((Changed(), samples))
    with pytest.raises(ErasureError, match=message):
        gradient_rows(module, module, ParameterLayout.of(module), X, seeds)


def test_refused_calls():
    refused_rows(lambda self, x: self.fc(F.linear(x, self.layer.weight)), "no call of 'layer'")
    refused_rows(lambda self, x: self.fc(self.layer(x[0]) + x), "must be the 10 samples")
    refused_rows(lambda self, x: self.fc(self.layer(x)).detach(), "without a gradient")
    refused_rows(lambda self, x: self.fc(self.layer(x))[:, :1], "must have shape")

    def in_place(self, x):
        hidden = x * 1
        z = self.layer(hidden)
        hidden += 1
        return self.fc(z + hidden)

    refused_rows(in_place, "changed inputs of layer 'layer'")
    module, X, seeds = make("twice")
    layout = ParameterLayout.of(module)
    with pytest.raises(ErasureError, match="10 samples in groups of 4"):
        gradient_rows(module, module, layout, X, seeds, group_size=4)
    with pytest.raises(ErasureError, match=r"theta must have shape \(30,\), got \(3,\)"):
        layout.write(np.zeros(3), module)


def test_check_of_the_rows():
    module, X, seeds = make("residual")
    check_rows(module, module, ParameterLayout.of(module), X[:2], seeds[:2])

    class Functional(Twice):
        def forward(self, x):
            return self.fc(torch.tanh(F.linear(self.layer(x), self.layer.weight)))

    class Mixed(Twice):
        def forward(self, x):
            return self.fc(torch.tanh(self.layer(x - x.mean(0))))

    for wrong in (Functional(), Mixed()):
        module, X, seeds = make((wrong, (4,)))
        with pytest.raises(ErasureError, match="a different row in layer"):
            check_rows(module, module, ParameterLayout.of(module), X[:2], seeds[:2])
