"""The files of a command that changes a model: locked, unchanged meanwhile, written together."""

import os
import secrets
import shutil
from contextlib import contextmanager, nullcontext
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from sklearn_ssse._cli.errors import CommandError, file_access
from sklearn_ssse._cli.locks import locked
from sklearn_ssse._cli.unfinished import (
    PLAN,
    PREVIOUS,
    UNFINISHED,
    Plan,
    read_plan,
    sync_folder,
    temporary_files,
)
from sklearn_ssse._utils.warnings import warn


class Output(NamedTuple):
    """A file to write, its content, and the file whose permissions to copy, or None."""

    path: Path
    data: bytes
    like: Path | None


@contextmanager
def open_outputs(read, out, record, *, wait, overwrite):
    """Lock the files of a command and undo stopped commands; yields the hashes of the outputs.

    Parameters
    ----------
    read : list of Path
        Resolved paths of the files that the command reads.
    out, record : Path
        Resolved paths of the files that it writes.
    wait : float
        Seconds to wait for other commands.
    overwrite : bool
        Whether the outputs may exist.

    Yields
    ------
    hashes : dict of Path to (str or None)
        The SHA-256 of every file, None if there is no file; for `write_together`.

    Raises
    ------
    CommandError
        If another command used a file for longer than ``wait``, or wrote an output meanwhile. An
        output that is also read may have changed, because the command reads it after the wait.

    Warns
    -----
    ErasureWarning
        If a record was undone, or if the file system has no locks.
    """
    outputs = [path for path in (out, record) if path not in read]
    before = {path: file_hash(path) if overwrite else None for path in outputs}
    with locked([out, record], read, wait) as is_locked:
        check_unchanged(before)
        if is_locked:
            _undo_stopped_commands(out, [out, record])
        yield {path: file_hash(path) for path in (out, record, *read)}


def write_together(record, model, hashes):
    """Write the record and the model: both, or neither.

    The record is renamed first. If the process is killed before it renames the model, the plan
    shows that the record has no model. In the other order, the changed model would have no record,
    and the same rows could be erased twice.

    Parameters
    ----------
    record, model : Output
    hashes : dict of Path to (str or None)
        The hashes that files must still have before the first rename, None for no file.

    Raises
    ------
    CommandError
        If one of these files changed. Nothing was written.
    """
    token = f"{os.getpid()}-{secrets.token_hex(4)}"
    new_hashes = [sha256(output.data).hexdigest() for output in (model, record)]
    plan = Plan(model.path, record.path, *new_hashes, token)
    new_record = plan.temporary(record.path, UNFINISHED)
    new_model = plan.temporary(model.path, UNFINISHED)
    try:
        _write(plan.temporary(model.path, PLAN), plan.to_json())
        if record.path.exists():
            previous = plan.temporary(record.path, PREVIOUS)
            _write(previous, record.path.read_bytes(), record.path)
        _write(new_record, record.data, record.like)
        _write(new_model, model.data, model.like)
        for output in (record, model):
            sync_folder(output.path)
        check_unchanged(hashes)
        os.replace(new_record, record.path)
        sync_folder(record.path)
        os.replace(new_model, model.path)
        sync_folder(model.path)
    finally:
        plan.undo()  # removes the temporary files; the record is undone if it has no model


def file_hash(path):
    """The SHA-256 of a file, None if there is no file."""
    with file_access(path, "read"):
        try:
            return sha256(path.read_bytes()).hexdigest()
        except FileNotFoundError:
            return None


def check_unchanged(hashes):
    """Refuse files whose hash is another one than given."""
    for path, expected in hashes.items():
        if file_hash(path) != expected:
            raise CommandError(
                f"{path} must not change while the command is at work, got a file that another "
                "program wrote, changed or removed. Nothing was written. Run the command again."
            )


def _undo_stopped_commands(out, held):
    """Undo every command that was stopped while it wrote ``out``, whose lock is held."""
    for file in temporary_files(out.parent):
        if file.kind != PLAN or file.target != out:
            continue
        with file_access(file.path, "read"):
            plan = read_plan(file)
            needs_lock = plan is not None and plan.is_half_done() and plan.record not in held
        # Without a wait: a second lock is obtained out of order, so two could wait for each other.
        lock = locked([plan.record], wait=0) if needs_lock else nullcontext()
        with lock, file_access(file.path, "remove"):
            if plan is None:
                file.path.unlink(missing_ok=True)
            elif plan.undo():
                warn(
                    f"{plan.record} was undone: it described a change that {out} did not hold, "
                    "because its command was stopped before it wrote the model. Run that command "
                    "again if its change is still wanted."
                )


def _write(path, data, like=None):
    """Write a new file to the disk, with the permissions of the file ``like``."""
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    if like is not None:
        shutil.copymode(like, path)
