"""Secrets stay where they belong: a recording proxy, which sees into TLS, shows that the hub's token and the key of a server go to
no host but their own, whatever the answers lead to; and neither is in a line of the log, a message, a file or a process list.

Every host is a name that only the proxy knows: hub.test is the hub, cdn.test gives it a hand, models.test is a server of models,
and all others are strangers. Each test ends with a look at everything that was recorded and everything that was said.
"""

import base64
import itertools
import os
import re
import secrets
import ssl
import stat
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
sys.path[:0] = [HERE] + [os.path.join(TESTS, name) for name in ("support", "hub", "cli")]

import certificate
import hubtest
import repositories
import suite
from between import Answer, Proxy
from hubtest import MIB, PLAIN, HubTest, read, write
from simulator import Simulator
from tool import Place

HOSTS = ("hub.test", "cdn.test", "models.test", "stranger.test", "hub.test.stranger.test")
# Where an answer may lead: other hosts, ports and schemes, and names that look like the hub's own.
ELSEWHERE = ("https://stranger.test{path}", "//stranger.test{path}", "https://hub.test:8443{path}",
             "https://hub.test.stranger.test{path}", "https://hub.test@stranger.test{path}",
             "https://hub.test%40stranger.test{path}", "http://hub.test{path}", "http://stranger.test{path}",
             "https://HUB.TEST:444{path}", "https://stranger.test\\@hub.test{path}", "https://cdn.test{path}")
REDIRECTS = (301, 302, 303, 307, 308)
INFO, LIST, CHECK, READ = ("info", "acme/small"), ("list", "acme/many"), ("check",), ("read", "acme/large", "model.bin")
SMALL, LARGE = ("download", "acme/small", "config.json"), ("download", "acme/large", "model.bin")
SNAPSHOT, PRIVATE = ("snapshot", "acme/small"), ("download", "acme/private", "model.bin")
OPERATIONS = (INFO, LIST, ("references", "acme/small"), ("exists", "acme/small", "config.json"), SMALL, LARGE, SNAPSHOT,
              READ, CHECK, PRIVATE)


def forms(secret):
    """The secret as bytes in each form that somebody could read it from."""
    found = [secret.encode(), secret[::-1].encode(), secret.encode().hex().encode()]
    for before in range(3):  # base64 of it at any place of something longer, without the ends that depend on what is around
        coded = base64.b64encode(b"x" * before + secret.encode() + b"x" * 3)
        found.append(coded[4:len(coded) - 8])
    return found


def holds(data, secret):
    return any(form in data for form in forms(secret))


class Case(HubTest):
    build = PLAIN
    violates = True  # strangers ask the hub's simulator for what it does not have

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.inference = Simulator("inference")
        cls.addClassCleanup(cls.inference.stop)
        authority = certificate.Authority(cls.scratch)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*authority.issue("server", HOSTS))
        cls.authority = authority.file
        of_host = {"hub.test": cls.hub.url, "cdn.test": cls.hub.facts["cdn"], "models.test": cls.inference.url}
        cls.proxy = Proxy(of_host, tls=tls)
        cls.addClassCleanup(cls.proxy.stop)
        for one in (repositories.small_model(), repositories.private_model(), repositories.many_files(30),
                    repositories.gated_model(), repositories.large_file(3 * MIB)):
            cls.hub.put_repository(one)

    def setUp(self):
        super().setUp()
        self.token, self.key = "hf_" + secrets.token_hex(17), "sk-" + secrets.token_hex(16)
        self.hub.settings(page_size=10)
        self.hub.tokens({self.token: {"name": "good", "user": "somebody", "private": True, "gated": True}})
        self.inference.clear()
        self.inference.control("PUT", "settings", {"key": self.key})
        self.inference.control("PUT", "answers", [])
        self.proxy.forget()
        self.proxy.change = lambda asked, answer: answer
        self.said = []
        self.own = {("https", "hub.test"): self.token, ("https", "models.test"): self.key}
        self.place = Place(HF_TOKEN=self.token, HF_ENDPOINT="https://hub.test", HTTPS_PROXY=self.proxy.url,
                           http_proxy=self.proxy.url, SSL_CERT_FILE=self.authority, TENON_API_KEY=self.key)
        self.addCleanup(self.place.remove)

    def tearDown(self):
        super().tearDown()
        self.assertEqual(self.proxy.problems, [])
        self.check_hosts()
        self.check_words(*self.said)

    # ---- what was seen ----

    def check_hosts(self):
        for asked in self.proxy.asked:
            for host, secret in self.own.items():
                if (asked.scheme, asked.name) != host:
                    self.assertFalse(holds(asked.head + asked.body, secret), f"{asked} has the secret of {host[1]}:\n{asked.head}")
        for asked in self.proxy.proxied:
            for secret in self.own.values():
                self.assertFalse(asked.method == "CONNECT" and holds(asked.head, secret), "the proxy itself is told")

    def check_words(self, *words):
        for text in words:
            for secret in (self.token, self.key):
                self.assertFalse(holds(text.encode(), secret), f"a secret is told:\n{text}")
            self.assertNotIn("X-Amz-Signature", text, "what signs an address is told")

    def hosts(self):
        return {f"{asked.scheme}://{asked.name}" for asked in self.proxy.asked}

    def used(self, secret=None):
        """How often a secret arrived where it belongs: a test in which nobody sends it proves nothing."""
        return sum(holds(asked.head, secret or self.token) for asked in self.proxy.asked)

    # ---- running ----

    def settings(self):
        return {"transport.https_proxy": self.proxy.url, "transport.http_proxy": self.proxy.url,
                "transport.ca_file": self.authority, "transport.retries": 2, "transport.wait_ms": 20, "hub.part_bytes": MIB}

    def drive(self, *words, token=True, hub="https://hub.test", settings=None, **options):
        """The driver with the finest log; everything that it says is looked at."""
        given = ["--token", self.token] if token else []
        outcome = self.run_driver(*words, *given, "--log", "4", hub=hub, settings={**self.settings(), **(settings or {})},
                                  cache=tempfile.mkdtemp(dir=self.home), **options)
        self.said += [repr(outcome.log), repr(outcome.end), outcome.errors, repr(outcome.rows)]
        self.assertTrue(outcome.log or outcome.status == "ARGUMENT", "nothing was logged")
        return outcome

    def tool(self, *words, **changes):
        """The tool, as talkative as it can be."""
        quick = [word for setting in ("transport.backoff_ms=1", "transport.retries=1") for word in ("--setting", setting)]
        done = self.place.run(*words, "-vv", *quick, **changes)
        self.said += [done.stdout, done.stderr]
        return done


class Hub(Case):
    def test_every_operation(self):
        for words in OPERATIONS:
            with self.subTest(words):
                self.assertEqual(self.drive(*words).status, "OK")
        self.assertEqual(self.hosts(), {"https://hub.test", "https://cdn.test"})
        self.assertGreater(self.used(), 20)

    def lead_away(self, to, method, path, status):
        """Answers to these requests lead elsewhere."""
        def change(asked, answer):
            if asked.name == "hub.test" and asked.scheme == "https" and asked.method == method and path in asked.target:
                answer.status = b"%d" % status
                answer.set(b"Location", to.replace("{path}", asked.target).encode())
            return answer
        self.proxy.change = change

    def test_redirects_of_every_request(self):
        kinds = (("GET", "/revision/", INFO), ("GET", "/tree/", LIST), ("GET", "/refs", OPERATIONS[2]),
                 ("HEAD", "/resolve/", SMALL), ("GET", "/resolve/", SMALL), ("GET", "/resolve/", LARGE), ("GET", "/resolve/", READ),
                 ("GET", "whoami", CHECK))
        statuses, went = itertools.cycle(REDIRECTS), set()
        for method, path, words in kinds:
            for to in ELSEWHERE:
                with self.subTest(path=path, to=to):
                    self.lead_away(to, method, path, next(statuses))
                    self.drive(*words)
            went |= self.hosts()
            self.assertGreater(self.used(), 0)
        self.assertTrue({"https://stranger.test", "https://hub.test:8443", "https://hub.test.stranger.test"} <= went, went)
        self.assertFalse({host for host in went if host.startswith("http:")}, "from https to http")

    def test_pages_elsewhere(self):
        for to in ELSEWHERE:
            def change(asked, answer, to=to):
                if answer.get(b"link"):
                    answer.set(b"Link", f'<{to.replace("{path}", asked.target)}>; rel="next"'.encode())
                return answer
            self.proxy.change = change
            with self.subTest(to):
                self.drive(*LIST)
        self.assertIn("https://stranger.test", self.hosts())
        self.assertGreater(self.used(), len(ELSEWHERE))

    def test_there_and_back(self):
        """Over a stranger back to the hub: the token may come again, but not on the way."""
        def change(asked, answer):
            if asked.name == "hub.test" and "hop" not in asked.target:
                answer.status = b"307"
                mark = "&hop=1" if "?" in asked.target else "?hop=1"
                answer.set(b"Location", f"https://stranger.test{asked.target}{mark}".encode())
            elif asked.name == "stranger.test":
                answer.status = b"307"
                answer.set(b"Location", b"https://hub.test" + asked.target.encode())
            return answer
        self.proxy.change = change
        self.drive("info", "acme/small")
        self.drive("download", "acme/small", "config.json")
        self.assertIn("https://stranger.test", self.hosts())

    def test_where_the_content_lies(self):
        """What the CDN answers leads further, fails, or is cut: the hub is asked again, and nobody else learns the token."""
        def further(asked, answer):
            if asked.name == "cdn.test":
                answer.status = b"302"
                answer.set(b"Location", b"https://stranger.test" + asked.target.encode())
            return answer

        def once(**values):
            seen = []

            def change(asked, answer):
                if asked.name == "cdn.test" and not seen:
                    seen.append(asked)
                    for name, value in values.items():
                        setattr(answer, name, value)
                return answer
            return change

        for change in (further, once(status=b"403"), once(status=b"503"), once(most=70000, closes=True), once(most=0, closes=True)):
            self.proxy.change = change
            self.drive(*LARGE)
            self.drive(*READ, "--offset", "1000", "--length", "2000000")
        self.assertIn("https://cdn.test", self.hosts())
        self.assertIn("https://stranger.test", self.hosts())

    def test_storage_of_another_kind(self):
        """What an answer says of Xet names other addresses; a token for them is a matter of the hub's."""
        def change(asked, answer):
            if "/resolve/" in asked.target and asked.name == "hub.test":
                answer.set(b"X-Xet-Hash", b"a" * 64)
                answer.set(b"X-Xet-Refresh-Route", b"https://stranger.test/refresh")
                answer.set(b"Link", b'<https://stranger.test/t>; rel="xet-auth", <https://stranger.test/r>; rel="next"')
            return answer
        self.proxy.change = change
        self.assertEqual(self.drive("download", "acme/large", "model.bin").status, "OK")
        self.assertGreater(self.used(), 0)

    def test_a_hub_that_says_what_it_was_told(self):
        """Errors and headers with the token in them: what is made of it for the user and the log is masked."""
        names = (b"X-Error-Message", b"X-Error-Code", b"X-Request-Id", b"Retry-After", b"ETag", b"WWW-Authenticate")
        bodies = {b"text/plain": b"you sent %b", b"text/html": b"<html>%b</html>", b"application/json": b'{"error": "you sent %b"}'}
        for status in (400, 401, 403, 404, 409, 410, 416, 422, 429, 451, 500, 503):
            for kind, body in bodies.items():
                def change(asked, answer, status=status, kind=kind, body=body):
                    told = asked.get(b"authorization") or b""
                    headers = [(b"Content-Type", kind)] + [(name, told) for name in names]
                    return Answer(b"%d" % status, b"you sent " + told, headers, body % told, asked.method)
                self.proxy.change = change
                for words in (SNAPSHOT,) if kind == b"text/html" else (INFO, SMALL):
                    self.assertNotIn(self.drive(*words).status, ("OK", ""))
        self.assertGreater(self.used(), 50)

    def test_a_hub_that_leads_with_the_token(self):
        """An address with the token in it is the hub's own doing; the log does not show it."""
        self.own = {}
        for place in (b"https://stranger.test/%b/x", b"https://stranger.test/x?token=%b", b"https://%b@stranger.test/x",
                      b"https://x:%b@stranger.test/x", b"https://%b.test/x", b"ftp://%b/"):
            def change(asked, answer, place=place):
                if asked.name == "hub.test":
                    answer.status = b"302"
                    answer.set(b"Location", place % (asked.get(b"authorization") or b"").removeprefix(b"Bearer "))
                    answer.set(b"Link", b"<" + answer.get(b"location") + b'>; rel="next"')
                return answer
            self.proxy.change = change
            for words in (INFO, SMALL):
                self.drive(*words)
            self.proxy.change = lambda asked, answer, change=change: change(asked, answer) if "/tree/" in asked.target else answer
            self.drive(*LIST)

    def test_a_hub_that_calls_the_user_so(self):
        """Asked whose token it is, it answers with the token itself."""
        def change(asked, answer):
            if "whoami" in asked.target:
                answer.body = b'{"name": "\\u001b[31m %b\\n", "type": "user"}' % self.token.encode()
            return answer
        self.proxy.change = change
        row, = (row for row in self.drive(*CHECK).rows if row["name"] == "token")
        self.assertRegex(row["message"], r"^it is that of [ -~]*\*{37}")

    def test_from_every_source(self):
        """From a file, from the environment, as an option: the same."""
        path = os.path.join(self.home, "token")
        write(path, self.token + "\n")
        for environment in ({"HF_TOKEN": self.token}, {"HF_TOKEN_PATH": path}, {"HUGGING_FACE_HUB_TOKEN": self.token}, {}):
            before = self.used()
            outcome = self.drive(*PRIVATE, token=not environment, environment=environment)
            self.assertEqual(outcome.status, "OK")
            self.assertGreater(self.used(), before)

    def test_a_hub_without_tls(self):
        """A hub that is asked by plain http gets its token so, and is not asked otherwise."""
        self.drive(*SMALL, hub="http://hub.test")
        self.assertEqual({asked.scheme for asked in self.proxy.asked}, {"http"})
        self.own = {("http", "hub.test"): self.token}
        self.assertGreater(self.used(), 0)

    def test_secrets_of_a_proxy_and_of_an_address(self):
        """Passwords in the addresses of the proxy and of the hub are shown to nobody, and the proxy's goes to no host behind it."""
        password = secrets.token_hex(12)
        proxy = self.proxy.url.replace("http://", f"http://user:{password}@")
        page = lambda asked, answer: Answer(b"200", b"OK", [(b"Content-Type", b"text/html")], b"<html>Sign in</html>", asked.method)
        for settings, hub in (({"transport.https_proxy": proxy, "transport.http_proxy": proxy}, "https://hub.test"),
                              ({}, f"https://user:{password}@hub.test")):
            for words in (INFO, LARGE, ("download", "acme/none", "x"), ("download", "acme/gated", "x"), CHECK):
                self.drive(*words, settings=settings, hub=hub)
            self.proxy.change = page
            self.drive(*INFO, settings=settings, hub=hub)
            self.proxy.change = lambda asked, answer: answer
        self.drive(*INFO, hub=f"https://user:{password}@hub.test:x")
        self.tool("doctor", HF_ENDPOINT=f"https://user:{password}@hub.test")
        self.tool("chat", f"https://user:{password}@models.test/v1", "x", TENON_API_KEY=None)
        self.tool("chat", f"https://user:{password}@models.test/v1?x", "x")
        coded = base64.b64encode(f"user:{password}".encode())
        for text in self.said:
            self.assertFalse(holds(text.encode(), password) or coded.decode() in text, f"a password is told:\n{text}")
        self.assertTrue(any(coded in asked.head for asked in self.proxy.proxied), "the proxy's password was never used")
        for asked in self.proxy.asked:
            self.assertIsNone(asked.get(b"proxy-authorization"), f"{asked} has the proxy's password")
            if asked.name not in ("hub.test", "models.test"):
                self.assertFalse(coded in asked.head or holds(asked.head, password), f"{asked} has a password")


class Tool(Case):
    def test_every_command(self):
        """As talkative as it can be, with results as text and as JSON."""
        for words in (("settings",), ("settings", "hub.token"), ("doctor",), ("info", "acme/private"), PRIVATE, LARGE,
                      ("download", "acme/small"), ("download", "acme/none"), ("plan", "acme/small"), ("cache", "ls"),
                      ("cache", "verify"), ("ps",), ("info", "acme/none"), ("chat", "https://models.test/v1", "one two")):
            for more in ((), ("--json",)):
                done = self.tool(*words, *more)
                self.assertIn(done.returncode, (0, 1, 3, 4, 6), done.stderr)
        self.assertGreater(self.used(), 10)
        self.assertGreater(self.used(self.key), 0)

    def test_errors(self):
        for status in (401, 403, 429, 500):
            def change(asked, answer, status=status):
                body = b'{"error": "%b"}' % (asked.get(b"authorization") or b"")
                return Answer(b"%d" % status, b"No", [(b"Content-Type", b"application/json")], body, asked.method)
            self.proxy.change = change
            for words in (("info", "acme/small"), ("download", "acme/small"), ("doctor",), ("chat", "https://models.test/v1", "x")):
                done = self.tool(*words)
                self.assertNotEqual((done.returncode, done.stdout), (0, ""), done.stderr)
        self.assertGreater(self.used(), 4)
        self.assertGreater(self.used(self.key), 3)


class Inference(Case):
    def ask(self, *words, **changes):
        return self.tool("chat", "https://models.test/v1", "one two", *words, **changes)

    def test_the_key_stays(self):
        statuses = itertools.cycle(REDIRECTS)
        for to in ELSEWHERE:
            for method, path in (("POST", "/chat/"), ("GET", "/models")):
                with self.subTest(to=to, path=path):
                    def change(asked, answer, to=to, method=method, path=path, status=next(statuses)):
                        if (asked.scheme, asked.name, asked.method) == ("https", "models.test", method) and path in asked.target:
                            answer.status = b"%d" % status
                            answer.set(b"Location", to.replace("hub.test", "models.test").replace("{path}", asked.target).encode())
                        return answer
                    self.proxy.change = change
                    self.ask()
        self.assertTrue({"https://stranger.test", "https://models.test:8443"} <= self.hosts(), self.hosts())
        self.assertGreater(self.used(self.key), 2 * len(ELSEWHERE) - 1)

    def test_the_hubs_token_is_not_its_business(self):
        self.assertEqual(self.ask().stdout, "onetwo\n")
        self.assertGreater(self.used(self.key), 0)
        self.assertEqual(self.used(), 0)
        self.proxy.forget()
        self.assertEqual(self.ask(TENON_API_KEY=None).returncode, 4)
        self.assertEqual((self.used(), self.used(self.key)), (0, 0))


class Jobs(Case):
    """A job whose model is private: the token fetches it, and is then nowhere; the key of a server is where it must be only."""

    def setUp(self):
        super().setUp()
        self.jobs = self.place.path("jobs")

    def processes(self, words):
        """{pid: (command line, environment)} of everything that works for a job in this folder."""
        found = {}
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) != os.getpid():
                try:
                    content = read(f"/proc/{name}/cmdline"), read(f"/proc/{name}/environ")
                except OSError:
                    continue
                if any(words.encode() in one for one in content):
                    found[int(name)] = content
        return found

    def files(self):
        """Every file of the jobs, with its content."""
        for place, _, names in os.walk(self.jobs):
            for name in names:
                path = os.path.join(place, name)
                if stat.S_ISREG(os.lstat(path).st_mode):
                    yield path, read(path)

    def serve(self):
        """The id of a server of a private model, and the key that it was given."""
        recipe = self.place.path("recipe.json")
        write(recipe, '{"command": ["%s", "%s"], "port": 0}' % (sys.executable, os.path.join(TESTS, "job", "serve.py")))
        done = self.tool("serve", "acme/private", "--recipe", recipe, "--detach", "--name", "served", TENON_JOBS=self.jobs)
        self.assertEqual(done.returncode, 0, done.stderr)
        spec, = (path for path, _ in self.files() if path.endswith("spec.json"))
        return re.search(rb'"key": ?"([^"]+)"', read(spec)).group(1).decode(), spec

    def test_a_server(self):
        self.addCleanup(self.place.run, "stop", "served", "--force", TENON_JOBS=self.jobs)
        own_key, spec = self.serve()
        self.assertGreater(self.used(), 0)
        processes = self.processes(self.jobs)
        self.assertGreaterEqual(len(processes), 2, "its supervisor and the server itself")
        for pid, (line, environment) in processes.items():
            for secret in (self.token, self.key, own_key):
                self.assertFalse(holds(line, secret), f"the command line of {pid} has a secret: {line}")
            for secret in (self.token, self.key):
                self.assertFalse(holds(environment, secret), f"the environment of {pid} has a secret: {environment}")
        with_key = [environment.split(b"\0") for _, environment in processes.values() if own_key.encode() in environment]
        self.assertTrue(with_key, "the server was not told its key")
        self.assertTrue(all(b"TENON_API_KEY=" + own_key.encode() in environment for environment in with_key))
        for path, content in self.files():
            self.assertFalse(holds(content, self.token) or holds(content, self.key), f"{path} has a secret")
            self.assertEqual(holds(content, own_key), path == spec, path)
            if path == spec:
                self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
                self.assertEqual(os.stat(os.path.dirname(path)).st_mode & 0o777, 0o700)
        for words in (("ps", "--json"), ("logs", "served"), ("logs", "served", "--json"), ("chat", "served", "x"),
                      ("stop", "served"), ("ps",), ("rm", "served")):
            self.tool(*words, TENON_JOBS=self.jobs)
        for text in self.said:
            self.assertFalse(holds(text.encode(), own_key), f"the key is told:\n{text}")

    def test_training(self):
        write(self.place.path("recipe.json"), '{"command": ["/bin/sh", "-c", "env; cat /proc/$$$$/cmdline; sleep 0.2; exit 3"]}')
        done = self.tool("train", self.place.path("recipe.json"), "--model", "acme/private", TENON_JOBS=self.jobs)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("TENON_MODEL=", done.stdout + done.stderr)
        self.assertGreater(self.used(), 0)
        for path, content in self.files():
            self.assertFalse(holds(content, self.token) or holds(content, self.key), f"{path} has a secret")


if __name__ == "__main__":
    suite.main()
