"""Figure 1: rows of one attribute are erased from linear classifiers of many attributes.

For two data sets, a census and images, this script measures gamma_S and the normalised distance to
retraining over the step length eps, for the empirical Fisher information and "fisher", each without
and with leave-out. Usage:

    python examples/paper/figure_1.py --quick
    SSSE_CIFAR10=... OPENBLAS_NUM_THREADS=1 python examples/paper/figure_1.py

`attribute_data.py` names the packages that contain the data; they are not downloaded here. The
script prints tables and writes figure_1.json and a picture of each data set. ``--redraw`` makes the
tables and the pictures of an earlier run.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from attribute_data import DataMissingError, census, images
from attribute_erasure import RATES, measure, rare_attributes
from figure_1_report import draw, environment, save, tables

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "examples" / "paper" / "results"
PICTURES = ROOT / "docs"
LOADERS = {"census": census, "images": images}
N_ROWS = 8000
QUICK_ROWS = 1500
# Number of attributes whose rows are erased; the full setting erases rows of every rare attribute.
QUICK_ATTRIBUTES = 2
QUICK_RATES = (0.1, 0.5, 1.0)


def run(names, n_rows, rates, n_attributes=None):
    """Measure the data sets; one whose files are missing is named and left out.

    Rows of `n_attributes` rare attributes, evenly spaced by prevalence, are erased; None takes all.
    """
    report = {"environment": environment(), "data": {}}
    for name in names:
        start = time.perf_counter()
        try:
            X, Y, attributes = LOADERS[name](n_rows)
        except DataMissingError as error:
            print(f"{name} is left out. {error}")
            continue
        print(f"{name}: {len(X):,} rows, {X.shape[1]} columns, {Y.shape[1]} attributes", flush=True)
        loaded = time.perf_counter()
        rare = rare_attributes(Y)
        number = min(n_attributes or len(rare), len(rare))
        chosen = [rare[i] for i in np.linspace(0, len(rare) - 1, number).astype(int)]
        erasures = measure(X, Y, attributes, chosen, rates)
        report["data"][name] = {
            "rows": len(X),
            "columns": X.shape[1],
            "attributes": Y.shape[1],
            "rare attributes": len(rare),
            "seconds to load": round(loaded - start),
            "seconds": round(time.perf_counter() - loaded),
            "erasures": erasures,
        }
    return report


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the census alone, a small sample")
    parser.add_argument("--data", choices=[*LOADERS, "both"], default="both")
    parser.add_argument("--rows", type=int, default=N_ROWS, help="number of rows")
    parser.add_argument("--out", type=Path, help="folder of the results and the pictures")
    parser.add_argument("--redraw", action="store_true", help="use the results of an earlier run")
    args = parser.parse_args(arguments)
    file = (args.out or RESULTS) / "figure_1.json"
    pictures = args.out or PICTURES
    if args.redraw:
        report = json.loads(file.read_text(encoding="utf-8"))
    elif args.quick:
        report = run(["census"], min(args.rows, QUICK_ROWS), QUICK_RATES, QUICK_ATTRIBUTES)
    else:
        names = list(LOADERS) if args.data == "both" else [args.data]
        report = run(names, args.rows, RATES)
    print(json.dumps(report["environment"]))
    for made in tables(report):
        print("\n" + "\n".join(made))
    if args.quick and args.out is None:
        return
    if not args.redraw:
        save(report, file)
    pictures.mkdir(parents=True, exist_ok=True)
    for name, part in report["data"].items():
        draw(name, part, pictures / f"figure_1_{name}.png")


if __name__ == "__main__":
    main()
