"""JUnit's XML of several pytests as one."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

# What steers a terminal and XML may have: C1 controls, and marks of direction. Of others pytest takes care.
_STEERS = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def joined(parts: Sequence[bytes]) -> bytes:
    """One document with the suites of all parts, which pytest wrote; control characters are written as pytest
    writes those that XML can't have: `#x9B`.
    """
    whole = parts[0] if len(parts) == 1 else _joined(parts)
    return _STEERS.sub(lambda found: f"#x{ord(found[0]):02X}", whole.decode()).encode()


def _joined(parts: Sequence[bytes]) -> bytes:
    whole = ElementTree.Element("testsuites", name="kscaffold test")
    for part in parts:
        whole.extend(ElementTree.fromstring(part).iter("testsuite"))
    ElementTree.indent(whole)
    text: bytes = ElementTree.tostring(whole, encoding="utf-8", xml_declaration=True)
    return text + b"\n"
