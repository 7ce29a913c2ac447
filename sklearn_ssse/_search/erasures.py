"""The methods of a search that erase rows from its fitted model."""

from sklearn_ssse._verbs import preview_unlearn, unlearn


class ErasingSearch:
    """Erasures from `estimator_`, the model that a search fitted on all rows."""

    def unlearn(self, X, y, epsilon=None, *, sample_weight=None, **params):
        """Erase training rows from `estimator_`, in place.

        Parameters
        ----------
        X, y, epsilon, sample_weight, **params
            See :func:`sklearn_ssse.unlearn`. ``epsilon=None`` takes `best_epsilon_`.

        Returns
        -------
        self : object

        Raises
        ------
        TypeError, ValueError, ErasureError
            See :func:`sklearn_ssse.unlearn`; also if ``refit=False``.
        """
        return unlearn(self, X, y, epsilon, sample_weight=sample_weight, **params)

    def preview_unlearn(self, X, y, epsilon=None, *, sample_weight=None, **params):
        """Return the record that `unlearn` would make with the same arguments; change nothing.

        Parameters
        ----------
        X, y, epsilon, sample_weight, **params
            See :func:`sklearn_ssse.unlearn`.

        Returns
        -------
        ErasureRecord or list of ErasureRecord
            See :func:`sklearn_ssse.preview_unlearn`.
        """
        return preview_unlearn(self, X, y, epsilon, sample_weight=sample_weight, **params)
