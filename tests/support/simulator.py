"""Starts a simulator as a process of its own and talks to its /_simulator/ routes."""

import json
import os
import shutil
import ssl
import subprocess
import urllib.error
import urllib.parse
import urllib.request

SIMULATORS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "simulators")


class Simulator:
    """A running simulator: `with Simulator("hub") as hub: ... hub.url`. It ends with the block, or with this process."""

    def __init__(self, name, root=None, certificate=None, options=()):
        """certificate: (chain, key), two files; the simulator then speaks TLS."""
        command = ["/usr/bin/python3", os.path.join(SIMULATORS, f"{name}.py"), "--port", "0", *options]
        if root:
            command += ["--root", os.fspath(root)]
        if certificate:
            command += ["--cert", os.fspath(certificate[0]), "--key", os.fspath(certificate[1])]
        if shutil.which("setpriv"):
            command = ["setpriv", "--pdeathsig", "TERM", *command]  # no simulator outlives a test that was killed
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        line = self._process.stdout.readline()
        if not line:
            self._process.stdout.close()
            raise RuntimeError(f"the simulator {name} ended at once with status {self._process.wait()}")
        self.facts = json.loads(line)
        self.url, self.pid = self.facts["url"], self.facts["pid"]
        trust = ssl.create_default_context(cafile=certificate[0]) if certificate else None
        handlers = [urllib.request.ProxyHandler({})] + ([urllib.request.HTTPSHandler(context=trust)] if trust else [])
        self._opener = urllib.request.build_opener(*handlers)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """End the simulator; its exit status."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            return self._process.wait(60)
        finally:
            self._process.kill()
            self._process.stdout.close()

    def control(self, method, what, value=None, **query):
        """Ask /_simulator/<what>; the JSON of the answer."""
        address = f"{self.url}/_simulator/{what}"
        if query:
            address += "?" + urllib.parse.urlencode(query)
        body = None if value is None else json.dumps(value).encode()
        request = urllib.request.Request(address, body, {"Content-Type": "application/json"}, method=method)
        try:
            with self._opener.open(request) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise RuntimeError(f"{method} {what}: {error.code} {error.read().decode()}") from None

    def faults(self, *faults):
        return self.control("POST", "faults", list(faults))["numbers"]

    def clear_faults(self):
        self.control("DELETE", "faults")

    def requests(self, **wanted):
        """The requests so far; those whose fields have these values where some are given."""
        return [one for one in self.control("GET", "requests") if all(one[key] == value for key, value in wanted.items())]

    def clear_requests(self):
        self.control("DELETE", "requests")

    def violations(self):
        return self.control("GET", "violations")

    def clear_violations(self):
        self.control("DELETE", "violations")

    def counts(self):
        return self.control("GET", "counts")

    def wait(self, timeout=60, **counts):
        """Wait until so many requests are there: stalled=1, requests=5, finished=5."""
        self.control("GET", "wait", timeout=timeout, **counts)

    def clear(self):
        """Forget faults, requests and violations: every test begins with this."""
        for what in ("faults", "requests", "violations"):
            self.control("DELETE", what)

    # Simulators that keep repositories.

    def put_repository(self, description):
        """Make or replace a repository; its summary (sha, commits, files with size and etag)."""
        return self.control("PUT", "repositories", description)[0]

    def settings(self, **settings):
        return self.control("PUT", "settings", settings)

    def tokens(self, tokens):
        return self.control("PUT", "tokens", tokens)

    def commit(self, identity, **commit):
        return self.control("POST", "commit", {"id": identity, **commit})["sha"]

    def move(self, identity, **change):
        return self.control("POST", "move", {"id": identity, **change})["sha"]
