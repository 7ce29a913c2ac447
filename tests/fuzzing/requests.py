"""Random calls: honest ones, whose rows are rows of the ledger, and wrong ones."""

from dataclasses import dataclass, field, replace

import numpy as np

from tests.fuzzing import choices
from tests.fuzzing.choices import Rows, rows_of
from tests.fuzzing.data import GROUP_SIZE
from tests.fuzzing.options import choose

EPSILON = {None: 7, "auto": 1, "0.5*auto": 1, 0.3: 0.5, 1.0: 0.5, 1e6: 0.3}
BAD_EPSILON = {0: 1, -1.0: 1, "best": 1, "0*auto": 1}
KIND_OF_ROWS = {
    "honest": 12,
    "hostile": 4,
    "invalid": 2,
    "wrong choice": 2,
    "bad epsilon": 0.5,
    "bad option": 0.5,
}
# Probability that the rows are passed as an array, whatever they were at fit.
AS_ARRAY = 0.1
# Parameters that change the meaning of an erasure if they are set after fit.
OTHER_PARAMETERS = {
    "logistic": [{"fit_intercept": False}, {"fit_intercept": True}, {"C": 50.0}],
    "network": [{"activation": "tanh"}, {"activation": "relu"}, {"solver": "adam"}, {"alpha": 5.0}],
}


@dataclass
class Request:
    """One call of a verb.

    Attributes
    ----------
    verb : str
    about : str
        How the rows were chosen, without any value.
    fault : str
        The way in which the rows are wrong; empty if they are right.
    forget, added : Rows or None
    erased, joined : ndarray of int
        Positions in the pool of the rows that the ledger removes and adds.
    honest : bool
        Whether the rows are right, and eps is not given as a number.
    invalid : bool
        Whether the call must be refused.
    by_method : bool
        Whether the verb is called as a method of the model.
    epsilon : float, str or None
    options : dict
        Further arguments of the function.
    asks_groups : bool
        Whether all rows are passed, and the forget rows are chosen by their groups.
    other_parameters : dict
        Parameters of the model that are set during the call.
    as_array : bool
        Whether the rows are passed as an array, whatever they were at fit.
    """

    verb: str
    about: str
    fault: str = ""
    forget: Rows | None = None
    added: Rows | None = None
    erased: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    joined: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    honest: bool = True
    invalid: bool = False
    by_method: bool = False
    epsilon: object = None
    options: dict = field(default_factory=dict)
    asks_groups: bool = False
    other_parameters: dict = field(default_factory=dict)
    as_array: bool = False

    @property
    def rows_are_right(self):
        """Whether the rows are rows of the ledger, with their labels and weights."""
        return not self.fault

    @property
    def n_rows(self):
        """Number of forget rows and added rows."""
        return sum(len(rows.codes) for rows in (self.forget, self.added) if rows is not None)


def described(request):
    """The arguments of a request without its rows, for the log."""
    n_rows = [str(len(rows.codes)) for rows in (request.forget, request.added) if rows is not None]
    parts = [request.about, f"{' and '.join(n_rows)} rows"]
    if request.fault:
        parts.append(request.fault)
    if request.epsilon is not None:
        parts.append(f"epsilon {request.epsilon!r}")
    if request.as_array:
        parts.append("as an array")
    if request.by_method:
        parts.append("by the method")
    if "preprocessing" in request.options:
        parts.append(f"preprocessing {request.options['preprocessing']!r}")
    return ", ".join(parts)


def name_of(choice):
    """The name of a choice in the log."""
    return choice.__name__.strip("_").replace("_", " ")


def ask(world, verb):
    """A random `Request` of a verb that changes rows."""
    rng = world.rng
    kind = choose(rng, KIND_OF_ROWS)
    request = REQUESTS[verb](world, kind)
    epsilon = _epsilon(world, kind if request.n_rows else "honest")
    by_method = world.is_bare and rng.random() < 0.5
    as_array = rng.random() < AS_ARRAY
    request = replace(request, epsilon=epsilon, by_method=by_method, as_array=as_array)
    usual = world.options["erasure"]["unlearn_epsilon"] if epsilon is None else epsilon
    request.invalid |= epsilon in BAD_EPSILON
    request.honest = request.rows_are_right and isinstance(usual, str) and not request.invalid
    return request


def _epsilon(world, kind):
    """A value of eps; multiples of 'auto' only if `fit` has calibrated it."""
    if kind == "bad epsilon":
        return choose(world.rng, BAD_EPSILON)
    epsilon = choose(world.rng, EPSILON)
    calibrated = isinstance(world.options["erasure"]["unlearn_epsilon"], str)
    return epsilon if calibrated or not isinstance(epsilon, str) else None


def _spoil(world, rows, kind):
    """Change rows according to their kind; the name of the change, and whether it is refused."""
    if kind not in ("hostile", "invalid") or len(rows.codes) == 0:
        return "", False
    table = choices.HOSTILE if kind == "hostile" else choices.INVALID
    change = choose(world.rng, table)
    rows.X = rows.X.copy()
    change(world, rows)
    filled = change is choices.with_nan and "imputer" in world.options["steps"]
    # The members of a bag take some of the rows and columns: none may take the cell.
    unseen = change in (choices.with_nan, choices.infinite) and world.needs_positions
    return name_of(change), kind == "invalid" and not (filled or unseen)


def _ask_unlearn(world, kind):
    """An erasure."""
    rng = world.rng
    choice = choose(rng, choices.WRONG_CHOICES if kind == "wrong choice" else choices.HONEST)
    index, refused = choice(world) if kind == "wrong choice" else (choice(world), False)
    request = Request("unlearn", name_of(choice), invalid=refused)
    by_groups = kind == "honest" and len(index) and not world.options["multilabel"]
    if by_groups and rng.random() < 0.15:
        index = world.members_of(np.unique(index // GROUP_SIZE))
        request.asks_groups = True
        request.about += ", by groups"
    request.forget = rows_of(world, index)
    fault, refused = _spoil(world, request.forget, kind)
    request.fault = name_of(choice) if kind == "wrong choice" else fault
    request.invalid |= refused
    request.erased = index
    follows = world.options["erasure"]["structure"] in ("auto", "full")
    if kind == "bad option" and len(index):
        request.options = choose(rng, choices.BAD_OPTIONS)(world, index)
        request.about += f", bad {' and '.join(request.options)}"
        request.invalid = True
    elif world.options["steps"] and rng.random() < (0.3 if follows else 0.05):
        request.options["preprocessing"] = "downdate"
    if world.is_bare and request.rows_are_right and not request.asks_groups and rng.random() < 0.06:
        others = OTHER_PARAMETERS[world.options["base"]]
        request.other_parameters = others[rng.integers(len(others))]
        request.about += f", with {next(iter(request.other_parameters))} set"
    return request


def _ask_learn(world, kind):
    """An addition of rows that the model does not hold."""
    outside = np.flatnonzero(~world.held)
    index = world.rng.choice(outside, int(world.rng.integers(1, max(2, len(outside) // 4))), False)
    rows = rows_of(world, index)
    fault, refused = _spoil(world, rows, kind)
    return Request("learn", "new rows", fault, added=rows, joined=index, invalid=refused)


def _ask_rectify(world, kind):
    """A correction of features and labels of a few rows."""
    index = choices.few_rows(world)
    old = rows_of(world, index)
    X = old.X + 0.1 * world.rng.normal(size=old.X.shape)
    if world.options["container"] == "float32":
        X = X.astype(np.float32).astype(np.float64)
    joined = world.append(X, old.codes, old.weight)
    new = rows_of(world, joined)
    fault, refused = _spoil(world, new, kind)
    old.weight = new.weight
    return Request(
        "rectify",
        "few rows",
        fault,
        forget=old,
        added=new,
        erased=index,
        joined=joined,
        invalid=refused,
    )


REQUESTS = {"unlearn": _ask_unlearn, "learn": _ask_learn, "rectify": _ask_rectify}
