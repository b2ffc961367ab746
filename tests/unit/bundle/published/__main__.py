"""Write the vectors that are not there yet: `python -m tests.unit.bundle.published [--all]` (--all: every one anew)."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from credagent.bundle.timestamps import text_of
from tests.unit.bundle.published.bad_contents import CONTENTS, OPENINGS
from tests.unit.bundle.published.bad_envelopes import SIGNATURES, STANDINGS, TEXTS
from tests.unit.bundle.published.bad_judgements import JUDGEMENTS
from tests.unit.bundle.published.good import GOOD
from tests.unit.bundle.published.recipe import MACHINE_FIELDS, Case, digest

VECTORS = Path(__file__).parents[4] / "agent" / "credagent" / "bundle" / "vectors"
BAD: Mapping[str, Callable[[], Case]] = {**TEXTS, **SIGNATURES, **STANDINGS, **OPENINGS, **CONTENTS, **JUDGEMENTS}
WARNING = "TEST VECTOR. Every key and credential in this file is published: never use one."


def written(case: Case) -> dict[str, Any]:
    """Return the file's content."""
    expect: dict[str, Any] = {"outcome": case.outcome}
    if case.outcome == "refused":
        expect |= {"code": case.code, "step": case.step}
    else:
        expect |= {"digest": digest(case.text), "plaintext": case.plaintext}
    return {
        "warning": WARNING,
        "description": case.description,
        "reading": case.reading,
        "now": text_of(case.now),
        "machine": {**MACHINE_FIELDS, **case.machine},
        "text": case.text,
        "expect": expect,
    }


def main() -> None:
    """Write what is missing."""
    for folder, cases in (("good", GOOD), ("bad", BAD)):
        (VECTORS / folder).mkdir(parents=True, exist_ok=True)
        for name, make in cases.items():
            path = VECTORS / folder / f"{name}.json"
            if "--all" in sys.argv or not path.exists():
                path.write_text(json.dumps(written(make()), indent=1, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
