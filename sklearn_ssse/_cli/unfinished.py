"""The temporary files of a command that writes a model and its record, and how to undo it.

A command writes these files beside the model ``m.skops`` and the record ``r.json``, in this order.
TOKEN is the number of its process and eight random digits.

1. ``.m.skops.TOKEN.plan``: the path of the record, and the hashes of both new files.
2. ``.r.json.TOKEN.previous``: a copy of ``r.json``, if the command will overwrite it.
3. ``.r.json.TOKEN.unfinished`` and ``.m.skops.TOKEN.unfinished``: the new files.

It renames the new record, then the new model, and removes the other files. A process that is
killed between the two renames leaves a new record without its model. The plan shows this, and the
next command that writes ``m.skops`` undoes the record.
"""

import json
import os
import re
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from sklearn_ssse._cli.locks import LOCK, in_use

UNFINISHED = "unfinished"
PREVIOUS = "previous"
PLAN = "plan"
CONTENTS = {
    UNFINISHED: "a new file that a stopped command had not renamed",
    PREVIOUS: "a copy, made by a stopped command, of the file that it was about to overwrite",
    PLAN: "the plan of a stopped command",
    LOCK: "the empty lock file of a stopped command",
}
TEMPORARY_NAME = re.compile(
    rf"\.(?P<target>.+)\.(?P<token>\d+-[0-9a-f]{{8}})\.(?P<kind>{UNFINISHED}|{PREVIOUS}|{PLAN})"
)
LOCK_NAME = re.compile(rf"\.(?P<target>.+)\.(?P<kind>{LOCK})")


class Plan(NamedTuple):
    """Two files that a command writes together, the hashes of their new content, and its token."""

    model: Path
    record: Path
    model_sha256: str
    record_sha256: str
    token: str

    def temporary(self, path, kind):
        """The temporary file of one kind beside ``path``."""
        return path.with_name(f".{path.name}.{self.token}.{kind}")

    def to_json(self):
        """The content of the plan file, bytes."""
        content = {
            "record": str(self.record),
            "model_sha256": self.model_sha256,
            "record_sha256": self.record_sha256,
        }
        return json.dumps(content).encode()

    def is_half_done(self):
        """Whether the new record is in place, and the new model not."""
        is_waiting = self.temporary(self.model, UNFINISHED).exists()
        if not is_waiting or not self.record.is_file():
            return False
        data = self.record.read_bytes()
        # Only a record is ever undone, whatever path and hash the plan file contains.
        return sha256(data).hexdigest() == self.record_sha256 and _describes(
            data, self.model_sha256
        )

    def undo(self):
        """Restore the previous record of a half-done command, and remove the temporary files.

        Returns whether the command was half done.
        """
        previous = self.temporary(self.record, PREVIOUS)
        is_half_done = self.is_half_done()
        if is_half_done and previous.exists():
            os.replace(previous, self.record)
        elif is_half_done:
            self.record.unlink()
        if is_half_done:
            sync_folder(self.record)
        for path, kind in (
            (self.model, UNFINISHED),
            (self.record, UNFINISHED),
            (self.record, PREVIOUS),
            (self.model, PLAN),  # the last one, so that a stopped undo can be repeated
        ):
            self.temporary(path, kind).unlink(missing_ok=True)
        return is_half_done


class TemporaryFile(NamedTuple):
    """A file made by a command beside its ``target``, the command's token, and the file's kind.

    A lock file has no token.
    """

    path: Path
    target: Path
    token: str | None
    kind: str


def temporary_files(folder):
    """The temporary files and lock files of all commands in a folder: list of `TemporaryFile`."""
    paths = []
    with suppress(OSError):  # a folder that may be used and not be listed
        paths = sorted(folder.iterdir())
    files = []
    for path in paths:
        match = TEMPORARY_NAME.fullmatch(path.name) or LOCK_NAME.fullmatch(path.name)
        if match is not None:
            names = match.groupdict()
            target = path.with_name(names["target"])
            files.append(TemporaryFile(path, target, names.get("token"), names["kind"]))
    return files


def read_plan(file):
    """The `Plan` in a plan file, None if its command was stopped while it wrote the file."""
    try:
        content = json.loads(file.path.read_bytes())
        record = Path(content["record"])
        hashes = [content["model_sha256"], content["record_sha256"]]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return Plan(file.target, record, *hashes, file.token) if record.name else None


def inspect_folder(model):
    """The facts about stopped commands in the folder of a model, as JSON.

    Returns
    -------
    facts : dict
        ``in_use``: whether a command is writing the model now. ``records_without_model``: paths of
        records that describe a change that was not written. ``leftovers``: for each file of a
        stopped command its name, size, kind and description, and whether it may be deleted.
    """
    model = model.resolve()
    # A command ends its lock after it has removed its files, so the order of the tests matters.
    files = [
        file
        for file in temporary_files(model.parent)
        if not in_use(file.target, reading_counts=file.kind == LOCK)
    ]
    half_done = {}
    for file in files:
        with suppress(OSError):  # a file that another user may not read
            plan = read_plan(file) if file.kind == PLAN else None
            if plan is not None and plan.is_half_done():
                half_done[plan.token] = plan
    leftovers = [_leftover(file, half_done.get(file.token)) for file in files]
    return {
        "in_use": in_use(model),
        "records_without_model": [str(plan.record) for plan in half_done.values()],
        "leftovers": [leftover for leftover in leftovers if leftover is not None],
    }


def sync_folder(path):
    """Make a new name in the folder of ``path`` last through a power failure."""
    with suppress(OSError):  # some systems cannot open a folder
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _leftover(file, plan):
    """The facts about one file; None if it was removed meanwhile."""
    try:
        size = file.path.stat().st_size
    except FileNotFoundError:
        return None
    content = CONTENTS[file.kind]
    if plan is None:
        advice = f"It may be deleted; the next command that writes {file.target.name} removes it."
    else:
        advice = (
            f"{plan.record.name} describes a change that {plan.model.name} does not hold. Keep "
            f"this file: the next command that writes {plan.model.name} needs it to undo "
            f"{plan.record.name}."
        )
    return {
        "file": file.path.name,
        "bytes": size,
        "kind": file.kind,
        "content": f"{content}. {advice}",
        "may_be_deleted": plan is None,
    }


def _describes(data, model_sha256):
    """Whether the bytes are a record of the model with this hash."""
    try:
        record = json.loads(data)
    except ValueError:
        return False
    hashes = {f"{done}_sha256" for done in ("erased", "refreshed")}
    return isinstance(record, dict) and model_sha256 in [record.get(name) for name in hashes]
