"""A report on an erasure: the effect on the model, and the measures that were not computed."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import sklearn

from sklearn_ssse._erasure import now
from sklearn_ssse._verification import check_inputs, measure_all, write_page, write_text
from sklearn_ssse._version import __version__

# Name and version of the form of `ErasureReport.to_dict`.
SCHEMA = "sklearn-ssse/erasure-report/1"


def verify_erasure(
    original,
    erased,
    X_forget,
    y_forget,
    X_retain=None,
    y_retain=None,
    *,
    retrained=None,
    X_test=None,
    y_test=None,
    random_state=None,
):
    """Measure the effect of an erasure, by all measures that the models and the rows allow.

    The report compares the original model, the erased model and, if there is one, the model that
    was trained without the forget rows. A measure that needs rows or a model that are not given is
    listed in `not_computed` with the reason, without a warning. The report states measured numbers.
    It is not a certificate, and it proves nothing about copies of the rows outside the models.

    Parameters
    ----------
    original : fitted classifier, pipeline or composite
        The model before the erasure. `unlearn` changes a model in place: copy the model, or load it
        from its file again.
    erased : estimator of the same form
        The model after the erasure.
    X_forget : {array-like, sparse matrix} of shape (n_forget, n_features)
        The erased rows, as they were given to ``fit``.
    y_forget : array-like of shape (n_forget,) or (n_forget, n_outputs)
        The labels of the erased rows.
    X_retain : {array-like, sparse matrix} of shape (n_retained, n_features), default=None
        The training rows without the forget rows. They allow the gradient on the retained rows, the
        distance ratio in the norm of the Hessian, and the feature-injection test, which fits one
        more clone of each model inside the estimator.
    y_retain : array-like of shape (n_retained,) or (n_retained, n_outputs), default=None
        The labels of the retained rows.
    retrained : fitted estimator, 'fit' or None, default=None
        A model that was trained on the retained rows alone. 'fit' clones the original without its
        curvature and fits the clone on the retained rows with the parameters of the original, its
        solver and its tolerance included; the report states them. A clone of a search has the
        parameters that the search chose, and no new search is made.
    X_test : {array-like, sparse matrix} of shape (n_test, n_features), default=None
        Rows that were never training rows, of the same distribution as the forget rows. They allow
        membership inference.
    y_test : array-like of shape (n_test,) or (n_test, n_outputs), default=None
        The labels of the test rows.
    random_state : int, RandomState instance or None, default=None
        Seed of the bootstrap intervals of membership inference.

    Returns
    -------
    ErasureReport

    Raises
    ------
    ErasureError
        If two of the models are the same object, if X or y of a set of rows is missing, if a label
        was not seen at fit, if the forget set is empty, or if the rows do not fit the model.
    sklearn.exceptions.NotFittedError
        If a model is not fitted.

    Warns
    -----
    ConvergenceWarning
        If the fit of ``retrained='fit'`` stops before its criterion holds.

    See Also
    --------
    gamma_score : Compare the predictions on the forget set.
    parameter_distance : Compare the parameters.

    Notes
    -----
    Every row counts once: the function takes no sample weights. If the original was fitted with
    sample weights, the gradient on the retained rows, the Hessian and the feature-injection test
    would belong to another objective, and so would a clone fitted by ``retrained='fit'``: they are
    listed as not computed. Accuracies, losses, gamma_S, membership inference and a given retrained
    model are compared on unweighted rows.

    The feature-injection test is by Izzo et al. [1]_. It plants a column that is nonzero in the
    forget rows alone, fits a clone, and erases the forget rows from the clone with the parameters
    of the erased model. It measures the method with these settings and not the erased model itself.

    References
    ----------
    .. [1] Z. Izzo, M. A. Smart, K. Chaudhuri, J. Zou, "Approximate Data Deletion from Machine
       Learning Models", AISTATS 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from sklearn_ssse import ErasableLogisticRegression, verify_erasure
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = scale(X)
    >>> def fit():
    ...     return ErasableLogisticRegression(curvature="fisher", tol=1e-8).fit(X[:500], y[:500])
    >>> original = fit()
    >>> erased = fit().unlearn(X[:20], y[:20])
    >>> report = verify_erasure(
    ...     original, erased, X[:20], y[:20], X[20:500], y[20:500],
    ...     retrained="fit", X_test=X[500:], y_test=y[500:], random_state=0,
    ... )
    >>> report.distance_ratio["hessian"] < 0.2
    True
    >>> report.gradient_left["relative"] < 0.2
    True
    >>> report.alarms
    []
    >>> report.not_computed["gamma_roc_auc"]
    'It needs forget rows of two classes whose ranks differ between the models.'

    The report of a model whose parameters did not change shows it:

    >>> report = verify_erasure(original, fit(), X[:20], y[:20])
    >>> report.alarms
    ["The parameters of the erased model equal the original's: nothing was erased."]
    >>> report.not_computed["membership_inference"]
    'It needs rows that were never training rows, got none. Pass X_test and y_test.'
    """
    given = {
        "forget": (X_forget, y_forget),
        "retain": (X_retain, y_retain),
        "test": (X_test, y_test),
    }
    rows = check_inputs(original, erased, retrained, given)
    measured = measure_all(original, erased, retrained, rows, random_state)
    return ErasureReport(
        time=now(),
        versions={
            "sklearn-ssse": __version__,
            "scikit-learn": sklearn.__version__,
            "numpy": np.__version__,
        },
        **measured,
    )


@dataclass(frozen=True, repr=False)
class ErasureReport:
    """The measured effect of an erasure, made by `verify_erasure`.

    All values are numbers, texts, lists and dicts. A report holds no row, no label and no name of a
    column. Measures are None if they were not computed.

    Attributes
    ----------
    time : str
        Time of the report in UTC, in ISO format.
    versions : dict of str to str
        Versions of this library, of scikit-learn and of NumPy.
    n_rows : dict of str to int
        Number of rows of each given set: "forget", "retain", "test".
    models : dict of str to dict
        For "original", "erased" and "retrained": the type of the estimator, and the type, solver,
        tolerance `tol`, `max_iter` and iterations of its first model.
    retrained : str or None
        "given" or "fitted"; None without a retrained model.
    parameter_change : dict or None
        "changed", whether any parameter differs, and "relative", the Euclidean norm of the change
        relative to the norm of the original parameters.
    scores : dict of str to dict
        ``scores[model][rows]`` holds "accuracy" and "log_loss", means over rows and outputs.
    gamma : dict of str to float or None
        gamma_S by "roc_auc" and by "probability", see `gamma_score`. In [0, 1]; 1 is the retrained
        model.
    distance_ratio : dict of str to float or None
        By "euclidean" and by "hessian", see `parameter_distance`. 0 is the retrained model, and 1
        is no better than doing nothing.
    agreement : dict or None
        ``agreement[model][rows]`` of the original and of the erased model with the retrained one:
        "equal_labels", a share, and "probability_difference", a mean absolute difference.
    gradient_left : dict or None
        Norm of the gradient of the penalised objective on the retained rows, divided by their
        number, for each model; "forget_rows", the norm of the loss gradient of the forget rows
        at the original parameters on the same scale; "relative", erased divided by original.
    feature_injection : dict or None
        "measure", "weight" or "prediction"; its value "before" and "after" the erasure; "ratio",
        after divided by before. The ideal ratio is 0.
    membership_inference : dict or None
        ``membership_inference[model][attack]`` for the attacks "loss" and "confidence": "auc", and
        "low" and "high", its 95 % bootstrap interval. The ideal is the value of the retrained
        model.
    findings : list of str
        Sentences on the measured numbers.
    alarms : list of str
        The findings that nothing was erased, or that the erasure made the model worse.
    not_computed : dict of str to str
        The measures that were not computed, each with the reason.

    See Also
    --------
    verify_erasure : Make a report.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from sklearn_ssse import ErasableLogisticRegression, ErasureReport, verify_erasure
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = scale(X)
    >>> original = ErasableLogisticRegression(curvature="fisher").fit(X, y)
    >>> erased = ErasableLogisticRegression(curvature="fisher").fit(X, y).unlearn(X[:9], y[:9])
    >>> report = verify_erasure(original, erased, X[:9], y[:9])
    >>> isinstance(report, ErasureReport), report.n_rows
    (True, {'forget': 9})
    """

    time: str
    versions: dict
    n_rows: dict
    models: dict
    retrained: str | None
    parameter_change: dict | None
    scores: dict
    gamma: dict
    distance_ratio: dict
    agreement: dict | None
    gradient_left: dict | None
    feature_injection: dict | None
    membership_inference: dict | None
    findings: list
    alarms: list
    not_computed: dict

    def to_dict(self):
        """Return the report as a dict of types that JSON has.

        Returns
        -------
        dict
            The attributes, and "schema", the name and version of this form.
        """
        return {"schema": SCHEMA, **asdict(self)}

    def save_html(self, path):
        """Write the report as one HTML file, without scripts and without files from elsewhere.

        Parameters
        ----------
        path : str or path-like
            An existing file is overwritten.
        """
        Path(path).write_text(write_page(self.to_dict()), encoding="utf-8")

    def __str__(self):
        return write_text(self.to_dict())

    def __repr__(self):
        return (
            f"<ErasureReport of {self.n_rows['forget']} forget rows: {len(self.findings)} findings,"
            f" {len(self.alarms)} alarms, {len(self.not_computed)} measures not computed>"
        )

    def _repr_html_(self):
        return write_page(self.to_dict(), whole=False)
