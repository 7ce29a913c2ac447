"""Forget sets, and the choice of eps by experiment on them: one refit for each forget set."""

from contextlib import contextmanager
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.model_selection import ShuffleSplit, check_cv
from sklearn.multioutput import MultiOutputClassifier
from sklearn.utils import get_tags
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted, column_or_1d, indexable

from sklearn_ssse._composites import final_step, inside, plan, route
from sklearn_ssse._search import (
    METRICS,
    ErasingSearch,
    ForgetSetSplit,
    Means,
    PredictingSearch,
    check_retrained,
    choose,
    defined_scores,
    extra_epsilons,
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

__all__ = ["ForgetSetSplit", "TunedEpsilonCV"]

# Forget sets of ``cv=None``: five random sets of 5 % of the rows.
DEFAULT_SETS = {"n_splits": 5, "test_size": 0.05, "random_state": 0}


class TunedEpsilonCV(
    PredictingSearch,
    ErasingSearch,
    CallbackSupportMixin,
    ClassifierMixin,
    MetaEstimatorMixin,
    BaseEstimator,
):
    """Erasable classifier whose eps is chosen by gamma_S on forget sets of its training data.

    The parameters after an erasure are ``theta* + eps Delta``. Therefore one fit on all rows and,
    for each forget set, one refit and one erasure suffice for all values of eps. The scores equal
    the scores of `GridSearchCV` over `unlearn_epsilon` with `GammaScorer` on the same folds. With
    ``tolerance=0`` and ``trust_best=True`` the choice is the same too; by default it is checked.

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
        Its test folds are the forget sets: `ShuffleSplit` for random rows, `ForgetSetSplit` for
        rows of a class or attribute and for all rows of a person, or a list of index pairs. None:
        five random sets of 5 % of the rows.
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
    trust_best : bool, default=False
        Whether to take the best eps without the checks below and without a warning. By default, an
        eps is not taken if

        - it is the smallest or the largest of at least two numbers in `epsilons`, and gamma_S is
          larger at 1.25 times the largest, or at the smallest divided by 1.25. A multiple of
          'auto' is never at an edge;
        - its mean distance ratio in the norm of the Hessian is above 1, so that the erased model
          is farther from the retrained one than the original model is. The mean is over the forget
          sets on which the ratio is defined. Networks are exempt: retraining reaches another
          minimum;
        - its gamma_S is more than `tolerance` below the gamma_S of 'auto', which is measured even
          if it is not in `epsilons`.

        The best eps that passes is taken instead. If none passes, 'auto' is taken. The best eps is
        kept all the same, with the warning, if the other one has a worse distance ratio and no
        larger gamma_S. A single value of `epsilons` is always taken; only its distance ratio is
        checked. gamma_S alone does not suffice, because it tends to 0.5 as a step becomes far too
        long. The Euclidean distance ratio is not checked, because coefficients that hardly change
        the loss, such as the coefficients of rare one-hot columns, dominate it.
    store_retrained : bool, default=False
        Whether to keep the refits as `retrained_`, so that searches with another curvature,
        leave-out or metric can take them: see `fit`.

    Attributes
    ----------
    best_epsilon_ : float or str
        The chosen value of `epsilons`; 'auto' if no value passes the checks.
    best_score_ : float
        Mean gamma_S of `best_epsilon_` over the forget sets. If the retrained model does not differ
        from the original one on a forget set, the set is excluded with an `UndefinedMetricWarning`.
    best_index_ : int or None
        Position of `best_epsilon_` in `epsilons`; None for an 'auto' that is not one of them.
    cv_results_ : dict of ndarray
        In the form of `GridSearchCV`: ``param_unlearn_epsilon``, ``split0_test_score`` and so on,
        ``mean_test_score``, ``std_test_score``, ``rank_test_score``. The rank is by the score
        alone, so `best_epsilon_` need not have rank 1. For each forget set, and as a mean over them
        (``mean_distance_ratio`` and so on), it also has

        - ``split0_distance_ratio``, in the Euclidean norm, and ``split0_distance_ratio_hessian``,
          in the norm of the Hessian of the retained rows: see `parameter_distance`. Both are nan if
          the retained rows lack a class; of a `MultiOutputClassifier`, outputs of which the
          retained rows have one class are left out;
        - ``split0_forget_accuracy_gap`` and ``split0_retain_accuracy_gap``: the accuracy after the
          erasure minus the accuracy after retraining.
    n_splits_ : int
        Number of forget sets.
    estimator_ : estimator object
        The model fitted on all rows, with `best_epsilon_`. Only with ``refit=True``.
    retrained_ : list of estimator
        For each forget set, scikit-learn's own model that was fitted to the retained rows, or the
        one that was given. Only with ``store_retrained=True``.
    classes_, n_features_in_, feature_names_in_
        Of `estimator_`.

    See Also
    --------
    ForgetSetSplit : Forget sets of a label, or of whole groups.
    GammaScorer : Choose eps together with other parameters, by `GridSearchCV`.

    Notes
    -----
    If the retained rows have one class of an output of a `MultiOutputClassifier`, the retrained
    output predicts that class with probability 1, and its area under the ROC curve counts as 0, by
    the convention of the paper: see `attribute_auc`.

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
    >>> epsilons = ["auto", 0.25, 0.5, 1.0]
    >>> clf = TunedEpsilonCV(pipe, epsilons=epsilons, metric="probability").fit(X, y)
    >>> clf.best_epsilon_
    0.5
    >>> clf.unlearn(X[:10], y[:10]).estimator_[-1].n_samples_remaining_
    559

    Two curvatures share the refits:

    >>> fisher = make_pipeline(StandardScaler(), ErasableLogisticRegression(curvature="fisher"))
    >>> options = {"epsilons": ["auto"], "metric": "probability", "store_retrained": True}
    >>> first = TunedEpsilonCV(pipe, **options).fit(X, y)
    >>> second = TunedEpsilonCV(fisher, **options).fit(X, y, retrained=first.retrained_)
    >>> first.best_score_ < second.best_score_
    True
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit"])],
        "epsilons": ["array-like", None],
        "cv": ["cv_object"],
        "metric": [StrOptions(set(METRICS))],
        "n_jobs": [Integral, None],
        "refit": ["boolean"],
        "tolerance": [Interval(Real, 0, 1, closed="both"), None],
        "trust_best": ["boolean"],
        "store_retrained": ["boolean"],
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
        trust_best=False,
        store_retrained=False,
    ):
        self.estimator = estimator
        self.epsilons = epsilons
        self.cv = cv
        self.metric = metric
        self.n_jobs = n_jobs
        self.refit = refit
        self.tolerance = tolerance
        self.trust_best = trust_best
        self.store_retrained = store_retrained

    @with_callbacks
    def fit(self, X, y, sample_weight=None, *, groups=None, retrained=None):
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
        retrained : list of estimator, default=None
            Finished refits, one for each forget set of `cv` in its order: `retrained_` of a search
            with the same `cv` and the same data, whose estimator may differ in the parameters that
            its parent class does not have, or models that were fitted to the retained rows. An
            erasable model or scikit-learn's own. The scores equal the scores of a search that makes
            the same refits. None: the search makes them.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a training and a test fold do not make up all rows, or no forget set changes the
            model; if `retrained` does not hold one model for each forget set, or one of them has
            another type, objective, number of columns or, if it is erasable, of rows. It is not
            checked on which rows a model was trained.
        ErasureError
            If a value of `epsilons` is not valid, or a forget set cannot be erased.
        TypeError
            If `estimator` holds no erasable model.

        Warns
        -----
        UndefinedMetricWarning
            If gamma_S is not defined on a forget set, which is then excluded from the choice; or if
            it is not defined on any, so that ``metric='probability'`` is used instead.
        ErasureWarning
            If the best eps does not pass the checks of `trust_best`. It names each failed check,
            its number, the eps that is taken instead, and what to do.
        """
        self._validate_params()
        for name in ("estimator_", "retrained_", "classes_", "n_features_in_", "feature_names_in_"):
            vars(self).pop(name, None)  # of an earlier fit
        grid = search_grid(self.estimator, self.epsilons, self.tolerance)
        epsilons = list(grid.epsilons)
        if not self.trust_best:
            epsilons += extra_epsilons(grid.epsilons)
        all_numbers = all(isinstance(eps, Real) for eps in epsilons)
        # The results for all eps follow from one erasure, which is refused if it ruins the model.
        # Its eps is at most the smallest candidate.
        template = with_epsilon(self.estimator, min(1.0, *epsilons) if all_numbers else "auto")
        plain = clone(plain_template(template))
        X, y, sample_weight, groups = self._checked_rows(X, y, sample_weight, groups)
        cv = self.cv
        cv = ShuffleSplit(**DEFAULT_SETS) if cv is None else check_cv(cv, y, classifier=True)
        folds = fold_positions(cv.split(X, y, groups), num_samples(X))
        context = self._init_callback_context(max_subtasks=1 + len(folds))
        context = context.call_on_fit_task_begin(estimator=self)
        with self._task(context, "all rows") as task, task.propagate_callback_context(template):
            original = fit_with_weights(template, X, y, sample_weight)
        refits = check_retrained(retrained, folds, original, sample_weight)
        data = (X, y, sample_weight)
        measuring = Parallel(n_jobs=self.n_jobs, return_as="generator")(
            delayed(measure)(original, clone(plain), refit, data, fold, epsilons, self.metric)
            for fold, refit in zip(folds, refits, strict=True)
        )
        sets = []
        for i in range(len(folds)):
            with self._task(context, f"forget set {i}"):
                *measures, refits[i] = next(measuring)
                sets.append(measures)
        self._choose(grid, epsilons, *(np.array(part) for part in zip(*sets, strict=True)))
        if self.store_retrained:
            self.retrained_ = refits
        if self.refit:
            self._keep_model(set_epsilon(original, self.best_epsilon_))
        context.call_on_fit_task_end(estimator=self)
        return self

    def _choose(self, grid, epsilons, measured, informative):
        """Store the results and the best eps.

        Parameters
        ----------
        grid : SearchGrid
        epsilons : list of float or str
            The candidates and the values of `extra_epsilons`.
        measured : ndarray of shape (n_sets, n_epsilons, 6)
        informative : ndarray of bool of shape (n_sets,)
            See `measure`.
        """
        n = len(grid.epsilons)
        measured, informative = defined_scores(measured, informative)
        self.cv_results_ = search_results(epsilons[:n], measured[:, :n], informative)
        self.n_splits_ = len(measured)
        means = Means.of(epsilons, n, measured, informative)
        if not grid.unique_minimum:
            means = means._replace(ratios=np.full(len(epsilons), np.nan))
        choice = choose(means, grid.tolerance, trust_best=self.trust_best)
        self.best_epsilon_, self.best_index_, self.best_score_ = choice

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
