"""The prompt library: save versions, find them, move labels, deal live splits."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from aikit.errors import PromptError, did_you_mean
from aikit.log import prompts_store as store
from aikit.prompts import files
from aikit.prompts.names import checked_label, checked_name, split_reference
from aikit.prompts.records import (
    body_json,
    excerpt,
    found_row,
    history_row,
    moment,
    plain_metadata,
    version_from_row,
)
from aikit.prompts.split import Split
from aikit.prompts.templates import Partial, as_body, inspect_source, parts_of
from aikit.prompts.variables import as_variables
from aikit.prompts.versions import PromptVersion, content_hash

if TYPE_CHECKING:
    import sqlite3

    import pandas as pd

__all__ = ["Prompts", "Store"]

T = TypeVar("T")
_REMEMBERED_UNITS = 10_000


class Store(Protocol):
    """What the library needs of the spool: grouped writes and reads on SQLite."""

    def submit(self, operation: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Run a write in the next transaction."""
        ...

    def read(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Run a read on the calling thread's own connection."""
        ...


class Prompts:
    """The prompts of one home. Every method blocks for a short read or write of SQLite.

    `prompts["classify"]` is the newest version, `prompts["classify", 2]` and `prompts["classify@2"]` the second,
    `prompts["classify@production"]` the one the label stands at. Iterating yields the names.
    """

    def __init__(self, spool: Store, *, clock: Callable[[], float] = time.time) -> None:
        self._spool = spool
        self._clock = clock
        self._versions: dict[tuple[str, int], PromptVersion] = {}
        self._dealt: OrderedDict[tuple[str, str], None] = OrderedDict()

    def save(
        self,
        name: str,
        template: Any,
        *,
        message: str = "",
        variables: Mapping[str, Any] | None = None,
        defaults: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        parent: int | PromptVersion | None = None,
        labels: Sequence[str] = (),
        partials: Mapping[str, Partial] | None = None,
    ) -> PromptVersion:
        """Save a version and return it.

        The template is text, or messages: `Message`, `(role, content)` or `{"role": …, "content": …}`. Saving the
        same content under the same name again returns the version that is there, so that a notebook can be run again.
        `variables` declares types, defaults and examples: `{"text": str, "tone": {"type": "str", "default": "kind"}}`.
        `{% include "other" %}` takes in another prompt as it is now. Raises PromptError.
        """
        name = checked_name(name)
        checked = [checked_label(one) for one in labels]
        if isinstance(template, PromptVersion):
            declared, taken = dict(template.declared) | as_variables(variables, defaults), dict(template.partials)
            body, metadata = template.template, metadata if metadata is not None else template.metadata
        else:
            body, declared, taken = as_body(template), as_variables(variables, defaults), dict(partials or {})
        taken = self._resolve(body, taken, label=f"prompt {name!r}")
        made = PromptVersion(
            name=name,
            number=0,
            template=body,
            hash=content_hash(body, declared, taken),
            message=message,
            declared=declared,
            partials=taken,
            metadata=plain_metadata(metadata or {}),
        )
        made.variables  # noqa: B018  compiles: what can't be rendered is not saved
        row = self._write(lambda connection: self._store(connection, made, parent, checked))
        return self._version(row)

    def get(self, reference: str | PromptVersion, number: int | str | None = None) -> PromptVersion:
        """Return a version by name, `name@label`, `name@number`, or name and number; raises PromptError."""
        if isinstance(reference, PromptVersion):
            return reference
        name, which = split_reference(reference)
        if number is not None:
            if which is not None:
                raise PromptError(f"{reference!r} already says which version; leave out {number!r}")
            which = number if isinstance(number, int) else checked_label(number)
        if isinstance(which, int) and (name, which) in self._versions:
            return self._versions[name, which]
        row = self._spool.read(lambda connection: store.find_version(connection, name, which))
        if row is None:
            raise PromptError(self._not_found(name, which))
        return self._version(row)

    def __getitem__(self, key: str | tuple[str, int | str]) -> PromptVersion:
        return self.get(*key) if isinstance(key, tuple) else self.get(key)

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def __repr__(self) -> str:
        names = self.names()
        return f"<{len(names)} prompts: {', '.join(names[:8])}{', …' if len(names) > 8 else ''}>"

    def names(self) -> list[str]:
        """Return the prompts' names in order."""
        return self._spool.read(store.names)

    def versions(self, name: str) -> tuple[PromptVersion, ...]:
        """Return all versions of a prompt, the oldest first; raises PromptError when there is none of that name."""
        rows = self._spool.read(lambda connection: store.history(connection, checked_name(name)))
        if not rows:
            raise PromptError(self._not_found(checked_name(name), None))
        return tuple(self._version(row) for row in rows)

    def history(self, name: str) -> pd.DataFrame:
        """Return a frame of a prompt's versions, the oldest first.

        Columns: number hash parent message created_at labels variables id.
        """
        import pandas as pd

        standing = self.labels(name)
        rows = [history_row(version, standing) for version in self.versions(name)]
        return pd.DataFrame(
            rows, columns=["number", "hash", "parent", "message", "created_at", "labels", "variables", "id"]
        )

    def search(self, text: str) -> pd.DataFrame:
        """Return a frame of the versions whose name, message, template or label holds the text, case left aside.

        Columns: name number message created_at labels excerpt.
        """
        import pandas as pd

        found: list[dict[str, Any]] = []
        standing = {name: self.labels(name) for name in self.names()}
        for row in self._spool.read(store.search):
            version = self._version(row)
            labels = [label for label, number in standing.get(version.name, {}).items() if number == version.number]
            found_in = excerpt(text, [*parts_of(version.template), version.name, version.message, *labels])
            if found_in is not None:
                found.append(found_row(version, labels, found_in))
        return pd.DataFrame(found, columns=["name", "number", "message", "created_at", "labels", "excerpt"])

    def label(self, name: str, label: str, *, version: int | PromptVersion | None = None) -> PromptVersion:
        """Move a label to a version, the newest for None, and return the version; raises PromptError."""
        label = checked_label(label)
        number = version.number if isinstance(version, PromptVersion) else version
        target = self.get(name, number) if number is not None else self.get(name)
        now = self._clock()
        self._write(lambda connection: store.move_label(connection, target.name, label, target.number, now=now))
        return target

    def unlabel(self, name: str, label: str) -> None:
        """Take a label away; nothing happens when it is not there."""
        now = self._clock()
        known = checked_name(name)
        self._write(lambda connection: store.move_label(connection, known, checked_label(label), None, now=now))

    def labels(self, name: str) -> dict[str, int]:
        """Return a prompt's labels and the numbers they stand at."""
        return self._spool.read(lambda connection: store.labels(connection, checked_name(name)))

    def label_history(self, name: str) -> pd.DataFrame:
        """Return a frame of every move of a prompt's labels: label before after moved_at."""
        import pandas as pd

        rows = self._spool.read(lambda connection: store.label_moves(connection, checked_name(name)))
        moves = [{**row, "moved_at": moment(row["moved_at"])} for row in rows]
        return pd.DataFrame(moves, columns=["label", "before", "after", "moved_at"])

    def split(self, name: str, weights: Mapping[int | str, float], *, unit: object, salt: str = "") -> PromptVersion:
        """Return the version that a unit (a user, a session) gets, the same one every time, and log who got which.

        `weights` maps version numbers or labels to shares. The returned version carries tags that mark its calls.
        """
        resolved: dict[int, float] = {}
        for which, weight in weights.items():
            number = self.get(name, which).number
            resolved[number] = resolved.get(number, 0.0) + weight
        split = Split.of(checked_name(name), resolved, salt=salt)
        number, unit_id = split.deal(unit), split.unit_id(unit)
        self._log_assignment(split, unit_id, number)
        return replace(self.get(name, number), tags=(f"split:{split.id}", f"unit:{unit_id}"))

    def splits(self, name: str) -> pd.DataFrame:
        """Return a frame of a prompt's live splits and how many units each version got.

        Columns: split number share units expected started_at.
        """
        import pandas as pd

        rows: list[dict[str, Any]] = []
        for split in self._spool.read(lambda connection: store.splits(connection, checked_name(name))):
            dealt = [row["number"] for row in self._assigned(split["id"])]
            for number, share in json.loads(split["weights"]).items():
                rows.append(
                    {
                        "split": split["id"],
                        "number": int(number),
                        "share": share,
                        "units": dealt.count(int(number)),
                        "expected": share * len(dealt),
                        "started_at": moment(split["started_at"]),
                    }
                )
        return pd.DataFrame(rows, columns=["split", "number", "share", "units", "expected", "started_at"])

    def assignments(self, name: str, *, split: str | None = None) -> pd.DataFrame:
        """Return a frame of who was dealt which version; units are hashes (`Split.unit_id`).

        Columns: split unit number assigned_at.
        """
        import pandas as pd

        splits = self._spool.read(lambda connection: store.splits(connection, checked_name(name)))
        chosen = [one["id"] for one in splits if split is None or one["id"] == split]
        rows = [row | {"assigned_at": moment(row["assigned_at"])} for one in chosen for row in self._assigned(one)]
        return pd.DataFrame(rows, columns=["split", "unit", "number", "assigned_at"])

    def export(self, folder: str | Path, *, name: str | None = None, every_version: bool = False) -> list[Path]:
        """Write prompts as Markdown files with a YAML head, one for each prompt or version, and return their paths."""
        chosen = [checked_name(name)] if name is not None else self.names()
        groups = [self.versions(one) for one in chosen]
        return files.write(groups, Path(folder), every_version=every_version)

    def load(self, path: str | Path, *, name: str | None = None) -> list[PromptVersion]:
        """Save what a Markdown file, or every `.md` file in a folder, holds, and return the versions.

        The name comes from `name=`, the head, or the file. Raises PromptError with the file and the line.
        """
        loaded: list[PromptVersion] = []
        numbers: dict[tuple[str, Any], int] = {}
        for document in files.read(Path(path), name=name):
            parent = numbers.get((document.name, document.parent))
            saved = self.save(
                document.name,
                document.body,
                message=document.message,
                variables=document.variables,
                metadata=document.metadata,
                partials=document.partials,
                parent=parent,
            )
            numbers[document.name, document.number] = saved.number
            loaded.append(saved)
        return loaded

    def _assigned(self, split: str) -> list[dict[str, Any]]:
        return self._spool.read(lambda connection: store.assignments(connection, split))

    def _write(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        return self._spool.submit(operation).result()

    def _store(
        self,
        connection: sqlite3.Connection,
        made: PromptVersion,
        parent: int | PromptVersion | None,
        labels: Sequence[str],
    ) -> dict[str, Any]:
        now = self._clock()
        row = store.add_version(
            connection,
            version_id=made.id,
            name=made.name,
            content=made.hash,
            parent=parent.number if isinstance(parent, PromptVersion) else parent,
            message=made.message.encode("utf-8", "replace").decode(),
            body=body_json(made),
            now=now,
        )
        for label in labels:
            store.move_label(connection, made.name, label, row["number"], now=now)
        return row

    def _version(self, row: Mapping[str, Any]) -> PromptVersion:
        key = (str(row["name"]), int(row["number"]))
        if key not in self._versions:
            self._versions[key] = version_from_row(row)
        return self._versions[key]

    def _resolve(self, body: Any, given: dict[str, Partial], *, label: str) -> dict[str, Partial]:
        """Return the partials that the texts include, each frozen with its own; `given` ones stay as they are."""
        found: dict[str, Partial] = {}
        for part in parts_of(body):
            for name in inspect_source(part, label=label)[2]:
                if name in given:
                    found[name] = given[name]
                    continue
                included = self.get(name)
                if not isinstance(included.template, str):
                    raise PromptError(f"{label} includes {name!r}, which is a chat; only text can be included")
                found[name] = Partial(included.template, included.partials)
        return found

    def _log_assignment(self, split: Split, unit_id: str, number: int) -> None:
        key = (split.id, unit_id)
        if key in self._dealt:
            self._dealt.move_to_end(key)
            return
        self._dealt[key] = None
        if len(self._dealt) > _REMEMBERED_UNITS:  # the store keeps the first row of a unit: asking twice is harmless
            self._dealt.popitem(last=False)
        about = {"id": split.id, "name": split.name, "weights": split.to_json(), "salt": split.salt}
        now = self._clock()
        self._spool.submit(lambda c: store.add_assignment(c, split=about, unit=unit_id, number=number, now=now))

    def _not_found(self, name: str, which: int | str | None) -> str:
        known = self.names()
        if name not in known:
            hint = did_you_mean(name, known)
            return f"no prompt {name!r}; saved: {', '.join(known[:20]) or 'none yet'}{hint}"
        numbers = [version.number for version in self.versions(name)]
        labels = self.labels(name)
        if isinstance(which, int):
            return f"prompt {name!r} has no version {which}; versions: {numbers[0]} to {numbers[-1]}"
        return f"prompt {name!r} has no label {which!r}; labels: {', '.join(labels) or 'none'}"
