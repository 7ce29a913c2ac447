"""The parts of a search over eps: candidates, attributes, forget sets and their scores.

The folder knows estimators and the verbs. It must not know a curvature or a structure.
"""

from sklearn_ssse._search.attributes import attribute_scores, attribute_targets, outputs
from sklearn_ssse._search.candidates import (
    fit_with_weights,
    fitted_model,
    key_of,
    own_epsilon,
    plain_template,
    searched_model,
    set_epsilon,
    with_epsilon,
)
from sklearn_ssse._search.forget_set import MEASURES, measure
from sklearn_ssse._search.gamma import METRICS, distance_ratio, distances, gamma, pack_parameters
