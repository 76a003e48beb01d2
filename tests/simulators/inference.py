"""A server of models with the calls of OpenAI: chat, completions, models and health. It says what the test has told it to say,
whole or as a stream, in the manner of OpenAI, vLLM, TGI or llama.cpp, and is as strict as OpenAI about what it is asked, or as
lenient as llama.cpp.

    PUT /_simulator/answers    a list of ANSWER: one for each question in turn, the last one also for all that follow
    PUT /_simulator/settings   "server": "openai", "vllm", "tgi" or "llama"; "key": what must be sent, null for nothing;
                               "models": [MODEL, ...], an id or an object; "context": how many words a question may have, null
                               for any number; what is left out goes back to the defaults
    PUT /_simulator/raw        {"head", "text" or "hex", "piece"}: what is sent at the address `raw`, whatever is asked there, in
                               pieces of so many bytes; then the line is closed

    ANSWER   {"pieces": [TEXT, ...], "reasoning": [TEXT, ...], "tools": [{"id", "name", "arguments": [TEXT, ...]}],
              "stop": "stop", "usage": [7, 3]}, all of it optional; {"choices": [ANSWER, ...], "usage"} where they differ;
             "endless": TEXT: this piece again and again
             Without answers the last words of the user come back.

Effects of faults beyond those of every simulator (README.md):

    "error": {"status", "message", "code"}    that status, in the manner of the server
    "whole": true                             `stream` is ignored
    "stream": {...}                           a stream of events that is
        "newline": "\\r", "\\r\\n"     written with other line ends
        "space": false              ... without the space behind "data:"
        "mark": true                ... with a byte order mark at its beginning
        "comments": true            ... with comments before, in and between events
        "lines": true               ... with the JSON over several lines of data
        "insert": {"at": N, "text" or "hex"}   followed, before event N, by these bytes
        "error": {"at": N, "message", "named"} failing in place of event N, in the manner of the server, or as "event: error"
        "hold": N                   silent before event N until the faults are cleared
        "cut": N                    cut before event N
        "end": N                    at its end before event N
        "done": false               without [DONE]
        "open": true                silent after [DONE], and not ended
        "line": N or true           with a line of N bytes before event 1, or one without end
        "event": N                  with N more bytes of text in event 1

The record of a request has one more member, `json`: the question.
"""

import itertools
import json
import socketserver
import threading

import _faults
import _server
from _content import Bytes, Content

CREATED = 1700000000
SETTINGS = {"server": "openai", "key": None, "models": ["tenon/simulated"], "context": None}
SLOTS = 4  # questions that llama.cpp answers at once, and choices of one that it gives
CHOICE = {"pieces": (), "reasoning": (), "tools": (), "stop": "stop", "endless": None}
FORMS = {
    "stream": {"newline", "space", "mark", "comments", "lines", "insert", "error", "hold", "cut", "end", "done", "open", "line", "event"},
    "error": {"status", "message", "code"},
}
_faults.FORMS.update(FORMS)

# What a question may hold, and of which type.
COMMON = {
    "model": str, "stream": bool, "stream_options": dict, "max_tokens": int, "temperature": (int, float), "top_p": (int, float),
    "n": int, "stop": (str, list), "seed": int, "presence_penalty": (int, float), "frequency_penalty": (int, float),
    "logit_bias": dict, "user": str,
}
CHAT = {
    **COMMON, "messages": list, "max_completion_tokens": int, "logprobs": bool, "top_logprobs": int, "tools": list,
    "tool_choice": (str, dict), "parallel_tool_calls": bool, "response_format": dict, "reasoning_effort": str, "metadata": dict,
    "service_tier": str,
}
COMPLETION = {**COMMON, "prompt": (str, list), "echo": bool, "logprobs": int, "best_of": int, "suffix": str}
ROLES = {"developer", "system", "user", "assistant", "tool"}
TYPES = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error", 500: "server_error",
         503: "unavailable_error"}


class Endless(Content):
    """Some bytes, and then others again and again."""

    def __init__(self, head, again):
        super().__init__(1 << 62)
        self._head, self._again = head, again

    def read(self, offset, size):
        head = self._head[offset:offset + size]
        start = (offset + len(head) - len(self._head)) % len(self._again)
        count = (start + size - len(head)) // len(self._again) + 1
        return head + (self._again * count)[start:start + size - len(head)]


# ---- errors ----

def error_json(server, status, message, code=None, param=None):
    """The body that this server gives to an error; the same object stands in a stream that has begun."""
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    if server == "tgi":
        return {"error": message, "error_type": {422: "validation", 424: "generation", 429: "overloaded"}.get(status, "incomplete_generation")}
    if server == "llama":
        return {"error": {"code": status, "message": message, "type": kind}}
    return {"error": {"message": message, "type": kind, "param": param, "code": status if server == "vllm" else code}}


# ---- what is asked ----

def check_members(body, known, refuse):
    for name, value in body.items():
        if name not in known:
            refuse(400, f"Unrecognized request argument supplied: {name}", param=name)
        kinds = known[name] if isinstance(known[name], tuple) else (known[name],)
        if value is not None and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
            refuse(400, f"Invalid type for '{name}'", code="invalid_type", param=name)
    for name in ("max_tokens", "max_completion_tokens", "n"):
        if body.get(name) is not None and body[name] < 1:
            refuse(400, f"Invalid '{name}': it must be at least 1", code="integer_below_min_value", param=name)
    if body.get("stream_options") is not None and not body.get("stream"):
        refuse(400, "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options")


def check_as_llama(body, refuse):
    """llama.cpp takes much that others refuse, looks at no member that it does not know, and takes what its templates cannot read
    for a fault of its own."""
    messages = body.get("messages", [] if "prompt" in body else None)
    if messages is None:
        refuse(400, "'messages' is required")
    if not isinstance(messages, list):
        refuse(400, "Expected 'messages' to be an array")
    for message in messages:
        if not isinstance(message, dict) or "role" not in message:
            refuse(500, f"Failed to parse messages: Missing 'role' in message: {json.dumps(message)}")
    for tool in body.get("tools") or []:
        if not isinstance(tool, dict) or not isinstance(tool.get("function"), dict):
            refuse(500, f"Failed to parse tools: Missing tool function: {json.dumps(tool)}")
    for name in ("temperature", "top_p", "n", "seed"):
        if not isinstance(body.get(name) or 0, (int, float)):
            refuse(400, f"Field '{name}': [json.exception.type_error.302] type must be number, but is {type(body[name]).__name__}")
    if not 1 <= body.get("n", 1) <= SLOTS:
        refuse(400, f"Field 'n': Value must be between 1 <= value <= {SLOTS}, but got {body['n']}")


def too_long(server, words, most):
    """How a server refuses a question that is longer than its context: status, message, code, and members of its own."""
    maximum = f"This model's maximum context length is {most} tokens. However, you requested {words} tokens."
    return {"openai": (400, maximum, "context_length_exceeded", {}), "vllm": (400, maximum, None, {"type": "BadRequestError"}),
            "tgi": (422, f"Input validation error: `inputs` must have less than {most} tokens. Given: {words}", None, {}),
            "llama": (400, f"request ({words} tokens) exceeds the available context size ({most} tokens), try increasing it", None,
                      {"type": "exceed_context_size_error", "n_prompt_tokens": words, "n_ctx": most})}[server]


def check_messages(messages, refuse):
    if not messages:
        refuse(400, "Invalid 'messages': empty array", code="empty_array", param="messages")
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            refuse(400, f"Invalid value: '{where}.role'", code="invalid_value", param=where)
        content = message.get("content")
        if content is None and not message.get("tool_calls"):
            refuse(400, f"Invalid value for 'content': expected a string, got null.", param=where)
        if not isinstance(content, (str, list, type(None))):
            refuse(400, f"Invalid type for '{where}.content'", code="invalid_type", param=where)
        if message["role"] == "tool" and not isinstance(message.get("tool_call_id"), str):
            refuse(400, f"Missing parameter 'tool_call_id' in {where}", param=where)


def check_tools(tools, refuse):
    for index, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            refuse(400, f"Missing required parameter: 'tools[{index}].function.name'.", code="missing_required_parameter", param="tools")


def last_words(body):
    """What the user said last, or the text to be continued."""
    if "prompt" in body:
        prompt = body["prompt"]
        return prompt if isinstance(prompt, str) else str(prompt[0])
    said = [message.get("content") or "" for message in body["messages"] if message["role"] == "user"] or [""]
    return said[-1] if isinstance(said[-1], str) else "".join(part.get("text", "") for part in said[-1])


# ---- what is said ----

def read_answer(description):
    """The choices and the usage of an ANSWER."""
    unknown = set(description) - set(CHOICE) - {"choices", "usage"}
    if unknown:
        raise ValueError(f"an answer has no {', '.join(sorted(unknown))}")
    choices = description.get("choices") or [description]
    return [{**CHOICE, **choice} for choice in choices], description.get("usage", [7, 3])


class Chat:
    """How an answer becomes the JSON of a chat."""

    prefix, whole_name, chunk_name = "chatcmpl-", "chat.completion", "chat.completion.chunk"

    def __init__(self, server):
        self._server = server
        self._reasoning = "reasoning" if server == "vllm" else "reasoning_content"

    def first(self):
        return [{"delta": {"role": "assistant", "content": None if self._server == "llama" else ""}}]

    def text(self, piece):
        return {"delta": {"content": piece}}

    def parts(self, choice):
        for piece in choice["reasoning"]:
            yield {"delta": {self._reasoning: piece}}
        for piece in choice["pieces"]:
            yield self.text(piece)
        for index, tool in enumerate(choice["tools"]):
            function = {"name": tool["name"], "arguments": ""}
            yield {"delta": {"tool_calls": [{"index": index, "id": tool["id"], "type": "function", "function": function}]}}
            for piece in tool["arguments"]:
                yield {"delta": {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}}

    def last(self):
        return {"delta": {}}

    def whole(self, choice):
        message = {"role": "assistant", "content": "".join(choice["pieces"]) if choice["pieces"] or not choice["tools"] else None}
        if choice["reasoning"]:
            message[self._reasoning] = "".join(choice["reasoning"])
        if choice["tools"]:
            message["tool_calls"] = [{"id": tool["id"], "type": "function",
                                      "function": {"name": tool["name"], "arguments": "".join(tool["arguments"])}} for tool in choice["tools"]]
        return {"message": message}


class Completion:
    """How it becomes the JSON of a completion."""

    prefix, whole_name, chunk_name = "cmpl-", "text_completion", "text_completion"

    def __init__(self, server):
        pass

    def first(self):
        return []

    def text(self, piece):
        return {"text": piece}

    def parts(self, choice):
        return map(self.text, choice["pieces"])

    def last(self):
        return {"text": ""}

    def whole(self, choice):
        return {"text": "".join(choice["pieces"])}


class Reply:
    """One answer to one question, whole or in chunks."""

    def __init__(self, form, number, model, choices, usage, llama=False):
        self._form, self._choices, self._tokens, self._llama = form, choices, usage, llama
        self._head = {"id": f"{form.prefix}{number}", "created": CREATED, "model": model, "system_fingerprint": "fp_simulated"}

    def _json(self, name, choices, **more):
        return {**self._head, "object": name, "choices": choices, **more}

    def _usage(self):
        asked, said = self._tokens
        usage = {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}
        if not self._llama:
            return {"usage": usage}
        return {"usage": {**usage, "prompt_tokens_details": {"cached_tokens": 0}},
                "timings": {"cache_n": 0, "prompt_n": asked, "prompt_ms": 50.5, "predicted_n": said, "predicted_ms": 31.25}}

    def whole(self):
        choices = [{"index": index, **self._form.whole(choice), "logprobs": None, "finish_reason": choice["stop"]}
                   for index, choice in enumerate(self._choices)]
        return self._json(self._form.whole_name, choices, **self._usage())

    def chunk(self, index, part, stop=None):
        more = {} if self._llama and isinstance(self._form, Chat) else {"logprobs": None}
        return self._json(self._form.chunk_name, [{"index": index, **part, **more, "finish_reason": stop}])

    def _beside_stop(self, with_usage):
        """llama.cpp ends a text that it continues with its usage, asked for or not, and an answer with the time that it took."""
        if not self._llama:
            return {}
        usage = self._usage()
        return usage if isinstance(self._form, Completion) else {} if with_usage else {"timings": usage["timings"]}

    def chunks(self, with_usage):
        """The chunks; several choices take turns."""
        def one(index, choice):
            for part in itertools.chain(self._form.first(), self._form.parts(choice)):
                yield self.chunk(index, part)
            if choice["endless"] is None:
                yield {**self.chunk(index, self._form.last(), choice["stop"]), **self._beside_stop(with_usage)}
        for turn in itertools.zip_longest(*(one(index, choice) for index, choice in enumerate(self._choices))):
            yield from (chunk for chunk in turn if chunk is not None)
        if with_usage and not (self._llama and isinstance(self._form, Completion)):
            yield self._json(self._form.chunk_name, [], **self._usage())

    def endless(self):
        """The chunk that never ends, if there is one."""
        found = [self.chunk(index, self._form.text(choice["endless"])) for index, choice in enumerate(self._choices) if choice["endless"]]
        return found[0] if found else None


# ---- the bytes of a stream ----

def given_bytes(wanted):
    return bytes.fromhex(wanted["hex"]) if "hex" in wanted else wanted["text"].encode()


class Stream:
    """Events as bytes, and the content that they are sent as."""

    def __init__(self, server, form):
        self._form = form
        self._newline = form.get("newline", "\n")
        self._start = "data: " if form.get("space", server != "tgi") else "data:"
        self._server = server

    def event(self, value, name=None):
        text = json.dumps(value, ensure_ascii=False, indent=1 if self._form.get("lines") else None) if not isinstance(value, str) else value
        lines = [f"event: {name}"] if name else []
        for line in text.split("\n"):
            lines += [": in between"] * bool(self._form.get("comments")) + [self._start + line]
        return (self._newline.join(lines) + 2 * self._newline).encode()

    def _failure(self, wanted):
        """An error in place of an event, and what this server sends behind it."""
        error = error_json(self._server, 500, wanted.get("message", "the simulator was told to fail"))
        if wanted.get("named"):
            return [self.event(error["error"], "error")]
        return [self.event(error)] + [self.event("[DONE]")] * (self._server == "vllm")

    def _events(self, chunks):
        form = self._form
        if form.get("event"):
            choice = chunks[1]["choices"][0]
            part, name = (choice["delta"], "content") if "delta" in choice else (choice, "text")
            part[name] += "x" * form["event"]
        events = [self.event(chunk) for chunk in chunks]
        if form.get("done", True):
            events.append(self.event("[DONE]"))
        if "error" in form:
            events[form["error"]["at"]:] = self._failure(form["error"])
        if "insert" in form:
            events.insert(form["insert"]["at"], given_bytes(form["insert"]))
        if form.get("line", True) is not True:
            events.insert(1, b"data: " + b"x" * form["line"] + b"\n\n")
        return events[:form.get("end")]

    def content(self, chunks, endless, effects):
        """The whole as content; a hold and a cut before an event become those of the simulator before a byte."""
        form = self._form
        comment = f": keep-alive{self._newline}{self._newline}".encode() if form.get("comments") else b""
        events = [comment + event for event in self._events(chunks)]
        if form.get("mark"):
            events[0] = b"\xef\xbb\xbf" + events[0]
        for name, effect in (("hold", "stall"), ("cut", "cut")):
            if name in form:
                effects[effect] = {"after": sum(map(len, events[:form[name]]))}
        if form.get("open"):
            effects["stall"] = {"after": sum(map(len, events))}
        if form.get("line") is True:
            return Endless(events[0] + b"data: ", b"x" * 4096)
        if endless is not None:
            return Endless(b"".join(events[:-1]), self.event(endless) * 16)
        return Bytes(b"".join(events))


# ---- the server ----

class Inference(_server.Site):
    more_effects = tuple(FORMS) + ("whole",)

    def __init__(self, raw):
        self._raw = raw
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._answers = []
        self._settings = dict(SETTINGS)

    # What the test says.

    def control(self, request, what):
        route = (request.method, what)
        if route == ("PUT", "answers"):
            answers = [read_answer(description) for description in request.json()]
            with self._lock:
                self._answers = answers
        elif route == ("PUT", "settings"):
            self._set(request.json())
        elif route == ("PUT", "raw"):
            self._raw.tell(request.json())
        else:
            return None
        return _server.Answer.of_json({})

    def _set(self, settings):
        if set(settings) - set(SETTINGS) or settings.get("server", "openai") not in ("openai", "vllm", "tgi", "llama"):
            raise ValueError(f"unknown settings: {settings}")
        with self._lock:
            self._settings = {**SETTINGS, **settings}

    def _next_answer(self, body):
        with self._lock:
            if not self._answers:
                return read_answer({"pieces": last_words(body).split(" ")})
            return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    # What a client asks.

    def shown_token(self, authorization):
        return "the key" if authorization == f"Bearer {self._settings['key']}" else "another"

    def answer(self, request):
        wanted = request.effects.get("error")
        if wanted:
            self._refuse(wanted["status"], wanted.get("message", "the simulator was told to refuse"), wanted.get("code"))
        return self._route(request)

    def finish(self, request, answer):
        answer.offer("X-Request-Id", f"req_{request.record['number']}")

    def _refuse(self, status, message, code=None, param=None, more=None):
        error = error_json(self._settings["server"], status, message, code, param)
        if more:
            error["error"].update(more)
        raise _server.Refused(_server.Answer.of_json(error, status))

    def _route(self, request):
        path, llama = request.plain_path, self._settings["server"] == "llama"
        if (request.method, path) == ("GET", "/health"):
            return _server.Answer.of_json({"status": "ok"})
        if self._settings["key"] and request.headers.get("Authorization") != f"Bearer {self._settings['key']}":
            self._refuse(401, "Invalid API Key" if llama else "Incorrect API key provided.", "invalid_api_key")
        routes = {"/v1/models": ("GET", self._list_models), "/v1/chat/completions": ("POST", self._chat),
                  "/v1/completions": ("POST", self._complete)}
        if path.startswith("/v1/models/"):
            routes[path] = ("GET", self._show_model)
        method, function = routes.get(path, (None, None))
        if llama and (method != request.method or function == self._show_model):
            self._refuse(404, "File Not Found")
        if function is None:
            self._refuse(404, f"Invalid URL ({request.method} {path})", "unknown_url")
        if method != request.method:
            self._refuse(405, f"Not allowed to {request.method} on {path}")
        return function(request)

    def _models(self):
        extra = {"vllm": {"root": "tenon/simulated", "parent": None, "max_model_len": 4096},
                 "llama": {"owned_by": "llamacpp", "meta": {"n_ctx": 2048, "n_ctx_train": 8192, "n_params": 134515008}}}.get(
                     self._settings["server"], {})
        base = {"object": "model", "created": CREATED, "owned_by": "tenon", **extra}
        return [{"id": model, **base} if isinstance(model, str) else model for model in self._settings["models"]]

    def _list_models(self, request):
        models = self._models()
        # llama.cpp lists them once more as Ollama does.
        more = {"models": [{"name": model["id"], "model": model["id"], "type": "model"} for model in models if "id" in model]}
        return _server.Answer.of_json({**(more if self._settings["server"] == "llama" else {}), "object": "list", "data": models})

    def _show_model(self, request):
        self._check_model(request.plain_path.removeprefix("/v1/models/"))
        return _server.Answer.of_json(self._models()[0])

    def _check_model(self, name):
        ids = [model["id"] for model in self._models()]
        if name is None and self._settings["server"] == "openai":
            self._refuse(400, "you must provide a model parameter")
        if name is not None and name not in ids and self._settings["server"] != "llama":
            self._refuse(404, f"The model `{name}` does not exist or you do not have access to it.", "model_not_found", "model")

    def _read(self, request, known):
        llama = self._settings["server"] == "llama"
        if not llama and (request.headers.get("Content-Type") or "").partition(";")[0].strip() != "application/json":
            self._refuse(400, "The body must be application/json.")
        try:
            body = json.loads(request.body)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            self._refuse(400, "We could not parse the JSON body of your request.")
        self.simulator.journal.update(request.record, json=body)
        if llama:
            check_as_llama(body, self._refuse)
        else:
            check_members(body, known, self._refuse)
        self._check_model(body.get("model"))
        return body

    def _check_length(self, body):
        words, most = len(last_words(body).split()), self._settings["context"]
        if most is not None and words > most:
            status, message, code, more = too_long(self._settings["server"], words, most)
            self._refuse(status, message, code, more=more)

    def _chat(self, request):
        body = self._read(request, CHAT)
        if self._settings["server"] != "llama":
            check_messages(body.get("messages"), self._refuse)
            check_tools(body.get("tools") or [], self._refuse)
        return self._say(request, body, Chat)

    def _complete(self, request):
        body = self._read(request, COMPLETION)
        if self._settings["server"] == "llama" and "prompt" not in body:
            self._refuse(400, "[json.exception.out_of_range.403] key 'prompt' not found")
        if self._settings["server"] != "llama" and not body.get("prompt"):
            self._refuse(400, "Missing required parameter: 'prompt'.", "missing_required_parameter", "prompt")
        return self._say(request, body, Completion)

    def _say(self, request, body, kind):
        server = self._settings["server"]
        self._check_length(body)
        choices, usage = self._next_answer(body)
        if len(choices) == 1:
            choices = choices * (body.get("n") or 1)
        reply = Reply(kind(server), next(self._numbers), body.get("model") or "tenon/simulated", choices, usage,
                      server == "llama")
        if not body.get("stream") or request.effects.get("whole"):
            return _server.Answer.of_json(reply.whole())
        chunks = list(reply.chunks((body.get("stream_options") or {}).get("include_usage")))
        stream = Stream(server, request.effects.get("stream", {}))
        answer = _server.Answer(200, stream.content(chunks, reply.endless(), request.effects), "text/event-stream; charset=utf-8")
        answer.chunked = True
        return answer


class _RawHandler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self):
        length = 0
        while line := self.rfile.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        self.rfile.read(length)
        answer, piece = self.server.answer
        for start in range(0, len(answer), piece):
            self.wfile.write(answer[start:start + piece])


class Raw(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Sends what it was told, be it HTTP or not, to whoever asks anything."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _RawHandler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.answer = b"", 1

    def tell(self, wanted):
        answer = wanted["head"].encode() + given_bytes(wanted)
        self.answer = answer, wanted.get("piece") or len(answer)

    def handle_error(self, request, client_address):
        pass  # the client left


def main():
    options = _server.arguments(__doc__).parse_args()
    raw = Raw()
    simulator = _server.Simulator(Inference(raw), _server.tls_from(options), options.log)
    simulator.listen("inference", options.port)
    simulator.listeners["raw"] = raw
    simulator.run()


if __name__ == "__main__":
    main()
