"""What ErasableNeuralNetClassifier takes from skorch and torch: data sets, losses, callbacks."""

import copy
import threading
from functools import partial

import numpy as np
import pytest
from sklearn.base import clone

from sklearn_ssse import ErasureError
from tests.test_torch_estimator import NAMES, TRAINING, Flowers, fitted, flowers, rows
from tests.test_torch_steps import STEPS, numbers, one_torch_thread, small_cnn  # noqa: F401
from tests.warned import MINI_BATCHES, may_warn

torch = pytest.importorskip("torch", reason="pip install 'sklearn-ssse[torch]'")
skorch = pytest.importorskip("skorch", reason="pip install 'sklearn-ssse[torch]'")

from skorch.callbacks import Checkpoint, EarlyStopping  # noqa: E402
from skorch.helper import predefined_split  # noqa: E402
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset  # noqa: E402

from sklearn_ssse.torch import ErasableNeuralNetClassifier  # noqa: E402

nn = torch.nn


class Halved(Dataset):
    """Rows that are halved when they are read; the attributes hold them as they were."""

    def __init__(self, X, y):
        self.X = X
        self.y = y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i] / 2, self.y[i]


def labelled(X, y):
    return TensorDataset(torch.tensor(X), torch.tensor(y))


def test_a_module_that_is_an_instance_is_not_trained_itself():
    X, y = rows()
    module = Flowers()
    before = copy.deepcopy(module.state_dict())
    net = ErasableNeuralNetClassifier(module, fisher_batch_size=1, **TRAINING).fit(X, y)
    with may_warn(*STEPS):
        net.unlearn(X[:3], y[:3])
    for model in (module, net.module, clone(net).module):
        for name, value in model.state_dict().items():
            assert torch.equal(value, before[name])


def test_from_module_keeps_no_copy_of_the_trained_parameters():
    X, y = rows()
    module = fitted(X, y).module_
    net = ErasableNeuralNetClassifier.from_module(module, X, y, fisher_batch_size=1)
    np.testing.assert_array_equal(net.predict(X), module(torch.tensor(X)).argmax(1).numpy())
    for name, value in net.module.named_parameters():
        assert not torch.equal(value, module.get_parameter(name))


def test_callbacks_keep_nothing_of_the_training():
    X, y = rows()
    stopping = EarlyStopping(monitor="train_loss", load_best=True)
    net = fitted(X, y, callbacks=[("stopping", stopping)])
    assert dict(net.callbacks_)["stopping"].best_model_weights_ is not None
    before = copy.deepcopy(vars(dict(net.callbacks_)["stopping"]))
    with may_warn(*STEPS):
        net.preview_unlearn(X[:3], y[:3])
        assert vars(dict(net.callbacks_)["stopping"]).keys() == before.keys()
        net.unlearn(X[:3], y[:3])
    for callback in (dict(net.callbacks_)["stopping"], stopping):
        assert getattr(callback, "best_model_weights_", None) is None


def test_the_decoupled_decay_of_adamw_is_no_penalty():
    X, y = rows()
    given = {name: TRAINING[name] for name in ("criterion", "train_split", "verbose")}
    for optimizer, expected in ((torch.optim.Adam, 0.01), (torch.optim.AdamW, 0.0)):
        net = ErasableNeuralNetClassifier(
            Flowers, optimizer=optimizer, optimizer__weight_decay=0.01, **given
        ).fit(X, y)
        np.testing.assert_allclose(net._family().penalty(10), 10 * expected)


def test_a_data_set_is_read_with_its_transformation():
    X, y = rows()
    net = fitted(Halved(X, y))
    twin = fitted(X / 2, y)
    np.testing.assert_allclose(net.curvature_.diagonal, twin.curvature_.diagonal, rtol=1e-5)
    with may_warn(*STEPS):
        net.unlearn(Halved(X[:3], y[:3]), None)
        twin.unlearn(X[:3] / 2, y[:3])
    np.testing.assert_allclose(numbers(net), numbers(twin), rtol=1e-5)


def test_validation_rows_of_the_user():
    X, y = rows()
    some = np.arange(0, 150, 2)
    others = labelled(X[1::2], y[1::2])
    net = fitted(Subset(labelled(X, y), some), train_split=predefined_split(others))
    assert net.n_samples_remaining_ == 75
    names = skorch.dataset.Dataset(X[1::2], NAMES[y[1::2]])
    named = fitted(X[some], NAMES[y[some]], train_split=predefined_split(names))
    assert named.history_[-1, "valid_acc"] == net.history_[-1, "valid_acc"]
    np.testing.assert_array_equal(numbers(named), numbers(net))


def test_a_data_loader_must_not_select_rows():
    X, y = rows()
    data = labelled(X, y)
    sampler = torch.utils.data.SubsetRandomSampler(range(60))
    for loader in (DataLoader(data, sampler=sampler), DataLoader(data, collate_fn=list)):
        with pytest.raises(TypeError, match="DataLoader must have"):
            flowers().fit(loader)


def test_parameters_that_training_froze_do_not_move():
    X, y = rows()
    module = Flowers()
    module.hidden.requires_grad_(False)
    net = ErasableNeuralNetClassifier(module, fisher_batch_size=1, **TRAINING).fit(X, y)
    with may_warn(*STEPS):
        net.unlearn(X[:3], y[:3])
    assert torch.equal(net.module_.hidden.weight, module.hidden.weight)
    assert not torch.equal(net.module_.out.weight, module.out.weight)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("reduction", "sum"),
        ("ignore_index", 1),
        ("label_smoothing", 0.1),
        ("weight", torch.ones(3)),
    ],
)
def test_options_of_the_loss_are_refused_before_the_training(option, value):
    X, y = rows()
    net = flowers(**{f"criterion__{option}": value})
    with pytest.raises(ErasureError, match=option):
        net.fit(X, y)
    assert len(net.history_) == 0


def test_another_loss_is_refused():
    class Penalised(ErasableNeuralNetClassifier):
        def get_loss(self, *args, **kwargs):
            return super().get_loss(*args, **kwargs) + 1.0

    X, y = rows()
    with pytest.raises(ErasureError, match="get_loss"):
        Penalised(Flowers, **TRAINING).fit(X, y)


def test_unsupported_layers_are_refused_before_the_training():
    X, y = rows()
    layers = nn.Sequential(nn.Bilinear(4, 4, 3))
    net = ErasableNeuralNetClassifier(layers, **TRAINING)
    with pytest.raises(ErasureError, match="Bilinear"):
        net.fit(X, y)
    assert len(net.history_) == 0


def test_weight_decay_of_a_trained_module():
    X, y = rows()
    module = fitted(X, y).module_
    make = partial(ErasableNeuralNetClassifier.from_module, module, X, y)
    with pytest.raises(ErasureError, match="matches none"):
        make(weight_decay={"kernel*": 1e-2})
    with pytest.raises(ErasureError, match="weight_decay="):
        make(optimizer__weight_decay=1e-2)


def test_a_module_that_is_made_or_loaded_anew_makes_the_curvature_stale(tmp_path):
    X, y = rows()
    net = fitted(X, y)
    net.save_params(f_params=tmp_path / "module.pt")
    net.load_params(f_params=tmp_path / "module.pt")
    with pytest.raises(ErasureError, match="load_params"):
        net.unlearn(X[:3], y[:3])
    net = fitted(X, y).set_params(module__n_hidden=7)
    with pytest.raises(ErasureError, match="initialised"):
        net.unlearn(X[:3], y[:3])


def test_a_training_that_fails_makes_the_curvature_stale():
    X, y = rows()
    net = fitted(X, y)

    def fail(*args, **kwargs):
        raise RuntimeError("out of memory")

    net.notify = fail
    with pytest.raises(RuntimeError, match="out of memory"):
        net.partial_fit(X, y)
    with pytest.raises(ErasureError, match="partial_fit"):
        net.unlearn(X[:3], y[:3])


def test_refresh_with_callbacks_that_monitor_held_out_rows(tmp_path):
    X, y = rows()
    callbacks = [EarlyStopping(), Checkpoint(dirname=str(tmp_path))]
    split = predefined_split(labelled(X[::5], y[::5]))
    net = fitted(X, y, callbacks=callbacks, train_split=split)
    with may_warn(*STEPS):
        net.unlearn(X[:3], y[:3])
    before = numbers(net)
    net.refresh(X[3:], y[3:])
    assert not np.array_equal(numbers(net), before)
    assert {"EarlyStopping", "Checkpoint"} <= set(dict(net.callbacks_))


def test_integers_are_numbers_or_tokens():
    X, y = rows()
    whole = np.rint(10 * X).astype(np.int64)
    np.testing.assert_array_equal(numbers(fitted(whole, y)), numbers(fitted(np.float32(whole), y)))
    tokens = np.clip(whole, 0, 9)
    layers = [nn.Embedding(10, 4), nn.Flatten(), nn.Linear(16, 3)]
    net = ErasableNeuralNetClassifier(nn.Sequential(*layers), **TRAINING).fit(tokens, y)
    with may_warn(*STEPS, MINI_BATCHES):
        net.unlearn(tokens[:3], y[:3])


def test_few_mini_batches_need_a_new_curvature():
    X, y = rows()
    X = X + np.arange(150, dtype=np.float32)[:, np.newaxis] / 1e4  # no equal rows
    net = fitted(X, y, structure="gradients", track_rows=True, fisher_batch_size=50)
    i = 0
    with may_warn(*STEPS, MINI_BATCHES):
        while not net._erasure_state.stale:
            net.unlearn(X[i : i + 1], y[i : i + 1])
            i += 1
    assert len(net.curvature_.rows) < 2
    with pytest.raises(ErasureError, match="mini-batches"):
        net.unlearn(X[i : i + 1], y[i : i + 1])
    net.fit_curvature(X[i:], y[i:])
    assert len(net.curvature_.rows) == 3


def test_predictions_while_another_thread_erases():
    X, y = rows()
    net = fitted(X, NAMES[y])
    expected = net.predict(X)
    errors = []

    def preview():
        try:
            for _ in range(10):
                net.preview_unlearn(X[:3], NAMES[y[:3]])
        except Exception as error:
            errors.append(error)

    with may_warn(*STEPS):
        thread = threading.Thread(target=preview)
        thread.start()
        while thread.is_alive():
            np.testing.assert_array_equal(net.predict(X), expected)
        thread.join()
    assert errors == []
