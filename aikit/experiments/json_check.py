"""A check of a value against a JSON schema: the keywords that prompts use, and an error for any other."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from aikit.errors import UnknownSetting

__all__ = ["check_schema", "faults"]

Schema = Mapping[str, Any] | bool

_ANNOTATIONS = {
    *("$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default", "examples"),
    *("format", "deprecated", "readOnly", "writeOnly", "strict", "name"),
}
_APPLIED = {"properties", "patternProperties", "$defs", "definitions"}
_SINGLE = {"items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"}
_LISTS = {"allOf", "anyOf", "oneOf", "prefixItems"}


def check_schema(schema: Schema) -> None:
    """Raise UnknownSetting when the schema uses a keyword that this check would pass over in silence."""
    if isinstance(schema, bool):
        return
    known = _ANNOTATIONS | set(_CHECKS) | _SINGLE | _LISTS | {"$ref", "required", "properties", "patternProperties"}
    for key, value in schema.items():
        if key not in known:
            raise UnknownSetting(f"the JSON schema's keyword {key!r} is not checked by aikit; use a function as scorer")
        if key in _APPLIED:
            for one in value.values():
                check_schema(one)
        elif key in _SINGLE:
            check_schema(value)
        elif key in _LISTS:
            for one in value:
                check_schema(one)


def faults(value: Any, schema: Schema) -> list[str]:
    """Return what does not fit, each with its place; empty when the value fulfils the schema."""
    return list(_faults(value, schema, "", cast("Mapping[str, Any]", {} if isinstance(schema, bool) else schema)))


def _faults(value: Any, schema: Schema, place: str, root: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(schema, bool):
        if not schema:
            yield f"{place or 'value'}: nothing is allowed here"
        return
    if "$ref" in schema:
        yield from _faults(value, _resolve(schema["$ref"], root), place, root)
    for key, check in _CHECKS.items():
        if key in schema and not check(value, schema[key]):
            yield f"{place or 'value'}: {_said(key, schema[key], value)}"
    if isinstance(value, dict):
        yield from _object(cast("dict[str, Any]", value), schema, place, root)
    if isinstance(value, list):
        yield from _array(cast("list[Any]", value), schema, place, root)
    yield from _combined(value, schema, place, root)


def _object(value: dict[str, Any], schema: Mapping[str, Any], place: str, root: Mapping[str, Any]) -> Iterator[str]:
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{place or 'value'}: {name!r} is missing"
    properties: Mapping[str, Schema] = schema.get("properties", {})
    patterns: Mapping[str, Schema] = schema.get("patternProperties", {})
    for name, one in value.items():
        inner = f"{place}.{name}" if place else name
        matching = [rule for pattern, rule in patterns.items() if re.search(pattern, name)]
        if name in properties:
            matching.append(properties[name])
        if not matching and "additionalProperties" in schema:
            matching = [schema["additionalProperties"]]
        for rule in matching:
            yield from _faults(one, rule, inner, root)
        if "propertyNames" in schema:
            yield from _faults(name, schema["propertyNames"], f"{inner} (name)", root)


def _array(value: list[Any], schema: Mapping[str, Any], place: str, root: Mapping[str, Any]) -> Iterator[str]:
    first: list[Schema] = schema.get("prefixItems", [])
    for number, one in enumerate(value):
        rule = first[number] if number < len(first) else schema.get("items", True)
        yield from _faults(one, rule, f"{place}[{number}]", root)
    if "contains" in schema and all(list(_faults(one, schema["contains"], place, root)) for one in value):
        yield f"{place or 'value'}: no entry is as `contains` asks"


def _combined(value: Any, schema: Mapping[str, Any], place: str, root: Mapping[str, Any]) -> Iterator[str]:
    def fits(rule: Schema) -> bool:
        return not any(True for _ in _faults(value, rule, place, root))

    for rule in schema.get("allOf", ()):
        yield from _faults(value, rule, place, root)
    if "anyOf" in schema and not any(map(fits, schema["anyOf"])):
        yield f"{place or 'value'}: fits none of the alternatives"
    if "oneOf" in schema and sum(map(fits, schema["oneOf"])) != 1:
        yield f"{place or 'value'}: fits {sum(map(fits, schema['oneOf']))} of the alternatives, not exactly one"
    if "not" in schema and fits(schema["not"]):
        yield f"{place or 'value'}: is what `not` excludes"
    if "if" in schema:
        yield from _faults(value, schema.get("then" if fits(schema["if"]) else "else", True), place, root)


def _resolve(reference: str, root: Mapping[str, Any]) -> Schema:
    if not reference.startswith("#"):
        raise UnknownSetting(f"the JSON schema's $ref {reference!r} points outside of it")
    found: Any = root
    for part in reference[1:].split("/")[1:]:
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "number": _is_number,
    "integer": lambda value: _is_number(value) and float(value).is_integer(),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def _has_type(value: Any, wanted: Any) -> bool:
    names = cast("list[str]", wanted) if isinstance(wanted, list) else [str(wanted)]
    return any(_TYPES[name](value) for name in names)


def _equal(one: Any, other: Any) -> bool:
    # JSON's true is not 1, as Python's is.
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _unique(value: list[Any]) -> bool:
    return all(not _equal(one, other) for at, one in enumerate(value) for other in value[:at])


def _multiple(value: float, of: float) -> bool:
    return math.isclose(value / of, round(value / of), rel_tol=1e-9, abs_tol=1e-9)


_CHECKS: dict[str, Callable[[Any, Any], bool]] = {
    "type": _has_type,
    "enum": lambda value, of: any(_equal(value, one) for one in of),
    "const": _equal,
    "minimum": lambda value, of: not _is_number(value) or value >= of,
    "maximum": lambda value, of: not _is_number(value) or value <= of,
    "exclusiveMinimum": lambda value, of: not _is_number(value) or value > of,
    "exclusiveMaximum": lambda value, of: not _is_number(value) or value < of,
    "multipleOf": lambda value, of: not _is_number(value) or _multiple(value, of),
    "minLength": lambda value, of: not isinstance(value, str) or len(value) >= of,
    "maxLength": lambda value, of: not isinstance(value, str) or len(value) <= of,
    "pattern": lambda value, of: not isinstance(value, str) or re.search(of, value) is not None,
    "minItems": lambda value, of: not isinstance(value, list) or len(cast("list[Any]", value)) >= of,
    "maxItems": lambda value, of: not isinstance(value, list) or len(cast("list[Any]", value)) <= of,
    "uniqueItems": lambda value, of: not of or not isinstance(value, list) or _unique(cast("list[Any]", value)),
    "minProperties": lambda value, of: not isinstance(value, dict) or len(cast("dict[str, Any]", value)) >= of,
    "maxProperties": lambda value, of: not isinstance(value, dict) or len(cast("dict[str, Any]", value)) <= of,
}


def _said(key: str, wanted: Any, value: Any) -> str:
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:60] + "…"
    return f"{shown} is not as `{key}: {wanted}` asks"
