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
from sklearn_ssse._modules.family import ModuleFamily
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
        criterion = self.criterion_
        kinds = (torch.nn.CrossEntropyLoss, torch.nn.NLLLoss)
        label_smoothing = getattr(criterion, "label_smoothing", 0.0)
        if not isinstance(criterion, kinds) or label_smoothing or criterion.weight is not None:
            raise ErasureError(
                "criterion must be torch.nn.CrossEntropyLoss or torch.nn.NLLLoss without class "
                f"weights and label smoothing, got {criterion!r}. Train with such a criterion."
            )
        layout = ParameterLayout.of(self.module_, self.parameters)
        if is_last_layers(self.structure):
            layout = layout.last(DENSE_PARAMETERS)
        return ModuleFamily(
            self.module_,
            layout,
            len(self.classes_),
            self._row_shape,
            isinstance(criterion, torch.nn.NLLLoss),
            weight_decay_of(self),
            self._device() or self.device,
            self.attributes_with,
        )

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
        with family.at(family.theta) as module:
            seeds = torch.from_numpy(some.seeds(GRADIENT))
            check_rows(family.outputs, module, family.layout, family.tensor(some.X), seeds)
        if vars(self).get("erasures_"):
            self._warn_of_statistics()
        super()._set_curvature(X, codes, weight, class_weight)
        if self.curvature_.keeps_rows:
            batch = family.batch(X, codes, np.ones(len(codes)))
            stream = batch.scores(self.curvature, self.fisher_batch_size)
            groups = KeptGroups.of(self._erasure_state.tracked, X, codes, stream)
            self._erasure_state = replace(self._erasure_state, groups=groups)
        self._statistics = family.statistics_digest()

    def _plan_erasure(self, *args, **kwargs):
        """The `Erasure` of the rows, with a doubt if the statistics of the module changed."""
        erasure = super()._plan_erasure(*args, **kwargs)
        if self._statistics == self._family().statistics_digest():
            return erasure
        return erasure._replace(doubts=(*erasure.doubts, STATISTICS_CHANGED))

    def _warn_of_statistics(self):
        """Warn if the running statistics changed after an erasure."""
        is_known = vars(self).get("_statistics") is not None and vars(self).get("erasures_")
        if is_known and self._statistics != self._family().statistics_digest():
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
        before = {"train_split": self.train_split}
        held.update({name: deepcopy(held[name]) for name in ("module_", "criterion_")})
        held.update(self.attributes_with(self.module_))
        held.update(train_split=None, _frozen=True)
        NeuralNetClassifier.partial_fit(self, *given[:2])
        held.update(before)
        held.pop("_frozen")
        held.pop("_trained_on", None)
        if held.pop("_interrupted", False):  # the parent only ends the training
            raise KeyboardInterrupt
        self._held_out = False

    @classmethod
    def _copy_fitted(cls, source, target):
        """Copy the fitted attributes of skorch; the optimiser still refers to the module."""
        held = vars(source)
        copied = deepcopy({name: held[name] for name in SKORCH_FITTED if name in held})
        vars(target).update(copied)


def refuse_weights(sample_weight):
    """Refuse sample weights, which skorch's training does not take."""
    if sample_weight is not None:
        raise ErasureTypeError(
            "sample_weight must be None, because skorch trains without weights, got weights. Omit "
            "them."
        )
