"""Files of the command line if two commands run at once, one is killed, or the disk is full.

Children are forked from a server that has imported the package, so that a child starts at once.
"""

import hashlib
import json
import multiprocessing
import os
import random
import re
import signal
import sys
import tempfile
import threading
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import scale

import sklearn_ssse
from sklearn_ssse import ErasableLogisticRegression
from sklearn_ssse._cli import commands, locks, main, writing

pandas = pytest.importorskip("pandas", reason="pip install 'sklearn-ssse[test]'")
skops = pytest.importorskip("skops.io", reason="pip install 'sklearn-ssse[test]'")
import sklearn_ssse._cli.rows  # noqa: E402 - children need not import it again

if os.name != "posix":
    pytest.skip("children are forked", allow_module_level=True)

import resource  # noqa: E402 - POSIX only

# Seconds after which a child is killed and its test fails.
LIMIT = 60
N = 300
FEATURES = [f"x{i}" for i in range(4)]
# The numbers of rows in the files a.csv and b.csv: the rows that a model lost show which it lost.
ROWS = {"a": 1, "b": 2}
# Audit events, beside those of opened files, before which a command is killed.
EVENTS = {"os.rename", "os.remove", "fcntl.flock"}


@pytest.fixture(scope="module")
def content():
    """The bytes of a model file, and the frame of its training rows."""
    X, y = load_breast_cancer(return_X_y=True)
    frame = pandas.DataFrame(scale(X)[:N, :4], columns=FEATURES)
    model = ErasableLogisticRegression(curvature="fisher").fit(frame, y[:N])
    return skops.dumps(model), frame.assign(y=y[:N])


@pytest.fixture
def folder(tmp_path, monkeypatch, content):
    """A folder with a model, and two files of rows that have no row in common."""
    monkeypatch.chdir(tmp_path)
    fill(tmp_path, content)
    return tmp_path


def fill(folder, content):
    (folder / "m.skops").write_bytes(content[0])
    start = 0
    for name, count in ROWS.items():
        content[1][start : start + count].to_csv(folder / f"{name}.csv", index=False)
        start += count


def arguments(folder, rows, out="m.skops", record=None, more=("--force",)):
    """The command that erases the rows ``rows``, with absolute paths."""
    record = record or f"{rows}.json"
    files = {"--rows": f"{rows}.csv", "--out": out, "--record": record}
    options = [text for name, file in files.items() for text in (name, str(folder / file))]
    return ["unlearn", str(folder / "m.skops"), "--target", "y", *options, *more]


def child(arguments, output, prepare, *values):
    """The main function of a child: prepare it, and run a command whose output is a file."""
    with open(output, "w", buffering=1) as file, redirect_stdout(file), redirect_stderr(file):
        prepare(*values)
        sys.exit(main(arguments))


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A function that starts a command in a child; it returns the process and its output file."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    outputs = tmp_path_factory.mktemp("outputs")
    processes = []

    def started(arguments, prepare=time.time, *values):
        output = outputs / str(len(processes))
        process = context.Process(target=child, args=(arguments, output, prepare, *values))
        processes.append(process)
        process.start()
        return process, output

    yield started
    for process in processes:
        if process.is_alive():
            process.kill()


def finish(process):
    """The exit code of a child."""
    process.join(LIMIT)
    assert process.exitcode is not None, "the child is still at work"
    return process.exitcode


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def rows_lost(path):
    model = skops.load(path, trusted=sklearn_ssse.TRUSTED_TYPES)
    assert sum(record.n_erased for record in model.erasures_) == N - model.n_samples_remaining_
    return N - model.n_samples_remaining_


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def hidden(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def inspected(path, capsys):
    capsys.readouterr()
    assert main(["inspect", str(path), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def hashes_of(record):
    report = json.loads(record.read_text())
    return report["sha256"], report["erased_sha256"]


# Two commands at once


@pytest.mark.parametrize("i", range(int(os.environ.get("SSSE_PAIRS", "10"))))
def test_two_erasures_at_once_are_both_in_the_result(folder, start, i):
    first = sha256(folder / "m.skops")
    started = [start(arguments(folder, rows))[0] for rows in ROWS]
    assert [finish(process) for process in started] == [0, 0]
    assert rows_lost(folder / "m.skops") == sum(ROWS.values())
    # One read what the other wrote, and each record has both hashes.
    chain = dict(hashes_of(folder / f"{rows}.json") for rows in ROWS)
    assert chain[chain[first]] == sha256(folder / "m.skops")
    assert hidden(folder) == []


@pytest.mark.parametrize("i", range(3))
def test_without_a_wait_an_erasure_is_done_or_refused(folder, start, i):
    started = {
        rows: start(arguments(folder, rows, more=("--force", "--wait", "0"))) for rows in ROWS
    }
    done = [rows for rows, (process, _) in started.items() if finish(process) == 0]
    assert done
    assert rows_lost(folder / "m.skops") == sum(ROWS[rows] for rows in done)
    for rows, (process, output) in started.items():
        assert (folder / f"{rows}.json").exists() == (rows in done)
        if rows not in done:
            assert process.exitcode == 1
            assert "must not be in use by another command" in output.read_text()
    assert hidden(folder) == []


def wait_for(condition):
    limit = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


@pytest.mark.parametrize("name", ["e.skops", "r.json"])
@pytest.mark.parametrize("exists", [False, True])
def test_an_output_that_another_command_wrote_meanwhile_is_not_overwritten(
    folder, start, name, exists
):
    """With --force too: the files that it permits to overwrite are those at the start."""
    if exists:
        (folder / name).write_text("old")
    more = ["--force"] if exists else []
    with locks.locked([folder / name]):
        process, output = start(arguments(folder, "a", "e.skops", "r.json", more))
        wait_for(lambda: output.exists() and "is in use by another command" in output.read_text())
        (folder / name).write_text("of another command")
        before = {path: content for path, content in files(folder).items() if path[0] != "."}
    assert finish(process) == 1
    assert f"{name} must not change while the command is at work" in output.read_text()
    assert files(folder) == before


@pytest.mark.parametrize("name", ["m.skops", "e.skops", "r.json"])
def test_a_file_that_another_program_changed_is_not_overwritten(folder, monkeypatch, capsys, name):
    """A program without the lock changes a file during the erasure."""
    for output in ("e.skops", "r.json"):
        (folder / output).write_text("old")
    carry_out = commands.carry_out

    def changed(*args):
        carry_out(*args)
        (folder / name).write_text("changed")

    monkeypatch.setattr(commands, "carry_out", changed)
    before = files(folder)
    assert main(arguments(folder, "a", "e.skops", "r.json")) == 1
    assert f"{name} must not change while the command is at work" in capsys.readouterr().err
    assert files(folder) == before | {name: b"changed"}


def test_commands_may_read_one_model_at_once(folder, capsys):
    """A shared lock of the input permits other readers, and no writer."""
    with locks.locked([], [folder / "m.skops"]):
        assert main(arguments(folder, "a", "e.skops", more=("--wait", "0"))) == 0
        assert main(arguments(folder, "b", more=("--force", "--wait", "0"))) == 1
        assert main(["inspect", "m.skops"]) == 0
    assert "Run the command again, or raise --wait." in capsys.readouterr().err
    assert hidden(folder) == []


def test_links_share_the_lock_of_their_file(folder, capsys):
    (folder / "link.skops").symlink_to("m.skops")
    with locks.locked([folder / "m.skops"]):
        assert main(arguments(folder, "a", "link.skops", more=("--force", "--wait", "0"))) == 1
        assert not main(["preview", "link.skops", "--rows", "a.csv", "--target", "y"])
    assert main(arguments(folder, "a", "link.skops")) == 0
    assert (folder / "link.skops").is_symlink()
    assert rows_lost(folder / "m.skops") == ROWS["a"]


def test_a_hard_link_keeps_the_model_before(folder):
    os.link("m.skops", "other.skops")
    assert main(arguments(folder, "a")) == 0
    assert [rows_lost(Path(name)) for name in ("m.skops", "other.skops")] == [ROWS["a"], 0]


def test_one_holder_at_a_time_although_the_lock_file_is_removed(tmp_path, monkeypatch):
    """Threads count in a file, in steps that another holder of the lock would disturb."""
    monkeypatch.setattr(locks, "POLL_SECONDS", 1e-4)
    counter = tmp_path / "counter"
    counter.write_text("0")

    def count():
        for _ in range(40):
            with locks.locked([counter], wait=LIMIT):
                value = int(counter.read_text())
                time.sleep(1e-4)
                counter.write_text(str(value + 1))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert counter.read_text() == "160"
    assert hidden(tmp_path) == []


def test_locks_in_opposite_order_do_not_deadlock(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "POLL_SECONDS", 1e-4)
    paths = [tmp_path / "a", tmp_path / "b"]
    held = []

    def hold(written, read):
        for _ in range(40):
            with locks.locked([written], [read], wait=LIMIT):
                held.append(written)

    threads = [threading.Thread(target=hold, args=order) for order in (paths, paths[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert len(held) == 80


def test_a_file_system_without_locks_is_named(folder, monkeypatch, capsys):
    def none(*args):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(locks.fcntl, "flock", none)
    assert main(arguments(folder, "a")) == 0
    assert "got a file system without locks" in capsys.readouterr().err
    assert "got a file system without locks" in (folder / "a.json").read_text()
    assert hidden(folder) == []


# Killed commands


def kill_at_event(number, folder):
    """Kill this process before its access number ``number`` to the files of the folder."""
    seen = []

    def count(event, values):
        if event in EVENTS or (event == "open" and str(values[0]).startswith(str(folder))):
            seen.append(event)
            if len(seen) == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def check_after_kill(folder, model, record, capsys):
    """The laws after the command for a.csv was killed; ``model`` is its content before.

    ``record`` is the content of a.json before, None if there was none.
    """
    written = files(folder)
    before = {"m.skops": model} | ({} if record is None else {"a.json": record})
    facts = inspected(folder / "m.skops", capsys)
    is_done = written["m.skops"] != model
    lost = rows_lost(folder / "m.skops")
    assert lost == (ROWS["a"] if is_done else 0)
    assert [leftover["file"] for leftover in facts["leftovers"]] == hidden(folder)
    assert not facts["in_use"]
    if is_done:
        assert hashes_of(folder / "a.json")[1] == sha256(folder / "m.skops")
    elif written.get("a.json") != record:
        assert facts["records_without_model"] == [str(folder / "a.json")]
    assert is_done or facts["records_without_model"] or written.get("a.json") == record

    assert main(arguments(folder, "b")) == 0
    assert rows_lost(folder / "m.skops") == lost + ROWS["b"]
    expected = written if is_done else before
    assert files(folder).get("a.json") == expected.get("a.json")
    assert hashes_of(folder / "b.json")[1] == sha256(folder / "m.skops")
    # The lock file of the record is empty, and the next command for this record removes it.
    assert set(hidden(folder)) <= {".a.json.ssse-lock"}
    undone = f"{folder / 'a.json'} was undone: it described a change that"
    assert (undone in (folder / "b.json").read_text()) == bool(facts["records_without_model"])
    return is_done, bool(facts["records_without_model"])


def test_a_kill_before_any_access_to_a_file(folder, start, content, capsys):
    """A process is killed at each of its accesses, the last time after it was done."""
    outcomes = []
    exitcode = -signal.SIGKILL
    while exitcode == -signal.SIGKILL:
        fill(folder, content)
        (folder / "a.json").write_text("the old record")
        (folder / "b.json").unlink(missing_ok=True)
        number = len(outcomes) + 1
        process, _ = start(arguments(folder, "a"), kill_at_event, number, folder)
        exitcode = finish(process)
        outcomes.append(check_after_kill(folder, content[0], b"the old record", capsys))
    assert exitcode == 0
    assert len(outcomes) > 20
    is_done, is_half_done = np.array(outcomes).T
    assert np.all(np.diff(is_done.astype(int)) >= 0)
    # The state between the two renames.
    assert 0 < is_half_done.sum() < 4


def test_kills_at_random_times(folder, start, content, capsys):
    rng = random.Random(int(os.environ.get("SSSE_SEED", "0")))
    for _ in range(2):  # the first child may wait until its server has started
        began = time.monotonic()
        assert finish(start(arguments(folder, "a"))[0]) == 0
        duration = time.monotonic() - began
    for _ in range(int(os.environ.get("SSSE_KILLS", "8"))):
        for record in folder.glob("*.json"):
            record.unlink()
        fill(folder, content)
        process, _ = start(arguments(folder, "a"))
        time.sleep(rng.uniform(0, 1.1 * duration))
        process.kill()
        finish(process)
        check_after_kill(folder, content[0], None, capsys)


def kill_after_rename():
    rename = os.replace

    def renamed(*paths):
        rename(*paths)
        os.kill(os.getpid(), signal.SIGKILL)

    os.replace = renamed


def half_done(folder, start):
    """Kill the command for a.csv between its two renames."""
    process, _ = start(arguments(folder, "a"), kill_after_rename)
    assert finish(process) == -signal.SIGKILL
    assert hashes_of(folder / "a.json")


def test_an_undo_may_be_killed_as_well(folder, start, capsys):
    (folder / "a.json").write_text("the old record")
    half_done(folder, start)
    state = files(folder)
    assert {"plan", "previous", "unfinished"} < {name.rpartition(".")[2] for name in state}
    number = 0
    while (folder / "a.json").read_text() != "the old record" or any(
        name.endswith(".plan") for name in hidden(folder)
    ):
        number += 1
        for path in folder.iterdir():
            path.unlink()
        for name, data in state.items():
            (folder / name).write_bytes(data)
        process, _ = start(arguments(folder, "b"), kill_at_event, number, folder)
        assert finish(process) == -signal.SIGKILL
        facts = inspected(folder / "m.skops", capsys)
        old = (folder / "a.json").read_text() == "the old record"
        assert old != bool(facts["records_without_model"])
        assert [leftover["file"] for leftover in facts["leftovers"]] == hidden(folder)
    assert number > 5


def test_inspect_describes_a_half_done_command(folder, start, capsys):
    half_done(folder, start)
    assert main(["inspect", "m.skops"]) == 0
    out = capsys.readouterr().out
    assert f"records without model: {folder / 'a.json'}" in out
    assert "Leftover file 1 of " in out
    assert "a.json describes a change that m.skops does not hold" in out
    leftovers = inspected(folder / "m.skops", capsys)["leftovers"]
    may = {leftover["kind"]: leftover["may_be_deleted"] for leftover in leftovers}
    assert may == {"plan": False, "unfinished": False, "ssse-lock": True}


def test_files_of_a_command_at_work_are_no_leftovers(folder, capsys):
    """In the folder of the model, for any output of a command."""
    for name in ("m.skops", "e.skops"):
        (folder / f".{name}.12-0123abcd.unfinished").write_bytes(b"12345")
    with locks.locked([folder / "m.skops"]):
        facts = inspected(folder / "m.skops", capsys)
        assert facts["in_use"]
        assert [leftover["file"] for leftover in facts["leftovers"]] == [
            ".e.skops.12-0123abcd.unfinished"
        ]
    facts = inspected(folder / "m.skops", capsys)
    assert [leftover["bytes"] for leftover in facts["leftovers"]] == [5, 5]
    assert main(["inspect", "e.skops"]) == 1
    err = capsys.readouterr().err
    assert "e.skops must be a model file, got none, and files of stopped commands" in err


NO_NAME = '{"record": "", "model_sha256": "", "record_sha256": ""}'


@pytest.mark.parametrize("text", ["", "{", "[]", '{"record": 1}', '{"record": "a.csv"}', NO_NAME])
def test_a_plan_that_is_not_whole_undoes_nothing(folder, text):
    (folder / ".m.skops.12-0123abcd.plan").write_text(text)
    before = (folder / "a.csv").read_bytes()
    assert main(arguments(folder, "a")) == 0
    assert (folder / "a.csv").read_bytes() == before
    assert hidden(folder) == []


def test_a_plan_undoes_no_other_file_than_a_record(folder):
    """A plan file that names some other file, even with its hash, does not remove it."""
    model, record = "ab" * 32, {"record": str(folder / "b.csv")}
    hashes = {"model_sha256": model, "record_sha256": sha256(folder / "b.csv")}
    (folder / ".m.skops.12-0123abcd.plan").write_text(json.dumps(record | hashes))
    (folder / ".m.skops.12-0123abcd.unfinished").write_text("")
    assert main(arguments(folder, "a")) == 0
    assert (folder / "b.csv").exists()
    assert hidden(folder) == []


# Full disks and missing permissions


def limit_size(size):
    """Let no file of this process exceed a size, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("size", [600, 5000])
def test_a_full_disk_changes_nothing(folder, start, content, size):
    """The record, or the model, does not fit."""
    assert len(content[0]) > 5000
    (folder / "a.json").write_text("the old record")
    before = files(folder)
    process, output = start(arguments(folder, "a"), limit_size, size)
    assert finish(process) == 1
    assert "File too large" in output.read_text()
    assert files(folder) == before


@pytest.mark.parametrize("call", range(6))
def test_no_space_at_any_write(folder, monkeypatch, capsys, call):
    (folder / "a.json").write_text("the old record")
    before = files(folder)
    calls = []

    def write(path, data, like=None):
        calls.append(path)
        if len(calls) > call:
            raise OSError(28, "No space left on device", str(path))
        real(path, data, like)

    real = writing._write
    monkeypatch.setattr(writing, "_write", write)
    code = main(arguments(folder, "a"))
    if call < 4:
        assert code == 1
        err = capsys.readouterr().err
        assert "possible to write" in err
        assert "No space left on device" in err
        assert files(folder) == before
    else:
        assert code == 0


def refuse(monkeypatch, folder):
    """Let no file of a folder be opened for writing, as the system does for a user without root."""
    real = os.open

    def opened(path, flags, *args, **options):
        if flags & (os.O_WRONLY | os.O_RDWR) and Path(path).parent == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, flags, *args, **options)

    monkeypatch.setattr(os, "open", opened)


def test_a_folder_that_refuses_new_files(folder, monkeypatch, capsys):
    """Nothing changes if an output cannot be written. The input may be in a read-only folder."""
    (folder / "new").mkdir()
    before = files_below(folder)
    with monkeypatch.context() as patch:
        refuse(patch, folder / "new")
        assert main(arguments(folder, "a", "new/e.skops")) == 1
        err = capsys.readouterr().err
        assert f"possible to write {folder / 'new' / 'e.skops'}, got: Permission denied." in err
        assert files_below(folder) == before
    refuse(monkeypatch, folder)
    assert main(arguments(folder, "a", "new/e.skops", "new/a.json")) == 0
    assert rows_lost(folder / "new" / "e.skops") == ROWS["a"]
    assert files_below(folder).keys() == before.keys() | {"new/e.skops", "new/a.json"}


def files_below(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def without_root(folder):
    """Give up the rights of root, for whom every folder can be written."""
    if os.geteuid() == 0:
        # Whatever a command imports late may be in a folder that only root can read.
        main(arguments(folder, "a", "new/e.skops", "new/a.json"))
        for path in (folder / "new").iterdir():
            path.unlink()
        os.setuid(65534)


def test_a_folder_without_write_permission(start, content):
    """The same by the permissions of the system, in a child that is not root."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        fill(folder, content)
        (folder / "new").mkdir()
        before = files_below(folder)
        folder.chmod(0o555)
        (folder / "new").chmod(0o777)
        process, output = start(arguments(folder, "a"), without_root, folder)
        assert finish(process) == 1
        assert f"write {folder / 'a.json'}, got: Permission denied." in output.read_text()
        assert files_below(folder) == before
        process, output = start(
            arguments(folder, "a", "new/e.skops", "new/a.json"), without_root, folder
        )
        assert finish(process) == 0, output.read_text()
        assert files_below(folder).keys() == before.keys() | {"new/e.skops", "new/a.json"}
        folder.chmod(0o755)


# Erasures of no rows


@pytest.mark.parametrize(
    ("ids", "forget", "more", "message"),
    [
        ([17, 17, 18], "17", [], None),
        (["17", " 17", "18"], "17", [], None),
        (["17", "17", "18"], "170", [], "must be in column who, got 1 of 1 without a row"),
        (["17.5", "17.5", "18"], "17", [], "must be in column who, got 1 of 1 without a row"),
        (["017", "017", "18"], "17", [], "must be in column who, got 1 of 1 without a row"),
        ([17, 17, 18], "17", ["--weights", "w"], "must hold rows of positive weight"),
        ([], "17", [], "must hold at least one row|must be in column who"),
    ],
)
@pytest.mark.parametrize("parquet", [False, True])
def test_an_erasure_of_no_rows_is_refused(
    folder, content, capsys, ids, forget, more, message, parquet
):
    """The IDs of the option are text, the ones of a Parquet file may be numbers."""
    frame = content[1][: len(ids)].assign(who=ids)
    if more:
        frame["w"] = 0.0
    frame.to_parquet("a.csv") if parquet else frame.to_csv("a.csv", index=False)
    before = files(folder)
    group = ["--force", "--group-column", "who", "--forget", forget]
    code = main(arguments(folder, "a", more=[*group, *more]))
    if message is None:
        assert code == 0
        assert rows_lost(folder / "m.skops") == 2
    else:
        assert code == 1
        assert re.search(message, capsys.readouterr().err)
        assert files(folder) == before


@pytest.mark.parametrize("parquet", [False, True])
def test_ids_that_are_floats(folder, content, capsys, parquet):
    """A Parquet file holds whole numbers as floats if one is missing; a CSV file holds text."""
    frame = content[1][:3].assign(who=[17.0, 17.0, None])
    frame.to_parquet("a.csv") if parquet else frame.to_csv("a.csv", index=False)
    command = arguments(folder, "a", more=["--group-column", "who", "--forget", "17", "--force"])
    assert main(command) == (0 if parquet else 1)
    assert rows_lost(folder / "m.skops") == (2 if parquet else 0)
    assert ("got 1 of 1 without a row" in capsys.readouterr().err) == (not parquet)
