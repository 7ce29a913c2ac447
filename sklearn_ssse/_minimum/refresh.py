"""The refresh of a logistic regression by Newton steps."""

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sklearn_ssse._erasure import LONG_WORK, check_certify, check_shape, row_weights
from sklearn_ssse._inverse import INVERSES, choose_structure
from sklearn_ssse._kernels import load
from sklearn_ssse._minimum.newton import minimise
from sklearn_ssse._minimum.perturbed import drop_certificate, minimise_perturbed
from sklearn_ssse._utils.progress import begun
from sklearn_ssse._utils.warnings import warn


def takes_newton_steps(model):
    """Whether the Hessian of a logistic regression is small enough for Newton steps."""
    structure, _ = choose_structure(INVERSES, "auto", model._family().shapes, {})
    is_matrix = INVERSES[structure].is_matrix
    check_shape(model, is_matrix)
    return is_matrix


def take_newton_steps(model, checked):
    """Train a logistic regression from its present parameters to the minimum, in place.

    Parameters
    ----------
    model : ErasableLogisticRegression
    checked : tuple (X, codes, sample_weight)
        The rows, after `check_rows`.
    """
    drop_certificate(model)
    check_certify(model)
    family = model._family()
    X, codes, weight = checked
    weight = row_weights(codes, weight, model._frozen_class_weight(codes, weight))
    batch = family.batch(X, codes, weight)
    operations = family.n_parameters**2 * len(codes)
    kernels = load(model._choose_backend(operations), model.device)
    context = None
    if operations >= LONG_WORK:
        context = model._init_callback_context("refresh", max_subtasks=1)
    with (
        begun(model, context) as progress,
        progress.task("newton steps", None) as batch.progress,
    ):
        found = minimise(batch, model.tol, kernels)
        if model.certify is not None:
            found = minimise_perturbed(model, batch.at(found.theta), kernels)
    vars(model).update(family.attributes(found.theta))
    model.n_iter_ = np.array([found.n_steps], dtype=np.int32)
    if not found.converged:
        warn(
            f"Training must reach tol={model.tol:g}, got {found.n_steps} Newton steps that did "
            "not. Scale the columns of X, or lower C.",
            ConvergenceWarning,
        )
