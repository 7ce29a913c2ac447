"""The estimators of a sequence: how they are built and fitted, and the counts of their rows."""

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    RandomizedSearchCV,
    ShuffleSplit,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from sklearn_ssse import ErasableLogisticRegression, ErasableMLPClassifier, TunedEpsilonCV
from sklearn_ssse.preprocessing import ErasableSimpleImputer
from tests.fuzzing.data import label_names
from tests.fuzzing.options import SINGLE, TAKES_WEIGHTS

TRANSFORMERS = {
    "scaler": lambda options: StandardScaler(with_mean=options["container"] != "csr"),
    "imputer": lambda options: ErasableSimpleImputer(),
    "range": lambda options: MinMaxScaler(),
}


def erasable_base(options):
    """The erasable model inside the estimator."""
    own = {
        **options[options["base"]],
        **options["erasure"],
        "random_state": options["random_state"],
    }
    if options["base"] == "network":
        return ErasableMLPClassifier(**own)
    if own["class_weight"] == "dict":
        names = label_names(options).tolist()
        own["class_weight"] = {name: 1.0 + i for i, name in enumerate(names)}
    return ErasableLogisticRegression(**own)


def plain_base(options, random_state=0):
    """The plain scikit-learn model with the same objective, trained until it converges."""
    own = dict(options[options["base"]])
    if options["base"] == "network":
        return MLPClassifier(**own, random_state=random_state)
    solver = "liblinear" if own["solver"] == "liblinear" else "newton-cholesky"
    own.update(solver=solver, tol=1e-8, max_iter=500)
    if options["estimator"] in SINGLE:  # the weights are passed as weights of the rows
        own["class_weight"] = None
    own.pop("order")
    return LogisticRegression(**own)


def build(options, base):
    """The estimator of a sequence around a model ``base``; not fitted.

    `CalibratedClassifierCV` is built by `fit`, around a fitted model.
    """
    estimator = BUILDERS.get(options["estimator"], _itself)(options, base)
    steps = [TRANSFORMERS[name](options) for name in options["steps"]]
    return make_pipeline(*steps, estimator) if steps else estimator


def _itself(options, base):
    """The model alone."""
    return base


def _search(options, base):
    """A search over the penalty."""
    grid = {"C": [0.1, 1.0]} if options["base"] == "logistic" else {"alpha": [1e-3, 0.1]}
    if options["variant"]:
        return GridSearchCV(base, grid, cv=2)
    return RandomizedSearchCV(base, grid, n_iter=2, cv=2, random_state=0)


def _tuned_epsilon(options, base):
    """A search over eps."""
    folds = ShuffleSplit(2, test_size=0.05, random_state=0)
    if not hasattr(base, "unlearn"):
        return base
    return TunedEpsilonCV(base, epsilons=["0.5*auto", "auto"], cv=folds, metric="probability")


def _bagging(options, base):
    """A bag of three members, of all columns or of some."""
    features = 1.0 if options["variant"] else 0.7
    return BaggingClassifier(
        base, n_estimators=3, max_features=features, random_state=options["random_state"]
    )


def _voting(options, base):
    """Two equal models that vote."""
    return VotingClassifier(
        [("first", base), ("second", base)], voting=["hard", "soft"][options["variant"]]
    )


def _threshold(options, base):
    """A threshold that is given or tuned."""
    if options["variant"]:
        return FixedThresholdClassifier(base, threshold=0.45)
    return TunedThresholdClassifierCV(base, cv=2, thresholds=5)


BUILDERS = {
    "multi_output": lambda options, base: MultiOutputClassifier(base),
    "one_vs_rest": lambda options, base: OneVsRestClassifier(base),
    "one_vs_one": lambda options, base: OneVsOneClassifier(base),
    "chain": lambda options, base: ClassifierChain(base),
    "voting": _voting,
    "bagging": _bagging,
    "search": _search,
    "tuned_epsilon": _tuned_epsilon,
    "threshold": _threshold,
}


def fit(options, estimator, X, y, weight=None):
    """Fit an estimator of `build`, and calibrate it for ``calibrated``."""
    params = {}
    if weight is not None and options["estimator"] in TAKES_WEIGHTS:
        steps = getattr(estimator, "steps", None)
        name = "sample_weight" if steps is None else f"{steps[-1][0]}__sample_weight"
        params[name] = weight
    estimator.fit(X, y, **params)
    if options["estimator"] == "calibrated":
        return CalibratedClassifierCV(FrozenEstimator(estimator), cv=2).fit(X, y)
    return estimator


def judged(options, estimator):
    """The part of the estimator whose accuracy is judged.

    Calibrators and thresholds are not trained again by an erasure.
    """
    if options["estimator"] == "calibrated":
        return estimator.estimator.estimator
    if options["estimator"] == "threshold":
        if isinstance(estimator, Pipeline):
            *steps, (name, final) = estimator.steps
            return Pipeline([*steps, (name, final.estimator_)])
        return estimator.estimator_
    return estimator


def counts(options, estimator, codes, positions):
    """The counts of rows in each erasable model inside a fitted estimator.

    Parameters
    ----------
    options : dict
    estimator : estimator object
    codes : ndarray of int of shape (n_rows,) or (n_rows, n_outputs)
        Labels of the rows of positive weight.
    positions : ndarray of int of shape (n_rows,)
        Positions of the rows in the data of `fit`, for a bag.

    Returns
    -------
    list of tuple
        For each model, in the order of `erasable_models`, its number of rows and its numbers of
        rows of each class.
    """
    n_classes = options["n_classes"]
    counter = COUNTERS.get(options["estimator"], _counts_of_one)
    if options["multilabel"]:
        return [(len(codes), codes.sum(axis=0))]
    return counter(estimator, codes, n_classes, positions)


def _count(codes, n_classes):
    """The number of rows, and of rows of each class."""
    return len(codes), np.bincount(codes, minlength=n_classes)


def _counts_of_one(estimator, codes, n_classes, positions):
    """One model of all rows."""
    return [_count(codes, n_classes)]


def _counts_of_outputs(estimator, codes, n_classes, positions):
    """One model of all rows for each output."""
    return [_count(column, n_classes) for column in codes.T]


def _counts_of_rest(estimator, codes, n_classes, positions):
    """One model of all rows for each class, with two classes."""
    columns = [codes] if n_classes == 2 else [(codes == c).astype(int) for c in range(n_classes)]
    return [_count(column, 2) for column in columns]


def _counts_of_pairs(estimator, codes, n_classes, positions):
    """One model for each pair of classes."""
    pairs = [(i, j) for i in range(n_classes) for j in range(i + 1, n_classes)]
    return [_count((codes[(codes == i) | (codes == j)] == j).astype(int), 2) for i, j in pairs]


def _counts_of_votes(estimator, codes, n_classes, positions):
    """Two models of all rows."""
    return [_count(codes, n_classes)] * 2


def _counts_of_members(estimator, codes, n_classes, positions):
    """The rows that each member drew, as often as it drew them, or once if it took weights."""
    out = []
    for model, drawn in zip(estimator.estimators_, estimator.estimators_samples_, strict=True):
        times = np.bincount(drawn, minlength=estimator._n_samples)[positions]
        if model._erasure_state.weighted:
            times = np.minimum(times, 1)
        own = np.repeat(codes, times)
        out.append((len(own), np.array([(own == c).sum() for c in model.classes_])))
    return out


COUNTERS = {
    "multi_output": _counts_of_outputs,
    "chain": _counts_of_outputs,
    "one_vs_rest": _counts_of_rest,
    "one_vs_one": _counts_of_pairs,
    "voting": _counts_of_votes,
    "bagging": _counts_of_members,
}
