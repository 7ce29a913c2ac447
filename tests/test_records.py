"""Records: their JSON, their chain, their signature, and that no value of a row is in them."""

import json
import os
import pickle
import re
import sys
from copy import deepcopy
from dataclasses import fields, make_dataclass, replace
from functools import partial
from hashlib import sha256

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsOneClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ssse import (
    TRUSTED_TYPES,
    ErasableLogisticRegression,
    ErasableMLPClassifier,
    ErasureError,
    ErasureRecord,
    learn,
    preview_learn,
    preview_rectify,
    preview_unlearn,
    rectify,
    refresh,
    sign_records,
    unlearn,
    verify_records,
)
from sklearn_ssse._cli import parser as command
from sklearn_ssse._composites import erasable_models
from sklearn_ssse._erasure import canonical
from sklearn_ssse._erasure.record_json import record_from_dict, record_to_dict
from sklearn_ssse._signing import signed
from sklearn_ssse.exceptions import ErasureTypeError, MissingPackageError
from tests.warned import LONG_STEP, NO_ROWS, REFRESH, may_warn

crypto = pytest.importorskip("cryptography", reason="pip install 'sklearn-ssse[test]'")
from cryptography.hazmat.primitives import serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, ed25519  # noqa: E402

PLAIN = serialization.NoEncryption()
KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
DIGEST = re.compile("[0-9a-f]{64}")


def private_pem(key=KEY, encryption=PLAIN):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def public_pem(key=KEY):
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@pytest.fixture(scope="module")
def fitted(binary):
    return ErasableLogisticRegression(curvature="fisher").fit(*binary)


@pytest.fixture
def model(fitted, binary):
    """A model with three records: of `unlearn`, `learn` and `rectify`."""
    X, y = binary
    model = deepcopy(fitted)
    model.unlearn(X[:3], y[:3], request_id="case 1").learn(X[:1], y[:1], request_id="case 2")
    return model.rectify(X[4:5], y[4:5], X[4:5] + 0.1, y[4:5], request_id="case 3")


# The record and its JSON


def test_records_name_their_call(model):
    first, second, third = model.erasures_
    assert [r.kind for r in model.erasures_] == ["unlearn", "learn", "rectify"]
    assert [r.request_id for r in model.erasures_] == ["case 1", "case 2", "case 3"]
    assert first.previous == ""
    assert [second.previous, third.previous] == [
        sha256(r.to_json().encode()).hexdigest() for r in (first, second)
    ]
    assert all(
        re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", r.time) for r in (first, third)
    )
    digests = [
        digest for r in model.erasures_ for digest in (r.parameters_before, r.parameters_after)
    ]
    assert all(DIGEST.fullmatch(digest) for digest in digests)
    assert digests[1] == digests[2]
    assert digests[3] == digests[4]
    assert len(set(digests)) == 4


def test_round_trip_is_exact(model):
    for record in model.erasures_:
        for found in (
            ErasureRecord.from_dict(record.to_dict()),
            ErasureRecord.from_json(record.to_json()),
            ErasureRecord.from_json(json.dumps(record.to_dict(), indent=2).encode()),
        ):
            assert vars(found) == vars(record)
            assert found.to_json() == record.to_json()
        assert {*record.to_dict()} == {"schema", *(item.name for item in fields(record))}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.0, 5e-324, 0.1, 1, np.float64(0.1)])
def test_any_number_survives(model, value):
    """Also in a parser that refuses nan; a NumPy number is written as Python's."""
    record = replace(model.erasures_[0], margin=value, kept_by=("NaN", "é\n\U0001f600"))
    text = record.to_json()
    json.loads(text, parse_constant=pytest.fail)
    found = ErasureRecord.from_json(text)
    assert repr(float(found.margin)) == repr(float(value))
    assert found.kept_by == record.kept_by
    assert found.to_json() == text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2}, "must have schema 1 or older .* got schema 2, of a newer version"),
        ({"schema": None}, "must have a version number as its `schema`, got none"),
        ({"schema": True}, "must have a version number"),
        ({"more": 1}, "must have the fields of its schema, got 1 others"),
        ({"n_erased": "3"}, "The field 'n_erased' .* must be of type int, got str"),
        ({"n_erased": 3.0}, "must be of type int, got float"),
        ({"damped": 0}, "must be of type bool, got int"),
        ({"margin": "nan"}, "must be of type float, got str"),
        ({"margin": True}, "must be of type float, got bool"),
        ({"margin": None}, "must be of type float, got NoneType"),
        ({"kept_by": "scaler"}, "must be of type tuple, got str"),
        ({"kept_by": [1]}, "must be of type str, got int"),
        ({"request_id": None}, "must be of type str"),
    ],
)
def test_other_dicts_are_refused(model, changes, message):
    with pytest.raises(ErasureError, match=message):
        ErasureRecord.from_dict({**model.erasures_[0].to_dict(), **changes})


def test_other_texts_are_refused(model):
    data = model.erasures_[0].to_dict()
    del data["n_erased"]
    with pytest.raises(ErasureError, match="must have the field 'n_erased', got none"):
        ErasureRecord.from_dict(data)
    with pytest.raises(ErasureError, match="A record must be a dict, got list"):
        ErasureRecord.from_json("[]")
    text = model.erasures_[0].to_json()
    assert '"order":1,' in text
    repeated = text.replace('"damped"', '"damped":true,"damped"')
    not_finite = [text.replace('"order":1,', f'"order":{x},') for x in ("NaN", "-Infinity")]
    for other in (text[:-1], repeated, *not_finite, b"\xff"):
        with pytest.raises(ErasureError, match="must be JSON with distinct keys"):
            ErasureRecord.from_json(other)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (float | None, None, None),
        (float | None, np.inf, "Infinity"),
        (tuple[float, ...] | None, (1.0, np.nan), [1.0, "NaN"]),
        (str | None, "NaN", "NaN"),
    ],
)
def test_new_fields_need_no_code(kind, value, expected):
    record = make_dataclass("Record", [("field", kind, None)], frozen=True)
    data = record_to_dict(record(value))
    assert data == {"schema": 1, "field": expected}
    assert repr(record_from_dict(record, data)) == repr(record(value))


def test_a_record_of_an_older_version_keeps_its_digest(model):
    """It lacks the new fields, has their defaults, and a later field changes no digest."""
    record = deepcopy(model.erasures_[0])
    for name in ("request_id", "refreshes"):
        del vars(record)[name]
    copy = pickle.loads(pickle.dumps(record))
    assert (copy.request_id, copy.refreshes) == ("", 0)
    assert "request_id" not in copy.to_dict()
    assert ErasureRecord.from_json(copy.to_json()).to_json() == record.to_json()


# The id of the request


@pytest.mark.parametrize(
    ("request_id", "message"),
    [
        ("", "got an empty str"),
        ("x" * 201, "got 201 characters"),
        ("a\nb", "a character that cannot be printed"),
        ("a\x1b[2J", "a character that cannot be printed"),
        ("a\u202eb", "a character that cannot be printed"),
        (17, "got int"),
    ],
)
def test_other_ids_are_refused(fitted, binary, request_id, message):
    X, y = binary
    verbs = [
        partial(fitted.unlearn, X[:1], y[:1]),
        partial(fitted.preview_learn, X[:1], y[:1]),
        partial(rectify, fitted, X[:1], y[:1], X[:1], y[:1]),
    ]
    for verb in verbs:
        with pytest.raises(ErasureError, match="must be a str of 1 to 200 printable") as error:
            verb(request_id=request_id)
        assert message in str(error.value)
    assert fitted.erasures_ == []


@pytest.mark.parametrize("together", [True, False])
def test_every_model_gets_the_id(binary, together):
    X, _ = binary
    Y = (X[:, :3] + np.random.default_rng(0).normal(size=(150, 3)) > 0).astype(int)
    estimator = ErasableLogisticRegression(curvature="fisher", order=1 if together else 2)
    pipe = make_pipeline(StandardScaler(), MultiOutputClassifier(estimator)).fit(X, Y)
    given = {"request_id": "case 9"}
    for verb, preview, args in (
        (unlearn, preview_unlearn, (X[:2], Y[:2])),
        (learn, preview_learn, (X[:1], Y[:1])),
        (rectify, preview_rectify, (X[5:6], Y[5:6], X[5:6] + 0.1, Y[5:6])),
    ):
        previewed = preview(pipe, *args, **given)
        verb(pipe, *args, **given)
        records = [output.erasures_[-1] for output in erasable_models(pipe)]
        assert records == previewed
        assert {(r.kind, r.request_id) for r in records} == {(verb.__name__, "case 9")}
    assert verify_records(sign_records(pipe, KEY), pipe, KEY.public_key()) == []


# The chain


def changed(model, **changes):
    """The model with a changed second record."""
    first, second, third = model.erasures_
    model.erasures_ = [first, replace(second, **changes), third]


def drop(i, model):
    del model.erasures_[i]


def swap(model):
    model.erasures_ = [model.erasures_[i] for i in (1, 0, 2)]


def claim_a_training(model):
    """A last record that claims more trainings than the model had."""
    *first, last = model.erasures_
    model.erasures_ = [*first, replace(last, refreshes=last.refreshes + 1)]


def move_parameters(model):
    model.coef_ = model.coef_ * (1 + 1e-15)


BREAKS = {
    "first": (partial(drop, 0), "a record 1 that is not the first one"),
    "middle": (partial(drop, 1), "a record 2 that is not the one after record 1"),
    "last": (partial(drop, 2), "parameters now that are not those after the last record"),
    "swapped": (swap, "a record 1 that is not the first one"),
    "edited": (partial(changed, n_erased=1), "a record 3 that is not the one after record 2"),
    "time": (partial(changed, time="2020-01-01T00:00:00+00:00"), "record 3 that is not"),
    "refreshes": (claim_a_training, "parameters now that are not those after the last record"),
    "parameters": (move_parameters, "parameters now that are not those after the last record"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_chain_is_not_signed_and_not_verified(model, name):
    do_break, message = BREAKS[name]
    document = sign_records(model, KEY)
    assert verify_records(document, model, KEY.public_key()) == []
    do_break(model)
    with pytest.raises(ErasureError, match=message):
        sign_records(model, KEY)
    with pytest.raises(ErasureError, match=r"must (hold all records|describe) "):
        verify_records(document, model, KEY.public_key())


@pytest.mark.parametrize("i", range(3))
def test_the_owner_of_the_key_cannot_leave_out_a_record(model, i):
    document = sign_records(model, KEY)
    content = {name: document[name] for name in document if name != "signature"}
    del content["models"][0]["records"][i]
    with pytest.raises(ErasureError, match=r"must form a chain|must change by recorded calls"):
        verify_records(signed(content, KEY), model, KEY.public_key())


def test_training_between_records_is_a_remark(binary):
    X, y = binary
    model = ErasableLogisticRegression(curvature="fisher").fit(X, y).unlearn(X[:3], y[:3])
    model.refresh(X[3:], y[3:]).fit_curvature(X[3:], y[3:]).unlearn(X[3:5], y[3:5])
    assert [record.refreshes for record in model.erasures_] == [0, 1]
    (remark,) = verify_records(sign_records(model, KEY), model, KEY.public_key())
    assert "trained once between records 1 and 2" in remark
    refresh(model, X[5:], y[5:])
    remarks = verify_records(sign_records(model, KEY), model, KEY.public_key())
    assert len(remarks) == 2
    assert "trained once after its last record" in remarks[1]
    assert model.fit(X, y).unlearn(X[:1], y[:1]).erasures_[0].refreshes == 0


def test_nets_and_their_partial_fit(binary):
    X, y = binary
    net = ErasableMLPClassifier((3,), solver="adam", max_iter=20, random_state=0)
    with may_warn("A trained network must predict", LONG_STEP, "The curvature must"):
        net.fit(X, y)
        net.unlearn(X[:2], y[:2], 1e-3)
    assert verify_records(sign_records(net, KEY), net, KEY.public_key()) == []
    net.partial_fit(X[2:], y[2:])
    (remark,) = verify_records(sign_records(net, KEY), net, KEY.public_key())
    assert "trained once after its last record" in remark


def test_columns_that_change_without_a_row_have_a_record(four_classes):
    """A pair of classes without a forget row is expressed in the columns of the new scaler."""
    X, y = four_classes
    pipe = make_pipeline(
        StandardScaler(), OneVsOneClassifier(ErasableLogisticRegression(curvature="fisher"))
    ).fit(X, y)
    S = np.flatnonzero(y == 0)[:3]
    unlearn(pipe, X[S], y[S], preprocessing="downdate", request_id="case 4")
    records = [pair.erasures_[0] for pair in erasable_models(pipe)]
    assert [record.n_erased for record in records] == [3, 3, 3, 0, 0, 0]
    assert {record.request_id for record in records} == {"case 4"}
    document = sign_records(pipe, KEY)
    assert verify_records(document, pipe, KEY.public_key()) == []
    places = [found["place"] for found in document["models"]]
    assert places[5] == "Pipeline[0]/OneVsOneClassifier[5]/ErasableLogisticRegression"


def test_records_without_digests_stand_before_all_others(fitted, binary):
    X, y = binary
    model = deepcopy(fitted).unlearn(X[:2], y[:2])
    new = {"time", "library_version", "parameters_before", "parameters_after", "previous", "kind"}
    for name in new | {"request_id", "refreshes", "sklearn_version"}:
        del vars(model.erasures_[0])[name]
    model.unlearn(X[2:4], y[2:4])
    (remark,) = verify_records(sign_records(model, KEY), model, KEY.public_key())
    assert "1 of 2 records were made by a version of sklearn-ssse without digests" in remark
    model.erasures_ = model.erasures_[::-1]
    with pytest.raises(ErasureError, match="must form a chain"):
        sign_records(model, KEY)


def test_digests_do_not_depend_on_the_container(model):
    copies = [deepcopy(model), pickle.loads(pickle.dumps(model)), deepcopy(model).sparsify()]
    copies[0].coef_ = np.asfortranarray(copies[0].coef_)
    document = sign_records(model, KEY)
    for copy in copies:
        assert verify_records(document, copy, KEY.public_key()) == []


# Signatures


def leaves(value, path=()):
    """Paths of all leaves of plain JSON."""
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from leaves(item, (*path, key))
    else:
        yield path


def changed(value):
    """Another value of the same type."""
    if value is None or isinstance(value, bool):
        return not value
    return value * 2 + type(value)(1)


def test_every_changed_leaf_is_found(model):
    document = json.loads(json.dumps(sign_records(model, KEY)))
    paths = list(leaves(document))
    assert len(paths) > 90
    for path in paths:
        forged = deepcopy(document)
        part = forged
        for key in path[:-1]:
            part = part[key]
        old = part[path[-1]]
        part[path[-1]] = changed(old)
        with pytest.raises(ErasureError, match=r"must (be signed by the owner|have a signature)"):
            verify_records(forged, model, KEY.public_key())


def test_wrong_key_and_swapped_model(model, fitted, binary):
    document = sign_records(model, KEY)
    with pytest.raises(ErasureError, match="got one that names another key"):
        verify_records(document, model, OTHER.public_key())
    with pytest.raises(ErasureError, match="got 3 for a model that has 0"):
        verify_records(document, fitted, KEY.public_key())
    twin = deepcopy(model)
    twin.intercept_ = twin.intercept_ + 1e-9
    with pytest.raises(ErasureError, match="as it is, got other parameters or records"):
        verify_records(document, twin, KEY.public_key())
    with pytest.raises(ErasureError, match="must have the places of the models"):
        verify_records(document, make_pipeline(model), KEY.public_key())
    with pytest.raises(ErasureTypeError, match="of fitted erasable models, got LogisticRegression"):
        verify_records(document, LogisticRegression().fit(*binary), KEY.public_key())
    with pytest.raises(NotFittedError):
        sign_records(ErasableLogisticRegression(), KEY)


def test_a_forger_cannot_name_the_key_of_another(model):
    """The key in the document is not used."""
    forged = signed({**sign_records(model, KEY), "time": "2020"}, OTHER)
    with pytest.raises(ErasureError, match="names another key"):
        verify_records(forged, model, KEY.public_key())
    forged["public_key"] = KEY.public_key().public_bytes_raw().hex()
    with pytest.raises(ErasureError, match="that was changed since"):
        verify_records(forged, model, KEY.public_key())


def test_a_document_of_great_depth(model):
    """The encoder of JSON refuses depths that its parser may accept."""
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ErasureError, match="must be signed by the owner of this key"):
        verify_records({**sign_records(model, KEY), "deep": deep}, model, KEY.public_key())


@pytest.mark.parametrize("document", [None, [], {}, {"signature": "00"}, {"algorithm": "Ed25519"}])
def test_no_document(model, document):
    with pytest.raises(ErasureError, match=r"must (be a dict|have a signature)"):
        verify_records(document, model, KEY.public_key())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2}, "must have schema 1 or older"),
        ({"models": None}, "must have a list of models"),
        ({"models": [{}]}, "must have the keys place, parameters"),
        ({"models": []}, "must have the places of the models"),
    ],
)
def test_signed_documents_of_another_form(model, changes, message):
    content = {**sign_records(model, KEY), **changes}
    del content["signature"]
    with pytest.raises(ErasureError, match=message):
        verify_records(signed(content, KEY), model, KEY.public_key())


def test_keys_in_every_form(model, tmp_path):
    path = tmp_path / "key.pem"
    path.write_bytes(private_pem())
    public = tmp_path / "public.pem"
    public.write_bytes(public_pem())
    for key in (KEY, private_pem(), private_pem().decode(), path, str(path)):
        document = sign_records(model, key)
        for verifier in (KEY.public_key(), public_pem(), public, str(public)):
            assert verify_records(document, model, verifier) == []


def secrets_of(pem):
    """Pieces of the body of a PEM."""
    body = b"".join(line for line in pem.splitlines() if not line.startswith(b"--")).decode()
    return [body[i : i + 12] for i in range(len(body) - 11)]


def bad_private_keys():
    p256 = ec.generate_private_key(ec.SECP256R1())
    locked = private_pem(KEY, serialization.BestAvailableEncryption(b"password"))
    yield locked, "must have no password, got a PEM with one"
    yield private_pem(p256), "got a key of another algorithm"
    yield public_pem(), "got a public key"
    yield private_pem()[:-60], "got a private key"
    yield private_pem().splitlines()[1], "got no PEM"
    yield private_pem().splitlines()[1].decode(), "The file of the private key must be readable"


@pytest.mark.parametrize(("key", "message"), list(bad_private_keys()))
def test_bad_private_keys_are_refused_and_not_quoted(model, key, message):
    with pytest.raises(ErasureError, match=message) as error:
        sign_records(model, key)
    texts = [str(error.value), repr(error.value), str(error.value.__cause__)]
    pem = key.encode() if isinstance(key, str) else key
    pieces = secrets_of(pem)
    assert pieces
    assert not [piece for piece in pieces for text in texts if piece in text]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (private_pem(), "got a private key"),
        (public_pem(ec.generate_private_key(ec.SECP256R1())), "got a key of another algorithm"),
        ("nowhere.pem", "must be readable, got: No such file"),
        (b"", "got no PEM"),
    ],
)
def test_bad_public_keys(model, key, message):
    with pytest.raises(ErasureError, match=message):
        verify_records(sign_records(model, KEY), model, key)


def test_keys_of_other_types(model):
    with pytest.raises(ErasureTypeError, match=r"A private key must be a path, .*got int"):
        sign_records(model, 17)
    with pytest.raises(ErasureTypeError, match="got Ed25519PrivateKey"):
        verify_records(sign_records(model, KEY), model, KEY)


def test_without_cryptography(model, monkeypatch):
    document = sign_records(model, KEY)
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric", None)
    for call in (
        partial(sign_records, model, KEY),
        partial(verify_records, document, model, KEY.public_key()),
    ):
        with pytest.raises(MissingPackageError, match=r"pip install 'sklearn-ssse\[sign\]'"):
            call()


# The command line


@pytest.fixture
def folder(tmp_path, monkeypatch, fitted, binary):
    """A model file, a file of rows and a pair of keys, in the working directory."""
    skops = pytest.importorskip("skops.io")
    pandas = pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    X, y = binary
    skops.dump(fitted, "model.skops")
    table = pandas.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])]).assign(target=y)
    table[:5].to_csv("rows.csv", index=False)
    table[5:].to_csv("retained.csv", index=False)
    assert run("new-key", "private.pem", "public.pem") == 0
    return tmp_path


def run(*args):
    try:
        return command.main([str(arg) for arg in args])
    except SystemExit as stop:
        return stop.code


def change(verb="unlearn", model="model.skops", rows="rows.csv", out="erased.skops", *more):
    files = ["--out", out, "--record", f"{out}.json"]
    return run(verb, model, "--rows", rows, "--target", "target", *files, *more)


def verify(record="erased.skops.json", model="erased.skops", key="public.pem"):
    return run("verify-record", record, "--model", model, "--public-key", key)


SIGN = ("--sign", "private.pem")


def test_from_a_request_to_a_verified_record(folder, capsys):
    assert (
        change("unlearn", "model.skops", "rows.csv", "erased.skops", *SIGN, "--request-id", "c")
        == 0
    )
    record = json.loads((folder / "erased.skops.json").read_text())
    assert record["erasures"] == record["models"][0]["records"]
    assert record["erasures"][0]["request_id"] == "c"
    assert record["erased_sha256"] == sha256((folder / "erased.skops").read_bytes()).hexdigest()
    capsys.readouterr()
    assert verify() == 0
    text = capsys.readouterr().out
    assert text == (
        "erased.skops.json is signed by the owner of public.pem and describes erased.skops: "
        "1 record of 1 model.\n"
    )
    assert change("refresh", "erased.skops", "retained.csv", "new.skops", *SIGN) == 0
    capsys.readouterr()
    assert verify("new.skops.json", "new.skops") == 0
    assert "note: ErasableLogisticRegression: trained once after" in capsys.readouterr().out
    assert verify("erased.skops.json", "new.skops") == 1


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_new_keys(folder):
    assert (folder / "private.pem").stat().st_mode & 0o777 == 0o600
    before = (folder / "private.pem").read_bytes()
    assert run("new-key", "private.pem", "other.pem") == 2
    assert run("new-key", "one.pem", "one.pem") == 2
    assert (folder / "private.pem").read_bytes() == before
    assert not (folder / "other.pem").exists()
    (folder / "link.pem").symlink_to("target.pem")
    assert run("new-key", "link.pem", "other.pem") == 1
    assert run("new-key", "other.pem", "link.pem") == 1
    assert not (folder / "target.pem").exists()
    assert not (folder / "other.pem").exists()


def test_what_verify_record_refuses(folder, capsys):
    change("unlearn", "model.skops", "rows.csv", "erased.skops", *SIGN)
    change("unlearn", "model.skops", "rows.csv", "unsigned.skops")
    run("new-key", "other.pem", "otherpublic.pem")
    record = (folder / "erased.skops.json").read_text()
    digit = re.sub('"n_erased": 5', '"n_erased": 6', record)
    left_out = json.loads(record)
    left_out["models"][0]["records"] = []
    contents = {
        "digit.json": digit,
        "left_out.json": json.dumps(left_out),
        "twice.json": record.replace('"model":', '"model": "x", "model":', 1),
        "broken.json": record[:-9],
    }
    for name, text in contents.items():
        assert text != record
        (folder / name).write_text(text)
    capsys.readouterr()
    for given, code, message in (
        ({"key": "otherpublic.pem"}, 1, "got one that names another key"),
        ({"record": "digit.json"}, 1, "got a document that was changed since"),
        ({"record": "left_out.json"}, 1, "got a document that was changed since"),
        ({"record": "twice.json"}, 1, "must be a whole record as JSON"),
        ({"record": "broken.json"}, 1, "must be a whole record as JSON"),
        ({"record": "unsigned.skops.json"}, 1, "must have a signature"),
        ({"model": "model.skops"}, 1, "got 1 for a model that has 0"),
        ({"model": "unsigned.skops"}, 1, "must (describe|be the file)"),
        ({"model": "public.pem"}, 1, "must be saved by skops"),
        ({"key": "private.pem"}, 1, "got a private key"),
        ({"key": "nowhere.pem"}, 2, "--public-key must be a file that can be read"),
        ({"record": "nowhere.json"}, 2, "RECORD must be a file that can be read"),
        ({"model": "nowhere.skops"}, 2, "--model must be a file that can be read"),
    ):
        assert verify(**given) == code, given
        out, error = capsys.readouterr()
        assert out == ""
        assert re.search(message, error), (given, error)
    assert run("verify-record", "erased.skops.json") == 2
    assert verify() == 0


def test_the_whole_file_is_compared(folder, capsys):
    """Other statistics than the parameters are not in the records: the SHA-256 of the file is."""
    skops = pytest.importorskip("skops.io")
    change("unlearn", "model.skops", "rows.csv", "erased.skops", *SIGN)
    model = skops.load("erased.skops", trusted=TRUSTED_TYPES)
    model.damping_ = model.damping_ * 2
    skops.dump(model, "swapped.skops")
    assert verify(model="swapped.skops") == 1
    assert "must be the file that was written with" in capsys.readouterr().err


def test_names_in_a_model_file_cannot_control_the_terminal(folder, binary, capsys):
    skops = pytest.importorskip("skops.io")
    steps = [("s\x1b[2J\n  n erased: 0", StandardScaler()), ("model", ErasableLogisticRegression())]
    skops.dump(Pipeline(steps).fit(*binary), "model.skops")
    assert change("unlearn", "model.skops", "rows.csv", "erased.skops") == 0
    assert run("inspect", "erased.skops") == 0
    out, error = capsys.readouterr()
    assert r"kept by: s\x1b[2J\n  n erased: 0" in out
    assert "\x1b" not in out + error
    assert "\n  n erased: 0" not in out


def test_a_note_if_the_record_has_no_hash_of_the_file(folder, fitted, capsys):
    (folder / "own.json").write_text(json.dumps(sign_records(fitted, "private.pem")))
    assert verify("own.json", "model.skops") == 0
    assert "note: the record has no SHA-256 of the model file" in capsys.readouterr().out


def test_signing_fails_before_anything_is_written(folder, capsys):
    before = sorted(path.name for path in folder.iterdir())
    for more, code in (
        (("--sign", "public.pem"), 1),
        (("--sign", "nowhere.pem"), 1),
        (("--request-id", ""), 2),
        (("--request-id", "x" * 201), 2),
    ):
        assert change("unlearn", "model.skops", "rows.csv", "erased.skops", *more) == code
    files = ["--out", "erased.skops", "--record", "private.pem", "--force"]
    assert (
        run("unlearn", "model.skops", "--rows", "rows.csv", "--target", "target", *files, *SIGN)
        == 2
    )
    assert sorted(path.name for path in folder.iterdir()) == before


# No value of a row is in a record


def test_no_planted_value_is_in_a_record(tmp_path, monkeypatch, capsys):
    """Features, label, column names, group ids and index of the forget rows are looked for."""
    pandas = pytest.importorskip("pandas")
    skops = pytest.importorskip("skops.io")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    X = pandas.DataFrame(rng.normal(size=(120, 3)), columns=["colalpha", "colbeta", "colgamma"])
    X.index = [f"person{i:03d}" for i in range(120)]
    y = np.where(X.sum(axis=1) + rng.normal(size=120) > 0, "labelone", "labeltwo")
    X.iloc[7] = [0.8731492, -0.6123457, 0.4409173]
    pipe = make_pipeline(StandardScaler(), ErasableLogisticRegression(curvature="fisher"))
    pipe.fit(X, y)
    skops.dump(pipe, "model.skops")
    planted = ["colalpha", "colbeta", "person007", "labelone", "labeltwo"]
    planted += ["8731492", "6123457", "4409173"]
    scaled = pipe[:-1].transform(X.iloc[[7]])[0]
    planted += [repr(float(value))[2:10].lstrip("0.-") for value in scaled]
    planted += [sha256(row.tobytes()).hexdigest() for row in (X.to_numpy()[7], scaled)]
    texts = []
    chosen = {"groups": list(X.index), "forget": ["person007"], "preprocessing": "downdate"}
    preview = preview_unlearn(pipe, X, y, **chosen)
    unlearn(pipe, X, y, **chosen, request_id="case 7")
    with may_warn(LONG_STEP, REFRESH, NO_ROWS, "Added rows"):
        learn(pipe, X.iloc[[7]], y[[7]])
        rectify(pipe, X.iloc[[7]], y[[7]], X.iloc[[8]], y[[7]])
    document = sign_records(pipe, KEY)
    texts += [repr(preview), preview.to_json(), canonical(document), repr(document)]
    texts += [text for r in pipe[-1].erasures_ for text in (repr(r), str(r), r.to_json())]
    rows = X.iloc[[7]].assign(label=y[7], who="person007")
    rows.to_csv("rows.csv", index=False)
    (tmp_path / "key.pem").write_bytes(private_pem())
    (tmp_path / "public.pem").write_bytes(public_pem())
    files = ["--out", "erased.skops", "--record", "record.json", "--sign", "key.pem"]
    names = ["--target", "label", "--group-column", "who", "--forget", "person007"]
    assert run("unlearn", "model.skops", "--rows", "rows.csv", *names, *files) == 0
    assert verify("record.json", "erased.skops") == 0
    assert verify("record.json", "model.skops") == 1
    texts += [(tmp_path / "record.json").read_text(), *capsys.readouterr()]
    pipe[-1].coef_ = pipe[-1].coef_ * 2
    for call in (sign_records, partial(verify_records, document)):
        with pytest.raises(ErasureError) as error:
            call(pipe, KEY if call is sign_records else KEY.public_key())
        texts.append(str(error.value))
    assert all(len(text) > 40 for text in texts)
    found = [(word, text[:60]) for word in planted for text in texts if word in text]
    assert found == []
