"""The numbers of a report on an erasure, for the three models beside each other."""

import numpy as np

from sklearn_ssse.display._axes import make_axes

# The quantity of a plot, and the name of its axis.
QUANTITIES = {
    "log_loss": "log loss",
    "accuracy": "accuracy",
    "membership_inference": "area of the attack, 95 % interval",
}
ROW_SETS = {"forget": "forget rows", "retain": "retained rows", "test": "test rows"}
MARKERS = {"original": "o", "erased": "s", "retrained": "D"}
# Vertical distance of the models of one group, where groups are 1 apart.
SPACING = 0.22


class ErasureReportDisplay:
    """Accuracy, log loss or membership inference of the models of a report.

    Use `from_report`.

    Parameters
    ----------
    scores : dict of str to dict
        `ErasureReport.scores`: accuracy, in [0, 1], and log loss of each model on each set of rows.
    membership_inference : dict of str to dict, default=None
        `ErasureReport.membership_inference`: areas under the ROC curve and their intervals.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure

    See Also
    --------
    verify_erasure : Make a report.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from sklearn_ssse import ErasableLogisticRegression, ErasureReportDisplay, verify_erasure
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = scale(X)
    >>> original = ErasableLogisticRegression(curvature="fisher").fit(X, y)
    >>> erased = ErasableLogisticRegression(curvature="fisher").fit(X, y).unlearn(X[:9], y[:9])
    >>> report = verify_erasure(original, erased, X[:9], y[:9])
    >>> ErasureReportDisplay.from_report(report).ax_.get_xlabel()
    'log loss'
    """

    def __init__(self, scores, membership_inference=None):
        self.scores = scores
        self.membership_inference = membership_inference

    @classmethod
    def from_report(cls, report, *, quantity="log_loss", ax=None):
        """Plot a quantity of a report.

        Parameters
        ----------
        report : ErasureReport
        quantity : {'log_loss', 'accuracy', 'membership_inference'}, default='log_loss'
            See `plot`.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.

        Returns
        -------
        display : ErasureReportDisplay

        Raises
        ------
        ValueError
            If the quantity is unknown or the report does not hold it.
        """
        display = cls(report.scores, report.membership_inference)
        return display.plot(ax=ax, quantity=quantity)

    def plot(self, ax=None, *, quantity="log_loss"):
        """Draw a quantity, one marker for each model.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        quantity : {'log_loss', 'accuracy', 'membership_inference'}, default='log_loss'
            'log_loss' and 'accuracy' are drawn for each set of rows. 'membership_inference' is the
            area under the ROC curve of each attack with its bootstrap interval. In every case the
            ideal of the erased model is the marker of the retrained model.

        Returns
        -------
        self : ErasureReportDisplay

        Raises
        ------
        ValueError
            If the quantity is unknown or the report does not hold it.
        """
        values = self._values(quantity)
        ax = make_axes(ax)
        groups = list(dict.fromkeys(group for own in values.values() for group in own))
        for i, (model, own) in enumerate(values.items()):
            places = [groups.index(group) + SPACING * (i - (len(values) - 1) / 2) for group in own]
            points = np.array(list(own.values()))
            middle = points[:, 0]
            errors = np.abs(points[:, 1:].T - middle)
            ax.errorbar(middle, places, xerr=errors, fmt=MARKERS[model], color=f"C{i}", label=model)
        ax.set_yticks(range(len(groups)), groups)
        ax.set_ylim(len(groups) - 0.5, -0.5)
        ax.set_xlabel(QUANTITIES[quantity])
        ax.legend()
        self.ax_ = ax
        self.figure_ = ax.figure
        return self

    def _values(self, quantity):
        """For each model and group the value and the ends of its interval."""
        if quantity not in QUANTITIES:
            raise ValueError(
                f"quantity must be one of {', '.join(QUANTITIES)}, got {quantity!r}. Pass one of "
                "them."
            )
        if quantity == "membership_inference":
            found = {
                model: {
                    f"attack by {attack}": (area["auc"], area["low"], area["high"])
                    for attack, area in attacks.items()
                }
                for model, attacks in (self.membership_inference or {}).items()
            }
        else:
            found = {
                model: {
                    ROW_SETS[part]: (values[quantity],) * 3
                    for part, values in sets.items()
                    if values[quantity] is not None
                }
                for model, sets in self.scores.items()
            }
        if not any(found.values()):
            raise ValueError(
                f"The report must hold {quantity}, got none. Its `not_computed` states the reason."
            )
        return found
