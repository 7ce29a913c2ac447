"""Multi-layer perceptron that training rows can be erased from."""

import copy
import warnings
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklearn_ssse._calibration import network
from sklearn_ssse._erasure import PARAMETER_CONSTRAINTS, RELATIVE_GRID, ErasableMixin, documented
from sklearn_ssse._families import NetworkFamily
from sklearn_ssse._from_estimator import warn_if_wrong
from sklearn_ssse._gradients import CURVATURES
from sklearn_ssse._utils.locks import exclusive, itself

__all__ = ["ErasableMLPClassifier"]

# The warning of `MLPClassifier` if its training is interrupted.
INTERRUPTED = "Training interrupted by user."


@documented
class ErasableMLPClassifier(ErasableMixin, MLPClassifier):
    """Multi-layer perceptron that training rows can be erased from after training.

    `fit` trains scikit-learn's `MLPClassifier` and computes the inverse of its Fisher information.
    `unlearn` then erases rows in one closed-form step, Single-Step Sample Erasure [1]_, without the
    training data and without training again. Until then the weights and predictions equal the
    parent class's, bit for bit.

    The loss is not convex: the step approaches a minimum near the parameters of this network, and
    retraining may find another one. Compare the difference between the erased and a retrained
    network with the difference between two retrained networks with different seeds.

    Parameters
    ----------
    hidden_layer_sizes, activation, solver, alpha, batch_size, learning_rate, learning_rate_init
        As in :class:`sklearn.neural_network.MLPClassifier`, with its defaults.
    power_t, max_iter, shuffle, random_state, tol, verbose, warm_start, momentum
        As in the parent class.
    nesterovs_momentum, beta_1, beta_2, n_iter_no_change, max_fun
        As in the parent class.
    early_stopping, validation_fraction
        As in the parent class. Rows that were held out for early stopping never entered a gradient:
        the curvature and the counts exclude them. `unlearn` cannot recognise a row that was held
        out: do not erase such rows. `refresh` trains without early stopping.
    epsilon : float, default=1e-8
        Adam's, as in the parent class. The step size of an erasure is `unlearn_epsilon`.
    curvature : {'empirical_fisher', 'fisher'}, default='empirical_fisher'
        The matrix to invert: the mean of ``g_i g_i^T`` over the gradients of the training rows, or
        the Gauss-Newton matrix.
    structure : {'auto', 'full', 'block', 'low_rank', 'diagonal'}, default='auto'
        The part of the inverse to keep, for d parameters. 'full': the dense matrix, ``8 d^2``
        bytes. 'block': the inverses of consecutive diagonal blocks, ``8 d block_size`` bytes.
        'low_rank': a sketch of about ``16 d rank`` bytes, exact once it covers the rank of the
        curvature. 'diagonal': ``16 d`` bytes. 'auto': 'full' up to 1000 parameters, otherwise
        'block' if a unit has at most 4000 parameters, otherwise 'low_rank'; 'diagonal' if none of
        these fits into half of the free memory. The choice is in `structure_`.
    {structure_parameters}
    {network_damping}
    {erasure_parameters}
    unlearn_epsilon : float or str, default='auto'
        Step size eps of `unlearn`. 'auto': about the smallest eps at which the network predicts the
        labels of the erased rows no better than a network that was trained without them. `fit`
        estimates that accuracy by predicting training rows from other training rows; `unlearn`
        needs only forward passes on the erased rows. A str such as '0.5*auto' is a multiple of it,
        for a search.
    {tracking_parameters}
    {backend_parameters}

    Attributes
    ----------
    coefs_, intercepts_, classes_, n_iter_, n_layers_, n_outputs_, out_activation_
        As in the parent class. `unlearn` resets `loss_curve_`, `validation_scores_`, the best
        scores and the moments of the optimiser, which hold traces of the erased rows.
    {fitted_attributes}

    See Also
    --------
    sklearn_ssse.unlearn : Erase rows from pipelines and other composites. `learn` adds rows,
        `rectify` replaces them.
    TunedEpsilonCV : Choose a multiple of eps 'auto' by experiment, with one refit for each set.

    Notes
    -----
    After `partial_fit` the curvature belongs to earlier parameters: call `fit_curvature` before
    `unlearn`.

    References
    ----------
    .. [1] A. Peste, D. Alistarh, C. H. Lampert, "SSSE: Efficiently Erasing Samples from Trained
       Machine Learning Models", 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_ssse import ErasableMLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> net = ErasableMLPClassifier((10,), solver="lbfgs", max_iter=1000, random_state=0)
    >>> net.fit(X, y).unlearn(X[:5], y[:5]).n_samples_remaining_
    145
    """

    _parent = MLPClassifier
    _parameter_constraints = {**MLPClassifier._parameter_constraints, **PARAMETER_CONSTRAINTS}
    _traces = NetworkFamily.training_traces
    _search_grid = RELATIVE_GRID

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
        curvature="empirical_fisher",
        structure="auto",
        block_size=None,
        rank=None,
        damping="auto",
        fisher_batch_size=1,
        leave_out="auto",
        inversion="auto",
        unlearn_epsilon="auto",
        track_rows=False,
        backend="auto",
        device=None,
    ):
        super().__init__(
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            solver=solver,
            alpha=alpha,
            batch_size=batch_size,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            power_t=power_t,
            max_iter=max_iter,
            shuffle=shuffle,
            random_state=random_state,
            tol=tol,
            verbose=verbose,
            warm_start=warm_start,
            momentum=momentum,
            nesterovs_momentum=nesterovs_momentum,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            n_iter_no_change=n_iter_no_change,
            max_fun=max_fun,
        )
        self.curvature = curvature
        self.structure = structure
        self.block_size = block_size
        self.rank = rank
        self.damping = damping
        self.fisher_batch_size = fisher_batch_size
        self.leave_out = leave_out
        self.inversion = inversion
        self.unlearn_epsilon = unlearn_epsilon
        self.track_rows = track_rows
        self.backend = backend
        self.device = device

    @exclusive(itself)
    def fit(self, X, y, sample_weight=None):
        """Fit the model, then compute its curvature.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, not negative.

        Returns
        -------
        self : object

        Raises
        ------
        ErasureError
            If the curvature is singular in spite of its damping, or does not fit into memory.
        """
        self._drop_curvature()
        try:
            super().fit(X, y, sample_weight)
        finally:
            rows = vars(self).pop("_trained_on", None)
        return self._fit_curvature_of(X, y, sample_weight, rows)

    @available_if(lambda estimator: estimator._check_solver())
    @exclusive(itself)
    def partial_fit(self, X, y, sample_weight=None, classes=None):
        """Update the model with one iteration over the data.

        The curvature is not updated: `unlearn` then raises an `ErasureError` until `fit_curvature`
        is called.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        classes : array of shape (n_classes,), default=None
            All classes; needed at the first call.

        Returns
        -------
        self : object
        """
        super().partial_fit(X, y, sample_weight=sample_weight, classes=classes)
        state = vars(self).get("_erasure_state")
        if state is not None:
            changes = {"stale": "from before `partial_fit`", "refreshes": state.refreshes + 1}
            self._erasure_state = replace(state, **changes)
        return self

    @classmethod
    def from_estimator(cls, fitted, X, y, sample_weight=None, **params):
        """Make a trained multi-layer perceptron erasable, without training it again.

        Parameters
        ----------
        fitted : MLPClassifier
            A fitted model; it is not changed.
        X, y, sample_weight : array-like
            The data that it was trained on; with early stopping, without the rows that were held
            out.
        **params : dict
            Parameters of this class, such as `curvature`. The parent's own parameters are taken
            from `fitted`.

        Returns
        -------
        ErasableMLPClassifier
            Fitted, with the predictions of `fitted`.

        Raises
        ------
        TypeError
            If `fitted` is not an `MLPClassifier`.
        sklearn.exceptions.NotFittedError
            If it is not fitted.

        Warns
        -----
        ErasureWarning
            If it predicts these labels no better than the class frequencies do: it was trained on
            other rows, or training stopped too early.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.neural_network import MLPClassifier
        >>> from sklearn_ssse import ErasableMLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> trained = MLPClassifier(solver="lbfgs", max_iter=1000, random_state=0).fit(X, y)
        >>> model = ErasableMLPClassifier.from_estimator(trained, X, y, curvature="fisher")
        >>> model.unlearn(X[:3], y[:3]).n_samples_remaining_
        147
        """
        if not isinstance(fitted, MLPClassifier):
            raise TypeError(
                "from_estimator must be given a fitted MLPClassifier, got "
                f"{type(fitted).__name__}. Pass the classifier inside a pipeline or a search."
            )
        check_is_fitted(fitted)
        given = fitted.get_params(deep=False)
        model = cls._from_fitted(fitted, given, X, y, sample_weight, params)
        warn_if_wrong(model, X, y, sample_weight)
        return model

    def _fit_stochastic(self, X, y, sample_weight, *args):
        """Train as the parent does, and store the positions of the rows that are not held out."""
        # The parent will split the rows: make the same split from a copy of its random state.
        if self.early_stopping and not args[-1]:
            self._trained_on = train_test_split(
                np.arange(len(y)),
                random_state=copy.deepcopy(self._random_state),
                test_size=self.validation_fraction,
                stratify=y if self.n_outputs_ == 1 else None,
            )[0]
        super()._fit_stochastic(X, y, sample_weight, *args)

    def _train_further(self, given, checked):
        """A warm start of the parent's `fit` on all rows, without early stopping."""
        family = self._family()
        vars(self).update(family.attributes(family.theta))  # copies: training writes into them
        params = {"early_stopping": False}
        stops_early = self.early_stopping and self.solver != "lbfgs"
        if stops_early:
            params["max_iter"] = max(1, min(self.max_iter, self.n_iter_))
            self.best_loss_ = np.inf
        classes = self.classes_
        codes = checked[1]
        if codes.ndim == 1:  # a warm start needs rows of every class, and some may be erased
            self.classes_ = classes[np.unique(codes)]
        with _interruptible(quiet=stops_early):
            self._fit_parent(given, **params)
        self.classes_ = classes
        family = self._family()
        kept = ("loss_", "loss_curve_")
        for name, value in family.attributes(family.theta).items():
            if name.startswith("_best") or (stops_early and name not in kept):
                setattr(self, name, value)

    def _family(self):
        """The `NetworkFamily` of the fitted model."""
        return NetworkFamily(self)

    def _automatic_ridges(self, batch):
        """The ridge of damping "auto", (d,)."""
        damping = CURVATURES[self.curvature].network_damping
        return [np.full(batch.n_parameters, batch.weight.sum() * damping)]

    def _calibrate(self, batch, inverse, state):
        """Calibration of eps "auto", or None if eps is a number."""
        if not isinstance(self.unlearn_epsilon, str):
            return None
        return network.calibrate(batch, inverse, state, self.classes_, self._leave_out(state))


@contextmanager
def _interruptible(quiet):
    """Raise KeyboardInterrupt if training is interrupted: the parent catches it and only warns.

    With ``quiet``, the parent does not warn if it reaches the largest number of iterations.
    """
    with warnings.catch_warnings():
        if quiet:
            warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("error", INTERRUPTED, UserWarning)
        try:
            yield
        except UserWarning as warning:
            if str(warning) != INTERRUPTED:
                raise
            raise KeyboardInterrupt from warning
