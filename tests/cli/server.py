"""A small server with OpenAI's chat protocol, run as a job (port from TENON_PORT) or beside a test (any port, printed)."""

import http.server
import json
import os

# An answer is what the last message says in capitals, word by word; these questions are answered otherwise.
HOSTILE = "red \x1b[31m and \u009b31m, back \r and bell \x07"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def event(self, value):
        text = value if isinstance(value, str) else json.dumps(value)
        data = f"data: {text}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def refuses(self):
        key = os.environ.get("TENON_API_KEY")
        wrong = key is not None and self.headers.get("Authorization") != f"Bearer {key}"
        if wrong:
            self.answer(401, {"error": {"message": "Incorrect API key", "type": "invalid_request_error", "code": "invalid_api_key"}})
        return wrong

    def do_GET(self):
        if self.path == "/health":
            self.answer(200, {"status": "ok"})
        elif self.path == "/v1/models" and not self.refuses():
            self.answer(200, {"object": "list", "data": [{"id": "echo", "object": "model", "owned_by": "tests"}]})

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.refuses():
            return
        messages = request["messages"]
        question = messages[-1]["content"]
        if question == "fail":
            self.answer(500, {"error": {"message": "the model fell over", "type": "server_error"}})
        else:
            self.stream(request, HOSTILE if question == "hostile" else self.reply(request, messages, question))

    def reply(self, request, messages, question):
        if question == "request":
            return json.dumps({key: request.get(key) for key in ("messages", "max_tokens", "temperature")})
        return f"{question.upper()} ({len(messages)})"

    def piece(self, delta, reason=None):
        self.event({"id": "c", "object": "chat.completion.chunk", "model": "echo",
                    "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})

    def stream(self, request, text):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if "think" in text.lower():
            self.piece({"reasoning_content": "Let me see."})
        for word in text.split(" "):
            self.piece({"content": word + " "})
        if "ENDLESS" in text:
            while True:  # until whoever asked hangs up
                self.piece({"content": "and on "})
        self.piece({}, "stop")
        self.event({"id": "c", "object": "chat.completion.chunk", "model": "echo", "choices": [],
                    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}})
        self.event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


if __name__ == "__main__":
    server = Server(("127.0.0.1", int(os.environ.get("TENON_PORT", "0"))), Handler)
    print(json.dumps({"url": f"http://127.0.0.1:{server.server_port}/v1", "pid": os.getpid()}), flush=True)
    server.serve_forever()
