"""ErasableNeuralNetClassifier as a scikit-learn and a skorch estimator."""

import copy
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ssse import (
    ErasureError,
    ErasureWarning,
    ForgetSetSplit,
    GammaScorer,
    TunedEpsilonCV,
    parameter_distance,
    refresh,
    unlearn,
    verify_erasure,
)
from tests.test_torch_steps import (  # noqa: F401
    STEPS,
    images,
    iris,
    linear_module,
    numbers,
    one_torch_thread,
)
from tests.warned import MINI_BATCHES, REFRESH, may_warn

torch = pytest.importorskip("torch", reason="pip install 'sklearn-ssse[torch]'")
skorch = pytest.importorskip("skorch", reason="pip install 'sklearn-ssse[torch]'")

from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

from sklearn_ssse.torch import ErasableNeuralNetClassifier  # noqa: E402

nn = torch.nn
NAMES = np.array(["setosa", "versicolor", "virginica"])
TRAINING = {
    "criterion": nn.CrossEntropyLoss,
    "lr": 0.05,
    "max_epochs": 4,
    "batch_size": 32,
    "optimizer": torch.optim.SGD,
    "optimizer__momentum": 0.9,
    "optimizer__weight_decay": 1e-3,
    "train_split": None,
    "verbose": 0,
}


class Flowers(nn.Module):
    """Two layers, with as many hidden units as a search sets."""

    def __init__(self, n_hidden=6, norm=None):
        super().__init__()
        self.hidden = nn.Linear(4, n_hidden)
        self.norm = nn.Identity() if norm is None else norm(n_hidden)
        self.out = nn.Linear(n_hidden, 3)

    def forward(self, X):
        return self.out(torch.tanh(self.norm(self.hidden(X))))


def flowers(cls=ErasableNeuralNetClassifier, **params):
    own = {"fisher_batch_size": 1} if cls is ErasableNeuralNetClassifier else {}
    return cls(Flowers, **{**TRAINING, **own, **params})


def fitted(X, y=None, cls=ErasableNeuralNetClassifier, **params):
    torch.manual_seed(1)
    return flowers(cls, **params).fit(X, y)


def rows(dtype=np.float32):
    X, y = iris()
    return X.astype(dtype), y


@pytest.mark.parametrize("train_split", [False, True])
def test_the_module_is_that_of_skorch_to_the_bit(train_split):
    X, y = rows()
    split = skorch.dataset.ValidSplit(5) if train_split else None
    given = {"module__norm": nn.BatchNorm1d, "train_split": split}
    net = fitted(X, y, **given)
    plain = fitted(X, y, skorch.NeuralNetClassifier, **given)
    for own, other in zip(
        net.module_.state_dict().values(), plain.module_.state_dict().values(), strict=True
    ):
        assert torch.equal(own, other)
    np.testing.assert_array_equal(net.predict_proba(X), plain.predict_proba(X))
    assert net.history_[:, "train_loss"] == plain.history_[:, "train_loss"]
    assert net.n_samples_remaining_ == (120 if train_split else 150)


def test_labels_may_be_strings():
    X, y = rows()
    net = fitted(X, NAMES[y])
    twin = fitted(X, y)
    np.testing.assert_array_equal(net.classes_, NAMES)
    np.testing.assert_array_equal(net.predict(X), NAMES[twin.predict(X)])
    assert net.score(X, NAMES[y]) == twin.score(X, y)
    with may_warn(*STEPS):
        net.unlearn(X[:4], NAMES[y[:4]])
        twin.unlearn(X[:4], y[:4])
    np.testing.assert_array_equal(numbers(net), numbers(twin))
    with pytest.raises(ErasureError):
        net.unlearn(X[:1], ["tulip"])


def test_rows_may_be_float64_tensors_data_sets_and_loaders():
    X, y = rows()
    expected = numbers(fitted(X, y))
    data = TensorDataset(torch.tensor(X), torch.tensor(y))
    for given in ((X.astype(np.float64), y), (torch.tensor(X), torch.tensor(y)), (data, None)):
        net = fitted(*given)
        np.testing.assert_array_equal(numbers(net), expected)
        first = copy.deepcopy(net)
        with may_warn(*STEPS):
            net.unlearn(X[:3], y[:3])
            first.unlearn(TensorDataset(torch.tensor(X[:3]), torch.tensor(y[:3])), None)
        np.testing.assert_array_equal(numbers(net), numbers(first))
    loader = DataLoader(data, batch_size=32)
    assert fitted(loader).n_samples_remaining_ == 150


def test_rows_may_have_any_shape():
    X, y = images()
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3)]
    net = ErasableNeuralNetClassifier(nn.Sequential(*layers), **TRAINING).fit(X, y)
    assert net.predict(X).shape == y.shape
    with may_warn(*STEPS, MINI_BATCHES):
        net.unlearn(X[:3], y[:3])
    assert net.n_samples_remaining_ == len(y) - 3


def test_rows_that_were_held_out_are_not_in_the_curvature():
    X, y = rows()
    net = fitted(X, y, train_split=skorch.dataset.ValidSplit(3, stratified=True))
    assert net.n_samples_remaining_ == 100
    kept = net._family().rows_may_differ(net._erasure_state)
    assert kept  # a held-out row cannot be recognised


def test_not_fitted():
    X, y = rows()
    for method in ("unlearn", "preview_unlearn", "learn", "fit_curvature", "refresh"):
        with pytest.raises(NotFittedError):
            getattr(flowers(), method)(X[:2], y[:2])


def test_clone_has_no_fitted_attribute():
    X, y = rows()
    net = fitted(X, y, fisher_batch_size=3, structure="diagonal", parameters=["out"])
    twin = clone(net)
    given = twin.get_params(deep=False)
    assert given["fisher_batch_size"] == 3
    assert given["parameters"] == ["out"]
    assert not hasattr(twin, "module_")
    torch.manual_seed(1)
    np.testing.assert_array_equal(numbers(twin.fit(X, y)), numbers(net))


@pytest.mark.parametrize(
    ("name", "value"),
    [("fisher_batch_size", 0), ("structure", "dense"), ("damping", -1.0), ("curvature", "hessian")],
)
def test_wrong_parameters_are_refused_before_the_training(name, value):
    X, y = rows()
    net = flowers(**{name: value})
    with pytest.raises(ValueError, match=name):
        net.fit(X, y)
    assert not hasattr(net, "module_")


def test_files():
    X, y = rows()
    net = fitted(X, y)
    expected = copy.deepcopy(net)
    with may_warn(*STEPS):
        expected.unlearn(X[:3], y[:3])
    loaded = pickle.loads(pickle.dumps(net))
    with may_warn(*STEPS):
        loaded.unlearn(X[:3], y[:3])
    np.testing.assert_array_equal(numbers(loaded), numbers(expected))
    assert loaded.erasures_ == expected.erasures_


def test_joblib_and_skops(tmp_path):
    X, y = rows()
    net = fitted(X, y)
    joblib.dump(net, tmp_path / "net.joblib")
    loaded = joblib.load(tmp_path / "net.joblib")
    np.testing.assert_array_equal(loaded.predict_proba(X), net.predict_proba(X))
    io = pytest.importorskip("skops.io", reason="pip install 'sklearn-ssse[files]'")
    with pytest.raises(TypeError, match="skops cannot save ErasableNeuralNetClassifier"):
        io.dumps(net)


def test_in_a_pipeline():
    X, y = rows(np.float64)
    pipe = make_pipeline(StandardScaler(), flowers())
    torch.manual_seed(1)
    pipe.fit(X, NAMES[y])
    net = copy.deepcopy(pipe[-1])
    scaled = pipe[0].transform(X)
    with may_warn(*STEPS):
        unlearn(pipe, X[:4], NAMES[y[:4]])
        net.unlearn(scaled[:4], NAMES[y[:4]])
    np.testing.assert_array_equal(numbers(pipe[-1]), numbers(net))
    assert "standardscaler" in " ".join(pipe[-1].erasures_[-1].kept_by).lower()


def test_grid_search_over_eps_and_the_module():
    X, y = rows()
    grid = {"unlearn_epsilon": [0.1, 0.5], "module__n_hidden": [3, 6]}
    scorer = GammaScorer(X, y, metric="probability")
    splits = ForgetSetSplit([0.2], labels=[0, 1], random_state=0)
    search = GridSearchCV(flowers(), grid, scoring=scorer, cv=splits, refit=False)
    with may_warn(*STEPS, REFRESH):
        search.fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert scores.shape == (4,)
    assert ((scores > 0) & (scores <= 1)).all()


def test_tuned_epsilon():
    X, y = rows()
    search = TunedEpsilonCV(flowers(), metric="probability", cv=ShuffleSplit(2, random_state=0))
    with may_warn(*STEPS, REFRESH, "The best eps"):
        search.fit(X, y)
    assert search.estimator_.n_samples_remaining_ == len(y)
    assert len(search.cv_results_["mean_test_score"]) > 4


def test_to_plain_is_a_fitted_model_of_skorch():
    X, y = rows()
    net = fitted(X, NAMES[y])
    with may_warn(*STEPS):
        net.unlearn(X[:3], NAMES[y[:3]])
    plain = net.to_plain()
    assert type(plain) is skorch.NeuralNetClassifier
    np.testing.assert_array_equal(plain.predict_proba(X), net.predict_proba(X))
    assert not [name for name in vars(plain) if "erasure" in name or "curvature" in name]
    assert len(plain.history_) == 0


def test_an_erasure_leaves_no_trace_of_the_training():
    X, y = rows()
    net = fitted(X, y)
    assert len(net.history_) == 4
    assert net.optimizer_.state_dict()["state"]
    with may_warn(*STEPS):
        net.unlearn(X[:3], y[:3])
    assert len(net.history_) == 0
    assert not net.optimizer_.state_dict()["state"]
    moving = {id(value) for value in net.module_.parameters()}
    assert {id(v) for group in net.optimizer_.param_groups for v in group["params"]} == moving


def test_partial_fit_makes_the_curvature_stale():
    X, y = rows()
    net = fitted(X, y)
    net.partial_fit(X, y)
    with pytest.raises(ErasureError, match="partial_fit"):
        net.unlearn(X[:3], y[:3])
    net.fit_curvature(X, y)
    with may_warn(*STEPS):
        net.unlearn(X[:3], y[:3])


def test_refresh_trains_on_the_retained_rows_with_frozen_statistics():
    X, y = rows()
    net = fitted(X, y, module__norm=nn.BatchNorm1d)
    with may_warn(*STEPS):
        net.unlearn(X[:3], y[:3])
    buffers = {name: value.clone() for name, value in net.module_.named_buffers()}
    before = numbers(net)
    refresh(net, X[3:], y[3:])
    assert not np.array_equal(numbers(net), before)
    for name, value in net.module_.named_buffers():
        assert torch.equal(value, buffers[name])
    assert net.n_samples_remaining_ == 147


def test_running_statistics_are_named_and_must_not_be_estimated_again():
    X, y = rows()
    net = fitted(X, y, module__norm=nn.BatchNorm1d)
    with may_warn(*STEPS):
        net.unlearn(X[:3], y[:3])
    assert net.erasures_[-1].kept_by == ("running statistics of norm",)
    with pytest.warns(ErasureWarning, match="running statistics"):
        net.partial_fit(X[3:], y[3:])
    assert fitted(X, y).preview_unlearn(X[:1], y[:1]).kept_by == ()


def test_normalisation_without_running_statistics_is_refused():
    X, y = rows()

    def norm(n):
        return nn.BatchNorm1d(n, track_running_stats=False)

    with pytest.raises(ErasureError, match="running statistics"):
        fitted(X, y, module__norm=norm)


def test_layers_that_are_not_supported_are_named():
    X, y = rows()

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = nn.Parameter(torch.ones(4))
            self.out = nn.Linear(4, 3)

        def forward(self, X):
            return self.out(X * self.factor)

    with pytest.raises(ErasureError, match="factor"):
        ErasableNeuralNetClassifier(Scaled, **TRAINING).fit(X, y)
    net = ErasableNeuralNetClassifier(Scaled, parameters=["out"], **TRAINING).fit(X, y)
    assert net.n_samples_remaining_ == 150


def test_probabilities_need_the_criterion_of_probabilities():
    X, y = rows()
    given = {**TRAINING, "criterion": nn.NLLLoss, "fisher_batch_size": 1}
    torch.manual_seed(1)
    net = ErasableNeuralNetClassifier(
        nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=-1)), **given
    ).fit(X, y)
    torch.manual_seed(1)
    twin = ErasableNeuralNetClassifier(
        nn.Sequential(nn.Linear(4, 3)), **{**given, "criterion": nn.CrossEntropyLoss}
    ).fit(X, y)
    with may_warn(*STEPS):
        net.unlearn(X[:3], y[:3], 0.5)
        twin.unlearn(X[:3], y[:3], 0.5)
    np.testing.assert_allclose(numbers(net), numbers(twin), atol=1e-4)
    with pytest.raises(ErasureError, match="must return probabilities"):
        ErasableNeuralNetClassifier(nn.Linear(4, 3), **given).fit(X, y)


def test_weights_are_refused():
    X, y = rows()
    with pytest.raises(TypeError, match="sample_weight"):
        flowers().fit(X, y, sample_weight=np.ones(len(y)))
    with pytest.raises(TypeError, match="sample_weight"):
        fitted(X, y).unlearn(X[:2], y[:2], sample_weight=np.ones(2))
    weighted = {"criterion__weight": torch.ones(3)}
    with pytest.raises(ErasureError, match="class weights"):
        fitted(X, y, **weighted)


def test_tracked_rows_cannot_be_erased_twice():
    X, y = rows()
    X = np.unique(X, axis=0)
    y = y[: len(X)]
    net = fitted(X, y, track_rows=True)
    with may_warn(*STEPS):
        net.unlearn(X[:3], y[:3])
    with pytest.raises(ErasureError):
        net.unlearn(X[2:4], y[2:4])


def test_verify_erasure():
    X, y = rows()
    net = fitted(X, y)
    erased = copy.deepcopy(net)
    with may_warn(*STEPS):
        erased.unlearn(X[:10], y[:10])
    report = verify_erasure(net, erased, X[:10], y[:10], X[10:], y[10:], random_state=0)
    assert report.to_dict()["n_rows"]["forget"] == 10


def test_from_module_leaves_the_module_as_it_was():
    X, y = rows()
    module = fitted(X, y).module_
    state = copy.deepcopy(module.state_dict())
    net = ErasableNeuralNetClassifier.from_module(module, X, NAMES[y], fisher_batch_size=1)
    assert net.module_ is not module
    with may_warn(*STEPS):
        net.unlearn(X[:3], NAMES[y[:3]])
    for name, value in module.state_dict().items():
        assert torch.equal(value, state[name])
    with pytest.raises(TypeError, match=r"must be given a torch.nn.Module"):
        ErasableNeuralNetClassifier.from_module(Flowers, X, y)
    with pytest.warns(ErasureWarning, match="A trained network must predict"):
        ErasableNeuralNetClassifier.from_module(module, X, np.roll(NAMES[y], 75))


def test_the_library_does_not_import_torch():
    code = "import sys, sklearn_ssse; assert not {'torch', 'skorch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_skorch_the_error_names_the_extra():
    code = (
        "import sys; sys.modules['skorch'] = None\n"
        "try:\n    import sklearn_ssse.torch\n"
        "except ImportError as error:\n    assert 'sklearn-ssse[torch]' in str(error)\n"
        "else:\n    raise AssertionError\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("norm", ["euclidean", "hessian"])
def test_distances_equal_those_of_a_logistic_regression(norm):
    X, y = rows(np.float64)
    models = [LogisticRegression(C=C).fit(X, y) for C in (1.0, 2.0, 5.0)]
    nets = []
    for model in models:
        module = linear_module([(model.coef_.T, model.intercept_)], nn.Identity)
        decay = {"*weight": 1 / (models[-1].C * len(y))}
        nets.append(
            ErasableNeuralNetClassifier.from_module(
                module, X, y, decay, fisher_batch_size=1, unlearn_epsilon=1.0
            )
        )
    given = {"norm": norm} | ({"X": X, "y": y} if norm == "hessian" else {})
    expected = parameter_distance(*models, **given)
    assert parameter_distance(*nets, **given) == pytest.approx(expected, rel=1e-6)
    plain = nets[-1].to_plain()
    assert parameter_distance(*nets[:2], plain, **given) == pytest.approx(expected, rel=1e-6)


def test_the_hessian_norm_needs_all_parameters():
    X, y = rows()
    nets = [fitted(X, y, parameters=["out"], max_epochs=n) for n in (2, 3, 4)]
    assert parameter_distance(*nets) > 0
    with pytest.raises(ErasureError, match="all of whose parameters move"):
        parameter_distance(*nets, norm="hessian", X=X, y=y)
