"""Independent jobs that are products of matrices, over threads.

Products too narrow for BLAS to divide run one on each of its threads instead.
"""

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

from sklearn_ssse._utils.chunks import slices
from sklearn_ssse._utils.compat import threadpool_controller

# Operations of a job from which it is worth starting threads for.
WORTH_A_THREAD = 1e7


@cache
def _blas():
    return threadpool_controller().select(user_api="blas")


def each(function, jobs, operations):
    """Call ``function(job)`` for every job; each takes about so many ``operations``. The jobs must not share what they write."""
    threads = 1
    if operations >= WORTH_A_THREAD and len(jobs) > 1:
        threads = min(
            len(jobs), max((library.num_threads for library in _blas().lib_controllers), default=1)
        )
    if threads == 1:
        for job in jobs:
            function(job)
        return
    with one_thread(), ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(function, jobs):
            pass


def each_some(function, n_blocks, operations):
    """Call ``function(slice)`` for as many of the blocks at a time as are worth a thread; each takes about so many ``operations``."""
    step = max(1, math.ceil(WORTH_A_THREAD / max(operations, 1)))
    each(function, list(slices(n_blocks, step)), step * operations)


@contextmanager
def one_thread():
    """Context in which BLAS runs on one thread: for small products in a row, the waiting of a second costs more than it does.

    The limit is that of the process, so the last of several threads that are inside takes it back.
    """
    with _Limit.lock:
        if _Limit.depth == 0:
            _Limit.held = _blas().limit(limits=1)
        _Limit.depth += 1
    try:
        yield
    finally:
        with _Limit.lock:
            _Limit.depth -= 1
            if _Limit.depth == 0:
                _Limit.held.restore_original_limits()


class _Limit:
    lock, depth, held = threading.Lock(), 0, None
