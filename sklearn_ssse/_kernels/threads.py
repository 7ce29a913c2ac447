"""Run independent jobs, each a few matrix products, in threads.

BLAS does not divide a narrow product among its threads. The jobs run at the same time instead, each
on one thread of BLAS.
"""

import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController

from sklearn_ssse._utils.chunks import slices

# Floating-point operations of a job above which a thread of its own saves time.
THREAD_OPERATIONS = 1e7


@cache
def _blas() -> ThreadpoolController:
    """Return the controller of the BLAS libraries that are loaded."""
    return ThreadpoolController().select(user_api="blas")


def each(function: Callable[[Any], None], jobs: Sequence[Any], operations: float) -> None:
    """Call ``function(job)`` for every job, in threads if the jobs are large enough.

    Parameters
    ----------
    function : callable
        Called with one job. Two calls must not write to the same memory.
    jobs : sequence
        Arguments of the calls.
    operations : float
        Floating-point operations of one call, roughly.
    """
    threads = 1
    if operations >= THREAD_OPERATIONS and len(jobs) > 1:
        blas_threads = (library.num_threads for library in _blas().lib_controllers)
        threads = min(len(jobs), max(blas_threads, default=1))
    if threads == 1:
        for job in jobs:
            function(job)
        return
    with one_thread(), ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(function, jobs):
            pass


def each_some(function: Callable[[slice], None], n_blocks: int, operations: float) -> None:
    """Call ``function(slice)`` for groups of blocks, each group large enough for a thread.

    Parameters
    ----------
    function : callable
        Called with the slice of one group. Two calls must not write to the same memory.
    n_blocks : int
        Number of blocks that the slices cover.
    operations : float
        Floating-point operations for one block, roughly.
    """
    step = max(1, math.ceil(THREAD_OPERATIONS / max(operations, 1)))
    each(function, list(slices(n_blocks, step)), step * operations)


@contextmanager
def one_thread() -> Iterator[None]:
    """Context in which BLAS uses one thread.

    In a sequence of small products, waiting for a second thread costs more time than it saves. The
    limit holds for the whole process; the last of several threads to exit the context removes it.
    """
    with _Limit.lock:
        if _Limit.depth == 0:
            _Limit.limiter = _blas().limit(limits=1)
        _Limit.depth += 1
    try:
        yield
    finally:
        with _Limit.lock:
            _Limit.depth -= 1
            if _Limit.depth == 0:
                _Limit.limiter.restore_original_limits()


class _Limit:
    """State of `one_thread` that the threads of the process share."""

    lock = threading.Lock()
    depth = 0  # threads inside the context
    limiter: Any = None


def _without_other_threads() -> None:
    """In a forked child, end the limit of the threads that do not run in it."""
    _Limit.lock = threading.Lock()
    if _Limit.depth:
        _Limit.depth = 0
        _Limit.limiter.restore_original_limits()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_without_other_threads)
