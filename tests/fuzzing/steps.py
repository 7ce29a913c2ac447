"""The steps of a sequence: one function for each kind of call, with its invariants."""

import numpy as np
from sklearn.base import clone

from sklearn_ssse import ErasureWarning, refresh
from tests.fuzzing import calls, invariants, models
from tests.fuzzing.options import choose
from tests.fuzzing.requests import Request, ask, described
from tests.fuzzing.watch import digest, observed

# Probability of a preview before a call, and of the same call on a copy of the model.
PREVIEWED = 0.4
ON_COPY = 0.2
# Ways to copy a model, and their weights. `copy.copy` of a composite shares the models inside.
COPIES = {"pickle": 3, "joblib": 1, "skops": 1, "deepcopy": 2, "copy": 1}


def check_model(sequence, verb):
    """The invariants of a model after any call that succeeded."""
    world = sequence.world
    if sequence.check(verb, invariants.counts_equal_the_ledger, world):
        world.counts = world.stored_counts()
    sequence.check(verb, invariants.curvature_is_positive_definite, world)
    sequence.check(verb, invariants.curvature_has_its_diagonal, world)
    sequence.check(verb, invariants.records_hold_no_array, world)
    with observed() as seen:
        name, outputs = world.outputs(world.model, world.X)
    sequence.check(verb, invariants.predictions_are_finite, name, outputs)
    if name == "predict_proba" and world.sums_to_one:
        sequence.check(verb, invariants.probabilities_sum_to_one, outputs)
    owners = ("ours", "scikit-learn", "nobody")
    sequence.check("predict", invariants.no_numpy_warning, seen, owners)


def check_messages(sequence, request, seen):
    """The invariants of the warnings and the error of a call."""
    verb = request.verb
    sequence.check(verb, invariants.errors_are_deliberate, request, seen)
    sequence.check(verb, invariants.invalid_input_is_refused, request, seen)
    sequence.check(verb, invariants.messages_hold_no_cell, seen)
    sequence.check(verb, invariants.no_numpy_warning, seen)


def change(sequence, verb):
    """Erase, add or correct rows."""
    world = sequence.world
    if len(world.kept) < 8:
        return
    request = ask(world, verb)
    before = digest(world.model)
    right = world.correct()
    expected = _preview(sequence, request, before)
    twin = None
    if world.rng.random() < ON_COPY:
        twin = calls.COPIES["pickle"](world.model)
    n_records = [len(model.erasures_) for model in world.erasable()]
    given = calls.arguments(world, request)
    digest_of_given = digest(given)
    with observed() as seen:
        calls.run(world.model, request, given)
    kind = verb if request.honest else f"{verb}, wrong"
    sequence.note(kind, described(request), seen)
    check_messages(sequence, request, seen)
    after = digest(world.model)
    sequence.check(verb, invariants.nothing_changes_on_error, before, after, seen)
    sequence.check(verb, invariants.no_row_changes_nothing, request, seen, before, after)
    sequence.check(verb, invariants.arguments_are_unchanged, digest_of_given, digest(given))
    if expected is not None:
        pairs = zip(world.erasable(), n_records, strict=True)
        records = [record for model, n in pairs for record in model.erasures_[n:]]
        sequence.check(verb, invariants.previews_equal_the_records, *expected, records, seen)
    if twin is not None and seen.error is None:
        with observed():
            calls.run(twin, request, given)
        _compare(sequence, verb, twin)
    if seen.error is None:
        _enter(world, request)
        check_model(sequence, verb)
        _judge(sequence, request, seen, right)
    elif request.honest:
        world.quiet = False


def _preview(sequence, request, before):
    """The records and the observation of a preview, for some calls."""
    world = sequence.world
    if world.rng.random() > PREVIEWED:
        return None
    records = None
    with observed() as seen:
        records = calls.preview(world, request)
    if records is None and seen.error is None:
        return None
    verb = f"preview {request.verb}"
    sequence.check(verb, invariants.errors_are_deliberate, request, seen)
    sequence.check(verb, invariants.messages_hold_no_cell, seen)
    sequence.check(verb, invariants.no_numpy_warning, seen)
    sequence.check(verb, invariants.previews_change_nothing, before, digest(world.model))
    return records, seen


def _enter(world, request):
    """Enter a change that was made in the ledger."""
    for rows, sign in ((request.forget, -1), (request.added, 1)):
        if rows is None:
            continue
        positions = calls.positions(world, rows.positions)[rows.counted]
        parts = world.counts_of(rows.codes[rows.counted], positions)
        world.counts = [
            (n + sign * k, of_classes + sign * part)
            for (n, of_classes), (k, part) in zip(world.counts, parts, strict=True)
        ]
    world.held[request.erased] = False
    world.held[request.joined] = True
    world.tainted |= not request.rows_are_right


def _judge(sequence, request, seen, before):
    """Compare the accuracy on the retained rows, if no message pointed to a doubtful result."""
    world = sequence.world
    if seen.warned(ErasureWarning) or world.recommended():
        world.quiet = False
    if not world.quiet:
        return
    if request.verb == "refresh" and world.options["base"] == "network":
        return  # scikit-learn trains the net further, and may find another minimum
    rows = world.counted
    right = world.correct()[rows]
    retrained = None
    if right.mean() < 1 - invariants.LARGEST_LOSS:
        retrained = world.retrained()
        retrained = None if retrained is None else retrained[rows]
    about = f"{world.options['base']}, {request.fault or 'right rows'}"
    if world.tainted and not request.fault:
        about += " after wrong ones"
    elif not request.fault and not request.honest:
        about += ", epsilon by hand"
    args = right, before[rows], retrained, about
    ruined = sequence.check(request.verb, invariants.no_ruin_in_silence, *args)
    honest = request.honest and not world.tainted
    if honest and world.is_convex and not ruined:
        sequence.check(request.verb, invariants.as_good_as_retraining, *args)
    world.quiet = not ruined


def _compare(sequence, verb, other):
    """Compare the predictions of the model with those of a copy."""
    world = sequence.world
    _, expected = world.outputs(world.model, world.X)
    _, found = world.outputs(other, world.X)
    sequence.check(verb, invariants.copies_behave_as_the_original, expected, found)


def refresh_model(sequence):
    """Train the model on the rows of the ledger."""
    world = sequence.world
    rows = world.kept
    params = {}
    if world.needs_positions:
        params["positions"] = rows
    if world.options["steps"] and world.rng.random() < 0.5:
        params["preprocessing"] = "refit"
    request = Request("refresh", "the rows of the ledger", honest=world.ledger_is_right)
    before = digest(world.model)
    right = world.correct()
    X, y, weight = world.training_rows(rows)
    with observed() as seen:
        refresh(world.model, X, y, weight, **params)
    sequence.note("refresh", ", ".join(params), seen)
    check_messages(sequence, request, seen)
    after = digest(world.model)
    sequence.check("refresh", invariants.nothing_changes_on_error, before, after, seen)
    if seen.error is None:
        world.quiet = True
        world.tainted = False
        check_model(sequence, "refresh")
        request = Request("refresh", request.about, honest=world.ledger_is_right)
        _judge(sequence, request, seen, right)


def fit_curvature(sequence):
    """Compute the curvature on the rows of the ledger; the predictions do not change."""
    world = sequence.world
    if not world.is_bare or not world.ledger_is_right:
        return
    request = Request("fit_curvature", "")
    before = digest(world.model)
    _, expected = world.outputs(world.model, world.X)
    with observed() as seen:
        world.model.fit_curvature(*world.training_rows(world.kept))
    sequence.note("fit_curvature", "", seen)
    check_messages(sequence, request, seen)
    if seen.error is not None:
        after = digest(world.model)
        sequence.check("fit_curvature", invariants.nothing_changes_on_error, before, after, seen)
        return
    _, found = world.outputs(world.model, world.X)
    sequence.check("fit_curvature", invariants.copies_behave_as_the_original, expected, found)
    check_model(sequence, "fit_curvature")
    world.quiet &= not seen.warned(ErasureWarning)


def to_plain(sequence):
    """Turn the erasable models into plain ones and compare the predictions."""
    world = sequence.world
    for model in world.erasable():
        X = world.rng.normal(size=(5, model.n_features_in_))
        with observed() as seen:
            same = np.array_equal(model.to_plain().predict_proba(X), model.predict_proba(X))
        sequence.check("to_plain", invariants.errors_are_deliberate, Request("to_plain", ""), seen)
        if seen.error is None:
            sequence.check("to_plain", invariants.plain_models_predict_the_same, same)
    sequence.note("to_plain", "", seen)


def round_trip(sequence):
    """Go on with a copy of the model; the original must not change any more."""
    world = sequence.world
    name = choose(world.rng, COPIES)
    if name == "copy" and not world.is_bare:
        return
    with observed() as seen:
        other = calls.COPIES[name](world.model)
    sequence.note(name, "", seen)
    sequence.check(name, invariants.errors_are_deliberate, Request(name, ""), seen)
    if seen.error is None:
        _compare(sequence, name, other)
        world.bystanders.append((world.model, digest(world.model)))
        world.model = other


def clone_and_fit(sequence):
    """Fit a clone to the rows of the ledger; the model does not change."""
    world = sequence.world
    if world.options["estimator"] == "calibrated" or not world.ledger_is_right:
        return
    before = digest(world.model)
    X, y, weight = world.training_rows(world.kept)
    with observed() as seen:
        models.fit(world.options, clone(world.model), X, y, weight)
    sequence.note("clone", "", seen)
    request = Request("clone", "", honest=False)
    sequence.check("clone", invariants.errors_are_deliberate, request, seen)
    sequence.check("clone", invariants.no_numpy_warning, seen)
    sequence.check("clone", invariants.messages_hold_no_cell, seen)
    sequence.check("clone", invariants.earlier_copies_are_unchanged, before, digest(world.model))


STEPS = {
    "refresh": refresh_model,
    "fit_curvature": fit_curvature,
    "to_plain": to_plain,
    "round_trip": round_trip,
    "clone": clone_and_fit,
}
