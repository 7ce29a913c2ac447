"""The examples in the pages of the docs folder run."""

import doctest
import warnings
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
PAGES_WITH_EXAMPLES = ["bounds.md", "proof.md", "records.md", "workflows.md"]
# These pages explain and report measurements; a page belongs to one of the two lists.
PAGES_WITHOUT_EXAMPLES = [
    "architecture.md",
    "certified.md",
    "constants.md",
    "constants_network.md",
    "figure_1.md",
    "figure_2.md",
    "guards.md",
    "method.md",
    "race.md",
    "related.md",
    "release.md",
    "streams.md",
    "verification.md",
    "which_eps.md",
]


def test_every_page_is_listed():
    pages = sorted(path.name for path in DOCS.glob("*.md"))
    assert pages == sorted(PAGES_WITH_EXAMPLES + PAGES_WITHOUT_EXAMPLES)


@pytest.mark.parametrize("page", PAGES_WITH_EXAMPLES)
def test_examples_run(page):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a page shows output, not warnings
        failures, tried = doctest.testfile(
            str(DOCS / page), module_relative=False, optionflags=OPTIONS
        )
    assert tried > 0
    assert failures == 0


@pytest.mark.parametrize("page", PAGES_WITHOUT_EXAMPLES)
def test_other_pages_have_no_examples(page):
    assert doctest.DocTestParser().get_examples((DOCS / page).read_text()) == []
