"""Random calls: honest ones, whose rows are rows of the ledger, and wrong ones."""

from dataclasses import dataclass, field, replace

import numpy as np

from tests.fuzzing.data import SENTINEL, UNKNOWN_LABEL
from tests.fuzzing.options import choose


@dataclass
class Rows:
    """Rows of a call.

    Attributes
    ----------
    X : ndarray of shape (n_rows, n_columns), or None
    y : array-like
        Labels as the user passes them.
    weight : ndarray of shape (n_rows,) or None
    codes : ndarray of int
        Codes of the labels, for the ledger.
    positions : ndarray of int of shape (n_rows,)
        Positions in the data of `fit`, for a bag and for the ledger.
    """

    X: np.ndarray
    y: object
    weight: np.ndarray | None
    codes: np.ndarray
    positions: np.ndarray

    @property
    def counted(self):
        """Whether each row has a positive weight."""
        return np.ones(len(self.codes), bool) if self.weight is None else self.weight > 0


@dataclass
class Request:
    """One call of a verb.

    Attributes
    ----------
    verb : str
    about : str
        How the rows were chosen, without any value.
    forget, added : Rows or None
    erased, joined : ndarray of int
        Positions in the pool of the rows that the ledger removes and adds.
    honest : bool
        Whether the rows are right, and eps is not given as a number.
    rows_are_right : bool
        Whether the rows are rows of the ledger, with their labels and weights.
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
    """

    verb: str
    about: str
    forget: Rows | None = None
    added: Rows | None = None
    erased: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    joined: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    honest: bool = True
    rows_are_right: bool = True
    invalid: bool = False
    by_method: bool = False
    epsilon: object = None
    options: dict = field(default_factory=dict)
    asks_groups: bool = False
    other_parameters: dict = field(default_factory=dict)


def rows_of(world, index):
    """Rows of the pool as a user passes them."""
    codes = world.codes[index]
    weight = world.weights_of(index)
    return Rows(world.X[index], world.labels(codes), weight, codes, index)


def described(request):
    """The arguments of a request without its rows, for the log."""
    n_rows = [str(len(rows.codes)) for rows in (request.forget, request.added) if rows is not None]
    parts = [request.about, f"{' and '.join(n_rows)} rows"]
    if request.epsilon is not None:
        parts.append(f"epsilon {request.epsilon!r}")
    if request.by_method:
        parts.append("by the method")
    parts += [f"{name} {value!r}" for name, value in request.options.items()]
    return ", ".join(parts)


# Honest choices of held rows


def _few_rows(world):
    """Up to a twentieth of the rows."""
    kept = world.kept
    return world.rng.choice(kept, int(world.rng.integers(1, max(2, len(kept) // 20))), False)


def _many_rows(world):
    """A tenth to a half of the rows."""
    kept = world.kept
    return world.rng.choice(kept, int(len(kept) * world.rng.uniform(0.1, 0.5)) or 1, False)


def _one_class(world):
    """A third of a class, or all of it but a few rows, or all of it."""
    codes = world.codes if world.codes.ndim == 1 else world.codes[:, 0]
    members = world.kept[codes[world.kept] == world.rng.integers(world.options["n_classes"])]
    share = choose(world.rng, {0.3: 3, 0.9: 2, 1.0: 1})
    return members[: int(np.ceil(len(members) * share))]


def _largest_loss(world):
    """The rows that the model predicts worst."""
    kept = world.kept
    order = np.argsort(world.correct()[kept], kind="stable")
    return kept[order[: 1 + int(world.rng.integers(len(kept) // 5 + 1))]]


def _marked_row(world):
    """The row that holds the sentinel, if the model holds it, and another row."""
    return np.union1d(world.kept[:1], _one_row(world))


def _one_row(world):
    """One row."""
    return world.rng.choice(world.kept, 1)


def _no_row(world):
    """No row."""
    return np.zeros(0, int)


HONEST = {
    _few_rows: 6,
    _many_rows: 3,
    _one_row: 2,
    _one_class: 2,
    _largest_loss: 2,
    _marked_row: 1,
    _no_row: 0.5,
}

# Wrong rows: each function changes `Rows`. Those of INVALID must be refused.


def _nan(world, rows):
    rows.X[world.rng.integers(len(rows.X)), 0] = np.nan


def _infinite(world, rows):
    rows.X[world.rng.integers(len(rows.X)), -1] = np.inf


def _fewer_columns(world, rows):
    rows.X = rows.X[:, 1:]


def _more_labels(world, rows):
    rows.y = [*rows.y, rows.y[0]]


def _unknown_label(world, rows):
    unknown = UNKNOWN_LABEL if world.names.dtype.kind == "U" else 731
    y = np.array(rows.y, dtype=object)
    y[0] = unknown
    rows.y = y if world.names.dtype.kind == "U" else y.astype(int)


def _negative_weights(world, rows):
    rows.weight = np.full(len(rows.codes), -1.0)


def _no_rows_at_all(world, rows):
    rows.X = None


def _huge_cell(world, rows):
    rows.X[0, world.rng.integers(rows.X.shape[1])] = SENTINEL * 10.0 ** world.rng.integers(-2, 296)


def _huge_rows(world, rows):
    rows.X *= 10.0 ** world.rng.uniform(3, 300)


def _unscaled(world, rows):
    rows.X = rows.X * world.rng.uniform(5, 100) + world.rng.uniform(-100, 100)


def _scaled_twice(world, rows):
    rows.X = rows.X / world.rng.uniform(1, 100) - world.rng.uniform(1, 5)


def _swapped_columns(world, rows):
    rows.X = rows.X[:, ::-1].copy()


def _wrong_labels(world, rows):
    n_classes = world.options["n_classes"]
    rows.codes = (rows.codes + 1) % n_classes
    rows.y = world.labels(rows.codes)


def _wrong_weights(world, rows):
    rows.weight = world.rng.uniform(0, 10, len(rows.codes))


def _no_weights(world, rows):
    rows.weight = None


INVALID = {
    _nan: 1,
    _infinite: 1,
    _fewer_columns: 1,
    _more_labels: 1,
    _unknown_label: 1,
    _negative_weights: 1,
    _no_rows_at_all: 0.5,
}
HOSTILE = {
    _huge_cell: 3,
    _huge_rows: 2,
    _unscaled: 2,
    _scaled_twice: 1,
    _swapped_columns: 1,
    _wrong_labels: 2,
    _wrong_weights: 1,
    _no_weights: 0.5,
}

# Wrong choices of rows of the pool, for an erasure: positions, and whether it must be refused.


def _never_in(world):
    return world.rng.choice(np.flatnonzero(~world.held), 5, False), False


def _twice(world):
    index = _few_rows(world)
    return np.concatenate([index, index]), False


def _all_rows(world):
    return world.kept, True


def _more_than_all(world):
    return np.concatenate([world.kept, _few_rows(world)]), True


WRONG_CHOICES = {_never_in: 2, _twice: 1, _all_rows: 0.5, _more_than_all: 0.5}
EPSILON = {None: 7, "auto": 1, "0.5*auto": 1, 0.3: 0.5, 1.0: 0.5, 1e6: 0.3}
BAD_EPSILON = {0: 1, -1.0: 1, "best": 1, "0*auto": 1}
KIND_OF_ROWS = {"honest": 12, "hostile": 4, "invalid": 2, "wrong choice": 2, "bad epsilon": 0.5}
# Parameters that change the meaning of an erasure if they are set after fit.
OTHER_PARAMETERS = {
    "logistic": [{"fit_intercept": False}, {"fit_intercept": True}, {"C": 50.0}],
    "network": [{"activation": "tanh"}, {"activation": "relu"}, {"solver": "adam"}, {"alpha": 5.0}],
}


def name_of(choice):
    """The name of a choice in the log."""
    return choice.__name__.strip("_").replace("_", " ")


def ask(world, verb):
    """A random `Request` of a verb that changes rows."""
    rng = world.rng
    kind = choose(rng, KIND_OF_ROWS)
    epsilon = choose(rng, EPSILON if kind != "bad epsilon" else BAD_EPSILON)
    request = REQUESTS[verb](world, kind)
    request = replace(request, epsilon=epsilon, by_method=world.is_bare and rng.random() < 0.5)
    usual = world.options["erasure"]["unlearn_epsilon"] if epsilon is None else epsilon
    request.invalid |= kind == "bad epsilon"
    request.honest = request.rows_are_right and isinstance(usual, str) and not request.invalid
    return request


def _spoil(world, rows, kind):
    """Change rows according to their kind; the name of the change, and whether it is refused."""
    if kind not in ("hostile", "invalid") or len(rows.codes) == 0:
        return "", False
    table = HOSTILE if kind == "hostile" else INVALID
    change = choose(world.rng, table)
    rows.X = rows.X.copy()
    change(world, rows)
    filled = change is _nan and "imputer" in world.options["steps"]
    return f", {name_of(change)}", kind == "invalid" and not filled


def _is_changed(kind, text):
    """Whether the rows were made wrong."""
    return kind == "wrong choice" or bool(text)


def _ask_unlearn(world, kind):
    """An erasure."""
    rng = world.rng
    choice = choose(rng, WRONG_CHOICES if kind == "wrong choice" else HONEST)
    index, refused = choice(world) if kind == "wrong choice" else (choice(world), False)
    request = Request("unlearn", name_of(choice), invalid=refused)
    by_groups = kind == "honest" and len(index) and not world.options["multilabel"]
    if by_groups and rng.random() < 0.15:
        index = world.members_of(np.unique(index // 3))
        request.asks_groups = True
        request.about += ", by groups"
    request.forget = rows_of(world, index)
    text, refused = _spoil(world, request.forget, kind)
    request.about += text
    request.invalid |= refused
    request.erased = index
    request.rows_are_right = not _is_changed(kind, text)
    follows = world.options["erasure"]["structure"] in ("auto", "full")
    if world.options["steps"] and rng.random() < (0.3 if follows else 0.05):
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
    text, refused = _spoil(world, rows, kind)
    return Request(
        "learn",
        f"new rows{text}",
        added=rows,
        joined=index,
        rows_are_right=not text,
        invalid=refused,
    )


def _ask_rectify(world, kind):
    """A correction of features and labels of a few rows."""
    index = _few_rows(world)
    old = rows_of(world, index)
    X = old.X + 0.1 * world.rng.normal(size=old.X.shape)
    if world.options["container"] == "float32":
        X = X.astype(np.float32).astype(np.float64)
    joined = world.append(X, old.codes, old.weight)
    new = rows_of(world, joined)
    text, refused = _spoil(world, new, kind)
    old.weight = new.weight
    return Request(
        "rectify",
        f"few rows{text}",
        forget=old,
        added=new,
        erased=index,
        joined=joined,
        rows_are_right=not text,
        invalid=refused,
    )


REQUESTS = {"unlearn": _ask_unlearn, "learn": _ask_learn, "rectify": _ask_rectify}
