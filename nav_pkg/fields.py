"""Validation of the entries of a JSON file: types, ranges, and one error line that names the wrong entry."""

from __future__ import annotations

import json
import math
from typing import Any, Callable, Iterable, Mapping, NamedTuple, Optional

from nav_pkg.core import DataError

_DEEPEST = 64
_LARGEST = 1 << 64


class Field(NamedTuple):
    """The rule for an entry.

    Attributes:
        words: description for users: `a whole number of 0 or more`.
        fits: returns whether a value matches the rule.
        needed: whether the entry must be present and not null. Null stands for an unknown entry.
    """

    words: str
    fits: Callable[[Any], bool]
    needed: bool = False

    @property
    def required(self) -> Field:
        """The same rule for an entry that must be present and not null."""
        return self._replace(needed=True)


def number(least: float = -math.inf, most: float = math.inf) -> Field:
    """A finite number within bounds (inclusive)."""
    return Field(f"a number{_bounds(least, most)}", lambda v: _is_number(v) and least <= v <= most)


def whole(least: float = -math.inf, most: float = math.inf) -> Field:
    """A whole number within bounds (inclusive)."""
    return Field(f"a whole number{_bounds(least, most)}", lambda v: _is_whole(v) and least <= v <= most)


def one_of(values: Iterable[str]) -> Field:
    """One of several texts."""
    known = list(values)
    return Field(f"one of {', '.join(known)}", lambda v: isinstance(v, str) and v in known)


def a_list(item: Field, length: Optional[int] = None) -> Field:
    """A list whose items all match a rule."""
    size = "" if length is None else f"{length} "
    return Field(
        f"a list of {size}values, each {item.words}",
        lambda v: isinstance(v, list) and length in (None, len(v)) and all(item.fits(each) for each in v),
    )


def table(item: Field) -> Field:
    """An object whose values all match a rule."""
    return Field(
        f"an object whose values are each {item.words}",
        lambda v: isinstance(v, dict) and all(item.fits(each) for each in v.values()),
    )


def an_object(fields: Mapping[str, Field], words: str = "") -> Field:
    """An object whose present entries match their rules; `words` is a shorter description."""
    entries = ", ".join(f"{name}: {field.words}" for name, field in fields.items())
    return Field(
        words or f"an object of {entries}",
        lambda v: isinstance(v, dict) and not any(_wrong(v, name, field) for name, field in fields.items()),
    )


def either(*kinds: Field) -> Field:
    """A value that matches any of several rules."""
    return Field(" or ".join(kind.words for kind in kinds), lambda v: any(kind.fits(v) for kind in kinds))


TEXT = Field("text", lambda v: isinstance(v, str))
TRUTH = Field("true or false", lambda v: isinstance(v, bool))
OBJECT = Field("an object", lambda v: isinstance(v, dict))
NOTHING = Field("null", lambda v: v is None)


def check_fields(value: Mapping[str, Any], fields: Mapping[str, Field], where: Any) -> None:
    """Check the entries of an object against their rules.

    Args:
        value: the object.
        fields: rules by entry name. Entries without a rule may hold anything.
        where: what was read, for the error text.

    Raises:
        DataError: an entry is missing or does not match its rule.
    """
    wrong = wrong_fields(value, fields)
    if wrong:
        raise DataError(f"{where}: {next(iter(wrong.values()))}")


def wrong_fields(value: Mapping[str, Any], fields: Mapping[str, Field]) -> dict[str, str]:
    """The missing or wrong entries: name -> text (`frames is -1; it must be ...`)."""
    problems = {}
    for name, field in fields.items():
        if _wrong(value, name, field):
            given = f"is {shown(value[name])}" if name in value else "is missing"
            words = field.words if len(field.words) <= 160 else f"{field.words[:157]}..."
            problems[name] = f"{name} {given}; it must be {words}"
    return problems


def shown(value: Any) -> str:
    """A value as short JSON text for an error message."""
    text = json.dumps(value, skipkeys=True, default=lambda other: type(other).__name__)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _wrong(value: Mapping[str, Any], name: str, field: Field) -> bool:
    given = value.get(name)
    return field.needed if given is None else not field.fits(given)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _bounds(least: float, most: float) -> str:
    if math.isfinite(least) and math.isfinite(most):
        return f" from {least:g} to {most:g}"
    if math.isfinite(least):
        return f" of {least:g} or more"
    return f" of {most:g} or less" if math.isfinite(most) else ""


def check_json(value: Any) -> None:
    """Raise a ValueError for content that none of our files contains.

    It rejects deeper nesting than any of them has, numbers that are not finite or exceed 64 bits (arithmetic
    and printing fail on them), and text with half a surrogate pair (which cannot be printed).
    """
    level = [value]
    for _ in range(_DEEPEST):
        below: list = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item)
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
            elif isinstance(item, str):
                if not item.isascii():
                    item.encode()
            elif isinstance(item, float):
                if not math.isfinite(item):
                    raise ValueError(f"the number {item} is not finite")
            elif isinstance(item, int) and abs(item) > _LARGEST:
                raise ValueError("a whole number of more than 64 bits")
        if not below:
            return
        level = below
    raise ValueError("nested too deep")
