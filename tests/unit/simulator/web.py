"""A plain HTTP request, for what no SDK would send."""

import json
import urllib.request
from typing import Any, NamedTuple
from urllib.error import HTTPError


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    url: str, method: str = "GET", headers: dict[str, str] | None = None, body: Any = None, timeout_s: float = 5
) -> Answer:
    """A dict is sent as JSON."""
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    request = urllib.request.Request(url, data, headers or {}, method=method)  # noqa: S310  the simulator's address
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:  # noqa: S310  the simulator's address
            return Answer(response.status, response.read(), dict(response.headers))
    except HTTPError as error:
        with error:
            return Answer(error.code, error.read(), dict(error.headers))
