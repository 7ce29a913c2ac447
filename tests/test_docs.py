"""The examples in the pages of the docs folder run."""

import doctest
import warnings
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_examples(page):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        failures, tried = doctest.testfile(
            str(DOCS / page),
            module_relative=False,
            optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS,
        )
    assert failures == 0
    assert tried > 0 or page != "workflows.md"
