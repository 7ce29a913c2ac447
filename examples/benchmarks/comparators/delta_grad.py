"""DeltaGrad: gradient descent on the retained rows, with most gradients from a cached path."""

import numpy as np

from comparators.base import Comparator
from comparators.objective import weighted_gram

# A pair of changes is kept if its curvature is at least this share of the learning rate's bound.
MIN_CURVATURE = 1e-12


class QuasiHessian:
    """The compact form of the L-BFGS matrix B (Byrd, Nocedal and Schnabel 1994, theorem 2.3).

    Parameters
    ----------
    history : int
        Number of pairs that are kept.
    """

    def __init__(self, history):
        self.history = history
        self.moves = []
        self.changes = []

    def add(self, move, change, least):
        """Keep the change of the gradient by a move, unless its curvature is below `least`."""
        length = np.linalg.norm(move)
        if length > 0 and move @ change > least * length**2:
            # B does not depend on the length of a pair.
            self.moves = [*self.moves, move / length][-self.history :]
            self.changes = [*self.changes, change / length][-self.history :]

    def product(self, vector):
        """``B vector``; 0 without a pair."""
        if not self.moves:
            return np.zeros_like(vector)
        S = np.column_stack(self.moves)
        Y = np.column_stack(self.changes)
        inner = S.T @ Y
        scale = inner[-1, -1] / (S[:, -1] @ S[:, -1])
        lower = np.tril(inner, -1)
        middle = np.block([[scale * S.T @ S, lower], [lower.T, -np.diag(np.diag(inner))]])
        sides = np.hstack([scale * S, Y])
        return scale * vector - sides @ np.linalg.lstsq(middle, sides.T @ vector)[0]


class DeltaGrad(Comparator):
    """DeltaGrad with full batches (Wu, Dobriban and Davidson 2020, algorithm 1).

    Training is gradient descent from 0; it keeps its parameters w_t and gradients g_t. An erasure
    repeats it on the retained rows. The gradient of all rows at its parameters v_t is computed in
    the first `j0` steps and in every `T0`-th step after them. In all others it is g_t + B_t (v_t -
    w_t), B_t being the L-BFGS matrix of the last computed gradients. The gradient of the forget
    rows at v_t is subtracted. The new path replaces the old one (their algorithm 3).

    The result approximates gradient descent of `steps` steps on the retained rows, which need not
    be near the minimum.

    Cost: `steps` passes of O(n d) to prepare; about `j0` + `steps` / `T0` of them, and `steps`
    passes of O(k d), to erase k rows. Memory: 2 `steps` d numbers.

    Parameters
    ----------
    steps : int, default=200
        Number of steps. Their length is 1 over a bound of the largest curvature.
    T0, j0 : int, default=5, 10
        See above; T0 = 1 is exact.
    history : int, default=2
        Number of pairs of B.
    """

    name = "DeltaGrad"
    reference = "Wu et al. 2020"
    needs_rows = "all"
    trains_itself = True

    def __init__(self, steps=200, T0=5, j0=10, history=2):
        self.steps = steps
        self.T0 = T0
        self.j0 = j0
        self.history = history

    def _prepare(self):
        gram = weighted_gram(self.rows.Z, np.ones(len(self.rows)))
        factor = 0.25 if self.objective.n_outputs == 1 else 0.5
        largest = factor * np.linalg.eigvalsh(gram)[-1] + 1.0 / self.objective.C
        self.rate = 1.0 / largest
        self.path, self.gradients, self.theta = self._descent(self.rows)

    def _descent(self, rows):
        """Gradient descent from 0: path and gradients, (steps, n_outputs, width), and its end."""
        shape = (self.steps, self.objective.n_outputs, self.objective.width)
        path = np.zeros(shape)
        gradients = np.zeros(shape)
        theta = np.zeros(shape[1:])
        for t in range(self.steps):
            path[t] = theta
            gradients[t] = self.objective.gradient(theta, rows)
            theta = theta - self.rate * gradients[t]
        return path, gradients, theta

    def own_retraining(self, index):
        """Gradient descent on the retained rows, with the same steps."""
        return self._descent(self.retained_after(index))[2]

    def _erase(self, index):
        present = self.rows if self.retained.all() else self.rows.take(self.retained)
        forget = self.rows.take(index)
        quasi = QuasiHessian(self.history)
        theta = self.path[0].copy()
        for t in range(self.steps):
            move = theta - self.path[t]
            if t < self.j0 or (t - self.j0) % self.T0 == 0:
                gradient = self.objective.gradient(theta, present)
                change = gradient - self.gradients[t]
                quasi.add(move.ravel(), change.ravel(), MIN_CURVATURE / self.rate)
            else:
                gradient = self.gradients[t] + quasi.product(move.ravel()).reshape(move.shape)
            self.path[t] = theta
            self.gradients[t] = gradient - self.objective.loss_gradient(theta, forget)
            theta = theta - self.rate * self.gradients[t]
        self.theta = theta
