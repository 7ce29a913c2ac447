"""The verbs of an estimator: an erasure is planned in stages, then made in full or not at all.

The folder depends on the curvature, the family of a model and the rows to erase or add. It must not
depend on a concrete estimator, the calibration of eps, or a composite.
"""

from sklearn_ssse._erasure.bound_call import Solved, make_call, rounding_of_inverse
from sklearn_ssse._erasure.bounds import NoBounds
from sklearn_ssse._erasure.budget import bound_fields, with_bounds
from sklearn_ssse._erasure.certificate import (
    Certificate,
    check_certify,
    check_shape,
    is_certified,
    largest_shift,
    secret_normal,
)
from sklearn_ssse._erasure.chain import check_chain, now, present_digest, proof_fields
from sklearn_ssse._erasure.changes import Change, Erasure, carry_out
from sklearn_ssse._erasure.epsilon import (
    RELATIVE_GRID,
    Multiple,
    check_epsilon,
    read_epsilon,
    usual_epsilon,
)
from sklearn_ssse._erasure.epsilon_path import EpsilonPath, read_epsilons
from sklearn_ssse._erasure.fit_curvature import FITTED, LONG_WORK, first_well_conditioned
from sklearn_ssse._erasure.guards import (
    TRUSTED_MARGIN,
    check_fresh,
    check_remaining,
    least_margin,
    lost_classes,
)
from sklearn_ssse._erasure.kept_groups import KeptGroups
from sklearn_ssse._erasure.mixin import ErasableMixin
from sklearn_ssse._erasure.no_rows import any_row, part_of_a_call, warn_of_no_rows
from sklearn_ssse._erasure.overflow import are_moderate
from sklearn_ssse._erasure.parameters import PARAMETER_CONSTRAINTS, KeysOf, documented
from sklearn_ssse._erasure.path import kept_share
from sklearn_ssse._erasure.planning import (
    NO_CURVATURE,
    checked_epsilon,
    make_record,
    path_after,
    residual_after,
)
from sklearn_ssse._erasure.record_json import canonical, check_version, strict_json
from sklearn_ssse._erasure.records import ErasureRecord, ErasureState, replace_fields
from sklearn_ssse._erasure.request import NO_REQUEST, Request, check_request_id
from sklearn_ssse._erasure.row_limits import RowLimits, norms_of_rows
from sklearn_ssse._erasure.row_sums import LARGEST_THIRD, Rows, exponential
from sklearn_ssse._erasure.row_sums_at_fit import euclidean_norms, full_sums
from sklearn_ssse._erasure.second_order import SecondOrder
from sklearn_ssse._erasure.shares import expected_square, refusal
from sklearn_ssse._erasure.step_size import (
    StepSize,
    doubts_of_curvature,
    doubts_of_step,
    is_refused,
)
from sklearn_ssse._erasure.steps import LEAST_REMAINING, Step, is_damped, make_step
from sklearn_ssse._erasure.tracking import tracked_after
from sklearn_ssse._erasure.validation import (
    as_objects,
    check_labels,
    check_outputs,
    check_pairs,
    check_positions,
    check_rows,
    encode,
    is_multilabel,
    row_weights,
    rows_of_positive_weight,
    validated_batch,
    weight_per_row,
)
