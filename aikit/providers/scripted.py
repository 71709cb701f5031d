"""A scripted model: it answers what it is told to, as slowly and as faultily as it is told to, at no cost."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import re
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, cast

import msgspec

from aikit.errors import (
    AikitError,
    BadRequest,
    ConnectionFailed,
    DeadlineExceeded,
    Overloaded,
    ProviderError,
    StreamInterrupted,
    UnknownSetting,
    did_you_mean,
)
from aikit.events import Event, Finished, ReasoningDelta, TextDelta, ToolDelta
from aikit.messages import (
    Completion,
    FinishReason,
    GenerationOptions,
    Message,
    ProviderCapabilities,
    TokenCount,
    Usage,
    as_messages,
    text_content,
)
from aikit.providers.base import Adapter

if TYPE_CHECKING:
    from aikit.config import ProviderConfig

__all__ = ["Scripted"]

Reply = Any
"""What to answer: see `Scripted`."""

_TOKEN = re.compile(r"\s{0,4}\S{1,8}|\s{1,4}")


def _tokens(text: str) -> list[str]:
    """Cut a text into the script's tokens: words with the space before them, long ones in pieces."""
    return _TOKEN.findall(text)


@dataclass(slots=True)
class Script:
    """What a `Scripted` and all its bound copies share."""

    reply: Reply = "This is a scripted answer."
    first_token_delay: float = 0.0
    chunk_delay: float = 0.0
    usage: Usage | None = None
    failures: Sequence[Exception | int | None] = ()
    failure_rate: float = 0.0
    capabilities: ProviderCapabilities = field(default_factory=ProviderCapabilities)
    seed: int = 0
    sleep: Callable[[float], Any] = asyncio.sleep
    requests: deque[tuple[tuple[Message, ...], GenerationOptions]] = field(
        default_factory=lambda: deque[tuple[tuple[Message, ...], GenerationOptions]](maxlen=10_000)
    )
    open_streams: int = 0
    calls: int = 0
    asked: Counter[bytes] = field(default_factory=Counter[bytes])


_SETTINGS = tuple(
    name for name in Script.__dataclass_fields__ if name not in ("requests", "open_streams", "calls", "asked")
)


@dataclass(frozen=True, slots=True)
class Performance:
    """One call as the script has it: what to say, and where to fail."""

    pieces: Iterable[str | Exception]
    usage: Usage | None = None
    finish_reason: FinishReason = "stop"
    completion: Completion | None = None
    breaks_after: int | None = None
    """Chunks after which the stream breaks off; None when it does not."""


class Scripted(Adapter):
    """A provider that follows a script: for tests, notebooks and dry runs; no network, no key, cost 0.

    `reply` is what it answers:

    * a string;
    * a sequence of replies, one per call in the order they come, then from the start again;
    * a mapping from the last user message (else from a part of it, the longest first; else from `""`) to a reply;
    * a function of (messages, options), synchronous or not, that returns a reply or an iterable of chunks;
    * a `Completion` for tool calls, reasoning, usage or a finish reason of its own;
    * an exception, which is raised; as a chunk it breaks the stream off there.

    `first_token_delay` and `chunk_delay` are seconds. `usage` replaces the script's own count. `failures` has an entry
    per call in the order they come: None goes well, an exception is raised before anything arrives, a number is the
    chunks after which the connection breaks. `failure_rate` is the share of calls that fail with a 503, drawn by
    `seed` from the prompt and how often it was asked, so a run fails the same way whatever order its calls come in.
    An answer is cut at `max_tokens` of the script's own tokens (about a word each) and before a `stop` string.
    In a configuration the same names stand in `options`.
    """

    kind: ClassVar[str] = "scripted"

    def __init__(
        self,
        config: ProviderConfig | None = None,
        *,
        name: str = "scripted",
        model: str = "script",
        key: str | None = None,
        **script: Any,
    ) -> None:
        super().__init__(config or _default_config(), name=name, model=model or "script", key=key)
        settings = {**self.config.options, **script}
        for setting in settings:
            if setting not in _SETTINGS:
                near = did_you_mean(setting, _SETTINGS)
                raise UnknownSetting(f"a script has no {setting!r}{near}; it has: {', '.join(_SETTINGS)}")
        self._script = Script(**settings)

    @property
    def requests(self) -> tuple[tuple[tuple[Message, ...], GenerationOptions], ...]:
        """What was asked, oldest first: (messages, options) of the last 10,000 calls."""
        return tuple(self._script.requests)

    @property
    def open_streams(self) -> int:
        """How many streams are being answered now."""
        return self._script.open_streams

    async def generate_stream(
        self, prompt: str | Sequence[Message], options: GenerationOptions
    ) -> AsyncGenerator[Event, None]:
        """Yield the scripted answer's events, each after its delay."""
        script, messages = self._script, as_messages(prompt)
        number = script.calls
        script.calls += 1
        script.requests.append((messages, options))
        script.open_streams += 1
        try:
            await self._wait(script.first_token_delay)
            performance = await self._performance(messages, options, number)
            async for event in self._perform(performance, messages, options):
                yield event
        finally:
            script.open_streams -= 1

    async def _perform(
        self, performance: Performance, messages: tuple[Message, ...], options: GenerationOptions
    ) -> AsyncGenerator[Event, None]:
        given = performance.completion
        if given is not None and given.reasoning:
            yield ReasoningDelta(given.reasoning)
        said: list[str] = []
        cut = Cut(options)
        for number, piece in enumerate(self._whole(performance.pieces)):
            if isinstance(piece, Exception) or number == performance.breaks_after:
                raise self._break(piece, "".join(said), messages)
            if text := cut.fit(piece):
                if said:
                    await self._wait(self._script.chunk_delay)
                said.append(text)
                yield TextDelta(text)
            if cut.reason is not None:
                break
        if performance.breaks_after is not None and cut.reason is None:
            raise self._break("", "".join(said), messages)
        for event in _tool_deltas(given):
            yield event
        usage = self._script.usage or performance.usage or self._usage(messages, "".join(said))
        reason = cut.reason or performance.finish_reason
        yield Finished(reason, usage, "reported", response_model=self.model, raw_finish_reason=reason)

    async def _performance(self, messages: tuple[Message, ...], options: GenerationOptions, number: int) -> Performance:
        planned = self._script.failures[number] if number < len(self._script.failures) else None
        if isinstance(planned, Exception):
            raise self._ours(planned)
        if self._fails_by_chance(messages):
            raise Overloaded("the script's failure rate: 503", provider=self.name, model=self.model, status=503)
        return _performance(await self._reply(messages, options, number), breaks_after=planned)

    async def _reply(self, messages: tuple[Message, ...], options: GenerationOptions, number: int) -> Reply:
        reply = self._script.reply
        while True:
            if isinstance(reply, Exception):
                raise self._ours(reply)
            if isinstance(reply, str | Completion):
                return reply
            if callable(reply):
                return await self._called(reply, messages, options)
            if isinstance(reply, Mapping):
                reply = self._looked_up(cast("Mapping[str, Reply]", reply), messages)
            elif isinstance(reply, Sequence) and reply:
                replies = cast("Sequence[Reply]", reply)
                reply = replies[number % len(replies)]
            else:
                raise BadRequest(f"a script can't answer with {reply!r}", provider=self.name, model=self.model)

    async def _called(self, function: Any, messages: tuple[Message, ...], options: GenerationOptions) -> Reply:
        try:
            reply = function(messages, options)
            reply = await reply if inspect.isawaitable(reply) else reply
        except Exception as error:
            raise self._ours(error) from error
        if isinstance(reply, Exception):
            raise self._ours(reply)
        return reply

    def _looked_up(self, replies: Mapping[str, Reply], messages: tuple[Message, ...]) -> Reply:
        asked = next((text_content(message) for message in reversed(messages) if message.role == "user"), "")
        if asked in replies:
            return replies[asked]
        for part in sorted(replies, key=len, reverse=True):
            if part in asked:
                return replies[part]
        message = f"the script has no reply to {asked[:80]!r}; add it, or one for '' that answers the rest"
        raise BadRequest(message, provider=self.name, model=self.model)

    def _fails_by_chance(self, messages: tuple[Message, ...]) -> bool:
        if not self._script.failure_rate:
            return False
        key = hashlib.sha256(msgspec.json.encode(messages)).digest()
        self._script.asked[key] += 1
        draw = Random(f"{self._script.seed} {self._script.asked[key]} {key.hex()}")  # noqa: S311  # no secret
        return draw.random() < self._script.failure_rate

    def _whole(self, pieces: Iterable[str | Exception]) -> Iterator[str | Exception]:
        """Yield the chunks; an iterator that fails gives its error as the last one."""
        try:
            yield from pieces
        except Exception as error:  # noqa: BLE001  # `_break` raises it, as one of ours
            yield error

    def _break(self, fault: str | Exception, partial: str, messages: tuple[Message, ...]) -> AikitError:
        if isinstance(fault, Exception) and not isinstance(fault, ConnectionFailed | OSError):
            return self._ours(fault)
        message = "the script broke the connection off" if isinstance(fault, str) else str(fault)
        if not partial:
            return ConnectionFailed(message, provider=self.name, model=self.model, sent=True)
        usage = self._usage(messages, partial)
        error = StreamInterrupted(message, partial=partial, usage=usage, provider=self.name, model=self.model)
        error.__cause__ = fault if isinstance(fault, Exception) else None
        return error

    def _ours(self, error: Exception) -> AikitError:
        if isinstance(error, AikitError):
            return error
        ours = ProviderError(f"the script raised {error!r}", provider=self.name, model=self.model)
        ours.__cause__ = error
        return ours

    async def _wait(self, seconds: float) -> None:
        progress = getattr(self.config.timeouts, "progress", None)
        if progress is not None and seconds > progress:
            await self._script.sleep(progress)
            message = f"the script said nothing for {progress:g} s"
            raise DeadlineExceeded(message, which="progress", provider=self.name, model=self.model)
        # Even without a delay the others get their turn between two chunks, as they would with a real server.
        await self._script.sleep(seconds)

    def _usage(self, messages: tuple[Message, ...], text: str) -> Usage:
        return Usage(_input_tokens(messages), len(_tokens(text)))

    async def count_tokens(self, prompt: str | Sequence[Message], options: GenerationOptions) -> TokenCount:
        """Return the script's own count, which is also what it reports and bills."""
        return TokenCount(_input_tokens(as_messages(prompt)), "exact")

    def get_capabilities(self, model: str | None = None) -> ProviderCapabilities:
        """Return the capabilities the script was given; unknown without."""
        return self._script.capabilities


class Cut:
    """Cuts an answer at `max_tokens` and before a `stop` string, chunk by chunk."""

    def __init__(self, options: GenerationOptions) -> None:
        self._left = options.max_tokens
        self._stop = options.stop or ()
        self._text = ""
        self.reason: FinishReason | None = None
        """Why the answer ends here; None while it goes on."""

    def fit(self, piece: Any) -> str:
        """Return what may be said of the next chunk."""
        kept = self._within(str(piece))
        whole = self._text + kept
        ends = [at for stop in self._stop if (at := whole.find(stop)) >= 0]
        if ends:
            # A stop string may begin in a chunk that is out already: that much has been said, as servers do it too.
            self.reason, kept = "stop", whole[len(self._text) : max(min(ends), len(self._text))]
        self._text += kept
        return kept

    def _within(self, piece: str) -> str:
        if self._left is None:
            return piece
        tokens = _tokens(piece)
        if len(tokens) > self._left:
            self.reason = "length"
            piece = "".join(tokens[: self._left])
        self._left -= min(len(tokens), self._left)
        return piece


def _performance(reply: Reply, *, breaks_after: int | None) -> Performance:
    if isinstance(reply, Completion):
        usage = reply.usage if reply.usage != Usage() else None
        reason = (
            reply.finish_reason if reply.finish_reason != "unknown" else "tool_call" if reply.tool_calls else "stop"
        )
        return Performance(_tokens(reply.text), usage, reason, reply, breaks_after)
    if isinstance(reply, str):
        return Performance(_tokens(reply), breaks_after=breaks_after)
    return Performance(cast("Iterable[str | Exception]", reply), breaks_after=breaks_after)


def _tool_deltas(completion: Completion | None) -> Iterator[ToolDelta]:
    for index, call in enumerate(completion.tool_calls if completion else ()):
        yield ToolDelta(index, call.id, call.name, msgspec.json.encode(call.arguments).decode())


def _input_tokens(messages: tuple[Message, ...]) -> int:
    return sum(len(_tokens(text_content(message))) + 2 for message in messages)


def _default_config() -> ProviderConfig:
    from aikit.config import ProviderConfig

    return ProviderConfig(kind="scripted")
