"""One file of code, as the packages carry it: used where it matches, and else nothing is missing."""

import compileall
import subprocess
import sys
from pathlib import Path

import pytest

BUILDER = Path(__file__).parents[2] / "packaging" / "interpreter" / "code_archive.py"
SOURCES = {
    "alpha.py": "TEXT = 'first'\n",
    "beta/__init__.py": "from beta.inner import TEXT\n",
    "beta/inner.py": "TEXT = 'b'\n",
    "gamma/inner.py": "TEXT = 'c'\n",
}
FIND = "import sys; sys.path.insert(0, sys.argv[1]); import code_archive; "
USE = f"{FIND}code_archive.use(); import alpha, beta, beta.inner; "


@pytest.fixture
def library(tmp_path: Path) -> Path:
    for name, text in SOURCES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "code_archive.py").write_text(BUILDER.read_text())
    compileall.compile_dir(tmp_path, quiet=1)
    names = "['alpha', 'beta', 'beta.inner', 'gamma', 'gamma.inner']"
    make = f"{FIND}code_archive.make(sys.argv[1], {names})"
    subprocess.run([sys.executable, "-IS", "-c", make, tmp_path], check=True)
    return tmp_path


def said(library: Path, expression: str) -> str:
    """Return what an expression gives in a new process that imports the modules."""
    command = [sys.executable, "-IS", "-c", f"{USE} print({expression})", str(library)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


FROM_ARCHIVE = "[type(module.__loader__).__module__ for module in (alpha, beta, beta.inner)]"
ALL, NONE = "['code_archive', 'code_archive', 'code_archive']", "code_archive"


def test_modules_come_from_it_and_know_where_their_sources_are(library: Path) -> None:
    assert said(library, FROM_ARCHIVE) == ALL
    found = said(
        library, "alpha.__file__, beta.__path__, beta.__package__, beta.inner.__spec__.has_location, beta.TEXT"
    )
    assert found == f"{library / 'alpha.py'} {[str(library / 'beta')]} beta True b"


def test_a_folder_without_a_module_of_its_own_is_found_without_a_search(library: Path) -> None:
    """`credagent.worker` is one, since it stands on PYTHONPATH."""
    (library / "gamma" / "inner.py").unlink()
    found = said(
        library, "[(gamma.__path__, gamma.__file__, gamma.inner.TEXT) for gamma in [__import__('gamma.inner')]]"
    )
    assert found == f"[({[str(library / 'gamma')]}, None, 'c')]"


def test_an_agent_goes_on_with_its_own_code_through_an_upgrade(library: Path) -> None:
    (library / "alpha.py").write_text("TEXT = 'second'\n")
    assert said(library, "alpha.TEXT") == "first"


@pytest.mark.parametrize(
    "damage", ["no archive", "an empty one", "another interpreter's", "a damaged index", "cut off"]
)
def test_without_one_that_matches_everything_comes_from_its_own_file(library: Path, damage: str) -> None:
    archive = library / "code_archive.bin"
    content = bytearray(archive.read_bytes())
    if damage == "no archive":
        archive.unlink()
    else:
        content[0 if damage == "another interpreter's" else 40] ^= 1
        cut = {"an empty one": 0, "cut off": 50}.get(damage, len(content))
        archive.write_bytes(content[:cut])
    assert NONE not in said(library, FROM_ARCHIVE)
    assert said(library, "alpha.TEXT, beta.TEXT") == "first b"


def test_a_module_that_is_damaged_comes_from_its_own_file(library: Path) -> None:
    archive = library / "code_archive.bin"
    content = bytearray(archive.read_bytes())
    content[-1] ^= 1  # the last module's
    archive.write_bytes(content)
    assert said(library, FROM_ARCHIVE).count("code_archive") == len(SOURCES) - 1
    assert said(library, "beta.TEXT") == "b"
