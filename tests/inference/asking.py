"""What of libtenon the tests of inference need beyond that of jobs."""

import os
import sys
from ctypes import POINTER, byref, c_uint32, c_void_p

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "job"))
import library  # noqa: E402
from library import Handle, Number, Out, Task, Text, Wide, declare, row  # noqa: E402

WHOLE = 1
UNKNOWN, TEXT, REASONING, TOOL, STOP, USAGE = range(6)
ARGUMENT, CANCELLED, TIMEOUT, NETWORK, UNAUTHORIZED, FORBIDDEN, NOT_FOUND = -1, -4, -5, -7, -9, -10, -12
CONFLICT, RATE_LIMITED, PROTOCOL, BUSY, FAILED, UNAVAILABLE = -14, -15, -21, -24, -25, -28

ChatOptions = row("ChatOptions", ("flags", c_uint32), ("prompt", Text), ("system", Text), ("messages", Text), ("model", Text),
                  ("key", Text), ("parameters", Text), ("max_tokens", Wide))
CompleteOptions = row("CompleteOptions", ("flags", c_uint32), ("prompt", Text), ("model", Text), ("key", Text), ("parameters", Text),
                      ("max_tokens", Wide))
Piece = row("Piece", ("kind", Number), ("text", Text), ("reasoning", Text), ("stop_reason", Text), ("tool_id", Text), ("tool_name", Text),
            ("tool_arguments", Text), ("json", Text), ("prompt_tokens", Wide), ("completion_tokens", Wide), ("choice", Number),
            ("tool", Number))
Model = row("Model", ("reserved", c_uint32), ("id", Text), ("owner", Text), ("json", Text), ("context_tokens", Wide))

inference_chat = declare("tenon_inference_chat", Handle, Text, POINTER(ChatOptions), Out)
inference_complete = declare("tenon_inference_complete", Handle, Text, POINTER(CompleteOptions), Out)
inference_models = declare("tenon_inference_models", Handle, Text, Text, Out)
task_state = declare("tenon_task_state", Handle)
library.NEXT[Piece] = declare("tenon_task_next_piece", Handle, Wide, POINTER(Piece))
library.NEXT[Model] = declare("tenon_task_next_model", Handle, Wide, POINTER(Model))


def encoded(options):
    return {name: value.encode() if isinstance(value, str) else value for name, value in options.items()}


class Context(library.Context):
    def _ask(self, function, kind, target, options):
        handle = c_void_p()
        self.check(function(self.handle, target if target is None else target.encode(), byref(kind(**encoded(options))), byref(handle)))
        return Task(handle, Piece)

    def chat(self, target, prompt=None, **options):
        return self._ask(inference_chat, ChatOptions, target, {**options, "prompt": prompt})

    def complete(self, target, prompt=None, **options):
        return self._ask(inference_complete, CompleteOptions, target, {**options, "prompt": prompt})

    def models(self, target, key=None):
        handle = c_void_p()
        self.check(inference_models(self.handle, target.encode(), key and key.encode(), byref(handle)))
        with Task(handle, Model) as task:
            return list(task)


def ended(task):
    """How a task that has ended did, which loses no row of it."""
    return task_state(task.handle)
