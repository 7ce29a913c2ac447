"""The record of each change, and the counts of the rows that remain. Neither holds a row."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sklearn_ssse._erasure.bounds import NO_BOUNDS
from sklearn_ssse._erasure.path import Path
from sklearn_ssse._erasure.record_json import (
    canonical,
    record_from_dict,
    record_to_dict,
    strict_json,
)
from sklearn_ssse._erasure.row_limits import RowLimits
from sklearn_ssse._erasure.tracking import TrackedRows


@dataclass(frozen=True)
class ErasureRecord:
    """The outcome of one call of `unlearn`, `learn` or `rectify`, without any data of the rows.

    Attributes
    ----------
    n_erased : int
        Number of forget rows, which were erased.
    n_remaining : int
        Number of rows of positive weight that the model holds after the change.
    weight_erased : float
        Sum of the weights of the forget rows: sample weight times class weight.
    epsilon : float
        Step size eps that was used, without unit.
    curvature : str
        Curvature that the step used, 'empirical_fisher' or 'fisher'.
    structure : str
        Structure of the inverse that the step used, such as 'full'.
    leave_out : bool
        True if the curvature of the step was the one of the rows after the change: without the
        forget rows and with the added rows.
    damped : bool
        True if the leave-out step was damped because the forget rows dominate the curvature.
    shrunken : bool
        True if the forget rows' part of the stored curvature was smaller than their curvature at
        the present parameters, which can happen for a network after earlier erasures or with early
        stopping. The forget rows were then scaled down until the downdated curvature was positive
        definite.
    margin : float
        Smallest eigenvalue of ``I - R_S P R_S^T``, in (0, 1], without unit: R_S holds the curvature
        rows of the forget set S, and P is the inverse curvature. At 0 an erasure is impossible. nan
        for a curvature of mini-batches, which no single row can leave.
    max_leverage : float
        Largest leverage of a forget row, in [0, 1), without unit; nan for a curvature of
        mini-batches. For structures 'block' and 'diagonal' it is the largest leverage within one
        block or coordinate; `curvature_.leverage` adds up the blocks, and the sum may exceed 1.
    relative_shift : float
        Norm of the change of the parameters, divided by the norm of the parameters before it.
    erased_fraction : float
        Weight of all rows that were erased or added since the curvature was computed, by this
        change or an earlier one, divided by the weight of the rows that it was computed on. It
        measures how stale the curvature is; if it grows large, call ``fit_curvature`` on the
        present rows.
    kept_by : tuple of str
        Names of the steps and attributes that still hold the forget rows, or were fitted without
        the added rows.
    n_added : int
        Number of rows that `learn` added, or by which `rectify` replaced others.
    weight_added : float
        Sum of the weights of the added rows: sample weight times class weight.
    order : int
        2 if the step used the third derivatives of the loss, otherwise 1.
    kept_curvature : float
        Mean share of the forget rows' present curvature that stays in the stored curvature, in
        [0, 1), without unit: the curvature was computed at other parameters, and more than the
        rest might not have been in it. 0 for the first erasure, and for networks.
    path_length : float
        Length of the path of the parameters since the curvature was computed, in the norm of the
        curvature and without unit: the root of the sum of ``g^T s`` over all steps s.
    refresh_recommended : str
        The reason for which a refresh of the model is recommended after the change; empty if there
        is none.
    log_odds_change : float
        Mean absolute change of the log-odds of the labels of the forget rows, or of the added rows
        if that is larger, in nats, weighted by the rows. Above 1 for several rows, or 6 for a
        single row, a logistic regression warns.
    largest_log_odds_change : float
        The largest of these changes.
    gradient_bound : float or None
        The part of this call in the bound of the norm of the gradient that is left on the retained
        rows, on the scale of a sum over rows; see `docs/bounds.md`.
    parameter_bound : float or None
        The part of this call in the bound of the distance to the retrained model, in standard
        errors.
    bound_reason : str
        The reason for a bound that is None; empty if there is none.
    certified_spent : float or None
        Share of the budget of the certificate that this change and all before it have spent, in
        [0, 1], without unit; None without `certify`.
    certified_left : float or None
        The rest of the budget.
    kind : {'unlearn', 'learn', 'rectify'}
        The verb that was called. In a composite, `rectify` may erase or add no row of a model.
    request_id : str
        The id that the caller gave to the request; empty if none was given.
    time : str
        Time of the call in UTC, ISO 8601 in seconds. It is not compared by ``==``.
    library_version, sklearn_version : str
        Versions of this library and of scikit-learn. Records of a version of this library that
        made no digests have empty strings here and in the next three fields.
    parameters_before, parameters_after : str
        SHA-256 of the fitted parameters before and after the change, with their names, types and
        shapes, 64 hexadecimal digits.
    previous : str
        SHA-256 of the canonical JSON of the previous record of the model, 64 hexadecimal digits;
        empty for the first record. It is not compared by ``==``, because it depends on the time.
    refreshes : int
        Number of trainings of the model between its `fit` and this change: calls of `refresh`, and
        of `partial_fit`. They change the parameters and have no record. If two records that follow
        each other have the same number, ``parameters_after`` of the first one is
        ``parameters_before`` of the second one.
    lost_classes : tuple of str
        Classes whose last rows this change erased: the model holds no row of them after it, so that
        a model trained on the retained rows would not have them. A logistic regression can lose a
        class as an output of a `MultiOutputClassifier` only.

    Notes
    -----
    `docs/records.md` describes the JSON and the chain of records.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn_ssse import ErasableLogisticRegression
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> clf = ErasableLogisticRegression(solver="newton-cholesky").fit(X, y)
    >>> record = clf.preview_unlearn(X[:5], y[:5])
    >>> record.n_erased, record.n_remaining
    (5, 564)
    >>> ErasureRecord.from_json(record.to_json()) == record
    True
    """

    n_erased: int
    n_remaining: int
    weight_erased: float
    epsilon: float
    curvature: str
    structure: str
    leave_out: bool
    damped: bool
    shrunken: bool
    margin: float
    max_leverage: float
    relative_shift: float
    erased_fraction: float
    kept_by: tuple[str, ...] = ()
    n_added: int = 0
    weight_added: float = 0.0
    order: int = 1
    kept_curvature: float = 0.0
    path_length: float = 0.0
    refresh_recommended: str = ""
    log_odds_change: float = 0.0
    largest_log_odds_change: float = 0.0
    gradient_bound: float | None = None
    parameter_bound: float | None = None
    bound_reason: str = ""
    certified_spent: float | None = None
    certified_left: float | None = None
    kind: str = "unlearn"
    request_id: str = ""
    time: str = field(default="", compare=False)
    library_version: str = ""
    sklearn_version: str = ""
    parameters_before: str = ""
    parameters_after: str = ""
    previous: str = field(default="", compare=False)
    refreshes: int = 0
    lost_classes: tuple[str, ...] = ()

    def to_dict(self):
        """Return the record as a dict that the module `json` can write.

        Returns
        -------
        dict
            The fields by name, and ``schema``, the version of the fields. Tuples are lists; nan and
            the infinities are the strings "NaN", "Infinity" and "-Infinity". Fields that the
            version of the library that made the record did not have are left out.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> from sklearn_ssse import ErasableLogisticRegression
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> clf = ErasableLogisticRegression(solver="newton-cholesky").fit(X, y)
        >>> found = clf.unlearn(X[:5], y[:5], request_id="case 17").erasures_[-1].to_dict()
        >>> found["schema"], found["kind"], found["request_id"], found["previous"]
        (1, 'unlearn', 'case 17', '')
        """
        return record_to_dict(self)

    def to_json(self):
        """Return the record as a JSON text, see `to_dict`.

        Returns
        -------
        str
            The canonical JSON: keys in alphabetical order, no spaces, ASCII. Its SHA-256 is the
            field `previous` of the next record.

        Examples
        --------
        >>> import hashlib
        >>> from sklearn.datasets import load_breast_cancer
        >>> from sklearn_ssse import ErasableLogisticRegression
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> clf = ErasableLogisticRegression(solver="newton-cholesky").fit(X, y)
        >>> first, second = clf.unlearn(X[:5], y[:5]).unlearn(X[5:9], y[5:9]).erasures_
        >>> second.previous == hashlib.sha256(first.to_json().encode()).hexdigest()
        True
        """
        return canonical(record_to_dict(self))

    @classmethod
    def from_dict(cls, data):
        """Return the record of a dict that `to_dict` made.

        Parameters
        ----------
        data : dict
            With the key ``schema`` and the fields of the record.

        Returns
        -------
        ErasureRecord

        Raises
        ------
        ErasureError
            If a newer version of the library made the dict; if a field is unknown, is missing or
            has a wrong type.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> from sklearn_ssse import ErasableLogisticRegression, ErasureRecord
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> clf = ErasableLogisticRegression(solver="newton-cholesky").fit(X, y)
        >>> record = clf.preview_unlearn(X[:5], y[:5])
        >>> ErasureRecord.from_dict(record.to_dict()) == record
        True
        """
        return record_from_dict(cls, data)

    @classmethod
    def from_json(cls, text):
        """Return the record of a JSON text that `to_json` made.

        Parameters
        ----------
        text : str or bytes
            JSON, in any layout.

        Returns
        -------
        ErasureRecord

        Raises
        ------
        ErasureError
            If the text is no JSON, or repeats a key; in the same cases as `from_dict`.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> from sklearn_ssse import ErasableLogisticRegression, ErasureRecord
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> clf = ErasableLogisticRegression(solver="newton-cholesky").fit(X, y)
        >>> record = clf.preview_unlearn(X[:5], y[:5])
        >>> ErasureRecord.from_json(record.to_json()).n_erased
        5
        """
        return record_from_dict(cls, strict_json(text))


@dataclass(frozen=True)
class ErasureState:
    """The facts about the training rows that an erasure needs besides the inverse.

    Attributes
    ----------
    curvature : str
        Curvature that was computed.
    n_rows : int
        Number of rows of positive weight that the model holds.
    mass : float
        Sum of their weights, class weights included.
    class_counts : ndarray of int of shape (n_classes,)
        Number of rows of each class, or, for a multi-label problem, with each label.
    class_mass : ndarray of shape (n_classes,)
        Sum of the weights of these rows.
    class_weight : ndarray of shape (n_classes,) or None
        Class weights, frozen at fit.
    fit_mass : float
        Weight of all rows when the curvature was computed.
    fit_class_mass : ndarray of shape (n_classes,)
        Weight of the rows of each class when the curvature was computed.
    weighted : bool
        True if the model was fitted with sample weights.
    minibatch : bool
        True if a curvature row is the sum of a mini-batch, which no single row can leave.
    calibration : object or None
        Calibration of eps "auto"; None if there is none.
    diagonal_weights : ndarray of shape (d,)
        Weights that give the diagonal of ``R^T R`` the sum 1 when the curvature was computed, see
        `shares.diagonal_weights`.
    expected_square : float
        Sum over the rows of the expected squared length of the step that erases the row, see
        `shares.expected_square`; infinity for networks.
    stale : str
        The reason why the curvature does not belong to the present model; empty if it does.
    changed : float
        Weight of the rows erased or added since the curvature was computed.
    residual : ndarray of shape (d,) or None
        Gradient of the penalised objective that the solver left, on the scale of a sum over all
        rows, without the part that later steps removed. None if it is not kept and taken as zero.
    path : Path
        The path of the parameters since the curvature was computed.
    limits : RowLimits
        Limits of the training rows, by which other rows are recognised.
    order : int
        Order of the steps when the curvature was computed, 1 or 2.
    bounds : Bounds, SoftmaxBounds or NoBounds
        Bounds of the error of the erasures since the curvature was computed.
    objective : dict or None
        Parameters of the estimator that determine its objective and its predictions, when the
        curvature was computed, see `objective_of`; None if they are not known.
    tracked : TrackedRows or None
        Digests of the rows that the model holds; None if it tracks no rows.
    groups : KeptGroups or None
        The curvature rows of each tracked row, if the inverse keeps its rows.
    refreshes : int
        Number of trainings after the fit, by `refresh` or `partial_fit`.
    """

    curvature: str
    n_rows: int
    mass: float
    class_counts: np.ndarray
    class_mass: np.ndarray
    class_weight: np.ndarray
    fit_mass: float
    fit_class_mass: np.ndarray
    weighted: bool
    minibatch: bool
    calibration: object
    diagonal_weights: np.ndarray | None = None
    expected_square: float = np.inf
    stale: str = ""
    changed: float = 0.0
    residual: np.ndarray | None = None
    path: Path = field(default_factory=Path)
    limits: RowLimits = field(default_factory=RowLimits)
    order: int = 1
    objective: dict | None = None
    bounds: Any = NO_BOUNDS
    tracked: TrackedRows | None = None
    groups: Any = None
    refreshes: int = 0


def replace_fields(record, values):
    """A frozen record with some values changed, several times faster than `dataclasses.replace`."""
    twin = object.__new__(type(record))
    object.__setattr__(twin, "__dict__", vars(record) | values)
    return twin
