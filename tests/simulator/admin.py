"""The admin face: `POST /NAME` with a JSON object of arguments calls the control of that name. Loopback only.

Bytes travel as `{"base64": "…"}`.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from .controls import Controls
from .ledger import Call
from .web import Refused, Request, Response, json_response


class Admin:
    service = "admin"

    def __init__(self, controls: Controls) -> None:
        self._controls = controls

    def operation(self, request: Request) -> str:
        return request.path.strip("/")

    def answer(self, request: Request, call: Call) -> Response:
        if request.method == "GET" and call.operation == "":
            return json_response({"ready": True})
        control = getattr(Controls, call.operation, None)
        if request.method != "POST" or call.operation.startswith("_") or not callable(control):
            raise Refused(404, "NoSuchControl", call.operation)
        arguments = json.loads(request.body or b"{}", object_hook=_bytes)
        positional, named = arguments.get("positional", ()), arguments.get("named", arguments)
        try:
            result = control(self._controls, *positional, **named)
        except (KeyError, TypeError, ValueError) as exc:
            raise Refused(400, type(exc).__name__, str(exc)) from exc
        return json_response({"result": result})

    def refusal(self, refused: Refused, request: Request) -> Response:
        return json_response({"error": refused.code, "message": refused.message}, refused.status)


def _bytes(value: dict[str, Any]) -> Any:
    return base64.b64decode(value["base64"]) if set(value) == {"base64"} else value
