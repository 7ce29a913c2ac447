"""Forget sets, and the measures of an erasure on each of them.

One refit without the forget set and one erasure of it suffice for all values of eps.
"""

from typing import NamedTuple

import numpy as np

from sklearn_ssse._composites import bare_copies, erasable_models, final_step, transformed
from sklearn_ssse._search.attributes import (
    attribute_scores,
    attribute_targets,
    output_classes,
    ranked_attributes,
)
from sklearn_ssse._search.candidates import fit_retained
from sklearn_ssse._search.distance import distance_ratios, euclidean_norms, pack_parameters
from sklearn_ssse._search.gamma import distances, gamma
from sklearn_ssse._search.hessian import hessian_norms
from sklearn_ssse._search.parameter_distance import varied_outputs, with_columns, with_outputs
from sklearn_ssse._utils.compat import safe_indexing
from sklearn_ssse._verbs import epsilon_paths

# Names of the measures of each forget set and eps, after its score gamma_S.
MEASURES = (
    "distance_ratio",
    "distance_ratio_hessian",
    "forget_accuracy_gap",
    "retain_accuracy_gap",
)


def fold_positions(folds, n):
    """Retained and forget rows of each fold as positions, from positions, masks or lists."""
    folds = [[np.arange(n)[fold] for fold in pair] for pair in folds]
    if not folds:
        raise ValueError(
            "cv must yield at least one forget set, got none. Pass a splitter with n_splits >= 1."
        )
    for train, test in folds:
        every = np.sort(np.concatenate([train, test]))
        if not len(test) or not np.array_equal(every, np.arange(n)):
            raise ValueError(
                f"Training and test fold must make up the {n} rows, each once, got {len(train)} "
                f"and {len(test)} rows. Use a splitter whose training fold holds all rows outside "
                "the test fold."
            )
    return folds


class _Rows(NamedTuple):
    """The rows of a forget set, or the retained rows."""

    X: object
    y: object
    sample_weight: object

    @classmethod
    def of(cls, data, index):
        """Some of the rows of X, y and sample_weight, each of which may be None."""
        return cls(*(None if part is None else safe_indexing(part, index) for part in data))


def measure(original, plain, retrained, data, fold, epsilons, metric):
    """Compare the erased, the original and the retrained model on one forget set, for every eps.

    Parameters
    ----------
    original : estimator
        Fitted on all rows.
    plain : estimator
        The same estimator without a curvature, not fitted.
    retrained : estimator or None
        Fitted to the retained rows. None: ``plain`` is fitted to them.
    data : tuple (X, y, sample_weight)
        All rows.
    fold : pair of ndarray of int
        Positions of the retained rows and of the forget rows.
    epsilons : list of float or str
    metric : {"roc_auc", "probability"}

    Returns
    -------
    measured : ndarray of shape (n_epsilons, 6)
        gamma_S, the `MEASURES`, and gamma_S with metric "probability".
    informative : bool
        Whether the retrained model differs from the original one on the forget set.
    retrained : estimator
    """
    retain, forget = (_Rows.of(data, index) for index in fold)
    if retrained is None:
        retrained = fit_retained(plain, *retain)
    epsilons, paths, _ = epsilon_paths(original, *forget[:2], epsilons, forget.sample_weight)
    erased = bare_copies(original)
    moved = list(zip(erasable_models(erased), paths, strict=True))
    final = final_step(erased)

    classes = output_classes(original, forget.y)
    targets = attribute_targets(forget.y, classes)
    labels = [np.asarray(part.y) for part in (forget, retain)]
    inputs = [transformed(original, part.X) for part in (forget, retain)]
    predicted = [retrained.predict(part.X) for part in (forget, retain)]
    accuracies = [np.mean(p == true) for p, true in zip(predicted, labels, strict=True)]
    first = attribute_scores(final_step(original), inputs[0], classes)
    last = attribute_scores(retrained, forget.X, classes)
    ranks = ranked_attributes(retrained, classes)
    varied = varied_outputs(retrained)
    compared = with_outputs(erased, varied)

    scored = []
    parameters = []
    for eps in epsilons:
        for model, path in moved:
            vars(model).update(path.attributes(eps))
        scores = (first, attribute_scores(final, inputs[0], classes), last)
        gaps = [
            np.mean(final.predict(part) == true) - accuracy
            for part, true, accuracy in zip(inputs, labels, accuracies, strict=True)
        ]
        score = gamma(*distances(targets, scores, metric, ranks))
        by_probability = gamma(*distances(targets, scores, "probability"))
        scored.append([score, *gaps, by_probability])
        parameters.append(pack_parameters(compared))
    scored = np.array(scored)
    kept = retain._replace(y=with_columns(retain.y, varied))
    models = (with_outputs(model, varied) for model in (original, erased, retrained))
    ratios = _ratios(*models, parameters, kept)
    measured = np.column_stack([scored[:, 0], ratios, scored[:, 1:]])
    informative = distances(targets, (first, first, last), metric, ranks)[1] > 0
    return measured, bool(informative), retrained


def _ratios(original, erased, retrained, parameters, retain):
    """The distance ratio in both norms for the parameters of each eps, (n_epsilons, 2).

    Parameters
    ----------
    original, erased, retrained : estimator
        With the outputs that have parameters in the retrained model.
    parameters : list of ndarray of shape (d,)
        Parameters of the erased model for each eps.
    retain : _Rows
        The retained rows.
    """
    first = pack_parameters(original)
    last = pack_parameters(retrained)
    if first.size != last.size:  # the retained rows lack a class
        return np.full((len(parameters), 2), np.nan)

    def of_hessian(V):
        return hessian_norms(V, retrained, erased, *retain)

    norms = (euclidean_norms, of_hessian)
    return np.column_stack([distance_ratios(first, parameters, last, norm) for norm in norms])
