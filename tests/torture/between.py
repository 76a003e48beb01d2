"""A server between a client and the simulators: it records what comes, asks a simulator for the answer, and may change it.

    Between({"hub": address, "cdn": address}, change)   one listener on 127.0.0.1 for each; `urls` has their addresses
    Proxy({"hub.test": address, ...}, change, tls)      an HTTP proxy for hosts that exist nowhere else, also inside TLS

The addresses of the simulators are replaced by those of the hosts that stand for them, wherever an answer names them.
"""

import http.client
import socket
import socketserver
import struct
import threading
import traceback
import urllib.parse

HOP_BY_HOP = {b"connection", b"proxy-authorization", b"proxy-connection", b"host", b"content-length"}


class Asked:
    """A request as it came: `name` of whom it is for, and how it came there."""

    def __init__(self, name, scheme, head, body):
        self.name, self.scheme, self.head, self.body = name, scheme, head, body
        line, *lines = head.split(b"\r\n")
        self.method, self.target = line.decode("latin-1").split(" ")[:2]
        self.headers = [tuple(part.strip() for part in one.split(b":", 1)) for one in lines if b":" in one]

    def get(self, name):
        return next((value for key, value in self.headers if key.lower() == name), None)

    def key(self):
        """What an answer depends on."""
        return self.name, self.method, self.target, self.get(b"range"), self.body

    def __str__(self):
        return f"{self.method} {self.scheme}://{self.name}{self.target}"


class Answer:
    """An answer that can be spoilt in every way: `head()` and `body` go over the line as they are when it is sent."""

    def __init__(self, status, reason, headers, body, method="GET"):
        self.version, self.status, self.reason = b"HTTP/1.1", status, reason
        self.headers, self.body, self.method = headers, body, method
        self.framing = "length"   # or "chunked", "none"; "kept": what the headers say
        self.before = b""         # what comes before the head, and behind the body
        self.behind = b""
        self.most = None          # so many bytes of it all are sent
        self.piece = None         # in pieces of so many bytes
        self.closes = False
        self.resets = False

    def copy(self):
        other = Answer(self.status, self.reason, list(self.headers), self.body, self.method)
        other.framing = self.framing
        return other

    def get(self, name):
        return next((value for key, value in self.headers if key.lower() == name), None)

    def drop(self, *names):
        self.headers = [one for one in self.headers if one[0].lower() not in names]

    def set(self, name, value):
        self.drop(name.lower())
        self.headers.append((name, value))

    def bytes(self):
        """Everything that goes over the line."""
        headers, body = self.headers, self.body
        if self.framing != "kept" and self.method != "HEAD":
            headers = [one for one in headers if one[0].lower() not in (b"content-length", b"transfer-encoding")]
            if self.framing == "chunked":
                headers.append((b"Transfer-Encoding", b"chunked"))
                body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in self._chunks()) + b"0\r\n\r\n"
            elif self.framing == "length" and self.status not in (b"204", b"304"):
                headers.append((b"Content-Length", b"%d" % len(body)))
        if self.closes:
            headers = [*headers, (b"Connection", b"close")]
        lines = [b" ".join((self.version, self.status, self.reason))] + [name + b": " + value for name, value in headers]
        data = self.before + b"\r\n".join(lines) + b"\r\n\r\n" + (b"" if self.method == "HEAD" else body) + self.behind
        return data[:self.most]

    def _chunks(self):
        return [self.body[at:at + 4096] for at in range(0, len(self.body), 4096)]


def ask(address, asked):
    """The simulator's own answer."""
    where = urllib.parse.urlsplit(address)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=60)
    try:
        connection.putrequest(asked.method, asked.target, skip_accept_encoding=True)
        for name, value in asked.headers:
            if name.lower() not in HOP_BY_HOP:
                connection.putheader(name.decode("latin-1"), value)
        if asked.body:
            connection.putheader("Content-Length", str(len(asked.body)))
        connection.endheaders(asked.body or None)
        got = connection.getresponse()
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in got.getheaders() if name != "Connection"]
        answer = Answer(b"%d" % got.status, got.reason.encode(), headers, got.read(), asked.method)
        if answer.get(b"transfer-encoding"):
            answer.framing = "chunked"
        return answer
    finally:
        connection.close()


class _Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True
    timeout = 120

    def handle(self):
        self.name, self.scheme = self.server.name, self.server.scheme
        try:
            while self._serve_one():
                pass
        except (OSError, ValueError, http.client.HTTPException):
            pass  # the client left, or sent what is no request

    def _read(self):
        """The next request; None at the end of the line."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline(1 << 20)
            if not line:
                return None
            head += line
        asked = Asked(self.name, self.scheme, head, b"")
        length = asked.get(b"content-length")
        if length is not None:
            asked.body = self.rfile.read(int(length))
        elif (asked.get(b"transfer-encoding") or b"").lower() == b"chunked":
            raise ValueError("nobody here sends chunks")
        return asked

    def _serve_one(self):
        asked = self._read()
        if asked is None:
            return False
        if self.server.is_proxy and self.name is None:
            return self._go_between(asked)
        return self._answer(asked)

    def _go_between(self, asked):
        """A request to a proxy: for a tunnel, or with a whole address."""
        self.server.between.note_proxied(asked)
        if asked.method == "CONNECT":
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self.name, self.scheme = asked.target, "https"
            self.request = self.connection = self.server.between.tls.wrap_socket(self.connection, server_side=True)
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
            return True
        where = urllib.parse.urlsplit(asked.target)
        asked.name, asked.scheme = where.netloc, where.scheme
        asked.target = urllib.parse.urlunsplit(("", "", where.path or "/", where.query, ""))
        return self._answer(asked)

    def _answer(self, asked):
        answer = self.server.between.answer(asked)
        data = answer.bytes()
        for at in range(0, len(data), answer.piece or len(data) or 1):
            self.wfile.write(data[at:at + (answer.piece or len(data))])
        if answer.resets:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return not answer.closes


class _Listener(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, between, name, scheme="http", is_proxy=False):
        self.between, self.name, self.scheme, self.is_proxy = between, name, scheme, is_proxy
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def handle_error(self, request, client_address):
        self.between.problems.append(traceback.format_exc())


class Between:
    """`change(asked, answer)` may spoil an answer, or give another one."""

    def __init__(self, simulators, change=lambda asked, answer: answer):
        self.simulators, self.change = simulators, change
        self.asked, self.proxied, self._lock = [], [], threading.Lock()
        self.problems = []  # of its own: a test that meets one has failed
        self._remembered = {}
        self.remembers = False
        self.listen()

    def listen(self):
        self._listeners = {name: _Listener(self, name) for name in self.simulators}
        # Other host names, so that a client has a reason to hold back what it gives to its own host only.
        self.urls = {name: f"http://{'127.0.0.1' if at == 0 else 'localhost'}:{listener.port}"
                     for at, (name, listener) in enumerate(self._listeners.items())}

    def stop(self):
        for listener in self._listeners.values():
            listener.shutdown()
            listener.server_close()

    def answer(self, asked):
        with self._lock:
            self.asked.append(asked)
        return self.change(asked, self.honest(asked))

    def honest(self, asked):
        """What the simulator says, with our addresses in place of its own. What was asked while `remembers` is not asked again."""
        known = self._remembered.get(asked.key())
        if known is not None:
            return known.copy()
        answer = ask(self.simulators[asked.name], asked)
        for name, address in self.simulators.items():
            ours = self.urls[name].encode()
            answer.headers = [(key, value.replace(address.encode(), ours)) for key, value in answer.headers]
            if len(answer.body) < 1 << 16:
                answer.body = answer.body.replace(address.encode(), ours)
        if self.remembers:
            self._remembered[asked.key()] = answer.copy()
        return answer

    def forget(self):
        with self._lock:
            self.asked.clear()
            self.proxied.clear()


class Proxy(Between):
    """`simulators` is by host; `tls` is the server's side of TLS. `proxied` has what the proxy itself was asked."""

    def __init__(self, simulators, change=lambda asked, answer: answer, tls=None):
        self.tls = tls
        super().__init__(simulators, change)

    def listen(self):
        self._listeners = {"proxy": _Listener(self, None, is_proxy=True)}
        self.url = f"http://127.0.0.1:{self._listeners['proxy'].port}"
        self.urls = {name: f"{'https' if self.tls else 'http'}://{name}" for name in self.simulators}

    def note_proxied(self, asked):
        with self._lock:
            self.proxied.append(asked)

    def honest(self, asked):
        """What stands for the host, at whatever port; one that nobody knows gets the answers of the first."""
        whole, host = asked.name, asked.name.partition(":")[0]
        asked.name = host if host in self.simulators else next(iter(self.simulators))
        answer = super().honest(asked)
        asked.name = host + whole.removeprefix(host).removesuffix(":443" if asked.scheme == "https" else ":80")
        return answer
