"""Controls a simulator that runs in another process: `Remote(url).fault("sts", status=400)`."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

DEADLINE_S = 30.0


class RemoteError(Exception):
    """The control refused: the text says why."""


class Remote:
    """Every control of `controls.Controls`, by the admin face at `url`."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._opener = build_opener(ProxyHandler({}))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)

        def call(*positional: object, **named: object) -> Any:
            return self._call(name, positional, named)

        return call

    def _call(self, name: str, positional: tuple[object, ...], named: dict[str, object]) -> Any:
        body = json.dumps({"positional": positional, "named": named}, default=_encoded).encode()
        request = Request(f"{self._url}/{name}", body, {"Content-Type": "application/json"})  # noqa: S310 - loopback
        try:
            with self._opener.open(request, timeout=DEADLINE_S) as response:
                return json.load(response)["result"]
        except HTTPError as exc:
            document = json.load(exc)
            raise RemoteError(f"{name}: {document['error']}: {document['message']}") from None


def _encoded(value: object) -> dict[str, str]:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    raise TypeError(f"not JSON: {type(value).__name__}")
