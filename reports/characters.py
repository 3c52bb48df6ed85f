"""Text of strangers, with the characters replaced that whoever shows it cannot show."""

from __future__ import annotations

import re

NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML 1.0 document may hold, not even escaped (https://www.w3.org/TR/xml/#charsets)."""

REPLACED = "\N{REPLACEMENT CHARACTER}"


def for_xml(text: object) -> str:
    """Replace what XML cannot hold."""
    return NOT_XML.sub(REPLACED, str(text))


def printable(text: object, kept: str = "") -> str:
    """Replace what is not printable, but for the characters that are kept."""
    return "".join(c if c.isprintable() or c in kept else REPLACED for c in str(text))
