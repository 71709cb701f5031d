"""One daemon thread with an event loop of its own, for callers that are not asynchronous.

It works in a script, a notebook cell, a thread and inside a running loop alike, because nothing is ever awaited on the
caller's own loop.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, Generic, TypeVar

__all__ = ["Background", "Relay"]

T = TypeVar("T")

GRACE = 2.0
"""Seconds that an interrupted call gets to close its connection and settle, before the interrupt is raised."""


class Background:
    """A thread that runs coroutines for synchronous callers; started at its first use."""

    def __init__(self, name: str = "aikit") -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The thread's event loop; started when it is not running."""
        loop = self._loop
        return loop if loop is not None else self._start()

    def _start(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                loop = asyncio.new_event_loop()
                ready = threading.Event()
                self._thread = threading.Thread(target=self._serve, args=(loop, ready), name=self._name, daemon=True)
                self._thread.start()
                ready.wait()
                self._loop = loop
                atexit.register(self.close)
            return self._loop

    @staticmethod
    def _serve(loop: asyncio.AbstractEventLoop, ready: threading.Event) -> None:
        asyncio.set_event_loop(loop)
        loop.call_soon(ready.set)
        try:
            loop.run_forever()
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine on the thread and return at once."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the thread and wait for its result.

        A KeyboardInterrupt cancels it, waits up to two seconds until it has settled, and is raised again.
        """
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("this is aikit's own loop: await the coroutine of AsyncKit instead of calling Kit here")
        span = _Span()
        future = self.submit(span.around(work))
        try:
            return future.result()
        except KeyboardInterrupt:
            self.stop(future, span)
            raise

    def stop(self, future: Future[Any], span: _Span) -> None:
        """Cancel what `future` runs and wait, up to two seconds, until it has cleaned up."""
        future.cancel()
        turn = self.submit(asyncio.sleep(0))
        with contextlib.suppress(FutureTimeout, CancelledError):
            turn.result(GRACE)
        if span.begun:
            span.ended.wait(GRACE)

    def close(self) -> None:
        """Cancel what is running, wait up to two seconds, and end the thread; closing twice is harmless."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None or not thread.is_alive():
            return
        atexit.unregister(self.close)
        stopped = asyncio.run_coroutine_threadsafe(_cancel_all(), loop)
        with contextlib.suppress(FutureTimeout, CancelledError):
            stopped.result(GRACE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(GRACE)


async def _cancel_all() -> None:
    mine = asyncio.current_task()
    others = [task for task in asyncio.all_tasks() if task is not mine]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class _Span:
    """From the first step of a coroutine to the last line of its clean-up."""

    def __init__(self) -> None:
        self.begun = False
        self.ended = threading.Event()

    async def around(self, work: Coroutine[Any, Any, T]) -> T:
        self.begun = True
        try:
            return await work
        finally:
            self.ended.set()


class Relay(Generic[T]):
    """Carries an asynchronous generator's items to a synchronous consumer, in groups.

    The producer wakes the consumer only when that one waits, so that a burst of chunks costs one hand-over.
    """

    def __init__(self, background: Background, items: Callable[[], AsyncGenerator[T, None]]) -> None:
        self._background = background
        self._items = items
        self._ready: deque[T] = deque()
        self._wake = threading.Event()
        self._waiting = False
        self._task: Future[None] | None = None
        self._span = _Span()

    async def _pump(self) -> None:
        stream = self._items()
        try:
            async for item in stream:
                self._ready.append(item)
                if self._waiting:
                    self._wake.set()
        finally:
            await stream.aclose()

    def __iter__(self) -> Iterator[T]:
        if self._task is None:
            self._task = self._background.submit(self._span.around(self._pump()))
            self._task.add_done_callback(lambda _: self._wake.set())
        ready, task = self._ready, self._task
        try:
            while True:
                while ready:
                    yield ready.popleft()
                if task.done():
                    if ready:
                        continue
                    task.result()
                    return
                self._wake.clear()
                self._waiting = True
                # Looked at again after `_waiting` was set: an item that came in between would not have woken us.
                if not ready and not task.done():
                    self._wake.wait()
                self._waiting = False
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop the producer and wait until it has cleaned up; closing twice is harmless."""
        if self._task is not None and not self._task.done():
            self._background.stop(self._task, self._span)
