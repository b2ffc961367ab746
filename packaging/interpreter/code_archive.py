"""One file of code for what every start of the packaged command imports, in place of hundreds that are looked for.

`python -IS code_archive.py LIBRARY` makes `LIBRARY/code_archive.bin` of the `.pyc` files in LIBRARY; the launcher calls
`use`. The file is mapped, so that what is not imported costs nothing, and what is imported late is of the same build
even where an upgrade has replaced everything since. Its layout: the interpreter's magic number, a hash, the length of
the index; the index, a marshalled dictionary; then the code of one module after another. Index and modules are checked
by hash (the one of PEP 552) before they are used. What does not match is imported from its own file, as it would be
without this one. ADR-02 beside this file has the reasons.
"""

import marshal
import mmap
import os
import sys
from _imp import is_frozen, source_hash
from importlib._bootstrap_external import MAGIC_NUMBER
from importlib.machinery import ModuleSpec, SourceFileLoader

NAME = "code_archive.bin"
KEY = int.from_bytes(MAGIC_NUMBER, "little")
HEADER = len(MAGIC_NUMBER) + 8 + 4
PYC_HEADER = 16
NAMESPACE = ()  # what the index has for a folder without a module of its own (PEP 420)
PYC_FOLDER, TAG = "__pycache__", sys.implementation.cache_tag
# What runs before anything is asked for: the daemon until it serves, the commands that ask it, and exec.
ROOTS = """
    argparse asyncio difflib subprocess tomllib
    cryptography.hazmat.backends.openssl.backend
    credagent.cli.commands.credential_process credagent.cli.commands.env credagent.cli.commands.exec
    credagent.cli.commands.renew credagent.cli.commands.run credagent.cli.commands.status
    credagent.cli.commands.worker_path credagent.cli.main credagent.cli.command_parser credagent.cli.plain_arguments
    credagent.cloud_helper.helper_call credagent.daemon.config_reread credagent.daemon.main_loop
    credagent.daemon.startup credagent.exec.run_program credagent.system.process_control
"""
OWN = "credagent"  # all of it, that is; a part that is imported late must be of the same build


class Loader(SourceFileLoader):
    """Loads one module from the archive; its source is where it always is."""

    def __init__(self, name: str, path: str, code: memoryview) -> None:
        """Load `code`, which was checked."""
        super().__init__(name, path)
        self._code = code

    def get_code(self, fullname: str) -> object:  # noqa: ARG002  as the protocol has it
        """Return the module's code."""
        return marshal.loads(self._code)  # noqa: S302  checked, and from a folder that is root's


class Archive:
    """A meta path finder for the modules of one archive, which lies in the folder where their sources are."""

    def __init__(self, library: str, content: memoryview) -> None:
        """Use `content`. Raises ValueError where it is another interpreter's, or damaged."""
        size = int.from_bytes(content[HEADER - 4 : HEADER], "little")
        index = content[HEADER : HEADER + size]
        magic, digest = content[: len(MAGIC_NUMBER)], content[len(MAGIC_NUMBER) : HEADER - 4]
        if magic != MAGIC_NUMBER or source_hash(KEY, index) != digest:
            raise ValueError("another interpreter's, or damaged")
        self._library, self._code = library, content[HEADER + size :]
        self._index = marshal.loads(index)  # noqa: S302  checked, and from a folder that is root's

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG002  as importlib asks
        """Return how to load a module of the archive, None for any other."""
        found = self._index.get(name)
        if found is None:
            return None
        if found == NAMESPACE:
            spec = ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = [f"{self._library}/{name.replace('.', '/')}"]
            return spec
        begin, end, digest, package = found
        code = self._code[begin:end]
        if source_hash(KEY, code) != digest:
            return None
        path = f"{self._library}/{name.replace('.', '/')}"
        folder, _, file = (path, "", "__init__") if package else path.rpartition("/")
        origin = f"{folder}/{file}.py"
        spec = ModuleSpec(name, Loader(name, origin, code), origin=origin, is_package=package)
        spec.has_location = True
        spec.cached = f"{folder}/{PYC_FOLDER}/{file}.{TAG}.pyc"  # finding it out takes a sixth of an import
        if package:
            spec.submodule_search_locations = [folder]
        return spec


def use() -> None:
    """Import from the archive beside this file from now on, where it is there and whole."""
    library = __file__.rpartition("/")[0]
    # No descriptor stays: where standard output is closed, it would have its number. (Earlier Pythons run tests only.)
    kept = {"trackfd": False} if sys.version_info >= (3, 13) else {}
    try:
        with open(f"{library}/{NAME}", "rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ, **kept)
        sys.meta_path.insert(0, Archive(library, memoryview(content)))
    except (OSError, ValueError, EOFError):
        return


def make(library: str, names: list[str]) -> None:
    """Write the archive of these modules, whose `.pyc` files are there."""
    index: dict[str, tuple[object, ...]] = {}
    code = bytearray()
    for name in names:
        folder, _, file = f"{library}/{name.replace('.', '/')}".rpartition("/")
        package = os.path.isdir(f"{folder}/{file}")
        if package and not os.path.isfile(f"{folder}/{file}/__init__.py"):
            index[name] = NAMESPACE
            continue
        folder, file = (f"{folder}/{file}", "__init__") if package else (folder, file)
        with open(f"{folder}/{PYC_FOLDER}/{file}.{TAG}.pyc", "rb") as compiled:
            content = compiled.read()[PYC_HEADER:]
        index[name] = (len(code), len(code) + len(content), source_hash(KEY, content), package)
        code += content
    head = marshal.dumps(index)
    with open(f"{library}/{NAME}", "wb") as archive:
        archive.write(MAGIC_NUMBER + source_hash(KEY, head) + len(head).to_bytes(4, "little") + head + code)


def names(library: str) -> list[str]:
    """Return which modules of `library` belong into its archive, sorted."""
    import importlib  # noqa: PLC0415  the build's, not a start's
    import pkgutil  # noqa: PLC0415  as importlib

    for name in ROOTS.split():
        importlib.import_module(name)

    def is_of_it(name: str) -> bool:
        path = f"{library}/{name.replace('.', '/')}"
        if os.path.isdir(path) and not os.path.isfile(f"{path}/__init__.py"):
            # A namespace has no file; an extension module may have a folder of type stubs beside it.
            return getattr(sys.modules[name], "__file__", name) is None
        return not is_frozen(name) and (os.path.isfile(f"{path}.py") or os.path.isfile(f"{path}/__init__.py"))

    own = pkgutil.walk_packages([f"{library}/{OWN}"], f"{OWN}.")
    return sorted({*filter(is_of_it, [*sys.modules]), *(one.name for one in own)})


if __name__ == "__main__":
    make(sys.argv[1], names(sys.argv[1]))
