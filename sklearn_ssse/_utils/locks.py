"""One lock for each object, so that threads change it one after the other.

The locks are kept outside of the objects: no clone, copy, pickle or file of an object holds one.
"""

import os
import threading
import weakref
from collections import deque
from functools import partial, wraps

RLock = type(threading.RLock())
# By the id of an object: its lock, and a reference that deletes the entry together with the object.
_entries: dict = {}

if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    # Another thread may hold a lock at the fork. It does not run in the child and never frees it.
    os.register_at_fork(after_in_child=_entries.clear)


def exclusive(objects):
    """Decorate a function so that no other thread changes the same objects during a call.

    The locks are acquired in the order of the ids of the objects, so that of two calls at most one
    waits for the other. A thread that holds a lock may acquire it again.

    Parameters
    ----------
    objects : callable
        Given the first argument of the function, returns the objects to lock, each once.

    Returns
    -------
    callable
        The decorator.
    """

    def decorate(function):
        name = function.__code__.co_varnames[0]

        @wraps(function)
        def locked(*args, **kwargs):
            first = args[0] if args else kwargs.get(name)
            locks = [_lock(each) for each in sorted(objects(first), key=id)]
            held = []
            release = map(RLock.release, held)
            # Ctrl-C is handled between two calls of the interpreter. One call acquires the locks
            # and lists them, and one call releases them: no lock is acquired and not listed.
            try:
                held.extend(filter(RLock.acquire, locks))
                return function(*args, **kwargs)
            finally:
                deque(release, 0)

        return locked

    return decorate


def itself(each):
    """The object alone, for `exclusive`."""
    return (each,)


def _lock(each):
    """The lock of an object."""
    key = id(each)
    entry = _entries.get(key)
    if entry is None:
        # The callback is no Python code: Ctrl-C during it would be lost.
        reference = weakref.ref(each, partial(_entries.pop, key))
        # Of two threads that get here at once, both take the entry of the first.
        entry = _entries.setdefault(key, (RLock(), reference))
    return entry[0]
