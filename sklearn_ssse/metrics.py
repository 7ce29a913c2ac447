"""Did it work: comparisons of the original, the erased and the retrained model."""

import warnings
from collections import OrderedDict
from copy import deepcopy
from uuid import uuid4

from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils.metadata_routing import MetadataRequest
from sklearn.utils.validation import check_consistent_length

from sklearn_ssse._search import (
    METRICS,
    attribute_scores,
    attribute_targets,
    distance_ratio,
    distances,
    fit_with_weights,
    fitted_model,
    gamma,
    key_of,
    outputs,
    own_epsilon,
    pack_parameters,
    with_epsilon,
)
from sklearn_ssse._utils.compat import num_samples
from sklearn_ssse._verbs import unlearn


def gamma_score(original, erased, retrained, X, y, *, metric="roc_auc"):
    """How much closer the erased model is to the retrained one than to the original, on the forget set.

    Equation (5): ``gamma_S = D(erased, original) / (D(erased, original) + D(erased, retrained))``. Above 0.5 the erased model
    behaves more like the retrained one; 1 is perfect.

    Parameters
    ----------
    original, erased, retrained : estimators with ``predict_proba``
        Trained on all rows; that model after the erasure of S; trained on all rows without S.
    X : {array-like, sparse matrix} of shape (k, n_features)
        The forget set S.
    y : array-like of shape (k,) or (k, n_attributes)
        Its labels. Each column of a multi-label y, each class of a problem with more than two, is one attribute.
    metric : {'roc_auc', 'probability'}, default='roc_auc'
        What D compares. 'roc_auc' is the paper's: the sum over attributes of the absolute difference of the areas under the ROC
        curve; an area that S does not define counts as 0. 'probability': the mean absolute difference of the predicted
        probabilities, defined for any S.

    Returns
    -------
    float
        In [0, 1]; nan, with an `UndefinedMetricWarning`, if no area is defined (S holds one class) or none differs.

    Raises
    ------
    ValueError
        If `metric` is unknown or the models do not predict the same outputs.

    References
    ----------
    A. Peste, D. Alistarh, C. H. Lampert, "SSSE: Efficiently Erasing Samples from Trained Machine Learning Models", 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from sklearn_ssse import ErasableLogisticRegression, gamma_score
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = scale(X)
    >>> original = ErasableLogisticRegression(curvature="fisher").fit(X, y)
    >>> erased = ErasableLogisticRegression(curvature="fisher").fit(X, y).unlearn(X[:60], y[:60])
    >>> retrained = ErasableLogisticRegression(curvature="fisher").fit(X[60:], y[60:])
    >>> gamma_score(original, erased, retrained, X[:60], y[:60], metric="probability") > 0.5
    True
    """
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(METRICS)}, got {metric!r}.")
    check_consistent_length(X, y)
    classes = outputs(original, y)
    scores = [attribute_scores(model, X, classes) for model in (original, erased, retrained)]
    to_original, to_retrained = distances(attribute_targets(y, classes), scores, metric)
    if to_original + to_retrained == 0:
        nothing = "no probability moved"
        reason = (
            nothing
            if metric == "probability"
            else "the forget set has one class only, or no rank moved"
        )
        warnings.warn(
            f"gamma_S is undefined and set to nan: {reason}. Use metric='probability' for such sets.",
            UndefinedMetricWarning,
            stacklevel=2,
        )
    return gamma(to_original, to_retrained)


def parameter_distance(original, erased, retrained):
    """Distance ratio ``||erased - retrained|| / ||original - retrained||`` between parameters.

    Parameters
    ----------
    original, erased, retrained : fitted linear classifiers, pipelines that end in one, or multi-output classifiers
        See `gamma_score`. In pipelines only the final steps are compared: the ratio means something if their inputs agree.

    Returns
    -------
    float
        0 is perfect, 1 no better than doing nothing; nan if the retrained model equals the original one.

    Raises
    ------
    ValueError
        If the models do not have the same number of parameters.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from sklearn_ssse import ErasableLogisticRegression, parameter_distance
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = scale(X)
    >>> original = ErasableLogisticRegression().fit(X, y)
    >>> retrained = ErasableLogisticRegression().fit(X[60:], y[60:])
    >>> parameter_distance(original, original, retrained)
    1.0
    """
    return distance_ratio(*(pack_parameters(model) for model in (original, erased, retrained)))


class GammaScorer:
    """Scorer for `GridSearchCV` over eps: gamma_S, with the test folds as forget sets.

    A search fits each candidate on the training fold, the data without S, so the estimator that it hands to the scorer is the
    retrained model already. The scorer fits the original once on all rows for each combination of the other parameters,
    erases the test fold from a copy, and returns `gamma_score`.

    Parameters
    ----------
    X, y : array-like
        All rows of the search: the same that are given to its ``fit``.
    sample_weight : array-like of shape (n_samples,), default=None
        Their weights. The search must then pass the weights of the fold to the scorer: with metadata routing, by
        ``set_score_request(sample_weight=True)``.
    metric : {'roc_auc', 'probability'}, default='roc_auc'
        See `gamma_score`.
    reference : estimator, default=None
        A model already fitted on all rows, to be used instead of fitting one. Its parameters must be those of the candidates
        but for `unlearn_epsilon`.

    Notes
    -----
    The test and training folds must make up all rows together. Any splitter is a generator of forget sets: `ShuffleSplit` for
    random rows, `GroupShuffleSplit` for whole users, `PredefinedSplit`, a list of index pairs.

    The scorer holds the training data, and so does the search object that holds the scorer. Keep ``best_estimator_``, which
    holds none, and not the search. Fitted models are not pickled with the scorer.

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

    # Searches that hold the scorer hold the training rows, and are warned of.
    holds_training_rows = True

    def __call__(self, estimator, X, y, sample_weight=None):
        """gamma_S of the erasure of (X, y).

        Parameters
        ----------
        estimator : estimator
            Fitted on all rows but these.
        X, y, sample_weight : array-like
            The forget set.

        Returns
        -------
        float
            nan on the training fold, for which searches and curves with training scores ask, too.
        """
        if self._is_training_fold(estimator, X):
            return float("nan")
        self._check_fold(estimator, X, sample_weight)
        original = self._original(estimator)
        erased = unlearn(
            deepcopy(original), X, y, own_epsilon(estimator), sample_weight=sample_weight
        )
        return gamma_score(original, erased, estimator, X, y, metric=self.metric)

    def set_score_request(self, *, sample_weight):
        """Ask a search to pass weights to the scorer, with metadata routing enabled.

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
        """The metadata that the scorer asks for."""
        request = MetadataRequest(owner=self)
        request.score.add_request(param="sample_weight", alias=self._request)
        return request

    def _is_training_fold(self, estimator, X):
        fitted = getattr(fitted_model(estimator), "n_samples_remaining_", None)
        return fitted == num_samples(X) and 2 * fitted != num_samples(self.X)

    def _check_fold(self, estimator, X, sample_weight):
        final = fitted_model(estimator)
        fitted = getattr(final, "n_samples_remaining_", None)
        if getattr(final, "early_stopping", False):  # counts the rows that were not held out
            fitted = None
        n, k = num_samples(self.X), num_samples(X)
        if (
            fitted is not None
            and sample_weight is None
            and self.sample_weight is None
            and fitted != n - k
        ):
            raise ValueError(
                f"Training and test fold must make up the {n} rows of the scorer, got {fitted} and {k} rows. Use a splitter whose "
                "training fold is everything but the test fold, and give the scorer the rows that the search is given."
            )
        if (self.sample_weight is None) != (sample_weight is None) and self.reference is None:
            given, missing = (
                ("rows", "scorer") if self.sample_weight is None else ("scorer", "rows")
            )
            raise ValueError(
                f"Weights must be given for all rows and for the forget set, got weights for the {given} only (none for the "
                f"{missing}). Pass sample_weight to GammaScorer and, with metadata routing, ask for it by set_score_request."
            )

    def _original(self, estimator):
        """The model on all rows with the parameters of ``estimator`` but for eps."""
        template = with_epsilon(estimator, "auto")
        key = key_of(template)
        if self.reference is not None:
            if key_of(with_epsilon(self.reference, "auto")) != key:
                raise ValueError(
                    "The reference must have the parameters of the candidates but for unlearn_epsilon. Leave reference out to "
                    "have one fitted for each combination."
                )
            return self.reference
        if key not in self._memo:
            self._memo[key] = fit_with_weights(template, self.X, self.y, self.sample_weight)
        return self._memo[key]

    def __getstate__(self):
        return {**vars(self), "_memo": None}

    def __setstate__(self, state):
        # A worker process is handed the scorer anew with every task: it finds what it fitted for the earlier ones.
        vars(self).update(state)
        self._memo = _WORKER_MEMOS.setdefault(self._token, {})
        _WORKER_MEMOS.move_to_end(self._token)
        while len(_WORKER_MEMOS) > MAX_WORKER_MEMOS:
            _WORKER_MEMOS.popitem(last=False)

    def __sklearn_clone__(self):
        return self


# Fitted originals of the scorers that were unpickled in this process last, by their token.
_WORKER_MEMOS = OrderedDict()
MAX_WORKER_MEMOS = 2
