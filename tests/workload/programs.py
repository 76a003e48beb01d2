"""Runs the workload's two programs as tenon runs them: told by environment variables, read by their output."""

import http.client
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORKLOAD = ROOT / "examples" / "workload"
TINY = ROOT / "examples" / "hub" / "tenon" / "tiny"


class Program:
    """A running program; lines of its output are awaited, never slept for."""

    def __init__(self, name, *arguments, **environment):
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        self.process = subprocess.Popen(
            [sys.executable, WORKLOAD / name, *map(str, arguments)], cwd=WORKLOAD, text=True, errors="replace",
            env={**kept, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1",
                 **{name: str(value) for name, value in environment.items()}},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.lines = []

    def wait_for(self, text):
        """The next line that contains a text."""
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if text in line:
                return self.lines[-1]
        raise AssertionError(f"no line with {text!r}; the program ended: {self.lines[-5:]} {self.process.stderr.read()}")

    def end(self, number=None):
        """Exit status and standard error of a program that ends by itself, or that is sent a signal."""
        if number is not None:
            self.process.send_signal(number)
        output, errors = self.process.communicate()
        self.lines += output.splitlines()
        return self.process.returncode, errors

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def metrics(self):
        return [json.loads(line) for line in self.lines if line.startswith("{")]


class Service(Program):
    """serve.py at a free port, ready to be asked."""

    def __init__(self, model, **environment):
        super().__init__("serve.py", TENON_MODEL=model, TENON_PORT=0, **environment)
        self.port = int(self.wait_for("serving").split("at http://127.0.0.1:")[1].split("/")[0])

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(self, method, path, body=None, connection=None, **headers):
        """Status and JSON; body may be bytes that are not JSON."""
        used = connection or self.connect()
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body)
        used.request(method, path, data, headers)
        response = used.getresponse()
        answer = response.read()
        if connection is None:
            used.close()
        return response.status, json.loads(answer)

    def chat(self, content, **fields):
        status, answer = self.ask("POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": content}], **fields})
        assert status == 200, answer
        return answer["choices"][0]["message"]["content"], answer["choices"][0]["finish_reason"], answer["usage"]

    def complete(self, prompt, **fields):
        status, answer = self.ask("POST", "/v1/completions", {"prompt": prompt, **fields})
        assert status == 200, answer
        return answer["choices"][0]["text"], answer["choices"][0]["finish_reason"], answer["usage"]

    def stream(self, path, body):
        """The events of a streamed answer, as JSON; the last one is the text [DONE]."""
        connection = self.connect()
        connection.request("POST", path, json.dumps({**body, "stream": True}))
        response = connection.getresponse()
        assert response.status == 200 and response.headers["Content-Type"] == "text/event-stream", response.status
        events = [event.removeprefix("data: ") for event in response.read().decode().split("\n\n") if event]
        connection.close()
        return [event if event == "[DONE]" else json.loads(event) for event in events]
