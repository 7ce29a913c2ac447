"""The tables of docs/constants.md and docs/constants_network.md agree with the code."""

import ast
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "sklearn_ssse"
PAGES = [ROOT / "docs" / "constants.md", ROOT / "docs" / "constants_network.md"]


class Row(NamedTuple):
    """A row of a table whose first columns are a name, its module and its value."""

    kind: str
    name: str
    module: str
    value: str


def table_rows():
    """The rows of all tables of both pages whose second column is "module"."""
    for page in PAGES:
        header = None
        for line in page.read_text().splitlines():
            cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")]
            if not line.startswith("|"):
                header = None
            elif header is None:
                header = cells
            elif header[1] == "module" and not cells[0].startswith("---"):
                assert len(cells) == len(header) == 6, line
                assert all(cells), line
                yield Row(header[0], *cells[:3])


def definitions(path):
    """Functions, classes and assigned expressions of the top level of a module, by name."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name, node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            yield node.target.id, node.value


def numbers(node):
    """The value of a number or of a tuple of numbers as floats; None for other code."""
    if not isinstance(node, ast.expr):
        return None
    source = compile(ast.Expression(node), "constant", "eval")
    try:
        value = np.atleast_1d(eval(source, {"np": np, "__builtins__": {}}))
    except (NameError, TypeError):
        return None
    is_numeric = value.size > 0 and value.dtype.kind in "iuf"
    return value.astype(float).tolist() if is_numeric else None


def numeric_constants():
    """The numeric constants of the package: (module, name) -> list of floats."""
    return {
        (path.relative_to(PACKAGE).as_posix(), name): value
        for path in sorted(PACKAGE.rglob("*.py"))
        for name, node in definitions(path)
        if name.isupper() and (value := numbers(node)) is not None
    }


def written(value):
    """The numbers of a table cell, such as "10,000", "2^17" or "0.01, 100"."""
    found = []
    for part in value.split(", "):
        base, _, power = part.replace(",", "").partition("^")
        found.append(float(base) ** float(power or 1))
    return found


ROWS = list(table_rows())
CONSTANTS = [row for row in ROWS if row.kind == "constant"]
OTHER_NUMBERS = [row for row in ROWS if row.kind == "number in"]
IN_CODE = numeric_constants()


def test_every_constant_is_in_one_row():
    assert Counter((row.module, row.name) for row in CONSTANTS) == Counter(IN_CODE.keys())


@pytest.mark.parametrize("row", CONSTANTS, ids=lambda row: f"{row.module}:{row.name}")
def test_value_of_a_constant(row):
    assert written(row.value) == IN_CODE[row.module, row.name]


@pytest.mark.parametrize("row", OTHER_NUMBERS, ids=lambda row: f"{row.name}:{row.value}")
def test_number_without_a_constant_is_in_the_code(row):
    code = dict(definitions(PACKAGE / row.module))[row.name]
    parts = [node for node in ast.walk(code) if isinstance(node, ast.Constant | ast.BinOp)]
    assert written(row.value) in [numbers(node) for node in parts]
