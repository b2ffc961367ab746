"""Stories that share one place (a built wheel, an address) run in one process, also where others run beside it."""

import pytest


@pytest.mark.xdist_group("groups")
def test_groups_are_kept_together_when_several_processes_run(request: pytest.FixtureRequest) -> None:
    asked = getattr(request.config.option, "loadgroup", False)
    assert request.node.nodeid.endswith("@groups") == asked
