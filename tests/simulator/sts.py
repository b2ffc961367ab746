"""AWS Security Token Service: the query protocol, for the four actions that hand out or name an identity."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from uuid import uuid4
from xml.sax.saxutils import escape

from . import sessions, times
from .accounts import MAX_ROLE_SESSION_S, Role
from .cloud import Cloud
from .ledger import Call, Issued
from .sigv4 import Wording, verify
from .web import Refused, Request, Response, json_response, xml_response

NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
CHAINED_MAX_S = 3600
WORDING = Wording(
    missing=(403, "MissingAuthenticationToken", "Request is missing Authentication Token"),
    unknown_key=(403, "InvalidClientTokenId", "The security token included in the request is invalid."),
    bad_signature=(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature."),
    bad_token=(403, "InvalidClientTokenId", "The security token included in the request is invalid"),
    expired=(403, "ExpiredToken", "The security token included in the request is expired"),
    revoked=(403, "AccessDenied", "The session was revoked."),
    wrong_time=(403, "SignatureDoesNotMatch", "Signature not yet current or expired: check the clock."),
)


class Sts:
    service = "sts"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._actions: dict[str, Callable[[Request, Call], str]] = {
            "GetCallerIdentity": self._get_caller_identity,
            "GetSessionToken": self._get_session_token,
            "AssumeRole": self._assume_role,
            "AssumeRoleWithWebIdentity": self._assume_role_with_web_identity,
        }

    def operation(self, request: Request) -> str:
        return _parameters(request).get("Action", "Unknown")

    def answer(self, request: Request, call: Call) -> Response:
        action = self._actions.get(call.operation)
        if action is None:
            raise Refused(400, "InvalidAction", f"Could not find operation {call.operation}")
        inner = action(request, call)
        name = call.operation
        if _wants_json(request):
            result = dict(re.findall(r"<(\w+)>([^<]*)</", inner))
            metadata = {"RequestId": str(uuid4())}
            answered = {f"{name}Response": {f"{name}Result": result, "ResponseMetadata": metadata}}
            return Response(200, json.dumps(answered).encode(), {"Content-Type": "application/json"})
        return xml_response(
            f'<{name}Response xmlns="{NAMESPACE}"><{name}Result>{inner}</{name}Result>'
            f"<ResponseMetadata><RequestId>{uuid4()}</RequestId></ResponseMetadata></{name}Response>"
        )

    def refusal(self, refused: Refused, request: Request) -> Response:
        fault = "Receiver" if refused.status >= 500 else "Sender"
        if _wants_json(request):
            error = {"Code": refused.code, "Message": refused.message, "Type": fault}
            return json_response({"Error": error, "RequestId": str(uuid4())}, refused.status)
        return xml_response(
            f'<ErrorResponse xmlns="{NAMESPACE}"><Error><Type>{fault}</Type><Code>{escape(refused.code)}</Code>'
            f"<Message>{escape(refused.message)}</Message></Error><RequestId>{uuid4()}</RequestId></ErrorResponse>",
            refused.status,
        )

    def _caller(self, request: Request, call: Call) -> Issued:
        if not _is_of_this_host(request):
            raise Refused(*WORDING.bad_signature)
        caller = verify(request, self._cloud, WORDING, service="sts", call=call)
        if sessions.is_role_session(caller) and caller.details["role"] not in self._cloud.account.roles:
            raise Refused(403, "InvalidClientTokenId", "The security token included in the request is invalid")
        return caller

    def _get_caller_identity(self, request: Request, call: Call) -> str:
        caller = self._caller(request, call)
        account = caller.principal.split(":")[4]
        return f"<Arn>{caller.principal}</Arn><UserId>{caller.user_id}</UserId><Account>{account}</Account>"

    def _get_session_token(self, request: Request, call: Call) -> str:
        caller = self._caller(request, call)
        if caller.token:
            raise Refused(403, "AccessDenied", "Cannot call GetSessionToken with session credentials")
        asked_s = _duration(_parameters(request), default=43_200, longest=129_600)
        issued = sessions.user_session(self._cloud, caller, asked_s)
        call.issued = issued.id
        return _credentials(issued)

    def _assume_role(self, request: Request, call: Call) -> str:
        caller = self._caller(request, call)
        asked = _parameters(request)
        call.details.update(_recorded(asked))
        role = self._assumable(asked, caller)
        duration_s = _role_duration(asked, role, chained=sessions.is_role_session(caller))
        issued = self._issue(role, asked, "assume-role", duration_s, source=caller.id)
        call.issued = issued.id
        return _credentials(issued) + _assumed_role_user(issued)

    def _assumable(self, asked: dict[str, str], caller: Issued) -> Role:
        role = self._cloud.account.role_named_by(asked.get("RoleArn", ""))
        trusted = role is not None and role.trusted(caller.principal)
        if role is None or not trusted or role.external_id not in (None, asked.get("ExternalId")):
            message = f"User: {caller.principal} is not authorized to perform: sts:AssumeRole on resource: "
            raise Refused(403, "AccessDenied", message + asked.get("RoleArn", ""))
        return role

    def _assume_role_with_web_identity(self, request: Request, call: Call) -> str:
        asked = _parameters(request)
        call.details.update(_recorded(asked))
        identity = self._cloud.account.web_identities.get(asked.get("WebIdentityToken", ""))
        if identity is None:
            raise Refused(400, "InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider")
        role = self._cloud.account.role_named_by(asked.get("RoleArn", ""))
        if role is None or identity.role not in (None, role.name):
            raise Refused(403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
        call.principal = identity.subject
        issued = self._issue(role, asked, "web-identity", _role_duration(asked, role, chained=False), source=None)
        call.issued = issued.id
        subject = f"<SubjectFromWebIdentityToken>{escape(identity.subject)}</SubjectFromWebIdentityToken>"
        return subject + _credentials(issued) + _assumed_role_user(issued)

    def _issue(self, role: Role, asked: dict[str, str], kind: str, asked_s: float, source: str | None) -> Issued:
        return sessions.role_session(
            self._cloud,
            kind,
            role,
            asked.get("RoleSessionName", ""),
            lifetime_s=self._cloud.lifetime("sts", asked_s),
            source=source,
            details=_recorded(asked),
        )


def _wants_json(request: Request) -> bool:
    """GetCallerIdentity alone is asked so here; the flat documents of the others are XML."""
    return request.header("accept") == "application/json"


def _is_of_this_host(request: Request) -> bool:
    """A regional host takes signatures for its region only; at a loopback address it stands for all regions."""
    scope, host = request.query.get("X-Amz-Credential", "").split("/"), request.header("host")
    return len(scope) < 3 or not host.startswith("sts.") or host.split(".")[1] == scope[2]


def _parameters(request: Request) -> dict[str, str]:
    return {**request.query, **request.form}


def _recorded(asked: dict[str, str]) -> dict[str, object]:
    """What was asked for and is not secret, under readable names."""
    tags = {
        asked[name]: asked.get(name.replace(".Key", ".Value"), "")
        for name in sorted(asked)
        if name.startswith("Tags.member.") and name.endswith(".Key")
    }
    named = {
        "role_arn": asked.get("RoleArn"),
        "session_name": asked.get("RoleSessionName"),
        "external_id": asked.get("ExternalId"),
        "duration_s": int(asked["DurationSeconds"]) if asked.get("DurationSeconds", "").isdecimal() else None,
        "policy": asked.get("Policy"),
        "tags": tags or None,
    }
    return {name: value for name, value in named.items() if value is not None}


def _duration(asked: dict[str, str], *, default: int, longest: int) -> int:
    text = asked.get("DurationSeconds", str(default))
    if not text.isdecimal() or not 900 <= int(text) <= longest:
        raise Refused(400, "ValidationError", f"1 validation error detected: Value '{text}' at 'durationSeconds'")
    return int(text)


def _role_duration(asked: dict[str, str], role: Role, *, chained: bool) -> int:
    if not asked.get("RoleSessionName"):
        raise Refused(400, "ValidationError", "1 validation error detected: 'roleSessionName' must not be null")
    seconds = _duration(asked, default=3600, longest=MAX_ROLE_SESSION_S)
    if chained and seconds > CHAINED_MAX_S:
        message = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
        raise Refused(400, "ValidationError", message)
    if seconds > role.max_session_s:
        message = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        raise Refused(400, "ValidationError", message)
    return seconds


def _credentials(issued: Issued) -> str:
    return (
        f"<Credentials><AccessKeyId>{issued.key_id}</AccessKeyId><SecretAccessKey>{issued.secret}</SecretAccessKey>"
        f"<SessionToken>{issued.token}</SessionToken><Expiration>{times.aws(issued.expires_at or 0)}</Expiration>"
        "</Credentials>"
    )


def _assumed_role_user(issued: Issued) -> str:
    return (
        f"<AssumedRoleUser><Arn>{escape(issued.principal)}</Arn>"
        f"<AssumedRoleId>{escape(issued.user_id)}</AssumedRoleId></AssumedRoleUser>"
    )
