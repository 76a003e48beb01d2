"""A web server with nothing behind it, for whoever asks over HTTP: it tells what it was asked, serves bytes of any number,
and on a line of its own sends whatever it is told to, be it HTTP or not."""

import base64
import hashlib
import json
import socketserver
import threading
import urllib.parse

import _server
from _content import Bytes, Generated

EVENTS = b"".join(b"event: count\nid: %d\ndata: {\"n\": %d}\n\n" % (number, number) for number in range(20)) + b"data: [DONE]\n\n"


class Web(_server.Site):
    """
    /echo             what was asked, as JSON
    /bytes/N          N bytes that are always the same, also by ranges
    /body?text=&type=&status=&header=NAME:VALUE&chunked=1    an answer made of these
    /redirect?to=ADDRESS&status=N
    /events           server-sent events
    """

    def __init__(self, raw):
        self._raw = raw

    def answer(self, request):
        first, _, rest = request.plain_path.strip("/").partition("/")
        route = getattr(self, f"_{first}", None)
        if route is None:
            return _server.Answer.of_json({"error": f"no such page: {request.plain_path}"}, 404)
        return route(request, rest)

    def control(self, request, what):
        if (request.method, what) == ("POST", "appetite"):
            self._raw.feed(request.json()["bytes"])
            return _server.Answer.of_json({})
        return None

    def shown_token(self, authorization):
        return authorization

    def _echo(self, request, rest):
        return _server.Answer.of_json({
            "method": request.method, "path": request.path, "query": request.query_text, "origin": request.origin,
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "size": len(request.body), "sha256": hashlib.sha256(request.body).hexdigest(),
            "body": base64.b64encode(request.body[:1000]).decode(),
        })

    def _bytes(self, request, rest):
        answer = _server.Answer(200, Generated(int(rest), "bytes"), ranged=True)
        answer.set("ETag", f'"{rest}"')
        return answer

    def _body(self, request, rest):
        answer = _server.Answer(int(request.get("status", "200")), Bytes(request.get("text", "").encode()),
                                request.get("type", "application/json"))
        answer.chunked = request.get("chunked") is not None
        for header in request.all("header"):
            name, _, value = header.partition(":")
            answer.headers.append((name, value))
        return answer

    def _redirect(self, request, rest):
        answer = _server.Answer(int(request.get("status", "302")), Bytes(b"elsewhere"), "text/plain")
        answer.set("Location", request.get("to"))
        return answer

    def _events(self, request, rest):
        answer = _server.Answer(200, Bytes(EVENTS), "text/event-stream")
        answer.chunked = True
        return answer


class _RawHandler(socketserver.StreamRequestHandler):
    """
    /hex/DIGITS[?hold]   exactly these bytes; then the line is closed, or held until the client leaves
    /eat                 takes as much of the body as POST /_simulator/appetite {"bytes": N} allows, then answers
    """

    def handle(self):
        line = self.rfile.readline().split()
        headers = {}
        while (header := self.rfile.readline().strip()):
            name, _, value = header.partition(b":")
            headers[name.lower()] = value.strip()
        if len(line) < 2:
            return
        path, _, query = urllib.parse.unquote(line[1].decode()).partition("?")
        if path.startswith("/hex/"):
            self.wfile.write(bytes.fromhex(path[5:]))
            if query == "hold":
                self.rfile.read(1)
        elif path == "/eat":
            self._eat(int(headers[b"content-length"]))

    def _eat(self, left):
        digest = hashlib.sha256()
        while left:
            piece = self.rfile.read(min(left, self.server.bite(left)))
            if not piece:
                return
            digest.update(piece)
            left -= len(piece)
        body = json.dumps({"sha256": digest.hexdigest()}).encode()
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body))


class Raw(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Sends bytes as they are, and takes them slowly."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _RawHandler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self._appetite = 0
        self._fed = threading.Condition()

    def feed(self, size):
        with self._fed:
            self._appetite += size
            self._fed.notify_all()

    def bite(self, most):
        """How many bytes may be taken now: at least one, after a wait where there is no appetite."""
        with self._fed:
            self._fed.wait_for(lambda: self._appetite > 0)
            size = min(most, self._appetite, 65536)
            self._appetite -= size
            return size

    def handle_error(self, request, client_address):
        pass  # the client left


def main():
    options = _server.arguments(__doc__).parse_args()
    raw = Raw()
    simulator = _server.Simulator(Web(raw), _server.tls_from(options), options.log)
    simulator.listen("web", options.port)
    simulator.listen("other")
    simulator.listeners["raw"] = raw
    simulator.run()


if __name__ == "__main__":
    main()
