"""A hub of static files behind somebody else's server: nginx over TLS, with the Hub's routes and headers, and a host of its own for
large files, as the Hub has it. It answers as fast as it can be read, which no hub in Python does."""

import hashlib
import json
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))

import certificate
import servers

COMMIT = "5ca1ab1e" * 5
LARGE, MANY = "bench/large", "bench/many"
PIECE = 1 << 22
SMALL = (500, 8000)  # bytes of a small file: configurations, cards, pieces of text

NGINX = """
    map_hash_max_size 65536; map_hash_bucket_size 256;
    include @folder@/../etags.conf;
    ssl_certificate {certificate}; ssl_certificate_key {key};
    ssl_session_cache shared:tls:1m;
    keepalive_requests 1000000;
    sendfile on; tcp_nopush on; etag off; access_log off;
    server {{
        listen 127.0.0.1:@first@ ssl http2;
        listen 127.0.0.1:@plain@;
        root {folder}/site;
        location ~ ^/api/models/bench/\w+(/revision/.*)?$ {{
            default_type application/json; rewrite ^/api/models/bench/(\w+) /info-$1.json break;
        }}
        location ~ ^/api/models/bench/\w+/tree/ {{
            default_type application/json; rewrite ^/api/models/bench/(\w+)/ /tree-$1.json break;
        }}
        location ^~ /bench/many/resolve/ {{
            rewrite ^/bench/many/resolve/[^/]+/(.+)$ /many/$1 break;
            add_header X-Repo-Commit {commit};
            add_header ETag $etag;
            add_header Accept-Ranges bytes;
        }}
        location ~ ^/bench/large/resolve/[^/]+/(.+)$ {{
            add_header X-Repo-Commit {commit} always;
            add_header X-Linked-Etag '"{sha256}"' always;
            add_header X-Linked-Size {size} always;
            return 302 $scheme://127.0.0.1:$content/large/$1;
        }}
    }}
    server {{
        listen 127.0.0.1:@content@ ssl http2;
        listen 127.0.0.1:@plaincontent@;
        root {folder}/site;
    }}
    map $scheme $content {{ https @content@; default @plaincontent@; }}
"""


def _write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)


def _entry(path, data):
    """What the hub says of a file that is in git itself."""
    identity = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    return {"type": "file", "oid": identity, "size": len(data), "path": path}


class Site:
    """The running hub: `url` over TLS, `plain` without; `certificate` is what whoever asks must trust."""

    def __init__(self, folder, size, count):
        self.folder, self.size, self.count = folder, size, count
        self.bytes = 0  # of the small files together
        self.certificate, key = certificate.make(folder)
        sha256 = self._make_large(os.path.join(folder, "site", "large", "model.bin"))
        self._make_many()
        text = NGINX.format(folder=folder, certificate=self.certificate, key=key, commit=COMMIT, sha256=sha256, size=size)
        self._nginx = servers.Nginx(folder, text)
        self.url = f"https://127.0.0.1:{self._nginx.ports['first']}"
        self.plain = f"http://127.0.0.1:{self._nginx.ports['plain']}"

    def stop(self):
        self._nginx.stop()

    def _describe(self, name, entries):
        about = {"id": f"bench/{name}", "modelId": f"bench/{name}", "sha": COMMIT, "private": False, "gated": False,
                 "disabled": False, "tags": [], "downloads": 0, "likes": 0,
                 "siblings": [{"rfilename": one["path"]} for one in entries]}
        _write(os.path.join(self.folder, "site", f"info-{name}.json"), json.dumps(about).encode())
        _write(os.path.join(self.folder, "site", f"tree-{name}.json"), json.dumps(entries).encode())

    def _make_large(self, path):
        chance, sha256, left = random.Random("large"), hashlib.sha256(), self.size
        os.makedirs(os.path.dirname(path))
        with open(path, "wb") as file:
            while left > 0:
                piece = chance.randbytes(min(PIECE, left))
                sha256.update(piece)
                file.write(piece)
                left -= len(piece)
        identity = sha256.hexdigest()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{identity}\nsize {self.size}\n".encode()
        self._describe("large", [{**_entry("model.bin", pointer), "size": self.size,
                                  "lfs": {"oid": identity, "size": self.size, "pointerSize": len(pointer)}}])
        return identity

    def _make_many(self):
        chance, entries, etags = random.Random("many"), [], []
        for number in range(self.count):
            path, data = f"part-{number % 20:02}/file-{number:05}.json", chance.randbytes(chance.randint(*SMALL))
            _write(os.path.join(self.folder, "site", "many", path), data)
            entries.append(_entry(path, data))
            etags.append(f"/many/{path} '\"{entries[-1]['oid']}\"';")
            self.bytes += len(data)
        self._describe("many", entries)
        _write(os.path.join(self.folder, "etags.conf"), "map $uri $etag {{\n{}\n}}\n".format("\n".join(etags)).encode())
