"""The verbs of a skorch classifier: its rows, its curvature, and further training."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import torch
from skorch import NeuralNetClassifier

from sklearn_ssse._calibration import network
from sklearn_ssse._erasure import ErasableMixin, KeptGroups, encode
from sklearn_ssse._gradients import CURVATURES, GRADIENT
from sklearn_ssse._inverse import DENSE_PARAMETERS, MODULE_INVERSES
from sklearn_ssse._kernels import choose_backend
from sklearn_ssse._modules.data import as_arrays, flat_rows
from sklearn_ssse._modules.family import ModuleFamily, statistics_digest
from sklearn_ssse._modules.layout import ParameterLayout
from sklearn_ssse._modules.net import SKORCH_FITTED, is_last_layers, weight_decay_of
from sklearn_ssse._modules.rows import check_rows
from sklearn_ssse._utils.warnings import warn
from sklearn_ssse.exceptions import ErasureError, ErasureTypeError

# Number of training rows whose gradient rows are compared with the gradients of each row alone.
N_CHECKED = 3
STATISTICS_CHANGED = (
    "The running statistics of the normalisation layers must not change after an erasure, got "
    "others than when the curvature was computed. Statistics that are estimated again on the "
    "retained rows undo a part of the erasure. Train the module anew, or restore the statistics."
)


class ModuleMixin(ErasableMixin):
    """The verbs of a skorch classifier that training rows can be erased from."""

    _inverses = MODULE_INVERSES
    # Options of the other estimators that have one value here.
    backend = "auto"
    inversion = "auto"

    def _family(self):
        """The `ModuleFamily` of the fitted module."""
        check_criterion(self)
        return ModuleFamily(
            self.module_,
            self._layout(),
            len(self.classes_),
            self._row_shape,
            isinstance(self.criterion_, torch.nn.NLLLoss),
            weight_decay_of(self),
            self._device() or self.device,
            self.attributes_with,
        )

    def _layout(self):
        """The `ParameterLayout` of the parameters that move."""
        layout = ParameterLayout.of(self.module_, self.parameters)
        return layout.last(DENSE_PARAMETERS) if is_last_layers(self.structure) else layout

    def _check_trainable(self):
        """See `LabelledNet._check_trainable`."""
        check_criterion(self)
        if not any(map(torch.nn.parameter.is_lazy, self.module_.parameters())):
            self._layout()

    def initialize_module(self):
        """Make a new module, as skorch does; the curvature of another one is stale then."""
        super().initialize_module()
        self._make_stale("from before the module was initialised")
        return self

    def load_params(self, *args, **kwargs):
        """Load parameters, as skorch does; the curvature is stale then."""
        super().load_params(*args, **kwargs)
        self._make_stale("from before `load_params`")

    def _make_stale(self, reason, n_trainings=0):
        """Mark the curvature, if there is one, as the curvature of another model."""
        state = vars(self).get("_erasure_state")
        if state is not None:
            refreshes = state.refreshes + n_trainings
            self._erasure_state = replace(state, stale=reason, refreshes=refreshes)

    def refresh(self, X, y, sample_weight=None):
        """Train the module further on the retained rows, and compute its curvature anew.

        The training takes `max_epochs` epochs from the present parameters, with frozen statistics
        of the normalisation layers and without rows that are held out. Callbacks that monitor such
        rows are left out.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), tensor, Dataset or DataLoader
            The retained rows.
        y : array-like of shape (n_samples,) or None
            Their labels; None if X holds them.
        sample_weight : None
            skorch trains without weights.

        Returns
        -------
        self : object

        Raises
        ------
        ErasureError
            See `fit_curvature`. The model is then as before.
        """
        return super().refresh(X, y, sample_weight)

    def _checked_rows(self, X, y, sample_weight, *, ensure_min_samples=1):
        """See `check_rows` of the other estimators: flat rows, codes of the labels, no weights."""
        refuse_weights(sample_weight)
        X, labels = as_arrays(X, y)
        flat = flat_rows(X, vars(self).get("_row_shape"), ensure_min_samples)
        if len(labels) != len(flat):
            raise ErasureError(
                f"X and y must have the same number of rows, got {len(flat)} and {len(labels)}. "
                "Pass one label for each row."
            )
        if "_row_shape" not in vars(self):
            self._row_shape = X.shape[1:]
            if X.ndim == 2:
                self.n_features_in_ = X.shape[1]
        return flat, encode(self.classes_, labels), None

    def _fit_curvature_of(self, X, y, sample_weight, rows=None):
        """Compute the curvature on the rows of the training, and the accuracy on the others."""
        if rows is not None:
            flat, codes, _ = self._checked_rows(X, y, sample_weight)
            others = np.setdiff1d(np.arange(len(codes)), rows)
            held_out = self._family().batch(flat[others], codes[others], np.ones(len(others)))
            _, predicted = held_out.log_odds(held_out.family.theta)
            self._held_out_accuracy = float(predicted.mean())
        return super()._fit_curvature_of(X, y, sample_weight, rows)

    def _check_tracking(self):
        """Refuse a structure that keeps gradients of rows, if it cannot delete them again."""
        is_kept = self.structure != "auto" and self._inverses[self.structure].keeps_rows
        if is_kept and not self.track_rows:
            raise ErasureError(
                f"track_rows must be True for structure={self.structure!r}, got False: the "
                "structure keeps gradients of the training rows, and an erasure must find and "
                "delete those of the forget rows. Pass track_rows=True."
            )

    def _set_curvature(self, X, codes, weight, class_weight=None):
        """Check the gradients of a few rows, compute the curvature, and store the statistics."""
        family = self._family()
        some = family.batch(X[:N_CHECKED], codes[:N_CHECKED], np.ones(len(X[:N_CHECKED])))
        seeds = torch.from_numpy(some.seeds(GRADIENT))
        module = family.at(family.theta)
        check_rows(family.outputs, module, family.layout, family.tensor(some.X), seeds)
        if vars(self).get("erasures_"):
            self._warn_of_statistics()
        super()._set_curvature(X, codes, weight, class_weight)
        if self.curvature_.keeps_rows:
            batch = family.batch(X, codes, np.ones(len(codes)))
            stream = batch.scores(self.curvature, self.fisher_batch_size)
            groups = KeptGroups.of(self._erasure_state.tracked, X, codes, stream)
            self._erasure_state = replace(self._erasure_state, groups=groups)
        self._statistics = statistics_digest(self.module_)

    def _plan_erasure(self, *args, **kwargs):
        """The `Erasure` of the rows, with a doubt if the statistics of the module changed."""
        erasure = super()._plan_erasure(*args, **kwargs)
        if self._statistics == statistics_digest(self.module_):
            return erasure
        return erasure._replace(doubts=(*erasure.doubts, STATISTICS_CHANGED))

    def _warn_of_statistics(self):
        """Warn if the running statistics changed after an erasure."""
        is_known = vars(self).get("_statistics") is not None and vars(self).get("erasures_")
        if is_known and self._statistics != statistics_digest(self.module_):
            warn(STATISTICS_CHANGED)

    def _automatic_ridges(self, batch):
        """The ridge of damping "auto", (d,)."""
        damping = CURVATURES[self.curvature].network_damping
        return [np.full(batch.n_parameters, batch.weight.sum() * damping)]

    def _calibrate(self, batch, inverse, state):
        """Calibration of eps "auto", or None if eps is a number."""
        if not isinstance(self.unlearn_epsilon, str):
            return None
        held_out = vars(self).get("_held_out_accuracy")
        leave_out = self._leave_out(state)
        return network.calibrate(batch, inverse, state, self.classes_, leave_out, held_out)

    def _device(self):
        """Device of the gradient rows and the inverse; None for skorch's."""
        return self.curvature_device

    def _choose_backend(self, operations):
        """torch on a device that was given, otherwise the choice by the size."""
        is_given = self.curvature_device is not None and self.curvature_device != "cpu"
        return "torch" if is_given else choose_backend("auto", operations)

    def _train_further(self, given, checked):
        """Train on the retained rows from the present parameters, with frozen statistics."""
        held = vars(self)
        before = {name: held[name] for name in ("train_split", "callbacks_")}
        held.update({name: deepcopy(held[name]) for name in ("module_", "criterion_")})
        held.update(self.attributes_with(self.module_))
        held.update(train_split=None, _frozen=True)
        held["callbacks_"] = [
            (name, callback)
            for name, callback in self.callbacks_
            if "valid" not in str(getattr(callback, "monitor", ""))
        ]
        NeuralNetClassifier.partial_fit(self, *given[:2])
        held.update(before)
        held.pop("_frozen")
        held.pop("_trained_on", None)
        held.pop("_held_out_accuracy", None)
        if held.pop("_interrupted", False):  # the parent only ends the training
            raise KeyboardInterrupt
        self._held_out = False

    @classmethod
    def _copy_fitted(cls, source, target):
        """Copy the fitted attributes of skorch; the optimiser still refers to the module."""
        held = vars(source)
        copied = deepcopy({name: held[name] for name in SKORCH_FITTED if name in held})
        vars(target).update(copied)


def check_criterion(net):
    """Refuse a loss that is not the mean of -log p(y) over the rows."""
    criterion = net.criterion_
    wrong = []
    if not isinstance(criterion, torch.nn.CrossEntropyLoss | torch.nn.NLLLoss):
        wrong = [repr(criterion)]
    else:
        plain = {"weight": None, "reduction": "mean", "ignore_index": -100, "label_smoothing": 0.0}
        given = {name: getattr(criterion, name, value) for name, value in plain.items()}
        wrong = [
            f"the option {name}"
            for name, value in given.items()
            if torch.is_tensor(value) or value != plain[name]
        ]
    if type(net).get_loss is not NeuralNetClassifier.get_loss:
        wrong.append("another `get_loss`")
    if wrong:
        raise ErasureError(
            "criterion must be torch.nn.CrossEntropyLoss or torch.nn.NLLLoss with the defaults of "
            f"torch, without class weights, got {' and '.join(wrong)}. Train with such a criterion."
        )


def refuse_weights(sample_weight):
    """Refuse sample weights, which skorch's training does not take."""
    if sample_weight is not None:
        raise ErasureTypeError(
            "sample_weight must be None, because skorch trains without weights, got weights. Omit "
            "them."
        )
