"""One random sequence: a fit, and calls whose outcomes are checked against the invariants."""

import re
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sklearn_ssse import ErasureWarning
from tests.fuzzing import invariants, options, steps
from tests.fuzzing.requests import Request
from tests.fuzzing.watch import digest, observed
from tests.fuzzing.world import World

# Calls of a sequence, and their weights.
VERBS = {
    "unlearn": 10,
    "learn": 3,
    "rectify": 2,
    "refresh": 1,
    "fit_curvature": 1,
    "to_plain": 1,
    "round_trip": 2,
    "clone": 0.3,
}
# Characters of a message in the log.
LENGTH_OF_MESSAGE = 150


@dataclass
class Report:
    """The outcome of one sequence.

    Attributes
    ----------
    index : int
    calls : Counter
        Number of calls for each verb and outcome.
    broken : list of tuple
        Name of the invariant, verb, and text of each violation.
    seconds : float
    """

    index: int
    calls: Counter = field(default_factory=Counter)
    broken: list = field(default_factory=list)
    seconds: float = 0.0


class Sequence:
    """The sequence of a seed and an index; it depends on nothing else.

    Parameters
    ----------
    seed, index : int
    log : callable
        Takes one line of text for each step. The lines contain no cell of the data.
    """

    def __init__(self, seed, index, log=lambda text: None):
        rng = np.random.default_rng([seed, index])
        self.report = Report(index)
        self.log = log
        self.world = World(options.draw(rng), rng)

    def play(self):
        """Fit the model and make the calls.

        Returns
        -------
        Report
        """
        start = time.perf_counter()
        for name, value in options.of_interest(self.world.options).items():
            self.log(f"{name}: {value}")
        try:
            with warnings.catch_warnings(action="ignore"):  # of the script's own predictions
                self._make_calls()
        except Exception as error:
            self.check("script", invariants.the_script_can_use_the_model, error)
        self.report.seconds = time.perf_counter() - start
        return self.report

    def _make_calls(self):
        """Fit the model and make the calls."""
        world = self.world
        if self._fit():
            for _ in range(int(world.rng.integers(3, 16))):
                verb = options.choose(world.rng, VERBS)
                if verb in steps.STEPS:
                    steps.STEPS[verb](self)
                else:
                    steps.change(self, verb)
            for model, before in world.bystanders:
                after = digest(model)
                self.check("end", invariants.earlier_copies_are_unchanged, before, after)

    def _fit(self):
        """Whether the fit succeeds; a fit may be refused for its parameters."""
        world = self.world
        with observed() as seen:
            world.fit()
        self.note("fit", "", seen)
        request = Request("fit", "", honest=False)
        self.check("fit", invariants.errors_are_deliberate, request, seen)
        self.check("fit", invariants.no_numpy_warning, seen)
        self.check("fit", invariants.messages_hold_no_cell, seen)
        if seen.error is not None:
            return False
        world.quiet = not (seen.warned(ErasureWarning) or seen.warned(ConvergenceWarning))
        world.start_ledger()
        steps.check_model(self, "fit")
        return True

    def check(self, verb, invariant, *args):
        """Check an invariant and note its violation.

        Returns
        -------
        bool
            Whether it is broken.
        """
        text = invariant(*args)
        found = (invariant.__name__, verb, text)
        if text and found not in self.report.broken:
            self.report.broken.append(found)
            self.log(f"    BROKEN {invariant.__name__}: {text}")
        return bool(text)

    def note(self, verb, about, seen):
        """Count a call, and write it and its messages without their numbers to the log."""
        outcome = "silent"
        if seen.error is not None:
            outcome = "refused"
        elif seen.warned(ErasureWarning):
            outcome = "warned"
        self.report.calls[verb, outcome] += 1
        self.log(f"{verb} {about}: {outcome}")
        for text in seen.texts:
            words = re.sub(r"[\d.]+(e[+-]?\d+)?", "#", invariants.without_secrets(text))
            self.log(f"    {words[:LENGTH_OF_MESSAGE]}")
