"""Somebody who follows a page to the letter: writes its files and types its lines, in their order."""

import contextlib
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from tests.deployments import pages
from tests.deployments.person import Person
from tests.ending import kill_tree

_ELISION = "credagent-sender:ed25519:…"
_LINE = re.compile(r"^credagent-sender:ed25519:\S+$", re.MULTILINE)


@contextlib.contextmanager
def following(
    page: pages.Page,
    person: Person,
    instead: Mapping[str, str],
    programs: Mapping[str, Callable[[str], None]] = MappingProxyType({}),
) -> Iterator[str]:
    """Do what the page says; give what its last line printed. What was started with `&` ends with the block.

    The public line that a command printed stands where the page has three dots. `instead`: what this test has for a
    port or a machine's name of the page. `programs`: what takes the lines of a program that is not here.
    """
    said, public_line = "", ""
    with contextlib.ExitStack() as running:
        for deed in page.deeds:
            text = deed.text.replace(_ELISION, public_line or _ELISION)
            for shown, here in instead.items():
                text = text.replace(shown, here)
            if isinstance(deed, pages.File):
                person.write(deed.name, text)
            elif (program := programs.get(text.split()[0])) is not None:
                program(text.removesuffix("&"))
            elif text.endswith("&"):
                running.enter_context(_running(person, text.removesuffix("&")))
            else:
                done = person.types(text)
                assert done.returncode == 0, text
                said = done.stdout
                public_line = (_LINE.findall(said) or [public_line])[-1]
        yield said


@contextlib.contextmanager
def _running(person: Person, line: str) -> Iterator[None]:
    path = person.home / f"running-{abs(hash(line))}.log"
    with path.open("wb") as log:
        process = person.starts(f"exec {line}", stdout=log, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        kill_tree(process)
        print(f"$ {line}&\n{path.read_text()}")
