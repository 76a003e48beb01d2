"""The transport against servers of other people: nginx (HTTP/1.1 and 2, TLS, ranges, gzip) and tinyproxy."""

import hashlib
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TESTS, "support"), os.path.join(TESTS, "hub")]

import certificate
import hubtest
import repositories
import servers
import suite
from hubtest import MIB

REQUESTS = os.path.join(hubtest.CHECKED, "tests", "transport", "requests")
HOSTS = ["127.0.0.1", "127.0.0.2", "localhost"]
TOKEN = "hf_token_that_nobody_may_see"

SERVERS = """
    keepalive_timeout 60s; types { application/json json; }
    gzip_min_length 100; gzip_types application/json; gzip_proxied any;
    ssl_certificate @certificates@/good.pem; ssl_certificate_key @certificates@/good-key.pem;
    server {
        listen 127.0.0.1:@first@; listen 127.0.0.2:@first@;
        root @files@;
        location /token { return 200 "$http_authorization"; }
        location /to/ { return 302 $arg_to; }
        location /see-other/ { return 303 $arg_to; }
        location /gzip/ { alias @files@/; gzip on; }
        location /slow/ { alias @files@/; limit_rate 64k; }
        location /gone/ { alias @files@/; if ($connection_requests = 2) { return 444; } }
        location /never/ { return 444; }
        location /silent/ { proxy_pass http://127.0.0.1:@silence@; }
        @uploads@
    }
    server { listen 127.0.0.1:@other@; listen 127.0.0.2:@other@; location / { return 200 "$http_authorization"; } }
    server { listen 127.0.0.1:@short@; keepalive_timeout 0; root @files@; }
    server { listen 127.0.0.1:@brief@; keepalive_timeout 1s; root @files@; }
    server {
        listen 127.0.0.1:@tls@ ssl http2; listen 127.0.0.2:@tls@ ssl http2;
        root @files@;
        location /token { return 200 "$http_authorization"; }
        location /to/ { return 302 $arg_to; }
        location /slow/ { alias @files@/; limit_rate 64k; }
        @uploads@
    }
    server { listen 127.0.0.1:@few@ ssl http2; keepalive_requests 4; root @files@; }
    server { listen 127.0.0.1:@tls1@ ssl; root @files@; }
    server { listen 127.0.0.1:@tls13@ ssl http2; ssl_protocols TLSv1.3; root @files@; }
    server { listen 127.0.0.1:@old@ ssl; ssl_protocols TLSv1.1; ssl_ciphers ALL:@SECLEVEL=0; root @files@; }
    server { listen 127.0.0.1:@expired@ ssl; ssl_certificate @certificates@/expired.pem; ssl_certificate_key @certificates@/expired-key.pem; }
    server { listen 127.0.0.1:@elsewhere@ ssl; ssl_certificate @certificates@/elsewhere.pem; ssl_certificate_key @certificates@/elsewhere-key.pem; }
    server { listen 127.0.0.1:@stranger@ ssl http2; ssl_certificate @certificates@/stranger.pem; ssl_certificate_key @certificates@/stranger-key.pem;
             location / { return 200 "stranger"; } }
"""

UPLOADS = """
        location /put/ { root @files@; dav_methods PUT; create_full_put_path on; client_max_body_size 100m; }
        location /once/ { root @files@; dav_methods PUT; create_full_put_path on; if ($connection_requests = 2) { return 444; } }
        location /little/ { root @files@; dav_methods PUT; client_max_body_size 1k; }
"""

HUB = """
    ssl_certificate @certificates@/good.pem; ssl_certificate_key @certificates@/good-key.pem;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    server {
        listen 127.0.0.1:@first@ ssl http2; listen 127.0.0.2:@first@ ssl http2;
        location / {
            proxy_pass @hub@; proxy_set_header Host $proxy_host;
            proxy_redirect @simulated_cdn@/ https://127.0.0.2:@cdn@/;
        }
    }
    server {
        listen 127.0.0.1:@strange@ ssl http2;
        location / {
            proxy_pass @hub@; proxy_set_header Host $proxy_host;
            proxy_redirect @simulated_cdn@/ https://127.0.0.1:@strange_cdn@/;
        }
    }
    server {
        listen 127.0.0.1:@cdn@ ssl http2; listen 127.0.0.2:@cdn@ ssl http2;
        location ~ ^/repos/../../(?<blob>[0-9a-f]+)$ { alias @blobs@/$blob; @rate@ }
    }
    server {
        listen 127.0.0.1:@strange_cdn@ ssl http2;
        ssl_certificate @certificates@/stranger.pem; ssl_certificate_key @certificates@/stranger-key.pem;
        location ~ ^/repos/../../(?<blob>[0-9a-f]+)$ { alias @blobs@/$blob; }
    }
"""


def fill(text, **values):
    """Puts values for @name@; what is not among them is nginx's to have."""
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


class World:
    """What all tests share: files, certificates, a server that never answers, nginx."""

    def __init__(self, folder):
        self.folder = folder
        self.files, self.certificates = os.path.join(folder, "files"), os.path.join(folder, "certificates")
        os.mkdir(self.files)
        os.mkdir(self.certificates)
        self.large = os.urandom(64 * 1024) * 48  # 3 MiB
        self.listing = json.dumps([{"path": f"file-{number}", "size": number} for number in range(2000)]).encode()
        for name, data in (("small.json", b'{"a": 1}'), ("list.json", self.listing), ("large.bin", self.large), ("some.bin", self.large[:131072])):
            hubtest.write(os.path.join(self.files, name), data)
        self.authority = certificate.Authority(self.certificates)
        self.authority.issue("good", HOSTS)
        self.authority.issue("expired", HOSTS, days=-1)
        self.authority.issue("elsewhere", ["example.org"])
        self.stranger = certificate.Authority(self.certificates, "stranger-authority")
        self.stranger.issue("stranger", HOSTS)
        self.silence = socket.create_server(("127.0.0.1", 0))  # connections stand, and nobody reads
        self.takes_uploads = servers.nginx_has("http_dav_module")
        text = SERVERS.replace("@uploads@", UPLOADS if self.takes_uploads else "")
        self.nginx = servers.Nginx(folder, fill(text, certificates=self.certificates, files=self.files, silence=self.silence.getsockname()[1]))

    def stop(self):
        self.nginx.stop()
        self.silence.close()


WORLD = None


def setUpModule():
    global WORLD
    missing = [name for name in ("nginx", "tinyproxy", "openssl") if not servers.find(name)]
    if missing:
        raise unittest.SkipTest(f"not installed: {', '.join(missing)}")
    scratch = tempfile.TemporaryDirectory(dir=os.environ.get("TENON_TMP"))
    unittest.addModuleCleanup(scratch.cleanup)
    WORLD = World(os.path.realpath(scratch.name))
    unittest.addModuleCleanup(WORLD.stop)


def environment(**more):
    """Nothing of the caller's own."""
    return {"PATH": os.environ["PATH"], "HOME": WORLD.folder, "LANG": "C.UTF-8", "ASAN_OPTIONS": "detect_leaks=1",
            "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1", **more}


class Case(unittest.TestCase):
    """Asks, and looks at what nginx saw."""

    def setUp(self):
        self.nginx, self.ports = WORLD.nginx, WORLD.nginx.ports
        self.nginx.forget()

    def at(self, server, path, host="127.0.0.1", scheme=None):
        secure = ("tls", "tls1", "tls13", "few", "old", "expired", "elsewhere", "stranger")
        return f"{scheme or ('https' if server in secure else 'http')}://{host}:{self.ports[server]}{path}"

    def ask(self, *words, settings=None, trust=True, **variables):
        """What came of each address. Nothing that is printed may hold the token or a password."""
        values = {"transport.backoff_ms": 1, **({"transport.ca_file": WORLD.authority.file} if trust else {}), **(settings or {})}
        sets = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
        done = subprocess.run([REQUESTS, *sets, *map(str, words)], env=environment(**variables), capture_output=True, text=True, check=False,
                              timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.log = done.stderr
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        for answer in answers:
            for text in (answer.get("error", {}).get("message", ""), answer.get("error", {}).get("hint", ""), done.stderr):
                self.assertNotIn(TOKEN, text)
                self.assertNotIn("pass_word", text)
        return answers

    def good(self, *words, **options):
        answers = self.ask(*words, **options)
        for answer in answers:
            self.assertEqual((answer["status"], answer["retries"]), ("OK", 0), answer)
        self.assertNotIn("log: 2", self.log)
        return answers

    def bad(self, status, *words, **options):
        """One request that fails so, and says what to do."""
        answer, = self.ask(*words, **options)
        self.assertEqual(answer["status"], f"ERROR_{status}", answer)
        self.assertGreater(len(answer["error"]["hint"]), 10, answer)
        return answer


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class Versions(Case):
    """HTTP/1.1 and 2, and connections that are used again."""

    def test_http2_is_agreed_on(self):
        answers = self.good(*[self.at("tls", "/small.json")] * 3)
        self.assertEqual([one["text"] for one in answers], ['{"a": 1}'] * 3)
        seen = self.nginx.seen(3)
        self.assertEqual({one["protocol"] for one in seen}, {"HTTP/2.0"})
        self.assertEqual({one["connection"] for one in seen}, {seen[0]["connection"]})

    def test_many_at_once_share_one_connection(self):
        answers = self.good("--together", *[self.at("tls", "/large.bin")] * 8, *[self.at("tls", "/small.json")] * 24)
        self.assertEqual({one["sha256"] for one in answers}, {sha256(WORLD.large), sha256(b'{"a": 1}')})
        seen = self.nginx.seen(32)
        self.assertEqual((len(seen), len({one["connection"] for one in seen})), (32, 1))
        self.assertEqual({one["protocol"] for one in seen}, {"HTTP/2.0"})

    def test_one_of_many_is_given_up(self):
        answers = self.ask("--together", "--cancel-after", 300, self.at("tls", "/slow/large.bin"), *[self.at("tls", "/slow/some.bin")] * 3)
        self.assertEqual([one["status"] for one in answers], ["ERROR_CANCELLED", "OK", "OK", "OK"])
        self.assertEqual({one["sha256"] for one in answers[1:]}, {sha256(WORLD.large[:131072])})
        seen = self.nginx.seen(4)
        self.assertEqual(len({one["connection"] for one in seen}), 1)
        # nginx hears of it and stops sending, before the others are done.
        self.assertTrue(seen[0]["path"].endswith("large.bin") and seen[0]["sent"] < len(WORLD.large) // 2, seen)

    def test_a_reader_without_time_holds_up_nobody_else(self):
        answers = self.good("--stream", "--together", "--hold", 1500, *[self.at("tls", "/large.bin")] * 3)
        self.assertEqual({one["sha256"] for one in answers}, {sha256(WORLD.large)})
        self.assertEqual(len({one["connection"] for one in self.nginx.seen(3)}), 1)
        self.assertEqual([one["last_ms"] >= 1500 for one in answers], [True, False, False])

    def test_a_server_that_closes_after_a_few(self):
        """nginx says goodbye (GOAWAY) after four streams of a connection, whatever is under way."""
        answers = self.ask("--together", *[self.at("few", "/some.bin")] * 24)
        self.assertEqual({(one["status"], one["sha256"]) for one in answers}, {("OK", sha256(WORLD.large[:131072]))})

    def test_http1_over_tls(self):
        self.good(*[self.at("tls1", "/small.json")] * 3)
        seen = self.nginx.seen(3)
        self.assertEqual([(one["protocol"], one["nth"]) for one in seen], [("HTTP/1.1", 1), ("HTTP/1.1", 2), ("HTTP/1.1", 3)])

    def test_http1_is_kept_alive(self):
        self.good(*[self.at("first", "/small.json")] * 4, self.at("first", "/small.json", host="127.0.0.2"))
        seen = self.nginx.seen(5)
        self.assertEqual([one["nth"] for one in seen], [1, 2, 3, 4, 1])
        self.assertEqual({one["protocol"] for one in seen}, {"HTTP/1.1"})

    def test_an_error_does_not_end_the_connection(self):
        answers = self.ask(self.at("first", "/missing"), self.at("first", "/small.json"))
        self.assertEqual([one["status"] for one in answers], ["ERROR_NOT_FOUND", "OK"])
        self.assertEqual([one["nth"] for one in self.nginx.seen(2)], [1, 2])

    def test_connections_at_once_are_bounded(self):
        self.good("--together", *[self.at("first", "/slow/some.bin")] * 6, settings={"transport.connections": 3})
        self.assertLessEqual(len({one["connection"] for one in self.nginx.seen(6)}), 3)

    def test_a_server_without_keep_alive(self):
        self.good(*[self.at("short", "/small.json")] * 3)
        self.assertEqual([one["nth"] for one in self.nginx.seen(3)], [1, 1, 1])

    def test_a_connection_that_was_closed_meanwhile(self):
        self.good("--pause", 1600, *[self.at("brief", "/small.json")] * 2)
        self.assertEqual([one["nth"] for one in self.nginx.seen(2)], [1, 1])

    def test_a_connection_that_is_closed_as_it_is_used(self):
        """The server closed just as we asked: that is no failure, and it is asked anew over another connection."""
        answers = self.good(*[self.at("first", "/gone/small.json")] * 2)
        self.assertEqual([one["text"] for one in answers], ['{"a": 1}'] * 2)
        self.assertEqual([(one["nth"], one["status"]) for one in self.nginx.seen(3)], [(1, 200), (2, 444), (1, 200)])

    def test_a_server_that_never_answers_anything(self):
        answer = self.bad("NETWORK", self.at("first", "/never/"), settings={"transport.retries": 2})
        self.assertEqual(answer["retries"], 2)


class Content(Case):
    """What arrives is what lies there."""

    def test_ranges(self):
        for first, last in ((0, 0), (5, 9), (1000000, 2000000), (len(WORLD.large) - 1, len(WORLD.large) + 10)):
            answer, = self.good("--range", f"{first}-{last}", self.at("tls", "/large.bin"))
            self.assertEqual((answer["http"], answer["sha256"]), (206, sha256(WORLD.large[first:last + 1])))
            self.assertTrue(answer["headers"]["content-range"].startswith(f"bytes {first}-"))
        answer, = self.ask("--range", f"{len(WORLD.large)}-", self.at("tls", "/large.bin"))
        self.assertEqual((answer["http"], answer["status"]), (416, "ERROR_ARGUMENT"))

    def test_pieces_of_one_file_at_once(self):
        answers = self.good("--together", "--stream", *[self.at("first", "/large.bin"), self.at("tls", "/large.bin")] * 3)
        self.assertEqual({one["sha256"] for one in answers}, {sha256(WORLD.large)})
        self.assertTrue(all(one["pieces"] > 10 for one in answers))

    def test_gzip_where_it_is_wanted(self):
        answer, = self.good("--decode", self.at("first", "/gzip/list.json"))
        self.assertEqual((answer["sha256"], answer["headers"]["content-encoding"]), (sha256(WORLD.listing), "gzip"))
        seen, = self.nginx.seen(1)
        self.assertLess(seen["sent"], len(WORLD.listing) // 2)
        self.assertIn("gzip", seen["encoding"])

    def test_no_gzip_where_bytes_count(self):
        answer, = self.good("--stream", self.at("first", "/gzip/list.json"))
        self.assertEqual((answer["sha256"], answer["headers"].get("content-encoding")), (sha256(WORLD.listing), None))
        self.assertEqual(self.nginx.seen(1)[0]["encoding"], "identity")

    def test_head(self):
        answer, = self.good("--method", "HEAD", self.at("tls", "/large.bin"))
        self.assertEqual((answer["bytes"], answer["headers"]["content-length"]), (0, str(len(WORLD.large))))


class Uploads(Case):
    """Bodies that are sent while they are read."""

    def setUp(self):
        super().setUp()
        if not WORLD.takes_uploads:
            self.skipTest("nginx was built without http_dav_module")
        self.source = os.path.join(WORLD.files, "large.bin")

    def test_what_arrives(self):
        for number, (server, more) in enumerate((("first", []), ("tls", []), ("first", ["--chunked"]), ("tls", ["--chunked"]))):
            with self.subTest(server=server, more=more):
                answer, = self.good("--method", "PUT", "--upload", self.source, *more, self.at(server, f"/put/{number}.bin"))
                self.assertEqual((answer["http"], hubtest.read(os.path.join(WORLD.files, "put", f"{number}.bin"))), (201, WORLD.large))

    def test_many_at_once(self):
        addresses = [self.at("tls", f"/put/many-{number}.bin") for number in range(6)]
        self.good("--method", "PUT", "--upload", self.source, "--together", *addresses)
        for number in range(6):
            self.assertEqual(hubtest.read(os.path.join(WORLD.files, "put", f"many-{number}.bin")), WORLD.large)
        self.assertEqual(len({one["connection"] for one in self.nginx.seen(6)}), 1)

    def test_what_may_not_be_done_twice(self):
        """The line is cut before any answer: nobody knows whether it was heard, so it is not sent again, and that is told."""
        address = self.at("first", "/once/x")
        first, second = self.ask("--method", "PUT", "--body", "once", address, address)
        self.assertEqual((first["status"], second["status"], second["retries"]), ("OK", "ERROR_NETWORK", 0), second)
        self.assertEqual([(one["nth"], one["status"]) for one in self.nginx.seen(2)], [(1, 201), (2, 444)])

    def test_a_server_that_has_heard_enough(self):
        """The answer comes while the body is still sent: it is that answer that is told, and not a line that was cut."""
        for server in ("first", "tls"):
            with self.subTest(server=server):
                answer = self.ask("--method", "PUT", "--upload", self.source, self.at(server, "/little/x"))[0]
                self.assertEqual((answer["status"], answer["http"]), ("ERROR_ARGUMENT", 413), answer)


class Trust(Case):
    """Who is believed, and what is said where nobody is."""

    def test_an_authority_of_ones_own(self):
        for options in ({"settings": {"transport.ca_file": WORLD.authority.file}}, {"SSL_CERT_FILE": WORLD.authority.file},
                        {"REQUESTS_CA_BUNDLE": WORLD.authority.file}, {"settings": {"transport.ca_folder": WORLD.authority.folder}},
                        {"SSL_CERT_DIR": WORLD.authority.folder}):
            with self.subTest(**options):
                self.good(self.at("tls", "/small.json"), trust=False, **options)

    def test_by_name(self):
        self.good(self.at("tls", "/small.json", host="localhost"))

    def test_nobody_else_is_trusted_then(self):
        answer = self.bad("TLS", self.at("stranger", "/"))
        self.assertIn("transport.ca_file", answer["error"]["hint"])

    def test_unknown_authority(self):
        answer = self.bad("TLS", self.at("tls", "/small.json"), trust=False)
        self.assertIn("no trusted connection", answer["error"]["message"])
        self.assertIn("transport.ca_file (SSL_CERT_FILE)", answer["error"]["hint"])
        self.assertEqual(answer["retries"], 0)

    def test_expired(self):
        self.assertIn("renew its certificate", self.bad("TLS", self.at("expired", "/"))["error"]["hint"])

    def test_for_another_host(self):
        self.assertIn("for another name", self.bad("TLS", self.at("elsewhere", "/"))["error"]["hint"])

    def test_too_old(self):
        self.assertIn("TLS 1.1", self.bad("TLS", self.at("old", "/"))["error"]["hint"])

    def test_no_tls_at_all(self):
        self.assertIn("http://", self.bad("TLS", self.at("first", "/", scheme="https"))["error"]["hint"])

    def test_a_line_that_is_cut_while_tls_is_agreed_on(self):
        """That is no matter of trust: it is repeated."""
        for reset in (False, True):
            with self.subTest(reset=reset), socket.create_server(("127.0.0.1", 0)) as listener:
                def hang_up():
                    for _ in range(3):
                        line, _ = listener.accept()
                        line.recv(1)
                        if reset:
                            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        else:
                            line.recv(65536)
                        line.close()

                thread = threading.Thread(target=hang_up)
                thread.start()
                answer = self.bad("NETWORK", f"https://127.0.0.1:{listener.getsockname()[1]}/", settings={"transport.retries": 2})
                thread.join()
                self.assertIn("the line was cut", answer["error"]["message"])
                self.assertEqual(answer["retries"], 2)

    def test_an_authority_that_is_not_there(self):
        answer = self.bad("TLS", self.at("tls", "/"), settings={"transport.ca_file": "/no/such/file"})
        self.assertIn("transport.ca_file", answer["error"]["hint"])

    def test_versions(self):
        self.good(self.at("tls", "/small.json"), self.at("tls13", "/small.json"))
        self.assertTrue({one["tls"] for one in self.nginx.seen(2)} <= {"TLSv1.2", "TLSv1.3"})

    def test_on_every_hop(self):
        answer, = self.good(self.at("tls", "/to/?to=" + self.at("tls1", "/small.json")))
        self.assertEqual(answer["text"], '{"a": 1}')
        answer = self.bad("TLS", self.at("tls", "/to/?to=" + self.at("stranger", "/")))
        self.assertIn(f":{self.ports['stranger']}/", answer["error"]["message"])


class Redirects(Case):
    """The token stays with the origin it was given for."""

    def after(self, first, to):
        """What arrived as Authorization behind a redirect."""
        answer, = self.good("--bearer", TOKEN, first + "/to/?to=" + to)
        return answer["text"]

    def test_the_token_stays_at_home(self):
        plain, secure = self.at("first", ""), self.at("tls", "")
        rows = [(plain, "/token", True), (plain, self.at("first", "/token"), True), (secure, self.at("tls", "/token"), True),
                (plain, self.at("other", "/token"), False), (plain, self.at("first", "/token", host="127.0.0.2"), False),
                (plain, self.at("first", "/token", host="localhost"), False), (plain, self.at("tls", "/token"), False),
                (secure, self.at("tls", "/token", host="127.0.0.2"), False)]
        for first, to, stays in rows:
            with self.subTest(first=first, to=to):
                self.assertEqual(self.after(first, to), f"Bearer {TOKEN}" if stays else "")

    def test_there_and_back(self):
        there = self.at("first", "/to/?to=" + self.at("first", "/token"), host="127.0.0.2")
        self.assertEqual(self.after(self.at("first", ""), there), f"Bearer {TOKEN}")
        self.assertEqual([one["authorization"] for one in self.nginx.seen(3)], [f"Bearer {TOKEN}", "", f"Bearer {TOKEN}"])

    def test_a_password_in_the_address(self):
        """It stays at home, too."""
        first = self.at("first", "/to/?to=").replace("//", "//me:pass_word@")
        for to, sent in (("/token", "Basic "), (self.at("other", "/token"), ""), (self.at("first", "/token", host="127.0.0.2"), "")):
            with self.subTest(to=to):
                answer, = self.good(first + to)
                self.assertEqual(answer["text"][:6], sent)

    def test_from_https_to_http(self):
        self.bad("TLS", "--bearer", TOKEN, self.at("tls", "/to/?to=" + self.at("first", "/token")))
        self.assertEqual(len(self.nginx.seen(1)), 1)

    def test_see_other(self):
        answer, = self.good("--method", "POST", "--body", "{}", self.at("first", "/see-other/?to=/small.json"))
        self.assertEqual(answer["text"], '{"a": 1}')
        self.assertEqual([one["method"] for one in self.nginx.seen(2)], ["POST", "GET"])


class Clocks(Case):
    """Connecting, silence, and the whole."""

    def late(self, setting, least, *words, **options):
        answer = self.bad("TIMEOUT", *words, **options)
        self.assertIn(setting, answer["error"]["hint"])
        self.assertTrue(least <= answer["ms"] < least + 5000, answer)
        return answer

    def test_connecting(self):
        address = f"https://127.0.0.1:{WORLD.silence.getsockname()[1]}/"
        answer = self.late("transport.connect_ms", 300, address, settings={"transport.connect_ms": 300, "transport.retries": 0})
        self.assertIn("did not stand for 300 ms", answer["error"]["message"])

    def test_silence(self):
        self.late("transport.idle_ms", 300, self.at("first", "/silent/"), settings={"transport.idle_ms": 300, "transport.retries": 0})

    def test_silence_is_repeated(self):
        answer = self.late("transport.idle_ms", 450, self.at("first", "/silent/"), settings={"transport.idle_ms": 150, "transport.retries": 2})
        self.assertEqual(answer["retries"], 2)

    def test_the_whole(self):
        self.late("transport.total_ms", 500, self.at("tls", "/slow/large.bin"), settings={"transport.total_ms": 500})

    def test_giving_up_waits_for_nobody(self):
        silent = f"127.0.0.1:{WORLD.silence.getsockname()[1]}"
        rows = [("TLS is agreed on", f"https://{silent}/", {}), ("a proxy opens a tunnel", self.at("tls", "/small.json", host="127.0.0.2"), {"ALL_PROXY": silent}),
                ("the server thinks", self.at("first", "/silent/"), {}), ("bytes come", self.at("tls", "/slow/large.bin"), {}),
                ("it pauses before it repeats", self.at("first", "/never/"), {"settings": {"transport.backoff_ms": 60000}})]
        for moment, address, options in rows:
            with self.subTest(moment):
                answer, = self.ask("--cancel-after", 200, address, **options)
                self.assertEqual(answer["status"], "ERROR_CANCELLED")
                self.assertLess(answer["cancel_ms"], 100)

    def test_a_stream_has_all_the_time(self):
        answer, = self.good("--stream", self.at("tls", "/slow/some.bin"), settings={"transport.total_ms": 500})
        self.assertGreater(answer["ms"], 500)


class Proxies(Case):
    """By way of tinyproxy, or around it."""

    @classmethod
    def setUpClass(cls):
        cls.proxy = servers.Tinyproxy(WORLD.folder)
        cls.addClassCleanup(cls.proxy.stop)
        cls.guarded = servers.Tinyproxy(WORLD.folder, "guarded", ["BasicAuth somebody pass_word"])
        cls.addClassCleanup(cls.guarded.stop)
        cls.narrow = servers.Tinyproxy(WORLD.folder, "narrow", ["ConnectPort 443"])
        cls.addClassCleanup(cls.narrow.stop)

    def setUp(self):
        super().setUp()
        for one in (self.proxy, self.guarded, self.narrow):
            one.forget()
        self.address = f"127.0.0.1:{self.proxy.port}"
        self.plain, self.secure = self.at("first", "/small.json", host="127.0.0.2"), self.at("tls", "/small.json", host="127.0.0.2")

    def came_by(self, count=1):
        """Whether each request came by way of the proxy."""
        return [one["from"] == self.proxy.ADDRESS for one in self.nginx.seen(count)]

    def test_settings(self):
        self.good(self.plain, settings={"transport.http_proxy": self.address})
        self.good(self.secure, settings={"transport.https_proxy": f"http://{self.address}"})
        self.assertEqual(self.came_by(2), [True, True])
        self.assertEqual(self.proxy.asked(), [f"GET {self.plain}", f"CONNECT 127.0.0.2:{self.ports['tls']}"])
        self.assertEqual([one["protocol"] for one in self.nginx.seen(2)], ["HTTP/1.1", "HTTP/2.0"])

    def test_variables(self):
        address = f"http://{self.address}"
        rows = [("http_proxy", self.plain, True), ("HTTP_PROXY", self.plain, False), ("HTTPS_PROXY", self.plain, False),
                ("HTTPS_PROXY", self.secure, True), ("https_proxy", self.secure, True), ("http_proxy", self.secure, False),
                ("ALL_PROXY", self.plain, True), ("all_proxy", self.secure, True)]
        for variable, url, by_proxy in rows:
            with self.subTest(variable=variable, url=url):
                self.nginx.forget()
                self.good(url, **{variable: address})
                self.assertEqual(self.came_by(), [by_proxy])

    def test_around_it(self):
        every = {"ALL_PROXY": f"http://{self.address}"}
        rows = [({"NO_PROXY": "127.0.0.2"}, self.secure), ({"NO_PROXY": "example.org, 127.0.0.0/8"}, self.plain), ({"no_proxy": "*"}, self.plain),
                ({"settings": {"transport.no_proxy": "127.0.0.2"}}, self.secure), ({"settings": {"transport.https_proxy": ""}}, self.secure),
                ({}, self.at("first", "/small.json")), ({}, self.at("tls", "/small.json", host="localhost"))]
        for options, url in rows:
            with self.subTest(url=url, **options):
                self.nginx.forget()
                self.good(url, **every, **options)
                self.assertEqual(self.came_by(), [False])
        self.good(self.plain, NO_PROXY="127.0.0.1,27.0.0.2,.0.2", **every)
        self.assertEqual(len(self.proxy.asked()), 1)

    def test_one_tunnel_for_many(self):
        self.good("--together", *[self.secure] * 8, HTTPS_PROXY=self.address)
        self.assertEqual(len(self.proxy.asked()), 1)
        self.assertEqual(len({one["connection"] for one in self.nginx.seen(8)}), 1)

    def test_on_every_hop(self):
        for first, last in ((self.at("tls", "", host="127.0.0.2"), self.at("few", "/small.json", host="127.0.0.1")), (self.at("first", "", host="127.0.0.2"), self.secure)):
            self.nginx.forget()
            self.proxy.forget()
            self.good(f"{first}/to/?to={last}", ALL_PROXY=self.address)
            self.assertEqual(self.came_by(2), [True, "127.0.0.1" not in last])
            self.assertEqual(len(self.proxy.asked()), 2 if "127.0.0.1" not in last else 1)

    def test_name_and_password(self):
        port = self.guarded.port
        self.good(self.plain, self.secure, ALL_PROXY=f"http://somebody:pass_word@127.0.0.1:{port}")
        self.assertEqual([one["from"] for one in self.nginx.seen(2)], [self.guarded.ADDRESS] * 2)
        self.assertEqual({one["proxy_authorization"] for one in self.nginx.seen(2)}, {""})
        # To a wrong password tinyproxy says 401 and not 407; where it stands in for the server nobody can tell which of the two spoke.
        wrong = "somebody:wrong_pass_word@"
        for url, user, status in ((self.plain, "", "NETWORK"), (self.secure, "", "NETWORK"), (self.secure, wrong, "NETWORK"), (self.plain, wrong, "UNAUTHORIZED")):
            with self.subTest(url=url, user=user):
                self.nginx.forget()
                answer = self.bad(status, url, ALL_PROXY=f"http://{user}127.0.0.1:{port}")
                self.assertIn("name and a password", answer["error"]["hint"])
                self.assertEqual((answer["retries"], self.nginx.seen()), (0, []))

    def test_it_refuses(self):
        answer = self.bad("NETWORK", self.secure, ALL_PROXY=f"http://127.0.0.1:{self.narrow.port}")
        self.assertIn("the proxy refuses", answer["error"]["message"])
        self.assertIn(f"127.0.0.1:{self.narrow.port}", answer["error"]["message"])
        self.assertIn("transport.no_proxy", answer["error"]["hint"])

    def test_it_is_down(self):
        port, = servers.free_ports(1)
        for url in (self.plain, self.secure):
            answer = self.bad("NETWORK", url, ALL_PROXY=f"http://me:pass_word@127.0.0.1:{port}")
            self.assertIn(f"the proxy http://127.0.0.1:{port}", answer["error"]["message"])
            self.assertIn("transport.https_proxy", answer["error"]["hint"])

    def test_it_has_no_name(self):
        answer = self.bad("NETWORK", self.secure, ALL_PROXY="http://no-such-proxy.invalid:3128")
        self.assertIn("the proxy http://no-such-proxy.invalid:3128", answer["error"]["message"])

    def test_the_server_behind_it_is_down(self):
        port, = servers.free_ports(1)
        answer = self.bad("NETWORK", f"https://127.0.0.2:{port}/", ALL_PROXY=self.address)
        self.assertIn(f"127.0.0.2:{port}", answer["error"]["message"])

    def test_it_is_silent(self):
        port = WORLD.silence.getsockname()[1]
        answer = self.bad("TIMEOUT", self.secure, ALL_PROXY=f"http://127.0.0.1:{port}", settings={"transport.connect_ms": 300, "transport.retries": 0})
        self.assertIn(f"the proxy http://127.0.0.1:{port}", answer["error"]["message"])

    def test_an_untrusted_server_behind_it(self):
        answer = self.bad("TLS", self.secure, trust=False, ALL_PROXY=self.address)
        self.assertIn("transport.ca_file", answer["error"]["hint"])

    def test_it_never_sees_the_token(self):
        """What is said to a proxy before the tunnel stands."""
        heard = []
        with socket.create_server(("127.0.0.1", 0)) as listener:
            def listen():
                line, _ = listener.accept()
                with line:
                    heard.append(line.recv(65536))

            thread = threading.Thread(target=listen)
            thread.start()
            self.bad("NETWORK", "--bearer", TOKEN, "--header", "X-Mine: 1", self.secure, settings={"transport.retries": 0},
                     HTTPS_PROXY=f"http://127.0.0.1:{listener.getsockname()[1]}")
            thread.join()
        self.assertTrue(heard[0].startswith(b"CONNECT 127.0.0.2:"))
        self.assertNotIn(TOKEN.encode(), heard[0])
        self.assertNotIn(b"X-Mine", heard[0])


class Hub(hubtest.HubTest):
    """The hub behind nginx, and its large files on another one: downloads as they are in the world."""

    LARGE = 6 * MIB + 123

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.large = cls.hub.put_repository(repositories.large_file(cls.LARGE))["files"]["model.bin"]
        cls.hub.put_repository(repositories.many_files(60))
        blobs = os.path.join(cls.scratch, "blobs")
        os.mkdir(blobs)
        with cls.hub._opener.open(f"{cls.hub.url}/acme/large/resolve/main/model.bin") as answer:
            hubtest.write(os.path.join(blobs, cls.large["etag"]), answer.read())
        values = {"certificates": WORLD.certificates, "hub": cls.hub.url, "simulated_cdn": cls.hub.facts["cdn"], "blobs": blobs}
        cls.nginx = servers.Nginx(cls.scratch, fill(HUB, rate="", **values))
        cls.addClassCleanup(cls.nginx.stop)
        folder = os.path.join(cls.scratch, "slow")
        os.mkdir(folder)
        cls.slow = servers.Nginx(folder, fill(HUB, rate="limit_rate 1m;", **values))
        cls.addClassCleanup(cls.slow.stop)
        cls.proxy = servers.Tinyproxy(cls.scratch)
        cls.addClassCleanup(cls.proxy.stop)

    def setUp(self):
        super().setUp()
        for one in (self.nginx, self.slow, self.proxy):
            one.forget()
        self.settings = {"transport.ca_file": WORLD.authority.file, "hub.part_bytes": MIB, "hub.parts": 4}

    def at(self, nginx, server="first", host="127.0.0.1"):
        return f"https://{host}:{nginx.ports[server]}"

    def fetch(self, nginx, **options):
        outcome = self.good("download", "acme/large", "model.bin", "--token", "hf_good",
                            **{"hub": self.at(nginx), "settings": self.settings, **options})
        self.assert_is(outcome.text, self.large)
        self.assert_sound()
        return outcome

    def test_parts(self):
        """What the hub is asked shares one connection; each part that is on its way from the CDN has its own."""
        self.fetch(self.slow)
        cdn = self.slow.seen(7, port=self.slow.ports["cdn"])
        hub = self.slow.seen(port=self.slow.ports["first"])
        self.assertEqual(len(cdn), 7)
        self.assertTrue(all(one["range"] and one["status"] == 206 for one in cdn))
        self.assertEqual(({one["protocol"] for one in hub}, {one["protocol"] for one in cdn}), ({"HTTP/2.0"}, {"HTTP/1.1"}))
        self.assertEqual((len({one["connection"] for one in hub}), len({one["connection"] for one in cdn})), (1, 4))
        self.assertEqual(({one["authorization"] for one in hub}, {one["authorization"] for one in cdn}), ({"Bearer hf_good"}, {""}))

    def test_one_part_over_http2(self):
        self.fetch(self.nginx, settings={**self.settings, "hub.part_bytes": 64 * MIB})
        self.assertEqual({one["protocol"] for one in self.nginx.seen()}, {"HTTP/2.0"})

    def test_many_small_files_over_one_connection(self):
        self.good("snapshot", "acme/many", hub=self.at(self.nginx), settings=self.settings)
        seen = self.nginx.seen(61)
        self.assertGreater(len(seen), 60)
        self.assertEqual(len({one["connection"] for one in seen}), 1)

    def test_by_way_of_a_proxy(self):
        self.fetch(self.nginx, hub=self.at(self.nginx, host="127.0.0.2"), environment={"HTTPS_PROXY": f"http://127.0.0.1:{self.proxy.port}"})
        self.assertEqual({one["from"] for one in self.nginx.seen(8)}, {self.proxy.ADDRESS})
        self.assertEqual(sorted(set(self.proxy.asked())), sorted(f"CONNECT 127.0.0.2:{self.nginx.ports[name]}" for name in ("first", "cdn")))

    def test_an_authority_that_the_cdn_does_not_have(self):
        outcome = self.bad("TLS", "download", "acme/large", "model.bin", hub=self.at(self.nginx, "strange"), settings=self.settings)
        self.assertIn(f":{self.nginx.ports['strange_cdn']}/", outcome.error["message"])
        self.assertIn("transport.ca_file", outcome.error["hint"])

    def test_nginx_starts_anew_in_the_middle(self):
        running = self.start("download", "acme/large", "model.bin", hub=self.at(self.slow),
                             settings={**self.settings, "hub.part_bytes": 512 * 1024, "transport.backoff_ms": 50})
        hubtest.wait_for_durable(self, MIB)
        self.slow.stop()
        durable = hubtest.durable_bytes(self.cache)
        self.slow.start()
        outcome = running.wait()
        self.assertEqual(outcome.status, "OK", str(outcome))
        self.assert_is(outcome.text, self.large)
        sent = sum(one["sent"] for one in self.slow.seen(port=self.slow.ports["cdn"]))
        self.assertLess(sent, self.LARGE + (self.LARGE - durable))

    def test_a_killed_download_goes_on_over_another_protocol(self):
        running = self.start("download", "acme/large", "model.bin", hub=self.at(self.slow), settings={**self.settings, "hub.part_bytes": 512 * 1024})
        hubtest.wait_for_durable(self, MIB)
        running.kill()
        durable = hubtest.durable_bytes(self.cache)
        self.fetch(self.nginx)
        sent = sum(one["sent"] for one in self.nginx.seen(port=self.nginx.ports["cdn"]))
        self.assertEqual(sent, self.LARGE - durable)


if __name__ == "__main__":
    suite.main()
