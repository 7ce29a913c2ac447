"""Routes of rows through scikit-learn's composites. Imported when the first of them is met: their modules take long to load."""

import numpy as np
from scipy import sparse
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import ClassifierChain
from sklearn.utils import column_or_1d
from sklearn.utils.validation import validate_data

from sklearn_ssse._erasure.changes import Change
from sklearn_ssse._erasure.validation import check_outputs, check_positions, encode
from sklearn_ssse._routes import erasable_models, inside, registered, route, work_out, work_out_all
from sklearn_ssse._utils.compat import BaseSearchCV, ConstantPredictor
from sklearn_ssse.exceptions import ErasureError
from sklearn_ssse.metrics import GammaScorer

BOOSTING = "each stage of boosting was fitted to the errors that the stages before it made on the rows. Train it again without them."
REFUSALS = {
    AdaBoostClassifier: BOOSTING,
    GradientBoostingClassifier: BOOSTING,
    HistGradientBoostingClassifier: BOOSTING,
    StackingClassifier: (
        "its final estimator was fitted to what models that it did not keep predicted of the rows, out of fold. Train it again without "
        "them, or use VotingClassifier."
    ),
}


def knows(estimator):
    """Whether a route is registered for the type, now that this module is there."""
    return route.dispatch(type(estimator)) is not route.dispatch(object)


def refusal(estimator):
    """Why rows cannot be erased from an estimator without a route, and what to do."""
    name = type(estimator).__name__
    for kind, reason in REFUSALS.items():
        if isinstance(estimator, kind):
            return f"Rows cannot be erased from {name}: {reason}"
    return (
        "Rows can be erased from ErasableLogisticRegression, ErasableMLPClassifier, and pipelines, searches and other composites of "
        f"them, got {name}. Make the model erasable with from_estimator, or register the type with unlearn.register."
    )


def takes_positions(estimator):
    """Whether a `BaggingClassifier`, or a type of third parties, is inside."""
    if isinstance(estimator, BaggingClassifier) or registered(estimator) is not None:
        return True
    return knows(estimator) and any(takes_positions(part) for part in inside(estimator))


@route.register(BaseSearchCV)
def _(estimator, rows):
    scorers = estimator.scoring.values() if isinstance(estimator.scoring, dict) else [estimator.scoring]
    held = ["scoring"] if any(isinstance(scorer, GammaScorer) for scorer in scorers) else []
    (model,) = inside(estimator)
    plan = work_out(model, rows.keep("cv_results_", *held))
    if not held:
        return plan
    message = (
        f"{type(estimator).__name__} holds its GammaScorer, and that the training data themselves, with the rows that leave the model. "
        "Keep `best_estimator_`, and not the search."
    )
    return plan._replace(warnings=[*plan.warnings, message])


@inside.register(BaseSearchCV)
def _(estimator):
    if "best_estimator_" not in vars(estimator):
        raise TypeError(
            f"Rows can be erased from {type(estimator).__name__} where it keeps a model fitted on all of them, got one without "
            "`best_estimator_`. Use refit=True."
        )
    return [estimator.best_estimator_]


@route.register(FrozenEstimator)
def _(estimator, rows):
    return work_out(estimator.estimator, rows)


@inside.register(FrozenEstimator)
def _(estimator):
    return [estimator.estimator]


@route.register(FixedThresholdClassifier)
def _(estimator, rows):
    return work_out(_threshold_model(estimator), rows)


@route.register(TunedThresholdClassifierCV)
def _(estimator, rows):
    if not estimator.refit and estimator.cv != "prefit":
        raise TypeError(
            "Rows can be erased from TunedThresholdClassifierCV where its model was fitted on all of them, got refit=False: which of them "
            "the threshold was tuned on is not known. Use refit=True, or cv='prefit'."
        )
    held = ["best_threshold_", *(["cv_results_"] if "cv_results_" in vars(estimator) else [])]
    return work_out(_threshold_model(estimator), rows.keep(*held))


@inside.register(FixedThresholdClassifier)
@inside.register(TunedThresholdClassifierCV)
def _(estimator):
    return [_threshold_model(estimator)]


def _threshold_model(estimator):
    # A prefit model is held as the parameter.
    return vars(estimator).get("estimator_", estimator.estimator)


@route.register(CalibratedClassifierCV)
def _(estimator, rows):
    (model,) = inside(estimator)
    return work_out(model, rows.keep("calibrators"))


@inside.register(CalibratedClassifierCV)
def _(estimator):
    if not isinstance(estimator.estimator, FrozenEstimator):
        raise TypeError(
            "Rows cannot be erased from CalibratedClassifierCV around an estimator that it fits itself: calibrators and models were fitted "
            "across folds that are not kept. Fit the erasable model first and calibrate FrozenEstimator(model)."
        )
    return [estimator.estimator]


@route.register(OneVsRestClassifier)
def _(estimator, rows):
    if estimator.multilabel_:
        check_outputs(rows.y, len(estimator.estimators_))
    else:
        encode(estimator.classes_, column_or_1d(rows.y))
    Y = estimator.label_binarizer_.transform(rows.y).toarray()
    pairs = list(zip(estimator.estimators_, Y.T, strict=True))
    # A class that all rows had, or none, has no model.
    if rows.arriving and any(isinstance(model, ConstantPredictor) and (y != model.y_).any() for model, y in pairs):
        raise ErasureError(
            "A class of OneVsRestClassifier that all rows had at fit, or none, must stay so, got rows to add that differ. Train it again "
            "with them."
        )
    names = estimator.classes_.tolist()
    return work_out_all(
        (model, rows._replace(y=y).at(f"class {name} (there 1) against the rest"))
        for name, (model, y) in zip(names[-len(pairs) :], pairs, strict=True)
        if not isinstance(model, ConstantPredictor)
    )


@route.register(OneVsOneClassifier)
def _(estimator, rows):
    if rows.positions is not None:
        raise TypeError(
            "Rows leave the pairs of OneVsOneClassifier by their class, got positions, which are others in the data of each pair. Use "
            "OneVsRestClassifier around a BaggingClassifier."
        )
    codes = encode(estimator.classes_, column_or_1d(rows.y))
    rows, n_classes = _of_some_rows(rows._replace(X=_as_array(estimator, rows.X))), len(estimator.classes_)
    classes = [(i, j) for i in range(n_classes) for j in range(i + 1, n_classes)]
    pairs = []
    for model, (i, j) in zip(estimator.estimators_, classes, strict=True):
        index = np.flatnonzero((codes == i) | (codes == j))
        place = f"class {estimator.classes_[i]} (there 0) against {estimator.classes_[j]} (there 1)"
        pairs.append((model, rows.take(index)._replace(y=(codes[index] == j).astype(int)).at(place)))
    return work_out_all(pairs)


@route.register(ClassifierChain)
def _(estimator, rows):
    if estimator.cv is not None:
        raise TypeError(
            "Rows cannot be erased from ClassifierChain with cv: its models were fitted to predictions of models across folds that are not "
            "kept. Use cv=None, which fits them to the labels."
        )
    Y = check_outputs(rows.y, len(estimator.estimators_))
    Y, X = Y[:, estimator.order_], _as_array(estimator, rows.X)
    stack = sparse.hstack if sparse.issparse(X) else np.hstack
    pairs = []
    for i, model in enumerate(estimator.estimators_):
        earlier = sparse.csr_matrix(Y[:, :i]) if sparse.issparse(X) else Y[:, :i]
        moved, filled = (None if part is None else part.append(i) for part in (rows.moved, rows.filled))
        own = rows._replace(X=stack([X, earlier]), y=Y[:, i], moved=moved, filled=filled)
        pairs.append((model, own.at(f"output {estimator.order_[i]}")))
    return work_out_all(pairs)


@route.register(VotingClassifier)
def _(estimator, rows):
    labels = column_or_1d(rows.y)
    y, place = (
        encode(estimator.classes_, labels),
        f"a model of VotingClassifier, whose classes are 0 to {len(estimator.classes_) - 1}",
    )
    pairs = []
    for model in estimator.estimators_:
        # A frozen model was fitted before, to the labels as they are.
        frozen = np.array_equal(model.classes_, estimator.classes_)
        pairs.append((model, rows._replace(y=labels if frozen else y).at(place)))
    return work_out_all(pairs)


@route.register(BaggingClassifier)
def _(estimator, rows):
    if rows.arriving or rows.replaced:
        raise TypeError(
            "Rows can only be erased from BaggingClassifier, got rows to add, which no member drew. Train it again with them."
        )
    if rows.sample_weight is not None:
        raise TypeError(
            "unlearn for BaggingClassifier takes no sample_weight: it decided how often a row was drawn, and so often the row leaves. "
            "Leave it out."
        )
    n_samples = estimator._n_samples
    positions = check_positions(rows.positions, len(rows.y), n_samples)
    X, y = _as_array(estimator, rows.X, dtype=None), encode(estimator.classes_, column_or_1d(rows.y))
    pairs = []
    members = zip(estimator.estimators_, estimator.estimators_samples_, estimator.estimators_features_, strict=True)
    for i, (model, drawn, features) in enumerate(members):
        times = np.bincount(drawn, minlength=n_samples)[positions]
        moved, filled = (None if part is None else part.take(features) for part in (rows.moved, rows.filled))
        own = _of_some_rows(rows._replace(X=X[:, features], y=y, positions=None, moved=moved, filled=filled))
        own = own.at(f"member {i} of BaggingClassifier, whose classes are 0 to {len(estimator.classes_) - 1}")
        if all(inner._erasure_state.weighted for inner in erasable_models(model)):
            # Those that were not drawn, too: a scaler that takes no weights has seen them.
            pairs.append((model, own._replace(sample_weight=times.astype(float))))
        else:
            pairs.append((model, own.take(np.repeat(np.arange(len(y)), times))))
    plan = work_out_all(pairs)
    if "oob_score_" in vars(estimator):
        decisions = estimator.oob_decision_function_.copy()
        decisions[positions] = np.nan
        traces = {"oob_score_": float("nan"), "oob_decision_function_": decisions}
        plan = plan._replace(changes=[*plan.changes, Change(estimator, traces)])
    return plan


@inside.register(OneVsRestClassifier)
@inside.register(OneVsOneClassifier)
@inside.register(ClassifierChain)
@inside.register(VotingClassifier)
@inside.register(BaggingClassifier)
def _(estimator):
    return estimator.estimators_


def _of_some_rows(rows):
    """Rows for a model that was fitted to some of all: how many values of its rows were filled in is not known."""
    return rows if rows.filled is None else rows._replace(filled=rows.filled._replace(present=None))


def _as_array(estimator, X, dtype="numeric"):
    """X as the composite hands it on: checked, without names."""
    return validate_data(estimator, X, reset=False, accept_sparse="csr", ensure_all_finite=False, dtype=dtype)
