"""The choice of a structure, and the check that it fits into memory."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from sklearn_ssse._inverse.base import AbstractInverse, Shapes
from sklearn_ssse._utils.memory import available_bytes, readable
from sklearn_ssse.exceptions import ErasureError

# Largest dense block, in parameters, that "auto" chooses: 128 MB, factorised in about a second.
DENSE_PARAMETERS = 4000
# The same limit for "full" on a network of several layers. There "block" is as close to retraining,
# and is built faster than the network is trained.
DENSE_NETWORK_PARAMETERS = 1000
# Peak memory of a build, as a multiple of the inverse, plus bytes for a chunk of rows.
PEAK_FACTOR = 3
PEAK_EXTRA_BYTES = 2 * 10**8
# The options that determine the size of an inverse.
SIZE_OPTIONS = ("block_size", "rank")

Inverses: TypeAlias = Mapping[str, type[AbstractInverse]]
Options: TypeAlias = dict[str, Any]


def choose_structure(
    inverses: Inverses, structure: str, shapes: Shapes, options: Options
) -> tuple[str, Options]:
    """Resolve ``structure="auto"`` and check the options and the memory.

    "auto" considers only structures that have every option that was given. It takes the first of
    these that is small enough, and whose build fits into half of the available memory:

    1. "full" for at most ``DENSE_PARAMETERS`` parameters, or ``DENSE_NETWORK_PARAMETERS`` in
       several layers;
    2. "block" if no output has more than ``DENSE_PARAMETERS`` parameters;
    3. "low_rank";
    4. "diagonal".

    A given ``block_size`` or ``rank`` overrides the limits on parameters. If none fits, "auto"
    takes the last one.

    Parameters
    ----------
    inverses : dict of str to AbstractInverse
        The structures by name.
    structure : str
        Key of ``inverses``, or "auto".
    shapes : list of (int, int)
        Shape of the parameter matrix of each layer.
    options : dict
        The estimator's parameters that are options of any structure; None or "auto" if not given.

    Returns
    -------
    structure : str
        Key of ``inverses``.
    options : dict
        The given options of the structure.

    Raises
    ------
    ErasureError
        If an option was given that the structure does not have, or if the build needs more memory
        than is available.
    """
    given = {name: value for name, value in options.items() if value not in (None, "auto")}
    free = available_bytes()
    if structure == "auto":
        structure = _automatic(inverses, shapes, given, free)
    for name in given:
        if name not in inverses[structure].options:
            owners = [repr(other) for other in inverses if name in inverses[other].options]
            raise ErasureError(
                f"{name} must be given with structure {' or '.join(owners)} only, got "
                f"{name}={given[name]!r} with structure={structure!r}. Omit {name}, or choose that "
                "structure."
            )
    _check_memory(inverses, structure, shapes, given, free)
    return structure, given


def _automatic(inverses: Inverses, shapes: Shapes, given: Options, free: float) -> str:
    """Name of the structure for "auto" with the free bytes, see `choose_structure`."""
    candidates = [name for name in inverses if set(given) <= set(inverses[name].options)]
    d = sum(n_outputs * width for n_outputs, width in shapes)
    small_enough = {
        "full": d <= (DENSE_PARAMETERS if len(shapes) == 1 else DENSE_NETWORK_PARAMETERS),
        "block": max(width for _, width in shapes) <= DENSE_PARAMETERS,
    }
    for name in candidates:
        allowed = bool(sizes(given)) or small_enough.get(name, True)
        if allowed and _peak_bytes(inverses[name], shapes, given) <= free / 2:
            return name
    return candidates[-1] if candidates else next(iter(inverses))


def sizes(options: Options) -> Options:
    """Select the options that determine the size of an inverse."""
    return {name: value for name, value in options.items() if name in SIZE_OPTIONS}


def _peak_bytes(inverse: type[AbstractInverse], shapes: Shapes, options: Options) -> int:
    """Peak memory of a build in bytes."""
    return PEAK_FACTOR * inverse.bytes_needed(shapes, **sizes(options)) + PEAK_EXTRA_BYTES


def _check_memory(
    inverses: Inverses, structure: str, shapes: Shapes, given: Options, free: float
) -> None:
    """Raise an error if the build of the structure needs more bytes than are free."""
    needed = _peak_bytes(inverses[structure], shapes, given)
    if needed <= free:
        return
    fitting = [
        repr(name)
        for name in inverses
        if name != structure and _peak_bytes(inverses[name], shapes, {}) <= free
    ]
    advice = f"Choose structure {' or '.join(fitting)}." if fitting else "Use fewer features."
    raise ErasureError(
        f"The curvature must fit into the available memory of {readable(free)}, got "
        f"structure={structure!r} for {sum(n * w for n, w in shapes)} parameters, which takes "
        f"{readable(needed)} to build. {advice}"
    )
