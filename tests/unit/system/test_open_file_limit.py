"""The sockets together stay below the limit of open files."""

import resource

import pytest

from credagent.system import open_file_limit


@pytest.mark.parametrize(
    ("soft", "hard", "raised", "most"),
    [
        (1024, 524_288, 4096, 1024),
        (1024, 4096, 4096, 1024),
        (1024, 1024, 1024, 448),
        (64, 64, 64, 1),
        (8192, resource.RLIM_INFINITY, 8192, 1024),
        (1024, resource.RLIM_INFINITY, 4096, 1024),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, resource.RLIM_INFINITY, 1024),
    ],
)
def test_there_is_room_for_both_servers_and_for_helpers(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, raised: int, most: int
) -> None:
    limits = [soft, hard]
    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(limits))
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: limits.__setitem__(slice(None), new))
    open_file_limit.make_room()
    assert limits == [raised, hard]
    assert open_file_limit.most_connections() == most
