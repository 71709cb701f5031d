"""A GGUF file served by llama.cpp inside this process, on a loopback port with a key of its own."""

from __future__ import annotations

import atexit
import ctypes
import os
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from aikit.errors import ConfigError

__all__ = ["LocalServer", "Servers", "Serving", "check_file", "machine_memory"]

_MAGIC = b"GGUF"
_LOADING = 503
_PROMPT_CACHE = 128
"""MiB; with it the two prompts of an experiment, taking turns, cost a third less."""
_SMALLEST = 1024
"""Bytes; no model is smaller."""


@dataclass(frozen=True, slots=True)
class Serving:
    """What is to be served, and how."""

    path: Path
    alias: str
    """The name under which the server reports the model."""
    threads: int = 1
    context: int = 2048
    """Tokens of prompt and answer together, for each request."""
    parallel: int = 4
    """Requests answered at once; more wait."""
    temperature: float | None = None
    """Where a request does not say; None for llama.cpp's own."""
    top_p: float | None = None


@dataclass(slots=True)
class LocalServer:
    """A server that runs: its address and key."""

    url: str
    key: str = field(repr=False)
    serving: Serving
    _native: Any = field(repr=False, default=None)

    @property
    def closed(self) -> bool:
        """Whether it was told to stop."""
        return self._native is None

    def close(self) -> None:
        """Stop serving and free the memory; closing twice is harmless."""
        # llama.cpp's server in xllamacpp has no method to stop it: dropping the last reference closes the port.
        self._native = None

    def forsake(self) -> None:
        """Keep the server object for ever: in a forked child its threads do not exist, and freeing it would abort."""
        if self._native is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._native))


class Servers:
    """The servers of this process, one for each file and way to serve it, shared by all who want it."""

    def __init__(self, start: Callable[[Serving], LocalServer]) -> None:
        self._start = start
        self._lock = threading.Lock()
        self._started: dict[Serving, Future[LocalServer]] = {}

    def get(self, serving: Serving) -> Future[LocalServer]:
        """Return the server, begun on a thread of its own where there is none yet; a failed start is tried again."""
        with self._lock:
            future = self._started.get(serving)
            if future is None or _is_closed(future):
                future = self._started[serving] = Future()
                future.set_running_or_notify_cancel()  # one waiter's cancellation is not the others'
                # No daemon: the interpreter must not end while llama.cpp is between two states.
                threading.Thread(target=self._run, args=(serving, future), name="aikit-local-model").start()
            return future

    def running(self) -> tuple[LocalServer, ...]:
        """Return the servers that are up."""
        with self._lock:
            futures = list(self._started.values())
        done = [future for future in futures if future.done() and future.exception() is None]
        return tuple(future.result() for future in done if not _is_closed(future))

    def close(self) -> None:
        """Stop all of them, those on their way up too."""
        with self._lock:
            futures = list(self._started.values())
            self._started.clear()
        for future in futures:
            if future.exception() is None:  # waits for one that is on its way up
                future.result().close()

    def after_fork(self) -> None:
        """Let a forked child use the parent's servers over their ports, and never free them itself."""
        self._lock = threading.Lock()
        self._started = {serving: future for serving, future in self._started.items() if future.done()}
        for server in self.running():
            server.forsake()

    def _run(self, serving: Serving, future: Future[LocalServer]) -> None:
        try:
            server = self._start(serving)
        except BaseException as error:  # noqa: BLE001  # whoever waits gets it
            with self._lock:
                if self._started.get(serving) is future:
                    del self._started[serving]
            future.set_exception(error)
        else:
            future.set_result(server)


def _is_closed(future: Future[LocalServer]) -> bool:
    return future.done() and future.exception() is None and future.result().closed


def check_file(path: Path, *, memory: int | None) -> None:
    """Raise `ConfigError` for a file that llama.cpp can't serve, as far as that shows before it tries."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise ConfigError(f"the model file {path} can't be read: {error.strerror or error}") from error
    if magic != _MAGIC or size < _SMALLEST:
        raise ConfigError(f"{path} is not a GGUF model file ({size} bytes, beginning with {magic!r})")
    if memory is not None and size > memory:
        raise ConfigError(
            f"{path} needs more than {size / 1e9:.1f} GB of memory and this machine has {memory / 1e9:.1f} GB; "
            "take a smaller model or a stronger quantisation of this one"
        )


def machine_memory() -> int | None:
    """Return the bytes of memory that this process can have: the machine's, or its container's; None if unknown."""
    try:
        found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            found.append(int(Path(limit).read_text()))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return min(found)


def start(serving: Serving) -> LocalServer:
    """Load the model and serve it; returns when it answers. Raises `ConfigError` when it can't be loaded."""
    check_file(serving.path, memory=machine_memory())
    xllamacpp = _llama()
    key = secrets.token_urlsafe(24)
    try:
        native: Any = xllamacpp.Server(_parameters(serving, key))
    except (RuntimeError, MemoryError) as error:
        raise ConfigError(
            f"llama.cpp can't load {serving.path} ({serving.path.stat().st_size / 1e6:.0f} MB): the file is cut short, "
            f"damaged or of an architecture that this llama.cpp does not know, or its context of {serving.parallel} × "
            f"{serving.context} tokens does not fit the memory"
        ) from error
    server = LocalServer(cast("str", native.listening_address), key, serving, native)
    _wait_for_loop(server)
    return server


def _llama() -> Any:
    try:
        import xllamacpp  # pyright: ignore[reportMissingTypeStubs]  # a compiled module without stubs
    except ImportError as error:
        raise ConfigError(
            f"xllamacpp, which runs local models, can't be imported on this machine: {error}. "
            "A server of its own does as well: a provider of kind 'openai' with its base_url"
        ) from error
    return xllamacpp


def _parameters(serving: Serving, key: str) -> Any:
    parameters: Any = _llama().CommonParams()
    parameters.model.path = str(serving.path)
    parameters.model_alias = {serving.alias}
    parameters.api_keys = [key]
    parameters.n_parallel = serving.parallel
    parameters.n_ctx = serving.parallel * serving.context
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = serving.threads
    parameters.n_threads_http = serving.parallel + 4
    # A stream whose client went away is noticed at the next ping: until then it holds up the end of the process.
    parameters.sse_ping_interval = 1
    parameters.ui = False
    parameters.verbosity = -1  # its log would go to the notebook
    # What was read for earlier prompts and can be taken up again; the default may grow to 8 GB.
    parameters.cache_ram_mib = _PROMPT_CACHE
    if serving.temperature is not None:
        parameters.sampling.temp = serving.temperature
    if serving.top_p is not None:
        parameters.sampling.top_p = serving.top_p
    return parameters


def _wait_for_loop(server: LocalServer) -> None:
    """Wait until the server's own loop answers: dropping it before that leaves the dropping thread waiting for ever."""
    import httpx

    headers = {"Authorization": f"Bearer {server.key}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=600.0, trust_env=False) as client:
        while client.get("/slots").status_code == _LOADING:
            time.sleep(0.02)


SERVERS = Servers(start)
"""The one object of a process that outlives its kits: a model is loaded once and its memory is shared."""

atexit.register(SERVERS.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=SERVERS.after_fork)
