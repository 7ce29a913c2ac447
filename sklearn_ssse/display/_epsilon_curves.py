"""Curves over eps, from the results of a search."""

import re
from numbers import Real

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_ssse._erasure import Multiple, read_epsilon
from sklearn_ssse.display._axes import make_axes

# Line style of the horizontal line for "auto", by the line style of the curve.
AUTO = {"-": (0, (1, 3)), "--": (0, (6, 3, 1, 3)), "-.": (0, (1, 1, 1, 5))}
# Attribute, label and style of the distance ratio in each norm.
RATIOS = {
    "euclidean": (
        "distance_ratio",
        {"label": "distance ratio", "color": "C1", "linestyle": "--", "marker": "s"},
    ),
    "hessian": (
        "distance_ratio_hessian",
        {"label": "distance ratio, Hessian", "color": "C2", "linestyle": "-.", "marker": "^"},
    ),
}


class _EpsilonCurve:
    """Curves over eps, from the results of a search."""

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, **kwargs):
        """Plot the results of a fitted search.

        Parameters
        ----------
        estimator : TunedEpsilonCV or GridSearchCV
            A fitted search. A `GridSearchCV` measures gamma_S alone.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display
            The display, drawn.

        Raises
        ------
        ValueError
            See `from_cv_results`.
        """
        check_is_fitted(estimator, "cv_results_")
        return cls.from_cv_results(estimator.cv_results_, ax=ax, **kwargs)

    @classmethod
    def from_cv_results(cls, cv_results, *, ax=None, **kwargs):
        """Plot the ``cv_results_`` of a search.

        Parameters
        ----------
        cv_results : dict
            Of a `TunedEpsilonCV`, or of a `GridSearchCV` over `unlearn_epsilon` alone.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display
            The display, drawn.

        Raises
        ------
        ValueError
            If the results hold no eps, hold other parameters, or lack the values of the display.
        """
        return cls._of(cv_results).plot(ax=ax, **kwargs)

    @staticmethod
    def _epsilons(cv_results):
        """The values of eps of the search."""
        names = [name for name in cv_results if name.startswith("param_")]
        if len(names) != 1 or not names[0].endswith("unlearn_epsilon"):
            found = ", ".join(name.removeprefix("param_") for name in names) or "no parameter"
            raise ValueError(
                f"The search must be over unlearn_epsilon alone, got {found}. Select the results "
                "of one combination of the other parameters."
            )
        return list(cv_results[names[0]])

    @staticmethod
    def _splits(cv_results, name):
        """The values of a measure, (n_sets, n_epsilons); None if the results lack it."""
        keys = [key for key in cv_results if re.fullmatch(rf"split\d+_{name}", key)]
        keys.sort(key=lambda key: int(key[len("split") : key.index("_")]))
        return np.array([cv_results[key] for key in keys], dtype=float) if keys else None

    def _ordered(self):
        """Positions of eps in ascending order, their values, and the position of "auto".

        The values are numbers, or multiples of "auto" if there are no numbers. The position of
        "auto" is None unless "auto" is given together with numbers.
        """
        read = [read_epsilon(eps) for eps in self.epsilons]
        numbers = {i: eps for i, eps in enumerate(read) if not isinstance(eps, Multiple)}
        multiples = {i: eps.factor for i, eps in enumerate(read) if isinstance(eps, Multiple)}
        auto = [i for i, factor in multiples.items() if factor == 1.0]
        if numbers and len(auto) < len(multiples):
            raise ValueError(
                "eps must be numbers, with or without 'auto', or multiples of 'auto', got "
                f"{len(numbers)} numbers and {len(multiples)} multiples. Plot the results of one "
                "kind."
            )
        axis = numbers or multiples
        order = sorted(axis, key=axis.get)
        return order, [axis[i] for i in order], auto[0] if numbers and auto else None

    def _draw(self, ax, values, *, label, color, linestyle, marker):
        """Draw the mean over the forget sets, its range, and the mean for "auto"; return lines."""
        order, eps, auto = self._ordered()
        mean = values.mean(axis=0)
        style = {"color": color, "linestyle": linestyle, "marker": marker, "markersize": 4}
        lines = ax.plot(eps, mean[order], label=label, **style)
        low = values.min(axis=0)[order]
        high = values.max(axis=0)[order]
        ax.fill_between(eps, low, high, color=color, alpha=0.15, linewidth=0)
        if auto is not None:
            style = {"color": color, "linestyle": AUTO[linestyle], "linewidth": 1.2}
            lines.append(ax.axhline(mean[auto], label=f'{label}, "auto"', **style))
        ax.set_xscale("log")
        are_numbers = isinstance(self.epsilons[order[0]], Real)
        ax.set_xlabel("eps (step size)" if are_numbers else 'eps as a multiple of "auto"')
        return lines

    def _finish(self, ax, lines, *, ncols):
        """Draw the legend above the axes, and store the axes and the figure."""
        self.ax_ = ax
        self.figure_ = ax.figure
        self.figure_.legend(
            handles=lines, loc="outside upper center", ncols=ncols, fontsize="small", frameon=False
        )
        return self


class GammaCurveDisplay(_EpsilonCurve):
    """gamma_S as a function of eps, with the distance ratio in both norms on a second axis.

    Use `from_estimator` or `from_cv_results`.

    Parameters
    ----------
    epsilons : list of float or str
        Values of eps: numbers and 'auto', or multiples of 'auto'.
    gamma : ndarray of shape (n_sets, n_epsilons)
        gamma_S of each forget set, see `gamma_score`.
    distance_ratio : ndarray of shape (n_sets, n_epsilons), default=None
        Distance ratio of each forget set in the Euclidean norm, see `parameter_distance`. It is
        not drawn if it is not defined on every set.
    distance_ratio_hessian : ndarray of shape (n_sets, n_epsilons), default=None
        The same in the norm of the Hessian of the retained rows.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
    ratio_ax_ : matplotlib Axes or None
        The axis of the distance ratios; None if none is drawn.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from sklearn_ssse import ErasableLogisticRegression, GammaCurveDisplay, TunedEpsilonCV
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> tuned = TunedEpsilonCV(ErasableLogisticRegression(), metric="probability").fit(scale(X), y)
    >>> GammaCurveDisplay.from_estimator(tuned).ax_.get_ylabel()
    'gamma_S (1: as retrained, 0: as before)'
    """

    def __init__(self, epsilons, gamma, distance_ratio=None, distance_ratio_hessian=None):
        self.epsilons = epsilons
        self.gamma = gamma
        self.distance_ratio = distance_ratio
        self.distance_ratio_hessian = distance_ratio_hessian

    @classmethod
    def _of(cls, cv_results):
        ratios = {name: cls._splits(cv_results, name) for name, _ in RATIOS.values()}
        return cls(cls._epsilons(cv_results), cls._splits(cv_results, "test_score"), **ratios)

    def plot(self, ax=None, *, norm="both"):
        """Draw the mean over the forget sets, with a band from the smallest to the largest value.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        norm : {'euclidean', 'hessian', 'both'}, default='both'
            The norm of the distance ratios that are drawn, see `parameter_distance`.

        Returns
        -------
        self : GammaCurveDisplay

        Raises
        ------
        ValueError
            If `norm` is unknown.
        """
        if norm not in (*RATIOS, "both"):
            raise ValueError(f"norm must be one of {', '.join(RATIOS)}, both, got {norm!r}.")
        ax = make_axes(ax)
        lines = self._draw(ax, self.gamma, label="gamma_S", color="C0", linestyle="-", marker="o")
        lines.append(ax.axhline(0.5, color="0.4", linewidth=0.8, label="gamma_S = 0.5: half way"))
        ax.set(ylim=(0, 1.02), ylabel="gamma_S (1: as retrained, 0: as before)")
        self.ratio_ax_ = None
        for key in RATIOS if norm == "both" else [norm]:
            name, style = RATIOS[key]
            ratio = getattr(self, name)
            if ratio is None or not np.isfinite(ratio).all():
                continue
            if self.ratio_ax_ is None:
                self.ratio_ax_ = ax.twinx()
                label = "distance ratio (0: as retrained, 1: as before)"
                self.ratio_ax_.set(ylim=(0, 2), ylabel=label)
            lines += self._draw(self.ratio_ax_, ratio, **style)
        return self._finish(ax, lines, ncols=2)


class AccuracyGapDisplay(_EpsilonCurve):
    """Accuracy after the erasure minus accuracy after retraining, as a function of eps.

    On the forget rows and on the retained rows.

    Use `from_estimator` or `from_cv_results`.

    Parameters
    ----------
    epsilons : list of float or str
        Values of eps: numbers and 'auto', or multiples of 'auto'.
    forget, retain : ndarray of shape (n_sets, n_epsilons)
        The difference on the forget rows and on the retained rows of each forget set, in [-1, 1].

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from sklearn_ssse import ErasableLogisticRegression, TunedEpsilonCV
    >>> from sklearn_ssse.display import AccuracyGapDisplay
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> tuned = TunedEpsilonCV(ErasableLogisticRegression(), metric="probability").fit(scale(X), y)
    >>> AccuracyGapDisplay.from_estimator(tuned).forget.shape
    (5, 15)
    """

    def __init__(self, epsilons, forget, retain):
        self.epsilons = epsilons
        self.forget = forget
        self.retain = retain

    @classmethod
    def _of(cls, cv_results):
        forget = cls._splits(cv_results, "forget_accuracy_gap")
        retain = cls._splits(cv_results, "retain_accuracy_gap")
        if forget is None or retain is None:
            raise ValueError(
                "The results must hold accuracy gaps, got none. Use the results of a "
                "TunedEpsilonCV."
            )
        return cls(cls._epsilons(cv_results), forget, retain)

    def plot(self, ax=None):
        """Draw the mean over the forget sets, with a band from the smallest to the largest value.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.

        Returns
        -------
        self : AccuracyGapDisplay
        """
        ax = make_axes(ax)
        style = {"label": "forget rows", "color": "C3", "linestyle": "-", "marker": "v"}
        lines = self._draw(ax, self.forget, **style)
        style = {"label": "retained rows", "color": "C0", "linestyle": "--", "marker": "^"}
        lines += self._draw(ax, self.retain, **style)
        lines.append(ax.axhline(0.0, color="0.4", linewidth=0.8, label="as retrained"))
        ax.set_ylabel("accuracy, erased minus retrained")
        return self._finish(ax, lines, ncols=3)
