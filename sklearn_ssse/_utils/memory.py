"""How much memory there is, before it is taken."""

import os
from pathlib import Path

FEW = 2**24


def available_bytes():
    """Memory that this process can still take, in bytes; infinity where the system does not tell."""
    found = [_meminfo(), _cgroup()]
    if found[0] is None and hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        found.append(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min((value for value in found if value is not None), default=float("inf"))


def fits(n_bytes):
    """Whether so many bytes can be taken; few always, as asking takes longer than to use them."""
    return n_bytes <= FEW or n_bytes <= available_bytes()


def _meminfo():
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    return None


def _cgroup():
    """What is left of the limit of a container."""
    limit, used = (
        _read("/sys/fs/cgroup/memory.max").strip(),
        _read("/sys/fs/cgroup/memory.current").strip(),
    )
    return int(limit) - int(used) if limit.isdigit() and used.isdigit() else None


def _read(path):
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def readable(n_bytes):
    """A number of bytes in words."""
    for unit in ("bytes", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.3g} GB"
