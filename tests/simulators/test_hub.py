"""The hub simulator seen from the wire: its faults, its strictness, its ids. What it serves is judged in ../interop."""

import gzip
import hashlib
import http.client
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))

import repositories
import suite
from simulator import Simulator

TEXT = "0123456789" * 10
FILE = "/acme/plain/resolve/main/text.txt"
TREE = "/api/models/acme/plain/tree/main"


class Reply:
    def __init__(self, answer, body, error):
        self.status, self.headers, self.body, self.error = answer.status, answer.headers, body, error

    @property
    def json(self):
        return json.loads(self.body)


def connect(url):
    parts = urllib.parse.urlsplit(url)
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)


def exchange(connection, method, target, headers=None, body=None):
    """One request; what arrived of the body, and the error that ended it."""
    connection.request(method, target, body, {"User-Agent": "test/1", **(headers or {})})
    answer = connection.getresponse()
    try:
        return Reply(answer, answer.read(), None)
    except http.client.IncompleteRead as error:
        return Reply(answer, error.partial, error)
    except OSError as error:
        return Reply(answer, b"", error)


class Served(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.hub = Simulator("hub")
        cls.addClassCleanup(cls.hub.stop)
        cls.plain = cls.hub.put_repository({"id": "acme/plain", "files": {"text.txt": TEXT, "folder/other.txt": "other"}})

    def setUp(self):
        self.hub.clear()
        self.hub.settings()

    def ask(self, target=FILE, method="GET", origin="url", headers=None, body=None):
        connection = connect(self.hub.facts[origin])
        try:
            return exchange(connection, method, target, headers, body)
        finally:
            connection.close()

    def rules(self):
        return [one["rule"] for one in self.hub.violations()]


class Faults(Served):
    def spoil(self, **fault):
        self.hub.clear_faults()
        self.hub.faults(fault)

    def test_which_requests_are_met(self):
        self.hub.faults({"path": "text", "method": "GET", "after": 1, "times": 2, "status": 500})
        self.assertEqual([self.ask().status for _ in range(4)], [200, 500, 500, 200])
        self.assertEqual(self.ask(TREE).status, 200)
        (fault,) = self.hub.control("GET", "faults")
        self.assertEqual((fault["matched"], fault["fired"]), (4, 2))
        self.spoil(range=True, status=500)
        self.assertEqual([self.ask().status, self.ask(headers={"Range": "bytes=0-1"}).status], [200, 500])
        self.spoil(query="recursive", status=500)
        self.assertEqual([self.ask(TREE).status, self.ask(TREE + "?recursive=true").status], [200, 500])

    def test_unknown_fault(self):
        for fault in ({"staus": 500}, {"path": "x"}, {"path": "(", "status": 500}, {"cut": {"afer": 1}}, {"headers": {}}):
            with self.subTest(fault=fault), self.assertRaisesRegex(RuntimeError, "400"):
                self.hub.faults(fault)

    def test_status(self):
        self.spoil(status=429, headers={"Retry-After": "7"}, body="slower")
        reply = self.ask()
        self.assertEqual((reply.status, reply.headers["Retry-After"], reply.body), (429, "7", b"slower"))
        self.assertRegex(reply.headers["RateLimit"], r'^"resolvers";r=\d+;t=300$')
        self.spoil(status=429, headers={"RateLimit": '"resolvers";r=0;t=9'})
        self.assertEqual(self.ask().headers["RateLimit"], '"resolvers";r=0;t=9')

    def test_effects_add_up(self):
        self.hub.faults({"add_headers": {"X-One": "1"}}, {"drop_headers": ["ETag"]}, {"add_headers": {"X-One": "2"}})
        reply = self.ask()
        self.assertEqual((reply.headers["X-One"], reply.headers["ETag"], reply.headers["X-Repo-Commit"]),
                         ("2", None, self.plain["sha"]))

    def test_cut(self):
        self.spoil(cut={"after": 30})
        reply = self.ask()
        self.assertEqual(reply.body, TEXT[:30].encode())
        self.assertIsInstance(reply.error, http.client.IncompleteRead)
        self.spoil(cut={"at": 30})
        self.assertEqual(self.ask(headers={"Range": "bytes=25-50"}).body, TEXT[25:30].encode())
        self.assertEqual(self.ask(headers={"Range": "bytes=40-50"}).body, TEXT[40:51].encode())

    def test_reset(self):
        self.spoil(cut={"after": 30, "reset": True})
        try:
            error = self.ask().error
        except ConnectionResetError as early:  # before the head was read
            error = early
        self.assertIsInstance(error, ConnectionResetError)

    def test_stall(self):
        self.spoil(stall={"after": 30})
        replies = []
        asking = threading.Thread(target=lambda: replies.append(self.ask()))
        asking.start()
        self.hub.wait(stalled=1)
        self.assertEqual(self.hub.requests()[0]["sent"], 30)
        self.assertEqual(replies, [])
        self.hub.clear_faults()
        asking.join()
        self.assertEqual(replies[0].body, TEXT.encode())

    def test_stall_of_the_head_ends_when_the_client_leaves(self):
        self.spoil(stall_headers=True)
        connection = connect(self.hub.url)
        connection.request("GET", FILE, headers={"User-Agent": "test/1"})
        self.hub.wait(stalled=1)
        connection.close()
        self.hub.wait(finished=1)
        self.assertEqual(self.hub.requests()[0]["sent"], 0)

    def test_slow(self):
        self.spoil(slow=2000)
        self.assertEqual(self.ask().body, TEXT.encode())

    def test_length(self):
        self.spoil(length=5)
        reply = self.ask()
        self.assertEqual((reply.headers["Content-Length"], reply.body), ("105", TEXT.encode()))
        self.assertIsInstance(reply.error, http.client.IncompleteRead)
        self.spoil(length=-5)
        self.assertEqual(self.ask().body, TEXT[:-5].encode())
        self.spoil(length="absent")
        reply = self.ask()
        self.assertEqual((reply.headers["Content-Length"], reply.headers["Transfer-Encoding"]), (None, None))
        self.assertEqual(reply.body, TEXT.encode())
        self.spoil(length="chunked")
        reply = self.ask()
        self.assertEqual((reply.headers["Transfer-Encoding"], reply.body), ("chunked", TEXT.encode()))

    def test_ranges(self):
        wanted = {"Range": "bytes=10-19"}
        self.spoil(ignore_range=True)
        self.assertEqual((self.ask(headers=wanted).status, self.ask(headers=wanted).body), (200, TEXT.encode()))
        self.spoil(wrong_range={"shift": 3})
        self.assertEqual(self.ask(headers=wanted).headers["Content-Range"], "bytes 13-22/100")
        self.spoil(wrong_range={"total": 7})
        self.assertEqual(self.ask(headers=wanted).headers["Content-Range"], "bytes 10-19/7")

    def test_etag(self):
        self.spoil(etag="abc")
        self.assertEqual(self.ask().headers["ETag"], '"abc"')
        self.spoil(etag={"changing": True})
        first, second = self.ask().headers["ETag"], self.ask().headers["ETag"]
        self.assertNotEqual(first, second)
        self.assertRegex(first, '^"[0-9a-f]{40}"$')

    def test_content(self):
        self.spoil(corrupt=[0, 99])
        body = self.ask().body
        self.assertEqual((body[0] ^ 0xFF, body[1:99], body[99] ^ 0xFF), (ord("0"), TEXT[1:99].encode(), ord("9")))
        self.spoil(other_content={"seed": "x"})
        body = self.ask().body
        self.assertEqual(len(body), 100)
        self.assertNotEqual(body, TEXT.encode())
        self.spoil(other_content={"text": "short"})
        self.assertEqual(self.ask().body, b"short")
        self.spoil(gzip=True)
        reply = self.ask()
        self.assertEqual((reply.headers["Content-Encoding"], gzip.decompress(reply.body)), ("gzip", TEXT.encode()))
        self.spoil(html=True)
        reply = self.ask()
        self.assertEqual((reply.status, reply.headers["Content-Type"]), (200, "text/html; charset=utf-8"))

    def test_redirects(self):
        self.spoil(redirect={"to": "http://elsewhere.example{path}?{query}", "status": 307})
        reply = self.ask(FILE + "?download=true")
        self.assertEqual((reply.status, reply.headers["Location"]), (307, f"http://elsewhere.example{FILE}?download=true"))
        self.spoil(redirect={"loop": True})
        self.assertEqual(self.ask().headers["Location"], FILE)
        self.spoil(redirect={"chain": 3})
        target, hops = FILE, 0
        while (reply := self.ask(target)).status == 302:
            target, hops = reply.headers["Location"], hops + 1
        self.assertEqual((hops, reply.body), (3, TEXT.encode()))
        self.assertEqual(self.rules(), [])

    def test_json(self):
        for form, body in (({"value": [1]}, b"[1]"), ({"text": "{"}, b"{"), ({"hex": "ff00"}, b"\xff\0"),
                           ({"deep": 3}, b"[[[]]]"), ({"huge": 2}, b'{"filler": "xx"}'), ({"keep": 1}, b"[")):
            with self.subTest(form=form):
                self.spoil(json=form)
                self.assertEqual(self.ask(TREE).body, body)
        self.spoil(json={"types": True})
        self.assertEqual(self.ask(TREE).json[0]["size"], "7")
        self.spoil(items={"size": -1})
        self.assertEqual({one["size"] for one in self.ask(TREE).json}, {-1})
        self.spoil(set={"sha": "../../etc"})
        self.assertEqual(self.ask("/api/models/acme/plain").json["sha"], "../../etc")

    def test_names(self):
        name = "../../escape.txt"
        self.spoil(names=[name])
        self.assertIn(name, [one["path"] for one in self.ask(TREE).json])
        self.assertIn({"rfilename": name}, self.ask("/api/models/acme/plain").json["siblings"])
        self.assertEqual(self.ask("/acme/plain/resolve/main/../../escape.txt").body, b"hostile\n")
        self.hub.clear_faults()
        self.assertNotIn(name, [one["path"] for one in self.ask(TREE).json])

    def test_page_loop(self):
        self.spoil(page_loop=True)
        self.assertEqual(self.ask(TREE).headers["Link"], f'<{self.hub.url}{TREE}>; rel="next"')


class Strictness(Served):
    def test_breaches(self):
        for rule, arguments in (
                ("route", {"target": "/api/models/acme/plain/nonsense/at/all"}), ("method", {"method": "POST"}),
                ("query", {"target": TREE + "?recursiv=true"}), ("query", {"target": TREE + "?recursive=True"}),
                ("encoding", {"target": "/acme/plain/resolve/refs/heads/main/text.txt"}),
                ("encoding", {"target": "/acme/plain/resolve/main/folder%2Fother.txt"}), ("encoding", {"target": FILE + "|"}),
                ("user-agent", {"headers": {"User-Agent": ""}}), ("authorization", {"headers": {"Authorization": "Basic x"}}),
                ("token", {"headers": {"Host": "localhost", "Authorization": "Bearer hf_good"}}),
                ("body", {"method": "POST", "target": "/api/models/acme/plain/paths-info/main", "body": "{}",
                          "headers": {"Content-Type": "application/json"}}),
                ("method", {"origin": "cdn", "method": "POST"}),
                ("token", {"origin": "cdn", "headers": {"Authorization": "Bearer hf_good"}})):
            with self.subTest(rule=rule, **arguments):
                self.hub.clear_violations()
                self.ask(**arguments)
                self.assertEqual(self.rules(), [rule])

    def test_the_cdn_wants_a_signature(self):
        self.hub.put_repository(repositories.private_model())
        redirect = self.ask("/acme/private/resolve/main/model.bin", headers={"Authorization": "Bearer hf_good"})
        target = redirect.headers["Location"].removeprefix(self.hub.facts["cdn"])
        self.assertEqual(self.ask(target, origin="cdn").status, 200)
        self.assertEqual(self.ask(target.partition("?")[0], origin="cdn").status, 403)
        self.assertEqual(self.ask(target.replace("Signature=", "Signature=0"), origin="cdn").status, 403)

    def test_a_foreign_signature_does_not_fit(self):
        paths = {}
        for seed in "ab":
            self.hub.put_repository(repositories.large_file(100, f"acme/{seed}", seed))
            address = self.ask(f"/acme/{seed}/resolve/main/model.bin").headers["Location"]
            paths[seed] = address.removeprefix(self.hub.facts["cdn"])
        mixed = paths["a"].partition("?")[0] + "?" + paths["b"].partition("?")[2]
        self.assertEqual(self.ask(mixed, origin="cdn").status, 403)

    def test_too_many_paths(self):
        body = json.dumps({"paths": ["x"] * 1001})
        headers = {"Content-Type": "application/json"}
        self.assertEqual(self.ask("/api/models/acme/plain/paths-info/main", "POST", headers=headers, body=body).status, 413)

    def test_no_token_is_shown(self):
        self.ask(headers={"Authorization": "Bearer hf_good"})
        self.ask(headers={"Authorization": "Bearer hf_secret"})
        self.assertEqual([one["headers"]["authorization"] for one in self.hub.requests()], ["good", "unknown"])

    def test_own_tokens(self):
        self.addCleanup(self.hub.tokens, {"hf_good": {"private": True, "gated": True}, "hf_read": {}})
        self.hub.put_repository(repositories.private_model())
        self.hub.tokens({"hf_mine": {"private": ["acme/private"]}, "hf_other": {"private": ["acme/else"]}})
        status = [self.ask("/api/models/acme/private", headers={"Authorization": f"Bearer {token}"}).status
                  for token in ("hf_mine", "hf_other", "hf_good")]
        self.assertEqual(status, [200, 404, 401])


class Files(Served):
    def test_ranges(self):
        for wanted, status, content_range, body in (
                ("bytes=0-0", 206, "bytes 0-0/100", "0"), ("bytes=95-", 206, "bytes 95-99/100", "56789"),
                ("bytes=-3", 206, "bytes 97-99/100", "789"), ("bytes=98-300", 206, "bytes 98-99/100", "89"),
                ("bytes=100-", 416, "bytes */100", ""), ("bytes=5-4", 200, None, TEXT), ("pages=1-2", 200, None, TEXT)):
            with self.subTest(wanted=wanted):
                reply = self.ask(headers={"Range": wanted})
                found = (reply.status, reply.headers["Content-Range"], reply.body.decode())
                self.assertEqual(found, (status, content_range, body))

    def test_conditions(self):
        etag = self.ask(method="HEAD").headers["ETag"]
        self.assertEqual(self.ask(headers={"If-None-Match": etag}).status, 304)
        self.assertEqual(self.ask(headers={"If-None-Match": '"other"'}).status, 200)
        self.assertEqual(self.ask(headers={"If-Range": etag, "Range": "bytes=0-1"}).status, 206)
        self.assertEqual(self.ask(headers={"If-Range": '"other"', "Range": "bytes=0-1"}).status, 200)

    def test_raw_gives_the_pointer(self):
        made = self.hub.put_repository(repositories.large_file(1000))["files"]["model.bin"]
        pointer = self.ask("/acme/large/raw/main/model.bin").body.decode()
        self.assertEqual(pointer.splitlines()[1:], [f"oid sha256:{made['etag']}", "size 1000"])

    def test_connections_are_kept(self):
        connection = connect(self.hub.url)
        for method in ("GET", "HEAD", "GET"):
            exchange(connection, method, FILE)
        connection.close()
        self.assertEqual(len({one["connection"] for one in self.hub.requests()}), 1)

    def test_counts(self):
        self.ask(headers={"Range": "bytes=0-9"})
        self.ask(headers={"Range": "bytes=50-59"})
        self.assertEqual(self.hub.counts(), [{"file": "models/acme/plain/text.txt", "intervals": [[0, 10], [50, 60]],
                                              "etag": self.plain["files"]["text.txt"]["etag"]}])

    def test_generated_content(self):
        size = (5 << 20) + 12345
        made = self.hub.put_repository(repositories.large_file(size, "acme/generated", "s"))["files"]["model.bin"]
        target = self.ask("/acme/generated/resolve/main/model.bin").headers["Location"].removeprefix(self.hub.facts["cdn"])
        whole = self.ask(target, origin="cdn").body
        self.assertEqual(hashlib.sha256(whole).hexdigest(), made["etag"])
        part = self.ask(target, origin="cdn", headers={"Range": f"bytes={(1 << 20) - 7}-{3 << 20}"}).body
        self.assertEqual(part, whole[(1 << 20) - 7:(3 << 20) + 1])

    def test_a_file_too_large_to_hash(self):
        weights = repositories.safetensors({"w": ("BF16", [1 << 20, 1 << 18])}, sha256="ab" * 32)
        made = self.hub.put_repository({"id": "acme/huge", "files": {"model.safetensors": weights}})["files"]["model.safetensors"]
        self.assertEqual(made["etag"], "ab" * 32)
        self.assertGreater(made["size"], 1 << 39)
        self.assertEqual(self.ask("/api/models/acme/huge").json["safetensors"]["total"], 1 << 38)

    def test_pushes(self):
        first = self.hub.put_repository({"id": "acme/moving", "files": {"a.txt": "1"}})["sha"]
        second = self.hub.commit("acme/moving", files={"a.txt": "2", "b.txt": "new"})
        self.assertEqual(self.ask("/acme/moving/resolve/main/a.txt").headers["X-Repo-Commit"], second)
        self.assertEqual(self.hub.move("acme/moving", commit=first), first)
        self.assertEqual(self.ask("/acme/moving/resolve/main/a.txt").body, b"1")
        self.assertEqual(self.ask(f"/acme/moving/resolve/{second}/a.txt").body, b"2")

    def test_old_bare_name(self):
        self.hub.put_repository({"id": "gpt2", "files": {"a.txt": "1"}})
        self.assertEqual(self.ask("/gpt2/resolve/main/a.txt").body, b"1")
        self.assertEqual(self.ask("/api/models/gpt2/tree/main").json[0]["path"], "a.txt")
        self.assertEqual(self.ask("/api/models/gpt2/refs").json["branches"][0]["name"], "main")

    def test_ids_are_those_of_git(self):
        if not shutil.which("git"):
            self.skipTest("git is not installed")
        made = self.hub.put_repository({"id": "acme/git", "files": {"b.txt": "b", "a/c.txt": "c", "a.b": "x", "a/d/e": ""}})
        tree = {one["path"]: one["oid"] for one in self.ask("/api/models/acme/git/tree/main?recursive=true").json}
        with tempfile.TemporaryDirectory() as folder:
            def git(*arguments, **options):
                return subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True, text=True,
                                      **options).stdout
            git("init", "--quiet")
            for path, text in (("b.txt", "b"), ("a/c.txt", "c"), ("a.b", "x"), ("a/d/e", "")):
                os.makedirs(os.path.join(folder, os.path.dirname(path)), exist_ok=True)
                with open(os.path.join(folder, path), "w", encoding="utf-8") as file:
                    file.write(text)
            git("add", ".")
            root = git("write-tree").strip()
            listed = {line.split("\t")[1]: line.split()[2] for line in git("ls-tree", "-r", "-t", root).splitlines()}
            who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in
                   (("NAME", "acme"), ("EMAIL", "acme@users.noreply.example"), ("DATE", "1704067200 +0000"))}
            commit = git("commit-tree", root, "-F", "-", input="Initial commit\n\n\n", env={**os.environ, **who}).strip()
        self.assertEqual(tree, listed)
        self.assertEqual(made["sha"], commit)


class Folder(unittest.TestCase):
    """Content from a folder, and the life of the process."""

    def write(self, path, text):
        place = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "w", encoding="utf-8") as file:
            file.write(text)

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = folder.name
        self.write("models/acme/plain/config.json", "{}")
        self.write("models/acme/plain/folder/a.txt", "a")
        self.write("datasets/acme/told/one.csv", "1")
        self.write("datasets/acme/told/.sim.json", json.dumps({
            "private": True, "commits": [{"files": {"one.csv": {"file": "one.csv"}}}, {"tag": "v2", "files": {"two.csv": "2"}}]}))

    def test_content(self):
        with Simulator("hub", root=self.root) as hub:
            made = {one["id"]: one for one in hub.control("GET", "repositories")}
        self.assertEqual(set(made["acme/plain"]["files"]), {"config.json", "folder/a.txt"})
        self.assertEqual((len(made["acme/told"]["commits"]), set(made["acme/told"]["files"])), (2, {"one.csv", "two.csv"}))

    def test_ends_on_sigterm_whoever_is_served(self):
        hub = Simulator("hub", root=self.root)
        hub.faults({"stall": {"after": 0}})
        connection = connect(hub.url)
        connection.request("GET", "/acme/plain/resolve/main/config.json", headers={"User-Agent": "test/1"})
        hub.wait(stalled=1)
        self.assertEqual(hub.stop(), 0)
        connection.close()

    def test_threads_end_with_their_connections(self):
        with Simulator("hub", root=self.root) as hub:
            def threads():
                return len(os.listdir(f"/proc/{hub.pid}/task"))
            connections = [connect(hub.url) for _ in range(20)]
            for connection in connections:
                exchange(connection, "GET", "/api/models/acme/plain")
            self.assertGreater(threads(), 20)
            for connection in connections:
                connection.close()
            latest = time.monotonic() + 60
            while threads() > 10 and time.monotonic() < latest:
                time.sleep(0.01)
            self.assertLessEqual(threads(), 10)

    def test_ends_with_its_parent(self):
        if not shutil.which("setpriv"):
            self.skipTest("setpriv is not installed")
        support = os.path.dirname(os.path.abspath(sys.modules["simulator"].__file__))
        program = "from simulator import Simulator; import time; print(Simulator('hub').pid, flush=True); time.sleep(600)"
        parent = subprocess.Popen(["/usr/bin/python3", "-c", program], cwd=support, stdout=subprocess.PIPE, text=True)
        pid = int(parent.stdout.readline())
        watch = os.pidfd_open(pid)
        self.addCleanup(os.close, watch)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        parent.stdout.close()
        self.assertTrue(select.select([watch], [], [], 60)[0], "the simulator is still there")

    def test_says_nothing_on_standard_error(self):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hub.py")
        command = ["/usr/bin/python3", script, "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            url = json.loads(process.stdout.readline())["url"]
            connection = connect(url)
            exchange(connection, "GET", "/api/models/none")
            connection.sock.sendall(b"nonsense\r\n\r\n")
            connection.sock.recv(1000)
            connection.close()
            process.terminate()
            self.assertEqual(process.stderr.read(), b"")


if __name__ == "__main__":
    suite.main()
