"""Every code, event and exit status that the tree can say is explained, and nothing is explained that it cannot say."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import credagent
from credagent.bundle.refusal_codes import HINTS, RefusalCode
from credagent.cli.main import main
from credagent.cloud_helper.failures import KINDS
from credagent.errors import Exit
from credagent.operations.doctor.worker_checks import PROBLEMS
from credagent.operations.reference import lookup, markdown
from credagent.operations.reference.error_codes import ERRORS
from credagent.operations.reference.exit_statuses import EXIT_STATUSES
from credagent.operations.reference.finding_codes import FINDINGS
from credagent.operations.reference.log_events import EVENTS

TREE = Path(credagent.__file__).parent
PAGE = TREE / "operations" / "reference" / "REFERENCE.md"
ERRORS_OF = ("UsageError", "Refused", "NotForThisMachine", "Unavailable", "OutputError", "PermissionRefused")
FAMILIES = frozenset(
    {*ERRORS_OF, "ConfigurationError", "InternalError", "CredagentError", "CloudFailure", "Distrusted"}
)
WITH_CODE = frozenset({"SourceFailure", "Notice", "Failed"})
LEVELS = frozenset({"debug", "info", "warning", "error"})


def constants() -> dict[str, str]:
    """Return the texts of the tree's constants, by name."""
    found = {}
    for path in TREE.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(text))) if name.isupper():
                    found[name] = text
                case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
                    pairs = zip(names, values, strict=False)
                    found |= {
                        name.id: value.value
                        for name, value in pairs
                        if isinstance(name, ast.Name)
                        and isinstance(value, ast.Constant)
                        and isinstance(value.value, str)
                    }
    return found


CONSTANTS = constants()


def texts(node: ast.expr | None) -> Iterator[str]:
    """Yield the texts that an expression can be: one, or one of two."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.Name(id=name) if name in CONSTANTS:
            yield CONSTANTS[name]
        case ast.IfExp(body=body, orelse=orelse):
            yield from texts(body)
            yield from texts(orelse)


def called(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def calls() -> Iterator[tuple[Path, ast.Call]]:
    for path in sorted(TREE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield path, node


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((one.value for one in call.keywords if one.arg == name), None)


def codes_in_the_tree() -> set[str]:
    found = {text for path, call in calls() for node in _codes_of(path, call) for text in texts(node)}
    for path in sorted(TREE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:  # `code, message = "expired", "…"`, `_reload_error = ("reload-failed",)`, `MISSING = "…"`
                case ast.Assign(targets=[ast.Tuple(elts=[ast.Name(id="code"), *_])], value=ast.Tuple(elts=[first, *_])):
                    found |= set(texts(first))
                case ast.Assign(targets=[ast.Attribute(attr="_reload_error")], value=ast.Tuple(elts=[only])):
                    found |= set(texts(only))
                case ast.Assign(targets=[ast.Name(id="MISSING")], value=only):
                    found |= set(texts(only))
    return found


def _codes_of(path: Path, call: ast.Call) -> Iterator[ast.expr | None]:
    """Yield where a call names a code."""
    match called(call), call.args:
        case name, [code, *_] if name in FAMILIES:
            yield code
        case name, _ if name in WITH_CODE:
            yield keyword(call, "code")
        case "refusal", [_, code, *_] if path.parent.name == "http":
            yield code
        case "_listed", [_, _, code, _]:
            yield code


def events_in_the_tree() -> set[str]:
    found = set()
    for _, call in calls():
        match call.func:
            case ast.Attribute(value=ast.Name(id="log"), attr=level) if level in LEVELS and call.args:
                found |= set(texts(call.args[0]))
            case ast.Name(id="say") if call.args:
                found |= set(texts(call.args[0]))
            case ast.Name(id="SlotEvent"):
                found |= set(texts(keyword(call, "name")))
    return found


def test_every_code_that_can_be_said_is_explained() -> None:
    assert codes_in_the_tree() - lookup.errors().keys() == set()


def test_no_code_is_explained_that_is_never_said() -> None:
    spelled = "".join(path.read_text() for path in TREE.rglob("*.py") if path.parent.name != "reference")
    assert [code for code in ERRORS if f'"{code}"' not in spelled] == []


def test_every_finding_of_doctor_is_explained_once() -> None:
    at = {"error": 0, "warning": 0, "finding": 1}  # Area.error(code, …), Area.finding(level, code, …)
    checks = [call for path, call in calls() if path.parent.name == "doctor" and called(call) in at]
    said = {text for call in checks for text in texts(call.args[at[called(call)]])}
    known = lookup.errors().keys() | PROBLEMS.keys()
    assert said <= FINDINGS.keys() | known
    assert FINDINGS.keys() & lookup.errors().keys() == set()
    elsewhere = {"file-shadows", "variable-shadows", "proxy-catches-loopback"}  # `_code_of` chooses between them
    assert FINDINGS.keys() - elsewhere <= said


def test_a_code_has_one_place_where_it_is_explained() -> None:
    assert ERRORS.keys() & KINDS.keys() == set()
    for code in ERRORS.keys() & {code.value for code in RefusalCode}:  # said of a slot, and of a bundle
        both = lookup.errors()[code]
        assert ERRORS[code].cause in both.cause
        assert HINTS[RefusalCode(code)] in both.remedy


def test_every_event_is_explained_and_none_that_is_never_logged() -> None:
    assert events_in_the_tree() == set(EVENTS)


def test_every_exit_status_is_explained() -> None:
    assert set(EXIT_STATUSES) == set(Exit)
    assert set(lookup.REFUSED) == set(HINTS) == set(RefusalCode)


def test_the_page_is_what_the_tables_say() -> None:
    again = "python -m credagent.operations.reference.markdown > agent/credagent/operations/reference/REFERENCE.md"
    assert PAGE.read_text() == markdown.page(), again


@pytest.mark.parametrize("name", ["untrusted-sender", "access-denied", "session_not_renewed", "69", "no-agent"])
def test_explain_prints_one_with_a_remedy(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", name]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{name} (")
    assert "→ " in said


def test_explain_lists_all_and_knows_what_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain"]) == 0
    listed = capsys.readouterr().out
    assert all(f"  {name} " in listed for name in (*lookup.errors(), *EVENTS))
    assert main(["explain", "untrusted-sendr"]) == Exit.USAGE
    assert "did you mean untrusted-sender" in capsys.readouterr().err
