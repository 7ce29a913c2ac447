"""The five commands of the README, from the rows of a request to a signed record and a report.

The page `docs/proof.md` shows their output. The example in Python on it is run by `test_docs`.
"""

import io
import json
import re
import runpy
import shlex
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sklearn_ssse._cli import parser as command
from sklearn_ssse._signing import read_private_key, signed

pytest.importorskip("pandas", reason="pip install 'sklearn-ssse[test]'")
skops = pytest.importorskip("skops.io", reason="pip install 'sklearn-ssse[test]'")
pytest.importorskip("cryptography", reason="pip install 'sklearn-ssse[test]'")

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "proof.md").read_text(encoding="utf-8")
PYTHON = ".venv/bin/python "
# Relative difference that the numbers of the page may have to the output on another machine.
TOLERANCE = 0.05
NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[-+]\d+)?")


def commands_of(text):
    """The commands of a block of sh, each on one line."""
    return re.sub(r"\s*\\\n\s*", " ", text).strip().splitlines()


COMMANDS = commands_of(re.search(r"<!-- one request -->\n```sh\n(.+?)```", README, re.S)[1])


def run(line, folder):
    """Exit code, output and errors of a command of the README, in a folder."""
    words = shlex.split(line.rsplit("&& ", 1)[-1].removeprefix(PYTHON))
    out = io.StringIO()
    error = io.StringIO()
    with chdir(folder), redirect_stdout(out), redirect_stderr(error):
        if words[:2] == ["-m", "sklearn_ssse"]:
            code = command.main(words[2:])
        else:
            code = run_script(*words)
    return SimpleNamespace(code=code, out=out.getvalue(), error=error.getvalue())


def run_script(path, *arguments):
    given = sys.argv
    sys.argv = [path, *arguments]
    try:
        runpy.run_path(str(ROOT / path), run_name="__main__")
    finally:
        sys.argv = given
    return 0


@pytest.fixture(scope="module")
def request_folder(tmp_path_factory):
    """The folder in which the commands were run, and their results."""
    folder = tmp_path_factory.mktemp("proof")
    results = [run(line, folder) for line in COMMANDS]
    return SimpleNamespace(path=folder, results=results)


def test_five_commands_of_the_readme(request_folder):
    assert len(COMMANDS) == 5
    for line, result in zip(COMMANDS, request_folder.results, strict=True):
        assert (result.code, result.error) == (0, ""), line
    files = {path.name for path in (request_folder.path / "request").iterdir()}
    assert {"erased.skops", "record.json", "report.html"} <= files
    record = json.loads((request_folder.path / "request" / "record.json").read_text())
    assert record["warnings"] == []
    (erasure,) = record["models"][0]["records"]
    assert erasure["request_id"] == "case 17"
    assert erasure["n_erased"] == 50
    assert erasure["refresh_recommended"] == ""
    page = (request_folder.path / "request" / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")


def shown():
    """Pairs of a command on the page and the output that the page shows."""
    blocks = re.findall(r"```console\n\$ (.+?)```", PAGE, re.S)
    for block in blocks:
        end = re.search(r"(?<!\\)\n", block).end()
        yield commands_of(block[:end])[0], block[end:].splitlines()


def same_line(shown, printed):
    """Whether two lines differ in the last digits of numbers alone."""
    if NUMBER.sub("#", shown).split() != NUMBER.sub("#", printed).split():
        return False
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True)
    return all(np.isclose(float(a), float(b), rtol=TOLERANCE) for a, b in pairs)


def test_the_page_shows_the_output_of_the_commands(request_folder):
    examples = list(shown())
    assert [line for line, _ in examples] == COMMANDS[2:]
    for (_, lines), result in zip(examples, request_folder.results[2:], strict=True):
        printed = iter(result.out.splitlines())
        for line in lines:
            if line != "...":
                assert any(same_line(line, other) for other in printed), line


def test_the_page_states_the_budget(request_folder):
    path = request_folder.path / "request" / "erased.skops"
    model = skops.load(path, trusted=skops.get_untrusted_types(file=path))[-1]
    found = re.search(r"budget\s+is\s+0\.1 sqrt\((\d+)\), which is (\S+)\.\s", PAGE)
    assert int(found[1]) == model.coef_.size + model.intercept_.size
    assert found[2] == f"{model.erasure_budget_.limit:.2f}"


# Records that do not describe the model


def refused(request_folder, record, model="erased.skops", key="public.pem"):
    """The sentence by which `verify-record` refuses a record, with exit code 1."""
    line = f"-m sklearn_ssse verify-record request/{record} --model request/{model}"
    result = run(f"{line} --public-key request/{key}", request_folder.path)
    assert result.code == 1
    assert result.out == ""
    prefix, sentence = result.error.split(": ", 1)
    assert prefix == "python -m sklearn_ssse verify-record"
    assert re.fullmatch(r"[^\n]+\.\n", sentence)
    return sentence


def on_the_page(sentence):
    """Whether the table of refusals has the beginning of the sentence."""
    rows = re.findall(r"^\| [^|]+ \| (The document [^|]+?) \|$", PAGE, re.M)
    return any(sentence.startswith(row) for row in rows)


@pytest.fixture(scope="module")
def second(request_folder):
    """A second erasure, from the model of the first one."""
    folder = request_folder.path / "request"
    rows = (folder / "retained.csv").read_text().splitlines(keepends=True)
    (folder / "more.csv").write_text("".join(rows[:4]))
    line = "-m sklearn_ssse unlearn request/erased.skops --rows request/more.csv --target income"
    line += " --track --request-id 'case 18' --sign request/private.pem"
    line += " --out request/second.skops --record request/second.json"
    assert run(line, request_folder.path).code == 0
    return folder


def test_a_wrong_key(request_folder):
    run("-m sklearn_ssse new-key request/p.pem request/other.pem", request_folder.path)
    sentence = refused(request_folder, "record.json", key="other.pem")
    assert "got one that names another key" in sentence
    assert on_the_page(sentence)


def test_a_changed_digit(request_folder):
    folder = request_folder.path / "request"
    record = (folder / "record.json").read_text()
    changed = record.replace('"n_erased": 50', '"n_erased": 51', 1)
    assert changed != record
    (folder / "changed.json").write_text(changed)
    sentence = refused(request_folder, "changed.json")
    assert "got a document that was changed since" in sentence
    assert on_the_page(sentence)


@pytest.mark.parametrize("position", [0, 1])
def test_a_deleted_record(second, request_folder, position):
    """Of two records, one was deleted, and the document was not signed again."""
    document = json.loads((second / "second.json").read_text())
    assert len(document["models"][0]["records"]) == 2
    del document["models"][0]["records"][position]
    (second / "short.json").write_text(json.dumps(document))
    assert "changed since" in refused(request_folder, "short.json", "second.skops")


def test_a_missing_last_record(second, request_folder):
    """A valid document of the first erasure, for the model after the second one."""
    sentence = refused(request_folder, "record.json", "second.skops")
    assert "got 1 for a model that has 2" in sentence
    assert on_the_page(sentence)
    line = "-m sklearn_ssse verify-record request/second.json --model request/second.skops"
    assert run(f"{line} --public-key request/public.pem", request_folder.path).code == 0


def test_a_record_left_out_by_the_signer(second, request_folder):
    """The owner of the key signs a document without its first record."""
    document = json.loads((second / "second.json").read_text())
    del document["models"][0]["records"][0]
    del document["signature"]
    signer = read_private_key(second / "private.pem")
    (second / "short.json").write_text(json.dumps(signed(document, signer)))
    sentence = refused(request_folder, "short.json", "second.skops")
    assert "Pipeline[0]/ErasableLogisticRegression" in sentence
    assert "record" in sentence


def test_another_model(request_folder):
    sentence = refused(request_folder, "record.json", "model.skops")
    assert "got 1 for a model that has 0" in sentence
    assert on_the_page(sentence)


def test_a_second_request_for_the_same_rows(request_folder):
    """Four of the 50 rows are equal to a retained row."""
    line = COMMANDS[2].replace("request/model.skops", "request/erased.skops")
    line = line.replace("--out request/erased.skops", "--out request/again.skops")
    line = line.replace("request/record.json", "request/again.json")
    result = run(line, request_folder.path)
    assert result.code == 1
    assert "got 46 of 50 that were never trained on, or were erased before" in result.error
    assert not (request_folder.path / "request" / "again.skops").exists()


def test_a_report_on_a_model_that_was_not_erased(request_folder):
    folder = request_folder.path / "request"
    (folder / "copy.skops").write_bytes((folder / "model.skops").read_bytes())
    line = "-m sklearn_ssse verify request/model.skops request/copy.skops"
    result = run(f"{line} --rows request/withdrawn.csv --target income", request_folder.path)
    assert result.code == 1
    assert "nothing was erased" in result.out
