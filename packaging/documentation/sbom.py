"""Writes a software bill of materials of the packages' tree, as CycloneDX 1.6 (JSON).

The first argument is the folder with the agent and what it is made of, the second lists the interpreter's sources, the
third is the file to write. The same tree gives the same bytes; SOURCE_DATE_EPOCH in the environment is its date.
"""

import json
import os
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import Distribution, distributions
from pathlib import Path
from urllib.parse import quote

# Of Debian's source packages, as their debian/copyright and the upstream say.
LICENCES = {
    "expat": "MIT",
    "libffi": "MIT",
    "libzstd": "BSD-3-Clause OR GPL-2.0-only",
    "mpdecimal": "BSD-2-Clause",
    "openssl": "Apache-2.0",
    "python3.13": "Python-2.0.1",
    "zlib": "Zlib",
}
OURS = "credagent"
_CLASSIFIER = "License :: OSI Approved :: "


def document(library: Path, sources: str, made_at: datetime) -> dict[str, object]:
    """Return the bill of materials of what lies in `library` and of the interpreter, whose `sources` are listed."""
    carried = {one.name: _component(one) for one in distributions(path=[str(library)])}
    about = carried.pop(OURS)
    parts = sorted([*carried.values(), *_interpreter(sources)], key=lambda one: str(one["purl"]))
    content: dict[str, object] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"timestamp": made_at.strftime("%Y-%m-%dT%H:%M:%SZ"), "component": about | {"type": "application"}},
        "components": parts,
        "dependencies": [
            {"ref": about["bom-ref"], "dependsOn": [part["bom-ref"] for part in parts]},
            *({"ref": part["bom-ref"]} for part in parts),
        ],
    }
    number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(content, sort_keys=True))
    return content | {"serialNumber": f"urn:uuid:{number}"}


def _component(one: Distribution) -> dict[str, object]:
    name = one.name.lower().replace("_", "-")
    purl = f"pkg:pypi/{name}@{one.version}"
    return {
        "type": "library",
        "bom-ref": purl,
        "purl": purl,
        "name": name,
        "version": one.version,
        "licenses": _licences(one),
    }


def _licences(one: Distribution) -> list[dict[str, object]]:
    """Return what the distribution says of itself: an expression (PEP 639), else classifiers, else a free text."""
    expression = one.metadata.get("License-Expression")
    if expression:
        return [{"expression": expression}]
    classified = [text for text in one.metadata.get_all("Classifier", []) if text.startswith(_CLASSIFIER)]
    names = [text.removeprefix(_CLASSIFIER) for text in classified] or [one.metadata.get("License", "unknown")]
    return [{"license": {"name": name}} for name in names]


def _interpreter(sources: str) -> Iterator[dict[str, object]]:
    for line in sources.splitlines():
        name, version = line.split()
        purl = f"pkg:deb/debian/{name}@{quote(version, safe='.+~-')}?arch=source"
        yield {
            "type": "library",
            "bom-ref": purl,
            "purl": purl,
            "name": name,
            "version": version,
            "licenses": [{"expression": LICENCES[name]}],
        }


def main(library: str, sources: str, target: str) -> None:
    """Write it."""
    made_at = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC)
    content = document(Path(library), Path(sources).read_text(encoding="utf-8"), made_at)
    Path(target).write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
