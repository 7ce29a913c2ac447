"""Logistic regression that rows can be erased from."""

import copy

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.utils import compute_class_weight
from sklearn.utils.validation import check_is_fitted

from sklearn_ssse._calibration import logistic
from sklearn_ssse._erasure import PARAMETER_CONSTRAINTS, ErasableMixin, check_rows
from sklearn_ssse._families import LinearFamily
from sklearn_ssse._from_estimator import logistic_parameters, refuse_l1, warn_if_far
from sklearn_ssse._gradients import CURVATURES

_FITTED = ("classes_", "coef_", "intercept_", "n_iter_", "n_features_in_", "feature_names_in_")


class ErasableLogisticRegression(ErasableMixin, LogisticRegression):
    """Logistic regression that training rows can be erased from after training.

    `fit` trains scikit-learn's `LogisticRegression` and computes the inverse of its Fisher information. `unlearn` then removes
    rows in one closed-form step, Single-Step Sample Erasure [1]_, without the training data and without training again.
    Until then coefficients and predictions are those of the parent class, bit for bit.

    Parameters
    ----------
    C : float, default=1.0
        Inverse of regularization strength. ``C=np.inf`` turns the penalty off.
    l1_ratio : float, default=0.0
        Must be 0: a model with an l1 penalty has no Hessian at zero and is refused at fit.
    dual, tol, fit_intercept, intercept_scaling, random_state, solver, max_iter, verbose, warm_start
        As in :class:`sklearn.linear_model.LogisticRegression`, with its defaults. All six solvers.
    class_weight : dict or 'balanced', default=None
        As in the parent. The weights of `fit` are frozen: 'balanced' is not worked out anew when rows leave.
    curvature : {'empirical_fisher', 'fisher'}, default='empirical_fisher'
        What is inverted. 'empirical_fisher', the mean of ``g_i g_i^T`` over the gradients of the rows, is the paper's method
        and needs a step size. 'fisher' equals the exact Hessian here, needs none (eps = 1), and comes several times closer
        to retraining: prefer it unless you want the paper's method.
    structure : {'auto', 'full', 'block', 'low_rank', 'diagonal'}, default='auto'
        What is kept of the inverse, for d parameters. 'full': the dense matrix, ``8 d^2`` bytes. 'block': the inverses of
        consecutive diagonal blocks, ``8 d block_size`` bytes. 'low_rank': a sketch of about ``16 d rank`` bytes, exact once it covers
        the rank of the rows. 'diagonal': ``16 d`` bytes. 'auto': 'full' up to 4000 parameters, 'block' where a class has at most as
        many, then 'low_rank'; 'diagonal' where none fits into half of the memory that is free. What was chosen is `structure_`.
    block_size : int, default=None
        Parameters in a block; None makes one block for each class. Only for 'block', which 'auto' then takes.
    rank : int, default=None
        Eigenvalues that 'low_rank' covers; None chooses by their size. Only for 'low_rank', which 'auto' then takes.
    damping : float or 'auto', default='auto'
        The lambda that is added to every coordinate of the curvature, which is a mean over rows. 'auto' is each coordinate's
        own L2 penalty, ``1 / (C n)``, with a small floor where there is none; for the empirical Fisher information it is
        divided by the ratio of the traces of the Hessian and of the empirical Fisher information.
    fisher_batch_size : int, default=1
        With b > 1 the curvature has one row for each random batch of b rows, their sum with random signs: b times fewer rows, no bias,
        some noise. Single rows cannot leave it again: there is no leave-out, and after an erasure `fit_curvature` must be called
        before the next one.
    leave_out : bool or 'auto', default='auto'
        Whether the erased rows are taken out of the curvature before the step. 'auto': True for 'fisher', False for
        'empirical_fisher'. The stored inverse is downdated after the step in either case.
    inversion : {'auto', 'rank1', 'rank_b', 'cholesky'}, default='auto'
        How 'full' and 'block' are inverted. 'rank1': one Sherman-Morrison update for each row, by a compiled kernel; 'rank_b': for
        many rows at once (not for 'block'). 'cholesky': form the matrix and factorise it. 'auto': the fastest for the sizes.
    backend : {'auto', 'numba', 'torch'}, default='auto'
        What computes the inverse, in float64; it is stored as NumPy. 'auto': torch if it is installed, has a CUDA device and the
        build is large, else numba. 'torch' needs ``pip install 'sklearn-ssse[torch]'``.
    device : str, default=None
        Device for 'torch', as torch names it; None is CUDA where there is one, else the CPU.
    unlearn_epsilon : float or str, default='auto'
        Step size eps of `unlearn`. 'auto' is calibrated at fit on pseudo-forget sets, without retraining, and fitted to each
        forget set; for 'fisher' it is 1. A str such as '0.5*auto' is a multiple of that. Read at `unlearn`,
        so ``set_params(unlearn_epsilon=...)`` works after fit.

    Attributes
    ----------
    classes_, coef_, intercept_, n_iter_, n_features_in_, feature_names_in_
        As in the parent.
    curvature_ : object
        The inverse curvature on the scale of a sum over rows: ``solve``, ``leverage``, ``to_dense``, ``nbytes``.
    fisher_inverse_ : ndarray of shape (d, d)
        Its dense form on the paper's scale, a mean over rows. Parameters are ordered as
        ``np.hstack([coef_, intercept_[:, None]]).ravel()``, without the last column if `fit_intercept` is False.
    structure_ : str
        The structure that was chosen.
    inversion_, backend_ : str
        The inversion and the backend that were chosen.
    damping_ : float or ndarray of shape (d,)
        lambda for the rows that remain; an array for 'auto'. Erasures keep ``n * damping_``, as retraining with the same C does.
    unlearn_epsilon_ : float
        The eps for a random forget set that is small against the training set.
    n_samples_remaining_ : int
        Number of rows (of positive weight) that the model rests on.
    erasures_ : list of ErasureRecord
        One record for each erasure, and for each call of `learn` or `rectify`.

    See Also
    --------
    sklearn_ssse.unlearn : Erase rows from pipelines and other composites; `learn` adds rows, `rectify` replaces them.
    GammaScorer : Choose eps by `GridSearchCV`.

    Notes
    -----
    n and k are sums of sample weights, class weights included. What `fit` calibrated over all rows stays after an erasure: the
    damping and the calibration of eps (a few numbers) and frozen class weights. `fit_curvature` makes the first two anew.

    From scikit-learn 1.9 on ``set_callbacks(ProgressBar())`` shows the passes over the rows where building the curvature takes long.

    References
    ----------
    .. [1] A. Peste, D. Alistarh, C. H. Lampert, "SSSE: Efficiently Erasing Samples from Trained Machine Learning Models", 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from sklearn_ssse import ErasableLogisticRegression, parameter_distance
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = scale(X)
    >>> original = ErasableLogisticRegression(curvature="fisher").fit(X, y)
    >>> erased = ErasableLogisticRegression(curvature="fisher").fit(X, y).unlearn(X[:20], y[:20])
    >>> erased.n_samples_remaining_
    549
    >>> retrained = ErasableLogisticRegression(curvature="fisher").fit(X[20:], y[20:])
    >>> parameter_distance(original, erased, retrained) < 0.3
    True
    """

    # Parameters that scikit-learn deprecates: fixed for the parent's `fit`, not offered.
    penalty = "deprecated"
    n_jobs = None

    _parameter_constraints: dict = {
        **{
            name: constraint
            for name, constraint in LogisticRegression._parameter_constraints.items()
            if name not in ("penalty", "n_jobs")
        },
        **PARAMETER_CONSTRAINTS,
    }

    def __init__(
        self,
        *,
        C=1.0,
        l1_ratio=0.0,
        dual=False,
        tol=1e-4,
        fit_intercept=True,
        intercept_scaling=1,
        class_weight=None,
        random_state=None,
        solver="lbfgs",
        max_iter=100,
        verbose=0,
        warm_start=False,
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
        self.C = C
        self.l1_ratio = l1_ratio
        self.dual = dual
        self.tol = tol
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.class_weight = class_weight
        self.random_state = random_state
        self.solver = solver
        self.max_iter = max_iter
        self.verbose = verbose
        self.warm_start = warm_start
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
            Training data. CSR is not densified.
        y : array-like of shape (n_samples,)
            Labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, not negative.

        Returns
        -------
        self : object

        Raises
        ------
        ErasureError
            If the penalty has an l1 part, or the curvature is singular in spite of its damping.
        """
        refuse_l1(self.l1_ratio)
        for name in (
            "curvature_",
            "_erasure_state",
        ):  # of an earlier fit: after an error below there must be none
            vars(self).pop(name, None)
        super().fit(X, y, sample_weight)
        self._set_curvature(*check_rows(self, X, y, sample_weight, trusted=True))
        self.erasures_ = []
        return self

    @classmethod
    def from_estimator(cls, fitted, X, y, sample_weight=None, **params):
        """Make a trained logistic regression erasable, without training it again.

        Parameters
        ----------
        fitted : LogisticRegression, LogisticRegressionCV or SGDClassifier
            A fitted model; it is not changed. Of `LogisticRegressionCV` the final model, with the C that it chose. `SGDClassifier` with
            ``loss="log_loss"`` and two classes; its ``alpha`` becomes ``C = 1 / (alpha n)`` for n rows, fixed from then on.
        X, y, sample_weight
            The data that it was trained on; without rows that were held out to stop early.
        **params : dict
            Parameters of this class, such as `curvature`. The parent's own are taken from `fitted`; of `SGDClassifier` only those of
            its objective.

        Returns
        -------
        ErasableLogisticRegression
            Fitted, with the predictions of `fitted`.

        Raises
        ------
        TypeError
            If `fitted` is none of these.
        sklearn.exceptions.NotFittedError
            If it is not fitted.
        ErasureError
            If it has an l1 penalty, or another loss, or is no single softmax model.

        Warns
        -----
        ErasureWarning
            If it is far from the minimum of its objective on these rows: they are others than it was trained on, or training stopped
            long before.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn_ssse import ErasableLogisticRegression
        >>> X, y = load_iris(return_X_y=True)
        >>> trained = LogisticRegression(max_iter=500).fit(X, y)
        >>> model = ErasableLogisticRegression.from_estimator(trained, X, y, curvature="fisher")
        >>> model.unlearn(X[:3], y[:3]).n_samples_remaining_
        147
        """
        given = logistic_parameters(fitted, y)
        own = set(cls._get_param_names())
        model = cls(**{**{name: value for name, value in given.items() if name in own}, **params})
        _copy_fitted(fitted, model)
        n_iter = np.atleast_1d(fitted.n_iter_)  # of a search, the most of its fits
        model.n_iter_ = n_iter if n_iter.ndim == 1 else n_iter.max(keepdims=True).ravel()
        model.fit_curvature(X, y, sample_weight)
        warn_if_far(model, X, y, sample_weight)
        return model

    def to_plain(self):
        """The model as scikit-learn's own `LogisticRegression`: same predictions, no curvature inside.

        Returns
        -------
        LogisticRegression
            Fitted. Holds copies of this model's parameters and nothing else of it.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sklearn_ssse import ErasableLogisticRegression
        >>> X, y = load_iris(return_X_y=True)
        >>> ErasableLogisticRegression(max_iter=500).fit(X, y).to_plain()
        LogisticRegression(max_iter=500)
        """
        check_is_fitted(self)
        plain = self._plain()
        _copy_fitted(self, plain)
        return plain

    def _plain(self):
        """An unfitted model of the parent class, trained alike."""
        names = set(LogisticRegression._get_param_names())
        return LogisticRegression(
            **{k: v for k, v in self.get_params(deep=False).items() if k in names}
        )

    def _family(self):
        return LinearFamily(self)

    def _frozen_class_weight(self, codes, weight):
        if self.class_weight is None:
            return np.ones(len(self.classes_))
        y = self.classes_[codes]
        return compute_class_weight(
            self.class_weight, classes=self.classes_, y=y, sample_weight=weight
        ).astype(np.float64)

    def _automatic_ridges(self, batch):
        return logistic.automatic_ridges(batch, self.curvature)

    def _calibrate(self, batch, inverse, state):
        if CURVATURES[self.curvature].is_hessian:
            return logistic.Exact()
        return (
            logistic.calibrate(batch, inverse, self.curvature)
            if isinstance(self.unlearn_epsilon, str)
            else None
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.array_api_support = False
        return tags


def _copy_fitted(source, target):
    """Copy what `fit` of the parent class leaves in the object."""
    for name in _FITTED:
        if name in vars(source):
            setattr(target, name, copy.deepcopy(vars(source)[name]))
