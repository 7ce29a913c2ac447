"""How well rows can be predicted from others: an accuracy that no model has learned by heart."""

import numpy as np
from sklearn.neighbors import NearestNeighbors

# Rows that are predicted, rows among which neighbours are looked for, and the numbers of neighbours that are tried.
N_QUERIES = 2000
N_ROWS = 20_000
NEIGHBORS = (1, 3, 5, 10, 20, 50)


def leave_one_out_accuracy(X, y):
    """Accuracy of the majority of the nearest neighbours, the row itself left out, for the best number of neighbours.

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
        X, y, n = X[rows], y[rows], N_ROWS
    most = min(NEIGHBORS[-1], n - 1)
    if most == 0:
        return 1.0
    queries = np.sort(rng.choice(n, min(n, N_QUERIES), replace=False))
    found = NearestNeighbors(n_neighbors=most + 1).fit(X).kneighbors(X[queries], return_distance=False)
    # The row itself is among its nearest unless more copies of it are.
    own = found == queries[:, np.newaxis]
    own[~own.any(axis=1), -1] = True
    labels = y[found[~own].reshape(len(queries), most)]
    if y.ndim == 1:
        labels = labels[..., np.newaxis] == np.arange(y.max() + 1)
    votes = labels.cumsum(axis=1, dtype=np.float64) + 0.5 * labels[:, :1]  # the nearest decides a tie
    best = 0.0
    for k in NEIGHBORS:
        count = votes[:, min(k, most) - 1]
        right = count.argmax(axis=1) == y[queries] if y.ndim == 1 else (count > k / 2) == y[queries]
        best = max(best, float(right.mean()))
    return best
