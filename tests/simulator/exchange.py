"""One request from arrival to log: the planned fault, the face's answer, the entry in the ledger. No sockets."""

from __future__ import annotations

import sys
import time
import traceback
from dataclasses import dataclass

from .cloud import Cloud
from .faults import Fault
from .ledger import Call
from .web import Face, Refused, Request, Response


@dataclass(frozen=True)
class Answer:
    """`response` None: the connection is closed without a word. `truncate`: half of the body, then closed."""

    response: Response | None
    truncate: bool = False


def answer(cloud: Cloud, face: Face, request: Request) -> Answer:
    """What goes back to the client. Recorded before it is sent, so that whoever got it finds it in the log."""
    call = Call(
        service=face.service,
        operation=face.operation(request),
        method=request.method,
        path=request.raw_path,
        at=cloud.now(),
        agent=request.header("user-agent"),
    )
    fault = cloud.faults.take(call.service, call.operation)
    if fault is None:
        response = _from_face(face, request, call)
        _record(cloud, call, response)
        return Answer(response)
    return _faulty(cloud, face, request, call, fault)


def _faulty(cloud: Cloud, face: Face, request: Request, call: Call, fault: Fault) -> Answer:
    call.code = fault.name()
    if fault.hang or fault.drop:
        cloud.ledger.record(call)
        if fault.hang:
            cloud.faults.wait_until_cleared(fault)
        return Answer(None)
    if fault.delay_s:
        time.sleep(fault.delay_s)
    response = fault.bend(_instead(face, request, fault) or _from_face(face, request, call))
    if fault.garbage or fault.truncate or fault.patch is not None:
        call.code = fault.name()
    _record(cloud, call, response)
    return Answer(response, truncate=fault.truncate)


def _instead(face: Face, request: Request, fault: Fault) -> Response | None:
    if fault.body is not None:
        return Response(fault.status or 200, fault.body.encode(), {"Content-Type": "application/json"})
    if fault.status is not None:
        refused = Refused(fault.status, fault.code or f"Simulated{fault.status}", fault.message or "planned fault")
        return face.refusal(refused, request)
    return None


def _from_face(face: Face, request: Request, call: Call) -> Response:
    call.code = "ok"
    try:
        return face.answer(request, call)
    except Refused as refused:
        call.code = refused.code
        return face.refusal(refused, request)
    except Exception as exc:  # noqa: BLE001 - a bug in a face must fail the test that met it, not hang its client
        traceback.print_exc(file=sys.stderr)
        call.code = f"SimulatorError:{type(exc).__name__}"
        return face.refusal(Refused(500, "InternalError", "the simulator failed: see its stderr"), request)


def _record(cloud: Cloud, call: Call, response: Response) -> None:
    call.status = response.status
    if call.service != "admin":
        cloud.ledger.record(call)
