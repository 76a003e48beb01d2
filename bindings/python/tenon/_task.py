"""The part of a task that is written by hand: what it yields, and waiting for it, blocking or with asyncio."""

import asyncio
import ctypes
from typing import (
    Any, AsyncIterator, Callable, Coroutine, Generator, Generic, Iterator, List, NamedTuple, Optional, Tuple, Type, TypeVar, cast)

from . import _abi
from ._base import Row, TenonError
from ._core import DONE, OK, ContextBase, Handle
from ._library import library
from ._values import row_struct

T = TypeVar("T", bound="TaskBase[Any, Any]")
Item = TypeVar("Item")
Result = TypeVar("Result")

READ_BYTES = 256 * 1024


class Yield(NamedTuple):
    """What a task yields, and which of it is the result of the call."""

    result: str
    row: Optional[Type[Row]] = None
    next: Optional[Callable[..., int]] = None
    """Functions that read by index what belongs to a row, with the class of what they read."""
    children: Tuple[Tuple[Callable[..., int], Type[Row]], ...] = ()


Wait = Callable[[Callable[[int], Optional[Any]]], Coroutine[Any, Any, Any]]
END = object()


class TaskBase(Handle, Generic[Item, Result]):
    """A task can be iterated, awaited and asked for its result().

    `for row in task` and `async for row in task` give rows, or pieces of bytes, as they arrive; `await task` and task.result()
    give what the blocking call of the same name returns. As a context manager it is cancelled at the end if it still runs.
    Cancelling the asyncio task that waits cancels the task too.
    """

    _yield: Yield
    _kept: Optional[Tuple[Any]] = None

    @classmethod
    def _start(cls: Type[T], context: ContextBase, what: Yield, function: Callable[..., int], *arguments: Any) -> T:
        task = context._make(cls, function, *arguments)
        task._yield = what
        context._tasks[task._pointer] = task
        return task

    # ---- taking ----

    def _take(self, timeout_ms: int) -> Any:
        """The next row or the next bytes; END behind the last; None when nothing came in time."""
        if self._yield.row is None:
            return self._take_bytes(timeout_ms)
        assert self._yield.next is not None
        struct = row_struct(self._yield.row)
        with self.context._turn:
            status = self.context._call(self._yield.next, self, timeout_ms, ctypes.byref(struct), task=self)
            if status == OK:
                return self._yield.row._read(struct, *[self._children(*pair) for pair in self._yield.children])
        return END if status == DONE else None

    def _take_bytes(self, timeout_ms: int, most: int = READ_BYTES) -> Any:
        buffer = ctypes.create_string_buffer(most)
        got = ctypes.c_size_t()
        status = self.context._call(library.tenon_task_read, self, timeout_ms, buffer, most, ctypes.byref(got), task=self)
        return ctypes.string_at(buffer, got.value) if status == OK else END if status == DONE else None

    def _children(self, function: Callable[..., int], kind: Type[Row]) -> Tuple[Row, ...]:
        found: List[Row] = []
        struct = row_struct(kind)
        while self.context._call(function, self, len(found), ctypes.byref(struct), task=self) == OK:
            found.append(kind._read(struct))
            struct = row_struct(kind)
        return tuple(found)

    def _finish(self, timeout_ms: int) -> Optional[bool]:
        """True when the task is done. What it yields is dropped: by the library, or where asyncio only polls, here."""
        if timeout_ms == 0 and self._yields_items:
            item = self._take(0)
            while item is not None and item is not END:
                item = self._take(0)
            return True if item is END else None
        return True if self.context._call(library.tenon_task_wait, self, timeout_ms, task=self) == OK else None

    @property
    def _yields_items(self) -> bool:
        return self._yield.row is not None or self._yield.result == "bytes"

    # ---- waiting: each _x below runs blocking with _block and in asyncio with _pause ----

    async def _block(self, attempt: Callable[[int], Optional[Any]]) -> Any:
        return self.context._wait(attempt)

    async def _pause(self, attempt: Callable[[int], Optional[Any]]) -> Any:
        while True:
            with self.context._turn:
                value = attempt(0)
                if value is not None:
                    return value
                news = self.context._news(self)
            try:
                await news
            except asyncio.CancelledError:
                self.context._ask(library.tenon_task_cancel, self)
                raise

    async def _next(self, wait: Wait, end: Type[Exception]) -> Item:
        if not self._yields_items:
            raise TypeError("this task yields nothing but its result")
        item = await wait(self._take)
        if item is END:
            raise end
        return cast(Item, item)

    async def _result(self, wait: Wait) -> Result:
        kind = self._yield.result
        if self._kept is None:
            if kind in ("rows", "single", "bytes"):
                items = await self._items(wait)
                value: Any = b"".join(items) if kind == "bytes" else items[0] if kind == "single" else items
            else:
                value = await self._outcome(wait, kind)
            self._kept = (value,)
        return cast(Result, self._kept[0])

    async def _items(self, wait: Wait) -> List[Any]:
        items: List[Any] = []
        try:
            item = await wait(self._take)
            while item is not END:
                items.append(item)
                item = await wait(self._take)
        except TenonError as error:
            error.rows = items
            raise
        return items

    async def _outcome(self, wait: Wait, kind: str) -> Any:
        try:
            await wait(self._finish)
        except _abi.NotFoundError:
            if kind != "truth":
                raise
            return False
        if kind == "truth":
            return True
        value = self.context._text(library.tenon_task_text, self) if kind in ("text", "number") else None
        return int(value or 0) if kind == "number" else value

    # ---- what the caller sees ----

    def close(self) -> None:
        """Give back the task; one that still runs is cancelled."""
        with self.context._turn:
            if self._address is not None:
                self.context._wake(self._address, self._closed_error())
            self._drop()

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        return _run(self._next(self._block, _Stop))

    def __aiter__(self) -> AsyncIterator[Item]:
        return self

    async def __anext__(self) -> Item:
        return await self._next(self._pause, StopAsyncIteration)

    def __await__(self) -> Generator[Any, None, Result]:
        return self._result(self._pause).__await__()

    def result(self) -> Result:
        """Wait for the end, and return what the blocking call of the same name returns."""
        return _run(self._result(self._block))

    def wait(self, timeout_ms: int = -1) -> bool:
        """Wait for the end of a task; tells whether it has come. Rows and bytes that are not taken meanwhile are dropped.

        timeout_ms: how long to wait at most; 0 only looks, -1 waits for the end
        """
        def attempt(part: int) -> Optional[bool]:
            return True if self.context._call(library.tenon_task_wait, self, part, task=self) == OK else None
        return self.context._wait(attempt, timeout_ms) or False

    def read(self, size: int = READ_BYTES, timeout_ms: int = -1) -> Optional[bytes]:
        """Take the next bytes of a task that yields bytes: b"" behind the last, None when time is up.

        size: how many at most
        timeout_ms: how long to wait for the first byte; 0 polls, -1 waits
        """
        value = self.context._wait(lambda part: self._take_bytes(part, size), timeout_ms)
        return b"" if value is END else value


class _Stop(Exception):
    """The end of an iteration; a coroutine may not raise StopIteration."""


def _run(body: Coroutine[Any, Any, Item]) -> Item:
    """Runs a coroutine that never gives way."""
    try:
        body.send(None)
    except StopIteration as end:
        return cast(Item, end.value)
    except _Stop:
        raise StopIteration from None
    raise RuntimeError("a blocking call gave way")


def finish(task: "TaskBase[Any, Result]") -> Result:
    """The result of a task that nobody else holds; whatever happens, it is over afterwards."""
    with task:
        return task.result()
