"""The chat and completion calls of OpenAI: what a request may say, and the JSON of its answer."""

import json
import secrets
import time

import tokens
from generate import Answer

# These would change the form of the answer; a request may name them only with the value that changes nothing.
_UNSUPPORTED = {"n": 1, "best_of": 1, "echo": False, "suffix": None, "logprobs": False, "response_format": {"type": "text"}}


class Invalid(Exception):
    """A request that is refused: HTTP status, the message, the field, OpenAI's code for it."""

    def __init__(self, message, field=None, status=400, code=None):
        super().__init__(message)
        self.field, self.status, self.code = field, status, code


def error_json(error):
    kind = {503: "unavailable_error"}.get(error.status, "invalid_request_error")
    return {"error": {"message": str(error), "type": kind, "param": error.field, "code": error.code}}


class CompletionForm:
    """How pieces of text become the JSON of /v1/completions."""

    prefix, whole_name, chunk_name = "cmpl-", "text_completion", "text_completion"

    def first(self):
        return {"text": ""}

    def piece(self, text):
        return {"text": text}

    def last(self):
        return {"text": ""}

    whole = piece


class ChatForm:
    """The same for /v1/chat/completions."""

    prefix, whole_name, chunk_name = "chatcmpl-", "chat.completion", "chat.completion.chunk"

    def first(self):
        return {"delta": {"role": "assistant", "content": ""}}

    def piece(self, text):
        return {"delta": {"content": text}}

    def last(self):
        return {"delta": {}}

    def whole(self, text):
        return {"message": {"role": "assistant", "content": text}}


class ToolForm(ChatForm):
    """A chat's answer that is one tool call; its pieces are the arguments."""

    def __init__(self, name):
        self._call = {"id": "call_" + secrets.token_hex(12), "type": "function"}
        self._name = name

    def _message(self, arguments, **index):
        call = {**index, **self._call, "function": {"name": self._name, "arguments": arguments}}
        return {"role": "assistant", "content": None, "tool_calls": [call]}

    def first(self):
        return {"delta": self._message("", index=0)}

    def piece(self, text):
        return {"delta": {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}}

    def whole(self, text):
        return {"message": self._message(text)}


class ToolCall:
    """Stands where an Answer stands: the arguments of a tool call, made to fit its schema, not by the model."""

    finish_reason = "tool_calls"

    def __init__(self, prompt, arguments):
        self.prompt_tokens, self.completion_tokens, self._arguments = len(prompt), 0, arguments

    def pieces(self):
        for start in range(0, len(self._arguments), 8):
            piece = self._arguments[start:start + 8]
            self.completion_tokens += len(tokens.encode(piece))
            yield piece


def _field(body, name, kind, default=None):
    """A field of the right type; null stands for the default."""
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise Invalid(f"'{name}' has the wrong type", name)
    return value


def _number(body, name, default, least, most):
    value = _field(body, name, (int, float), default)
    if not least <= value <= most:
        raise Invalid(f"'{name}' must be between {least} and {most}", name)
    return value


def _text(content, where):
    """The text of a message: a string, or a list of text parts."""
    if isinstance(content, list) and all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in content):
        content = "".join(part["text"] for part in content)
    if not isinstance(content, str):
        raise Invalid(f"'{where}' is not text", where)
    return content


def _messages(body):
    """Pairs of role and text; a message that only holds tool calls says nothing."""
    messages = _field(body, "messages", list, [])
    if not messages:
        raise Invalid("'messages' is missing or empty", "messages")
    result = []
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        if not isinstance(message, dict) or message.get("role") not in ("system", "developer", "user", "assistant", "tool"):
            raise Invalid(f"'{where}.role' is missing or unknown", where + ".role")
        if message.get("content") is not None or not message.get("tool_calls"):
            result.append((message["role"], _text(message.get("content"), where + ".content")))
    return result


def _tools(body):
    """Schema of the parameters of each tool by its name."""
    found = {}
    for index, tool in enumerate(_field(body, "tools", list, [])):
        function = tool.get("function") if isinstance(tool, dict) else None
        parameters = (function.get("parameters") or {}) if isinstance(function, dict) else None
        if not isinstance(parameters, dict) or not isinstance(function.get("name"), str):
            raise Invalid(f"'tools[{index}]' is not a function with a name", "tools")
        found[function["name"]] = parameters
    return found


def _chosen_tool(body, tools):
    """Name of the tool that must be called; None lets the model speak, which knows nothing of tools."""
    choice = body.get("tool_choice")
    if choice in (None, "none", "auto"):
        return None
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else next(iter(tools), None) if choice == "required" else None
    if not isinstance(name, str) or name not in tools:
        raise Invalid("'tool_choice' names no tool of 'tools'", "tool_choice")
    return name


def _arguments(schema, words):
    """Arguments that fit a schema of plain types; texts are what the user said."""
    examples = {"string": words, "integer": 0, "number": 0, "boolean": False, "array": [], "null": None}
    result = {}
    properties = schema.get("properties")
    for name, kind in properties.items() if isinstance(properties, dict) else ():
        kind = kind if isinstance(kind, dict) else {}
        choices = kind.get("enum")
        if isinstance(choices, list) and choices:
            result[name] = choices[0]
        elif kind.get("type") == "object":
            result[name] = _arguments(kind, words)
        else:
            word = kind.get("type")
            result[name] = examples.get(word, words) if isinstance(word, str) else words
    return result


class Request:
    """A request that was checked: what the answer is made from, and in which form it goes back."""

    def __init__(self, body, config, model):
        self._check(body, model)
        self.stream = _field(body, "stream", bool, False)
        self.usage_wanted = _field(_field(body, "stream_options", dict, {}), "include_usage", bool, False)
        stops = _field(body, "stop", (str, list), [])
        self.stops = [stops] if isinstance(stops, str) else stops
        if len(self.stops) > 4 or not all(isinstance(stop, str) and stop for stop in self.stops):
            raise Invalid("'stop' must be a text or a list of at most 4 texts", "stop")
        seed = _field(body, "seed", int)
        self.sampling = {"temperature": _number(body, "temperature", 0, 0, 2), "top_p": _number(body, "top_p", 1, 0, 1),
                         "seed": None if seed is None else seed % 2 ** 64}
        self.arguments = None
        self.prompt, most = self._read(body, config)
        self._limit(body, config, most)

    def _check(self, body, model):
        for name, harmless in _UNSUPPORTED.items():
            if body.get(name) is not None and body[name] != harmless:
                raise Invalid(f"'{name}' is not supported", name)
        if _field(body, "model", str, model) != model:
            raise Invalid(f"there is no model '{body['model']}' here, only '{model}'", "model", 404, "model_not_found")

    def _limit(self, body, config, most):
        room = config.max_position_embeddings - len(self.prompt)
        if room < 1 or not self.prompt:
            raise Invalid(f"the prompt has {len(self.prompt)} tokens; it must have at least 1 and leave room for an answer in "
                          f"the model's context of {config.max_position_embeddings}", code="context_length_exceeded")
        wanted = _field(body, "max_completion_tokens", int, _field(body, "max_tokens", int, most))
        if wanted < 1:
            raise Invalid("'max_tokens' must be at least 1", "max_tokens")
        self.limit = min(room, wanted)

    def answer(self, config, weights):
        if self.arguments is not None:
            return ToolCall(self.prompt, self.arguments)
        return Answer(config, weights, self.prompt, self.limit, self.stops, **self.sampling)


class ChatRequest(Request):
    def _read(self, body, config):
        messages = _messages(body)
        tools = _tools(body)
        tool = _chosen_tool(body, tools)
        self.form = ToolForm(tool) if tool is not None else ChatForm()
        if tool is not None:
            words = next((content for role, content in reversed(messages) if role == "user"), "")
            self.arguments = json.dumps(_arguments(tools[tool], words))
        # What comes before the last message may fill a quarter of the context: the model learned from short windows.
        return tokens.chat(messages, config.max_position_embeddings // 4), config.max_position_embeddings


class CompletionRequest(Request):
    def _read(self, body, config):
        self.form = CompletionForm()
        prompt = _field(body, "prompt", (str, list))
        if isinstance(prompt, list) and len(prompt) == 1:
            prompt = prompt[0]
        if not isinstance(prompt, str):
            raise Invalid("'prompt' is missing, or is not one text", "prompt")
        return tokens.encode_marked(prompt.encode("utf-8", "replace")).tolist(), 16


def parse(data):
    """The JSON object of a request's body."""
    def refuse(constant):
        raise ValueError(constant)
    try:
        body = json.loads(data, parse_constant=refuse)
    except (ValueError, RecursionError):
        raise Invalid("the body is not JSON") from None
    if not isinstance(body, dict):
        raise Invalid("the body is not a JSON object")
    return body


class Reply:
    """The JSON of one answer, whole or in chunks."""

    def __init__(self, request, answer, model):
        self._form, self._answer, self._usage_wanted = request.form, answer, request.usage_wanted
        self._head = {"id": self._form.prefix + secrets.token_hex(12), "created": int(time.time()), "model": model}

    def _choice(self, part, reason):
        return {"index": 0, **part, "logprobs": None, "finish_reason": reason}

    def _usage(self):
        answer = self._answer
        return {"prompt_tokens": answer.prompt_tokens, "completion_tokens": answer.completion_tokens,
                "total_tokens": answer.prompt_tokens + answer.completion_tokens}

    def _chunk(self, part, reason=None):
        return {**self._head, "object": self._form.chunk_name, "choices": [self._choice(part, reason)]}

    def whole(self):
        part = self._form.whole("".join(self._answer.pieces()))
        return {**self._head, "object": self._form.whole_name, "choices": [self._choice(part, self._answer.finish_reason)],
                "usage": self._usage()}

    def chunks(self):
        yield self._chunk(self._form.first())
        for piece in self._answer.pieces():
            if piece:
                yield self._chunk(self._form.piece(piece))
        yield self._chunk(self._form.last(), self._answer.finish_reason)
        if self._usage_wanted:
            yield {**self._head, "object": self._form.chunk_name, "choices": [], "usage": self._usage()}
