"""Free memory, which is read before a large array is allocated."""

import os
from pathlib import Path

# Bytes, 16 MiB: smaller allocations are not checked, as the check would take longer than their use.
UNCHECKED_BYTES = 2**24


def available_bytes():
    """Memory that this process can still allocate, in bytes; infinity if it is unknown."""
    found = [_meminfo(), _cgroup()]
    if found[0] is None and hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        found.append(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min((value for value in found if value is not None), default=float("inf"))


def fits(n_bytes):
    """Whether this number of bytes can be allocated."""
    return n_bytes <= UNCHECKED_BYTES or n_bytes <= available_bytes()


def _meminfo():
    """Free memory of the machine in bytes, or None if the system does not report it."""
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    return None


def _cgroup():
    """Free memory of the container in bytes, or None if it has no limit."""
    limit = _read("/sys/fs/cgroup/memory.max").strip()
    used = _read("/sys/fs/cgroup/memory.current").strip()
    return int(limit) - int(used) if limit.isdigit() and used.isdigit() else None


def _read(path):
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def readable(n_bytes):
    """A number of bytes with its unit, such as "12.3 MB"."""
    for unit in ("bytes", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.3g} GB"
