"""``groups`` and ``only`` of `learn` and `rectify`: equal to the same rows selected by hand."""

from copy import deepcopy
from dataclasses import asdict

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import make_classification
from sklearn.ensemble import VotingClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ssse import (
    ErasableLogisticRegression,
    ErasureError,
    ErasureWarning,
    learn,
    preview_learn,
    preview_rectify,
    rectify,
    unlearn,
)
from tests.check_erasable import snapshot
from tests.warned import NO_ROWS

pandas = pytest.importorskip("pandas")

LR = ErasableLogisticRegression(curvature="fisher", solver="newton-cholesky")
PIPE = make_pipeline(StandardScaler(), LR)
COMPOSITES = {
    "model": LR,
    "pipeline": PIPE,
    "search": GridSearchCV(PIPE, {}, cv=2),
    "outputs": MultiOutputClassifier(PIPE),
    "similar outputs": MultiOutputClassifier(LR),
    "chain": ClassifierChain(LR),
    "rest": OneVsRestClassifier(PIPE),
    "pairs": OneVsOneClassifier(LR),
    "votes": VotingClassifier([("a", LR), ("b", PIPE)]),
}
# Ids that no message may show.
KNOWN = 7_700_123
OTHER = 8_800_456
ABSENT = 9_900_789


@pytest.fixture(scope="module")
def visits():
    """Rows as visits of people: X, labels, ids, and the rows of the two people to select."""
    X, y = make_classification(
        240, 5, n_informative=4, n_redundant=0, n_classes=3, flip_y=0.2, random_state=0
    )
    ids = np.random.default_rng(0).integers(0, 60, 240) + 1000
    ids[::40] = KNOWN
    ids[7::60] = OTHER
    return X, y, ids, np.isin(ids, [KNOWN, OTHER])


def labels_for(name, y):
    return np.column_stack([y == 0, y == 1]).astype(int) if name in OUTPUTS else y


OUTPUTS = ("outputs", "similar outputs", "chain")


@pytest.mark.parametrize("name", COMPOSITES)
def test_groups_equal_rows_selected_by_hand(visits, name):
    """The other rows of the whole data are not even validated."""
    X, y, ids, rows = visits
    y = labels_for(name, y)
    new = X + 0.1
    fitted = deepcopy(COMPOSITES[name]).fit(X, y)
    by_hand = rectify(deepcopy(fitted), X[rows], y[rows], new[rows], y[rows])
    learn(by_hand, X[rows], y[rows])

    hostile = [np.where(rows[:, np.newaxis], part, np.nan) for part in (X, new)]
    strange = y.copy()
    strange[~rows] = 99
    by_groups = deepcopy(fitted)
    given = {"groups": ids, "only": [OTHER, KNOWN]}
    rectify(by_groups, hostile[0], strange, hostile[1], strange, **given)
    assert learn(by_groups, hostile[0], strange, **given) is by_groups
    assert snapshot(by_groups) == snapshot(by_hand)
    assert snapshot(by_groups) != snapshot(fitted)


def given_as(kind, X, ids):
    """The data, the groups and the chosen groups in one of the forms that are allowed."""
    frame = pandas.DataFrame(X).rename(columns=str)
    people = [KNOWN, OTHER]
    if kind == "column":
        return frame.assign(person=ids), {"groups": "person", "only": people}
    if kind == "nullable column":
        column = pandas.array([None if i < KNOWN else i for i in ids.tolist()], dtype="Int64")
        return frame.assign(person=column), {"groups": "person", "only": people}
    if kind == "index":
        return frame.set_index(pandas.Index(ids)), {"only": pandas.Index(people)}
    if kind == "pairs":
        index = pandas.MultiIndex.from_arrays([ids, ids])
        return frame.set_index(index), {"only": [(i, i) for i in people]}
    if kind == "dates":
        days = np.datetime64("2020-01-01") + ids.astype("timedelta64[m]")
        return frame, {"groups": days, "only": list(np.unique(days[ids >= KNOWN]))}
    if kind == "words":
        return X, {"groups": [f"user {i}" for i in ids], "only": [f"user {i}" for i in people]}
    if kind == "sparse":
        return sparse.coo_array(X), {"groups": ids.tolist(), "only": tuple(people)}
    polars = pytest.importorskip("polars")
    series = polars.Series(ids)
    if kind == "polars column":
        thin = polars.from_pandas(frame).with_columns(person=series)
        return thin, {"groups": "person", "only": people}
    return polars.from_pandas(frame), {"groups": series, "only": polars.Series(people)}


@pytest.mark.parametrize(
    "kind",
    [
        "column",
        "nullable column",
        "index",
        "pairs",
        "dates",
        "words",
        "sparse",
        "polars",
        "polars column",
    ],
)
def test_containers(visits, kind):
    X, y, ids, rows = visits
    model = deepcopy(LR).fit(pandas.DataFrame(X).rename(columns=str), y)
    if kind in ("words", "sparse"):
        model = deepcopy(LR).fit(X, y)
    old, given = given_as(kind, X, ids)
    new, _ = given_as(kind, X + 0.1, ids)
    weight = np.where(rows, 2.0, -1.0)  # a negative weight is refused if it is used
    by_hand = LR.fit(X, y)
    hand = [by_hand.preview_learn(X[rows], y[rows], sample_weight=weight[rows])]
    hand += [by_hand.preview_rectify(X[rows], y[rows], X[rows] + 0.1, y[rows], 0.5)]
    records = [
        preview_learn(model, old, y, sample_weight=weight, **given),
        preview_rectify(model, old, y, new, y, 0.5, **given),
    ]
    for record, expected in zip(records, hand, strict=True):
        for field, goal in asdict(expected).items():
            if field in ("time", "parameters_before", "parameters_after"):
                continue  # the time, and digests of parameters that differ by rounding
            found = getattr(record, field)
            assert found == (pytest.approx(goal, rel=1e-9) if isinstance(goal, float) else goal)


def test_one_column_of_groups_is_in_both_frames(visits):
    """A column that the model was fitted with is kept; one that it was fitted without is not."""
    X, y, ids, _ = visits
    frame = pandas.DataFrame(X).rename(columns=str).assign(person=ids)
    model = deepcopy(PIPE).fit(frame, y)
    record = preview_rectify(model, frame, y, frame, y, groups="person", only=[KNOWN])
    assert record.n_erased == record.n_added == (ids == KNOWN).sum()
    with pytest.raises(ValueError, match="must be a column of X"):
        rectify(model, frame, y, frame.drop(columns="person"), y, groups="person", only=[KNOWN])


def shifted(ids):
    """The ids of a frame that is sorted in another way."""
    return np.roll(ids, 1)


@pytest.mark.parametrize("kind", ["column", "index", "polars column"])
def test_old_and_new_rows_of_different_people_are_refused(visits, kind):
    X, y, ids, rows = visits
    model = deepcopy(LR).fit(X, y)
    before = snapshot(model)
    old, given = given_as(kind, X, ids)
    new, _ = given_as(kind, X, shifted(ids))
    different = (rows | shifted(rows)) & (ids != shifted(ids))
    message = f"got {different.sum()} of 240 rows whose new version is of another group"
    with pytest.raises(ErasureError, match=message) as caught:
        rectify(model, old, y, new, y, **given)
    assert_without_ids(caught.value)
    assert snapshot(model) == before


def assert_without_ids(error):
    assert not any(str(i) in str(error) for i in (KNOWN, OTHER, ABSENT, 1000, 1001))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"only": [KNOWN, ABSENT]}, "Every group in `only` must have a row, got 1 of 2 without"),
        ({"only": [str(KNOWN)]}, "`groups` has int, `only` has str"),
        ({"only": [KNOWN, KNOWN]}, "each group once, got 1"),
        ({"only": KNOWN}, r"Write only=\[group\]"),
        ({"only": str(KNOWN)}, r"Write only=\[group\]"),
        ({}, r"with a list of the groups to use, got none. Pass only=\[...\]"),
        ({"groups": [KNOWN], "only": [KNOWN]}, "inconsistent numbers of samples"),
        ({"groups": None, "only": [KNOWN]}, "must be a frame with an index"),
    ],
)
def test_errors_name_no_person(visits, given, message):
    X, y, ids, _ = visits
    model = deepcopy(LR).fit(X, y)
    before = snapshot(model)
    given = {"groups": ids, **given}
    for_unlearn = {"groups": given["groups"]}
    if "only" in given:
        for_unlearn["forget"] = given["only"]
    calls = [
        (learn, (X, y), given, message),
        (preview_learn, (X, y), given, message),
        (rectify, (X, y, X, y), given, message),
        (preview_rectify, (X, y, X, y), given, message),
        (unlearn, (X, y), for_unlearn, message.replace("only", "forget")),
    ]
    for verb, rows, keywords, expected in calls:
        with pytest.raises((ValueError, ErasureError), match=expected) as caught:
            verb(model, *rows, **keywords)
        assert_without_ids(caught.value)
    assert snapshot(model) == before


def test_no_group_is_no_row(visits):
    X, y, ids, _ = visits
    model = deepcopy(PIPE).fit(X, y)
    before = snapshot(model)
    given = {"groups": ids, "only": []}
    with pytest.warns(ErasureWarning, match=NO_ROWS):
        assert learn(model, X, y, **given) is model
    with pytest.warns(ErasureWarning, match=NO_ROWS):
        assert rectify(model, X, y, X, y, **given) is model
    assert snapshot(model) == before
