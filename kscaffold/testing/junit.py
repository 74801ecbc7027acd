"""JUnit's XML of several pytests as one."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence


def joined(parts: Sequence[bytes]) -> bytes:
    """One document with the suites of all parts, which pytest wrote."""
    if len(parts) == 1:
        return parts[0]
    whole = ElementTree.Element("testsuites", name="kscaffold test")
    for part in parts:
        whole.extend(ElementTree.fromstring(part).iter("testsuite"))
    ElementTree.indent(whole)
    text: bytes = ElementTree.tostring(whole, encoding="utf-8", xml_declaration=True)
    return text + b"\n"
