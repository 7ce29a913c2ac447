"""skorch's classifier for labels of any type, for rows in any form, and with frozen statistics."""

import threading
from copy import deepcopy
from fnmatch import fnmatch

import numpy as np
import torch
from sklearn.base import clone
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from skorch.history import History
from skorch.utils import is_dataset, to_tensor
from torch.utils.data import Subset

from sklearn_ssse._erasure import encode
from sklearn_ssse._families import objective_of, pack
from sklearn_ssse._inverse import MODULE_INVERSES
from sklearn_ssse._modules.data import as_arrays, as_dataset
from sklearn_ssse._modules.layers import RUNNING_NORMS
from sklearn_ssse._modules.layout import ParameterLayout
from sklearn_ssse.exceptions import ErasureError, ErasureTypeError

# Fitted attributes of skorch that prediction and further training need.
SKORCH_FITTED = (
    "module_",
    "criterion_",
    "optimizer_",
    "history_",
    "callbacks_",
    "initialized_",
    "virtual_params_",
    "classes_inferred_",
    "prefixes_",
    "cuda_dependent_attributes_",
    "_modules",
    "_criteria",
    "_optimizers",
)


class LabelledNet(NeuralNetClassifier):
    """skorch's classifier, whose training gets codes of the labels.

    The labels may be strings. Rows may also be a data frame or a data loader, and get the precision
    of the module. The positions of the rows that were trained on are in ``_trained_on`` after the
    training, None for all rows.
    """

    def __sklearn_is_fitted__(self):
        """Whether the module exists."""
        return "module_" in vars(self)

    def initialized_instance(self, instance_or_cls, kwargs):
        """The parent's, but a module that is given as an instance is copied and not trained."""
        instance = super().initialized_instance(instance_or_cls, kwargs)
        return deepcopy(instance) if instance is instance_or_cls else instance

    def _initialize_callbacks(self):
        """The parent's, but callbacks that are given as instances are copied."""
        given = self.callbacks
        vars(self)["callbacks"] = _unfitted(given)
        try:
            return super()._initialize_callbacks()
        finally:
            vars(self)["callbacks"] = given

    def predict(self, X):
        """Return the class of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), tensor or Dataset

        Returns
        -------
        ndarray of shape (n_samples,)
            Entries of `classes_`.
        """
        codes = super().predict(X)
        # skorch's callbacks compare predictions with the codes that the training gets.
        is_callback = vars(self).get("_in_training") == threading.get_ident()
        return codes if is_callback else self.classes_[codes]

    def fit_loop(self, X, y=None, epochs=None, **fit_params):
        """The parent's training loop, on codes of the labels."""
        vars(self).pop("_interrupted", None)
        self._check_trainable()
        X, codes = self._with_codes(as_dataset(X), y)
        self._in_training = threading.get_ident()
        try:
            super().fit_loop(X, codes, epochs, **fit_params)
        except KeyboardInterrupt:
            self._interrupted = True
            raise
        finally:
            del self._in_training
        return self

    def _with_codes(self, X, y):
        """Rows for the training and the codes of their labels, both read once.

        A data set stays as it is if its labels are their codes.
        """
        rows, labels = as_arrays(X, y)
        codes = self._codes(labels)
        has_other_labels = is_dataset(X) and not np.array_equal(labels, codes)
        return rows if has_other_labels else X, codes

    def _codes(self, labels):
        """The labels as positions in the classes, which the first labels determine."""
        if "_label_classes" not in vars(self):
            classes = labels if self.classes is None else self.classes
            self._label_classes = np.unique(np.asarray(classes))
        if self.classes is not None and list(self.classes) != list(self._label_classes):
            raise ErasureError(
                "classes must be sorted and distinct, as the module's outputs are in this order. "
                "Sort them, or omit classes."
            )
        return encode(self._label_classes, labels).astype(np.int64)

    def check_data(self, X, y):
        """The parent's check; the classes are the labels, not their codes."""
        super().check_data(X, y)
        self.classes_inferred_ = self._label_classes

    def get_dataset(self, X, y=None):
        """The parent's data set, also for a data frame or a data loader."""
        return super().get_dataset(as_dataset(X), y)

    def get_split_datasets(self, X, y=None, **fit_params):
        """The parent's split; the positions of the rows that it trains on are stored."""
        train, valid = super().get_split_datasets(X, y, **fit_params)
        is_split = valid is not None and isinstance(train, Subset) and train is not X
        self._trained_on = np.asarray(train.indices) if is_split else None
        if valid is not None and not is_split:  # a data set of the user, with labels
            rows, labels = as_arrays(valid)
            codes = self._codes(labels)
            if not np.array_equal(labels, codes):
                valid = self.get_dataset(rows, codes)
        return train, valid

    def _check_trainable(self):
        """Refuse a module or a criterion that rows could not be erased from after the training."""

    def infer(self, x, **fit_params):
        """The outputs of the module for rows in its own precision."""
        x = to_tensor(x, device=self.device)
        return super().infer(in_precision(x, self.module_), **fit_params)

    def _set_training(self, training=True):
        """The parent's modes; during a refresh, the running statistics stay frozen."""
        super()._set_training(training)
        if training and "_frozen" in vars(self):
            for layer in self.module_.modules():
                if isinstance(layer, RUNNING_NORMS) and layer.running_mean is not None:
                    layer.eval()

    def attributes_with(self, module):
        """Fitted attributes with a new module, without traces of the training."""
        twin = object.__new__(type(self))
        vars(twin).update(vars(self), module_=module, history_=History())
        twin._initialize_callbacks()
        twin.initialize_optimizer()
        names = ("module_", "history_", "callbacks_", "optimizer_")
        return {name: vars(twin)[name] for name in names}

    def _get_param_names(self):
        """The names of the parameters: no private attribute is one."""
        return [name for name in super()._get_param_names() if not name.startswith("_")]

    def __reduce_ex__(self, protocol):
        """Reduce the model for pickle and joblib."""
        return _new, (type(self),), self.__getstate__()

    def __reduce__(self):
        """Refuse skops, the one caller: its files would hold a pickle of the module."""
        raise ErasureTypeError(
            "skops cannot save ErasableNeuralNetClassifier, because a torch module is saved as a "
            "pickle, which runs code when it is loaded. Use pickle or joblib for files that you "
            "trust, or save module_.state_dict()."
        )


def _unfitted(callbacks):
    """Copies of the callbacks that are instances, without what they keep of a training."""
    if not isinstance(callbacks, list | tuple):
        return callbacks
    return [
        (entry[0], _unfitted_callback(entry[1]))
        if isinstance(entry, tuple)
        else _unfitted_callback(entry)
        for entry in callbacks
    ]


def _unfitted_callback(callback):
    """A copy of a callback that is an instance."""
    return clone(callback) if isinstance(callback, Callback) else callback


def in_precision(X, module):
    """A tensor of rows in the precision of a module; integers only if it has no embedding."""
    if not torch.is_tensor(X):
        return X
    is_numbers = X.is_floating_point() or not any(
        isinstance(layer, torch.nn.Embedding | torch.nn.EmbeddingBag) for layer in module.modules()
    )
    return X.to(next(iter(module.parameters())).dtype) if is_numbers else X


def _new(cls):
    """An empty object of a class, for pickle."""
    return object.__new__(cls)


def untrained(module):
    """A copy of a module with new random parameters in all layers that can draw them."""
    module = deepcopy(module)
    with torch.random.fork_rng():
        for layer in module.modules():
            if hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
    return module


def decay_groups(module, weight_decay, params):
    """skorch's groups of parameters for the weight decay of `from_module`.

    Parameters
    ----------
    module : torch.nn.Module
    weight_decay : float or dict of str to float
    params : dict
        The other parameters of the estimator.
    """
    if "optimizer__weight_decay" in params:
        raise ErasureError(
            "The weight decay of a trained module must be given as weight_decay, got "
            "optimizer__weight_decay. Pass weight_decay=."
        )
    if not isinstance(weight_decay, dict):
        weight_decay = {"*": weight_decay}
    names = [name for name, _ in module.named_parameters()]
    for pattern in weight_decay:
        if not any(fnmatch(name, pattern) for name in names):
            raise ErasureError(
                f"Each pattern of weight_decay must match a parameter, got {pattern!r}, which "
                "matches none. Choose patterns of the names in `module.named_parameters()`."
            )
    return [(pattern, {"weight_decay": value}) for pattern, value in weight_decay.items()]


def is_last_layers(structure):
    """Whether the last layers alone move with a structure, given by its name."""
    return structure != "auto" and MODULE_INVERSES[structure].last_layers_only


def weight_decay_of(net):
    """L2 penalty of each parameter of the module by its name, as its optimiser has it.

    The decoupled weight decay of AdamW is no penalty of the objective, and counts as 0.
    """
    names = {id(value): name for name, value in net.module_.named_parameters()}
    is_adamw = isinstance(net.optimizer_, torch.optim.AdamW)
    penalties = {}
    for group in net.optimizer_.param_groups:
        is_decoupled = is_adamw or group.get("decoupled_weight_decay", False)
        penalty = 0.0 if is_decoupled else float(group.get("weight_decay", 0.0))
        penalties |= {names[id(value)]: penalty for value in group["params"] if id(value) in names}
    return penalties


@pack.register(NeuralNetClassifier)
def pack_net(net):
    """All parameters of the module of a fitted net as one float64 vector, (d,).

    They have the order of a `ParameterLayout`, or of the module if it has layers that are not
    supported.
    """
    try:
        return ParameterLayout.of(net.module_, ["*"]).pack(net.module_)
    except ErasureError:
        values = [value.detach().cpu().numpy().ravel() for value in net.module_.parameters()]
        return np.concatenate(values).astype(np.float64)


@objective_of.register(NeuralNetClassifier)
def objective_of_net(net):
    """See `objective_of`."""
    return {
        "criterion": type(net.criterion_).__name__,
        "weight_decay": weight_decay_of(net),
        "parameters": None if net.parameters is None else [str(name) for name in net.parameters],
        "structure": net.structure if is_last_layers(net.structure) else "of all layers",
        "held_out": vars(net).get("_held_out", False),
    }
