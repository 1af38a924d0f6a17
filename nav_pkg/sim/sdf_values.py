"""Numbers and poses in SDF files."""

from __future__ import annotations

import math
from typing import List, Optional
from xml.etree import ElementTree

from nav_pkg.core import DataError, Pose


def numbers(text: Optional[str], count: int, where: str) -> List[float]:
    """Parse `count` finite numbers between spaces.

    Raises:
        DataError: the text is something else; it begins with `where`.
    """
    try:
        values = [float(word) for word in (text or "").split()]
    except ValueError:
        values = []
    if len(values) != count or not all(map(math.isfinite, values)):
        raise DataError(f"{where} is {text!r}; it has to be {count} number{'s' if count > 1 else ''}")
    return values


def pose(element: ElementTree.Element, where: str) -> Pose:
    """The pose of an element, relative to its parent; without a <pose>, that of its parent.

    Raises:
        DataError: it is not six numbers.
    """
    return Pose(*numbers(element.findtext("pose") or "0 0 0 0 0 0", 6, f"{where}: <pose>"))
