"""Throw-away certificates."""

import os
import shutil
import subprocess

_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


def _openssl(*arguments):
    return subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


def _names(hosts):
    """What a certificate says of the hosts it is for."""
    kinds = ["IP" if host.replace(".", "").isdigit() or ":" in host else "DNS" for host in hosts]
    return "subjectAltName=" + ",".join(f"{kind}:{host}" for kind, host in zip(kinds, hosts))


def make(folder):
    """One for 127.0.0.1, which is its own authority: (certificate, key), two files in the folder; None without openssl."""
    if not shutil.which("openssl"):
        return None
    certificate, key = os.path.join(folder, "certificate.pem"), os.path.join(folder, "key.pem")
    _openssl("req", "-x509", *_KEY, "-days", "7", "-subj", "/CN=127.0.0.1", "-addext", _names(["127.0.0.1", "localhost"]),
             "-keyout", key, "-out", certificate)
    return certificate, key


class Authority:
    """Signs certificates; `file` is what whoever trusts it must name, and `folder` has that file under the name OpenSSL wants."""

    def __init__(self, folder, name="authority"):
        self._folder = folder
        self.file, self._key = os.path.join(folder, f"{name}.pem"), os.path.join(folder, f"{name}-key.pem")
        _openssl("req", "-x509", *_KEY, "-days", "7", "-subj", f"/CN=tenon test {name}",
                 "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                 "-keyout", self._key, "-out", self.file)
        self.folder = os.path.join(folder, f"{name}-hashed")
        os.mkdir(self.folder)
        shutil.copy(self.file, os.path.join(self.folder, _openssl("x509", "-hash", "-noout", "-in", self.file).strip() + ".0"))

    def issue(self, name, hosts, days=7):
        """(certificate, key) for these hosts; with fewer than no days it is expired already."""
        certificate, key, request, more = (os.path.join(self._folder, f"{name}{end}") for end in (".pem", "-key.pem", ".csr", ".ext"))
        _openssl("req", *_KEY, "-subj", f"/CN={hosts[0]}", "-keyout", key, "-out", request)
        with open(more, "w", encoding="utf-8") as file:
            file.write(_names(hosts) + "\n")
        _openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self._key, "-CAcreateserial", "-days", str(days),
                 "-extfile", more, "-out", certificate)
        return certificate, key
