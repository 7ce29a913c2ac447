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
# Bytes of a chunk of rows during a build.
PEAK_EXTRA_BYTES = 2 * 10**8
# The options that determine the size of an inverse.
SIZE_OPTIONS = ("block_size", "rank")

Inverses: TypeAlias = Mapping[str, type[AbstractInverse]]
Options: TypeAlias = dict[str, Any]


def choose_structure(
    inverses: Inverses, structure: str, shapes: Shapes, options: Options, n_rows: int = 0
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
    n_rows : int, default=0
        Number of curvature rows, which determines the size of a structure that keeps them.

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
    _check_memory(inverses, structure, shapes, given, n_rows, free)
    return structure, given


def _automatic(inverses: Inverses, shapes: Shapes, given: Options, free: float) -> str:
    """Name of the structure for "auto" with the free bytes, see `choose_structure`."""
    candidates = [
        name
        for name, inverse in inverses.items()
        if set(given) <= set(inverse.options) and inverse.is_automatic
    ]
    d = sum(n_outputs * width for n_outputs, width in shapes)
    small_enough = {
        "full": d <= (DENSE_PARAMETERS if len(shapes) == 1 else DENSE_NETWORK_PARAMETERS),
        "block": max(width for _, width in shapes) <= DENSE_PARAMETERS,
    }
    for name in candidates:
        allowed = bool(sizes(inverses[name], given, 0)) or small_enough.get(name, True)
        if allowed and _peak_bytes(inverses[name], shapes, given, 0) <= free / 2:
            return name
    return candidates[-1] if candidates else next(iter(inverses))


def sizes(inverse: type[AbstractInverse], options: Options, n_rows: int) -> Options:
    """Keywords of `AbstractInverse.bytes_needed`: options, and the number of rows it keeps."""
    chosen = {name: value for name, value in options.items() if name in SIZE_OPTIONS}
    return {**chosen, "n_rows": n_rows} if inverse.keeps_rows else chosen


def _peak_bytes(
    inverse: type[AbstractInverse], shapes: Shapes, options: Options, n_rows: int
) -> int:
    """Peak memory of a build in bytes."""
    return inverse.peak_bytes(shapes, **sizes(inverse, options, n_rows)) + PEAK_EXTRA_BYTES


def _check_memory(
    inverses: Inverses,
    structure: str,
    shapes: Shapes,
    given: Options,
    n_rows: int,
    free: float,
) -> None:
    """Raise an error if the build of the structure needs more bytes than are free."""
    needed = _peak_bytes(inverses[structure], shapes, given, n_rows)
    if needed <= free:
        return
    fitting = [
        repr(name)
        for name, inverse in inverses.items()
        if name != structure and _peak_bytes(inverse, shapes, {}, n_rows) <= free
    ]
    advice = f"Choose structure {' or '.join(fitting)}." if fitting else "Use fewer features."
    size = f"{sum(n * w for n, w in shapes)} parameters"
    if inverses[structure].keeps_rows:
        size += f" and {n_rows} curvature rows"
        advice += " A larger fisher_batch_size makes fewer rows."
    raise ErasureError(
        f"The curvature must fit into the available memory of {readable(free)}, got "
        f"structure={structure!r} for {size}, which takes {readable(needed)} to build. {advice}"
    )
