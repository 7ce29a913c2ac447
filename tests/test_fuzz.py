"""A fixed part of the random sequences of `tests/fuzz.py`, and the script itself."""

import warnings

import numpy as np
import pytest
from sklearn.utils import check_array

from sklearn_ssse import ErasureError
from tests import fuzz
from tests.fuzzing import calls, invariants
from tests.fuzzing.data import GROUP, SENTINEL, UNKNOWN_LABEL
from tests.fuzzing.requests import Request
from tests.fuzzing.sequence import Sequence
from tests.fuzzing.watch import observed

SEED = 0
# Sequences that broke no invariant when the script was written.
INDICES = (0, 1, 2, 3, 5, 6, 8, 11, 12, 13, 16, 18, 19, 20, 23, 24, 25, 26, 28, 29)


@pytest.mark.parametrize("index", INDICES)
def test_sequences_break_no_invariant(index):
    """The steps of a failure: ``python tests/fuzz.py --seed 0 --only INDEX``."""
    assert Sequence(SEED, index).play().broken == []


def test_a_sequence_depends_on_its_seed_and_index_alone():
    logs = []
    for _ in range(2):
        lines = []
        Sequence(3, 5, log=lines.append).play()
        logs.append(lines)
    assert logs[0] == logs[1]
    assert len(logs[0]) > 20


def test_the_script_ends_with_1_if_an_invariant_is_broken(capsys, monkeypatch):
    assert fuzz.main(["--seed", str(SEED), "--sequences", "0"]) == 0
    monkeypatch.setattr(invariants, "LARGEST_LOSS", -1.0)
    monkeypatch.setattr(invariants, "LEAST_ROWS", -100)
    assert fuzz.main(["--seed", str(SEED), "--sequences", "8"]) == 1
    printed = capsys.readouterr().out
    assert "BROKEN no_ruin_in_silence" in printed
    assert "8 sequences" in printed


# The script finds a fault of the library, for each kind of fault


def move_parameters(model):
    """Negate the parameters of a logistic regression."""
    if hasattr(model, "coef_"):
        model.coef_ = -model.coef_
        model.intercept_ = -model.intercept_


def miscount(model):
    if hasattr(model, "n_samples_remaining_"):
        model.n_samples_remaining_ += 1


class NotFinite:
    """A curvature that is not finite."""

    condition = np.inf

    def to_dense(self):
        return np.full((2, 2), np.nan)


def spoil_curvature(model):
    if hasattr(model, "curvature_"):
        model.curvature_ = NotFinite()


def keep_array_in_record(model):
    for record in getattr(model, "erasures_", []):
        object.__setattr__(record, "margin", np.zeros(3))


def change_then_fail(model):
    model.trace_ = 1
    raise ErasureError("The rows must be right, got others.")


def fail_in_numpy(model):
    np.linalg.inv(np.zeros((2, 2)))


def warn_of_overflow(model):
    np.float64(1e300) * np.float64(1e300)


def print_cell(model):
    warnings.warn(f"got {SENTINEL:.3g}", UserWarning, stacklevel=1)


@pytest.mark.parametrize(
    ("fault", "invariant"),
    [
        (move_parameters, "no_ruin_in_silence"),
        (miscount, "counts_equal_the_ledger"),
        (spoil_curvature, "curvature_is_positive_definite"),
        (keep_array_in_record, "records_hold_no_array"),
        (change_then_fail, "nothing_changes_on_error"),
        (fail_in_numpy, "errors_are_deliberate"),
        (warn_of_overflow, "no_numpy_warning"),
        (print_cell, "messages_hold_no_cell"),
    ],
)
def test_a_fault_is_found(fault, invariant, monkeypatch):
    run = calls.run

    def faulty(model, request, given):
        run(model, request, given)
        fault(model)

    monkeypatch.setattr(calls, "run", faulty)
    found = (name for index in range(40) for name, *_ in Sequence(5, index).play().broken)
    assert invariant in found


@pytest.mark.parametrize("text", [f"{SENTINEL}", f"{1e7 * SENTINEL:.6g}", UNKNOWN_LABEL, GROUP])
def test_planted_values_are_found_in_messages(text):
    with observed() as seen:
        raise ErasureError(f"X must be small, got {text}.")
    assert invariants.messages_hold_no_cell(seen)
    assert text[:6] not in invariants.messages_hold_no_cell(seen).partition("in: ")[2]


def test_validation_of_scikit_learn_is_deliberate_for_wrong_rows_alone():
    with observed() as seen:
        check_array([[np.nan]])
    assert not invariants.errors_are_deliberate(Request("unlearn", "", honest=False), seen)
    assert invariants.errors_are_deliberate(Request("unlearn", ""), seen)
