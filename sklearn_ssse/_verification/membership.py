"""Membership inference: how well a threshold separates forget rows from rows never trained on.

The attack guesses that a row was in the training data if its loss is small, or its largest
predicted probability is large. Its strength is the area under the ROC curve.
"""

import numpy as np

from sklearn_ssse._utils.chunks import slices
from sklearn_ssse._verification.not_computed import NotComputedError
from sklearn_ssse._verification.predictions import check_probabilities

# Number of bootstrap samples: the ends of an interval vary by a tenth of its width between seeds.
N_BOOTSTRAP = 1000
# Share of the bootstrap areas inside an interval.
LEVEL = 0.95
# Numbers of drawn rows that are held at the same time.
CHUNK_DRAWS = 2_000_000
# Each side needs two rows for an interval.
LEAST_ROWS = 2


def membership(forget, test, rng):
    """The area of each attack on each model, with a bootstrap interval.

    Parameters
    ----------
    forget, test : dict of str to Predictions
        The predictions of each model on the forget rows and on the test rows.
    rng : RandomState

    Returns
    -------
    dict of str to dict
        For each model and attack the keys "auc", "low" and "high".
    """
    check_probabilities(*forget.values(), *test.values())
    members = _attack_scores(forget)
    others = _attack_scores(test)
    if min(members.shape[1], others.shape[1]) < LEAST_ROWS:
        raise NotComputedError(
            f"It needs at least {LEAST_ROWS} forget rows and {LEAST_ROWS} test rows, got "
            f"{members.shape[1]} and {others.shape[1]}."
        )
    areas, samples = attack_areas(members, others, rng)
    tail = 50.0 * (1.0 - LEVEL)
    low, high = np.percentile(samples, [tail, 100.0 - tail], axis=0)
    attacks = [(model, attack) for model in forget for attack in ("loss", "confidence")]
    found = {model: {} for model in forget}
    for (model, attack), *values in zip(attacks, areas, low, high, strict=True):
        found[model][attack] = dict(zip(("auc", "low", "high"), map(float, values), strict=True))
    return found


def _attack_scores(predictions):
    """Two scores of each row for each model, which are large for training rows, (m, n_rows)."""
    pairs = [(-found.losses, found.confidence) for found in predictions.values()]
    return np.array([score for pair in pairs for score in pair])


def attack_areas(members, others, rng):
    """Areas under the ROC curve, and those of stratified bootstrap samples.

    Every sample draws forget rows and test rows separately, and the same ones for all m attacks.

    Parameters
    ----------
    members : ndarray of shape (m, k)
    others : ndarray of shape (m, n)
    rng : RandomState

    Returns
    -------
    areas : ndarray of shape (m,)
    samples : ndarray of shape (N_BOOTSTRAP, m)
    """
    k = members.shape[1]
    n = others.shape[1]
    order = np.argsort(others, axis=1)
    places = [_places(*pair) for pair in zip(members, np.sort(others, axis=1), strict=True)]
    areas = np.array([(below + up_to).sum() / (2 * k * n) for below, up_to in places])
    samples = np.empty((N_BOOTSTRAP, len(members)))
    for chunk in slices(N_BOOTSTRAP, max(1, CHUNK_DRAWS // (k + n))):
        size = chunk.stop - chunk.start
        drawn_members = _counts(size, k, rng)
        drawn_others = _counts(size, n, rng)
        for j, (below, up_to) in enumerate(places):
            # Entry i is the number of drawn test rows among the i smallest scores.
            drawn = np.zeros((size, n + 1), dtype=np.int64)
            np.cumsum(drawn_others[:, order[j]], axis=1, out=drawn[:, 1:])
            wins = drawn[:, below] + drawn[:, up_to]
            samples[chunk, j] = np.einsum("bk,bk->b", drawn_members, wins) / (2 * k * n)
    return areas, samples


def _places(members, others):
    """Numbers of test scores below each forget score, and up to it; others are sorted."""
    return np.searchsorted(others, members), np.searchsorted(others, members, side="right")


def _counts(size, n, rng):
    """How often each of n rows is drawn in each of several bootstrap samples, (size, n)."""
    drawn = rng.randint(n, size=(size, n)) + n * np.arange(size)[:, np.newaxis]
    return np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
