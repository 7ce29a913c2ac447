"""The minimum of the randomly perturbed objective of a model with certified removal."""

import math
from functools import partial

import numpy as np

from sklearn_ssse._calibration import logistic
from sklearn_ssse._erasure import (
    LARGEST_THIRD,
    Certificate,
    check_rows,
    euclidean_norms,
    exponential,
    first_well_conditioned,
    full_sums,
    largest_shift,
    secret_normal,
)
from sklearn_ssse._gradients import GRADIENT, HESSIAN, Scores
from sklearn_ssse._inverse import FullInverse
from sklearn_ssse._minimum.newton import minimise
from sklearn_ssse._utils.chunks import add_up, slices
from sklearn_ssse.exceptions import ErasureError

# Share of the rows that certify_std="auto" expects to be erased.
EXPECTED_SHARE = 0.01
# Largest share of the rows that it is computed for.
LARGEST_SHARE = 0.5
# Number of values of an automatic standard deviation for each factor of 2: it is rounded up, so
# that it rarely depends on a single row.
VALUES_PER_OCTAVE = 2


def perturb(model, X, y, sample_weight):
    """Train a model that was just fitted on to its perturbed minimum, if it asks for `certify`."""
    if model.certify is not None:
        checked = check_rows(model, X, y, sample_weight, trusted=True)
        model._train_further((X, y, sample_weight), checked)


def drop_certificate(model):
    """Delete the perturbation and the certificate of an earlier training."""
    for name in ("certificate_", "_perturbation"):
        vars(model).pop(name, None)


def minimise_perturbed(model, batch, kernels):
    """Draw a perturbation, minimise the perturbed objective, and open the account, in place.

    Parameters
    ----------
    model : ErasableLogisticRegression
    batch : LinearBatch
        The rows, at the minimum of the objective without a perturbation.
    kernels : module or object

    Returns
    -------
    Minimum

    Raises
    ------
    ErasureError
        If the perturbation is too large for the rows, or the budget too small for the gradient
        that training leaves.
    """
    epsilon, delta = (float(value) for value in model.certify)
    std = _standard_deviation(model, batch, kernels)
    certificate = Certificate(epsilon, delta, std)
    class_mass = batch.weight @ np.column_stack([batch.y == 0, batch.y == 1])
    certificate.check_classes(class_mass, has_free_intercept=not batch.family.penalty().all())
    secret = secret_normal(batch.n_parameters, std)
    batch = batch.at(batch.family.theta)
    batch.family.perturbation = secret
    found = minimise(batch, model.tol, kernels)
    vars(model).update(batch.family.attributes(found.theta))
    stored = batch.at(model._family().theta)  # rounded to the type of `coef_`
    residual = float(np.linalg.norm(stored.objective_gradient()))
    if residual > certificate.budget:
        raise ErasureError(
            "The gradient that training leaves must be at most the budget of the certificate, "
            f"{certificate.budget:.3g}, got {residual:.3g}. Raise `certify_std`, scale the columns "
            "of X, or lower C."
        )
    vars(model).update(
        certificate_=certificate.after(residual),
        _perturbation=secret,
    )
    return found


def _standard_deviation(model, batch, kernels):
    """The standard deviation of the perturbation: `certify_std`, or the automatic one.

    The budget of the automatic one is the bound for the erasure of the expected number of random
    rows in one call.
    """
    given = model.certify_std
    if not isinstance(given, (str, tuple)):
        return float(given)
    n = batch.n_samples
    expected = EXPECTED_SHARE * n if isinstance(given, str) else given[1]
    expected = min(max(expected, 1.0), LARGEST_SHARE * n)
    bound = _expected_bound(batch, expected, kernels)
    std = bound / largest_shift(*map(float, model.certify))
    octaves = math.log2(std) if std > 0 else 0.0
    return 2.0 ** (math.ceil(VALUES_PER_OCTAVE * octaves) / VALUES_PER_OCTAVE)


def _expected_bound(batch, m, kernels):
    """The bound on the gradient that the erasure of m random rows in one call leaves.

    Its squares of the step are replaced by their means over the forget sets: ``m / n`` times the
    sum over the rows, plus ``(m / n)^2`` times the square of the sum of their steps.
    """
    build = partial(FullInverse.build, batch.scores(HESSIAN), kernels=kernels)
    inverse = first_well_conditioned(build, logistic.automatic_ridges(batch, HESSIAN))
    sums, _, largest = full_sums(batch, euclidean_norms(batch), inverse.matrix)
    matrices = (sums.by_norm, sums.by_second, np.linalg.inv(inverse.matrix))
    n = batch.n_samples
    share = m / n

    def part(rows):
        some = batch.take(rows)
        gradients = Scores(some.layers(slice(None), GRADIENT))
        steps = inverse.solve_rows(gradients) * np.sqrt(some.weight)
        steps = steps / (1.0 - inverse.leverage(some.scores(HESSIAN)))
        squares = [np.einsum("jm,jm->", steps, matrix @ steps) for matrix in matrices]
        return np.concatenate([squares, steps.sum(axis=1)])

    total = add_up(part(rows) for rows in slices(n, batch.chunk_size))
    of_rows = total[: len(matrices)]
    together = total[len(matrices) :]
    of_sum = np.array([together @ matrix @ together for matrix in matrices])
    squares = (share * of_rows + share**2 * of_sum) / (1.0 - share) ** 2
    output = largest[1] * np.sqrt(squares[2])
    return float(min(LARGEST_THIRD / 2 * squares[0], exponential(output, 2) * squares[1]))
