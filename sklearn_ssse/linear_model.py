"""Logistic regression that training rows can be erased from."""

from numbers import Integral, Real

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.utils import compute_class_weight
from sklearn.utils.validation import check_is_fitted

from sklearn_ssse._calibration import logistic, second_order
from sklearn_ssse._erasure import PARAMETER_CONSTRAINTS, ErasableMixin, check_certify, documented
from sklearn_ssse._families import LinearFamily
from sklearn_ssse._from_estimator import logistic_parameters, refuse_l1
from sklearn_ssse._gradients import CURVATURES, HESSIAN
from sklearn_ssse._minimum import left_by_training, perturb, take_newton_steps, takes_newton_steps
from sklearn_ssse._utils.compat import Interval, Options, StrOptions, with_callbacks
from sklearn_ssse._utils.locks import exclusive, itself

__all__ = ["ErasableLogisticRegression"]

# Tolerance of scikit-learn's solver in a refresh, as a share of `tol`. After the erasure of 9 rows
# of standardised breast cancer and digits, the distance ratio is .97 and .55 at `tol` itself, .013
# and .007 at a hundredth, .001 and .0007 at a thousandth, with 23 and 84 iterations.
TOLERANCE_SHARE = 0.001


@documented
class ErasableLogisticRegression(ErasableMixin, LogisticRegression):
    """Logistic regression that training rows can be erased from after training.

    `fit` trains scikit-learn's `LogisticRegression` and computes the inverse of its Fisher
    information. `unlearn` then erases rows in one closed-form step, Single-Step Sample Erasure
    [1]_, without the training data and without training again. Until then the coefficients and
    predictions equal the parent class's, bit for bit, except with `certify`.

    Parameters
    ----------
    C : float, default=1.0
        Inverse of regularization strength. ``C=np.inf`` turns the penalty off.
    l1_ratio : float, default=0.0
        Must be 0: an l1 penalty has no Hessian at a coefficient of zero, so that `fit` refuses it.
    dual, tol, fit_intercept, intercept_scaling, random_state, solver, max_iter, verbose, warm_start
        As in :class:`sklearn.linear_model.LogisticRegression`. All six solvers.
    class_weight : dict or 'balanced', default=None
        As in the parent class. The weights of `fit` are frozen: 'balanced' is not computed again
        after an erasure, but at the next `refresh`.
    curvature : {'empirical_fisher', 'fisher'}, default='empirical_fisher'
        The matrix to invert. 'empirical_fisher', the mean of ``g_i g_i^T`` over the gradients of
        the training rows, is the method of the paper and needs a step size. 'fisher' equals the
        exact Hessian here, needs no step size (eps = 1), and is several times closer to
        retraining: prefer it unless you want the method of the paper.
    structure : {'auto', 'full', 'block', 'low_rank', 'diagonal'}, default='auto'
        The part of the inverse to keep, for d parameters. 'full': the dense matrix, ``8 d^2``
        bytes. 'block': the inverses of consecutive diagonal blocks, ``8 d block_size`` bytes.
        'low_rank': a sketch of about ``16 d rank`` bytes, exact once it covers the rank of the
        curvature. 'diagonal': ``16 d`` bytes. 'auto': 'full' up to 4000 parameters, otherwise
        'block' if a class has at most 4000 parameters, otherwise 'low_rank'; 'diagonal' if none of
        these fits into half of the free memory. The choice is in `structure_`.
    {structure_parameters}
    {logistic_damping}
    {erasure_parameters}
    order : {'auto', 1, 2}, default='auto'
        Order of the steps of an erasure for 'fisher'. 1: a Newton step. 2: Halley's step, which
        uses the third derivatives of the loss and lets the curvature follow the parameters. It is
        10 to 100 times closer to retraining for small forget sets, and several times in a stream.
        It needs structure 'full', leave-out and, for K outputs of p parameters,
        ``4 K (K + 1) (K + 2) / 6 p^2 (p + 1)`` bytes (K is 1 for two classes: 120 kB for 31
        parameters, 4 MB for 101). 'auto': 2 if the fit is then estimated to take at most 1.5 times
        the plain fit, otherwise 1. If the curvature changes too much along a step, the third
        derivatives are dropped, and later steps are of first order. `order_` is the order in use.
    unlearn_epsilon : float or str, default='auto'
        Step size eps of `unlearn`. 'auto': calibrated at fit on pseudo-forget sets, without
        retraining, and adapted to each forget set; 1 for 'fisher'. A str such as '0.5*auto' is a
        multiple of that. It is read at `unlearn`, so ``set_params(unlearn_epsilon=...)`` works
        after fit.
    bounds : bool or 'all', default=True
        Whether to keep sums over the rows that bound the error of each erasure without data, for
        'fisher' with structure 'full', see `docs/bounds.md`. 'all' keeps sums for smaller bounds.
    budget : float, 'auto' or None, default='auto'
        Sum of the parameter bounds of the erasures, in standard errors, beyond which
        `refresh_recommended_` recommends a refresh; also without a bound, if it is a number.
        'auto': ``0.1 sqrt(d)``. None: no limit.
    certify : tuple (epsilon, delta) or None, default=None
        Certified removal with these two numbers, see `docs/certified.md`. The model then minimises
        a randomly perturbed objective and no longer equals scikit-learn's.
    certify_std : float, 'auto' or tuple ('auto', m), default='auto'
        Standard deviation sigma of the perturbation, in the unit of a gradient summed over rows.
        ``('auto', m)`` chooses it for the erasure of m rows, 'auto' for 1 % of the rows.
    {tracking_parameters}
    {backend_parameters}

    Attributes
    ----------
    classes_, coef_, intercept_, n_iter_, n_features_in_, feature_names_in_
        As in the parent class. The d parameters are ordered as
        ``np.hstack([coef_, intercept_[:, None]]).ravel()``, without the last column for
        ``fit_intercept=False``.
    {fitted_attributes}
    order_ : int
        Order of the next step, 1 or 2.
    certificate_ : object
        Only with `certify`: ``epsilon``, ``delta``, ``std``, ``budget``, ``spent`` and ``left``.

    See Also
    --------
    sklearn_ssse.unlearn : Erase rows from pipelines and other composites. `learn` adds rows,
        `rectify` replaces them.
    TunedEpsilonCV : Choose eps by experiment, with one refit for each forget set.
    GammaScorer : Choose eps by `GridSearchCV`.

    Notes
    -----
    n and k are sums of sample weights, class weights included. `fit` computes the damping, the
    calibration of eps (a few numbers) and the class weights over all rows, and an erasure does not
    change them. `fit_curvature` computes the first two again, `refresh` all of them.

    References
    ----------
    .. [1] A. Peste, D. Alistarh, C. H. Lampert, "SSSE: Efficiently Erasing Samples from Trained
       Machine Learning Models", 2021.

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

    _parent = LogisticRegression
    _parent_fitted = (
        "classes_",
        "coef_",
        "intercept_",
        "n_iter_",
        "n_features_in_",
        "feature_names_in_",
    )
    _parameter_constraints: dict = {
        **{
            name: constraint
            for name, constraint in LogisticRegression._parameter_constraints.items()
            if name not in ("penalty", "n_jobs")
        },
        **PARAMETER_CONSTRAINTS,
        "order": [Options(Integral, {1, 2}), StrOptions({"auto"})],
        "bounds": ["boolean", StrOptions({"all"})],
        "budget": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"}), None],
        "certify": [tuple, None],
        "certify_std": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"}), tuple],
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
        order="auto",
        inversion="auto",
        unlearn_epsilon="auto",
        bounds=True,
        budget="auto",
        certify=None,
        certify_std="auto",
        track_rows=False,
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
        self.order = order
        self.inversion = inversion
        self.unlearn_epsilon = unlearn_epsilon
        self.bounds = bounds
        self.budget = budget
        self.certify = certify
        self.certify_std = certify_std
        self.track_rows = track_rows
        self.backend = backend
        self.device = device

    @exclusive(itself)
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
            If the penalty has an l1 part, the curvature is singular in spite of its damping, or the
            inverse does not fit into memory.

        Warns
        -----
        ErasureWarning
            If training stopped far from the minimum of the objective: if the gradient that is left
            is more than 3 times as large as the gradient of a random 1 % of the rows, in the norm
            of the inverse curvature, and erasures cannot remove it. They can with 'fisher' and the
            full inverse if one Newton step removes most of it.
        """
        refuse_l1(self.l1_ratio)
        check_certify(self)
        self._drop_curvature()
        super().fit(X, y, sample_weight)
        perturb(self, X, y, sample_weight)
        return self._fit_curvature_of(X, y, sample_weight)

    @classmethod
    def from_estimator(cls, fitted, X, y, sample_weight=None, **params):
        """Make a trained logistic regression erasable, without training it again.

        Parameters
        ----------
        fitted : LogisticRegression, LogisticRegressionCV or SGDClassifier
            A fitted model; it is not changed. For `LogisticRegressionCV` the final model is taken,
            with the C that it chose. `SGDClassifier` needs ``loss="log_loss"`` and two classes; its
            ``alpha`` becomes ``C = 1 / (alpha n)`` for n rows, fixed from then on.
        X, y, sample_weight : array-like
            The data that it was trained on, without rows that were held out for early stopping.
        **params : dict
            Parameters of this class, such as `curvature`. The parent's own parameters are taken
            from `fitted`; from `SGDClassifier` only the parameters of its objective.

        Returns
        -------
        ErasableLogisticRegression
            Fitted, with the predictions of `fitted`.

        Raises
        ------
        TypeError
            If `fitted` is none of these types.
        sklearn.exceptions.NotFittedError
            If it is not fitted.
        ErasureError
            If its penalty has an l1 part, if its loss is not the log-loss, or if it is not one
            model: `SGDClassifier` with more than two classes, or `LogisticRegressionCV` with
            ``refit=False`` or with different C for its classes.

        Warns
        -----
        ErasureWarning
            If it is far from the minimum of its objective on these rows, and erasures cannot remove
            the gradient that is left there: it was trained on other rows, or training stopped long
            before the minimum. With 'fisher' and the full inverse, an erasure removes it if one
            Newton step can.

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
        names = set(cls._get_param_names())
        given = {k: v for k, v in logistic_parameters(fitted, y).items() if k in names}
        model = cls._from_fitted(fitted, given, X, y, sample_weight, params)
        n_iter = np.atleast_1d(fitted.n_iter_)  # of LogisticRegressionCV, one for each fit
        model.n_iter_ = n_iter if n_iter.ndim == 1 else n_iter.max(keepdims=True).ravel()
        return model

    @property
    def order_(self):
        """Order of the next step of an erasure: 2 if the third derivatives are stored, else 1.

        Returns
        -------
        int

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the model is not fitted.
        """
        check_is_fitted(self, "curvature_")
        return 1 if self._erasure_state.path.second_order is None else 2

    def _family(self):
        """The `LinearFamily` of the fitted model, whose penalty must have a Hessian."""
        refuse_l1(self.l1_ratio)
        return LinearFamily(self)

    def _frozen_class_weight(self, codes, weight):
        """Weight of each class, (n_classes,)."""
        if self.class_weight is None:
            return np.ones(len(self.classes_))
        return compute_class_weight(
            self.class_weight, classes=self.classes_, y=self.classes_[codes], sample_weight=weight
        ).astype(np.float64)

    def _automatic_ridges(self, batch):
        """Ridges of damping "auto" to try in turn, each (d,)."""
        return logistic.automatic_ridges(batch, self.curvature)

    def _penalty_ridges(self, batch):
        """Ridges of damping "penalty", each (d,): the ones of "auto" for the Hessian."""
        return logistic.automatic_ridges(batch, HESSIAN)

    def _calibrate(self, batch, inverse, state):
        """Calibration of eps "auto", or None if eps is a number."""
        if CURVATURES[self.curvature].is_hessian:
            return logistic.Exact()
        if not isinstance(self.unlearn_epsilon, str):
            return None
        return logistic.calibrate(batch, inverse, self.curvature)

    def _left_by_training(self, batch, inverse):
        """The gradient that training left, if an erasure can remove it; else a warning if large."""
        is_hessian = CURVATURES[self.curvature].is_hessian
        return left_by_training(batch, inverse, is_hessian, isinstance(self.damping, str))

    @with_callbacks
    def _train_further(self, given, checked):
        """Newton steps to the minimum; a warm start of the parent if the Hessian is too large."""
        if not self.fit_intercept:
            self.intercept_ = np.zeros_like(self.intercept_)
        if takes_newton_steps(self):
            take_newton_steps(self, checked)
        else:
            family = self._family()
            vars(self).update(family.attributes(family.centred(family.theta)))
            self._fit_parent(given, tol=TOLERANCE_SHARE * self.tol)

    def _second_order(self, batch, inverse, state):
        """The `SecondOrder` of the training rows, or None; "auto" chooses it once, at fit."""
        is_exact = CURVATURES[self.curvature].is_hessian and not state.minibatch
        before = getattr(vars(self).get("_erasure_state"), "order", None)
        n_iter = int(np.max(self.n_iter_, initial=1))
        can_leave_out = is_exact and self._leave_out(state)
        order = self.order if self.certify is None else 1
        return second_order(batch, inverse, order, can_leave_out, n_iter, before)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.array_api_support = False
        return tags
