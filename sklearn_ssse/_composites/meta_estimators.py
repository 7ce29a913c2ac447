"""Routes of rows to the models inside scikit-learn's meta-estimators, and refused types."""

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

from sklearn_ssse._composites.inspection import erasable_models
from sklearn_ssse._composites.registry import (
    REFUSALS,
    inside,
    needs_positions,
    plan,
    plan_all,
    route,
)
from sklearn_ssse._erasure import Change, check_labels, check_outputs, check_positions, encode
from sklearn_ssse._utils.compat import BaseSearchCV, ConstantPredictor, num_samples
from sklearn_ssse._utils.unquoted import column, validated
from sklearn_ssse.exceptions import ErasureError, ErasureTypeError

BOOSTING = (
    "each stage of boosting was fitted to the errors that the earlier stages made on the rows. "
    "Train it again without them."
)
REFUSALS.update(
    {
        AdaBoostClassifier: BOOSTING,
        GradientBoostingClassifier: BOOSTING,
        HistGradientBoostingClassifier: BOOSTING,
        StackingClassifier: (
            "its final estimator was fitted to out-of-fold predictions of models that it did not "
            "keep. Train it again without them, or use VotingClassifier."
        ),
    }
)


@route.register(BaseSearchCV)
def route_to_best_estimator(estimator, rows):
    """Send the rows to `best_estimator_`, and warn of a scorer that holds training rows."""
    scoring = estimator.scoring
    scorers = scoring.values() if isinstance(scoring, dict) else [scoring]
    (model,) = inside(estimator)
    if not any(getattr(scorer, "_holds_training_rows", False) for scorer in scorers):
        return plan(model, rows.keep("cv_results_"))
    message = (
        f"{type(estimator).__name__} holds its GammaScorer, and with it the training data. Keep "
        "`best_estimator_`, and not the search."
    )
    found = plan(model, rows.keep("cv_results_", "scoring"))
    return found._replace(warnings=[*found.warnings, message])


@inside.register(BaseSearchCV)
def inside_search(estimator):
    """`best_estimator_`, the model that was fitted on all rows."""
    if "best_estimator_" not in vars(estimator):
        raise ErasureTypeError(
            f"Rows can be erased from {type(estimator).__name__} if it keeps a model fitted on all "
            "rows, got one without `best_estimator_`. Use refit=True."
        )
    return [estimator.best_estimator_]


@route.register(FrozenEstimator)
def route_to_frozen(estimator, rows):
    """Send the rows to the frozen model."""
    return plan(estimator.estimator, rows)


@inside.register(FrozenEstimator)
def inside_frozen(estimator):
    """The frozen model."""
    return [estimator.estimator]


@route.register(FixedThresholdClassifier)
def route_to_fixed_threshold(estimator, rows):
    """Send the rows to the model to whose predictions the threshold applies."""
    return plan(_threshold_model(estimator), rows)


@route.register(TunedThresholdClassifierCV)
def route_to_tuned_threshold(estimator, rows):
    """Send the rows to the model; the threshold, which was tuned on them, does not change."""
    if not estimator.refit and estimator.cv != "prefit":
        raise ErasureTypeError(
            "Rows can be erased from TunedThresholdClassifierCV if its model was fitted on all "
            "rows, got refit=False, which keeps no list of the rows that tuned the threshold. Use "
            "refit=True, or cv='prefit'."
        )
    held = ["best_threshold_"]
    if "cv_results_" in vars(estimator):
        held.append("cv_results_")
    model = _threshold_model(estimator)
    if estimator.cv == "prefit":
        return _plan_of_prefit(estimator, model, rows, held, "threshold", "tuned")
    return plan(model, rows.keep(*held))


@inside.register(FixedThresholdClassifier)
@inside.register(TunedThresholdClassifierCV)
def inside_threshold(estimator):
    """The model to whose predictions the threshold applies."""
    return [_threshold_model(estimator)]


def _threshold_model(estimator):
    """The model of a threshold classifier; with ``cv="prefit"`` it is the parameter itself."""
    return vars(estimator).get("estimator_", estimator.estimator)


@route.register(CalibratedClassifierCV)
def route_to_calibrated(estimator, rows):
    """Send the rows to the frozen model; the calibrators, fitted to them, do not change."""
    (model,) = inside(estimator)
    return _plan_of_prefit(estimator, model, rows, ["calibrators"], "calibration", "fitted")


def _plan_of_prefit(estimator, model, rows, held, part, verb):
    """The plan of a model fitted before the composite, which holds a part fitted to other rows.

    Rows that were only given to `fit` of the composite were never in the model. No count or
    statistic of the model shows this, so that rows to erase give a warning.
    """
    if rows.added or rows.retained or not rows:
        return plan(model, rows)
    found = plan(model, rows.keep(*held))
    name = type(estimator).__name__
    message = (
        f"Rows to erase from {name} must be training rows of the model inside it, got "
        f"{num_samples(rows.X)} rows, for which this cannot be checked. The model was never fitted "
        f"to rows to which only the {part} of {name} was {verb}: erasing them makes it worse. The "
        f"{part} does not change and may depend on the rows: if it does, fit {name} again without "
        "them. To erase training rows of the model without this warning, call `unlearn` for the "
        f"attribute `estimator` of {name}."
    )
    return found._replace(warnings=[*found.warnings, message])


@inside.register(CalibratedClassifierCV)
def inside_calibrated(estimator):
    """The frozen model that the calibrators calibrate."""
    if not isinstance(estimator.estimator, FrozenEstimator):
        raise ErasureTypeError(
            "Rows cannot be erased from CalibratedClassifierCV around an estimator that it fits "
            "itself: it does not keep the folds that its calibrators and models were fitted on. "
            "Fit the erasable model first and calibrate FrozenEstimator(model)."
        )
    return [estimator.estimator]


@route.register(OneVsRestClassifier)
def route_to_one_vs_rest(estimator, rows):
    """Send the rows to the model of every class, with labels 0 and 1."""
    if estimator.multilabel_:
        Y = check_labels(estimator, rows.y)
    else:
        encode(estimator.classes_, column(rows.y, "y"))
        Y = estimator.label_binarizer_.transform(rows.y).toarray()
    pairs = list(zip(estimator.estimators_, Y.T, strict=True))
    if rows.added or rows.retained:
        _check_constant_classes(pairs)
    names = estimator.classes_.tolist()
    return plan_all(
        (model, rows._replace(y=y).at(f"class {name} (label 1 there) against the rest"))
        for name, (model, y) in zip(names[-len(pairs) :], pairs, strict=True)
        if not isinstance(model, ConstantPredictor)
    )


def _check_constant_classes(pairs):
    """Refuse rows outside a class that had all rows at fit, or in a class that had none."""
    for model, y in pairs:
        if isinstance(model, ConstantPredictor) and (y != model.y_).any():
            raise ErasureError(
                "Added and retained rows must all be of a class to which all rows belonged at fit, "
                "and none of a class without rows at fit, got rows that differ. Train "
                "OneVsRestClassifier again with them."
            )


@route.register(OneVsOneClassifier)
def route_to_one_vs_one(estimator, rows):
    """Send the rows of both classes of each pair to the model of the pair."""
    if rows.positions is not None:
        raise ErasureTypeError(
            "OneVsOneClassifier must be given rows without positions, got positions, which differ "
            "in the data of each pair. Use OneVsRestClassifier around a BaggingClassifier."
        )
    names = estimator.classes_
    codes = encode(names, column(rows.y, "y"))
    rows = _of_a_subset(rows._replace(X=_as_array(estimator, rows.X)))
    classes = [(i, j) for i in range(len(names)) for j in range(i + 1, len(names))]
    pairs = []
    for model, (i, j) in zip(estimator.estimators_, classes, strict=True):
        index = np.flatnonzero((codes == i) | (codes == j))
        own = rows.take(index)._replace(y=(codes[index] == j).astype(int))
        pairs.append((model, own.at(f"class {names[i]} (label 0 there) against {names[j]} (1)")))
    return plan_all(pairs)


@route.register(ClassifierChain)
def route_to_chain(estimator, rows):
    """Send the rows to every model, with the labels of the earlier outputs as columns."""
    if estimator.cv is not None:
        raise ErasureTypeError(
            "Rows can be erased from ClassifierChain with cv=None, got another cv: its models were "
            "fitted to out-of-fold predictions of models that it did not keep. Use cv=None, which "
            "fits them to the labels."
        )
    Y = check_outputs(rows.y, len(estimator.estimators_))[:, estimator.order_]
    X = _as_array(estimator, rows.X)
    is_sparse = sparse.issparse(X)
    stack = sparse.hstack if is_sparse else np.hstack
    pairs = []
    for i, model in enumerate(estimator.estimators_):
        earlier = sparse.csr_matrix(Y[:, :i]) if is_sparse else Y[:, :i]
        own = _with_columns(rows, lambda part, i=i: part.append(i))
        own = own._replace(X=stack([X, earlier]), y=Y[:, i])
        pairs.append((model, own.at(f"output {estimator.order_[i]}")))
    return plan_all(pairs)


@route.register(VotingClassifier)
def route_to_votes(estimator, rows):
    """Send the rows to every model, with the labels that it was fitted to."""
    labels = column(rows.y, "y")
    codes = encode(estimator.classes_, labels)
    last = len(estimator.classes_) - 1
    rows = rows.at(f"a model of VotingClassifier, whose classes are 0 to {last}")
    pairs = []
    for model in estimator.estimators_:
        # A frozen model was fitted to the labels themselves, not to their codes.
        frozen = np.array_equal(model.classes_, estimator.classes_)
        pairs.append((model, rows._replace(y=labels if frozen else codes)))
    return plan_all(pairs)


@needs_positions.register(BaggingClassifier)
def bagged_needs_positions(estimator):
    """Its members drew their rows."""
    return True


@route.register(BaggingClassifier)
def route_to_bagged(estimator, rows):
    """Send the rows to the members that drew them, each row as often as it was drawn."""
    if rows.added or rows.replaced:
        raise ErasureTypeError(
            "Rows can only be erased from BaggingClassifier, got rows to add, which no member "
            "drew. Train it again with them."
        )
    if rows.sample_weight is not None:
        verb = "refresh" if rows.retained else "unlearn"
        raise ErasureTypeError(
            f"{verb} for BaggingClassifier takes no sample_weight, got one: the number of times "
            "that a member drew a row is its weight there. Omit it."
        )
    n_samples = estimator._n_samples
    positions = check_positions(rows.positions, num_samples(rows.X), n_samples)
    X = _as_array(estimator, rows.X, dtype=None)
    codes = encode(estimator.classes_, column(rows.y, "y"))
    last = len(estimator.classes_) - 1
    members = zip(
        estimator.estimators_,
        estimator.estimators_samples_,
        estimator.estimators_features_,
        strict=True,
    )
    pairs = []
    for i, (model, drawn, features) in enumerate(members):
        own = _with_columns(rows, lambda part, features=features: part.take(features))
        own = _of_a_subset(own._replace(X=X[:, features], y=codes, positions=None))
        own = own.at(f"member {i} of BaggingClassifier, whose classes are 0 to {last}")
        times = np.bincount(drawn, minlength=n_samples)[positions]
        if all(inner._erasure_state.weighted for inner in erasable_models(model)):
            # Keep the rows of weight 0: a scaler that takes no weights was fitted to them.
            own = own._replace(sample_weight=times.astype(float))
        else:
            own = own.take(np.repeat(np.arange(len(codes)), times))
        pairs.append((model, own))
    found = plan_all(pairs)
    if rows.retained:
        return found
    return found._replace(changes=[*found.changes, *_out_of_bag_changes(estimator, positions)])


def _out_of_bag_changes(estimator, positions):
    """Take the rows out of the out-of-bag score and decisions."""
    if "oob_score_" not in vars(estimator):
        return []
    decisions = estimator.oob_decision_function_.copy()
    decisions[positions] = np.nan
    traces = {"oob_score_": float("nan"), "oob_decision_function_": decisions}
    return [Change(estimator, traces)]


@inside.register(OneVsRestClassifier)
@inside.register(OneVsOneClassifier)
@inside.register(ClassifierChain)
@inside.register(VotingClassifier)
@inside.register(BaggingClassifier)
def inside_ensemble(estimator):
    """All models."""
    return estimator.estimators_


def _with_columns(rows, select):
    """The rows with ``select`` applied to the changes of their columns, if there are any."""
    column_map = None if rows.column_map is None else select(rows.column_map)
    filled = None if rows.filled is None else select(rows.filled)
    return rows._replace(column_map=column_map, filled=filled)


def _of_a_subset(rows):
    """The rows for a model fitted to some of them, without the count of their filled-in values."""
    if rows.filled is None:
        return rows
    return rows._replace(filled=rows.filled._replace(present=None))


def _as_array(estimator, X, dtype="numeric"):
    """X as the array without column names that the composite passes to its models."""
    return validated(estimator, X, accept_sparse="csr", ensure_all_finite=False, dtype=dtype)
