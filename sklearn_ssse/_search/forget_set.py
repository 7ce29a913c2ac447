"""What a search over eps measures on one forget set: one refit without it and one erasure of it serve every eps."""

import numpy as np

from sklearn_ssse._composites import bare_copies, erasable_models, final_step, transformed
from sklearn_ssse._erasure import Multiple, read_epsilon
from sklearn_ssse._search.attributes import attribute_scores, attribute_targets, outputs
from sklearn_ssse._search.candidates import fit_with_weights
from sklearn_ssse._search.gamma import distance_ratio, distances, gamma, pack_parameters
from sklearn_ssse._utils.compat import safe_indexing
from sklearn_ssse._verbs import unlearn

# What is kept for each forget set and eps, after the score itself.
MEASURES = ("distance_ratio", "forget_accuracy_gap", "retain_accuracy_gap")


def measure(original, plain, X, y, sample_weight, fold, epsilons, metric):
    """gamma_S, the `MEASURES` and gamma_S by probabilities of one forget set, (n_epsilons, 5), and whether gamma_S tells anything there."""
    (X_retain, X_forget), (y_retain, y_forget) = (
        [safe_indexing(a, rows) for rows in fold] for a in (X, y)
    )
    weights = [
        None if sample_weight is None else safe_indexing(sample_weight, rows) for rows in fold
    ]
    retrained = fit_with_weights(plain, X_retain, y_retain, weights[0])
    erased = unlearn(bare_copies(original), X_forget, y_forget, sample_weight=weights[1])
    models = list(zip(erasable_models(original), erasable_models(erased), strict=True))
    starts, steps, used = [], [], []
    for before, after in models:
        starts.append(before._family().theta)
        used.append(
            after.erasures_[-1].epsilon if after.erasures_ else 1.0
        )  # none: all weights are zero
        steps.append((after._family().theta - starts[-1]) / used[-1])

    classes = outputs(original, y_forget)
    targets = attribute_targets(y_forget, classes)
    true = [np.asarray(y_forget), np.asarray(y_retain)]
    rows = [transformed(original, part) for part in (X_forget, X_retain)]
    final = final_step(erased)
    first = attribute_scores(final_step(original), rows[0], classes)
    last = attribute_scores(retrained, X_forget, classes)
    accuracies = [
        np.mean(retrained.predict(part) == labels)
        for part, labels in zip((X_forget, X_retain), true, strict=True)
    ]
    comparable = (
        pack_parameters(original).size == pack_parameters(retrained).size
    )  # not where a class is missing
    out = []
    for eps in map(read_epsilon, epsilons):
        for (_, model), start, step, own in zip(models, starts, steps, used, strict=True):
            length = own * eps.factor if isinstance(eps, Multiple) else eps
            parameters = model._family().attributes(start + length * step)
            for name, value in parameters.items():
                setattr(model, name, value)
        scores = first, attribute_scores(final, rows[0], classes), last
        gaps = [
            np.mean(final.predict(part) == labels) - accuracy
            for part, labels, accuracy in zip(rows, true, accuracies, strict=True)
        ]
        ratio = np.nan
        if comparable:
            ratio = distance_ratio(*map(pack_parameters, (original, erased, retrained)))
        out.append(
            [
                gamma(*distances(targets, scores, metric)),
                ratio,
                *gaps,
                gamma(*distances(targets, scores, "probability")),
            ]
        )
    informative = distances(targets, (first, first, last), metric)[1] > 0
    return np.array(out), bool(informative)
