"""The parts of a search over eps: candidates, attributes, forget sets, scores, choice, results.

The folder depends on estimators and the verbs. It must not depend on a structure, and only the
norm of the Hessian depends on a curvature.
"""

from sklearn_ssse._search.attributes import (
    attribute_auc,
    attribute_scores,
    attribute_targets,
    output_classes,
)
from sklearn_ssse._search.candidates import (
    fit_retained,
    fit_with_weights,
    fitted_model,
    own_epsilon,
    parameters_key,
    plain_template,
    search_grid,
    set_epsilon,
    with_epsilon,
)
from sklearn_ssse._search.choice import Means, choose, extra_epsilons
from sklearn_ssse._search.distance import distance_ratios, euclidean_norms, pack_parameters
from sklearn_ssse._search.erasures import ErasingSearch
from sklearn_ssse._search.forget_set import fold_positions, measure
from sklearn_ssse._search.forget_set_split import ForgetSetSplit
from sklearn_ssse._search.gamma import METRICS, distances, gamma, gamma_score
from sklearn_ssse._search.hessian import hessian_norms, known_objective, stored_hessian_norms
from sklearn_ssse._search.parameter_distance import parameter_distance
from sklearn_ssse._search.predictions import PredictingSearch
from sklearn_ssse._search.refits import check_retrained
from sklearn_ssse._search.results import defined_scores, search_results
