"""Every block of code in every document is run by a test that reads it there, or says why it cannot be."""

import re
import subprocess

import pytest

from tests import pages
from tests.deployments import pages as deployments

PAGES = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
    cwd=pages.ROOT,
    capture_output=True,
    text=True,
    check=True,
).stdout.split()
README_LINES = 150

pytestmark = pytest.mark.skipif(not PAGES, reason="not a checkout of git: nothing says which files there are")


def test_each_block_is_run_by_a_test_that_reads_its_page_or_says_why_not() -> None:
    unknown = []
    for page in PAGES:
        name = page.rpartition("/")[2].removesuffix(".md")
        for block in pages.blocks(page):
            test = pages.ROOT / block.test
            read = bool(block.test) and test.is_file() and name in test.read_text(encoding="utf-8")
            if not read and not block.reason:
                unknown.append(f"{page}:{block.line}")
    assert unknown == []


@pytest.mark.parametrize("name", deployments.names())
def test_what_a_deployments_page_says_is_run_is_in_its_steps(name: str) -> None:
    """What is after the last step, or is neither typed nor a file, is not done by whoever follows the page."""
    deeds = {deed.text for deed in deployments.read(name).deeds}
    run = [block for block in pages.blocks(f"packaging/examples/deployments/{name}.md") if not block.reason]
    assert {text for block in run for text in (block.typed if block.kind == "console" else [block.text])} == deeds


def test_the_readme_is_read_in_one_go() -> None:
    assert len((pages.ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES


def test_no_block_is_without_a_kind() -> None:
    """What a program prints is `text`; everything else can be run, and says of what kind it is."""
    for page in PAGES:
        fences = re.findall(r"^ *```(\w*)$", (pages.ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
        assert all(fences[::2]), page
