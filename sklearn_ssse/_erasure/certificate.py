"""Certified removal: the account of a model that minimises a randomly perturbed objective.

The objective has the additional term ``b^T theta`` with a secret ``b ~ N(0, sigma^2 I)``. An
erasure leaves a gradient of the perturbed objective on the retained rows. As long as the bounds on
the norms of these gradients add up to at most the budget, the parameters cannot be told from the
parameters of a model that was trained without the rows, up to epsilon and delta.
`docs/certified.md` has the theorem, its conditions and its limits.
"""

import os
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtri

from sklearn_ssse._erasure.records import replace_fields
from sklearn_ssse.exceptions import ErasureError

# Share of delta for the event that an intercept without penalty has no optimum: its component of
# the perturbation is then larger than the weight of a class.
TAIL_SHARE = 0.001
# Largest shift of a Gaussian in the search for the budget, in standard deviations. Beyond it the
# two Gaussians overlap by less than 1e-15.
LARGEST_SHIFT = 16.0
# Bits of the integers from which the secret is drawn, the precision of float64.
BITS = 53

TRAIN_AGAIN = "Call `refresh` with the retained rows: it draws a new perturbation"


@dataclass(frozen=True)
class Certificate:
    """The guarantee of certified removal, and the part of its budget that is spent.

    Attributes
    ----------
    epsilon, delta : float
        Parameters of the guarantee, without unit.
    std : float
        Standard deviation sigma of the perturbation, in the unit of a gradient summed over rows.
    spent : float
        Sum of the bounds on the norms of the gradients that the erasures left, and of the norm of
        the gradient that training left, in the unit of `std`.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from sklearn_ssse import ErasableLogisticRegression
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> params = {"curvature": "fisher", "certify": (1.0, 1e-5), "certify_std": 20.0}
    >>> clf = ErasableLogisticRegression(**params).fit(scale(X), y)
    >>> clf.certificate_.epsilon, clf.certificate_.std
    (1.0, 20.0)
    >>> clf = clf.unlearn(scale(X)[:1], y[:1])
    >>> 0 < clf.certificate_.spent < clf.certificate_.budget
    True
    """

    epsilon: float
    delta: float
    std: float
    spent: float = 0.0

    @property
    def budget(self) -> float:
        """Largest sum of the bounds for which the guarantee holds, in the unit of `std`."""
        return self.std * largest_shift(self.epsilon, self.delta)

    @property
    def left(self) -> float:
        """The part of the budget that is not spent, in the unit of `std`."""
        return max(self.budget - self.spent, 0.0)

    def after(self, gradient_bound: float) -> "Certificate":
        """The certificate after an erasure that leaves a gradient of at most this norm.

        Raises
        ------
        ErasureError
            If the budget does not suffice.
        """
        spent = self.spent + gradient_bound
        if not spent <= self.budget:
            raise ErasureError(
                "The gradient that an erasure leaves must have a bound of at most "
                f"{self.left:.3g}, which is left of the budget {self.budget:.3g} of the "
                f"certificate, got {gradient_bound:.3g}. {TRAIN_AGAIN}. Or erase fewer rows in "
                "this call, or raise `certify_std` before the next fit."
            )
        return replace_fields(self, {"spent": spent})

    def least_class_weight(self) -> float:
        """Weight of each class from which on an intercept without penalty has an optimum.

        It is an upper quantile of the absolute value of the intercept's perturbation.
        """
        return float(self.std * -ndtri(TAIL_SHARE * self.delta / 4))

    def check_classes(self, class_mass: NDArray, has_free_intercept: bool) -> None:
        """Refuse classes, of weights (n_classes,), that are too small for a free intercept."""
        least = self.least_class_weight()
        if has_free_intercept and class_mass.min() < least:
            raise ErasureError(
                f"With certify, each class must have a weight of at least {least:.4g}, got "
                f"{class_mass.min():.4g}: with less, the perturbed objective may have no minimum, "
                "because the intercept has no penalty. Lower `certify_std`, or use "
                "solver='liblinear', which penalises the intercept, or fit_intercept=False."
            )


@lru_cache
def largest_shift(epsilon: float, delta: float) -> float:
    """Largest norm of a shift between two Gaussians of unit variance, for (epsilon, delta).

    Two Gaussians with this distance cannot be told apart better than epsilon and delta allow. The
    condition of Balle and Wang (2018), Theorem 8, is exact for every epsilon.

    Parameters
    ----------
    epsilon, delta : float

    Returns
    -------
    float
    """
    # The rest of delta is for intercepts without an optimum, see `TAIL_SHARE`.
    target = (1.0 - TAIL_SHARE) * delta

    def excess(shift: float) -> float:
        first = np.exp(log_ndtr(shift / 2 - epsilon / shift))
        second = np.exp(epsilon + log_ndtr(-shift / 2 - epsilon / shift))
        return float(first - second - target)

    smallest = np.finfo(np.float64).tiny
    if excess(LARGEST_SHIFT) <= 0:
        return LARGEST_SHIFT
    # `excess` is not positive at the left end of the bracket, which is on the safe side.
    root, found = brentq(excess, smallest, LARGEST_SHIFT, xtol=1e-300, rtol=1e-12, full_output=True)
    return float(root) * (1.0 - 1e-9) if found.converged else 0.0


def secret_normal(n: int, std: float) -> NDArray:
    """A secret Gaussian vector, (n,), from the random numbers of the operating system.

    A generator with a seed, such as `random_state`, would make it known to whoever knows the seed.
    """
    integers = np.frombuffer(os.urandom(8 * n), dtype=np.uint64) >> np.uint64(64 - BITS)
    return std * ndtri((integers + 0.5) / 2.0**BITS)


def is_certified(model: Any) -> bool:
    """Whether the model has a certificate."""
    return "certificate_" in vars(model)


def check_trained_with(model: Any) -> None:
    """Refuse a model with the parameter `certify` that was trained without a perturbation."""
    if getattr(model, "certify", None) is not None and not is_certified(model):
        raise ErasureError(
            "A certified model must be trained by `fit` or `refresh`, which draw its perturbation, "
            f"got certify={model.certify!r} for a model that was trained without. Call `fit`, or "
            "set certify=None."
        )


def check_certify(model: Any) -> None:
    """Refuse parameters with which no certificate can be given."""
    if model.certify is None:
        return
    _check_numbers(model.certify)
    if isinstance(model.certify_std, tuple):
        _check_expected(model.certify_std)
    wanted = {
        "curvature": ("fisher",),
        "structure": ("auto", "full"),
        "damping": ("auto", "penalty"),
        "leave_out": ("auto", True),
        "fisher_batch_size": (1,),
        "order": ("auto", 1),
        "unlearn_epsilon": ("auto", 1),
        "bounds": (True, "all"),
    }
    for name, accepted in wanted.items():
        given = getattr(model, name)
        if given not in accepted:
            options = " or ".join(repr(value) for value in accepted)
            raise ErasureError(
                f"With certify, {name} must be {options}, got {given!r}. Change it, or set "
                "certify=None."
            )
    if np.isinf(model.C):
        raise ErasureError(
            "With certify, every coefficient must have a penalty, got C=inf. Use a finite C, or "
            "set certify=None."
        )
    if model.class_weight == "balanced":
        raise ErasureError(
            "With certify, class weights must not depend on the rows, got class_weight="
            "'balanced'. Give a dict of weights, or set certify=None."
        )


def check_shape(model: Any, is_matrix: bool) -> None:
    """Refuse a fitted model without one inverse Hessian for all parameters, or of many classes."""
    if getattr(model, "certify", None) is None:
        return
    if len(model.classes_) > 2:
        raise ErasureError(
            f"With certify, the model must have two classes, got {len(model.classes_)}. Use "
            "OneVsRestClassifier(ErasableLogisticRegression(certify=...)), which gives each class "
            "a certificate of its own."
        )
    if not is_matrix:
        raise ErasureError(
            "With certify, the model must be small enough for structure 'full', got "
            f"{model.coef_.size} coefficients. Use fewer columns, or set certify=None."
        )


def certified(erasure: Any) -> Any:
    """The erasure of a model with its certificate after it; of any other model as it is.

    Parameters
    ----------
    erasure : Erasure

    Returns
    -------
    Erasure

    Raises
    ------
    ErasureError
        If the guarantee would not hold after the change.
    """
    model = erasure.model
    if not is_certified(model):
        return erasure
    if erasure.columns_change:
        raise ErasureError(
            "The columns of a certified model must not change, got an erasure that changes the "
            "steps before it. Use preprocessing='keep', and fit these steps on public data."
        )
    if not erasure.changes_rows:
        return erasure
    record = erasure.record
    if record.n_added:
        raise ErasureError(
            f"The certificate covers erasures only, got {record.n_added} rows to add. Call `fit` "
            "with all present rows."
        )
    if record.epsilon != 1.0:
        raise ErasureError(
            f"The step size of a certified model must be 1, got epsilon={record.epsilon:.6g}. "
            "Omit `epsilon`, and set unlearn_epsilon='auto'."
        )
    bound = record.gradient_bound
    if bound is None:
        raise ErasureError(
            "The gradient that an erasure from a certified model leaves must have a bound, got "
            f"none: {record.bound_reason}. {TRAIN_AGAIN}. Or erase fewer rows in this call."
        )
    after = model.certificate_.after(bound)
    has_free_intercept = not model._family().penalty().all()
    after.check_classes(erasure.state.class_mass, has_free_intercept)
    spent = after.spent / after.budget
    fields = {"certified_spent": spent, "certified_left": 1.0 - spent}
    return erasure._replace(
        record=replace_fields(record, fields),
        attributes={**erasure.attributes, "certificate_": after},
    )


def _check_numbers(certify: tuple) -> None:
    """Refuse a tuple `certify` that is not (epsilon, delta)."""
    are_numbers = len(certify) == 2 and all(isinstance(value, Real) for value in certify)
    if not (are_numbers and 0 < certify[0] < np.inf and 0 < certify[1] < 1):
        raise ErasureError(
            f"certify must be None or (epsilon, delta) with epsilon > 0 and 0 < delta < 1, got "
            f"{certify!r}. Pass for example certify=(1.0, 1e-5)."
        )


def _check_expected(certify_std: tuple) -> None:
    """Refuse a tuple `certify_std` that is not ("auto", n_rows)."""
    has_form = len(certify_std) == 2 and certify_std[0] == "auto"
    if not (has_form and isinstance(certify_std[1], Real) and 0 < float(certify_std[1]) < np.inf):
        raise ErasureError(
            "certify_std must be a number > 0, 'auto' or ('auto', expected number of erased "
            f"rows), got {certify_std!r}. Pass for example certify_std=('auto', 100)."
        )
