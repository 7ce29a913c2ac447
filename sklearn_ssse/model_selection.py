"""The choice of eps by experiment, with one fit on all rows and one for each forget set."""

from contextlib import contextmanager
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.model_selection import ShuffleSplit, check_cv
from sklearn.multioutput import MultiOutputClassifier
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted, column_or_1d, indexable

from sklearn_ssse._composites import final_step, inside, plan, route
from sklearn_ssse._search import (
    METRICS,
    fit_with_weights,
    fold_positions,
    measure,
    plain_template,
    search_grid,
    search_results,
    set_epsilon,
    with_epsilon,
)
from sklearn_ssse._utils.compat import (
    CallbackSupportMixin,
    HasMethods,
    Interval,
    StrOptions,
    check_sample_weight,
    num_samples,
    with_callbacks,
)
from sklearn_ssse._verbs import preview_unlearn, unlearn

# Forget sets of ``cv=None``: five random sets of 5 % of the rows.
DEFAULT_SETS = {"n_splits": 5, "test_size": 0.05, "random_state": 0}


def _estimator_has(name):
    """A check for `available_if`: whether the estimator has a method."""

    def check(self):
        getattr(vars(self).get("estimator_", self.estimator), name)
        return True

    return check


class TunedEpsilonCV(CallbackSupportMixin, ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Erasable classifier whose eps is chosen by gamma_S on forget sets of its training data.

    The parameters after an erasure are ``theta* + eps Delta``. Therefore one fit on all rows and,
    for each forget set, one refit and one erasure suffice for all values of eps. The scores equal
    the scores of `GridSearchCV` over `unlearn_epsilon` with `GammaScorer` on the same folds; with
    ``tolerance=0`` the choice is the same too.

    Parameters
    ----------
    estimator : estimator object
        An erasable classifier, a `Pipeline` that ends in one, or a `MultiOutputClassifier` of one.
        It is cloned.
    epsilons : array-like of float or str, default=None
        Values of eps: numbers, 'auto', and multiples of it such as '0.5*auto'. None, for a logistic
        regression: 'auto' and 14 numbers from 0.05 to 20. None, for a network, which needs another
        number for each forget set: 8 multiples of 'auto' from 0.25 to 1.26.
    cv : int, cross-validation generator or iterable, default=None
        Its test folds are the forget sets: `ShuffleSplit` for random rows, `GroupShuffleSplit` for
        all rows of a person, or a list of index pairs. None: five random sets of 5 % of the rows.
    metric : {'roc_auc', 'probability'}, default='roc_auc'
        See `gamma_score`. 'probability' is also defined for forget sets of one class.
    n_jobs : int, default=None
        Number of forget sets that are measured in parallel, as in joblib.
    refit : bool, default=True
        Whether to keep the model fitted on all rows as `estimator_`, with the best eps.
    tolerance : float, default=None
        The best eps is the first of `epsilons` whose mean gamma_S is at most `tolerance` below the
        largest. None: 0.05 for the default `epsilons` of a network, else 0, which takes the
        largest, as `GridSearchCV` does. If the values are in ascending order, a tolerance prefers
        short steps. A network needs this: gamma_S of two trained networks is below 1 for every eps,
        and still grows with eps after the point at which the erased network is closest to the
        retrained one.

    Attributes
    ----------
    best_epsilon_ : float or str
        The chosen value of `epsilons`.
    best_score_ : float
        Mean gamma_S of `best_epsilon_` over the forget sets. If the retrained model does not differ
        from the original one on a forget set, the set is excluded with an `UndefinedMetricWarning`.
    best_index_ : int
        Position of `best_epsilon_` in `epsilons`.
    cv_results_ : dict of ndarray
        In the form of `GridSearchCV`: ``param_unlearn_epsilon``, ``split0_test_score`` and so on,
        ``mean_test_score``, ``std_test_score``, ``rank_test_score``. For each forget set, and as a
        mean over them (``mean_distance_ratio`` and so on), it also has

        - ``split0_distance_ratio``, in the Euclidean norm, and ``split0_distance_ratio_hessian``,
          in the norm of the Hessian of the retained rows: see `parameter_distance`. Both are nan if
          the retained rows lack a class;
        - ``split0_forget_accuracy_gap`` and ``split0_retain_accuracy_gap``: the accuracy after the
          erasure minus the accuracy after retraining.
    n_splits_ : int
        Number of forget sets.
    estimator_ : estimator object
        The model fitted on all rows, with `best_epsilon_`. Only with ``refit=True``.
    classes_, n_features_in_, feature_names_in_
        Of `estimator_`.

    See Also
    --------
    GammaScorer : Choose eps together with other parameters, by `GridSearchCV`.

    Notes
    -----
    No training row is kept. From scikit-learn 1.9 on, ``set_callbacks(ProgressBar())`` shows the
    fit on all rows and each forget set. With metadata routing, request weights by
    ``set_fit_request(sample_weight=True)``.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_ssse import ErasableLogisticRegression, TunedEpsilonCV
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> pipe = make_pipeline(StandardScaler(), ErasableLogisticRegression())
    >>> clf = TunedEpsilonCV(pipe, epsilons=[0.1, 0.3, 1.0], metric="probability").fit(X, y)
    >>> clf.best_epsilon_
    0.3
    >>> clf.unlearn(X[:10], y[:10]).estimator_[-1].n_samples_remaining_
    559
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit"])],
        "epsilons": ["array-like", None],
        "cv": ["cv_object"],
        "metric": [StrOptions(set(METRICS))],
        "n_jobs": [Integral, None],
        "refit": ["boolean"],
        "tolerance": [Interval(Real, 0, 1, closed="both"), None],
    }

    def __init__(
        self,
        estimator,
        *,
        epsilons=None,
        cv=None,
        metric="roc_auc",
        n_jobs=None,
        refit=True,
        tolerance=None,
    ):
        self.estimator = estimator
        self.epsilons = epsilons
        self.cv = cv
        self.metric = metric
        self.n_jobs = n_jobs
        self.refit = refit
        self.tolerance = tolerance

    @with_callbacks
    def fit(self, X, y, sample_weight=None, *, groups=None):
        """Fit the model on all rows and choose eps.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        groups : array-like of shape (n_samples,), default=None
            Group of each row, for a splitter that needs it.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a training and a test fold do not make up all rows, or no forget set changes the
            model.
        ErasureError
            If a value of `epsilons` is not valid, or a forget set cannot be erased.
        TypeError
            If `estimator` holds no erasable model.

        Warns
        -----
        UndefinedMetricWarning
            If gamma_S is not defined on a forget set, which is then excluded from the choice; or if
            it is not defined on any, so that ``metric='probability'`` is used instead.
        """
        self._validate_params()
        for name in ("estimator_", "classes_", "n_features_in_", "feature_names_in_"):
            vars(self).pop(name, None)  # of an earlier fit
        epsilons, tolerance = search_grid(self.estimator, self.epsilons, self.tolerance)
        all_numbers = all(isinstance(eps, Real) for eps in epsilons)
        template = with_epsilon(self.estimator, 1.0 if all_numbers else "auto")
        plain = clone(plain_template(template))
        X, y, sample_weight, groups = self._checked_rows(X, y, sample_weight, groups)
        cv = self.cv
        cv = ShuffleSplit(**DEFAULT_SETS) if cv is None else check_cv(cv, y, classifier=True)
        folds = fold_positions(cv.split(X, y, groups), num_samples(X))
        context = self._init_callback_context(max_subtasks=1 + len(folds))
        context = context.call_on_fit_task_begin(estimator=self)
        with self._task(context, "all rows") as task, task.propagate_callback_context(template):
            original = fit_with_weights(template, X, y, sample_weight)
        measuring = Parallel(n_jobs=self.n_jobs, return_as="generator")(
            delayed(measure)(
                original, clone(plain), X, y, sample_weight, fold, epsilons, self.metric
            )
            for fold in folds
        )
        sets = []
        for i in range(len(folds)):
            with self._task(context, f"forget set {i}"):
                sets.append(next(measuring))
        measured, informative = (np.array(part) for part in zip(*sets, strict=True))
        self.cv_results_ = search_results(epsilons, measured, informative)
        self.n_splits_ = len(folds)
        mean = self.cv_results_["mean_test_score"]
        self.best_index_ = int(np.argmax(mean >= mean.max() - tolerance))
        self.best_epsilon_ = epsilons[self.best_index_]
        self.best_score_ = float(mean[self.best_index_])
        if self.refit:
            self._keep_model(set_epsilon(original, self.best_epsilon_))
        context.call_on_fit_task_end(estimator=self)
        return self

    def _checked_rows(self, X, y, sample_weight, groups):
        """The rows, indexable, with labels in one dimension for a single output."""
        X, y, groups = indexable(X, y, groups)
        y = y.toarray() if sparse.issparse(y) else y
        is_column = np.ndim(y) == 2 and np.shape(y)[1] == 1
        if is_column and not isinstance(final_step(self.estimator), MultiOutputClassifier):
            y = column_or_1d(y, warn=True)
        if sample_weight is not None:
            sample_weight = check_sample_weight(sample_weight, X, dtype=np.float64)
        return X, y, sample_weight, groups

    @contextmanager
    def _task(self, context, name):
        """The callback context of one task of the fit, from its beginning to its end."""
        task = context.subcontext(task_name=name).call_on_fit_task_begin(estimator=self)
        yield task
        task.call_on_fit_task_end(estimator=self)

    def _keep_model(self, fitted):
        """Store the model that was fitted on all rows, and its fitted attributes."""
        self.estimator_ = fitted
        self.classes_ = fitted.classes_
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(fitted, name):
                setattr(self, name, getattr(fitted, name))

    def unlearn(self, X, y, epsilon=None, *, sample_weight=None, **params):
        """Erase training rows from `estimator_`, in place.

        Parameters
        ----------
        X, y, epsilon, sample_weight, **params
            See :func:`sklearn_ssse.unlearn`. ``epsilon=None`` takes `best_epsilon_`.

        Returns
        -------
        self : object

        Raises
        ------
        TypeError, ValueError, ErasureError
            See :func:`sklearn_ssse.unlearn`; also if ``refit=False``.
        """
        return unlearn(self, X, y, epsilon, sample_weight=sample_weight, **params)

    def preview_unlearn(self, X, y, epsilon=None, *, sample_weight=None, **params):
        """Return the record that `unlearn` would make with the same arguments; change nothing.

        Parameters
        ----------
        X, y, epsilon, sample_weight, **params
            See :func:`sklearn_ssse.unlearn`.

        Returns
        -------
        ErasureRecord or list of ErasureRecord
            See :func:`sklearn_ssse.preview_unlearn`.
        """
        return preview_unlearn(self, X, y, epsilon, sample_weight=sample_weight, **params)

    @available_if(_estimator_has("predict"))
    def predict(self, X):
        """Predict the labels of rows with `estimator_`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
        """
        return self._fitted().predict(X)

    @available_if(_estimator_has("predict_proba"))
    def predict_proba(self, X):
        """Predict the probabilities of the classes with `estimator_`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes), or a list of them
        """
        return self._fitted().predict_proba(X)

    @available_if(_estimator_has("predict_log_proba"))
    def predict_log_proba(self, X):
        """Predict the logarithms of the probabilities of the classes with `estimator_`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        return self._fitted().predict_log_proba(X)

    @available_if(_estimator_has("decision_function"))
    def decision_function(self, X):
        """Compute the decision function of rows with `estimator_`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
        """
        return self._fitted().decision_function(X)

    @available_if(_estimator_has("score"))
    def score(self, X, y, sample_weight=None):
        """Compute the score of `estimator_`, which is its accuracy.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
            In [0, 1].
        """
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        return self._fitted().score(X, y, **weights)

    def _fitted(self):
        check_is_fitted(self, "estimator_")
        return self.estimator_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.input_tags = inner.input_tags
        tags.classifier_tags = inner.classifier_tags
        tags.target_tags = inner.target_tags
        return tags


@route.register(TunedEpsilonCV)
def route_to_tuned(estimator, rows):
    """Send the rows to `estimator_`; the results of the search still depend on them."""
    (model,) = inside(estimator)
    return plan(model, rows.keep("cv_results_"))


@inside.register(TunedEpsilonCV)
def inside_tuned(estimator):
    """`estimator_`, the model that was fitted on all rows."""
    check_is_fitted(estimator, "estimator_")
    return [estimator.estimator_]
