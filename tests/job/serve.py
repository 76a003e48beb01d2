"""A small server that can be late, unwell, empty or unwilling to share its port, as the environment says."""

import http.server
import json
import os
import time

born = time.monotonic()
counts = {"health": 0, "models": 0}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/health":
            counts["health"] += 1
            unwell = counts["health"] <= int(os.environ.get("UNWELL", "0"))
            self.answer(503 if unwell else 200, {"status": "loading" if unwell else "ok"})
        elif self.path == "/v1/models" and "NO_MODELS" not in os.environ:
            counts["models"] += 1
            known = self.headers.get("Authorization") == "Bearer " + os.environ["TENON_API_KEY"]
            empty = counts["models"] <= int(os.environ.get("EMPTY", "0"))
            self.answer(200 if known else 401, {"object": "list", "data": [] if empty else [{"id": "small"}]})
        else:
            self.answer(404, {"error": {"message": "not here"}})

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    allow_reuse_address = "ALONE" not in os.environ


if "STARTS" in os.environ:
    with open(os.environ["STARTS"], "a", encoding="utf-8") as file:
        file.write("x")
time.sleep(float(os.environ.get("LATE", "0")))
if "LEAVE" not in os.environ:
    Server((os.environ["TENON_HOST"], int(os.environ["TENON_PORT"])), Handler).serve_forever()
elif os.environ["LEAVE"] == "never":
    time.sleep(1000)
