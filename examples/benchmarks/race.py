"""The race: this library, related methods and packages, against converged retraining.

``python examples/benchmarks/race.py`` erases 1, 10 and 1,000 random rows from logistic regressions
of Adult, Covertype (two and seven classes), Census KDD and Fashion-MNIST. For each method it
measures

- the time to prepare, with the trained parameters given, and to erase,
- the memory that both take beyond the training rows, at the peak,
- the distance ratio ||erased - retrained|| / ||original - retrained|| in the Euclidean norm and in
  the norm of the Hessian of the retained rows: 0 is perfect, 1 is no better than doing nothing,
- gamma_S by probabilities, and the gaps of accuracy on forget and test rows.

Each method runs on one core in a process of its own, and the processes of the methods alternate in
rounds; times are medians of CPU times. A method that passes the limit of time or memory, or that
cannot do a task, is left out with the reason. ``--quick`` runs one small task. ``--write`` stores
the results in ``results/race.json`` and writes the tables of ``docs/race.md`` and its picture.
"""

import argparse
import datetime
import importlib.util
import json
import math
import os
import platform
import signal
import subprocess
import sys
import tempfile
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from machine import processor
from race_data import CARRIERS, TASKS, quick_adult
from race_methods import PIP, methods
from race_page import tables, write_page
from race_truth import SIZES, TOL, C, Truth, write_task

RESULTS = Path(__file__).parent / "results" / "race.json"
# Limits of one process: CPU seconds, and GB of address space.
MAX_SECONDS = 600
MAX_GB = 12
# Limit of the duration of a process, as a multiple of the limit of its CPU time.
PATIENCE = 2.5
# A method whose process takes longer than this, in seconds, runs in one round only.
SLOW = 20
PACKAGES = (
    "numpy scipy scikit-learn torch pyDVL curvlinops-for-pytorch pyinfluence statsmodels erasus"
)
ONE_CORE = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "OMP", "MKL", "NUMBA")}


def setting(rounds, max_seconds):
    """Where, when and how the race ran."""
    versions = {}
    for name in PACKAGES.split():
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions,
        "C": C,
        "solver": "Newton's method",
        "tolerance": TOL,
        "clock": "CPU times",
        "rounds": rounds,
        "slow": SLOW,
        "max seconds": max_seconds,
        "max duration": PATIENCE * max_seconds,
        "max GB": MAX_GB,
    }


def limit_process(max_seconds):
    """Limit the address space and the CPU time of a process that is about to start."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MAX_GB * 2**30, MAX_GB * 2**30))
    seconds = math.ceil(max_seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))


def empty_report(reasons):
    """The report of a method that measured nothing."""
    return {"prepare": None, "memory": None, "erase": {}, "left out": reasons, "seconds": 0.0}


def run_method(name, folder, out, max_seconds):
    """Run one process; return its report, with the reason of everything that is missing."""
    begun = datetime.datetime.now()
    path = Path(f"{out}.json")
    path.unlink(missing_ok=True)
    failure = None
    too_long = "longer than the limit of time"
    try:
        subprocess.run(
            [sys.executable, Path(__file__).parent / "race_child.py", folder, name, out],
            env=os.environ | ONE_CORE,
            stderr=subprocess.PIPE,
            text=True,
            check=True,
            timeout=PATIENCE * max_seconds,
            preexec_fn=partial(limit_process, max_seconds),
        )
    except subprocess.TimeoutExpired:
        failure = too_long
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip() or "no message").splitlines()[-1]
        failure = f"exit code {error.returncode}: {last[:200]}"
        if -error.returncode == signal.SIGXCPU:
            failure = too_long
    report = json.loads(path.read_text()) if path.exists() else empty_report({})
    if failure:
        reached = report["erase"]
        report["left out"] |= {str(s): failure for s in SIZES if str(s) not in reached}
    report["seconds"] = (datetime.datetime.now() - begun).total_seconds()
    return report


def missing_package(method):
    """The package of a peer that is not installed; None for every other method."""
    package = getattr(method, "package", None)
    return package if package and importlib.util.find_spec(package) is None else None


def race_task(name, folder, rounds, max_seconds, names):
    """The rows of the table of one task."""
    truth = Truth(folder)
    described = methods()
    out = folder / "out"
    out.mkdir(exist_ok=True)
    reports = {method: [] for method in names}
    measures = {}
    for i in range(rounds):
        for position, method in enumerate(names):
            if i and (reports[method][0]["seconds"] > SLOW or not reports[method][0]["erase"]):
                continue
            stem = out / f"{position}_{i}"
            package = missing_package(described[method])
            if package:
                report = empty_report({"all": f"{package} is not installed: {PIP}"})
            else:
                report = run_method(method, folder, stem, max_seconds)
            reports[method].append(report)
            if i == 0:
                measures[method] = measured(truth, stem, reports[method][0])
                print(f"{name}, {method}: {reports[method][0]}", flush=True)
    return {
        **truth.task,
        "methods": {
            method: combined(reports[method], measures[method], described[method])
            for method in names
        },
    }


def measured(truth, stem, report):
    """Measures of each size that a process reached, by size."""
    found = {}
    for size in report["erase"]:
        with np.load(f"{stem}_{size}.npz") as file:
            theta = file.get("theta")
            found[size] = truth.measures(int(size), theta, file["forget"], file["test"])
    return found


def combined(reports, measures, method):
    """Medians over the rounds, with the measures of the first."""
    first = reports[0]
    done = [report for report in reports if report["erase"]]
    return {
        "reference": method.reference,
        "needs rows": method.needs_rows,
        "free scale": getattr(method, "free_scale", False),
        "own ratio": first.get("own"),
        "rounds": len(reports),
        "prepare": float(np.median([r["prepare"] for r in done])) if done else None,
        "memory": float(np.median([r["memory"] for r in done])) if done else None,
        "erase": {
            size: float(np.median([r["erase"][size] for r in done if size in r["erase"]]))
            for size in first["erase"]
        },
        "measures": measures,
        "left out": first["left out"],
    }


def arguments():
    """The parsed command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one small task, one round")
    parser.add_argument("--task", action="append", choices=list(TASKS), help="default: all")
    parser.add_argument("--method", action="append", choices=list(methods()), help="default: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=MAX_SECONDS, help="CPU seconds of a process")
    parser.add_argument("--folder", type=Path, help="keep the data and converged models here")
    parser.add_argument("--write", action="store_true", help="store results, write the page")
    return parser.parse_args()


def main():
    args = arguments()
    tasks = TASKS
    if args.quick:
        tasks = {"Adult, 3,000 rows": quick_adult}
    elif args.task:
        tasks = {name: TASKS[name] for name in args.task}
    rounds = 1 if args.quick else args.rounds
    results = {"setting": setting(rounds, args.limit), "tasks": {}, "not found": {}}
    with tempfile.TemporaryDirectory() as temporary:
        for name, load in tasks.items():
            folder = (args.folder or Path(temporary)) / name.replace(",", "").replace(" ", "_")
            if not write_task(name, load, folder):
                results["not found"][name] = CARRIERS[name.split(",")[0]]
                continue
            names = args.method or list(methods())
            found = race_task(name, folder, rounds, args.limit, names)
            results["tasks"][name] = found | {"setting": results["setting"]}
            if args.write:
                store(results, keep=args.task)
    print(tables(results))


def store(results, keep):
    """Write the results and the page; with `keep`, the stored results of other tasks remain."""
    stored = dict(results)
    if keep and RESULTS.exists():
        earlier = json.loads(RESULTS.read_text())["tasks"] | results["tasks"]
        stored["tasks"] = {name: earlier[name] for name in TASKS if name in earlier}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(stored, indent=1) + "\n")
    write_page(stored)


if __name__ == "__main__":
    main()
