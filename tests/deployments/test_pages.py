"""Each page leads from nothing to the first read in at most four steps, and says how many there are."""

import pytest

from tests.deployments import pages


@pytest.mark.parametrize("name", pages.names())
def test_a_page_has_at_most_four_steps_and_says_how_many(name: str) -> None:
    page = pages.read(name)
    assert 1 <= len(page.steps) <= 4
    assert page.says_how_many_steps, f"write '{pages.WORDS[len(page.steps)]} steps to the first read'"
    assert all(step.deeds for step in page.steps), "a step in which there is nothing to do"
