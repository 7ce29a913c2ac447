"""Random sequences of calls against the invariants of `tests/fuzzing/invariants.py`.

    python tests/fuzz.py --sequences 20000 --jobs 2        # an hour on two cores
    python tests/fuzz.py --seconds 120 --seed 1
    python tests/fuzz.py --seed 1 --only 678               # the steps of one sequence

A sequence depends on the seed and its index alone. The script prints no cell of the data. Its exit
status is 1 if an invariant is broken.
"""

import argparse
import os
import sys
import time
from collections import Counter, defaultdict
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path

if __name__ == "__main__":
    # Before NumPy reads them: most matrices are so small that several threads would wait for each
    # other.
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.fuzzing.sequence import Sequence

# Sequences that a worker plays at a time.
CHUNK = 20
# Sequences between two lines of progress.
PROGRESS = 500
# Indices that the summary lists for each kind of violation.
MAX_LISTED = 5
OUTCOMES = ("silent", "warned", "refused")


def main(args=None):
    """Play sequences, print the summary, and return the exit status."""
    given = parser().parse_args(args)
    if given.only is not None:
        reports = [Sequence(given.seed, given.only, log=print).play()]
    else:
        print(f"seed {given.seed}", flush=True)
        reports = with_progress(played(given))
    print(summary(reports))
    return int(any(report.broken for report in reports))


def parser():
    """The parser of the command line."""
    out = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    out.add_argument("--seed", type=int, default=0, help="seed of all sequences (default: 0)")
    out.add_argument("--sequences", type=int, default=20000, help="number of sequences at most")
    out.add_argument("--first", type=int, default=0, help="index of the first sequence")
    out.add_argument("--seconds", type=float, default=3600.0, help="time at most (default: 3600)")
    out.add_argument("--jobs", type=int, default=1, help="number of processes (default: 1)")
    out.add_argument("--only", type=int, help="index of one sequence, whose steps are printed")
    return out


def played(given):
    """The reports of the sequences, in any order, until the time is over."""
    end = time.monotonic() + given.seconds
    chunks = [
        range(start, min(start + CHUNK, given.first + given.sequences))
        for start in range(given.first, given.first + given.sequences, CHUNK)
    ]
    if given.jobs == 1:
        for chunk in chunks:
            yield from play(given.seed, chunk, end)
        return
    with ProcessPoolExecutor(given.jobs, mp_context=get_context("spawn")) as pool:
        running = set()
        for chunk in chunks:
            if time.monotonic() > end:
                break
            running.add(pool.submit(play, given.seed, chunk, end))
            if len(running) > given.jobs:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield from future.result()
        for future in running:
            yield from future.result()


def with_progress(reports):
    """The reports as a list; a line on the standard error output for every `PROGRESS` of them."""
    out = []
    for report in reports:
        out.append(report)
        if len(out) % PROGRESS == 0:
            n_broken = sum(bool(report.broken) for report in out)
            print(f"{len(out)} sequences, {n_broken} broken", file=sys.stderr, flush=True)
    return out


def play(seed, indices, end):
    """The reports of some sequences, until the time is over."""
    out = []
    for index in indices:
        if time.monotonic() > end:
            break
        out.append(Sequence(seed, index).play())
    return out


def summary(reports):
    """The numbers of sequences and calls, and the violations by kind."""
    calls = sum((report.calls for report in reports), Counter())
    seconds = [report.seconds for report in reports]
    slowest = max(reports, key=lambda report: report.seconds, default=None)
    lines = [f"{len(reports)} sequences, {calls.total()} calls, {sum(seconds):.0f} s of work"]
    if slowest is not None:
        lines.append(f"slowest: {slowest.index} ({slowest.seconds:.1f} s)")
    lines.append(f"{'call':<16}" + "".join(f"{outcome:>10}" for outcome in OUTCOMES))
    for verb in sorted({verb for verb, _ in calls}):
        lines.append(f"{verb:<16}" + "".join(f"{calls[verb, kind]:>10}" for kind in OUTCOMES))
    lines += violations(reports)
    n_broken = sum(bool(report.broken) for report in reports)
    lines.append(f"{n_broken} of {len(reports)} sequences break an invariant")
    return "\n".join(lines)


def violations(reports):
    """One line for each kind of violation, with the indices of some sequences that show it."""
    kinds = defaultdict(set)
    verbs = defaultdict(set)
    for report in reports:
        for name, verb, text in report.broken:
            kinds[name, text].add(report.index)
            verbs[name, text].add(verb)
    lines = []
    for kind, indices in sorted(kinds.items(), key=lambda item: (item[0][0], -len(item[1]))):
        listed = ", ".join(map(str, sorted(indices)[:MAX_LISTED]))
        where = ", ".join(sorted(verbs[kind]))
        lines.append(f"BROKEN {' | '.join(kind)} | {where} | {len(indices)} sequences: {listed}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
