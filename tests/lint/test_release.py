"""What a release consists of agrees: version, changelog, recipe, dependencies, bill of materials."""

import importlib.util
import json
import re
import subprocess
import sys
import sysconfig
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path
from types import ModuleType

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from rattler_build import Stage0Recipe, VariantConfig

import credagent

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SBOM = ROOT / "packaging" / "documentation" / "sbom.py"
SECTIONS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def sbom() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sbom", SBOM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_changelog_has_what_is_unreleased_and_then_this_version_with_its_date() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    unreleased, *releases = re.findall(r"^## \[(.+)\](.*)$", text, re.MULTILINE)
    assert unreleased == ("Unreleased", "")
    assert releases[0][0] == credagent.__version__
    dates = [date.fromisoformat(when.removeprefix(" - ")) for _, when in releases]
    assert dates == sorted(dates, reverse=True)
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= SECTIONS


def test_the_conda_recipe_is_rendered_and_asks_for_what_the_wheel_asks_for() -> None:
    (variant,) = Stage0Recipe.from_file(ROOT / "packaging" / "conda" / "recipe.yaml").render(VariantConfig())
    recipe = variant.recipe.to_dict()
    assert recipe["package"] == {"name": PROJECT["name"], "version": credagent.__version__}
    assert recipe["build"]["noarch"] == "python"
    assert recipe["build"]["python"]["entry_points"] == [
        f"{name} = {function}" for name, function in PROJECT["scripts"].items()
    ]
    assert recipe["about"]["license"] == PROJECT["license"]
    asked = [Requirement(text) for text in PROJECT["dependencies"]]
    wheel = {f"{one.name} {one.specifier}" for one in asked} | {f"python {PROJECT['requires-python']}"}
    # conda knows no extras: what google-auth[requests] adds is named.
    assert {one for one in recipe["requirements"]["run"] if not one.startswith("requests ")} == wheel
    assert [one.name for one in asked if "requests" in one.extras] == ["google-auth"]


def test_the_bill_of_materials_keeps_to_its_schema_and_each_part_has_a_licence() -> None:
    """Of what this Python has installed, which is more than a package carries."""
    library = Path(sysconfig.get_paths()["purelib"])
    made = sbom()
    sources = "".join(f"{name} 1:2+dfsg-3~deb13u1\n" for name in made.LICENCES)
    document = made.document(library, sources, datetime(2026, 1, 2, tzinfo=UTC))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document)) is None
    assert document["metadata"]["component"]["name"] == PROJECT["name"]
    parts = {part["name"]: part for part in document["components"]}
    assert set(made.LICENCES) | {Requirement(text).name for text in PROJECT["dependencies"]} <= set(parts)
    carried = re.findall(r"^([a-z0-9-]+)==", (ROOT / "packaging" / "requirements.lock").read_text(), re.MULTILINE)
    assert [name for name in carried if name in parts and "unknown" in str(parts[name]["licenses"])] == []


def test_the_bill_of_materials_is_the_same_whenever_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "sources").write_text("zlib 1.3\n")
    library = tmp_path / "library"
    for name, said in {
        "credagent": "License-Expression: BSD-3-Clause",
        "Six": "Classifier: License :: OSI Approved :: MIT License",
    }.items():
        info = library / f"{name}-1.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: 1\n{said}\n")
    written = []
    for name in ("one", "two"):
        command = [sys.executable, "-I", str(SBOM), str(library), str(tmp_path / "sources"), str(tmp_path / name)]
        subprocess.run(command, env={"SOURCE_DATE_EPOCH": "1750000000"}, check=True)
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]
    assert [part["name"] for part in json.loads(written[0])["components"]] == ["zlib", "six"]
