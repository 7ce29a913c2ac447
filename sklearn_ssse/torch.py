"""Networks of torch that training rows can be erased from: ``pip install 'sklearn-ssse[torch]'``.

`ErasableNeuralNetClassifier` extends skorch's `NeuralNetClassifier`, which trains any torch module
as a scikit-learn estimator.
"""

from copy import deepcopy

import numpy as np

from sklearn_ssse._erasure import PARAMETER_CONSTRAINTS, RELATIVE_GRID, KeysOf, documented
from sklearn_ssse._from_estimator import warn_if_wrong
from sklearn_ssse._inverse import MODULE_INVERSES
from sklearn_ssse._utils.compat import validate_parameter_constraints
from sklearn_ssse._utils.locks import exclusive, itself

try:
    import torch
    from skorch import NeuralNetClassifier
except ImportError as error:
    raise ImportError(
        "ErasableNeuralNetClassifier needs torch and skorch. Install them with: "
        "pip install 'sklearn-ssse[torch]'"
    ) from error

from sklearn_ssse._modules import (
    LabelledNet,
    ModuleMixin,
    as_arrays,
    decay_groups,
    refuse_weights,
    untrained,
)

__all__ = ["ErasableNeuralNetClassifier"]

# Parameters of this class that skorch's class does not have.
OWN_PARAMETERS = (
    "curvature",
    "structure",
    "block_size",
    "rank",
    "damping",
    "fisher_batch_size",
    "leave_out",
    "unlearn_epsilon",
    "parameters",
    "track_rows",
    "curvature_device",
)


@documented
class ErasableNeuralNetClassifier(ModuleMixin, LabelledNet):
    """Classifier with a torch module of any form, from which training rows can be erased.

    `fit` trains skorch's `NeuralNetClassifier` and computes the inverse of the Fisher information
    of the module. `unlearn` then erases rows in one closed-form step, Single-Step Sample Erasure
    [1]_, without the training data and without training again. Until then the module equals the
    module that skorch trains, bit for bit. `from_module` takes a module that was trained elsewhere.

    The parameters that move must belong to linear, convolutional, embedding and normalisation
    layers, or PReLU; other layers may be anywhere else in the module. The curvature, the step and
    all predictions use the module in evaluation mode: dropout is off, and the running statistics of
    normalisation layers stay as training left them. These statistics still depend on the erased
    rows, and the record names them in `kept_by`.

    The training and the curvature read the rows separately. A `Dataset` that changes its rows at
    random therefore gives them other rows. Of a `DataLoader`, the data set alone is used.

    The loss is not convex: compare the difference between the erased and a retrained network with
    the difference between two retrained networks with different seeds.

    Parameters
    ----------
    module : torch.nn.Module class or instance
        As in skorch, but an instance is copied and not trained itself. It returns logits for
        ``criterion=torch.nn.CrossEntropyLoss``, and probabilities for skorch's default,
        `torch.nn.NLLLoss`; it has one input.
    *args, **kwargs
        Parameters of :class:`skorch.NeuralNetClassifier`, with its defaults, such as `max_epochs`,
        `lr`, `optimizer`, `optimizer__weight_decay`, `train_split`, `callbacks` and `device`. Rows
        that `train_split` holds out never entered a gradient: the curvature and the counts exclude
        them, and `unlearn` cannot recognise them unless the model tracks its rows.
    curvature : {'empirical_fisher', 'fisher'}, default='empirical_fisher'
        The matrix to invert: the mean of ``g_i g_i^T`` over the gradients of the training rows, or
        the Gauss-Newton matrix.
    structure : str, default='auto'
        The part of the inverse to keep, for d parameters and m gradient rows. 'full', 'block',
        'low_rank' and 'diagonal': as in `ErasableMLPClassifier`. 'gradients': the exact inverse, in
        full or in blocks of `block_size`, from the m gradient rows: ``4 d m`` bytes, and ``8 m^2``
        for each block. These rows are personal data of the training rows. It needs
        ``track_rows=True``, by which an erasure finds and deletes the rows of each mini-batch that
        holds a forget row. 'last_layers': the dense inverse for the last layers, up to 4000
        parameters; the other layers do not move. 'auto' chooses among the first four.
    {structure_parameters}
    damping : float, 'auto' or 'penalty', default='auto'
        The lambda that is added to the diagonal of the curvature, on the scale of a mean over rows.
        'auto': 1e-3, for 'fisher' 3e-3. 'penalty': the weight decay of the optimiser.
    fisher_batch_size : int, default=10
        With b > 1 the curvature has one row for each random mini-batch of b training rows: their
        sum with random signs. No single row can leave such a curvature, and `fit_curvature` must be
        called after each erasure; structure 'gradients' loses whole mini-batches until half of them
        are left. 1, with leave-out, is closer to retraining (`docs/figure_2.md`).
    leave_out : bool or 'auto', default='auto'
        Whether the erased rows are taken out of the curvature before the step, equation (1) instead
        of (4) of `docs/method.md`. It needs ``fisher_batch_size=1``. 'auto': True for 'fisher' and
        ``fisher_batch_size=1``, else False.
    unlearn_epsilon : float or str, default='auto'
        Step size eps of `unlearn`. 'auto': about the smallest eps at which the network predicts the
        labels of the erased rows no better than a network that was trained without them. The
        accuracy of such a network is the accuracy on the rows that `train_split` held out or, if
        there are none, the accuracy of nearest neighbours.
    parameters : list of str, default=None
        Names of the parameters or layers that move, or patterns of them, such as ``['fc*']``. None:
        all parameters that require gradients.
    {tracking_parameters}
    curvature_device : str, default=None
        Device on which the gradient rows are computed, as torch names it. None: skorch's `device`.

    Attributes
    ----------
    module_, criterion_, optimizer_, history_, callbacks_, classes_
        As in the parent class, except that `classes_` may be strings, which `predict` returns.
        `unlearn` empties `history_` and makes a new `optimizer_` and new `callbacks_`, which hold
        traces of the erased rows.
    {fitted_attributes}

    See Also
    --------
    ErasableMLPClassifier : The same for scikit-learn's multi-layer perceptron.

    Notes
    -----
    `refresh` trains the module further on all retained rows, for `max_epochs` epochs, with frozen
    statistics of the normalisation layers. Models are saved by pickle or joblib; skops refuses
    them, as a torch module is a pickle inside.

    References
    ----------
    .. [1] A. Peste, D. Alistarh, C. H. Lampert, "SSSE: Efficiently Erasing Samples from Trained
       Machine Learning Models", 2021.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ssse.torch import ErasableNeuralNetClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> images = X.reshape(-1, 1, 8, 8).astype(np.float32) / 16
    >>> layers = [torch.nn.Conv2d(1, 8, 3), torch.nn.ReLU(), torch.nn.Flatten()]
    >>> seed = torch.manual_seed(0)
    >>> net = ErasableNeuralNetClassifier(
    ...     torch.nn.Sequential(*layers, torch.nn.Linear(288, 10)),
    ...     criterion=torch.nn.CrossEntropyLoss,
    ...     lr=0.1,
    ...     verbose=0,
    ...     train_split=None,
    ...     fisher_batch_size=1,
    ... )
    >>> net.fit(images, y).unlearn(images[:20], y[:20]).n_samples_remaining_
    1777
    """

    _parent = NeuralNetClassifier
    _parameter_constraints = {
        **{name: PARAMETER_CONSTRAINTS[name] for name in OWN_PARAMETERS[:-3]},
        "track_rows": PARAMETER_CONSTRAINTS["track_rows"],
        "structure": [KeysOf(MODULE_INVERSES, "auto")],
        "parameters": ["array-like", None],
        "curvature_device": [str, None],
    }
    _search_grid = RELATIVE_GRID

    def __init__(
        self,
        module,
        *args,
        curvature="empirical_fisher",
        structure="auto",
        block_size=None,
        rank=None,
        damping="auto",
        fisher_batch_size=10,
        leave_out="auto",
        unlearn_epsilon="auto",
        parameters=None,
        track_rows=False,
        curvature_device=None,
        **kwargs,
    ):
        super().__init__(module, *args, **kwargs)
        self.curvature = curvature
        self.structure = structure
        self.block_size = block_size
        self.rank = rank
        self.damping = damping
        self.fisher_batch_size = fisher_batch_size
        self.leave_out = leave_out
        self.unlearn_epsilon = unlearn_epsilon
        self.parameters = parameters
        self.track_rows = track_rows
        self.curvature_device = curvature_device

    @exclusive(itself)
    def fit(self, X, y=None, **fit_params):
        """Train the module, then compute its curvature.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), tensor, Dataset or DataLoader
            Training data. Numbers get the precision of the module, except integers for a module
            with an embedding.
        y : array-like of shape (n_samples,), default=None
            Labels, numbers or strings; None if X holds them.
        **fit_params : dict
            Passed to the module, as in skorch.

        Returns
        -------
        self : object

        Raises
        ------
        ErasureError
            If a parameter that moves belongs to a layer that is not supported; if the outputs of a
            row depend on other rows; if the curvature is singular in spite of its damping, or does
            not fit into memory.
        """
        self._validate_params()
        refuse_weights(fit_params.pop("sample_weight", None))
        self._drop_curvature()
        for name in ("_label_classes", "_row_shape", "_held_out_accuracy", "n_features_in_"):
            vars(self).pop(name, None)
        try:
            super().fit(X, y, **fit_params)
        finally:
            rows = vars(self).pop("_trained_on", None)
        self._held_out = rows is not None
        return self._fit_curvature_of(X, y, None, rows)

    @exclusive(itself)
    def partial_fit(self, X, y=None, classes=None, **fit_params):
        """Train the module further, as skorch does.

        The curvature is not updated: `unlearn` then raises an `ErasureError` until `fit_curvature`
        is called.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), tensor, Dataset or DataLoader
            Training data.
        y : array-like of shape (n_samples,), default=None
            Labels; None if X holds them.
        classes : array-like of shape (n_classes,), default=None
            All classes, at the first call; None takes the parameter `classes` or the labels.
        **fit_params : dict
            Passed to the module, as in skorch.

        Returns
        -------
        self : object

        Warns
        -----
        ErasureWarning
            If rows were erased, and normalisation layers estimate their running statistics again:
            that undoes a part of the erasure.
        """
        if classes is not None and "_label_classes" not in vars(self):
            self._label_classes = np.unique(classes)
        self._make_stale("from before `partial_fit`", n_trainings=1)
        super().partial_fit(X, y, **fit_params)
        if "_erasure_state" in vars(self):  # not a call by `fit`
            vars(self).pop("_trained_on", None)
            self._warn_of_statistics()
        return self

    @classmethod
    def from_module(cls, module, X, y=None, weight_decay=0.0, **params):
        """Make a trained module erasable, without training it again.

        Parameters
        ----------
        module : torch.nn.Module
            A trained module; it is copied and not changed. The parameter `module` of the result is
            a copy with new random parameters, for a later `fit`.
        X : array-like of shape (n_samples, ...), tensor, Dataset or DataLoader
            The rows that it was trained on.
        y : array-like of shape (n_samples,), default=None
            Their labels: output j of the module belongs to the j-th of the sorted labels. None if X
            holds them.
        weight_decay : float or dict of str to float, default=0.0
            L2 penalty of the training, on the scale of a mean over rows, as the optimisers of torch
            take it. A dict has one value for each pattern of names, such as
            ``{'*weight': 1e-4}``; the first pattern that matches holds, and other parameters have
            no penalty. AdamW has no L2 penalty: pass 0.
        **params : dict
            Parameters of this class, such as `structure` or `criterion`. The default of `criterion`
            is `torch.nn.CrossEntropyLoss` here: the module returns logits.

        Returns
        -------
        ErasableNeuralNetClassifier
            Fitted, with the predictions of `module`.

        Raises
        ------
        TypeError
            If `module` is not a torch module.
        ErasureError
            See `fit`; also if a pattern of `weight_decay` matches no parameter.

        Warns
        -----
        ErasureWarning
            If it predicts these labels no better than the class frequencies do.

        Examples
        --------
        >>> import torch
        >>> from sklearn.datasets import load_iris
        >>> from sklearn_ssse.torch import ErasableNeuralNetClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> seed = torch.manual_seed(0)
        >>> layers = [torch.nn.Linear(4, 10), torch.nn.Tanh(), torch.nn.Linear(10, 3)]
        >>> module = torch.nn.Sequential(*layers).double()
        >>> optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
        >>> for _ in range(200):
        ...     optimizer.zero_grad()
        ...     loss = torch.nn.functional.cross_entropy(module(torch.tensor(X)), torch.tensor(y))
        ...     loss.backward()
        ...     _ = optimizer.step()
        >>> net = ErasableNeuralNetClassifier.from_module(module, X, y, fisher_batch_size=1)
        >>> net.unlearn(X[:5], y[:5]).n_samples_remaining_
        145
        """
        if not isinstance(module, torch.nn.Module):
            raise TypeError(
                "from_module must be given a torch.nn.Module, got "
                f"{type(module).__name__}. Pass the trained module itself."
            )
        given = {"criterion": torch.nn.CrossEntropyLoss, "train_split": None, "verbose": 0}
        groups = decay_groups(module, weight_decay, params)
        # The parameter `module` must not hold what the module learned from rows that are erased.
        net = cls(untrained(module), **{**given, "optimizer__param_groups": groups, **params})
        net.initialize()
        net.module_.load_state_dict(module.state_dict())
        labels = as_arrays(X, y)[1]
        net.check_data(X, net._codes(labels))
        net._held_out = False
        net._fit_curvature_of(X, y, None)
        warn_if_wrong(net, X, y, None)
        return net

    def to_plain(self):
        """Return the model as skorch's own class.

        Its `predict` returns positions in `classes_`, as skorch's does.

        Returns
        -------
        skorch.NeuralNetClassifier
            A fitted model with copies of this model's fitted attributes, no curvature and no
            records.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the model is not fitted.

        Examples
        --------
        >>> import torch
        >>> from sklearn.datasets import load_iris
        >>> from sklearn_ssse.torch import ErasableNeuralNetClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> loss = torch.nn.CrossEntropyLoss
        >>> net = ErasableNeuralNetClassifier(torch.nn.Linear(4, 3), criterion=loss, verbose=0)
        >>> type(net.fit(X, y).to_plain()).__name__
        'NeuralNetClassifier'
        """
        return super().to_plain()

    def _validate_params(self):
        """Check the parameters of this class, and skorch's own once there is a module."""
        given = {name: getattr(self, name) for name in OWN_PARAMETERS}
        validate_parameter_constraints(self._parameter_constraints, given, type(self).__name__)
        self._check_tracking()
        if "module_" in vars(self):
            super()._validate_params()

    def _plain(self):
        """An unfitted model of the parent class with the same parameters."""
        given = self.get_params(deep=False)
        return NeuralNetClassifier(
            **{name: deepcopy(value) for name, value in given.items() if name not in OWN_PARAMETERS}
        )
