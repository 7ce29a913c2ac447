"""curvlinops: products with the Hessian or the empirical Fisher information, never the matrix."""

import numpy as np
from scipy.sparse.linalg import LinearOperator, cg

from comparators.peers.torch_layer import LinearLayer

# Relative residual at which conjugate gradients end, and the number of products at most.
RTOL = 1e-8
MAX_PRODUCTS = 2000


class Curvlinops(LinearLayer):
    """A Newton step by conjugate gradients; each product is a pass over all training rows.

    Parameters
    ----------
    curvature : {"Hessian", "empirical Fisher"}
        `HessianLinearOperator` or `EFLinearOperator`.
    """

    reference = "curvlinops-for-pytorch 3.0"
    package = "curvlinops"
    needs_rows = "all"

    def __init__(self, curvature="Hessian"):
        self.curvature = curvature
        self.name = f"curvlinops, {curvature}"

    def _prepare(self):
        self.module = self.layer()
        # A random order would make products differ.
        self.batches = list(self.loader(batch_size=20_000))

    def tensors(self, index):
        features, targets = super().tensors(index)
        # `EFLinearOperator` needs class indices for more than two classes.
        return features, targets.argmax(1) if self.objective.n_outputs > 1 else targets

    def operator(self):
        """The curvature of the mean loss without the penalty, as curvlinops has it."""
        from curvlinops import EFLinearOperator, HessianLinearOperator

        operators = {"Hessian": HessianLinearOperator, "empirical Fisher": EFLinearOperator}
        return operators[self.curvature](
            self.module,
            self.loss(),
            list(self.module.parameters()),
            self.batches,
            check_deterministic=False,
        )

    def _erase(self, index):
        gradient = self.objective.loss_gradient(self.theta, self.rows.take(index)).ravel()
        curvature = self.operator().to_scipy()
        ridge = self.ridge()
        damped = LinearOperator(
            curvature.shape, lambda v: curvature @ v + ridge * v, dtype=np.float64
        )
        step, failed = cg(damped, gradient, rtol=RTOL, maxiter=MAX_PRODUCTS)
        if failed:
            raise ArithmeticError(
                f"Conjugate gradients must converge within {MAX_PRODUCTS} products, got no "
                "convergence. Raise the penalty."
            )
        left = self.retained.sum() - len(index)
        self.theta = self.theta + step.reshape(self.theta.shape) / left
        self.load(self.module)
