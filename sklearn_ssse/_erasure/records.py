"""What the object keeps: the record of each change, and what is left in the model. Never a row."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ErasureRecord:
    """What one erasure did, or one call of `learn` or `rectify`, without any data of the rows.

    Attributes
    ----------
    n_erased : int
        Number of rows that were erased.
    n_remaining : int
        Number of rows that the model still rests on.
    weight_erased : float
        Sum of their weights, class weights included.
    epsilon : float
        The eps of the step.
    curvature, structure : str
        What the step was made with.
    leave_out : bool
        True if the curvature of the step was that of the rows after the change, without those that left and with those that came.
    damped : bool
        True if the leave-out step was held back because the rows dominate the curvature.
    shrunken : bool
        True if the curvature at the parameters of now holds less of the rows than they are there, as a net's may after earlier erasures or
        with early stopping: only so much was taken out of it as leaves it positive definite.
    margin : float
        Smallest eigenvalue of ``I - R_S P R_S^T``, in (0, 1], S the rows that left. The erasure is impossible at 0. nan if the
        curvature is made of mini-batches, out of which rows cannot be taken.
    max_leverage : float
        Largest leverage of a single erased row, in [0, 1); nan as above.
    relative_shift : float
        Norm of the change of the parameters by the norm of the parameters before it.
    erased_fraction : float
        Weight erased and added since the curvature was computed, this change included, by the weight at that time: how stale the
        curvature is. Recompute it with ``fit_curvature`` on the rows of now when this grows.
    kept_by : tuple of str
        Steps of a pipeline that were fitted on the erased rows, or without the added ones, and were not changed.
    n_added : int
        Number of rows that `learn` added, or that `rectify` put in the place of others.
    weight_added : float
        Sum of their weights, class weights included.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn_ssse import ErasableLogisticRegression
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> clf = ErasableLogisticRegression(solver="newton-cholesky").fit(X, y)
    >>> record = clf.preview_unlearn(X[:5], y[:5])
    >>> record.n_erased, record.n_remaining
    (5, 564)
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
    kept_by: tuple = ()
    n_added: int = 0
    weight_added: float = 0.0


@dataclass(frozen=True)
class ErasureState:
    """What `unlearn` needs to know of the fit besides the inverse.

    ``minibatch`` tells that rows were mixed in mini-batches, so that none can be taken out of the curvature; ``stale`` says why the
    curvature is not the model's any more, and is empty while it is.

    ``n_rows`` and ``mass`` are the rows and their weights that remain, ``class_counts`` and ``class_mass`` those of each class (of a
    multi-label problem, those that have the label); ``class_weight`` the class weights, frozen at fit; ``fit_mass`` the weight of
    all rows when the curvature was computed, ``changed`` the weight that left or came since.
    """

    curvature: str
    n_rows: int
    mass: float
    class_counts: np.ndarray
    class_mass: np.ndarray
    class_weight: np.ndarray
    fit_mass: float
    weighted: bool
    minibatch: bool
    calibration: object
    stale: str = ""
    changed: float = 0.0


def replace_fields(record, values):
    """A frozen record with some values changed: `dataclasses.replace` at a fraction of its time, for many records."""
    twin = object.__new__(type(record))
    object.__setattr__(twin, "__dict__", vars(record) | values)
    return twin
