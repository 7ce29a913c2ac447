"""The machine on which a script runs, for the line above its tables."""

import platform
from pathlib import Path


def processor():
    """Name of the processor, or of its architecture if the system has no name."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
