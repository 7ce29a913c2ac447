"""How well rows can be predicted from others: an accuracy that no model has learned by heart."""

import numpy as np
from scipy import sparse
from sklearn.linear_model import RidgeCV
from sklearn.neighbors import NearestNeighbors

# Rows that are predicted, rows among which neighbours are looked for, and the numbers of neighbours that are tried.
N_QUERIES = 2000
N_ROWS = 20_000
NEIGHBORS = (1, 3, 5, 10, 20, 50)
# Penalties that are tried for linear regression on the labels, by the mean square of a row, and the most columns.
PENALTIES = (1.0, 100.0)
MOST_COLUMNS = 2000


def leave_one_out_accuracy(X, y):
    """Accuracy of the better of nearest neighbours and ridge regression, the row itself left out.

    Parameters
    ----------
    X : {ndarray, sparse matrix} of shape (n_samples, n_features)
    y : ndarray of int of shape (n_samples,) or (n_samples, n_labels)
        Classes, or labels 0 and 1, whose accuracies are averaged.

    Returns
    -------
    float
    """
    rng, n = np.random.default_rng(0), X.shape[0]
    if n > N_ROWS:
        rows = np.sort(rng.choice(n, N_ROWS, replace=False))
        X, y = X[rows], y[rows]
    rows = _without_copies(X, y)
    X, y, n = X[rows], y[rows], len(rows)
    if n < 2:
        return 1.0
    queries = np.sort(rng.choice(n, min(n, N_QUERIES), replace=False))
    return max(_by_neighbors(X, y, queries), _by_regression(X[queries], y[queries]))


def _without_copies(X, y):
    """Positions of one of each of identical rows, as of over-sampling: a copy would tell the label of a row that is left out.

    Of all rows where identical ones have different labels: then they are of different people.
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
    """Of the majority of the neighbours, for the best number of them."""

    most = min(NEIGHBORS[-1], X.shape[0] - 1)
    found = (
        NearestNeighbors(n_neighbors=most + 1).fit(X).kneighbors(X[queries], return_distance=False)
    )
    # The row itself is among its nearest unless more copies of it are.
    own = found == queries[:, np.newaxis]
    own[~own.any(axis=1), -1] = True
    labels = y[found[~own].reshape(len(queries), most)]
    if y.ndim == 1:
        labels = labels[..., np.newaxis] == np.arange(y.max() + 1)
    votes = (
        labels.cumsum(axis=1, dtype=np.float64) + 0.5 * labels[:, :1]
    )  # the nearest decides a tie
    best = 0.0
    for k in NEIGHBORS:
        count = votes[:, min(k, most) - 1]
        right = count.argmax(axis=1) == y[queries] if y.ndim == 1 else (count > k / 2) == y[queries]
        best = max(best, float(right.mean()))
    return best


def _by_regression(X, y):
    """Of ridge regression on the indicators of the classes, for the best penalty; without a refit for each row."""
    if X.shape[1] > MOST_COLUMNS:
        return 0.0
    X = (X.toarray() if sparse.issparse(X) else X).astype(np.float64, copy=False)
    targets = y if y.ndim == 2 else np.eye(y.max() + 1)[y]
    alphas = np.array(PENALTIES) * max(np.square(X).sum() / len(X), 1e-12)
    model = RidgeCV(alphas, scoring="neg_mean_squared_error", store_cv_results=True).fit(
        X, targets.astype(np.float64)
    )
    predicted = model.cv_results_.reshape(len(X), -1, len(alphas))
    right = [
        (p.argmax(axis=1) == y if y.ndim == 1 else (p > 0.5) == y).mean()
        for p in np.moveaxis(predicted, -1, 0)
    ]
    return float(max(right))
