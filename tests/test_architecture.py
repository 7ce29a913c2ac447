"""The rules of the code for imports, names and lengths, and docs/architecture.md."""

import ast
import importlib
import importlib.util
import inspect
import re
import sys

import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ssse import ErasableLogisticRegression, unlearn
from tests import test_docs

ROOT = test_docs.DOCS.parent


def load_generator():
    """docs/architecture.py as a module."""
    spec = importlib.util.spec_from_file_location("architecture", ROOT / "docs" / "architecture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


architecture = load_generator()
FILES = architecture.files()
TREES = {path: architecture.parsed(path) for path in FILES}
SOURCES = sorted(
    path
    for folder in ("sklearn_ssse", "tests", "examples", "docs")
    for path in (ROOT / folder).rglob("*.py")
)
# Imported inside a function: optional dependencies, and modules that take long to import and that
# only some calls need.
LATE = {"cryptography", "torch", "skops", "matplotlib", "pandas", "pyarrow", "skl2onnx", "numba"}
LATE_MODULES = {
    "sklearn.neighbors",  # 12 ms
    "sklearn_ssse._composites.meta_estimators",  # 50 ms
    "sklearn_ssse._cli.rows",  # pandas
    "sklearn_ssse._kernels.rank1",  # numba
    "sklearn_ssse._kernels.torch",
}
NAMES = {"fisher", "empirical_fisher", "full", "block", "low_rank", "diagonal"}
# The tables, the choice of "auto", and validation.
MAY_COMPARE = {"_gradients/curvatures.py", "_inverse/choice.py", "_erasure/parameters.py"}


def where(path, node=None):
    """File and line, for a message."""
    name = str(path.relative_to(ROOT))
    return name if node is None else f"{name}:{node.lineno}"


def functions(tree):
    """Every function of a file."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


# The page


def test_page_is_up_to_date():
    """Run ``python docs/architecture.py`` if this fails."""
    assert architecture.PAGE.read_text(encoding="utf-8") == architecture.page()


def listed(heading):
    """The function names of the list under a heading of the page."""
    text = architecture.PAGE.read_text(encoding="utf-8").split(f"## {heading}\n")[1]
    return [line.split()[0] for line in text.split("```text\n")[1].split("```")[0].splitlines()]


def resolve(name):
    """The code of a function such as ``_erasure.planning.make_step``."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(["sklearn_ssse", *parts[:length]]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return inspect.unwrap(found).__code__
    raise LookupError(name)


def called(function):
    """Code objects in the order of their first call."""
    order = {}

    def profile(frame, event, arg):
        if event == "call":
            order.setdefault(frame.f_code, len(order))

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(before)
    return order


@pytest.mark.parametrize("heading", ["Calls of a fit", "Calls of an erasure"])
def test_functions_are_called_in_the_order_of_the_page(heading, binary):
    X, y = binary
    pipe = make_pipeline(StandardScaler(), ErasableLogisticRegression())
    order = called(lambda: pipe.fit(X, y))
    if heading == "Calls of an erasure":
        order = called(lambda: unlearn(pipe, X[:3], y[:3]))
    names = listed(heading)
    assert len(names) > 10
    missing = [name for name in names if resolve(name) not in order]
    assert missing == []
    assert sorted(names, key=lambda name: order[resolve(name)]) == names


def test_counts_of_files_exist():
    """Every file that the table of CONTRIBUTING.md names."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.split("| to add |")[1].split("\n\n")[0]
    paths = re.findall(r"`([\w/]+\.py)`", table)
    assert len(paths) > 8
    for path in paths:
        tops = [ROOT, ROOT / "sklearn_ssse", ROOT / "sklearn_ssse" / "_preprocessing"]
        assert any((top / path).exists() for top in tops), path


# Imports


def test_imports_follow_the_layers():
    rows = architecture.layers()
    height = {unit: i for i, row in enumerate(rows) for unit in row}
    found = architecture.imports()
    assert found.keys() == height.keys()
    wrong = [
        f"{unit} imports {other}"
        for unit, others in found.items()
        for other in others
        if height[other] <= height[unit]
    ]
    assert not wrong, "\n".join(wrong)


def test_other_folders_are_imported_by_their_init():
    wrong = []
    for path, tree in TREES.items():
        for name in architecture.imported_modules(tree):
            unit, _, inner = name.partition(".")
            if inner and unit not in (architecture.unit_of(path), "_utils"):
                wrong.append(f"{where(path)} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_init_files_hold_imports_only():
    wrong = []
    for path, tree in TREES.items():
        if path.name == "__init__.py" and path.parent != architecture.PACKAGE:
            for node in tree.body[1:]:
                if not isinstance(node, (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign)):
                    wrong.append(where(path, node))
            assert ast.get_docstring(tree), where(path)
    assert not wrong, "\n".join(wrong)


def test_imports_are_at_the_top():
    wrong = []
    for path, tree in TREES.items():
        for function in functions(tree):
            for node in ast.walk(function):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
                else:
                    continue
                if not any(name.split(".")[0] in LATE or name in LATE_MODULES for name in names):
                    wrong.append(where(path, node))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").rglob("*.py")), ids=lambda p: p.name)
def test_examples_import_names_that_exist(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "sklearn_ssse":
            module = importlib.import_module(node.module)
            missing = [alias.name for alias in node.names if not hasattr(module, alias.name)]
            assert not missing, f"{node.module}: {', '.join(missing)}"


# Names and lengths


def test_every_function_has_a_name():
    wrong = [
        where(path, function)
        for path, tree in TREES.items()
        for function in functions(tree)
        if function.name == "_"
    ]
    assert not wrong, "\n".join(wrong)


def test_lines_are_short():
    wrong = []
    for path in SOURCES:
        lines = path.read_text(encoding="utf-8").splitlines()
        wrong += [f"{where(path)}:{i}" for i, line in enumerate(lines, 1) if len(line) > 100]
    assert not wrong, "\n".join(wrong)


def test_files_are_short():
    counts = [(where(path), len(path.read_text(encoding="utf-8").splitlines())) for path in FILES]
    wrong = [f"{name}: {count}" for name, count in counts if count > 400]
    assert not wrong, "\n".join(wrong)


def own_lines(function):
    """Lines of a function without its docstring."""
    count = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        text = function.body[0]
        count -= text.end_lineno - text.lineno + 1
    return count


def only_stores_parameters(function):
    """Whether a function is the constructor of a scikit-learn estimator."""
    statements = [ast.unparse(node) for node in function.body]
    stored = re.compile(r"self\.(\w+) = \1|super\(\)\.__init__\((\w+=\w+(, )?)*\)")
    return function.name == "__init__" and all(map(stored.fullmatch, statements))


def test_functions_are_short():
    wrong = [
        f"{where(path, function)} {function.name}: {own_lines(function)}"
        for path, tree in TREES.items()
        for function in functions(tree)
        if own_lines(function) > 60 and not only_stores_parameters(function)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_comparison_with_the_name_of_a_curvature_or_structure():
    """Code reads the record of a curvature and the attributes of a structure instead."""
    wrong = []
    for path, tree in TREES.items():
        if str(path.relative_to(architecture.PACKAGE)) in MAY_COMPARE:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare):
                inside = [
                    part for side in (node.left, *node.comparators) for part in ast.walk(side)
                ]
                values = {part.value for part in inside if isinstance(part, ast.Constant)}
                if values & NAMES:
                    wrong.append(where(path, node))
    assert not wrong, "\n".join(wrong)
