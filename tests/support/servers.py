"""nginx and tinyproxy as processes of a test, on free ports of this machine."""

import json
import os
import re
import shutil
import socket
import subprocess
import time

_PLACES = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/sbin"])


def find(name):
    """The program, or None; servers often lie where users do not look."""
    return shutil.which(name, path=_PLACES)


def nginx_has(module):
    """Whether nginx was built with that module, as in http_dav_module."""
    return module in subprocess.run([find("nginx"), "-V"], capture_output=True, text=True, check=False).stderr


def free_ports(count):
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _await_listening(process, port, what):
    limit = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > limit:
                raise RuntimeError(f"{what} does not listen") from None
            time.sleep(0.01)


def _start(command, log):
    if shutil.which("setpriv"):
        command = ["setpriv", "--pdeathsig", "TERM", *command]  # no server outlives a test that was killed
    with open(log, "ab") as file:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)


def _stop(process):
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(30)
    finally:
        process.kill()
        process.wait()


NGINX = """
daemon off;
worker_processes 1;
{user}
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
events {{ worker_connections 512; }}
http {{
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    default_type application/octet-stream;
    log_format seen escape=json '{{"port":$server_port,"protocol":"$server_protocol","connection":$connection,'
        '"nth":$connection_requests,"method":"$request_method","path":"$request_uri","status":$status,"sent":$body_bytes_sent,'
        '"range":"$http_range","authorization":"$http_authorization","encoding":"$http_accept_encoding","from":"$remote_addr",'
        '"host":"$http_host","tls":"$ssl_protocol","via":"$http_via","proxy_authorization":"$http_proxy_authorization"}}';
    access_log {folder}/seen.log seen;
{servers}
}}
"""


class Nginx:
    """
    A running nginx: what stands in its http block, where @name@ is a port of its own, and @folder@ the folder.
    `ports` has the ports by name. The first server that listens on @first@ must be on 127.0.0.1.
    """

    def __init__(self, folder, servers):
        self.folder = os.path.join(folder, "nginx")
        os.makedirs(self.folder)
        self._config, self._seen = os.path.join(self.folder, "nginx.conf"), os.path.join(self.folder, "seen.log")
        self._read_to = 0
        for left in reversed(range(3)):
            self._configure(servers)
            try:
                self.start()
                break
            except RuntimeError:
                if left == 0:  # somebody else was quicker at one of the ports, three times
                    raise

    def _configure(self, servers):
        names = sorted(set(re.findall(r"@(\w+)@", servers)) - {"folder"})
        self.ports = dict(zip(names, free_ports(len(names))))
        text = servers.replace("@folder@", self.folder)
        for name, port in self.ports.items():
            text = text.replace(f"@{name}@", str(port))
        user = "user root;" if os.geteuid() == 0 else ""
        with open(self._config, "w", encoding="utf-8") as file:
            file.write(NGINX.format(user=user, folder=self.folder, servers=text))

    def start(self):
        log = os.path.join(self.folder, "nginx.log")
        self._process = _start([find("nginx"), "-p", self.folder, "-c", self._config, "-e", log], log)
        try:
            _await_listening(self._process, self.ports["first"], "nginx")
        except RuntimeError as error:
            with open(log, encoding="utf-8") as file:
                raise RuntimeError(f"{error}: {file.read()}") from None

    def stop(self):
        """At once, in the middle of whatever it sends."""
        _stop(self._process)

    def forget(self):
        """What was asked so far is not of interest."""
        self._read_to = os.path.getsize(self._seen)

    def seen(self, count=None, **wanted):
        """The requests since `forget`, in the order of their ends; waits until there are that many. Those with these values only."""
        limit = time.monotonic() + 10
        while True:
            with open(self._seen, encoding="utf-8") as file:
                file.seek(self._read_to)
                lines = [json.loads(line) for line in file if line.endswith("\n")]
            found = [one for one in lines if all(one[key] == value for key, value in wanted.items())]
            if count is None or len(found) >= count or time.monotonic() > limit:
                return found
            time.sleep(0.01)


class Tinyproxy:
    """A running tinyproxy. It goes on from 127.0.0.9, so that a server sees who came by way of it."""

    ADDRESS = "127.0.0.9"

    def __init__(self, folder, name="proxy", more=()):
        self.port, = free_ports(1)
        self._log = os.path.join(folder, f"{name}.log")
        config = os.path.join(folder, f"{name}.conf")
        lines = [f"Port {self.port}", "Listen 127.0.0.1", f"Bind {self.ADDRESS}", "Timeout 60", "Allow 127.0.0.1", "MaxClients 100",
                 f'LogFile "{self._log}"', "LogLevel Connect", *more]
        with open(config, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        self._process = _start([find("tinyproxy"), "-d", "-c", config], os.path.join(folder, f"{name}.out"))
        _await_listening(self._process, self.port, "tinyproxy")
        self._read_to = 0

    def stop(self):
        _stop(self._process)

    def forget(self):
        self._read_to = os.path.getsize(self._log)

    def asked(self):
        """["CONNECT host:port", "GET http://..."] since `forget`."""
        with open(self._log, encoding="utf-8", errors="replace") as file:
            file.seek(self._read_to)
            return re.findall(r"Request \(file descriptor \d+\): (\S+ \S+)", file.read())
