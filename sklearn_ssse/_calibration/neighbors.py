"""Accuracy of rows predicted from other rows: a held-out accuracy without retraining."""

import numpy as np
from scipy import sparse
from sklearn.linear_model import RidgeCV

# Largest number of rows that are predicted, and of columns for ridge regression.
MAX_ROWS = 2000
# Number of rows among which neighbours are searched: a limit of the time of a fit.
MAX_SEARCHED = 20_000
# Number of neighbours whose majority predicts a row; odd, so that two classes cannot tie.
N_NEIGHBORS = 3


def leave_one_out_accuracy(X, y):
    """Leave-one-out accuracy of nearest neighbours or of ridge regression, whichever is higher.

    Parameters
    ----------
    X : {ndarray, sparse matrix} of shape (n_samples, n_features)
    y : ndarray of int of shape (n_samples,) or (n_samples, n_labels)
        Classes, or labels 0 and 1, whose accuracies are averaged.

    Returns
    -------
    float
    """
    rng = np.random.default_rng(0)
    if X.shape[0] > MAX_SEARCHED:
        rows = np.sort(rng.choice(X.shape[0], MAX_SEARCHED, replace=False))
        X = X[rows]
        y = y[rows]
    rows = _without_copies(X, y)
    if len(rows) < 2:
        return 1.0
    X = X[rows]
    y = y[rows]
    queries = np.sort(rng.choice(len(rows), min(len(rows), MAX_ROWS), replace=False))
    return max(_by_neighbors(X, y, queries), _by_regression(X[queries], y[queries]))


def _without_copies(X, y):
    """Positions of distinct rows; of all rows if two identical rows have different labels.

    A copy of a row, such as over-sampling makes, would predict the row's label. Identical rows with
    different labels are no copies of each other.
    """
    if sparse.issparse(X):
        X = X.tocsr()
        parts = [slice(*bounds) for bounds in zip(X.indptr[:-1], X.indptr[1:], strict=True)]
        keys = [X.indices[part].tobytes() + X.data[part].tobytes() for part in parts]
    else:
        keys = [row.tobytes() for row in X]
    first = {}
    for i, key in enumerate(keys):
        if np.any(y[first.setdefault(key, i)] != y[i]):
            return np.arange(len(keys))
    return np.array(list(first.values()))


def _by_neighbors(X, y, queries):
    """Accuracy of the majority of the nearest neighbours; the nearest decides a tie."""
    from sklearn.neighbors import NearestNeighbors  # takes 12 ms to import

    k = min(N_NEIGHBORS, X.shape[0] - 1)
    search = NearestNeighbors(n_neighbors=k + 1).fit(X)
    found = search.kneighbors(X[queries], return_distance=False)
    # The row itself is among its k + 1 nearest rows unless k + 1 other rows are identical to it.
    own = found == queries[:, np.newaxis]
    own[~own.any(axis=1), -1] = True
    labels = y[found[~own].reshape(len(queries), k)]
    if y.ndim == 1:
        labels = labels[..., np.newaxis] == np.arange(y.max() + 1)
    votes = labels.sum(axis=1) + 0.5 * labels[:, 0]
    return _accuracy(votes, y[queries], k / 2)


def _by_regression(X, y):
    """Accuracy of ridge regression on the indicators of the classes, without a refit for each row.

    The penalty is the mean squared norm of a row.
    """
    if X.shape[1] > MAX_ROWS:
        return 0.0
    X = (X.toarray() if sparse.issparse(X) else X).astype(np.float64, copy=False)
    targets = y if y.ndim == 2 else np.eye(y.max() + 1)[y]
    penalty = max(np.square(X).sum() / len(X), 1e-12)
    model = RidgeCV([penalty], scoring="neg_mean_squared_error", store_cv_results=True)
    model.fit(X, targets.astype(np.float64))
    return _accuracy(model.cv_results_.reshape(targets.shape), y, 0.5)


def _accuracy(scores, y, threshold):
    """Share of right predictions: the class of the largest score, or labels above the threshold."""
    right = scores.argmax(axis=1) == y if y.ndim == 1 else (scores > threshold) == y
    return float(right.mean())
