"""Erasures of the same rows from many binary logistic regressions, computed together.

The rows are validated once, and one product gives the logits of all outputs. Arrays of the size of
the rows, not of the parameters, are computed for all outputs together. Only two computations are
made for each output: the product of the rows with the inverse, which the step needs anyway, and the
downdate. `_erasure.planning.plan_erasure` is the twin that plans one output at a time.

`downdates_together` holds the inverses, `limits_together` the limits of an erasure.
"""

import numpy as np
from scipy import sparse
from scipy.special import expit

from sklearn_ssse._calibration import common_epsilons
from sklearn_ssse._composites.bounds_together import bounds_together
from sklearn_ssse._composites.downdates_together import PendingDowndates, stacked, times
from sklearn_ssse._composites.limits_together import (
    erased_together,
    refused_together,
    rows_accepted,
    sizes_hold,
    sizes_together,
)
from sklearn_ssse._composites.records_together import (
    own_fields,
    records_together,
    relative_shifts,
    step_fields,
)
from sklearn_ssse._erasure import (
    LEAST_REMAINING,
    NO_REQUEST,
    Erasure,
    Multiple,
    are_moderate,
    check_fresh,
    check_rows,
    checked_epsilon,
    doubts_of_curvature,
    doubts_of_step,
    is_certified,
    is_damped,
    path_after,
    replace_fields,
    residual_after,
    rows_of_positive_weight,
    tracked_after,
)
from sklearn_ssse._families import pack_outputs, unpack_outputs
from sklearn_ssse._gradients import CURVATURES, gradient
from sklearn_ssse._utils.memory import fits
from sklearn_ssse.exceptions import ErasureError
from sklearn_ssse.linear_model import ErasableLogisticRegression

# Share of the weight at fit that must remain of every class. With less, the twin plans the erasure.
LEAST_SHARE = 1e-9
# Number of arrays of shapes (n_outputs, k, d) and (n_outputs, k, k) that are held at once.
COPIES = 4


class NotTogetherError(Exception):
    """The outputs cannot be planned together; the twin plans them, or raises the error."""


def plan_together(models, X, Y, epsilon=None, sample_weight=None, kept_by=(), request=NO_REQUEST):
    """Plan the erasures of the same rows from several similar classifiers.

    Parameters
    ----------
    models : list of classifiers
    X : {array-like, sparse matrix} of shape (k, n_features)
    Y : ndarray of shape (k, n_models)
        Labels, a column for each model.
    epsilon, sample_weight
        See `unlearn`.
    kept_by : tuple of str
        Field of the records.
    request : Request
        The call that the records name.

    Returns
    -------
    list of Erasure or None
        None if they must be planned one by one: if the models differ in more than their parameters,
        if there are more rows than parameters, or if an erasure is refused, so that the error for
        the first refused model is raised.
    """
    try:
        return _plan_together(models, X, Y, epsilon, sample_weight, kept_by, request)
    except NotTogetherError:
        return None


def _plan_together(models, X, Y, epsilon, sample_weight, kept_by, request):
    """`plan_together`, or `NotTogetherError`."""
    _require(_alike(models))
    before = [model._erasure_state for model in models]
    erased = erased_together(before, models)
    _require(not refused_together(before, erased))
    epsilons = _epsilons(models, epsilon)
    X, _, weight = check_rows(models[0], X, Y[:, 0], sample_weight, ensure_min_samples=0)
    X, Y, weight = rows_of_positive_weight(X, Y, weight)
    theta = pack_outputs(models)
    targets = _targets(models, Y)
    _check_size(X.shape[0], *theta.shape)
    tracked = _tracked_after(before, X, targets, weight)
    weight = _class_weights(before, targets, weight)
    after = _remaining(before, targets, weight, tracked)
    x = _design(X, models)
    logits = theta @ x.T
    a, r = _factors(logits, targets, weight, before[0].curvature)
    pending = PendingDowndates(models, x, r)
    _require(rows_accepted(before, X, np.where(targets, logits, -logits), pending))
    _require((pending.margin >= pending.least_margin).all())
    leave_out = models[0]._leave_out(before[0])
    damped = is_damped(pending.margin) & leave_out
    c = pending.solve(a, damped) if leave_out else a
    growth = _growth(before, after, leave_out)
    epsilons, multiples = _epsilons_of(epsilons, before, pending, a, c, targets, growth, leave_out)
    solution = pending.step(c)
    change = solution * (growth * epsilons)[:, np.newaxis]
    attributes = _attributes(models, theta, change)
    sizes = sizes_together(weight, np.abs(change @ x.T))
    _require(sizes_hold(before, sizes))
    squares = np.maximum(pending.square(a, solution), 0.0)
    lengths = growth * epsilons * np.sqrt(squares)
    after = _with_history(after, epsilons, lengths, _effects(pending, a, leave_out), erased)
    rows = (logits, weight, a)
    step = (change, growth * epsilons, damped, leave_out)
    after, bounds = bounds_together(models, before, pending, *rows, *step, after)
    steps = list(zip(sizes, multiples, epsilons, solution, squares, strict=True))
    numbers = {
        "relative_shift": relative_shifts(change, theta),
        "weight_erased": weight.sum(axis=1),
        "epsilon": epsilons,
        "damped": damped,
    }
    shared = {"n_erased": X.shape[0], "leave_out": leave_out, "kept_by": kept_by}
    own = own_fields(models, before, after, attributes, bounds, request)
    records = records_together(after, shared, numbers | step_fields(pending, sizes), own)
    return [
        Erasure(
            model=model,
            record=records[j],
            attributes=attributes[j],
            inverses=lambda j=j: (pending.inverses[j], {}),
            state=after[j],
            unweighted=after[j].weighted and sample_weight is None,
            doubts=_doubts(model, records[j], *steps[j]),
            parameter_change=change[j],
        )
        for j, model in enumerate(models)
    ]


def _doubts(model, record, size, multiple, epsilon, solution, square):
    """Messages for the step of one model: its `StepSize`, eps, solution (d,) and ``g^T s``."""
    missing = None
    if isinstance(model.damping_, float):
        missing = model._family().penalty() - model.curvature_.ridge
    margin = np.nan if record.leave_out else record.margin
    return (
        *doubts_of_step(size, multiple, epsilon),
        *doubts_of_curvature(missing, solution, square, epsilon, margin),
    )


def _effects(pending, a, leave_out):
    """`Downdate.effect` of each output for the gradients a at the outputs, (n_models,)."""
    effects = np.square(a) * pending.unweighted_leverage
    if leave_out:
        own = np.square(pending.r) * pending.unweighted_leverage
        effects = effects / np.maximum(1.0 - own, LEAST_REMAINING)
    return effects.sum(axis=1)


def _factors(logits, targets, weight, curvature):
    """Factors of the gradients and of the curvature rows, each of shape (n_models, k)."""
    outputs = (expit(logits).reshape(-1, 1), targets.reshape(-1, 1), "logistic")
    a = gradient(*outputs).reshape(targets.shape) * weight
    seeds = CURVATURES[curvature].seed(*outputs)
    return a, np.sqrt(weight) * seeds.reshape(targets.shape)


def _require(holds):
    """Raise `NotTogetherError`, so that the twin plans the outputs, unless a condition holds."""
    if not holds:
        raise NotTogetherError


def _check_size(k, m, d):
    """Leave the outputs to the twin if k is 0, or too large for m outputs of d parameters."""
    _require(0 < k <= d and fits(COPIES * 8 * m * k * (k + d)))


def _epsilons(models, epsilon):
    """eps of each model: numbers for all models, or multiples of "auto" for all."""
    try:
        for model in models:
            check_fresh(model._erasure_state)
        epsilons = [checked_epsilon(model, epsilon) for model in models]
    except ErasureError as error:
        raise NotTogetherError from error
    _require(len({type(eps) for eps in epsilons}) == 1)
    return epsilons


def _tracked_after(before, X, targets, weight):
    """The digests that each model holds after the erasure; the twin refuses rows without one."""
    try:
        return [
            tracked_after(state.tracked, (X, codes, weight), None)
            for state, codes in zip(before, targets.astype(np.int64), strict=True)
        ]
    except ErasureError as error:
        raise NotTogetherError from error


def _class_weights(before, targets, weight):
    """Weight of each row for each model, class weights included, (n_models, k)."""
    by_class = stacked(state.class_weight for state in before)
    own = np.where(targets, by_class[:, 1:], by_class[:, :1])
    return own if weight is None else own * weight


def _attributes(models, theta, change):
    """Fitted attributes of each model after the changes (n_models, d) of the parameters."""
    attributes = unpack_outputs(models, theta + change)
    _require(attributes is not None and np.isfinite(np.square(change).sum()))
    return attributes


def _with_history(after, epsilons, lengths, effects, erased):
    """The states after steps of these lengths: the residuals and the paths."""
    numbers = (epsilons.tolist(), lengths.tolist(), effects.tolist(), erased.tolist())
    return [
        replace_fields(
            state,
            {
                "residual": residual_after(state.residual, eps),
                "path": path_after(state.path, length, effect, state, share),
            },
        )
        for state, eps, length, effect, share in zip(after, *numbers, strict=True)
    ]


def _growth(before, after, leave_out):
    """`Step.growth` of each model, (n_models,)."""
    if leave_out:
        return np.ones(len(before))
    return np.array([old.mass / new.mass for old, new in zip(before, after, strict=True)])


def _epsilons_of(epsilons, before, pending, a, c, targets, growth, leave_out):
    """eps of each model as a number and as a multiple of the automatic one, (n_models,) each.

    The step is ``Z^T c``. If the automatic eps is not known, the multiple is nan.
    """
    calibrations = [state.calibration for state in before]
    are_multiples = isinstance(epsilons[0], Multiple)
    if not are_multiples and any(calibration is None for calibration in calibrations):
        return np.array(epsilons), np.full(len(epsilons), np.nan)
    along = times(c, pending.G)
    products = a * along
    positive = np.where(targets, products, 0.0).sum(axis=1)
    negative = np.where(targets, 0.0, products).sum(axis=1)
    used = None if leave_out else np.square(pending.r * along).sum(axis=1)
    parts = np.stack([negative, positive], axis=1)
    found = common_epsilons(calibrations, parts, used, growth)
    _require(found is not None)
    if are_multiples:
        multiples = np.array([multiple.factor for multiple in epsilons])
        return found * multiples, multiples
    return np.array(epsilons), np.array(epsilons) / found


def _alike(models):
    """Whether all models are fitted binary logistic regressions that differ in parameters only."""
    kind = ErasableLogisticRegression
    if not all(type(model) is kind and "curvature_" in vars(model) for model in models):
        return False
    state = models[0]._erasure_state
    coef = models[0].coef_
    if any(model._erasure_state.path.second_order or is_certified(model) for model in models):
        return False
    if state.minibatch or state.stale or sparse.issparse(coef) or len(coef) > 1:
        return False
    if CURVATURES[state.curvature].rows_per_sample(1) > 1:
        return False
    first = _traits(models[0])
    return models[0].curvature_.is_matrix and all(_traits(model) == first for model in models[1:])


def _traits(model):
    """The attributes that must agree between models that are planned together."""
    state = model._erasure_state
    coef = model.coef_
    names = vars(model).get("feature_names_in_")
    return (
        state.curvature,
        state.minibatch,
        state.stale,
        state.residual is None,
        state.path.length > 0,
        model.structure_,
        model.leave_out,
        model.fit_intercept,
        type(coef),
        coef.shape,
        coef.dtype,
        np.asarray(model.intercept_).dtype,
        model.classes_.dtype,
        None if names is None else names.tolist(),
    )


def _targets(models, Y):
    """Which rows have the second class of each model, (n_models, k)."""
    classes = np.array([model.classes_ for model in models])
    targets = classes[:, 1] == Y
    known = targets | (classes[:, 0] == Y)
    _require(known.all())
    return np.ascontiguousarray(targets.T)


def _remaining(before, targets, weight, tracked):
    """The states without the rows; the twin plans an erasure that takes nearly all of a class.

    An output may lose a class: all of its rows, and all of their weight.
    """
    k = targets.shape[1]
    positive = np.stack([~targets, targets], axis=2)
    fit_mass = np.array([[state.fit_mass] for state in before])
    counts = stacked(state.class_counts for state in before) - positive.sum(axis=1)
    own_mass = (weight[:, np.newaxis] @ positive)[:, 0]
    mass = stacked(state.class_mass for state in before) - own_mass
    is_lost = (counts == 0) & (np.abs(mass) <= LEAST_SHARE * fit_mass)
    _require(counts.min() >= 0 and (is_lost | (mass > LEAST_SHARE * fit_mass)).all())
    mass[is_lost] = 0.0
    erased = weight.sum(axis=1).tolist()
    # Copies, because a view would keep the counts of all models in memory.
    return [
        replace_fields(
            state,
            {
                "n_rows": state.n_rows - k,
                "mass": state.mass - erased[j],
                "class_counts": counts[j].copy(),
                "class_mass": mass[j].copy(),
                "changed": state.changed + erased[j],
                "tracked": tracked[j],
            },
        )
        for j, state in enumerate(before)
    ]


def _design(X, models):
    """Rows as dense float64, (k, d), with a last column of ones for an intercept.

    The twin refuses rows that would overflow.
    """
    x = (X.toarray() if sparse.issparse(X) else X).astype(np.float64, copy=False)
    x = np.hstack([x, np.ones((len(x), 1))]) if models[0].fit_intercept else x
    _require(are_moderate(x, stacked(model.curvature_.diagonal for model in models)))
    return x
