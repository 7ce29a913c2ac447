"""Which structure, and whether there is memory for it."""

from sklearn_ssse._utils.memory import available_bytes, readable
from sklearn_ssse.exceptions import ErasureError

# A dense block of more parameters than this is not chosen automatically: 128 MB, and a factorisation of a second or so.
WIDEST = 4000
# Of a net fewer: its blocks come as close to retraining, and take less time to build than the net to train.
WIDEST_NET = 1000
# A build takes this many times what it keeps, and so much for a chunk of rows.
PEAK_FACTOR = 3
PEAK_EXTRA = 2 * 10**8


def choose_structure(inverses, structure, shapes, options):
    """Name of the structure and its options.

    "auto" takes the structure that an option which was given belongs to. Otherwise: "full" up to ``WIDEST`` parameters, of several layers
    up to ``WIDEST_NET``, "block" where the widest output unit has at most ``WIDEST``, then "low_rank", each if it fits into half of the
    memory that is available; "diagonal" where nothing else does.

    Parameters
    ----------
    inverses : dict of str to AbstractInverse
    structure : str
    shapes : list of (int, int)
        Shape of the parameter matrix of each layer.
    options : dict
        The estimator's parameters that are options of some structure; None or "auto" if not given.

    Returns
    -------
    structure : str
    options : dict
        Those of the structure.

    Raises
    ------
    ErasureError
        If an option was given that the structure does not have, or there is no memory for it.
    """
    given = {name: value for name, value in options.items() if value not in (None, "auto")}
    if structure == "auto":
        structure = _automatic(inverses, shapes, given)
    for name in given:
        if name not in inverses[structure].options:
            owners = " or ".join(
                repr(other) for other in inverses if name in inverses[other].options
            )
            raise ErasureError(
                f"{name} belongs to structure {owners}, got {name}={given[name]!r} with structure={structure!r}. Leave {name} out, or "
                "choose that structure."
            )
    own = {name: value for name, value in given.items() if name in inverses[structure].options}
    _check_memory(inverses, structure, shapes, own)
    return structure, own


def _automatic(inverses, shapes, given):
    candidates = [
        name for name in inverses if all(option in inverses[name].options for option in given)
    ]
    d, widest = sum(count * width for count, width in shapes), max(width for _, width in shapes)
    narrow = {"full": d <= (WIDEST if len(shapes) == 1 else WIDEST_NET), "block": widest <= WIDEST}
    for name in candidates:
        explicit = "block_size" in given or "rank" in given
        if (explicit or narrow.get(name, True)) and _peak(
            inverses[name], shapes, given
        ) <= available_bytes() / 2:
            return name
    return candidates[-1] if candidates else next(iter(inverses))


def sizes(options):
    """The options that decide about the bytes."""
    return {name: value for name, value in options.items() if name in ("block_size", "rank")}


def _peak(inverse, shapes, given):
    own = {name: value for name, value in given.items() if name in inverse.options}
    return PEAK_FACTOR * inverse.bytes_needed(shapes, **sizes(own)) + PEAK_EXTRA


def _check_memory(inverses, structure, shapes, given):
    free = available_bytes()
    needed = _peak(inverses[structure], shapes, given)
    if needed <= free:
        return
    fitting = [
        repr(name)
        for name in inverses
        if name != structure and _peak(inverses[name], shapes, {}) <= free
    ]
    raise ErasureError(
        f"The curvature must fit into memory, got structure={structure!r} for {sum(n * w for n, w in shapes)} parameters, which takes "
        f"{readable(needed)} to build where {readable(free)} are free. "
        + (f"Choose structure {' or '.join(fitting)}." if fitting else "Use fewer features.")
    )
