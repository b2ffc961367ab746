import ast
from pathlib import Path

import pytest

from credagent import cloud_helper
from credagent.cloud_helper.aws import errors as aws_errors
from credagent.cloud_helper.failures import KINDS, CloudFailure, clock_failure
from credagent.cloud_helper.google import errors as google_errors

SOURCES = sorted(Path(cloud_helper.__path__[0]).rglob("*.py"))


def _literal_codes() -> set[str]:
    calls = (
        node
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "CloudFailure"
    )
    first = (call.args[0] for call in calls if call.args)
    return {code.value for code in first if isinstance(code, ast.Constant) and isinstance(code.value, str)}


def test_every_code_that_is_raised_is_in_the_table() -> None:
    tables = {*aws_errors.SERVICE_CODES.values(), *aws_errors.LOCAL_EXCEPTIONS.values()}
    tables |= {*google_errors.OAUTH_ERRORS.values(), *google_errors.API_STATUSES.values()}
    tables |= set(google_errors.GOOGLE_EXCEPTIONS.values())
    assert _literal_codes() | tables <= KINDS.keys()


def test_absence_is_in_the_table_and_not_retried_soon() -> None:
    assert not any(KINDS[code].retry for code in ("no-identity", "no-role", "no-service-account"))


@pytest.mark.parametrize("code", KINDS)
def test_a_text_is_a_sentence_for_people(code: str) -> None:
    kind = KINDS[code]
    assert kind.why
    assert kind.hint or code == "no-identity"  # where there is nothing to do
    assert not kind.why.endswith(".")
    assert code == code.lower()


def test_a_failure_carries_its_detail_and_a_better_hint() -> None:
    failed = CloudFailure("service-error", "HTTP 500", hint="wait").reply("STS")
    assert (failed.code, failed.what, failed.hint, failed.retry) == ("service-error", "STS", "wait", True)
    assert failed.why == "the service failed (HTTP 500)"


@pytest.mark.parametrize("skew_s", [None, 0.0, 119.0, -119.0])
def test_a_small_skew_explains_nothing(skew_s: float | None) -> None:
    assert clock_failure(skew_s) is None


@pytest.mark.parametrize(("skew_s", "said"), [(3600.0, "3600 s behind"), (-3600.0, "3600 s ahead of")])
def test_a_wrong_clock_is_named_with_its_skew(skew_s: float, said: str) -> None:
    failure = clock_failure(skew_s)
    assert failure is not None
    assert failure.code == "clock-skew"
    assert said in failure.detail
