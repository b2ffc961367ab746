"""The type of every secret value. Nothing that prints, stores or sends secrets belongs here."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


class Secret:
    """Text that must not be shown: masked in `repr`, `str` and formatting, compared in constant time, never pickled.

    Python cannot promise to wipe memory; the value lives until the garbage collector has taken every copy.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Wrap `value`."""
        self._value = value

    def reveal(self) -> str:
        """Return the text. A test lists the modules that may call this."""
        return self._value

    @property
    def size_bytes(self) -> int:
        """The number of bytes in UTF-8: what limits are for."""
        return len(self._value.encode("utf-8", "surrogatepass"))

    def __repr__(self) -> str:
        """Show that there is something, not even how long it is."""
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        """Refuse to leak through a format specification."""
        return repr(self)

    def __eq__(self, other: object) -> bool:
        """Compare in constant time, so that a prefix cannot be guessed byte by byte."""
        if not isinstance(other, Secret):
            return NotImplemented
        from hmac import compare_digest  # noqa: PLC0415  OpenSSL, of which a command that only shows needs nothing

        mine, theirs = (value.encode("utf-8", "surrogatepass") for value in (self._value, other._value))
        return compare_digest(mine, theirs)

    def __hash__(self) -> int:
        """Hash the value; needed by sets of frozen values, and not shown anywhere."""
        return hash(self._value)

    def __bool__(self) -> bool:
        """Tell an empty value from one that is set."""
        return bool(self._value)

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a pickle travels to places nobody sees."""
        raise TypeError("a Secret is not pickled")
