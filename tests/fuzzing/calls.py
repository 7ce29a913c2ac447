"""The calls of the library: a verb as a function or as a method, its preview, and copies."""

import copy
import importlib.util
import io
import pickle
from contextlib import contextmanager
from functools import partial

import joblib
import numpy as np

import sklearn_ssse
from sklearn_ssse import TRUSTED_TYPES
from tests.fuzzing.data import contained


def run(model, request, given):
    """Make the call of a request on a model, with the arguments that `arguments` returned."""
    args, params = given
    with _parameters(model, request.other_parameters):
        _verb(model, request, request.verb)(*args, request.epsilon, **params)


def preview(world, request):
    """The records of the preview of a request as a list; None if its verb has no preview."""
    name = f"preview_{request.verb}"
    if not hasattr(sklearn_ssse, name):
        return None
    args, params = arguments(world, request)
    with _parameters(world.model, request.other_parameters):
        out = _verb(world.model, request, name)(*args, request.epsilon, **params)
    return out if isinstance(out, list) else [out]


def _verb(model, request, name):
    """A verb as a method of the model, or as a function of its other arguments."""
    if request.by_method and not (request.asks_groups or request.options):
        return getattr(model, name)
    return partial(getattr(sklearn_ssse, name), model)


@contextmanager
def _parameters(model, others):
    """Set other parameters of a model for a block."""
    before = {name: getattr(model, name) for name in others}
    for name, value in others.items():
        setattr(model, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(model, name, value)


def arguments(world, request):
    """Positional arguments before eps, and keywords, in the containers of the sequence."""
    sides = [rows for rows in (request.forget, request.added) if rows is not None]
    if request.asks_groups:
        return _by_groups(world, request)
    container = "array" if request.as_array else world.options["container"]
    args = []
    for rows in sides:
        args += [None if rows.X is None else contained(rows.X, container), rows.y]
    params = dict(request.options)
    if sides[-1].weight is not None:
        params["sample_weight"] = sides[-1].weight
    if world.needs_positions and request.verb == "unlearn":
        params["positions"] = positions(world, request.forget.positions)
    return args, params


def positions(world, index):
    """Positions of rows in the data of `fit`; rows that were not in it get others."""
    return np.where(index < world.n_fit, index, world.n_fit - 1 - index % world.n_fit)


def _by_groups(world, request):
    """All rows that the model holds, their groups, and the groups to erase."""
    kept = world.kept
    ids = world.groups
    params = {
        **request.options,
        "groups": ids[kept],
        "forget": sorted(set(ids[request.erased])),
    }
    if world.weight is not None:
        params["sample_weight"] = world.weight[kept]
    if world.needs_positions:
        params["positions"] = kept
    return [world.contained(world.X[kept]), world.labels(world.codes[kept])], params


# Copies


def _through_pickle(model):
    """A model from a pickle."""
    return pickle.loads(pickle.dumps(model))


def _through_joblib(model):
    """A model from a file of joblib."""
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


def _through_skops(model):
    """A model from a file of skops, or of pickle if skops is not installed."""
    if importlib.util.find_spec("skops") is None:
        return _through_pickle(model)
    import skops.io

    return skops.io.loads(skops.io.dumps(model), trusted=TRUSTED_TYPES)


COPIES = {
    "pickle": _through_pickle,
    "joblib": _through_joblib,
    "skops": _through_skops,
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}
