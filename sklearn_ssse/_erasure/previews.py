"""The previews of an erasable estimator: each returns the record of a verb and changes nothing."""

from sklearn_ssse._erasure.no_rows import any_row, warn_of_no_rows
from sklearn_ssse._erasure.planning import plan_erasure
from sklearn_ssse._erasure.request import NO_REQUEST, Request
from sklearn_ssse._erasure.validation import check_pairs
from sklearn_ssse._utils.locks import exclusive, itself


class PreviewMixin:
    """A classifier that plans a change of its rows, and returns the record of the plan."""

    def preview_unlearn(self, X, y, epsilon=None, *, sample_weight=None, request_id=None):
        """Return the record that `unlearn` would make with the same arguments; change nothing.

        Parameters
        ----------
        X, y, epsilon, sample_weight, request_id
            See `unlearn`.

        Returns
        -------
        ErasureRecord
            The record that `unlearn` would append to `erasures_`.

        Raises
        ------
        ErasureError, ValueError
            In the same cases as `unlearn`.

        Warns
        -----
        ErasureWarning
            If there is no row of positive weight. A preview gives no other warning of `unlearn`.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> from sklearn.preprocessing import scale
        >>> from sklearn_ssse import ErasableLogisticRegression
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> clf = ErasableLogisticRegression(curvature="fisher").fit(scale(X), y)
        >>> record = clf.preview_unlearn(scale(X)[:20], y[:20])
        >>> record.n_erased, record.n_remaining, clf.n_samples_remaining_
        (20, 549, 569)
        >>> clf.unlearn(scale(X)[:20], y[:20]).erasures_ == [record]
        True
        """
        request = Request.of("unlearn", request_id)
        return self._requested((X, y, sample_weight), None, epsilon, request).record

    def preview_learn(self, X, y, epsilon=None, *, sample_weight=None, request_id=None):
        """Return the record that `learn` would make with the same arguments; change nothing.

        Parameters
        ----------
        X, y, epsilon, sample_weight, request_id
            See `learn`.

        Returns
        -------
        ErasureRecord
            The record that `learn` would append to `erasures_`, with ``n_added`` and
            ``weight_added``.

        Raises
        ------
        ErasureError, ValueError
            In the same cases as `learn`.

        Warns
        -----
        ErasureWarning
            If there is no row of positive weight. A preview gives no other warning of `learn`.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> from sklearn.preprocessing import scale
        >>> from sklearn_ssse import ErasableLogisticRegression
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> X = scale(X)
        >>> clf = ErasableLogisticRegression(curvature="fisher").fit(X[20:], y[20:])
        >>> record = clf.preview_learn(X[:20], y[:20])
        >>> record.n_added, record.n_remaining, clf.n_samples_remaining_
        (20, 569, 549)
        >>> clf.learn(X[:20], y[:20]).erasures_ == [record]
        True
        """
        request = Request.of("learn", request_id)
        return self._requested(None, (X, y, sample_weight), epsilon, request).record

    def preview_rectify(
        self, X_old, y_old, X_new, y_new, epsilon=None, *, sample_weight=None, request_id=None
    ):
        """Return the record that `rectify` would make with the same arguments; change nothing.

        Parameters
        ----------
        X_old, y_old, X_new, y_new, epsilon, sample_weight, request_id
            See `rectify`.

        Returns
        -------
        ErasureRecord
            The record that `rectify` would append to `erasures_`. Its ``n_erased`` counts the old
            rows, and its ``n_added`` the new ones.

        Raises
        ------
        ErasureError, ValueError
            In the same cases as `rectify`.

        Warns
        -----
        ErasureWarning
            If there is no row of positive weight. A preview gives no other warning of `rectify`.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> from sklearn.preprocessing import scale
        >>> from sklearn_ssse import ErasableLogisticRegression
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> X = scale(X)
        >>> wrong = y.copy()
        >>> wrong[:10] = 1 - y[:10]
        >>> clf = ErasableLogisticRegression(C=0.01, curvature="fisher").fit(X, wrong)
        >>> record = clf.preview_rectify(X[:10], wrong[:10], X[:10], y[:10])
        >>> record.n_erased, record.n_added, record.n_remaining
        (10, 10, 569)
        >>> clf.rectify(X[:10], wrong[:10], X[:10], y[:10]).erasures_ == [record]
        True
        """
        old, new = old_and_new(X_old, y_old, X_new, y_new, sample_weight)
        return self._requested(old, new, epsilon, Request.of("rectify", request_id)).record

    @exclusive(itself)
    def _plan_erasure(
        self,
        forget=None,
        added=None,
        epsilon=None,
        column_map=None,
        request=NO_REQUEST,
        call_positions=None,
        may_lose_class=False,
    ):
        """The `Erasure` of the rows, see `planning.plan_erasure`."""
        given = (epsilon, column_map, request, call_positions, may_lose_class)
        return plan_erasure(self, forget, added, *given)

    def _requested(self, forget, added, epsilon, request):
        """The `Erasure` of rows that a user passed, with a warning if there are none."""
        erasure = self._plan_erasure(forget, added, epsilon, request=request)
        if not any(any_row(rows[0], rows[2]) for rows in (forget, added) if rows is not None):
            warn_of_no_rows()
        return erasure


def old_and_new(X_old, y_old, X_new, y_new, sample_weight):
    """The rows to erase and the rows to add of `rectify`, each (X, y, sample_weight)."""
    check_pairs(X_old, X_new)
    return (X_old, y_old, sample_weight), (X_new, y_new, sample_weight)
