"""The objective of a trained linear classifier, as parameters of `LogisticRegression`."""

from functools import singledispatch
from numbers import Real

import numpy as np
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, SGDClassifier
from sklearn.utils import compute_class_weight
from sklearn.utils.validation import check_is_fitted

from sklearn_ssse.exceptions import ErasureError


@singledispatch
def logistic_parameters(fitted, y):
    """Parameters of the logistic regression that has the same objective as a fitted classifier.

    Parameters
    ----------
    fitted : LogisticRegression, LogisticRegressionCV or SGDClassifier
    y : array-like of shape (n_samples,)
        Labels of its training rows.

    Returns
    -------
    dict

    Raises
    ------
    TypeError
        If `fitted` has another type.
    NotFittedError
        If it is not fitted.
    ErasureError
        If its objective is not the log-loss with an l2 penalty.
    """
    raise TypeError(
        "from_estimator must be given a fitted LogisticRegression, LogisticRegressionCV or "
        f"SGDClassifier with loss='log_loss', got {type(fitted).__name__}. For a pipeline or a "
        "search, pass the classifier inside and the rows that it was fitted to."
    )


@logistic_parameters.register
def parameters_of_logistic_regression(fitted: LogisticRegression, y):
    """The parameters themselves, with the deprecated `penalty` replaced."""
    check_is_fitted(fitted)
    given = fitted.get_params(deep=False)
    penalty = given.pop("penalty", "deprecated")
    refuse_l1({"l1": 1.0, "l2": 0.0, None: 0.0}.get(penalty, given.pop("l1_ratio")))
    given["l1_ratio"] = 0.0
    if penalty is None:
        given["C"] = np.inf
    return given


@logistic_parameters.register
def parameters_of_search(fitted: LogisticRegressionCV, y):
    """The parameters with the C that the search chose."""
    check_is_fitted(fitted)
    if not fitted.refit:
        raise ErasureError(
            "The model must be a minimum of the loss on all rows, got LogisticRegressionCV with "
            "refit=False, which averages the coefficients of the folds. Fit it with refit=True."
        )
    largest = max(value or 0.0 for value in np.ravel(fitted.l1_ratio_))
    refuse_l1({"l1": 1.0, "l2": 0.0}.get(fitted.penalty, largest))
    chosen = np.unique(fitted.C_)
    if chosen.size > 1:
        raise ErasureError(
            f"All classes must have the same C, got {', '.join(f'{C:.6g}' for C in chosen)} in C_. "
            "Fit LogisticRegression with one of them."
        )
    # LogisticRegressionCV fits its final model with this scaling, whatever its parameter is.
    return {**fitted.get_params(deep=False), "C": float(chosen[0]), "intercept_scaling": 1.0}


@logistic_parameters.register
def parameters_of_sgd(fitted: SGDClassifier, y):
    """C, fit_intercept and class_weight of the objective that SGD minimises."""
    check_is_fitted(fitted)
    if fitted.loss != "log_loss":
        raise ErasureError(
            "The loss must be the log-loss of logistic regression, got SGDClassifier with "
            f"loss={fitted.loss!r}. Train it with loss='log_loss'."
        )
    if len(fitted.classes_) > 2:
        raise ErasureError(
            "The model must be binary or one softmax model, got SGDClassifier of "
            f"{len(fitted.classes_)} classes, which has one binary model for each. Fit "
            "LogisticRegression; or fit OneVsRestClassifier(SGDClassifier(loss='log_loss')) and "
            "make each of its `estimators_` erasable, with the labels (y == c).astype(int) for its "
            "class c."
        )
    refuse_l1({"l1": 1.0, "elasticnet": fitted.l1_ratio}.get(fitted.penalty, 0.0))
    # Each step has the penalty alpha / 2 ||w||^2, whatever the weight of its row. The penalty of
    # the sum over n rows is therefore n alpha / 2 ||w||^2.
    strength = 0.0 if fitted.penalty is None else fitted.alpha * len(y)
    class_weight = fitted.class_weight
    if class_weight == "balanced":  # SGDClassifier ignores the sample weights here
        balanced = compute_class_weight(class_weight, classes=fitted.classes_, y=np.ravel(y))
        class_weight = dict(zip(fitted.classes_.tolist(), balanced.tolist(), strict=True))
    return {
        "C": 1 / strength if strength else np.inf,
        "fit_intercept": fitted.fit_intercept,
        "class_weight": class_weight,
    }


def refuse_l1(l1_ratio):
    """Refuse a penalty with an l1 part; the parent class checks a value that is no number."""
    if isinstance(l1_ratio, Real) and l1_ratio != 0:
        raise ErasureError(
            "The penalty must have a Hessian, which an l1 penalty lacks at zero, got "
            f"l1_ratio={l1_ratio}. Use l1_ratio=0."
        )
