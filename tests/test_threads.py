"""Two threads that change a model, predictions beside an erasure, interrupts, and forks."""

import copy
import gc
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from itertools import count

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import make_classification
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ssse import (
    ErasableLogisticRegression,
    ErasableMLPClassifier,
    learn,
    preview_unlearn,
    unlearn,
)
from sklearn_ssse._composites import lockable_parts, plan_refresh, plan_unlearn
from sklearn_ssse._erasure import carry_out
from sklearn_ssse._utils import locks
from tests.warned import DAMPED, REFRESH, may_warn

# Longest time that a thread or a process of these tests may take, in seconds.
LIMIT = 60
DATA = make_classification(120, 4, n_informative=3, n_redundant=0, flip_y=0.2, random_state=0)

# Two threads


def together(*functions):
    """Run functions at the same time, each in a thread, and raise the first error."""
    errors = []
    start = threading.Barrier(len(functions))

    def run(function):
        try:
            start.wait(LIMIT)
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(f,), daemon=True) for f in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert not any(thread.is_alive() for thread in threads), "a thread waits for a lock"
    if errors:
        raise errors[0]


@pytest.fixture(autouse=True)
def often_switched():
    """Threads take turns every 10 microseconds instead of every 5 milliseconds."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


class Order(threading.local):
    """The call that each thread makes, and the calls in the order in which models changed."""

    call = None
    calls: dict = {}


order = Order()


class Logged(ErasableLogisticRegression):
    """Logs the call of the thread that plans a change of it or computes its curvature."""

    def _plan_erasure(self, *args, **kwargs):
        order.calls.setdefault(order.call)
        return super()._plan_erasure(*args, **kwargs)

    def _set_curvature(self, *args, **kwargs):
        order.calls.setdefault(order.call)
        return super()._set_curvature(*args, **kwargs)


class Holder(BaseEstimator):
    """A type of a third party, which holds a model."""

    def __init__(self, model):
        self.model = model

    def fit(self, X, y):
        self.model.fit(X, y)
        return self

    def __sklearn_is_fitted__(self):
        return True


@unlearn.register(Holder)
def unlearn_holder(estimator, X, y, epsilon=None, *, sample_weight=None):
    estimator.model.unlearn(X, y, epsilon)


@pytest.fixture(scope="module")
def rows():
    """20,000 rows, so that a thousand erasures of single rows need no refresh."""
    return make_classification(20_000, 3, n_informative=2, n_redundant=0, random_state=0)


@pytest.fixture(scope="module")
def fitted(rows):
    params = {"C": 0.1, "damping": 1e-3, "unlearn_epsilon": 1.0, "budget": None}
    model = Logged(curvature="fisher", **params)
    return model.fit(*rows)


def one_by_one(X, y, verb, start, n):
    """``n`` calls of a function ``verb(world, X, y)``, each with the next row."""
    return [
        lambda world, i=i: verb(world, X[i : i + 1], y[i : i + 1]) for i in range(start, start + n)
    ]


def check_order(world, *by_thread):
    """Make the calls of each thread, and compare with the same calls one after the other.

    Parameters
    ----------
    world : dict
        Estimators, which may share models.
    by_thread : list of callable
        The calls of one thread, each with ``world`` as the argument.
    """
    replayed = copy.deepcopy(world)
    order.calls.clear()

    def run(thread):
        for i, call in enumerate(by_thread[thread]):
            order.call = thread, i
            call(world)

    together(*(lambda thread=thread: run(thread) for thread in range(len(by_thread))))
    calls = list(order.calls)
    assert sorted(calls) == [(t, i) for t, own in enumerate(by_thread) for i in range(len(own))]
    for thread, i in calls:
        by_thread[thread][i](replayed)
    for name, estimator in world.items():
        for one, other in zip(models(estimator), models(replayed[name]), strict=True):
            check_same(one, other)
        for one, other in zip(scalers(estimator), scalers(replayed[name]), strict=True):
            assert one.n_samples_seen_ == other.n_samples_seen_
            np.testing.assert_allclose(one.mean_, other.mean_, rtol=1e-9)


def parts(estimator, kind):
    """The parts of a type, in an order that does not depend on the addresses of objects."""
    return [part for part in lockable_parts(estimator) if isinstance(part, kind)]


def models(estimator):
    return parts(estimator, ErasableLogisticRegression)


def scalers(estimator):
    return parts(estimator, StandardScaler)


def check_same(one, other):
    """The same parameters, curvature, counts and records, up to rounding."""
    assert one.n_samples_remaining_ == other.n_samples_remaining_
    assert one._erasure_state.class_counts.tolist() == other._erasure_state.class_counts.tolist()
    assert len(one.erasures_) == len(other.erasures_)
    for name in ("coef_", "intercept_", "fisher_inverse_"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-8)
    for a, b in zip(one.erasures_, other.erasures_, strict=True):
        assert (a.n_erased, a.n_added, a.n_remaining) == (b.n_erased, b.n_added, b.n_remaining)
        np.testing.assert_allclose(a.relative_shift, b.relative_shift, rtol=1e-6)


def test_two_threads_of_500_calls_lose_nothing(rows, fitted):
    model = copy.deepcopy(fitted)
    first = one_by_one(*rows, lambda world, X, y: world["m"].unlearn(X, y), 0, 500)
    second = one_by_one(*rows, lambda world, X, y: world["m"].unlearn(X, y), 500, 500)
    check_order({"m": model}, first, second)
    assert model.n_samples_remaining_ == 19_000
    assert len(model.erasures_) == 1000


def test_all_verbs(rows, fitted):
    X, y = rows

    def changed(world, X, y):
        world["m"].rectify(X, y, X + 0.1, y)
        world["m"].preview_unlearn(X + 0.1, y)

    others = [
        lambda world: world["m"].refresh(X, y),
        lambda world: world["m"].fit_curvature(X, y),
        lambda world: world["m"].fit(X, y),
        lambda world: world["m"].refresh(X, y),
    ]
    check_order({"m": copy.deepcopy(fitted)}, one_by_one(X, y, changed, 0, 100), others)


def test_learn_beside_unlearn(rows, fitted):
    X, y = rows
    check_order(
        {"m": copy.deepcopy(fitted)},
        one_by_one(X, y, lambda world, X, y: learn(world["m"], X, y), 0, 100),
        one_by_one(X, y, lambda world, X, y: unlearn(world["m"], X, y), 100, 100),
    )


def a_pipeline(rows, fitted):
    pipe = make_pipeline(StandardScaler(), fitted)
    pipe[0].fit(rows[0])
    return {"first": pipe, "second": pipe}


def a_pipeline_and_its_last_step(rows, fitted):
    return {**a_pipeline(rows, fitted), "second": fitted}


def two_composites_with_one_model(rows, fitted):
    return {**a_pipeline(rows, fitted), "second": FrozenEstimator(fitted)}


def two_composites_with_two_models(rows, fitted):
    """In opposite orders: if each thread locked its first model first, both would wait."""
    pair = [fitted, copy.deepcopy(fitted)]
    world = {}
    for name in ("first", "second"):
        world[name] = VotingClassifier([("a", pair[0]), ("b", pair[1])])
        world[name].estimators_ = pair
        world[name].classes_ = fitted.classes_
        pair = pair[::-1]
    return world


def a_third_party(rows, fitted):
    holder = Holder(fitted)
    return {"first": holder, "second": make_pipeline(StandardScaler().fit(rows[0]), holder)}


@pytest.mark.parametrize(
    "build",
    [
        a_pipeline,
        a_pipeline_and_its_last_step,
        two_composites_with_one_model,
        two_composites_with_two_models,
        a_third_party,
    ],
)
def test_composites_lose_nothing(rows, fitted, build):
    world = build(rows, copy.deepcopy(fitted))
    check_order(
        world,
        one_by_one(*rows, lambda world, X, y: unlearn(world["first"], X, y), 0, 60),
        one_by_one(*rows, lambda world, X, y: unlearn(world["second"], X, y), 60, 60),
    )


def test_downdated_scaler(rows, fitted):
    def erase(world, X, y):
        unlearn(world["first"], X, y, preprocessing="downdate")

    world = a_pipeline(rows, copy.deepcopy(fitted))
    check_order(world, one_by_one(*rows, erase, 0, 40), one_by_one(*rows, erase, 40, 40))
    assert world["first"][0].n_samples_seen_ == 19_920


def held(estimator):
    """Start a thread that holds the lock of an estimator until an event is set; return both."""
    inside = threading.Event()
    leave = threading.Event()

    def hold(estimator):
        inside.set()
        leave.wait(LIMIT)

    thread = threading.Thread(target=locks.exclusive(locks.itself)(hold), args=(estimator,))
    thread.start()
    inside.wait(LIMIT)
    return thread, leave


@pytest.mark.parametrize(
    "copied",
    [
        copy.copy,
        copy.deepcopy,
        lambda model: pickle.loads(pickle.dumps(model)),
        lambda model: clone(model).fit(*DATA),
    ],
    ids=["copy", "deepcopy", "pickle", "clone"],
)
def test_a_copy_has_a_lock_of_its_own(copied):
    model = ErasableLogisticRegression().fit(*DATA)
    thread, leave = held(model)
    together(lambda: copied(model).unlearn(DATA[0][:2], DATA[1][:2]))
    leave.set()
    thread.join(LIMIT)


def test_a_call_waits_for_the_call_of_another_thread():
    model = ErasableLogisticRegression().fit(*DATA)
    thread, leave = held(model)
    erasing = threading.Thread(target=unlearn, args=(model, DATA[0][:2], DATA[1][:2]))
    erasing.start()
    erasing.join(0.1)
    assert erasing.is_alive()
    assert model.n_samples_remaining_ == len(DATA[1])
    leave.set()
    thread.join(LIMIT)
    erasing.join(LIMIT)
    assert model.n_samples_remaining_ == len(DATA[1]) - 2


def test_locks_end_with_their_objects():
    model = ErasableLogisticRegression().fit(*DATA)
    key = id(model)
    assert key in locks._entries
    del model
    gc.collect()
    assert key not in locks._entries


def test_composites_that_clone_one_model_do_not_wait_for_each_other():
    model = ErasableLogisticRegression()
    parts = lockable_parts(OneVsRestClassifier(model).fit(*DATA))
    assert all(part is not model for part in parts)


# Predictions


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy], ids=["copy", "deepcopy"])
def test_predictions_are_those_before_or_after_an_erasure(copied):
    """The erasure changes a copy, which then takes the place of the model."""
    X, y = DATA
    if copied is copy.copy:
        model = ErasableLogisticRegression().fit(X, y)
    else:
        model = make_pipeline(StandardScaler(), ErasableLogisticRegression()).fit(X, y)
    versions = [model]
    seen = []

    def erase():
        for i in range(15):
            changed = copied(versions[-1])
            versions.append(unlearn(changed, X[i : i + 1], y[i : i + 1]))

    def predict():
        while len(versions) < 16 and len(seen) < 2000:
            seen.append(versions[-1].decision_function(X))

    with may_warn(DAMPED, REFRESH):
        together(erase, predict)
    exact = np.array([version.decision_function(X) for version in versions])
    gaps = np.abs(np.diff(exact, axis=0)).max(axis=1)
    errors = [np.abs(exact - scores).max(axis=1).min() for scores in seen]
    assert len(seen) > 10
    assert max(errors) < 1e-6 * gaps.min()


@pytest.mark.parametrize("kind", ["logistic", "network"])
def test_erasing_from_a_copy_changes_no_array_of_the_model(kind):
    model = a_network() if kind == "network" else ErasableLogisticRegression().fit(*DATA)
    before = contents(model)
    with may_warn("The curvature must"):
        copy.copy(model).unlearn(DATA[0][:3], DATA[1][:3])
    assert contents(model) == before


# Interrupts


def a_network(**params):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return ErasableMLPClassifier((3,), max_iter=20, random_state=0, **params).fit(*DATA)


# Attributes that hold parts, whose contents are listed one by one.
HOLD = {"steps", "estimator", "estimators_", "model"}


def contents(estimator):
    """Every attribute of every part, as bytes."""
    return [
        {name: pickle.dumps(value) for name, value in vars(part).items() if name not in HOLD}
        for part in lockable_parts(estimator)
    ]


def downdated():
    pipe = make_pipeline(StandardScaler(), ErasableLogisticRegression()).fit(*DATA)
    return pipe, lambda X, y: plan_unlearn(pipe, X, y, preprocessing="downdate")


def outputs():
    X, y = DATA
    many = MultiOutputClassifier(ErasableLogisticRegression()).fit(X, np.c_[y, X[:, 0] > 0])
    return many, lambda X, y: plan_unlearn(many, X, np.c_[y, X[:, 0] > 0])


def classes():
    X, y = DATA
    rest = OneVsRestClassifier(ErasableLogisticRegression(structure="diagonal")).fit(
        X, y + (X[:, 0] > 0)
    )
    return rest, lambda X, y: plan_unlearn(rest, X, y + (X[:, 0] > 0))


def bagged():
    model = ErasableLogisticRegression()
    bag = BaggingClassifier(model, n_estimators=2, oob_score=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of rows that every member drew
        bag.fit(*DATA)
    return bag, lambda X, y: plan_unlearn(bag, X, y, positions=range(len(y)))


def third_party():
    holder = Holder(ErasableLogisticRegression().fit(*DATA))
    pipe = make_pipeline(StandardScaler().fit(DATA[0]), holder)
    return pipe, lambda X, y: plan_unlearn(pipe, X, y)


def network():
    pipe = make_pipeline(StandardScaler().fit(DATA[0]), a_network())
    return pipe, lambda X, y: plan_unlearn(pipe, X, y)


def refreshed():
    pipe = make_pipeline(StandardScaler(), ErasableLogisticRegression()).fit(*DATA)
    X, y = DATA
    return pipe, lambda *few: plan_refresh(pipe, X + X**2 / 9, y, preprocessing="refit")


class Injected(BaseException):
    """An exception that no handler catches."""


def injecting(function, n):
    """Call a function and raise `Injected` at event n; whether it ended before.

    Events are the lines of all functions inside, and the bytecodes of the module of `carry_out`.
    """
    left = count(n, -1)

    def trace(frame, event, arg):
        frame.f_trace_opcodes = frame.f_code.co_filename == carry_out.__code__.co_filename
        if event in ("line", "opcode") and next(left) == 0:
            raise Injected
        return trace

    sys.settrace(trace)
    try:
        function()
    except Injected:
        return False
    finally:
        sys.settrace(None)
    return True


@pytest.mark.parametrize(
    "build", [downdated, outputs, classes, bagged, third_party, network, refreshed]
)
def test_an_exception_at_any_line_leaves_all_old_or_all_new(build, monkeypatch):
    """A trace function raises it, at more places than a signal can."""
    monkeypatch.setattr("sklearn_ssse._erasure.chain.now", lambda: "2026-01-01T00:00:00+00:00")
    few = DATA[0][:4], DATA[1][:4]

    def prepared():
        estimator, planned = build()
        with may_warn(DAMPED, "The curvature must"):
            plan = planned(*few)
        return estimator, lambda: carry_out(plan.erasures, plan.changes)

    estimator, change = prepared()
    old = contents(estimator)
    change()
    new = contents(estimator)
    n_changed = sum(a != b for a, b in zip(old, new, strict=True))
    assert n_changed == 1 if build in (third_party, network) else n_changed > 1
    estimator, change = prepared()
    n_new = 0
    for n in count():
        done = injecting(change, n)
        found = contents(estimator)
        assert found in (old, new), n
        if found == new:
            n_new += 1
            estimator, change = prepared()
        if done:
            break
    assert n > 100
    assert n_new < 20


def test_a_signal_leaves_all_old_or_all_new_and_no_lock():
    if not hasattr(signal, "setitimer"):
        pytest.skip("needs setitimer")
    X, y = DATA
    pipe = make_pipeline(StandardScaler(), MultiOutputClassifier(ErasableLogisticRegression()))
    fitted = pipe.fit(X, np.c_[y, y])
    n_old = 0
    n_new = 0

    def interrupt(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    draw = random.Random(0)
    try:
        started = time.perf_counter()
        unlearn(copy.deepcopy(fitted), X[:4], np.c_[y, y][:4])
        duration = time.perf_counter() - started
        for _ in range(150):
            estimator = copy.deepcopy(fitted)
            try:
                signal.setitimer(signal.ITIMER_REAL, draw.uniform(1e-5, duration))
                unlearn(estimator, X[:4], np.c_[y, y][:4])
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                pass
            remaining = {model.n_samples_remaining_ for model in estimator[-1].estimators_}
            records = {len(model.erasures_) for model in estimator[-1].estimators_}
            assert (remaining, records) in [({120}, {0}), ({116}, {1})]
            n_old += records == {0}
            n_new += records == {1}
            together(lambda estimator=estimator: preview_unlearn(estimator, X[:4], np.c_[y, y][:4]))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert n_old > 0


# Forks

FORKED = """
import os, signal, threading
from sklearn.datasets import make_classification
from sklearn_ssse import ErasableLogisticRegression
from sklearn_ssse._kernels import one_thread
from sklearn_ssse._kernels.threads import _Limit
from sklearn_ssse._utils import locks

X, y = make_classification(2000, 60, n_informative=9, n_classes=4, random_state=0)


def fit():
    model = ErasableLogisticRegression(structure="block", inversion="rank1", C=1e-3)
    return model.fit(X, y)


model = fit()
inside = threading.Event()
leave = threading.Event()


@locks.exclusive(locks.itself)
def hold(model):
    with one_thread(), _Limit.lock:
        inside.set()
        leave.wait(60)


thread = threading.Thread(target=hold, args=(model,), daemon=True)
thread.start()
inside.wait(60)
child = os.fork()
if not child:
    signal.alarm(50)  # ends a child that waits for ever
    fit()
    model.unlearn(X[:5], y[:5])
    with one_thread():
        X.T @ X
    assert _Limit.depth == 0
    os._exit(17)
leave.set()
thread.join(60)
model.unlearn(X[:5], y[:5])
print("status", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_fits_and_erases():
    """The parent has run threads in its kernels, and one of its threads holds the locks."""
    environment = {
        **os.environ,
        "OPENBLAS_NUM_THREADS": "2",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, "-c", FORKED],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env=environment,
        check=False,
    )
    assert done.stdout.split() == ["status", "17"], done.stderr
