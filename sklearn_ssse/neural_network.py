"""Multi-layer perceptron that rows can be erased from."""

import copy
from dataclasses import replace

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklearn_ssse._calibration import network
from sklearn_ssse._erasure import (
    FITTED,
    PARAMETER_CONSTRAINTS,
    RELATIVE_GRID,
    ErasableMixin,
    check_rows,
)
from sklearn_ssse._families import NetworkFamily
from sklearn_ssse._from_estimator import warn_if_wrong
from sklearn_ssse._gradients import CURVATURES


class ErasableMLPClassifier(ErasableMixin, MLPClassifier):
    """Multi-layer perceptron that training rows can be erased from after training.

    `fit` trains scikit-learn's `MLPClassifier` and computes the inverse of its Fisher information. `unlearn` then removes rows in
    one closed-form step, Single-Step Sample Erasure [1]_, without the training data and without training again. Until then weights
    and predictions are those of the parent class, bit for bit.

    The loss is not convex: the step leads to where this net, not a new one, would go without the rows. Compare with the gap between
    two retrainings with different seeds.

    Parameters
    ----------
    hidden_layer_sizes, activation, solver, alpha, batch_size, learning_rate, learning_rate_init, power_t, max_iter, shuffle
        As in :class:`sklearn.neural_network.MLPClassifier`, with its defaults.
    random_state, tol, verbose, warm_start, momentum, nesterovs_momentum, early_stopping, validation_fraction
        As in the parent. With `early_stopping` the rows that were held out never entered a gradient: the curvature and the counts
        leave them out. Whether a row was held out cannot be known at `unlearn`: do not erase such rows.
    beta_1, beta_2, epsilon, n_iter_no_change, max_fun
        As in the parent; `epsilon` is Adam's, that of the erasure is `unlearn_epsilon`.
    curvature : {'empirical_fisher', 'fisher'}, default='empirical_fisher'
        What is inverted: the mean of ``g_i g_i^T`` over the gradients of the rows, or the Gauss-Newton matrix.
    structure : {'auto', 'full', 'block', 'low_rank', 'diagonal'}, default='auto'
        What is kept of the inverse, as in `ErasableLogisticRegression`, but 'auto' takes 'full' up to 1000 parameters only. 'block' without
        `block_size`: one block for each unit.
    block_size, rank : int, default=None
        See `structure`.
    damping : float or 'auto', default='auto'
        The lambda that is added to every coordinate of the curvature, a mean over rows. 'auto': 1e-3, for 'fisher' 3e-3.
    fisher_batch_size : int, default=1
        With b > 1 the curvature has one row for each random batch of b rows. Single rows cannot leave it again.
    leave_out : bool or 'auto', default='auto'
        Whether the erased rows are taken out of the curvature before the step. 'auto': True for 'fisher'.
    inversion : {'auto', 'rank1', 'rank_b', 'cholesky'}, default='auto'
        How 'full' and 'block' are inverted.
    unlearn_epsilon : float or str, default='auto'
        The eps of the step. 'auto': as long as it takes until as many of the erased rows are predicted as labelled as would be, had the net
        not seen them. How many that is `fit` learns from the leave-one-out accuracy of nearest neighbours, at most 2,000 of them;
        `unlearn` from forward passes on the erased rows alone. If a class vanishes, until at most 2 % of its rows are predicted as it.
        A str such as '0.5*auto' is a multiple of that, for a search.
    backend : {'auto', 'numba', 'torch'}, default='auto'
        Where the curvature is built.
    device : str, default=None
        For 'torch', as torch names it.

    Attributes
    ----------
    curvature_ : object
        The inverse curvature, with `solve`, `downdate`, `leverage`, `to_dense`, `nbytes`.
    structure_, inversion_, backend_ : str
        What 'auto' stood for.
    damping_ : ndarray of shape (d,) or float
        The damping in use.
    unlearn_epsilon_ : float
        The eps in use; for 'auto' that of random rows.
    n_samples_remaining_ : int
        Rows that the model rests on.
    erasures_ : list of ErasureRecord
        What was erased, learned or rectified, without any data of it.
    coefs_, intercepts_, classes_, n_iter_, n_layers_, n_outputs_, out_activation_
        As in the parent. `unlearn` empties `loss_curve_`, `validation_scores_`, the best scores and the optimiser's moments, which hold
        traces of the erased rows.

    Notes
    -----
    After `partial_fit` the curvature belongs to other parameters: `unlearn` asks for `fit_curvature`.

    References
    ----------
    .. [1] A. Peste, D. Alistarh, C. H. Lampert, "SSSE: Efficiently Erasing Samples from Trained Machine Learning Models", 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_ssse import ErasableMLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = ErasableMLPClassifier((10,), solver="lbfgs", max_iter=1000, random_state=0).fit(X, y)
    >>> clf.unlearn(X[:5], y[:5]).n_samples_remaining_
    145
    """

    _parameter_constraints = {**MLPClassifier._parameter_constraints, **PARAMETER_CONSTRAINTS}
    _traces = NetworkFamily.dropped
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
        self.backend = backend
        self.device = device

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
        for name in (
            "curvature_",
            "_erasure_state",
        ):  # of an earlier fit: after an error below there must be none
            vars(self).pop(name, None)
        try:
            super().fit(X, y, sample_weight)
        finally:
            trained = vars(self).pop("_trained_on", None)
        X, codes, weight = check_rows(self, X, y, sample_weight, trusted=True)
        if trained is not None:
            X, codes, weight = (
                X[trained],
                codes[trained],
                None if weight is None else weight[trained],
            )
        self._set_curvature(X, codes, weight)
        self.erasures_ = []
        return self

    @available_if(lambda estimator: estimator._check_solver())
    def partial_fit(self, X, y, sample_weight=None, classes=None):
        """Update the model with one iteration over the data; the curvature is that of before, and `unlearn` asks for `fit_curvature`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
        sample_weight : array-like of shape (n_samples,), default=None
        classes : array of shape (n_classes,), default=None
            All classes; needed at the first call.

        Returns
        -------
        self : object
        """
        super().partial_fit(X, y, sample_weight=sample_weight, classes=classes)
        state = vars(self).get("_erasure_state")
        if state is not None:
            self._erasure_state = replace(state, stale="from before `partial_fit`")
        return self

    @classmethod
    def from_estimator(cls, fitted, X, y, sample_weight=None, **params):
        """Make a trained multi-layer perceptron erasable, without training it again.

        Parameters
        ----------
        fitted : MLPClassifier
            A fitted model; it is not changed.
        X, y, sample_weight
            The data that it was trained on; with early stopping, without the rows that were held out.
        **params : dict
            Parameters of this class, such as `curvature`. The parent's own are taken from `fitted`.

        Returns
        -------
        ErasableMLPClassifier
            Fitted, with the predictions of `fitted`.

        Raises
        ------
        TypeError
            If `fitted` is no `MLPClassifier`.
        sklearn.exceptions.NotFittedError
            If it is not fitted.

        Warns
        -----
        ErasureWarning
            If it predicts these labels no better than the shares of the classes do: the rows are others than it was trained on, or it
            is hardly trained.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.neural_network import MLPClassifier
        >>> from sklearn_ssse import ErasableMLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> trained = MLPClassifier(solver="lbfgs", max_iter=1000, random_state=0).fit(X, y)
        >>> ErasableMLPClassifier.from_estimator(trained, X, y, curvature="fisher").unlearn(X[:3], y[:3]).n_samples_remaining_
        147
        """
        if not isinstance(fitted, MLPClassifier):
            raise TypeError(
                f"from_estimator takes a fitted MLPClassifier, got {type(fitted).__name__}."
            )
        check_is_fitted(fitted)
        model = cls(**{**fitted.get_params(deep=False), **params})
        _copy_fitted(fitted, model)
        model.fit_curvature(X, y, sample_weight)
        warn_if_wrong(model, X, y, sample_weight)
        return model

    def to_plain(self):
        """The model as scikit-learn's own `MLPClassifier`: same predictions, no curvature inside.

        Returns
        -------
        MLPClassifier
            Fitted. Holds copies of this model's parameters and nothing else of it.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sklearn_ssse import ErasableMLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> ErasableMLPClassifier(solver="lbfgs", max_iter=1000, random_state=0).fit(X, y).to_plain()
        MLPClassifier(max_iter=1000, random_state=0, solver='lbfgs')
        """
        check_is_fitted(self)
        plain = self._plain()
        _copy_fitted(self, plain)
        return plain

    def _fit_stochastic(self, X, y, sample_weight, *args):
        # The rows that are not held out: the split that the parent is about to make, from a copy of its random state.
        if self.early_stopping and not args[-1]:
            self._trained_on = train_test_split(
                np.arange(len(y)),
                random_state=copy.deepcopy(self._random_state),
                test_size=self.validation_fraction,
                stratify=y if self.n_outputs_ == 1 else None,
            )[0]
        super()._fit_stochastic(X, y, sample_weight, *args)

    def _plain(self):
        """An unfitted model of the parent class, trained alike."""
        return MLPClassifier(
            **{name: getattr(self, name) for name in MLPClassifier._get_param_names()}
        )

    def _family(self):
        return NetworkFamily(self)

    def _automatic_ridges(self, batch):
        return [
            np.full(
                batch.n_parameters, batch.weight.sum() * CURVATURES[self.curvature].network_damping
            )
        ]

    def _calibrate(self, batch, inverse, state):
        if not isinstance(self.unlearn_epsilon, str):
            return None
        return network.calibrate(batch, inverse, state, self.classes_, self._leave_out(state))


def _copy_fitted(source, target):
    """Copy what `fit` of the parent class leaves in the object."""
    skip = {
        *source.get_params(deep=False),
        *target.get_params(deep=False),
        *FITTED,
        "_skl_callbacks",
    }
    for name, value in vars(source).items():
        if name not in skip:
            setattr(target, name, copy.deepcopy(value))
