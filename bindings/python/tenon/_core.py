"""What the generated classes stand on: handles, contexts and whose turn it is there, and asyncio."""

import asyncio
import ctypes
import functools
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Callable, ClassVar, Dict, Iterable, List, Optional, Type, TypeVar, Union

from . import _abi
from ._base import Row, TenonError, to_text
from ._library import library
from ._values import Texts, choice, options, row_struct, texts

if TYPE_CHECKING:
    from ._task import TaskBase

H = TypeVar("H", bound="Handle")
C = TypeVar("C", bound="ContextBase")
R = TypeVar("R", bound=Row)
Value = TypeVar("Value")

OK, DONE = int(_abi.Status.OK), int(_abi.Status.DONE)

# How long a thread stays inside the library at most, so that Ctrl-C gets through; shorter while others wait too.
SLICE_MS = 100
SHARED_SLICE_MS = 5


# ---- whose turn it is ----

class Turn:
    """Lets one thread at a time into a context, in the order in which they come. The one that is in may enter again."""

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._inside = threading.Lock()
        self._owner = 0
        self._depth = 0

    def __enter__(self) -> None:
        me = threading.get_ident()
        if self._owner != me:
            # Whoever holds the gate is next; without it the thread that just left would mostly be in again first.
            with self._gate:
                self._inside.acquire()
            self._owner = me
        self._depth += 1

    def __exit__(self, *error: Any) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._owner = 0
            self._inside.release()


# ---- handles ----

class Handle:
    """Something of the library's that is counted. Closing it twice is fine, and so is leaving it to the garbage collector."""

    _free: ClassVar[Callable[[int], None]]
    _address: Optional[int] = None
    context: "ContextBase"

    @property
    def _pointer(self) -> int:
        if self._address is None:
            raise self._closed_error()
        return self._address

    def _closed_error(self) -> TenonError:
        return _abi.MisuseError(f"this {type(self).__name__} is closed")

    @classmethod
    def _adopt(cls: Type[H], address: Optional[int], context: "ContextBase") -> H:
        """The object of a handle that a function has just made."""
        handle = cls.__new__(cls)
        handle.context = context
        handle._address = address
        return handle

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._address is None

    def close(self) -> None:
        """Give back the reference; what others still need lives on."""
        with self.context._turn:
            self._drop()

    def _drop(self) -> None:
        address, self._address = self._address, None
        if address is not None:
            type(self)._free(address)

    def __enter__(self: H) -> H:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def __del__(self) -> None:
        # Freeing is allowed from any thread at any time: nobody's turn is taken.
        self._drop()


def _pointers(arguments: Iterable[Any]) -> List[Any]:
    return [argument._pointer if isinstance(argument, Handle) else argument for argument in arguments]


class ContextBase(Handle):
    """The part of a context that is written by hand: opening, calling, waiting, asyncio."""

    _default: ClassVar[Optional["ContextBase"]] = None
    _all: ClassVar["weakref.WeakSet[ContextBase]"] = weakref.WeakSet()
    _default_lock: ClassVar[threading.Lock] = threading.Lock()

    @property
    def context(self: C) -> C:  # type: ignore[override]
        return self

    def __init__(self, settings: Optional[Texts] = None, *, logger: Optional[Callable[[Any], Any]] = None,
                 level: Union[int, str, "_abi.LogLevel"] = 0, environment: bool = True, workers: int = 0):
        """Open a context: an event loop with its connections, credentials and settings.

        settings: first settings, as a mapping or as "key=value"; they win over the environment
        logger: is called with a LogRecord for every line of the log
        level: the least urgent level that the logger wants; 0 stands for LogLevel.WARNING
        environment: whether settings are read from the environment
        workers: most threads that it may start, up to 64, which hash and write large files; 0: none is started
        """
        self._turn = Turn()
        self._waiting = 0
        self._futures: Dict[int, List["asyncio.Future[None]"]] = {}
        self._drivers: Dict[asyncio.AbstractEventLoop, "Driver"] = {}
        self._tasks: "weakref.WeakValueDictionary[int, TaskBase[Any, Any]]" = weakref.WeakValueDictionary()
        self._interrupt: Optional[BaseException] = None
        self._logger = self._make_logger(logger, choice(_abi.LogLevel, level)) if logger else None
        self._open(settings, 0 if environment else int(_abi.ContextFlags.NO_ENVIRONMENT), workers)
        ContextBase._all.add(self)

    def _open(self, settings: Optional[Texts], flag_sum: int, workers: int) -> None:
        logger = ctypes.pointer(self._logger) if self._logger else None
        address = ctypes.c_void_p()
        pairs = texts(settings)
        status = library.tenon_context_open(
            options(_abi.tenon_context_options, flags=flag_sum, logger=logger, settings=pairs, workers=workers),
            ctypes.byref(address))
        if status == int(_abi.Status.ERROR_ARGUMENT) and pairs is not None:
            # Only a context that exists can say which setting is wrong.
            with type(self)(environment=False) as other:
                for pair in list(pairs)[:-1]:
                    key, _, value = pair.partition(b"=")
                    other._call(library.tenon_context_set, other, key, value)
        if status < 0:
            raise TenonError._make(status)
        self._address = address.value

    @classmethod
    def default(cls: Type[C]) -> C:
        """The context that is used where none is given; opened on first use, one for the whole process."""
        with ContextBase._default_lock:
            if ContextBase._default is None or ContextBase._default.closed:
                ContextBase._default = cls()
            return ContextBase._default  # type: ignore[return-value]

    def close(self) -> None:
        """Close the context. What is still held of it keeps working, but can no longer be awaited."""
        with self._turn:
            for driver in self._drivers.values():
                _run_in(driver.loop, driver.leave)
            self._drivers.clear()
            for address in list(self._futures):
                self._wake(address, self._closed_error())
            self._drop()

    # ---- the logger ----

    def _make_logger(self, logger: Callable[[Any], Any], level: int) -> ctypes.Structure:
        def write(user: Optional[int], record: Any) -> None:
            try:
                logger(_abi.LogRecord._read(record.contents))
            except (KeyboardInterrupt, SystemExit) as error:
                # Raised as soon as the library has returned; any other error is reported by sys.unraisablehook.
                context._interrupt = error
        context = weakref.proxy(self)
        struct = _abi.tenon_logger(struct_size=ctypes.sizeof(_abi.tenon_logger), level=level)
        struct.write = type(struct.write)(write)
        return struct

    # ---- calling ----

    def _call(self, function: Callable[..., int], *arguments: Any, task: Optional["TaskBase[Any, Any]"] = None) -> int:
        """Calls a function that returns a status; an error becomes its exception."""
        with self._turn:
            status = function(*_pointers(arguments))
            error = self._error(status, task) if status < 0 else None
            if self._drivers:
                self._tell_news()
        interrupt, self._interrupt = self._interrupt, None
        if interrupt is not None:
            raise interrupt
        if error is not None:
            raise error
        return status

    def _ask(self, function: Callable[..., int], *arguments: Any) -> int:
        """Calls a function whose answer, if it has one, is a number and no error."""
        with self._turn:
            return function(*_pointers(arguments))

    def _handle(self, function: Callable[..., int], *arguments: Any) -> Optional[int]:
        """Calls a function whose last parameter gives a handle."""
        address = ctypes.c_void_p()
        self._call(function, *arguments, ctypes.byref(address))
        return address.value

    def _make(self, kind: Type[H], function: Callable[..., int], *arguments: Any) -> H:
        return kind._adopt(self._handle(function, *arguments), self)

    def _fill(self, kind: Type[R], function: Callable[..., int], *arguments: Any) -> R:
        """Calls a function whose last parameter is a row."""
        struct = row_struct(kind)
        with self._turn:
            self._call(function, *arguments, ctypes.byref(struct))
            return kind._read(struct)

    def _text(self, function: Callable[..., int], *arguments: Any) -> str:
        """Calls a function whose last parameter gives a text."""
        value = ctypes.c_char_p()
        with self._turn:
            self._call(function, *arguments, ctypes.byref(value))
            return to_text(value.value)

    def _error(self, status: int, task: Optional["TaskBase[Any, Any]"]) -> TenonError:
        struct = row_struct(_abi.Error)
        if task is not None:
            library.tenon_task_error(task._pointer, ctypes.byref(struct))
        if struct.status != status:
            struct = row_struct(_abi.Error)
            library.tenon_context_error(self._pointer, ctypes.byref(struct))
        if struct.status != status:
            return TenonError._make(status)
        row = _abi.Error._read(struct)
        return TenonError._make(status, row.message, row.hint, row.code, row.request_id, row.http_status, row.system_error,
                                row.retry_after_ms)

    # ---- waiting ----

    def _wait(self, attempt: Callable[[int], Optional[Value]], timeout_ms: int = -1) -> Optional[Value]:
        """Tries in slices until there is a value, or until time is up: None."""
        end = time.monotonic() + timeout_ms / 1000
        with self._turn:
            self._waiting += 1
        try:
            while True:
                part = SLICE_MS if self._waiting == 1 and not self._drivers else SHARED_SLICE_MS
                if timeout_ms >= 0:
                    part = max(0, min(part, round((end - time.monotonic()) * 1000)))
                value = attempt(part)
                if value is not None or part == 0:
                    return value
        finally:
            with self._turn:
                self._waiting -= 1

    def step(self, timeout_ms: int = -1) -> bool:
        """Wait for something to do, and do it: one turn of the event loop. Tells whether something was done.

        timeout_ms: how long to wait at most; 0 does what can be done now, -1 waits for ever
        """
        def attempt(part: int) -> Optional[bool]:
            return True if self._call(library.tenon_context_step, self, part) == OK else None
        return self._wait(attempt, timeout_ms) or False

    def next_task(self) -> Optional["TaskBase[Any, Any]"]:
        """Take the next task that has news: rows to read, or its end. For loops that watch thousands.

        None when no task has news. Tasks that are awaited have their news taken by asyncio.
        """
        address = ctypes.c_void_p()
        while self._call(library.tenon_context_next_task, self, ctypes.byref(address)) == OK:
            task = self._tasks.get(address.value or 0)
            if task is not None:
                return task
        return None

    # ---- asyncio ----

    def _news(self, task: "TaskBase[Any, Any]") -> "asyncio.Future[None]":
        """A future that is done when the task has news. The running event loop steps the context meanwhile."""
        loop = asyncio.get_running_loop()
        driver = self._drivers.get(loop) or Driver(self, loop)
        self._drivers[loop] = driver
        driver.count += 1
        driver.arm()
        future = loop.create_future()
        future.add_done_callback(functools.partial(self._served, task._pointer))
        self._futures.setdefault(task._pointer, []).append(future)
        return future

    def _served(self, address: int, future: "asyncio.Future[None]") -> None:
        with self._turn:
            left = [other for other in self._futures.pop(address, ()) if other is not future]
            if left:
                self._futures[address] = left
            driver = self._drivers.get(future.get_loop())
            if driver is not None:
                driver.count -= 1
                # Whoever waited comes first, and mostly waits again.
                driver.loop.call_soon(driver.rest)

    def _tell_news(self) -> None:
        """Wakes whoever awaits a task that has news."""
        address = ctypes.c_void_p()
        while library.tenon_context_next_task(self._pointer, ctypes.byref(address)) == OK:
            self._wake(address.value or 0)
        for driver in list(self._drivers.values()):
            _run_in(driver.loop, driver.arm)

    def _wake(self, address: int, error: Optional[TenonError] = None) -> None:
        for future in self._futures.pop(address, ()):
            _run_in(future.get_loop(), lambda future=future: _settle(future, error))  # type: ignore[misc]


def _settle(future: "asyncio.Future[None]", error: Optional[TenonError]) -> None:
    if not future.done():
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(None)


def _run_in(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    """Now when the event loop is this thread's, else when it comes round."""
    try:
        mine = asyncio.get_running_loop() is loop
    except RuntimeError:
        mine = False
    if mine:
        function()
    elif not loop.is_closed():
        loop.call_soon_threadsafe(function)


class Driver:
    """Steps a context from an asyncio event loop, as long as something there awaits a task of it."""

    def __init__(self, context: ContextBase, loop: asyncio.AbstractEventLoop):
        self.context = context
        self.loop = loop
        self.count = 0
        self.timer: Optional[asyncio.TimerHandle] = None
        self.descriptor = context._ask(library.tenon_context_descriptor, context)
        loop.add_reader(self.descriptor, self.step)

    def step(self) -> None:
        try:
            self.context._call(library.tenon_context_step, self.context, 0)
        except TenonError as error:
            for address in list(self.context._futures):
                self.context._wake(address, error)

    def arm(self) -> None:
        """Sets the timer for what the context wants to do next."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.count > 0:
            timeout = self.context._ask(library.tenon_context_timeout, self.context)
            if timeout >= 0:
                self.timer = self.loop.call_later(timeout / 1000, self.step)

    def rest(self) -> None:
        """Leaves the event loop when nobody waits any more."""
        if self.count == 0 and self.context._drivers.get(self.loop) is self:
            del self.context._drivers[self.loop]
            self.leave()

    def leave(self) -> None:
        self.count = 0
        self.arm()
        if not self.loop.is_closed():
            self.loop.remove_reader(self.descriptor)


def _after_fork() -> None:
    """In a forked child nobody else is inside any more, and the library answers every call with an error."""
    ContextBase._default = None
    ContextBase._default_lock = threading.Lock()
    for context in list(ContextBase._all):
        context._turn = Turn()


os.register_at_fork(after_in_child=_after_fork)
