"""Choosing eps: a whole grid for one fit on all rows and one for each forget set."""

import warnings
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.model_selection import ShuffleSplit, check_cv
from sklearn.multioutput import MultiOutputClassifier
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted, column_or_1d, indexable

from sklearn_ssse._composites import final_step, inside, plan, route
from sklearn_ssse._erasure import Multiple, read_epsilon
from sklearn_ssse._search import (
    MEASURES,
    METRICS,
    fit_with_weights,
    measure,
    plain_template,
    searched_model,
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

DEFAULT_SETS = {"n_splits": 5, "test_size": 0.05, "random_state": 0}


def _estimator_has(name):
    def check(self):
        getattr(vars(self).get("estimator_", self.estimator), name)
        return True

    return check


class TunedEpsilonCV(CallbackSupportMixin, ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Erasable classifier whose eps is chosen by gamma_S on forget sets of its own training data.

    The parameters after an erasure are ``theta* + eps Delta``: one fit on all rows, one refit without each forget set and one erasure of
    it serve every eps. Scores, and with ``tolerance=0`` the choice, are those of `GridSearchCV` over `unlearn_epsilon` with `GammaScorer`
    on the same folds.

    Parameters
    ----------
    estimator : estimator object
        An erasable classifier, a `Pipeline` that ends in one, or a `MultiOutputClassifier` of one. It is cloned.
    epsilons : array-like of float or str, default=None
        Values of eps: numbers, 'auto', multiples of it such as '0.5*auto'. None: of a logistic regression 'auto' and 14 numbers from 0.05
        to 20; of a net, which needs another number for each forget set, 8 multiples of 'auto' from 0.25 to 1.26.
    cv : int, cross-validation generator or iterable, default=None
        Its test folds are the forget sets: `ShuffleSplit` for random rows, `GroupShuffleSplit` for whole users, a list of index pairs.
        None: five random sets of 5 % of the rows.
    metric : {'roc_auc', 'probability'}, default='roc_auc'
        See `gamma_score`. 'probability' is defined for forget sets of one class, too.
    n_jobs : int, default=None
        Forget sets that are worked on at a time, as in joblib.
    refit : bool, default=True
        Whether to keep the model fitted on all rows as `estimator_`, with the best eps.
    tolerance : float, default=None
        The best eps is the first of `epsilons` whose mean gamma_S is no more than so much below the largest. None: 0.05 for the
        default `epsilons` of a net, else 0: the largest, as `GridSearchCV` chooses. With values in ascending order a tolerance prefers
        short steps: gamma_S of two trained nets is below 1 whatever eps is, and grows with it beyond the point where the erased net
        is closest to the retrained one.

    Attributes
    ----------
    best_epsilon_ : float or str
    best_score_ : float
        Its mean gamma_S over the forget sets; those on which the retrained model does not differ from the original one say nothing of eps
        and are left out, with an `UndefinedMetricWarning`.
    best_index_ : int
        Its position in `epsilons`.
    cv_results_ : dict of ndarray
        As of `GridSearchCV`: ``param_unlearn_epsilon``, ``split0_test_score`` and so on, ``mean_test_score``, ``std_test_score``,
        ``rank_test_score``; and for each set, with their mean, ``split0_distance_ratio`` (see `parameter_distance`),
        ``split0_forget_accuracy_gap`` and ``split0_retain_accuracy_gap``: accuracy after the erasure less that after retraining.
    n_splits_ : int
        Number of forget sets.
    estimator_ : estimator object
        Fitted on all rows, ready to erase. Only with `refit`.
    classes_, n_features_in_, feature_names_in_
        Of `estimator_`.

    Notes
    -----
    No training row is kept. From scikit-learn 1.9 on ``set_callbacks(ProgressBar())`` shows the fit on
    all rows and each forget set. With metadata routing weights are asked for by ``set_fit_request(sample_weight=True)``.

    See Also
    --------
    GammaScorer : The same for several parameters at once, with `GridSearchCV`.

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
            Groups of the rows, for a splitter that asks for them.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a training and a test fold do not make up all rows, or no forget set changes the model.
        ErasureError
            If a forget set cannot be erased.
        TypeError
            If `estimator` holds no erasable model.
        """
        self._validate_params()
        for name in (
            "estimator_",
            "classes_",
            "n_features_in_",
            "feature_names_in_",
        ):  # of an earlier fit
            vars(self).pop(name, None)
        epsilons, tolerance = self._wanted()
        template = with_epsilon(
            self.estimator, 1.0 if all(isinstance(eps, Real) for eps in epsilons) else "auto"
        )
        plain = clone(plain_template(template))
        X, y, groups = indexable(X, y, groups)
        y = y.toarray() if sparse.issparse(y) else y
        if (
            np.ndim(y) == 2
            and np.shape(y)[1] == 1
            and not isinstance(final_step(template), MultiOutputClassifier)
        ):
            y = column_or_1d(y, warn=True)
        sample_weight = (
            None
            if sample_weight is None
            else check_sample_weight(sample_weight, X, dtype=np.float64)
        )
        cv = (
            ShuffleSplit(**DEFAULT_SETS)
            if self.cv is None
            else check_cv(self.cv, y, classifier=True)
        )
        folds = _positions(cv.split(X, y, groups), num_samples(X))
        progress = self._init_callback_context(max_subtasks=1 + len(folds)).call_on_fit_task_begin(
            estimator=self
        )
        task = progress.subcontext(task_name="all rows").call_on_fit_task_begin(estimator=self)
        with task.propagate_callback_context(template):
            original = fit_with_weights(template, X, y, sample_weight)
        task.call_on_fit_task_end(estimator=self)
        results, measured, informative = (
            self._evaluate(original, plain, X, y, sample_weight, folds, epsilons),
            [],
            [],
        )
        for i in range(len(folds)):
            task = progress.subcontext(task_name=f"forget set {i}").call_on_fit_task_begin(
                estimator=self
            )
            values, tells = next(results)
            measured.append(values)
            informative.append(tells)
            task.call_on_fit_task_end(estimator=self)
        self._keep_results(epsilons, np.array(measured), np.array(informative), tolerance)
        if self.refit:
            self.estimator_ = set_epsilon(original, self.best_epsilon_)
            self.classes_ = self.estimator_.classes_
            for name in ("n_features_in_", "feature_names_in_"):
                if hasattr(self.estimator_, name):
                    setattr(self, name, getattr(self.estimator_, name))
        progress.call_on_fit_task_end(estimator=self)
        return self

    def _evaluate(self, original, plain, X, y, sample_weight, folds, epsilons):
        """Yield the measures of each forget set."""
        return Parallel(n_jobs=self.n_jobs, return_as="generator")(
            delayed(measure)(
                original, clone(plain), X, y, sample_weight, fold, epsilons, self.metric
            )
            for fold in folds
        )

    def unlearn(self, X, y, epsilon=None, *, sample_weight=None, **params):
        """Erase training rows from `estimator_`, in place, with the best eps unless another is given.

        Parameters
        ----------
        X, y, epsilon, sample_weight, **params
            See :func:`sklearn_ssse.unlearn`.

        Returns
        -------
        self : object
        """
        return unlearn(self, X, y, epsilon, sample_weight=sample_weight, **params)

    def preview_unlearn(self, X, y, epsilon=None, *, sample_weight=None, **params):
        """What `unlearn` would do with the same arguments; changes nothing.

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
        """Labels of the rows, by `estimator_`."""
        return self._fitted().predict(X)

    @available_if(_estimator_has("predict_proba"))
    def predict_proba(self, X):
        """Probabilities of the classes, by `estimator_`."""
        return self._fitted().predict_proba(X)

    @available_if(_estimator_has("predict_log_proba"))
    def predict_log_proba(self, X):
        """Logarithms of the probabilities of the classes, by `estimator_`."""
        return self._fitted().predict_log_proba(X)

    @available_if(_estimator_has("decision_function"))
    def decision_function(self, X):
        """Decision scores, by `estimator_`."""
        return self._fitted().decision_function(X)

    @available_if(_estimator_has("score"))
    def score(self, X, y, sample_weight=None):
        """Accuracy, by `estimator_`."""
        return self._fitted().score(
            X, y, **({} if sample_weight is None else {"sample_weight": sample_weight})
        )

    def _fitted(self):
        check_is_fitted(self, "estimator_")
        return self.estimator_

    def _wanted(self):
        """The values of eps, each a float or a string, and the tolerance."""
        grid = searched_model(self.estimator)._search_grid
        values = grid.epsilons if self.epsilons is None else self.epsilons
        values = [value.item() if isinstance(value, np.generic) else value for value in values]
        if not values:
            raise ValueError(
                "epsilons must hold at least one value, got none. Pass numbers above 0, or 'auto'."
            )
        read = [read_epsilon(value) for value in values]
        values = [
            value if isinstance(eps, Multiple) else eps
            for value, eps in zip(values, read, strict=True)
        ]
        if self.tolerance is not None:
            return values, self.tolerance
        return values, grid.tolerance if self.epsilons is None else 0.0

    def _keep_results(self, epsilons, measured, informative, tolerance):
        """``cv_results_`` and the best eps, from (n_sets, n_epsilons, 1 + n_measures) and which sets tell anything, (n_sets,)."""
        if not informative.any():
            warnings.warn(
                "gamma_S must be defined on a forget set at least, got none on which the areas of the retrained model differ; "
                "eps was chosen by metric='probability' instead. Use larger forget sets that hold several classes.",
                UndefinedMetricWarning,
                stacklevel=4,
            )
            measured[:, :, 0] = measured[:, :, -1]
            informative = ~np.isnan(measured[:, :, 0]).any(axis=1)
            if not informative.any():
                raise ValueError(
                    "Forget sets must change the model, got none that does. Use larger ones."
                )
        if not informative.all():
            warnings.warn(
                f"On {(~informative).sum()} of {len(informative)} forget sets the retrained model has the areas of the original: they are "
                "left out of the choice. Use metric='probability', or larger forget sets.",
                UndefinedMetricWarning,
                stacklevel=4,
            )
        results = {
            "param_unlearn_epsilon": np.ma.MaskedArray(
                np.array(epsilons, dtype=object), mask=False
            ),
            "params": [{"unlearn_epsilon": eps} for eps in epsilons],
        }
        for i, name in enumerate(("test_score", *MEASURES)):
            values = measured[:, :, i]
            results.update({f"split{j}_{name}": row for j, row in enumerate(values)})
            results[f"mean_{name}"] = (
                values[informative] if name == "test_score" else values
            ).mean(axis=0)
        results["std_test_score"] = measured[informative, :, 0].std(axis=0)
        mean = results["mean_test_score"]
        ranks = rankdata(-mean, method="min").astype(np.int32)
        results["rank_test_score"] = ranks
        self.cv_results_ = results
        self.n_splits_ = len(measured)
        self.best_index_ = int(np.argmax(mean >= mean.max() - tolerance))
        self.best_epsilon_ = epsilons[self.best_index_]
        self.best_score_ = float(mean[self.best_index_])

    def __sklearn_tags__(self):
        tags, inner = super().__sklearn_tags__(), get_tags(self.estimator)
        tags.input_tags, tags.classifier_tags, tags.target_tags = (
            inner.input_tags,
            inner.classifier_tags,
            inner.target_tags,
        )
        return tags


@route.register(TunedEpsilonCV)
def route_to_tuned(estimator, rows):
    (model,) = inside(estimator)
    return plan(model, rows.keep("cv_results_"))


@inside.register(TunedEpsilonCV)
def inside_tuned(estimator):
    check_is_fitted(estimator, "estimator_")
    return [estimator.estimator_]


def _positions(folds, n):
    """Training and test folds as positions; they may be given as masks or lists."""
    folds = [[np.arange(n)[fold] for fold in pair] for pair in folds]
    if not folds:
        raise ValueError("cv must yield at least one forget set, got none.")
    for train, test in folds:
        if not len(test) or not np.array_equal(
            np.sort(np.concatenate([train, test])), np.arange(n)
        ):
            raise ValueError(
                f"Training and test fold must make up the {n} rows, each once, got {len(train)} and {len(test)} rows. Use a splitter "
                "whose training fold is everything but the test fold."
            )
    return folds
