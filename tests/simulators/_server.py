"""What every simulator is made of: a threaded HTTP/1.1 server that keeps a record of each request, looks for breaches of
the protocol, and spoils its answers as the faults say.

A simulator is a `Site`: it turns a Request into an Answer. The rest (ranges, keep-alive, faults, the /_simulator/ routes,
the end on SIGTERM) is here.
"""

import argparse
import http.server
import itertools
import json
import os
import re
import select
import signal
import socket
import socketserver
import ssl
import struct
import sys
import threading
import time
import urllib.parse

import _faults
from _content import PIECE, Bytes

CONTROL = "/_simulator/"
LONGEST_BODY = 1 << 30


class Request:
    """One request as it came in; `path` is still percent-encoded, `plain_path` is not."""

    def __init__(self, origin, method, target, headers, body):
        self.origin = origin
        self.method = method
        self.target = target
        self.path, _, self.query_text = target.partition("?")
        self.query = urllib.parse.parse_qsl(self.query_text, keep_blank_values=True)
        self.hop = 0
        self.plain_path = urllib.parse.unquote(self.path)
        self.headers = headers
        self.body = body
        self.range = headers.get("Range")
        self.effects = {}
        self.record = None
        self._take_hop()

    def _take_hop(self):
        """Keep the mark of a redirect chain (a fault) away from the site."""
        for key, value in self.query:
            if key == "_hop":
                self.hop = int(value)
        self.query = [pair for pair in self.query if pair[0] != "_hop"]
        self.query_text = re.sub(r"&?_hop=\d+$", "", self.query_text)

    def get(self, name, default=None):
        for key, value in self.query:
            if key == name:
                return value
        return default

    def all(self, name):
        return [value for key, value in self.query if key == name]

    def json(self):
        return json.loads(self.body)


class Answer:
    """Status, headers and the whole content; the server cuts a range out of it where `ranged` allows."""

    def __init__(self, status=200, content=None, media_type="application/octet-stream", ranged=False, label=(None, None)):
        self.status = status
        self.content = content if content is not None else Bytes(b"")
        self.headers = [("Content-Type", media_type)]
        self.ranged = ranged
        self.label = label  # what the bytes are, for the count of what was served: (file, etag)
        self.chunked = False
        self.start, self.end = 0, self.content.size

    @staticmethod
    def of_json(value, status=200):
        return Answer(status, Bytes(json.dumps(value, ensure_ascii=False).encode()), "application/json; charset=utf-8")

    @property
    def is_json(self):
        return (self.get("Content-Type") or "").startswith("application/json")

    def get(self, name):
        for key, value in self.headers:
            if key.lower() == name.lower():
                return value
        return None

    def drop(self, name):
        self.headers = [pair for pair in self.headers if pair[0].lower() != name.lower()]

    def set(self, name, value):
        self.drop(name)
        self.headers.append((name, str(value)))

    def offer(self, name, value):
        """Set a header unless it is there."""
        if self.get(name) is None:
            self.set(name, value)

    def replace(self, status, content, media_type):
        self.status, self.content, self.ranged, self.label = status, content, False, (None, None)
        self.headers = [("Content-Type", media_type)]

    def select_range(self, request):
        """Serve the one range that was asked for, as RFC 9110 section 14 has it; what cannot be read is ignored."""
        self.start, self.end = 0, self.content.size
        if not self.ranged or self.status != 200:
            return
        self.set("Accept-Ranges", "bytes")
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", (request.range or "").strip())
        if not match or match.groups() == ("", ""):
            return
        condition = request.headers.get("If-Range")
        if condition is not None and condition != self.get("ETag"):
            return
        bounds = _satisfy(match.group(1), match.group(2), self.content.size)
        if bounds == "ignore":
            return
        if bounds is None:
            self.set("Content-Range", f"bytes */{self.content.size}")
            self.status, self.content, self.label = 416, Bytes(b""), (None, None)
            self.start = self.end = 0
            return
        self.status, (self.start, self.end) = 206, bounds
        self.set("Content-Range", f"bytes {self.start}-{self.end - 1}/{self.content.size}")


def _satisfy(first, last, size):
    """(start, end) of a range, None when no byte of it exists, "ignore" when it is not one."""
    if first == "":
        count = min(int(last), size)
        return (size - count, size) if count else None
    if last and int(last) < int(first):
        return "ignore"
    if int(first) >= size:
        return None
    return int(first), min(int(last) + 1, size) if last else size


class Refused(Exception):
    """Thrown by a site: answer this and nothing else."""

    def __init__(self, answer):
        super().__init__(answer.status)
        self.answer = answer


class Journal:
    """What was asked and answered, and which rules were broken."""

    def __init__(self):
        self._changed = threading.Condition()
        self._numbers = itertools.count(1)
        self.requests = []
        self.violations = []

    def begin(self, request, connection, shown_headers):
        record = {
            "number": next(self._numbers), "time": time.time(), "origin": request.origin, "connection": connection,
            "method": request.method, "path": request.path, "query": request.query_text, "headers": shown_headers,
            "range": request.range, "status": None, "start": 0, "sent": 0, "file": None, "etag": None,
            "stalled": False, "finished": False,
        }
        request.record = record
        with self._changed:
            self.requests.append(record)
            self._changed.notify_all()

    def update(self, record, **values):
        with self._changed:
            record.update(values)
            self._changed.notify_all()

    def breach(self, request, rule, text):
        with self._changed:
            self.violations.append({"rule": rule, "text": text, "number": request.record and request.record["number"],
                                    "origin": request.origin, "method": request.method, "path": request.path})

    def clear(self, what):
        with self._changed:
            getattr(self, what).clear()

    def copy(self, what):
        with self._changed:
            return [dict(one) for one in getattr(self, what)]

    def counts(self):
        """For each file and etag, the byte intervals that were sent, in the order in which they were asked for."""
        served = {}
        for record in self.copy("requests"):
            if record["file"] and record["sent"]:
                interval = [record["start"], record["start"] + record["sent"]]
                served.setdefault((record["file"], record["etag"]), []).append(interval)
        return [{"file": file, "etag": etag, "intervals": intervals} for (file, etag), intervals in served.items()]

    def wait(self, wanted, timeout):
        """Wait until that many requests are stalled, begun, finished; True unless the time ran out first."""
        def reached():
            have = {"stalled": sum(one["stalled"] for one in self.requests), "requests": len(self.requests),
                    "finished": sum(one["finished"] for one in self.requests)}
            return all(have[key] >= count for key, count in wanted.items())
        with self._changed:
            return self._changed.wait_for(reached, timeout)


class Site:
    """What a simulator adds to the server."""

    more_effects = ()

    def answer(self, request):
        """The answer to a request; may throw Refused."""
        raise NotImplementedError

    def finish(self, request, answer):
        """Offer the headers that every answer of the site carries, refusals too."""

    def control(self, request, what):
        """The answer to a request for /_simulator/<what> that the server does not know, or None."""
        return None

    def shown_token(self, authorization):
        """What the journal shows in place of the value of an Authorization header."""
        return "set"

    def attach(self, simulator):
        self.simulator = simulator


class _Sender:
    """Writes one answer to the line, as truly as the faults allow."""

    def __init__(self, handler, request, answer, effects, cleared):
        self.handler, self.request, self.answer = handler, request, answer
        self.effects, self.cleared = effects, cleared
        self.record = request.record
        self.socket = handler.connection
        self.journal = handler.server.simulator.journal

    def send(self):
        """Send head and body; True where the connection can serve another request."""
        self.framing = self._choose_framing()
        if self.effects.get("stall_headers") and not self._stall(self.effects["stall_headers"]):
            return False
        self._write(self._head())
        if self.request.method == "HEAD" or self.answer.status in (204, 304):
            return not self._closes()
        whole = self._send_body()
        cut = self.effects.get("cut")
        if isinstance(cut, dict) and cut.get("reset") and not whole:
            self._reset()
        return whole and not self._closes()

    def _choose_framing(self):
        wanted = self.effects.get("length")
        if wanted in ("absent", "chunked"):
            return wanted
        return "chunked" if self.answer.chunked else "length"

    def _closes(self):
        return (self.framing == "absent" or isinstance(self.effects.get("length"), int)
                or (self.answer.get("Connection") or "").lower() == "close")

    def _head(self):
        answer = self.answer
        lines = [f"HTTP/1.1 {answer.status} {http.server.BaseHTTPRequestHandler.responses.get(answer.status, ('Odd',))[0]}"]
        lines.append(f"Date: {self.handler.date_time_string()}")
        lines.extend(f"{name}: {value}" for name, value in answer.headers)
        if self.framing == "chunked":
            lines.append("Transfer-Encoding: chunked")
        elif self.framing == "length" and answer.status not in (204, 304):
            lie = self.effects.get("length", 0)
            lines.append(f"Content-Length: {max(0, answer.end - answer.start + lie)}")
        if self._closes() and answer.get("Connection") is None:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _send_body(self):
        """Send the body piece by piece; False where it ended early."""
        length = self.answer.end - self.answer.start
        cut = _faults.position(self.effects.get("cut"), self.answer)
        stall = _faults.position(self.effects.get("stall"), self.answer)
        end = length if cut is None else min(cut, length)
        slow = self.effects.get("slow")
        sent = 0
        while True:
            if stall is not None and sent >= min(stall, length):
                stall = None
                if not self._stall(self.effects["stall"]):
                    return False
            if sent >= end:
                break
            size = min(end - sent, PIECE, max(1, slow // 20) if slow else PIECE)
            if stall is not None:
                size = min(size, stall - sent)
            if slow and self._pause(size / slow):
                return False
            self._send_piece(self.answer.content.read(self.answer.start + sent, size))
            sent += size
        if end < length or (cut is not None and cut <= length):
            return False
        if self.framing == "chunked":
            self._write(b"0\r\n\r\n")
        return True

    def _send_piece(self, piece):
        if self.framing == "chunked":
            self._write(b"%x\r\n" % len(piece))
        self._write(piece, self._count)
        if self.framing == "chunked":
            self._write(b"\r\n")

    def _count(self, size):
        self.journal.update(self.record, sent=self.record["sent"] + size)

    def _write(self, data, count=lambda size: None):
        """Send it all. Bytes are counted before they go, so that whoever has received them finds them in the record."""
        view = memoryview(data)
        while view:
            sent = 0
            count(len(view))
            try:
                sent = self.socket.send(view)
            finally:
                count(sent - len(view))
            view = view[sent:]

    def _stall(self, wanted):
        """Send nothing for a while, until the faults are cleared or the client leaves; False when it left."""
        seconds = wanted.get("seconds") if isinstance(wanted, dict) else wanted
        self.journal.update(self.record, stalled=True)
        gone = self._pause(None if seconds is True or seconds is None else seconds)
        self.journal.update(self.record, stalled=False)
        return not gone

    def _pause(self, seconds):
        """Wait until the time is over or the faults are cleared; True when the client left meanwhile."""
        until = None if seconds is None else time.monotonic() + seconds
        while not self.cleared.is_set():
            left = 0.05 if until is None else min(0.05, until - time.monotonic())
            if left <= 0:
                return False
            self.cleared.wait(left)
            # Also when the faults were cleared: what goes to somebody who is dead would count as sent.
            if self._client_left():
                return True
        return False

    def _client_left(self):
        readable, _, _ = select.select([self.socket], [], [], 0)
        try:
            # The plain receive, also under TLS: a peek at the line shows its end without taking anything from it.
            return bool(readable) and socket.socket.recv(self.socket, 1, socket.MSG_PEEK) == b""
        except OSError:
            return True

    def _reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.handler.server.resets.add(id(self.handler.request))


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 0
    disable_nagle_algorithm = True

    def setup(self):
        self.number = self.server.simulator.next_connection()
        if self.server.tls is not None:
            self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        super().setup()

    def finish(self):
        super().finish()
        if self.server.tls is not None:
            self._finish_tls()

    def _finish_tls(self):
        """Say goodbye without waiting for the other side's, unless the line is to be torn."""
        try:
            if id(self.request) not in self.server.resets:
                self.connection.settimeout(0)
                self.connection.unwrap()
        except (OSError, ValueError):
            pass
        self.server.resets.discard(id(self.request))
        self.connection.close()

    def handle_one_request(self):
        request = None
        try:
            request = self._read_request()
        except (OSError, ValueError) as error:
            self.server.simulator.log(f"connection {self.number} ended: {error}")
        if request is None:
            self.close_connection = True
        else:
            self._serve(request)

    def _read_request(self):
        """The next request of the connection, None at its end or where it is none."""
        self.raw_requestline = line = self.rfile.readline(65537)
        if not line or len(line) > 65536 or not self.parse_request():
            return None
        target = line.split()[1].decode("latin-1")
        return Request(self.server.origin, self.command, target, self.headers, self._read_body())

    def _read_body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline(1024).split(b";")[0], 16):
                parts.append(self._read_exactly(size))
                self.rfile.readline(3)
            self.rfile.readline(3)
            return b"".join(parts)
        size = int(self.headers.get("Content-Length", 0))
        if not 0 <= size <= LONGEST_BODY:
            raise ValueError("a request body that is too long")
        return self._read_exactly(size)

    def _read_exactly(self, size):
        """Half a body is no request: it is neither answered nor does it meet a fault."""
        data = self.rfile.read(size)
        if len(data) < size:
            raise ConnectionAbortedError("the client left within its body")
        return data

    def _serve(self, request):
        simulator = self.server.simulator
        if request.path.startswith(CONTROL) and request.origin == simulator.first_origin:
            answer, effects, cleared = simulator.control(request), {}, threading.Event()
            request.record = {"sent": 0}
        else:
            simulator.journal.begin(request, self.number, simulator.shown_headers(request))
            effects, cleared = simulator.faults.meeting(request)
            request.effects = effects
            answer = simulator.make_answer(request)
        answer.select_range(request)
        _faults.change_headers(answer, effects)
        file, etag = answer.label
        simulator.journal.update(request.record, status=answer.status, start=answer.start, file=file, etag=etag)
        simulator.log(f"{request.origin} {request.method} {request.target} {request.range or ''} -> {answer.status}")
        try:
            reusable = _Sender(self, request, answer, effects, cleared).send()
        finally:
            simulator.journal.update(request.record, finished=True)
        if not reusable:
            self.close_connection = True

    def log_message(self, format, *arguments):
        self.server.simulator.log(format % arguments)


class _Listener(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, simulator, origin, port, tls, host):
        self.simulator, self.origin, self.tls = simulator, origin, tls
        self.resets = set()
        super().__init__(("127.0.0.1", port), _Handler)
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://{host}:{self.server_address[1]}"

    def shutdown_request(self, request):
        if id(request) in self.resets:
            self.resets.discard(id(request))
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def handle_error(self, request, client_address):
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handle_error(request, client_address)


class Simulator:
    """The listeners of one site, its journal and its faults."""

    def __init__(self, site, tls=None, log=False):
        self.site, self._tls, self._log = site, tls, log
        self.journal = Journal()
        self.faults = _faults.Faults(site.more_effects)
        self.listeners = {}
        self.first_origin = None
        self._connections = itertools.count(1)
        site.attach(self)

    def listen(self, origin, port=0, host="127.0.0.1"):
        """Listen on 127.0.0.1, under that name or another one of it."""
        self.listeners[origin] = _Listener(self, origin, port, self._tls, host)
        self.first_origin = self.first_origin or origin
        return self.listeners[origin].url

    def url(self, origin):
        return self.listeners[origin].url

    def next_connection(self):
        return next(self._connections)

    def log(self, text):
        if self._log:
            print(text, file=sys.stderr, flush=True)

    def run(self):
        """Serve until SIGTERM or SIGINT; then end at once."""
        ended = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        for listener in self.listeners.values():
            threading.Thread(target=listener.serve_forever, daemon=True).start()
        addresses = {origin: listener.url for origin, listener in self.listeners.items() if origin != self.first_origin}
        print(json.dumps({"url": self.url(self.first_origin), "pid": os.getpid(), **addresses}), flush=True)
        ended.wait()
        os._exit(0)  # the threads that still serve somebody are not waited for

    def shown_headers(self, request):
        shown = {name.lower(): value for name, value in request.headers.items()}
        if "authorization" in shown:
            shown["authorization"] = self.site.shown_token(shown["authorization"])
        return shown

    def make_answer(self, request):
        """Ask the site, then let the faults have their way with the whole answer."""
        if request.effects.get("ignore_range"):
            request.range = None
        if "Host" not in request.headers:
            self.journal.breach(request, "host", "no Host header")
        try:
            answer = self.site.answer(request)
        except Refused as refused:
            answer = refused.answer
        _faults.change_answer(answer, request, request.effects)
        self.site.finish(request, answer)
        return answer

    def control(self, request):
        what = request.path[len(CONTROL):]
        try:
            answer = self._control(request, what) or self.site.control(request, what)
        except (ValueError, KeyError, TypeError, AttributeError, re.error) as error:
            answer = Answer.of_json({"error": f"{type(error).__name__}: {error}"}, 400)
        return answer or Answer.of_json({"error": f"no such control: {request.method} {what}"}, 404)

    def _control(self, request, what):
        route = (request.method, what)
        if route == ("POST", "faults"):
            return Answer.of_json({"numbers": self.faults.add(request.json())})
        if route == ("GET", "faults"):
            return Answer.of_json(self.faults.report())
        if route == ("DELETE", "faults"):
            self.faults.clear()
            return Answer.of_json({})
        if what in ("requests", "violations") and request.method in ("GET", "DELETE"):
            if request.method == "DELETE":
                self.journal.clear(what)
            return Answer.of_json(self.journal.copy(what))
        if route == ("GET", "counts"):
            return Answer.of_json(self.journal.counts())
        if route == ("GET", "wait"):
            wanted = {key: int(value) for key, value in request.query if key != "timeout"}
            reached = self.journal.wait(wanted, float(request.get("timeout", "60")))
            return Answer.of_json({"reached": reached}, 200 if reached else 408)
        return None


def arguments(description):
    """The parser of the arguments that every simulator has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--root", metavar="FOLDER", help="folder with the content to serve")
    parser.add_argument("--cert", metavar="FILE", help="certificate chain: speak TLS")
    parser.add_argument("--key", metavar="FILE", help="private key of the certificate")
    parser.add_argument("--log", action="store_true", help="print one line for each request on standard error")
    return parser


def tls_from(options):
    """The server's side of TLS, or None."""
    if not options.cert:
        return None
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(options.cert, options.key)
    return tls
