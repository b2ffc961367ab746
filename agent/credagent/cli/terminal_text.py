"""Texts on their way to a terminal. What comes from a bundle or a cluster is somebody else's: control is not theirs."""


def printable(text: str) -> str:
    """Return one line as one line, without escape sequences, and without marks that turn a text's direction round."""
    return text if text.isprintable() else "".join(one if one.isprintable() else "?" for one in text)
