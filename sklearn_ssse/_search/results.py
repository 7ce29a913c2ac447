"""Results of a search over eps, in the form of ``cv_results_`` of `GridSearchCV`."""

import numpy as np
from scipy.stats import rankdata
from sklearn.exceptions import UndefinedMetricWarning

from sklearn_ssse._search.forget_set import MEASURES
from sklearn_ssse._utils.warnings import warn


def search_results(epsilons, measured, informative):
    """The ``cv_results_`` of a search over eps.

    Parameters
    ----------
    epsilons : list of float or str
    measured : ndarray of shape (n_sets, n_epsilons, 6)
    informative : ndarray of bool of shape (n_sets,)
        See `defined_scores`.

    Returns
    -------
    dict of ndarray
        The rank is by score alone; a score that is nan has the last rank.
    """
    names = np.array(epsilons, dtype=object)
    results = {
        "param_unlearn_epsilon": np.ma.MaskedArray(names, mask=False),
        "params": [{"unlearn_epsilon": eps} for eps in epsilons],
    }
    for i, name in enumerate(("test_score", *MEASURES)):
        values = measured[:, :, i]
        results.update({f"split{j}_{name}": row for j, row in enumerate(values)})
        counted = values[informative] if name == "test_score" else values
        results[f"mean_{name}"] = counted.mean(axis=0)
    results["std_test_score"] = measured[informative, :, 0].std(axis=0)
    mean = results["mean_test_score"]
    ranks = rankdata(-np.where(np.isnan(mean), -np.inf, mean), method="min")
    results["rank_test_score"] = ranks.astype(np.int32)
    return results


def defined_scores(measured, informative):
    """Replace the scores if they are undefined on every set, and warn of sets that are excluded.

    Parameters
    ----------
    measured : ndarray of shape (n_sets, n_epsilons, 6)
        See `measure`.
    informative : ndarray of bool of shape (n_sets,)
        The forget sets on which the retrained model differs from the original one.

    Returns
    -------
    measured : ndarray of shape (n_sets, n_epsilons, 6)
        With scores by probabilities if no set is informative.
    informative : ndarray of bool of shape (n_sets,)
        The sets whose score is defined.

    Raises
    ------
    ValueError
        If no forget set changes the model.
    """
    if not informative.any():
        warn(
            "gamma_S must be defined on at least one forget set, got none on which the areas of "
            "the retrained and the original model differ; eps was chosen by metric='probability' "
            "instead. Use larger forget sets that hold several classes.",
            UndefinedMetricWarning,
        )
        measured = measured.copy()
        measured[:, :, 0] = measured[:, :, -1]
        informative = ~np.isnan(measured[:, :, 0]).any(axis=1)
        if not informative.any():
            raise ValueError(
                "At least one forget set must change the model, got none that does. Use larger "
                "forget sets."
            )
    if not informative.all():
        warn(
            "gamma_S must be defined on every forget set, got no difference between the original "
            f"and the retrained model on {(~informative).sum()} of {len(informative)}; these are "
            "excluded from the choice. Use metric='probability', or larger forget sets.",
            UndefinedMetricWarning,
        )
    return measured, informative
