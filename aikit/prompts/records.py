"""A prompt version as a row: to the store, from the store, and into the frames that people read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from aikit.errors import PromptError
from aikit.prompts.templates import Partial, as_body
from aikit.prompts.variables import Variable, as_variables
from aikit.prompts.versions import PromptVersion

__all__ = ["body_json", "excerpt", "found_row", "history_row", "moment", "plain_metadata", "version_from_row"]


def body_json(version: PromptVersion) -> str:
    """Return what the store keeps of a version beside its columns, in ASCII."""
    body = version.template
    content = {
        "template": body if isinstance(body, str) else [{"role": one.role, "content": one.content} for one in body],
        "variables": {name: one.to_json() for name, one in version.declared.items()},
        "partials": {name: one.to_json() for name, one in version.partials.items()},
        "metadata": version.metadata,
        "message": version.message,
    }
    return json.dumps(content, ensure_ascii=True, default=str)  # ASCII: lone surrogates and NUL survive SQLite


def version_from_row(row: Mapping[str, Any]) -> PromptVersion:
    """Make the version from the store's row."""
    content = json.loads(row["body"])
    declared: dict[str, Variable] = as_variables(content["variables"], None)
    return PromptVersion(
        name=str(row["name"]),
        number=int(row["number"]),
        template=as_body(content["template"]),
        hash=str(row["hash"]),
        parent=row["parent"],
        message=content["message"],
        created_at=moment(row["created_at"]),
        declared=declared,
        partials={name: Partial.from_json(one) for name, one in content["partials"].items()},
        metadata=content["metadata"],
    )


def plain_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata as plain values; raises PromptError."""
    try:
        return json.loads(json.dumps(dict(metadata), ensure_ascii=True))
    except (TypeError, ValueError) as error:
        raise PromptError(f"metadata holds plain values only: {error}") from error


def moment(seconds: float) -> datetime:
    """Return seconds since 1970 as an aware UTC time."""
    return datetime.fromtimestamp(seconds, UTC)


def history_row(version: PromptVersion, standing: Mapping[str, int]) -> dict[str, Any]:
    """Return a row of `Prompts.history`."""
    return {
        "number": version.number,
        "hash": version.hash[:10],
        "parent": version.parent,
        "message": version.message,
        "created_at": version.created_at,
        "labels": ", ".join(label for label, number in standing.items() if number == version.number),
        "variables": ", ".join(version.variables),
        "id": version.id,
    }


def found_row(version: PromptVersion, labels: Sequence[str], found_in: str) -> dict[str, Any]:
    """Return a row of `Prompts.search`."""
    return {
        "name": version.name,
        "number": version.number,
        "message": version.message,
        "created_at": version.created_at,
        "labels": ", ".join(labels),
        "excerpt": found_in,
    }


def excerpt(text: str, places: Sequence[str]) -> str | None:
    """Return the first place that holds the text, case left aside, with what stands around it; None when none does."""
    wanted = text.casefold()
    for place in places:
        at = place.casefold().find(wanted)
        if at >= 0:
            start = max(0, at - 30)
            cut = place[start : at + len(text) + 30].replace("\n", " ")
            return f"{'…' * (start > 0)}{cut}{'…' * (at + len(text) + 30 < len(place))}"
    return None
