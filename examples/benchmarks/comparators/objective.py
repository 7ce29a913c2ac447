"""The objective that all comparators share: logistic regression with an L2 penalty.

    f(theta) = sum_i l_i(theta) + ||w||^2 / (2 C),        l_i = -log p(y_i | x_i; theta)

theta has the shape (n_outputs, width): one row for two classes (the logistic function), one row for
each of K > 2 classes (softmax). The last column holds the intercepts, without a penalty, as in
scikit-learn; with ``fit_intercept=False`` it is missing. w is theta without that column. Vectors of
parameters are ``theta.ravel()``, with d = n_outputs * width numbers.

The code is independent of the library, so that both can be tested against each other.
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg, sparse
from scipy.special import expit, log_softmax, softmax

# Rows of one pass, so that products with the rows need little memory: 4 MB for 64 columns.
CHUNK = 8192
# Largest number of Newton steps and of halvings of one step.
MAX_STEPS = 100
MAX_HALVINGS = 40


@dataclass(frozen=True)
class Rows:
    """Rows of a design matrix and their targets.

    Attributes
    ----------
    Z : {ndarray, CSR matrix} of shape (n, width)
        The features, then a column of ones if the model has an intercept.
    Y : ndarray of shape (n, n_outputs)
        1 in the column of the row's class, 0 elsewhere. For two classes there is one column, of the
        second class.
    """

    Z: np.ndarray
    Y: np.ndarray

    def __len__(self):
        return len(self.Y)

    def take(self, index):
        """The rows at some positions, given as integers, booleans or a slice."""
        return Rows(self.Z[index], self.Y[index])

    def chunks(self):
        """The rows in parts of `CHUNK` rows."""
        for start in range(0, len(self), CHUNK):
            yield self.take(slice(start, start + CHUNK))


def weighted_gram(Z, weight):
    """``Z^T diag(weight) Z`` as an ndarray, (width, width)."""
    if sparse.issparse(Z):
        return np.asarray((Z.multiply(weight[:, np.newaxis]).T @ Z).toarray())
    return (Z * weight[:, np.newaxis]).T @ Z


@dataclass(frozen=True)
class Objective:
    """The function f above.

    Parameters
    ----------
    C : float
        Inverse of the strength of the penalty, finite.
    n_outputs, width : int
        Shape of theta.
    fit_intercept : bool, default=True
        Whether the last column holds intercepts.
    """

    C: float
    n_outputs: int
    width: int
    fit_intercept: bool = True

    @property
    def size(self):
        """Number of parameters d."""
        return self.n_outputs * self.width

    @property
    def penalty(self):
        """Second derivative of the penalty by each parameter, (n_outputs, width)."""
        out = np.full((self.n_outputs, self.width), 1.0 / self.C)
        if self.fit_intercept:
            out[:, -1] = 0.0
        return out

    def logits(self, theta, rows):
        """Outputs before the link, (n, n_outputs)."""
        return np.asarray(rows.Z @ theta.T)

    def probabilities(self, theta, rows):
        """p of the second class, (n, 1), or of each of K > 2 classes, (n, K)."""
        logits = self.logits(theta, rows)
        return expit(logits) if self.n_outputs == 1 else softmax(logits, axis=1)

    def value(self, theta, rows):
        """f(theta)."""
        total = 0.5 * np.sum(self.penalty * theta**2)
        for part in rows.chunks():
            logits = self.logits(theta, part)
            if self.n_outputs == 1:
                total += np.sum(np.logaddexp(0.0, logits) - part.Y * logits)
            else:
                total -= np.sum(part.Y * log_softmax(logits, axis=1))
        return float(total)

    def loss_gradient(self, theta, rows):
        """``sum_i grad l_i(theta)`` without the penalty, (n_outputs, width)."""
        total = np.zeros((self.n_outputs, self.width))
        for part in rows.chunks():
            total += np.asarray(part.Z.T @ (self.probabilities(theta, part) - part.Y)).T
        return total

    def gradient(self, theta, rows):
        """``grad f(theta)``, (n_outputs, width)."""
        return self.loss_gradient(theta, rows) + self.penalty * theta

    def loss_hessian(self, theta, rows):
        """``sum_i Hessian of l_i at theta`` without the penalty, (d, d)."""
        K = self.n_outputs
        total = np.zeros((K, self.width, K, self.width))
        for part in rows.chunks():
            p = self.probabilities(theta, part)
            for a in range(K):
                for b in range(a, K):
                    block = weighted_gram(part.Z, p[:, a] * ((a == b) - p[:, b]))
                    total[a, :, b] += block
                    if a != b:
                        total[b, :, a] += block
        return total.reshape(self.size, self.size)

    def hessian(self, theta, rows):
        """Hessian of f plus `flat_term`, (d, d)."""
        flat = self.flat_direction()
        out = self.loss_hessian(theta, rows) + self.flat_strength(rows) * np.outer(flat, flat)
        out[np.diag_indices(self.size)] += self.penalty.ravel()
        return out

    def hessian_product(self, theta, rows, vector):
        """`hessian` times a vector (d,), by one pass over the rows and without the matrix."""
        V = vector.reshape(self.n_outputs, self.width)
        total = self.penalty * V
        for part in rows.chunks():
            p = self.probabilities(theta, part)
            change = self.logits(V, part)
            change = p * (change - np.sum(p * change, axis=1, keepdims=True))
            total += np.asarray(part.Z.T @ change).T
        flat = self.flat_direction()
        return total.ravel() + self.flat_strength(rows) * flat * (flat @ vector)

    def flat_direction(self):
        """The unit vector (d,) along which f is constant; 0 if there is none.

        A constant that is added to all K intercepts of a softmax changes no probability. A gradient
        has no component along this direction, so that a multiple of its outer product makes the
        Hessian invertible and changes no Newton step.
        """
        out = np.zeros((self.n_outputs, self.width))
        if self.fit_intercept and self.n_outputs > 1:
            out[:, -1] = self.n_outputs**-0.5
        return out.ravel()

    def flat_strength(self, rows):
        """Factor of the outer product of `flat_direction`: as large as a class's curvature."""
        return len(rows) / self.n_outputs**2

    def minimise(self, rows, start=None, tol=1e-10):
        """The minimum of f, by Newton's method with halved steps.

        Parameters
        ----------
        rows : Rows
            The training rows.
        start : ndarray of shape (n_outputs, width), default=None
            Parameters to start from; None: 0.
        tol : float, default=1e-10
            Largest derivative of f / n at which the steps end, after one more step.

        Returns
        -------
        theta : ndarray of shape (n_outputs, width)
        n_steps : int

        Raises
        ------
        RuntimeError
            If the tolerance is not reached after `MAX_STEPS` steps.
        """
        theta = np.zeros((self.n_outputs, self.width)) if start is None else start
        value = self.value(theta, rows)
        for n_steps in range(1, MAX_STEPS + 1):
            gradient = self.gradient(theta, rows)
            converged = np.abs(gradient).max() <= tol * len(rows)
            factor = linalg.cho_factor(self.hessian(theta, rows))
            step = -linalg.cho_solve(factor, gradient.ravel()).reshape(theta.shape)
            if converged:
                return theta + step, n_steps
            slack = 1e-12 * abs(value)  # rounding of the value
            for _halving in range(MAX_HALVINGS):
                moved = self.value(theta + step, rows)
                if moved <= value + slack:
                    break
                step = 0.5 * step
            theta = theta + step
            value = moved
        raise RuntimeError(
            f"The tolerance must be reached within {MAX_STEPS} steps, got a largest derivative of "
            f"{np.abs(gradient).max() / len(rows):.2g}. Pass a smaller C."
        )
