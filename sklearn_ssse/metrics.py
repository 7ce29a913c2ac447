"""Measures of an erasure: comparisons of the original, the erased and the retrained model."""

from collections import OrderedDict
from copy import deepcopy
from functools import partial
from uuid import uuid4

from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils.metadata_routing import MetadataRequest

from sklearn_ssse._search import (
    METRICS,
    NORMS,
    attribute_scores,
    attribute_targets,
    distance_ratios,
    distances,
    euclidean_norms,
    fit_with_weights,
    fitted_model,
    gamma,
    hessian_norms,
    output_classes,
    own_epsilon,
    pack_parameters,
    parameters_key,
    stored_hessian_norms,
    with_epsilon,
)
from sklearn_ssse._utils.compat import num_samples
from sklearn_ssse._utils.unquoted import check_consistent_length
from sklearn_ssse._utils.warnings import warn
from sklearn_ssse._verbs import unlearn_for_search


def gamma_score(original, erased, retrained, X, y, *, metric="roc_auc"):
    """Measure whether the erased model is closer to the retrained or to the original model.

    Equation (5) of the method [1]_:
    ``gamma_S = D(erased, original) / (D(erased, original) + D(erased, retrained))``. Above 0.5 the
    erased model predicts the forget set S more like the retrained model than like the original one.
    At 1 its distance D to the retrained model is 0.

    Parameters
    ----------
    original : estimator with ``predict_proba``
        The model trained on all rows.
    erased : estimator with ``predict_proba``
        The original model after the erasure of S.
    retrained : estimator with ``predict_proba``
        The model trained on all rows without S.
    X : {array-like, sparse matrix} of shape (k, n_features)
        The forget set S.
    y : array-like of shape (k,) or (k, n_attributes)
        The labels of S. Each column of a multi-label y is one attribute; so is each class of a
        problem with more than two classes.
    metric : {'roc_auc', 'probability'}, default='roc_auc'
        The distance D. 'roc_auc', as in the paper: the sum over attributes of the absolute
        difference between the areas under the ROC curve on S; an area that S does not define counts
        as 0. 'probability': the mean absolute difference between the predicted probabilities, which
        is defined for any S.

    Returns
    -------
    float
        In [0, 1]; nan if both distances are 0.

    Raises
    ------
    ValueError
        If `metric` is unknown or the models do not predict the same outputs.

    Warns
    -----
    UndefinedMetricWarning
        If the result is nan: no area is defined, because S holds one class, or no area differs.

    References
    ----------
    .. [1] A. Peste, D. Alistarh, C. H. Lampert, "SSSE: Efficiently Erasing Samples from Trained
       Machine Learning Models", 2021.

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
    classes = output_classes(original, y)
    scores = [attribute_scores(model, X, classes) for model in (original, erased, retrained)]
    to_original, to_retrained = distances(attribute_targets(y, classes), scores, metric)
    if to_original + to_retrained == 0:
        reason = "no predicted probability differs between the models. Use another forget set."
        if metric == "roc_auc":
            reason = (
                "the forget set holds one class, or no rank differs between the models. Use "
                "metric='probability' for such sets."
            )
        warn(f"gamma_S is undefined and set to nan: {reason}", UndefinedMetricWarning)
    return gamma(to_original, to_retrained)


def parameter_distance(
    original, erased, retrained, X=None, y=None, *, norm="euclidean", sample_weight=None
):
    """Compute the distance ratio ``||erased - retrained|| / ||original - retrained||``.

    The norm is over all parameters, intercepts included. The Euclidean norm ``sqrt(v^T v)`` of a
    difference v gives all parameters the same importance. The norm of the Hessian,
    ``sqrt(v^T H v)``, weighs each direction by its effect on the loss of the retained rows:
    ``v^T H v / 2`` is the second-order increase of that loss, penalty included, if v is added to
    the retrained parameters. In directions in which the loss is almost flat, such as the
    coefficient of a column that is zero in nearly all rows, the Euclidean distance can be large
    although no prediction changes much.

    Parameters
    ----------
    original, erased, retrained : fitted classifiers
        The models of `gamma_score`: linear classifiers, multi-layer perceptrons, pipelines that end
        in one, or multi-output classifiers of them. In pipelines only the last steps are compared,
        which is meaningful only if their inputs agree. The models need not be erasable.
    X : {array-like, sparse matrix} of shape (n_retained, n_features), default=None
        The retained rows, which the retrained model was trained on. Only for ``norm='hessian'``;
        the Euclidean norm ignores X, y and sample_weight. If the retrained model is a pipeline,
        its steps transform X, and H belongs to the columns that they return.
    y : array-like of shape (n_retained,) or (n_retained, n_outputs), default=None
        The labels of the retained rows, needed if the retrained model has class weights.
    norm : {'euclidean', 'hessian'}, default='euclidean'
        The norm. For 'hessian', H is the Hessian of the penalised loss of the retrained model on
        the rows X, on the scale of a sum over rows; for a multi-layer perceptron, the Gauss-Newton
        matrix plus the penalty; for several outputs, one block for each output. It is not formed:
        one pass over X multiplies its factors by the two differences. Without X, H is the Hessian
        whose full inverse the retrained model stores, or else the erased model: it was computed at
        the parameters of that model's fit, and `curvature` must be 'fisher'.
    sample_weight : array-like of shape (n_retained,), default=None
        The weights of the retained rows, for ``norm='hessian'``.

    Returns
    -------
    float
        Without unit. 0 is perfect, and 1 is no better than doing nothing; nan if the retrained
        model equals the original one.

    Raises
    ------
    ValueError
        If `norm` is unknown, or the models do not have the same number of parameters.
    ErasureError
        For ``norm='hessian'``: if X is not given and neither model stores a full inverse of the
        Hessian, if y is not given for a model with class weights, or if the penalty of the
        retrained model has an l1 part.
    TypeError
        For ``norm='hessian'``: if the Hessian of the retrained model is not known. It is known for
        `LogisticRegression`, `LogisticRegressionCV`, a binary ``SGDClassifier(loss="log_loss")``,
        `MLPClassifier` and the erasable classifiers.

    See Also
    --------
    gamma_score : Compare the predictions on the forget set instead of the parameters.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from sklearn_ssse import ErasableLogisticRegression, parameter_distance
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = scale(X)
    >>> original = ErasableLogisticRegression(curvature="fisher").fit(X, y)
    >>> erased = ErasableLogisticRegression(curvature="fisher").fit(X, y).unlearn(X[:60], y[:60])
    >>> retrained = ErasableLogisticRegression(curvature="fisher").fit(X[60:], y[60:])
    >>> parameter_distance(original, original, retrained)
    1.0
    >>> parameter_distance(original, erased, retrained) < 0.2
    True
    >>> parameter_distance(original, erased, retrained, X[60:], norm="hessian") < 0.2
    True
    """
    if norm not in NORMS:
        raise ValueError(f"norm must be one of {', '.join(NORMS)}, got {norm!r}.")
    norms = euclidean_norms
    if norm == "hessian" and X is None:
        norms = partial(stored_hessian_norms, retrained=retrained, erased=erased)
    elif norm == "hessian":
        norms = partial(
            hessian_norms,
            retrained=retrained,
            erased=erased,
            X=X,
            y=y,
            sample_weight=sample_weight,
        )
    first, moved, last = map(pack_parameters, (original, erased, retrained))
    return float(distance_ratios(first, [moved], last, norms)[0])


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
