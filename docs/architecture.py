"""Write the layers and the imports of the package into docs/architecture.md, from the code.

``python docs/architecture.py`` rewrites the part of the page between its two markers.
``tests/test_architecture.py`` fails if the page differs from the code.
"""

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "sklearn_ssse"
PAGE = ROOT / "docs" / "architecture.md"
START = "<!-- written by docs/architecture.py -->\n"
STOP = "<!-- end -->\n"


def unit_of(path):
    """The folder or top-level module that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def files():
    """Every Python file of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def parsed(path):
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def layers():
    """The layers of pyproject.toml, top first, each a list of the units that exist."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    (contract,) = [contract for contract in contracts if contract["type"] == "layers"]
    units = {unit_of(path) for path in files()}
    rows = [[name.strip(" ()") for name in row.split("|")] for row in contract["layers"]]
    return [[name for name in row if name in units] for row in rows]


def imported_modules(tree):
    """Dotted names of the package that a file imports, without the package's own name."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            package, _, module = node.module.partition(".")
            names = [module] if module else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            pairs = [alias.name.partition(".") for alias in node.names]
            package, names = "sklearn_ssse", [p[2] for p in pairs if p[0] == "sklearn_ssse"]
        else:
            continue
        if package == "sklearn_ssse":
            found += [name for name in names if name]
    return found


def imports():
    """The units that each unit imports."""
    units = {unit_of(path) for path in files()} - {"__init__"}
    found = {unit: set() for unit in units}
    for path in files():
        unit = unit_of(path)
        if unit in units:
            targets = {name.split(".")[0] for name in imported_modules(parsed(path))}
            found[unit] |= (targets & units) - {unit}
    return found


def purpose(unit):
    """First line of the docstring of a folder or a module."""
    path = PACKAGE / unit / "__init__.py"
    path = path if path.exists() else PACKAGE / f"{unit}.py"
    return (ast.get_docstring(parsed(path)) or "").split("\n")[0]


def generated():
    """The picture of the layers, and the table of units."""
    rows = layers()
    picture = "\n    |\n".join("   ".join(row) for row in rows)
    found = imports()
    table = ["| unit | holds | imports |", "|---|---|---|"]
    for unit in [unit for row in rows for unit in row]:
        below = ", ".join(f"`{name}`" for row in rows for name in row if name in found[unit])
        table.append(f"| `{unit}` | {purpose(unit)} | {below} |")
    return f"\n```text\n{picture}\n```\n\n" + "\n".join(table) + "\n\n"


def page():
    """The page as it must be."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(START)
    _, after = rest.split(STOP)
    return before + START + generated() + STOP + after


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
