"""What a trained classifier of scikit-learn minimised, in the parameters of `LogisticRegression`."""

from functools import singledispatch
from numbers import Real

import numpy as np
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, SGDClassifier
from sklearn.utils import compute_class_weight
from sklearn.utils.validation import check_is_fitted

from sklearn_ssse.exceptions import ErasureError


@singledispatch
def logistic_parameters(fitted, y):
    """Parameters of a logistic regression whose objective is that of a fitted classifier.

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
        For any other type.
    NotFittedError
    ErasureError
        If the model is no minimum of the log-loss with an l2 penalty.
    """
    raise TypeError(
        "from_estimator takes a fitted LogisticRegression, LogisticRegressionCV or SGDClassifier with loss='log_loss', got "
        f"{type(fitted).__name__}. Of a pipeline or a search, pass the classifier inside, and the rows as it was given them."
    )


@logistic_parameters.register
def _(fitted: LogisticRegression, y):
    check_is_fitted(fitted)
    given = fitted.get_params(deep=False)
    penalty = given.pop("penalty", "deprecated")
    refuse_l1({"l1": 1.0, "l2": 0.0, None: 0.0}.get(penalty, given.pop("l1_ratio")))
    given["l1_ratio"] = 0.0
    if penalty is None:
        given["C"] = np.inf
    return given


@logistic_parameters.register
def _(fitted: LogisticRegressionCV, y):
    check_is_fitted(fitted)
    if not fitted.refit:
        raise ErasureError(
            "Rows are erased from a minimum of the loss on all rows, got LogisticRegressionCV with refit=False, which averages the "
            "coefficients of the folds. Fit it with refit=True."
        )
    refuse_l1(
        {"l1": 1.0, "l2": 0.0}.get(
            fitted.penalty, max(value or 0.0 for value in np.ravel(fitted.l1_ratio_))
        )
    )
    chosen = np.unique(fitted.C_)
    if chosen.size > 1:
        raise ErasureError(
            f"All classes must have the same C, got {', '.join(f'{C:.6g}' for C in chosen)} in C_. Fit LogisticRegression with one "
            "of them."
        )
    # The final model is fitted with this scaling whatever the parameter says.
    return {**fitted.get_params(deep=False), "C": float(chosen[0]), "intercept_scaling": 1.0}


@logistic_parameters.register
def _(fitted: SGDClassifier, y):
    check_is_fitted(fitted)
    if fitted.loss != "log_loss":
        raise ErasureError(
            f"Erasure needs the loss of logistic regression, got SGDClassifier with loss={fitted.loss!r}. Train it with loss='log_loss'."
        )
    if len(fitted.classes_) > 2:
        raise ErasureError(
            f"SGDClassifier of {len(fitted.classes_)} classes is one binary model against the rest for each, got it where one softmax "
            "must be. Fit LogisticRegression; or fit OneVsRestClassifier(SGDClassifier(loss='log_loss')) and make each of its "
            "`estimators_` erasable, for the labels (y == c).astype(int) of its class c."
        )
    refuse_l1({"l1": 1.0, "elasticnet": fitted.l1_ratio}.get(fitted.penalty, 0.0))
    # A step takes alpha times the weights off whatever the weight of its row: the sum over n rows has the penalty n alpha / 2 ||w||^2.
    strength = 0.0 if fitted.penalty is None else fitted.alpha * len(y)
    class_weight = fitted.class_weight
    if class_weight == "balanced":  # without the sample weights, unlike LogisticRegression
        balanced = compute_class_weight(class_weight, classes=fitted.classes_, y=np.ravel(y))
        class_weight = dict(zip(fitted.classes_.tolist(), balanced.tolist(), strict=True))
    return {
        "C": 1 / strength if strength else np.inf,
        "fit_intercept": fitted.fit_intercept,
        "class_weight": class_weight,
    }


def refuse_l1(l1_ratio):
    """An error for a penalty with an l1 part; what is no number the parent refuses."""
    if isinstance(l1_ratio, Real) and l1_ratio != 0:
        raise ErasureError(
            f"Erasure needs a penalty with a Hessian, got l1_ratio={l1_ratio}: an l1 penalty has none at zero. Use l1_ratio=0."
        )
