"""The unmodified official clients, each driven in a process of its own: `client.call("model_info", repo_id="a/b")`."""

import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "support"))

import environments


class ClientError(Exception):
    """The client threw: the names of the class and of its bases, the message, the HTTP status if there was one."""

    def __init__(self, error):
        super().__init__(f"{error['classes'][0]}: {error['message']}")
        self.classes, self.status = error["classes"], error["status"]


class _Client:
    def __init__(self, command, environment):
        self._process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def call(self, function, /, **arguments):
        self.begin(function, **arguments)
        return self.result()

    def begin(self, function, /, **arguments):
        """Ask, and do not wait for the answer."""
        self._process.stdin.write(json.dumps({"call": function, "arguments": arguments}) + "\n")
        self._process.stdin.flush()

    def result(self):
        """The answer to what was asked for."""
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the client ended without an answer")
        try:
            answer = json.loads(line)
        except json.JSONDecodeError:
            raise RuntimeError(f"the client says {line!r}") from None
        if "error" in answer:
            raise ClientError(answer["error"])
        return answer["result"]

    def kill(self):
        """Kill it as nothing can be killed harder."""
        self._process.kill()
        self.stop()

    def stop(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def plain_environment(home):
    """The variables for any client: nothing of the user's own comes through."""
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": home, "HF_HOME": os.path.join(home, "huggingface")}


def python_environment(endpoint, home, xet=False, certificate=None, **more):
    """The variables for a Python client."""
    environment = {
        **plain_environment(home), "HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_VERBOSITY": "error", "NO_PROXY": "*", **more,
    }
    if xet:
        environment["PYTHONPATH"] = environments.hf_xet()
    if certificate:
        environment["SSL_CERT_FILE"] = certificate
    return environment


class PythonClient(_Client):
    """huggingface_hub of one major version; xet: with hf_xet installed (and switched off)."""

    def __init__(self, major, endpoint, home, **options):
        self.bin = os.path.join(environments.huggingface_hub(major), "bin")
        self.environment = python_environment(endpoint, home, **options)
        super().__init__([f"{self.bin}/python", os.path.join(HERE, "drive_python.py")], self.environment)

    def hf(self, *arguments):
        """Run the `hf` command line; the finished process with its text."""
        return subprocess.run([f"{self.bin}/hf", *arguments], env=self.environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False)


class NodeClient(_Client):
    """@huggingface/hub; every call still needs hubUrl."""

    def __init__(self, home, certificate=None, **more):
        # Node 18 tries one address of localhost only.
        environment = {**plain_environment(home), "NODE_OPTIONS": "--dns-result-order=ipv4first", **more}
        if certificate:
            environment["NODE_EXTRA_CA_CERTS"] = certificate
        super().__init__(["node", os.path.join(HERE, "drive_node.cjs"), environments.hub_js()], environment)


class RustClient(_Client):
    """The crate hf-hub: call("download", cache_dir=, id=, type=, filename=) and call("scan", cache_dir=)."""

    def __init__(self, endpoint, home, **more):
        super().__init__([environments.hf_hub()], {**plain_environment(home), "HF_ENDPOINT": endpoint, "NO_PROXY": "*", **more})


class LlamaClient:
    """
    llama-server's own download, `-hf`. Each call is one process; what it fetches for these tests is no model mostly, so it ends
    when it has tried to load it.
    """

    def __init__(self, endpoint, home, **more):
        self._program = os.path.join(environments.llama(), "llama-server")
        self._environment = {**plain_environment(home), "HF_ENDPOINT": endpoint, **more}
        self._home, self._process = home, None

    def begin(self, cache, repository, *options):
        """Fetch a repository's model, and serve it on a free port."""
        command = [self._program, "-hf", repository, "--host", "127.0.0.1", "--port", "0", "--threads", "1", *options]
        environment = {**self._environment, "HF_HUB_CACHE": cache}
        log, self._log = tempfile.mkstemp(suffix=".log", dir=self._home)
        with os.fdopen(log, "wb") as file:
            self._process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file)

    def result(self):
        """All that it said, when it has ended."""
        self._process.wait(300)
        return self._said()

    def _said(self):
        with open(self._log, encoding="utf-8", errors="replace") as log:
            return log.read()

    def is_ready(self):
        """Whether it serves the model. It listens before it has one; one that has ended is none."""
        if self._process.poll() is not None:
            raise RuntimeError(f"llama-server ended: {self.result()}")
        address = re.search(r"listening on (http://\S+)", self._said())
        if not address:
            return False
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{address.group(1)}/health") as answer:
                return answer.status == 200
        except urllib.error.URLError:
            return False

    def kill(self):
        self._process.kill()
        self._process.wait()

    def stop(self):
        if self._process and self._process.poll() is None:
            self.kill()
