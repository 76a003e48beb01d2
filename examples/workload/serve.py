"""Serves a byte model of the Llama architecture with the chat and completion calls of OpenAI: a program that runs as a
tenon job, or by hand.

It reads tenon's contract from the environment: TENON_MODEL, TENON_MODEL_ID, TENON_HOST, TENON_PORT, TENON_API_KEY.
"""

import errno
import hmac
import http.server
import json
import os
import pathlib
import signal
import socket
import socketserver
import sys
import threading

import folder
from folder import Refused
from protocol import ChatRequest, CompletionRequest, Invalid, Reply, error_json, parse

MOST_BODY = 1 << 20
ADDRESS_IN_USE = 98  # exit status: the number that Linux gives the error


def say(text):
    print(text + "\n", end="", flush=True)  # in one piece, whichever thread speaks


class Server(http.server.ThreadingHTTPServer):
    """Listens from the beginning; answers to more than /health once config and weights are there."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, host, port, key, model):
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.key, self.model = key, model
        self.config = self.weights = None
        super().__init__((host, port), Handler)

    def server_bind(self):
        # Not HTTPServer's, which asks for the name of the address and may wait long for it.
        socketserver.TCPServer.server_bind(self)

    def load(self, path):
        config = folder.read_config(path)
        self.weights = folder.read_weights(path, config)
        self.config = config

    def url(self):
        host, port = self.server_address[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "tenon-example"
    disable_nagle_algorithm = True  # a piece must not wait for the next one
    timeout = 60

    def _answer(self):
        self.path = self.path.partition("?")[0]
        try:
            self._route(self._body())
        except Invalid as error:
            self._send(error.status, error_json(error))
            if error.status != 503:  # asked again and again until the model is loaded
                say(f"{self.command} {self.path!a} {error.status}")

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer

    def _route(self, data):
        routes = {"/health": ("GET", self._health), "/v1/models": ("GET", self._models),
                  "/v1/chat/completions": ("POST", lambda: self._generate(ChatRequest, data)),
                  "/v1/completions": ("POST", lambda: self._generate(CompletionRequest, data))}
        if self.path.startswith("/v1/"):
            self._authorize()
        if self.path not in routes:
            raise Invalid(f"there is no {self.path} here", status=404, code="unknown_url")
        method, action = routes[self.path]
        if self.command != method:
            raise Invalid(f"{self.path} answers to {method} only", status=405)
        if self.server.config is None:
            raise Invalid("Loading model", status=503)
        action()

    def _authorize(self):
        scheme, _, key = self.headers.get("Authorization", "").partition(" ")
        right = scheme.lower() == "bearer" and hmac.compare_digest(key.strip().encode("latin-1", "replace"), self.server.key)
        if self.server.key and not right:
            raise Invalid("the API key is missing or wrong", status=401, code="invalid_api_key")

    def _body(self):
        """The body is read before anything is answered, so that the connection can be used again."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdecimal() or int(length) > MOST_BODY:
            self.close_connection = True
            raise Invalid(f"the body must have a Content-Length of at most {MOST_BODY} bytes", status=413)
        return self.rfile.read(int(length))

    def _health(self):
        self._send(200, {"status": "ok"})

    def _models(self):
        server = self.server
        self._send(200, {"object": "list", "data": [
            {"id": server.model, "object": "model", "created": 0, "owned_by": "tenon-example",
             "max_model_len": server.config.max_position_embeddings}]})

    def _generate(self, kind, data):
        server = self.server
        request = kind(parse(data), server.config, server.model)
        answer = request.answer(server.config, server.weights)
        reply = Reply(request, answer, server.model)
        try:
            self._stream(reply) if request.stream else self._send(200, reply.whole())
            say(f"POST {self.path} 200: {answer.prompt_tokens} tokens, then {answer.completion_tokens}")
        except OSError:
            self.close_connection = True
            say(f"POST {self.path} 200: the client left after {answer.completion_tokens} tokens")

    def _send(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _stream(self, reply):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for chunk in reply.chunks():
            self._event(json.dumps(chunk))
        self._event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, text):
        data = f"data: {text}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def send_error(self, code, message=None, explain=None):
        """What the standard library refuses by itself is refused in the same form as the rest."""
        self.close_connection = True
        self.command = self.command or "GET"
        self._send(code, error_json(Invalid(message or "bad request", status=code)))

    def log_message(self, *arguments):
        """Every request has its own line already; /health is asked too often for one."""


def listen(environment, model):
    host, port = environment.get("TENON_HOST") or "127.0.0.1", environment.get("TENON_PORT") or "8000"
    if not port.isdecimal() or int(port) > 65535:
        raise Refused(f"TENON_PORT is not a port: {port}")
    name = environment.get("TENON_MODEL_ID") or pathlib.Path(model).resolve().name
    try:
        return Server(host, int(port), os.fsencode(environment.get("TENON_API_KEY", "")), name)
    except OSError as error:
        status = ADDRESS_IN_USE if error.errno == errno.EADDRINUSE else 2
        raise SystemExit(fail(f"{error.strerror}: {host} port {port}", status)) from None


def load(server, path):
    """In a thread of its own, so that a signal is heard meanwhile."""
    try:
        say(f"loading {path}")
        server.load(path)
        say(f"serving {server.model}, {server.weights.flat.size:,} parameters, at {server.url()}/v1")
    except Refused as error:
        leave(fail(error, 2))
    except MemoryError:
        leave(fail("out of memory", 1))


def fail(reason, status):
    print(f"serve.py: {reason}", file=sys.stderr)
    return status


def leave(status):
    """At once: the threads of answers that are under way do not end by themselves."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main():
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # all threads inherit it, and only sigwait takes them
    model = os.environ.get("TENON_MODEL") or (sys.argv[1] if len(sys.argv) == 2 else None)
    try:
        if not model:
            raise Refused("no model: set TENON_MODEL to its folder, or name the folder")
        server = listen(os.environ, model)
    except Refused as error:
        sys.exit(fail(error, 2))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    threading.Thread(target=load, args=(server, model), daemon=True).start()
    signal.sigwait(ends)
    leave(0)


if __name__ == "__main__":
    main()
