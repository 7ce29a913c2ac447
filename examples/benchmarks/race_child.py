"""One method on one task, in a process of its own; `race.py` starts it.

``python race_child.py FOLDER METHOD OUT`` writes ``OUT.json`` with times and memory, and
``OUT_SIZE.npz`` with the erased parameters and predictions. It writes each file as soon as it has
the numbers, so that a process that is ended at its limit leaves the earlier ones.
"""

import contextlib
import json
import resource
import sys
import warnings
from pathlib import Path

import numpy as np
from race_methods import methods
from race_truth import C, forget_sets

# Rows of the small model by which code is imported and compiled before times are taken.
WARM_UP_ROWS = 400
# An erasure faster than this, in seconds, is timed `REPEATS` times, on copies.
FAST = 0.05
REPEATS = 11
CLEAR_PEAK = Path("/proc/self/clear_refs")


def peak():
    """Largest memory of the process so far, MB."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def restart_peak():
    """Let `peak` begin anew, if the system can; return the memory of now, MB."""
    with contextlib.suppress(OSError):
        CLEAR_PEAK.write_text("5")
    return peak()


def cpu_seconds():
    """CPU time of the process so far.

    In a process with a limit of CPU time, Linux gives `time.process_time` in steps of 4 ms.
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def seconds_of(function, *args):
    """CPU time of one call, which other work on the machine changes less than its duration."""
    begun = cpu_seconds()
    function(*args)
    return cpu_seconds() - begun


def prepared(method, X, y, theta):
    """Prepare a method; return the memory before its own part, MB, and the seconds of this part."""
    own = method._prepare
    measured = []

    def measure():
        measured.append(restart_peak())
        measured.append(seconds_of(own))

    method._prepare = measure
    try:
        method.prepare(X, y, C=C, theta=theta)
    finally:
        del method._prepare
    return measured


def warm_up(method, X, y, theta):
    """Import and compile everything on a small model."""
    rows = np.random.default_rng(1).choice(len(y), min(len(y), WARM_UP_ROWS), replace=False)
    rows = np.union1d(rows, np.unique(y, return_index=True)[1])
    with contextlib.suppress(Exception):  # a small model may be singular
        prepared(method, X[rows], y[rows], theta)
        method.copy().erase([0])


def erasures(method, X, y, X_test, before, out, report):
    """Erase each forget set from a copy, and write times and predictions."""
    for size, index in forget_sets(len(y)).items():
        try:
            trial = method.copy()
            times = [seconds_of(trial.erase, index)]
            while times[0] < FAST and len(times) < REPEATS:
                times.append(seconds_of(method.copy().erase, index))
        except Exception as error:
            report["left out"][size] = f"{type(error).__name__}: {error}"
        else:
            if report["memory"] is None:  # before predictions, which need memory in any case
                report["memory"] = peak() - before
            report["erase"][size] = float(np.median(times))
            found = {"forget": trial.predict_proba(X[index]), "test": trial.predict_proba(X_test)}
            if trial.theta is not None:
                found["theta"] = trial.theta
            np.savez(f"{out}_{size}.npz", **found)
        Path(f"{out}.json").write_text(json.dumps(report))


def own_ratio(method, index):
    """Distance ratio to the method's own retraining, Euclidean; None if it has none."""
    retrained = method.own_retraining(index)
    if retrained is None:
        return None
    erased = method.copy().erase(index).theta
    return float(np.linalg.norm(erased - retrained) / np.linalg.norm(method.theta - retrained))


def main(folder, name, out):
    """Measure one method."""
    X, y, X_test, theta = (np.load(f"{folder}/{key}.npy") for key in ("X", "y", "X_test", "theta"))
    method = methods()[name]
    report = {"prepare": None, "memory": None, "erase": {}, "left out": {}}
    warm_up(methods()[name], X, y, theta)
    try:
        before, report["prepare"] = prepared(method, X, y, theta)
    except (MemoryError, RuntimeError, ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        report["left out"]["all"] = f"{type(error).__name__}: {str(error)[:200]}"
    else:
        erasures(method, X, y, X_test, before, out, report)
        size, index = next(iter(forget_sets(len(y)).items()))  # the largest
        if size in report["erase"]:
            report["own"] = own_ratio(method, index)
    Path(f"{out}.json").write_text(json.dumps(report))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(*sys.argv[1:])
