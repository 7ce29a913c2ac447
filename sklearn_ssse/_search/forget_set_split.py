"""A splitter whose test folds are forget sets: rows of a label, or whole groups."""

from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_random_state, indexable

from sklearn_ssse._utils.compat import num_samples

# Values of the parameter `by` of `ForgetSetSplit`.
KINDS = ("label", "group")


class ForgetSetSplit(BaseCrossValidator):
    """Splitter whose test folds are forget sets: rows of a class or attribute, or whole groups.

    The forget sets of the SSSE paper are a share of the rows that have an attribute. Each training
    fold holds all rows outside the test fold, as `TunedEpsilonCV` and `GammaScorer` require.

    Parameters
    ----------
    share : float or list of float, default=None
        Share of a forget set, above 0 and at most 1. With ``by="label"``: the share of the rows
        that have the label, drawn at random; None takes all of them. With ``by="group"``: the share
        of the groups, drawn at random; None makes each group a forget set of its own. Numbers of
        rows and of groups are rounded to the nearest integer. A list gives a forget set for each
        share. The forget set of a smaller share is a part of the one of a larger share.
    by : {'label', 'group'}, default='label'
        'label': a forget set holds rows of one label. If y has one dimension, the labels are its
        classes. If y has two dimensions, the labels are its columns, each of which must be binary,
        and the rows that have the label are the ones with the larger of the two values. 'group': a
        forget set holds all rows of its groups, for example all rows of a person.
    labels : label or list of labels, default=None
        The labels, in turn: classes of y, or positions of its columns. None takes all labels. Only
        with ``by="label"``.
    n_repeats : int, default=1
        Number of random forget sets for each label and share. A forget set that is not random,
        because it holds all rows of a label, is made once.
    random_state : int, RandomState instance or None, default=None
        Seed of the random sets. An int gives the same sets in every call of `split`.

    Raises
    ------
    ValueError
        If a parameter is not valid. `split` raises it if a label or the groups are missing, or if a
        forget set would hold no row or all rows.

    See Also
    --------
    TunedEpsilonCV : Choose eps by gamma_S on forget sets.
    sklearn.model_selection.ShuffleSplit : Forget sets of random rows.

    Notes
    -----
    The order of the forget sets is: by label, then by share, then by repeat; for groups, by share
    and then by repeat, or by group in sorted order.

    All rows of a class cannot be erased from a single classifier. In a `MultiOutputClassifier`, an
    output may lose a class.

    References
    ----------
    .. [1] A. Peste, D. Alistarh, C. H. Lampert, "SSSE: Efficiently Erasing Samples from Trained
       Machine Learning Models", 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_ssse import ErasableLogisticRegression, ForgetSetSplit, TunedEpsilonCV
    >>> X, y = load_iris(return_X_y=True)
    >>> cv = ForgetSetSplit([0.1, 0.5], labels=[1, 2], random_state=0)
    >>> [(y[forget[0]].item(), len(forget)) for retain, forget in cv.split(X, y)]
    [(1, 5), (1, 25), (2, 5), (2, 25)]
    >>> model = ErasableLogisticRegression(curvature="fisher", max_iter=500)
    >>> search = TunedEpsilonCV(model, epsilons=[0.25, 1.0], cv=cv, metric="probability")
    >>> search.fit(X, y).best_epsilon_
    1.0
    >>> by_person = ForgetSetSplit(0.2, by="group", n_repeats=3, random_state=0)
    >>> [len(forget) for retain, forget in by_person.split(X, y, groups=[*range(50)] * 3)]
    [30, 30, 30]
    """

    # As for the splitters of groups in scikit-learn: with metadata routing, `groups` is requested.
    __metadata_request__split = {"groups": True}

    def __init__(self, share=None, *, by="label", labels=None, n_repeats=1, random_state=None):
        if by not in KINDS:
            raise ValueError(f"by must be one of {', '.join(KINDS)}, got {by!r}. Pass one of them.")
        if by == "group" and labels is not None:
            raise ValueError(
                "labels must be None for by='group', got some. Restrict the groups by `share`, or "
                "use by='label'."
            )
        if not isinstance(n_repeats, Integral) or n_repeats < 1:
            raise ValueError(
                f"n_repeats must be an integer of at least 1, got {n_repeats!r}. Pass one."
            )
        self.share = share
        self.by = by
        self.labels = labels
        self.n_repeats = n_repeats
        self.random_state = random_state
        self._shares()

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return the number of forget sets.

        Parameters
        ----------
        X : object
            Ignored.
        y : array-like of shape (n_samples,) or (n_samples, n_labels), default=None
            Labels; needed with ``by="label"`` unless the parameter `labels` is given.
        groups : array-like of shape (n_samples,), default=None
            Groups; needed with ``by="group"`` if the parameter `share` is None.

        Returns
        -------
        int

        Raises
        ------
        ValueError
            If y or the groups are needed and not given.
        """
        if self.by == "group" and self.share is None:
            return len(np.unique(_given(groups, "groups")))
        if self.by == "group":
            return len(self._shares()) * self.n_repeats
        repeats = [self._repeats(share) for share in self._shares()]
        n_labels = len(self._labels(None if self.labels is not None else _labels_array(y)))
        return n_labels * sum(repeats)

    def split(self, X, y=None, groups=None):
        """Generate the retained rows and the forget rows of each forget set.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            All rows, of which only the number is used.
        y : array-like of shape (n_samples,) or (n_samples, n_labels), default=None
            Labels; needed with ``by="label"``.
        groups : array-like of shape (n_samples,), default=None
            Group of each row; needed with ``by="group"``.

        Yields
        ------
        retain : ndarray of int
            Positions of the retained rows, in ascending order.
        forget : ndarray of int
            Positions of the forget rows, in ascending order.

        Raises
        ------
        ValueError
            If y or the groups are needed and not given, if no row has a label, or if a forget set
            would hold no row or all rows.
        """
        X, y, groups = indexable(X, y, groups)
        n = num_samples(X)
        for forget in self._forget_sets(y, groups):
            mask = np.zeros(n, dtype=bool)
            mask[forget] = True
            if not len(forget) or mask.all():
                given = "all rows" if mask.all() else "no row"
                raise ValueError(
                    f"A forget set must hold at least one row and leave one, got {given} of {n}. "
                    "Choose another share, or other labels or groups."
                )
            yield np.flatnonzero(~mask), np.flatnonzero(mask)

    def _forget_sets(self, y, groups):
        """Positions of the rows of each forget set."""
        generator = check_random_state(self.random_state)
        if self.by == "label":
            y = _labels_array(y)
            for label in self._labels(y):
                yield from self._samples(_rows_with(label, y), generator)
            return
        codes = np.unique(_given(groups, "groups"), return_inverse=True)[1].ravel()
        ids = np.arange(codes.max() + 1)
        sets = ids[:, np.newaxis] if self.share is None else self._samples(ids, generator)
        for own in sets:
            yield np.flatnonzero(np.isin(codes, own))

    def _samples(self, items, generator):
        """Random parts of some items: by share, then by repeat."""
        orders = [generator.permutation(items) for _ in range(self.n_repeats)]
        for share in self._shares():
            for order in orders[: self._repeats(share)]:
                yield order[: round(share * len(items))]

    def _repeats(self, share):
        """Number of forget sets of a share of one label, or of the groups."""
        return 1 if share == 1 and self.by == "label" else self.n_repeats

    def _shares(self):
        """The shares as a list of floats."""
        share = 1.0 if self.share is None else self.share
        shares = [share] if isinstance(share, Real) else list(share)
        valid = all(isinstance(s, Real) and 0 < s <= 1 for s in shares)
        if not shares or not valid:
            raise ValueError(
                f"share must be above 0 and at most 1, or a list of such numbers, got {share!r}. "
                "Pass such numbers, or None."
            )
        return [float(s) for s in shares]

    def _labels(self, y):
        """The labels of the forget sets: classes, or positions of columns of y."""
        if self.labels is not None:
            return list(np.atleast_1d(np.asarray(self.labels)))
        return list(np.unique(y)) if y.ndim == 1 else list(range(y.shape[1]))


def _given(values, name):
    """An argument of `split` that must be given, as an array."""
    if values is None:
        raise ValueError(f"{name} must be given to make the forget sets, got none. Pass {name}=.")
    return np.asarray(values)


def _labels_array(y):
    """The labels as an array of shape (n_samples,) or (n_samples, n_labels)."""
    return y.toarray() if sparse.issparse(y) else _given(y, "y")


def _rows_with(label, y):
    """Positions of the rows that have a label, or an error if there are none."""
    if y.ndim == 1:
        rows = np.flatnonzero(y == label)
    else:
        if not isinstance(label, Integral) or not 0 <= label < y.shape[1]:
            raise ValueError(
                f"labels must be positions of columns from 0 to {y.shape[1] - 1}, got {label!s}. "
                "Pass positions for a y of two dimensions."
            )
        values = np.unique(y[:, label])
        if len(values) != 2:
            raise ValueError(
                f"A column of y must have two values, got {len(values)} in column {label}. Leave "
                "the column out of `labels`, or pass one column as a y of one dimension."
            )
        rows = np.flatnonzero(y[:, label] == values[1])
    if not len(rows):
        raise ValueError(
            f"Each of the labels must have at least one row, got none for {label!s}. Check "
            "`labels`."
        )
    return rows
