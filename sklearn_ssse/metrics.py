"""Measures of an erasure: comparisons of the original, the erased and the retrained model."""

from collections import OrderedDict
from copy import deepcopy
from uuid import uuid4

from sklearn.utils.metadata_routing import MetadataRequest

from sklearn_ssse._search import (
    METRICS,
    attribute_auc,
    fit_with_weights,
    fitted_model,
    gamma_score,
    own_epsilon,
    parameter_distance,
    parameters_key,
    with_epsilon,
)
from sklearn_ssse._utils.compat import num_samples
from sklearn_ssse._utils.unquoted import check_consistent_length
from sklearn_ssse._verbs import unlearn_for_search

__all__ = ["GammaScorer", "attribute_auc", "gamma_score", "parameter_distance"]


class GammaScorer:
    """Scorer for `GridSearchCV` over eps: gamma_S, with the test folds as forget sets.

    A search fits each candidate on a training fold, which is all rows without the forget set S.
    Therefore the estimator that a search passes to the scorer is the retrained model. The scorer
    fits the original model on all rows, once for each combination of the parameters other than eps,
    erases S from a copy of it, and returns `gamma_score`.

    Parameters
    ----------
    X, y : array-like
        All rows of the search, as they are given to its ``fit``.
    sample_weight : array-like of shape (n_samples,), default=None
        The weights of all rows. The search must then pass the weights of each fold to the scorer:
        enable metadata routing and call ``set_score_request(sample_weight=True)``.
    metric : {'roc_auc', 'probability'}, default='roc_auc'
        See `gamma_score`.
    reference : estimator, default=None
        A model already fitted on all rows, which is used as the original model. It must have the
        parameters of the candidates, apart from `unlearn_epsilon`.

    Raises
    ------
    ValueError
        If `metric` is unknown, or X, y and the weights differ in length.

    See Also
    --------
    TunedEpsilonCV : Choose eps alone, with one refit for each forget set.

    Notes
    -----
    An erasure inside a search gives no warning of a doubtful step, because its result is measured.
    If a value of eps would ruin the model, its score is nan, and a search ranks it last.

    The test fold and the training fold must make up all rows. Any splitter can generate forget
    sets: `ShuffleSplit` for random rows, `GroupShuffleSplit` for all rows of a person,
    `PredefinedSplit`, or a list of index pairs.

    `GridSearchCV` cannot fit a `MultiOutputClassifier` to a training fold in which an output has
    one class, because all rows of an attribute are in the test fold: the score is then nan. Use
    `TunedEpsilonCV`, in which such an output predicts its class and has the area 0.

    The scorer holds the training data, and so does a search that holds the scorer. Keep
    ``best_estimator_``, which holds none, and not the search. Fitted models are not pickled with
    the scorer.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.model_selection import GridSearchCV, ShuffleSplit
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_ssse import ErasableLogisticRegression, GammaScorer
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> pipe = make_pipeline(StandardScaler(), ErasableLogisticRegression())
    >>> search = GridSearchCV(
    ...     pipe,
    ...     {"erasablelogisticregression__unlearn_epsilon": [0.1, 0.5, 1.0]},
    ...     scoring=GammaScorer(X, y, metric="probability"),
    ...     cv=ShuffleSplit(3, test_size=0.05, random_state=0),
    ... )
    >>> model = search.fit(X, y).best_estimator_
    >>> model[-1].n_samples_remaining_
    569
    """

    def __init__(self, X, y, sample_weight=None, *, metric="roc_auc", reference=None):
        if metric not in METRICS:
            raise ValueError(f"metric must be one of {', '.join(METRICS)}, got {metric!r}.")
        check_consistent_length(X, y, sample_weight)
        self.X = X
        self.y = y
        self.sample_weight = sample_weight
        self.metric = metric
        self.reference = reference
        self._memo = {}
        self._token = uuid4().hex
        self._request = False

    # `unlearn` warns of a search that holds a scorer with this attribute.
    _holds_training_rows = True

    def __call__(self, estimator, X, y, sample_weight=None):
        """Return gamma_S for the erasure of (X, y).

        Parameters
        ----------
        estimator : estimator
            The retrained model: a candidate fitted on all rows without the forget set.
        X, y, sample_weight : array-like
            The forget set.

        Returns
        -------
        float
            gamma_S; nan on the training fold, which a search scores if ``return_train_score=True``.

        Raises
        ------
        ValueError
            If the folds do not make up all rows, or weights are given for a part of them.
        """
        if self._is_training_fold(estimator, X):
            return float("nan")
        self._check_fold(estimator, X, sample_weight)
        original = self._original(estimator)
        erased = unlearn_for_search(deepcopy(original), X, y, own_epsilon(estimator), sample_weight)
        return gamma_score(original, erased, estimator, X, y, metric=self.metric)

    def set_score_request(self, *, sample_weight):
        """Request that a search passes weights to the scorer, if metadata routing is enabled.

        Parameters
        ----------
        sample_weight : bool, str or None
            As in scikit-learn's metadata routing.

        Returns
        -------
        self : object
        """
        self._request = sample_weight
        return self

    def get_metadata_routing(self):
        """Return the metadata that the scorer requests, a `MetadataRequest`."""
        request = MetadataRequest(owner=self)
        request.score.add_request(param="sample_weight", alias=self._request)
        return request

    def _is_training_fold(self, estimator, X):
        """Whether X has as many rows as the estimator was fitted to.

        If both folds hold half of the rows, X is taken to be the test fold.
        """
        fitted = getattr(fitted_model(estimator), "n_samples_remaining_", None)
        return fitted == num_samples(X) and 2 * fitted != num_samples(self.X)

    def _check_fold(self, estimator, X, sample_weight):
        """Refuse folds that do not make up all rows, and weights for a part of the rows."""
        final = fitted_model(estimator)
        fitted = getattr(final, "n_samples_remaining_", None)
        if getattr(final, "early_stopping", False):  # the held-out rows are not counted
            fitted = None
        n = num_samples(self.X)
        k = num_samples(X)
        weighted = (self.sample_weight is not None, sample_weight is not None)
        if fitted is not None and not any(weighted) and fitted != n - k:
            raise ValueError(
                f"Training and test fold must make up the {n} rows of the scorer, got {fitted} and "
                f"{k} rows. Use a splitter whose training fold holds all rows outside the test "
                "fold, and give the scorer the rows that the search is given."
            )
        if weighted[0] != weighted[1] and self.reference is None:
            given = "scorer" if weighted[0] else "rows"
            missing = "rows" if weighted[0] else "scorer"
            raise ValueError(
                "Weights must be given for all rows and for the forget set, got weights for the "
                f"{given} only (none for the {missing}). Pass sample_weight to GammaScorer, enable "
                "metadata routing, and call set_score_request(sample_weight=True)."
            )

    def _original(self, estimator):
        """The model on all rows with the parameters of ``estimator`` apart from eps."""
        template = with_epsilon(estimator, "auto")
        key = parameters_key(template)
        if self.reference is not None:
            if parameters_key(with_epsilon(self.reference, "auto")) != key:
                raise ValueError(
                    "The reference must have the parameters of the candidates apart from "
                    "unlearn_epsilon, got others. Omit reference: the scorer then fits a model "
                    "for each combination."
                )
            return self.reference
        if key not in self._memo:
            self._memo[key] = fit_with_weights(template, self.X, self.y, self.sample_weight)
        return self._memo[key]

    def __getstate__(self):
        return {**vars(self), "_memo": None}

    def __setstate__(self, state):
        # A worker process unpickles the scorer for every task: share the models between tasks.
        vars(self).update(state)
        self._memo = _WORKER_MEMOS.setdefault(self._token, {})
        _WORKER_MEMOS.move_to_end(self._token)
        while len(_WORKER_MEMOS) > MAX_WORKER_MEMOS:
            _WORKER_MEMOS.popitem(last=False)

    def __sklearn_clone__(self):
        return self


# Fitted original models of the scorers that this process unpickled last, by their token.
_WORKER_MEMOS: OrderedDict[str, dict] = OrderedDict()
# Number of scorers whose models are kept.
MAX_WORKER_MEMOS = 2
