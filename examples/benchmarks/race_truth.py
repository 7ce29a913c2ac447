"""The files of one task of `race.py`: its data, the converged models and their predictions.

The converged model of all rows is the original; the converged models of the retained rows are the
truth that every method is compared with. A task's folder can be used again by a later race.
"""

import json

import numpy as np
from comparators import Objective, Retraining

# Sizes of the forget sets, random rows.
SIZES = (1000, 10, 1)
SEED = 0
C = 1.0
# Largest derivative of the mean objective at which Newton's method ends, after one more step.
TOL = 1e-10


def forget_sets(n):
    """Positions of the forget rows, by size; a tenth of the rows at most."""
    rows = np.random.default_rng(SEED).permutation(n)
    return {size: rows[: min(size, n // 10)] for size in SIZES}


def write_task(name, load, folder):
    """Write the files of a task into a folder; return False if its data is not found."""
    if (folder / "task.json").exists():
        return True
    arrays = load()
    if arrays is None:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    X, X_test, y, y_test = arrays
    for key, array in {"X": X, "X_test": X_test, "y": y, "y_test": y_test}.items():
        np.save(folder / f"{key}.npy", np.ascontiguousarray(array))
    original = Retraining(TOL).prepare(X, y, C=C)
    np.save(folder / "theta.npy", original.theta)
    for size, index in forget_sets(len(y)).items():
        # From the original parameters, because the minimum does not depend on the start.
        kept = original.retained_after(index)
        theta = original.objective.minimise(kept, original.theta, TOL)[0]
        np.save(folder / f"retrained_{size}.npy", theta)
    sizes = {
        "n": len(y),
        "n_test": len(y_test),
        "columns": X.shape[1],
        "classes": len(original.classes),
        "parameters": original.objective.size,
    }
    (folder / "task.json").write_text(json.dumps({"task": name, **sizes}))
    return True


class Truth:
    """The measures of an erased model against the converged retraining.

    Parameters
    ----------
    folder : Path
        A folder that `write_task` has filled.
    """

    def __init__(self, folder):
        self.task = json.loads((folder / "task.json").read_text())
        X, y, X_test, self.y_test = (
            np.load(folder / f"{key}.npy") for key in ("X", "y", "X_test", "y_test")
        )
        self.model = Retraining()
        self.model.classes = np.arange(self.task["classes"])
        self.y = y
        self.rows = self.model.design(X, y, True)
        n_outputs = self.rows.Y.shape[1]
        self.objective = Objective(C, n_outputs, self.rows.Z.shape[1])
        self.test = self.model.design(X_test, self.y_test, True)
        self.original = np.load(folder / "theta.npy")
        self.sets = forget_sets(self.task["n"])
        self.retrained = {size: np.load(folder / f"retrained_{size}.npy") for size in SIZES}

    def squares(self, size, *vectors):
        """``v^T H v`` of some differences of parameters: H of the retained rows."""
        theta = self.retrained[size]
        keep = np.ones(len(self.rows), dtype=bool)
        keep[self.sets[size]] = False
        kept = self.rows.take(keep)
        total = [np.sum(self.objective.penalty * v**2) for v in vectors]
        for part in kept.chunks():
            p = self.objective.probabilities(theta, part)
            for i, v in enumerate(vectors):
                z = self.objective.logits(v, part)
                if self.objective.n_outputs == 1:
                    total[i] += np.sum(p * (1 - p) * z**2)
                else:
                    total[i] += np.sum(p * z**2) - np.sum(np.sum(p * z, axis=1) ** 2)
        return np.array(total)

    def probabilities(self, theta, rows):
        """Probabilities of the classes, (n, n_classes)."""
        return self.model.both_classes(self.objective.probabilities(theta, rows))

    def ratios(self, size, theta):
        """Distance ratios: Euclidean, in the norm of the Hessian, and of the best step length.

        The last is the ratio in the norm of the Hessian if the step had the length that is best in
        hindsight.
        """
        need = self.centred(self.retrained[size] - self.original)
        step = self.centred(theta - self.original)
        euclidean = np.linalg.norm(step - need) / np.linalg.norm(need)
        error, whole, length, sum_ = self.squares(size, step - need, need, step, step + need)
        # The inner product of step and need, by the parallelogram rule.
        inner = (sum_ - error) / 4
        best = 1.0 if length == 0 else np.sqrt(max(0.0, 1 - inner**2 / (length * whole)))
        return float(euclidean), float(np.sqrt(error / whole)), float(best)

    def centred(self, v):
        """A difference of parameters without the part that changes no probability."""
        flat = self.objective.flat_direction()
        return v - (flat @ v.ravel()) * flat.reshape(v.shape)

    def measures(self, size, theta, forget, test):
        """All measures of a model, as a dictionary of floats; nan if there is none.

        Parameters
        ----------
        theta : ndarray of shape (n_outputs, width) or None
            None for an ensemble.
        forget, test : ndarray of shape (n, n_classes)
            Its probabilities on the forget rows and on the test rows.
        """
        index = self.sets[size]
        rows = self.rows.take(index)
        out = dict.fromkeys(("euclidean", "hessian", "best"), float("nan"))
        if theta is not None:
            out = dict(zip(out, self.ratios(size, theta), strict=True))
        original = self.probabilities(self.original, rows)
        retrained = self.probabilities(self.retrained[size], rows)
        moved, left = np.abs(forget - original).mean(), np.abs(forget - retrained).mean()
        out["gamma"] = float(moved / (moved + left)) if moved + left > 0 else float("nan")
        expected = self.probabilities(self.retrained[size], self.test)
        for name, p, q, y in (
            ("forget gap", forget, retrained, self.y[index]),
            ("test gap", test, expected, self.y_test),
        ):
            out[name] = float(abs(np.mean(p.argmax(1) == y) - np.mean(q.argmax(1) == y)))
        return out
