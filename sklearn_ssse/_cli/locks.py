"""Locks of files, so that two commands do not change one file at the same time.

The lock of ``m.skops`` is a lock of the operating system on the empty file ``.m.skops.ssse-lock``
beside it. It ends with its process, even if the process is killed. The model file itself cannot
carry the lock, because a command replaces it by another file.
"""

import os
import sys
import time
from contextlib import ExitStack, contextmanager, suppress

from sklearn_ssse._cli.errors import CommandError, file_access
from sklearn_ssse._utils.warnings import warn

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

# How the names of lock files end.
LOCK = "ssse-lock"
# Seconds that a command waits for the locks by default.
WAIT_SECONDS = 60
# Seconds between two attempts to obtain a lock.
POLL_SECONDS = 0.05
# A symbolic link at the path of a lock file is not followed.
NO_LINK = getattr(os, "O_NOFOLLOW", 0)


@contextmanager
def locked(written, read=(), wait=WAIT_SECONDS):
    """Hold an exclusive lock of every file to write, and a shared lock of every file to read.

    Yields whether every file to write has its lock.

    Parameters
    ----------
    written, read : collection of Path
        Resolved paths. The files need not exist, their folders must. A path may be in both.
    wait : float
        Seconds to wait for all locks together.

    Raises
    ------
    CommandError
        If another command held a lock for longer than ``wait``, or if no lock file can be made
        beside a file to write.

    Warns
    -----
    ErasureWarning
        If the file system of a file to write has no locks.
    """
    deadline = time.monotonic() + max(wait, POLL_SECONDS)  # at least two attempts
    is_locked = True
    with ExitStack() as stack:
        # All commands obtain their locks in the same order, so that no two wait for each other.
        for path in sorted({*written, *read}):
            shared = path not in written
            handle, works = _obtain(path, shared, wait, deadline)
            if handle is not None:
                stack.callback(_release, handle, lock_file(path))
            is_locked &= works or shared
        yield is_locked


def in_use(path, reading_counts=False):
    """Whether a command is writing the file, or also reading it; true if that cannot be tested."""
    try:
        handle = os.open(lock_file(path), os.O_RDONLY | NO_LINK)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        return not _try_lock(handle, shared=not reading_counts)
    except OSError:  # a file system without locks
        return True
    finally:
        os.close(handle)


def lock_file(path):
    """The file beside ``path`` that carries its lock."""
    return path.with_name(f".{path.name}.{LOCK}")


def _obtain(path, shared, wait, deadline):
    """Descriptor of the lock file, and whether it carries the lock.

    None and False if no lock file can be made beside a file to read.
    """
    file = lock_file(path)
    is_waiting = False
    while True:
        handle = None
        # Without a lock of the input, its hash still shows whether it changed meanwhile.
        with suppress(OSError) if shared else file_access(path, "write"):
            handle = _open(file)
        if handle is None:
            return None, False
        try:
            is_locked = _try_lock(handle, shared)
        except OSError:
            if not shared:
                warn(
                    f"{path} must not be written by two commands at the same time, got a file "
                    "system without locks. Run one command after the other."
                )
            return handle, False
        # Another command may have removed the lock file after it was opened here.
        if is_locked and _is_at(handle, file):
            return handle, True
        os.close(handle)
        if time.monotonic() >= deadline:
            must = f"{path} must not be in use by another command"
            found = f"got one that was still at work after {wait:g} seconds"
            raise CommandError(f"{must}, {found}. Run the command again, or raise --wait.")
        if not is_waiting:
            message = f"{path} is in use by another command; waiting for at most {wait:g} seconds"
            print(message, file=sys.stderr)
        is_waiting = True
        time.sleep(POLL_SECONDS)


def _open(file):
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT | NO_LINK, 0o666)
    except PermissionError:
        if not file.exists():
            raise
        return os.open(file, os.O_RDONLY | NO_LINK)  # a lock file of another user


def _try_lock(handle, shared):
    """Whether the lock was free; OSError if the file system has no locks."""
    if sys.platform == "win32":
        os.lseek(handle, 0, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # always exclusive
        except OSError:
            return False
        return True
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(handle, file):
    """Whether the open file is still the file at this path."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(file))
    except FileNotFoundError:
        return False


def _release(handle, file):
    """Remove the lock file, unless other commands share its lock, and end the lock.

    A command that waits for the lock of the removed file finds that the path has no file, or
    another one, and opens that.
    """
    if sys.platform == "win32":  # which refuses to remove a file that a process has open
        os.close(handle)
        with suppress(OSError):
            file.unlink()
        return
    try:
        is_alone = _try_lock(handle, shared=False) and _is_at(handle, file)
    except OSError:  # a file system without locks
        is_alone = True
    with suppress(OSError):
        if is_alone:
            file.unlink()
    os.close(handle)
