"""The command-line tool: every command, plain and as JSON, in a pipe and in a terminal, when all is well and when not."""

import json
import os
import re
import shlex
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))

import repositories  # noqa: E402
import suite  # noqa: E402
from simulator import Simulator  # noqa: E402
from tool import ESCAPE, PATIENCE, ROOT, Place, interrupt  # noqa: E402

COMMANDS = ["download", "info", "publish", "cache", "plan", "train", "serve", "ps", "logs", "metrics", "chat", "key", "stop", "rm",
            "doctor", "settings"]
SERVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "server.py")
TINY = os.path.join(ROOT, "examples", "hub", "tenon", "tiny")
MIB = 1 << 20


def rows(text):
    """The rows of a stream of JSON lines."""
    return [json.loads(line) for line in text.splitlines()]


class Case(unittest.TestCase):
    """A test with a place of its own."""

    def setUp(self):
        self.place = Place()
        self.addCleanup(self.place.remove)

    def ok(self, *words, **changes):
        """Run what must succeed; its standard output."""
        done = self.place.run(*words, **changes)
        self.assertEqual(done.returncode, 0, f"tenon {shlex.join(words)}\n{done.stdout}{done.stderr}")
        return done.stdout

    def fails(self, status, *words, **changes):
        """Run what must fail with that status and one or two lines; (message, hint)."""
        done = self.place.run(*words, **changes)
        self.assertEqual(done.returncode, status, f"tenon {shlex.join(words)}\n{done.stdout}{done.stderr}")
        lines = done.stderr.splitlines()[-2:]
        message = next((line for line in lines if line.startswith("error: ")), None)
        self.assertIsNotNone(message, done.stderr)
        hint = lines[-1].removeprefix("hint:  ") if lines[-1].startswith("hint:  ") else ""
        return message.removeprefix("error: "), hint

    def write(self, name, content):
        path = self.place.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
        return path


class HelpTest(Case):
    def test_list_of_commands(self):
        text = self.ok("--help")
        for command in COMMANDS:
            self.assertRegex(text, rf"(?m)^  {command} +\S")
        for status in ("0 done", "3 not found", "130 interrupted"):
            self.assertIn(status, text)

    def test_every_command(self):
        for command in COMMANDS:
            text = self.ok(command, "--help")
            self.assertTrue(text.startswith(f"tenon {command} "), text)
            self.assertIn("\nExamples\n", text)
            self.assertEqual(text, self.ok("help", command))
            self.assertLess(max(map(len, text.splitlines())), 130)

    def test_examples_are_understood(self):
        for command in COMMANDS:
            examples = re.findall(r"(?m)^  tenon (.*)$", self.ok(command, "--help").split("\nExamples\n")[1])
            self.assertGreaterEqual(len(examples), 2)
            for example in examples:
                words = shlex.split(re.split(r" [|<] ", example)[0])
                self.ok(*words, "--help")

    def test_version(self):
        with open(os.path.join(ROOT, "include", "tenon.h"), encoding="utf-8") as file:
            version = ".".join(re.findall(r"#define TENON_VERSION_[A-Z]+ (\d+)", file.read()))
        self.assertEqual(self.ok("--version"), f"tenon {version}\n")


class UsageTest(Case):
    def wrong(self, message, hint, *words):
        done = self.place.run(*words)
        self.assertEqual(done.returncode, 2, words)
        self.assertEqual(done.stdout, "")
        self.assertRegex(done.stderr, rf"\Aerror: {message}\nhint:  .*{hint}.*\n\Z")

    def test_wrong_commands(self):
        self.wrong("no command was given", "--help")
        self.wrong('there is no command "dwnload"', "tenon download", "dwnload")
        self.wrong('there is no command "zzzzzz"', "lists the commands", "zzzzzz")

    def test_wrong_options(self):
        self.wrong("tenon download has no option --revison", "--revision", "download", "a/b", "--revison", "x")
        self.wrong("tenon ps has no option --revision", "tenon ps --help", "ps", "--revision", "x")
        self.wrong("tenon logs has no option -x", "tenon logs --help", "logs", "job", "-x")
        self.wrong("tenon has no option --no-such", "tenon --help", "--no-such=1")

    def test_wrong_values(self):
        for option, value in (("--time-limit", "ten"), ("--time-limit", "10x"), ("--memory-limit", "2Q"), ("--memory-limit", "-1"),
                              ("--memory-limit", "99999999999T"), ("--threads", "two"), ("--threads", ""), ("--env", "NAME"), ("--label", "=x")):
            self.wrong(f'{option} cannot be "{re.escape(value)}"', option, "train", "recipe.json", option, value)
        self.wrong('--temperature cannot be "hot"', "--temperature T", "chat", "job", "--temperature=hot")
        self.wrong("--name needs a value", "--name NAME", "train", "recipe.json", "--name")
        self.wrong("--force takes no value", "equals", "download", "a/b", "--force=yes")
        self.wrong("--fresh contradicts an option before it", "one", "download", "a/b", "--offline", "--fresh")

    def test_wrong_operands(self):
        self.wrong("tenon download needs to be told more", r"REPO \[FILE\.\.\.\]", "download")
        self.wrong('tenon train does not understand "b"', "RECIPE", "train", "a", "b")
        self.wrong('tenon cache does not understand "drop"', "ls, verify or rm", "cache", "drop")

    def test_settings_that_make_no_sense(self):
        self.assertIn('no setting "a.b"', self.fails(2, "settings", "--setting", "a.b=c")[0])
        self.assertIn("hub.files", self.fails(2, "settings", "--setting", "hub.files=many")[0])

    def test_errors_as_json(self):
        done = self.place.run("--json", "download", "a b")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        error = json.loads(done.stderr)
        self.assertEqual(error["status"], "TENON_ERROR_ARGUMENT")
        self.assertEqual(set(error), {"status", "message", "hint", "code", "request_id", "http_status", "system_error", "retry_after_ms"})

    def test_operands_that_look_like_options(self):
        self.assertIn('"--x"', self.fails(2, "download", "--", "--x")[0])


class SettingsTest(Case):
    def test_list(self):
        found = rows_of(self.ok("settings", "--json"))
        keys = [row["key"] for row in found]
        text = self.ok("settings")
        for key in keys:
            self.assertIn(f"{key} = ", text)
        self.assertEqual(len(keys), len(set(keys)))
        self.assertIn("hub.cache", keys)

    def test_markdown(self):
        lines = self.ok("settings", "--markdown").splitlines()
        self.assertEqual(len(lines), 2 + len(rows_of(self.ok("settings", "--json"))))
        for line in lines:
            self.assertEqual(len(re.findall(r"(?<!\\)\|", line)), 5, line)

    def test_values_in_force(self):
        self.assertEqual(self.ok("settings", "hub.cache"), self.place.path(".cache/huggingface/hub") + "\n")
        self.assertEqual(self.ok("settings", "hub.cache", HF_HOME="/h"), "/h/hub\n")
        self.assertEqual(self.ok("settings", "hub.cache", HF_HOME="/h", HF_HUB_CACHE="/c"), "/c\n")
        self.assertEqual(self.ok("settings", "hub.cache", "--setting", "hub.cache=/s", HF_HUB_CACHE="/c"), "/s\n")
        self.assertEqual(self.ok("settings", "hub.endpoint", HF_ENDPOINT="http://a"), "http://a\n")
        self.assertEqual(self.ok("settings", "hub.endpoint", "--hub", "http://b", HF_ENDPOINT="http://a"), "http://b\n")
        self.assertEqual(self.ok("settings", "hub.offline", HF_HUB_OFFLINE="yes"), "1\n")
        self.assertEqual(self.ok("settings", "hub.token_path", HF_TOKEN_PATH="~/t"), self.place.path("t") + "\n")

    def test_secrets_are_not_shown(self):
        for words in (("settings",), ("settings", "--json"), ("settings", "hub.token"), ("settings", "--markdown"), ("-vv", "settings")):
            done = self.place.run(*words, HF_TOKEN="hf_secretsecret")
            self.assertNotIn("hf_secretsecret", done.stdout + done.stderr)
        self.assertEqual(self.ok("settings", "hub.token", HF_TOKEN="hf_secretsecret"), "(set)\n")


def rows_of(text):
    """The rows of a JSON array."""
    found = json.loads(text)
    assert isinstance(found, list)
    return found


class HubCase(Case):
    """A test with the hub simulator."""

    @classmethod
    def setUpClass(cls):
        cls.hub = Simulator("hub")
        cls.addClassCleanup(cls.hub.stop)
        for repository in repositories.every():
            cls.hub.put_repository(repository)
        cls.hub.put_repository(repositories.large_file(24 * MIB))

    def setUp(self):
        self.hub.clear()
        self.place = Place(HF_ENDPOINT=self.hub.url)
        self.addCleanup(self.place.remove)

    def tearDown(self):
        self.assertEqual(self.hub.violations(), [])


class DownloadTest(HubCase):
    def test_path_alone(self):
        done = self.place.run("download", "acme/small")
        self.assertEqual(done.returncode, 0, done.stderr)
        folder = done.stdout.removesuffix("\n")
        self.assertTrue(os.path.isdir(folder), folder)
        self.assertTrue(folder.startswith(self.place.path(".cache/huggingface/hub/models--acme--small/snapshots/")))
        with open(os.path.join(folder, repositories.ODD_NAME), encoding="utf-8") as file:
            self.assertEqual(file.read(), "odd\n")
        self.assertRegex(done.stderr, r"\Afetched 2\.93 MB in .*\n\Z")

    def test_again(self):
        self.ok("download", "acme/small")
        done = self.place.run("download", "acme/small")
        self.assertEqual(done.stderr, "it was there already: 2.93 MB\n")
        self.hub.clear_requests()
        self.assertEqual(self.ok("download", "acme/small", "--cached"), done.stdout)
        self.assertEqual(self.ok("download", "acme/small", "--offline"), done.stdout)
        self.assertEqual(self.ok("download", "acme/small", HF_HUB_OFFLINE="1"), done.stdout)
        self.assertEqual(self.hub.requests(), [])

    def test_one_file(self):
        path = self.ok("download", "acme/small", "tokenizer/vocabulary/words.txt").removesuffix("\n")
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read(), "one\ntwo\nthree\n")

    def test_several_files(self):
        names = ["README.md", repositories.ODD_NAME, "config.json"]
        paths = self.ok("download", "acme/small", *names).splitlines()
        self.assertEqual([os.path.basename(path) for path in paths], [os.path.basename(name) for name in names])
        self.assertTrue(all(map(os.path.isfile, paths)))
        message, hint = self.fails(3, "download", "acme/small", "README.md", "none.txt")
        self.assertIn('"none.txt"', message)
        self.assertIn("tenon info", hint)

    def test_patterns(self):
        found = json.loads(self.ok("download", "acme/small", "--include", "*.json", "--include", "*.md", "--exclude", "tok*", "--json"))
        self.assertEqual(sorted(file["path"] for file in found["files"]), ["README.md", "config.json"])
        self.assertTrue(os.path.isdir(found["path"]))
        self.fails(2, "download", "acme/small", "README.md", "--include", "*")

    def test_revisions(self):
        for words in (("acme/small@feature/card",), ("acme/small", "-r", "feature/card"), ("acme/small", "--revision=feature/card")):
            folder = self.ok("download", *words, "--include", "README.md").removesuffix("\n")
            with open(os.path.join(folder, "README.md"), encoding="utf-8") as file:
                self.assertEqual(file.read(), "# Branch\n")

    def test_folder(self):
        folder = self.place.path("models")
        self.assertEqual(self.ok("download", "acme/small", "--local-dir", folder), folder + "\n")
        self.assertTrue(os.path.isfile(os.path.join(folder, "model.safetensors")))

    def test_force(self):
        self.ok("download", "acme/small", "model.safetensors")
        self.hub.clear_requests()
        self.ok("download", "acme/small", "model.safetensors", "--force")
        self.assertTrue(self.hub.requests(origin="cdn"))

    def test_one_file_as_json(self):
        found = json.loads(self.ok("download", "acme/small", "config.json", "--json"))
        self.assertTrue(found["path"].endswith("/config.json"))

    def test_quiet(self):
        done = self.place.run("download", "acme/small", "-q")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_other_hub(self):
        self.ok("download", "acme/small", "config.json", "--hub", self.hub.url, HF_ENDPOINT="http://127.0.0.1:9")
        self.ok("--hub", self.hub.url, "download", "acme/small", "config.json", HF_ENDPOINT="http://127.0.0.1:9")

    def test_tokens(self):
        self.ok("download", "acme/private", "config.json", HF_TOKEN="hf_good")
        path = self.write("token", "hf_good\n")
        self.ok("download", "acme/private", "config.json", "--fresh", HF_TOKEN_PATH=path)
        self.write("home/token", "hf_good")
        self.ok("download", "acme/private", "config.json", HF_HOME=self.place.path("home"))

    def test_log(self):
        self.assertIn("[transport]", self.place.run("-vv", "download", "acme/small", "config.json").stderr)


class DownloadErrorTest(HubCase):
    def test_not_found(self):
        message, hint = self.fails(3, "download", "acme/none", HF_TOKEN="hf_good")
        self.assertIn("acme/none", message)
        self.assertTrue(hint)
        self.fails(3, "download", "acme/small@none")
        self.fails(3, "download", "acme/small", "none.txt")

    def test_not_allowed(self):
        message, hint = self.fails(4, "download", "acme/gated", "model.bin")
        self.assertIn(f"{self.hub.url}/acme/gated", hint)
        self.fails(4, "download", "acme/gated", "model.bin", HF_TOKEN="hf_read")
        self.fails(4, "download", "acme/small", HF_TOKEN="hf_wrong")

    def test_not_reachable(self):
        message, _ = self.fails(5, "download", "acme/small", "--setting", "transport.retries=0", HF_ENDPOINT="http://127.0.0.1:9")
        self.assertIn("127.0.0.1:9", message)
        self.fails(5, "download", "acme/small", "--offline")
        self.hub.faults({"status": 503})
        self.fails(5, "download", "acme/small", "--setting", "transport.retries=0")

    def test_damaged(self):
        self.hub.faults({"origin": "cdn", "corrupt": 1000})
        message, _ = self.fails(7, "download", "acme/small", "model.safetensors")
        self.assertIn("model.safetensors", message)

    def test_not_valid(self):
        for name in ("a b", "../x", "a/b/c/d", ""):
            self.fails(2, "download", name)

    def test_cache_that_cannot_be_used(self):
        self.write("cache", "a file")
        self.fails(1, "download", "acme/small", HF_HUB_CACHE=self.place.path("cache"))

    def test_somebody_else_answers(self):
        """A sign-in page, or JSON that no hub would send."""
        for fault in ({"html": True}, {"json": {"deep": 100000}}, {"json": {"text": "{"}}):
            self.hub.clear_faults()
            self.hub.faults({"path": "/api/", **fault})
            _, hint = self.fails(1, "download", "acme/small")
            self.assertIn(f"answer at {self.hub.url}/api/models/acme/small", hint)
            self.assertIn("proxy", hint)

    def test_hostile_message(self):
        self.hub.faults({"status": 400, "body": '{"error": "red \\u001b[31m\\u009b1m \\u202e"}'})
        done = self.place.run("download", "acme/small")
        self.assertNotEqual(done.returncode, 0)
        for character in "\x1b\x9b\u202e":
            self.assertNotIn(character, done.stderr)


class TerminalTest(HubCase):
    """Standard error is a terminal."""

    def stalled_download(self, piped=True, **changes):
        """A download that stands still in the middle, and goes on when the faults are cleared."""
        self.hub.faults({"origin": "cdn", "stall": {"at": 10 * MIB}})
        terminal = self.place.terminal("download", "acme/large", "model.bin", "--setting", "hub.part_bytes=1073741824", piped=piped, **changes)
        self.addCleanup(terminal.__exit__)
        self.hub.wait(stalled=1)
        return terminal

    def test_bar(self):
        terminal = self.stalled_download()
        terminal.wait_for(r"downloading  █+░+   4\d%  10\.5 MB of 25\.2 MB.*  model\.bin")
        self.assertEqual(len(terminal.screen.text().splitlines()), 1)
        self.hub.clear_faults()
        status, piped = terminal.end()
        self.assertEqual(status, 0)
        self.assertRegex(piped, r"\A/.*/model\.bin\n\Z")
        self.assertRegex(terminal.screen.text(), r"\Afetched 25\.2 MB in .*\Z")
        self.assertIn(ESCAPE + "[32m", terminal.raw)

    def test_no_color(self):
        terminal = self.stalled_download(NO_COLOR="1")
        terminal.wait_for("10.5 MB of")
        self.hub.clear_faults()
        self.assertEqual(terminal.end()[0], 0)
        self.assertNotRegex(terminal.raw, r"\x1b\[\d*m")

    def test_dumb_terminal(self):
        self.hub.clear_faults()
        with self.place.terminal("download", "acme/large", "model.bin", piped=True, TERM="dumb") as terminal:
            self.assertEqual(terminal.end()[0], 0)
            self.assertNotIn(ESCAPE, terminal.raw)
        with self.place.terminal("info", "acme/small", TERM="dumb") as terminal:
            self.assertEqual(terminal.end()[0], 0)
            self.assertNotIn(ESCAPE, terminal.raw)

    def test_ascii(self):
        terminal = self.stalled_download(LANG="C")
        terminal.wait_for(r"downloading  #+\.+   4\d%")
        self.hub.clear_faults()
        self.assertEqual(terminal.end()[0], 0)
        self.assertTrue(terminal.raw.isascii())

    def test_path_in_a_terminal(self):
        with self.place.terminal("download", "acme/small", "config.json", columns=300) as terminal:
            self.assertEqual(terminal.end()[0], 0)
            self.assertRegex(terminal.screen.text(), r"\A/.*/config\.json\nfetched 228 B in .*\Z")

    def test_interrupt(self):
        terminal = self.stalled_download()
        terminal.wait_for("10.5 MB of")
        terminal.interrupt()
        status, piped = terminal.end()
        self.assertEqual((status, piped), (130, ""))
        self.assertIn("interrupted", terminal.screen.text())
        self.assertNotIn("downloading", terminal.screen.text())
        self.hub.clear_faults()
        self.ok("download", "acme/large", "model.bin")

    def test_interrupt_in_a_pipe(self):
        self.hub.faults({"origin": "cdn", "stall": {"at": 10 * MIB}})
        process = self.place.start("download", "acme/large")
        self.hub.wait(stalled=1)
        interrupt(process)
        output, remarks = process.communicate(timeout=PATIENCE)
        self.assertEqual((process.returncode, output), (130, ""))
        self.assertIn("interrupted", remarks)
        self.assertNotIn(ESCAPE, remarks)

    def test_errors_in_color(self):
        with self.place.terminal("download", "acme/small@none") as terminal:
            self.assertEqual(terminal.end()[0], 3)
            self.assertIn(ESCAPE + "[31merror:" + ESCAPE + "[0m", terminal.raw)
            self.assertRegex(terminal.screen.text(), r"\Aerror: .*\nhint:  .*\Z")


class InfoTest(HubCase):
    def test_plain(self):
        text = self.ok("info", "acme/small")
        for fact in ("acme/small  model", "  library      transformers", "  parameters   733k", "2.93 MB  model.safetensors", repositories.ODD_NAME):
            self.assertIn(fact, text)
        self.assertNotIn(ESCAPE, text)

    def test_json(self):
        found = json.loads(self.ok("info", "acme/small@v1.0", "--json"))
        self.assertEqual(found["repository"]["id"], "acme/small")
        self.assertEqual(found["repository"]["type"], "model")
        self.assertEqual(found["repository"]["files"], len(found["files"]))
        self.assertEqual(found["repository"]["json"]["id"], "acme/small")
        sizes = {file["path"]: file["bytes"] for file in found["files"]}
        self.assertEqual(sizes["tokenizer/vocabulary/words.txt"], 14)
        self.assertEqual(sizes["empty.txt"], 0)

    def test_types(self):
        self.assertIn("acme/data  dataset", self.ok("info", "datasets/acme/data"))
        self.assertIn("acme/app  space", self.ok("info", "spaces/acme/app"))

    def test_access(self):
        self.assertIn("gated", self.place.run("info", "acme/gated").stdout)
        self.assertIn("private", self.ok("info", "acme/private", HF_TOKEN="hf_good"))
        self.fails(3, "info", "acme/none", HF_TOKEN="hf_good")

    def test_hostile_names(self):
        self.hub.faults({"names": ["evil\x1b[2J.txt"]})
        done = self.place.run("info", "acme/small")
        self.assertNotIn(ESCAPE, done.stdout + done.stderr)


class CacheTest(HubCase):
    def setUp(self):
        super().setUp()
        self.folder = self.ok("download", "acme/small", "-q").removesuffix("\n")
        self.ok("download", "acme/small@v1.0", "-q")
        self.ok("download", "datasets/acme/data", "-q")

    def test_list(self):
        done = self.place.run("cache")
        self.assertRegex(done.stdout, r"(?m)^REPOSITORY +SIZE +FILES +REVISIONS +UNFINISHED$")
        self.assertRegex(done.stdout, r"(?m)^acme/small +5\.87 MB +11 +2$")
        self.assertRegex(done.stdout, r"(?m)^datasets/acme/data +2\.10 MB +\d+ +1$")
        self.assertRegex(done.stderr, r"\A7\.9\d MB in all\n\Z")

    def test_list_of_one(self):
        text = self.ok("cache", "ls", "acme/small")
        self.assertEqual(len(re.findall(r"(?m)^[0-9a-f]{40}$", text)), 2)
        self.assertEqual(text.count("  model.safetensors\n"), 2)

    def test_json(self):
        found = rows_of(self.ok("cache", "ls", "--json"))
        self.assertEqual({row["repository"] for row in found}, {"acme/small", "datasets/acme/data"})
        self.assertTrue(all(os.path.exists(row["local_path"]) for row in found))

    def test_unfinished(self):
        self.hub.faults({"origin": "cdn", "stall": {"at": 10 * MIB}})
        process = self.place.start("download", "acme/large", "model.bin", "--setting", "hub.part_bytes=1048576")
        self.hub.wait(stalled=1)
        interrupt(process)
        process.communicate(timeout=PATIENCE)
        self.assertRegex(self.ok("cache"), r"(?m)^acme/large .*  1, \d.*B$")
        self.assertIn("partial", [row["content"] for row in rows_of(self.ok("cache", "ls", "acme/large", "--json"))])

    def test_verify(self):
        self.assertEqual(self.ok("cache", "verify"), "")
        found = rows(self.ok("cache", "verify", "acme/small", "--json"))
        self.assertEqual({row["content"] for row in found}, {"verified"})
        blob = os.path.realpath(os.path.join(self.folder, "README.md"))
        os.chmod(blob, 0o644)
        with open(blob, "w", encoding="utf-8") as file:
            file.write("something else\n")
        done = self.place.run("cache", "verify")
        self.assertEqual(done.returncode, 7)
        self.assertRegex(done.stdout, r"\Acorrupt   acme/small@[0-9a-f]{8}  README\.md\n\Z")

    def test_remove(self):
        self.assertGreater(json.loads(self.ok("cache", "rm", "acme/small@v1.0", "--json"))["bytes"], 2_900_000)
        self.assertRegex(self.ok("cache"), r"(?m)^acme/small +2\.93 MB +9 +1$")
        self.ok("cache", "rm", "acme/small")
        self.assertFalse(os.path.exists(self.folder))
        self.fails(3, "cache", "rm", "acme/small")
        self.fails(2, "cache", "rm")

    def test_empty(self):
        done = self.place.run("cache", HF_HUB_CACHE=self.place.path("nothing"))
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", "the cache is empty\n"))
        self.assertEqual(rows_of(self.ok("cache", "--json", HF_HUB_CACHE=self.place.path("nothing"))), [])


class PublishTest(Case):
    def setUp(self):
        super().setUp()
        os.mkdir(self.place.path("hub"))
        self.hub = "file://" + self.place.path("hub")
        self.folder = self.place.path("output")
        self.write("output/config.json", "{}")
        self.write("output/train.log", "long")

    def publish(self, *words):
        return self.ok("publish", "--hub", self.hub, "acme/new", self.folder, *words).removesuffix("\n")

    def test_commits(self):
        first = self.publish("--exclude", "*.log", "--message", "First")
        self.assertRegex(first, r"\A[0-9a-f]{40}\Z")
        self.assertEqual(self.publish("--exclude", "*.log"), first)
        second = json.loads(self.publish("--json"))["commit"]
        self.assertNotEqual(second, first)
        files = json.loads(self.ok("info", "--hub", self.hub, f"acme/new@{first}", "--json"))["files"]
        self.assertEqual([file["path"] for file in files], ["config.json"])
        self.fails(1, "publish", "--hub", self.hub, "acme/new", self.folder, "--parent", first)

    def test_errors(self):
        self.fails(3, "publish", "--hub", self.hub, "acme/new", self.place.path("none"))
        self.fails(1, "publish", "--hub", "http://127.0.0.1:9", "acme/new", self.folder)


class PlanTest(Case):
    def model(self, **changes):
        """A folder with nothing but a config.json."""
        config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
                  "num_attention_heads": 4, "num_hidden_layers": 2, "num_key_value_heads": 2, "vocab_size": 256,
                  "torch_dtype": "float32", **changes}
        self.write("model/config.json", json.dumps(config))
        return self.place.path("model")

    def test_bars(self):
        text = self.ok("plan", self.model())
        self.assertIn(" 1.  local:cpu", text)
        self.assertRegex(text, r"(?m)^     weights +[█▒░]{34}  \d")
        self.assertRegex(text, r"(?m)^     total +[█▒░]{34}  \S.* of \d+(\.\d+)? GiB$")
        self.assertRegex(self.ok("plan", self.model(), LANG="C"), r"(?m)^     total +[#=.]{34}  ")

    def test_json(self):
        found = json.loads(self.ok("plan", self.model(), "--lora", "--sequences", "2", "--json"))
        offer = next(offer for offer in found["offers"] if offer["accelerator"] == "local:cpu")
        self.assertEqual(offer["memory"][-1]["item"], "total")
        self.assertIn("adapters", [item["item"] for item in offer["memory"]])
        self.assertIn("code", offer["reasons"][0])
        self.assertIsInstance(found["facts"], dict)

    def test_one_accelerator(self):
        text = self.ok("plan", self.model(), "--on", "local:cpu", "--train")
        self.assertIn("local:cpu", text)
        self.assertRegex(text, r"(?m)^     optimizer ")
        found = json.loads(self.ok("plan", self.model(), "--on", "local:cpu", "--json"))
        self.assertTrue(found["fits"])
        self.assertEqual(found["accelerator"]["name"], "local:cpu")
        self.assertEqual(found["memory"][-1]["item"], "total")

    def test_too_large(self):
        model = self.model(hidden_size=65536, intermediate_size=262144, num_hidden_layers=1000, num_attention_heads=512)
        text = self.place.run("plan", model)
        self.assertEqual(text.returncode, 6, text.stderr)
        one = self.place.run("plan", model, "--on", "local:cpu", "--json")
        self.assertEqual(one.returncode, 6)
        self.assertIs(json.loads(one.stdout)["fits"], False)

    def test_errors(self):
        self.fails(3, "plan", self.place.path("none"))
        self.fails(3, "plan", self.model(), "--on", "local:cuda:77")
        self.fails(2, "plan", self.model(), "--on", "local:")
        self.fails(1, "plan", self.model(), "--on", "moon:base")


class DoctorTest(HubCase):
    def test_checks(self):
        done = self.place.run("doctor", HF_TOKEN="hf_good")
        for check in ("  yes  endpoint ", "  yes  token ", "  yes  cache ", "  yes  supervisor ", "       local:cpu "):
            self.assertIn(check, done.stdout)
        self.assertEqual(done.returncode, 1 if "\n  no " in done.stdout else 0)

    def test_wrong_token(self):
        done = self.place.run("doctor", HF_TOKEN="hf_wrong")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, r"(?m)^  no   token .*\n {20}\S")

    def test_json(self):
        done = self.place.run("doctor", "--json", HF_TOKEN="hf_good")
        found = json.loads(done.stdout)
        answers = {check["name"]: check["answer"] for check in found["checks"]}
        self.assertEqual(answers["endpoint"], "yes")
        self.assertEqual(done.returncode, 1 if "no" in answers.values() else 0)
        self.assertIn("local:cpu", [machine["name"] for machine in found["accelerators"]])


class JobCase(Case):
    """A test that runs jobs; none is left behind."""

    def setUp(self):
        super().setUp()
        self.addCleanup(self.stop_all)  # before the folder goes

    def stop_all(self):
        for job in rows_of(self.ok("ps", "--json")):
            self.ok("stop", "--now", job["id"])

    def recipe(self, *lines, **members):
        """A recipe that runs these lines of Python."""
        return json.dumps({"command": ["/usr/bin/python3", "-c", "\n".join(lines)], **members})

    def trainer(self, steps=4, then="", **members):
        return self.recipe("import json, sys, time", "print('begin')", f"for step in range(1, {steps} + 1):",
                           f"    print(json.dumps({{'step': step, 'steps': {steps}, 'loss': 4 / step, 'learning_rate': 0.001}}), flush=True)",
                           then or "pass", **members)

    def endless(self):
        """Prints two measurements and then waits to be stopped."""
        return self.trainer(2, "while True: time.sleep(60)")

    def detach(self, recipe, *words):
        return self.ok("train", recipe, "--detach", *words).removesuffix("\n")


class TrainTest(JobCase):
    def test_lines(self):
        done = self.place.run("train", self.trainer(), "--name", "small")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.splitlines(), [
            "step 1/4  loss 4  learning_rate 0.001", "step 2/4  loss 2  learning_rate 0.001",
            "step 3/4  loss 1.333  learning_rate 0.001", "step 4/4  loss 1  learning_rate 0.001"])
        self.assertRegex(done.stderr, r"\Asucceeded: 4 steps, loss 4 -> 1\noutput: /.*\n\Z")

    def test_json(self):
        done = self.place.run("train", self.trainer(), "--json")
        found = rows(done.stdout)
        self.assertEqual([row.get("step") for row in found], [1, 2, 3, 4, None])
        self.assertEqual(found[0]["json"], {"step": 1, "steps": 4, "loss": 4.0, "learning_rate": 0.001})
        self.assertIsNone(found[0]["epoch"])
        self.assertEqual((found[-1]["state"], found[-1]["exit_code"]), ("succeeded", 0))

    def test_options(self):
        recipe = self.recipe("import os, json", "print(os.environ['COLOR'], os.environ['TENON_THREADS'], os.environ['TENON_OUTPUT'])")
        output = self.place.path("kept")
        found = rows(self.ok("train", recipe, "-e", "COLOR=blue", "--threads", "1", "-o", output, "--name", "n", "--label", "a=b", "--json"))[-1]
        self.assertEqual((found["name"], found["output"]), ("n", output))
        self.assertEqual(self.ok("logs", "n"), f"blue 1 {output}\n")
        self.assertEqual([row["id"] for row in rows_of(self.ok("ps", "-a", "--label", "a=b", "--json"))], [found["id"]])
        self.assertEqual(rows_of(self.ok("ps", "-a", "--label", "a=c", "--json")), [])

    def test_failure(self):
        done = self.place.run("train", self.trainer(2, "sys.exit('the data \x1b[31mare wrong')"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("the data ?[31mare wrong\n", done.stderr)
        self.assertRegex(done.stderr, r"(?m)^error: .*1.*\nhint:  .*\n\Z")
        done = self.place.run("train", json.dumps({"command": ["no-such-program"]}), "--json")
        self.assertEqual((done.returncode, json.loads(done.stderr)["code"]), (1, "program"))
        self.assertEqual(rows(done.stdout)[-1]["state"], "failed")

    def test_limits(self):
        self.assertIn("1 s", self.fails(1, "train", self.endless(), "--time-limit", "1s")[0].replace("1000 ms", "1 s"))

    def test_bad_recipes(self):
        self.assertIn('"comand"', self.fails(2, "train", '{"comand": []}')[0])
        self.fails(3, "train", self.place.path("none.json"))
        self.fails(1, "train", self.trainer(), "--model", "acme/none", "--hub", "file://" + self.place.folder)

    def test_detach(self):
        job = self.detach(self.endless())
        self.assertRegex(job, r"\Alocal:[0-9a-f]{12}\Z")
        self.assertIn(job, self.ok("ps"))

    def test_key(self):
        recipe = self.endless()
        self.assertEqual(self.detach(recipe, "--key", "once"), self.detach(recipe, "--key", "once"))
        self.fails(1, "train", self.trainer(), "--key", "once")

    def test_interrupt(self):
        process = self.place.start("train", self.endless(), "--name", "endless")
        self.assertIn("step 1/2", process.stdout.readline())
        self.assertIn("step 2/2", process.stdout.readline())
        interrupt(process)
        _, remarks = process.communicate(timeout=PATIENCE)
        job = rows_of(self.ok("ps", "--json"))[0]
        self.assertEqual((process.returncode, job["state"]), (130, "running"))
        self.assertIn(f"tenon metrics -f {job['id']}", remarks)
        self.assertIn(f"tenon stop {job['id']}", remarks)

    def test_curve(self):
        with self.place.terminal("train", self.trainer(50, "time.sleep(0)"), "--name", "curve") as terminal:
            self.assertEqual(terminal.end()[0], 0)
            text = terminal.screen.text()
        self.assertRegex(text, r"(?m)^curve  local:[0-9a-f]{12}  succeeded  ")
        self.assertRegex(text, r"(?m)^ +4 ┤[⠀-⣿]")
        self.assertRegex(text, r"(?m)^ +0\.08 ┤ .*[⠀-⣿]")
        self.assertRegex(text, r"(?m)^step 50/50  █{16}  loss 0\.08  rate 0\.001")
        self.assertRegex(text, r"(?m)^succeeded: 50 steps, loss 4 -> 0\.08\noutput: ")
        self.assertEqual(text.count("step 50/50"), 1)

    def test_curve_in_ascii(self):
        with self.place.terminal("train", self.trainer(50), LANG="C", NO_COLOR="1") as terminal:
            self.assertEqual(terminal.end()[0], 0)
            self.assertRegex(terminal.screen.text(), r"(?m)^ +4 \|\*")
            self.assertTrue(terminal.raw.isascii())

    def test_curve_beside_lines(self):
        with self.place.terminal("train", self.trainer(5), piped=True) as terminal:
            status, piped = terminal.end()
            self.assertEqual((status, len(piped.splitlines())), (0, 5))
            self.assertIn("┤", terminal.screen.text())

    def test_interrupt_in_a_terminal(self):
        with self.place.terminal("train", self.endless()) as terminal:
            terminal.wait_for("step 2/2")
            terminal.interrupt()
            self.assertEqual(terminal.end()[0], 130)
            self.assertIn("the job goes on", terminal.screen.text())
        self.assertEqual(len(rows_of(self.ok("ps", "--json"))), 1)


class JobsTest(JobCase):
    def test_ps(self):
        done = self.place.run("ps")
        self.assertEqual((done.returncode, done.stdout), (0, ""))
        self.assertIn("--all", done.stderr)
        running = self.detach(self.endless(), "--name", "runs")
        self.ok("train", self.trainer(), "--name", "ended", "-q")
        self.assertRegex(self.ok("ps"), rf"\AID .*\n{running}  runs  +train  running  .*\n\Z")
        text = self.ok("ps", "-a")
        self.assertRegex(text, r"(?m)^local:\S+  ended +train  succeeded  .*/output$")
        self.assertEqual([row["name"] for row in rows_of(self.ok("ps", "-a", "--json"))], ["ended", "runs"])

    def test_logs(self):
        self.ok("train", self.trainer(), "--name", "job", "-q")
        lines = self.ok("logs", "job").splitlines()
        self.assertEqual((lines[0], len(lines)), ("begin", 5))
        self.assertEqual(self.ok("logs", "job", "-n", "2").splitlines(), lines[-2:])
        self.assertEqual(self.ok("logs", "-fn2", "job").splitlines(), lines[-2:])
        found = rows(self.ok("logs", "job", "--json"))
        self.assertEqual([row["text"] for row in found], lines)
        self.assertEqual([row["number"] for row in found], [1, 2, 3, 4, 5])

    def test_logs_that_are_hostile(self):
        self.ok("train", self.recipe("print('red \\x1b[31m \\x9b1m', flush=True)"), "--name", "job", "-q")
        self.assertEqual(self.ok("logs", "job"), "red ?[31m ?1m\n")

    def test_follow_logs(self):
        self.detach(self.trainer(2, "time.sleep(1); print('last')"), "--name", "job")
        self.assertEqual(self.ok("logs", "-f", "job").splitlines()[-1], "last")
        self.detach(self.endless(), "--name", "endless")
        process = self.place.start("logs", "-f", "endless")
        self.assertEqual(process.stdout.readline(), "begin\n")
        interrupt(process)
        process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 130)

    def test_metrics(self):
        self.ok("train", self.trainer(), "--name", "job", "-q")
        lines = self.ok("metrics", "job").splitlines()
        self.assertEqual((lines[0], len(lines)), ("step 1/4  loss 4  learning_rate 0.001", 4))
        self.assertEqual(self.ok("metrics", "job", "-n1").splitlines(), lines[-1:])
        self.assertEqual(self.ok("metrics", "-f", "job").splitlines(), lines)
        self.assertEqual([row["loss"] for row in rows(self.ok("metrics", "job", "--json"))][-1], 1)
        with self.place.terminal("metrics", "job") as terminal:
            self.assertEqual(terminal.end()[0], 0)
            self.assertRegex(terminal.screen.text(), r"(?m)^ +4 ┤[⠀-⣿]")
            self.assertIn("step 4/4", terminal.screen.text())

    def test_numbers_that_are_none(self):
        self.ok("train", self.recipe("print('{\"step\": 1, \"loss\": NaN}')", "print('{\"step\": 2, \"loss\": 1e308}')",
                                     "print('{\"step\": 3, \"loss\": -1e308}')"), "--name", "job", "-q")
        with self.place.terminal("metrics", "job") as terminal:
            self.assertEqual(terminal.end()[0], 0)
        rows(self.ok("metrics", "job", "--json"))

    def test_stop_and_remove(self):
        job = self.detach(self.endless(), "--name", "job")
        message, hint = self.fails(1, "rm", "job")
        self.assertIn(job, message)
        self.assertEqual(self.place.run("stop", "job").stderr, "job: stopped\n")
        self.assertEqual(rows_of(self.ok("ps", "-a", "--json"))[0]["state"], "cancelled")
        self.assertEqual(self.place.run("rm", "job").stderr, "job: removed\n")
        self.assertEqual(rows_of(self.ok("ps", "-a", "--json")), [])
        self.fails(3, "rm", "job")

    def test_stop_now(self):
        ignores = self.recipe("import signal, time", "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
                              "print('{\"step\": 1}', flush=True)", "while True: time.sleep(60)")
        self.detach(ignores, "--name", "deaf")
        process = self.place.start("logs", "-f", "deaf")
        process.stdout.readline()  # it ignores the signal from here on
        self.ok("stop", "--now", "deaf")
        process.communicate(timeout=PATIENCE)
        self.assertEqual(rows_of(self.ok("ps", "--json")), [])

    def test_several(self):
        first, second = self.detach(self.endless(), "--name", "first"), self.detach(self.endless(), "--name", "second")
        done = self.place.run("stop", "first", "none", second)
        self.assertEqual(done.returncode, 3)
        self.assertIn('error: there is no job "none"', done.stderr)
        self.assertEqual(rows_of(self.ok("ps", "--json")), [])
        self.ok("rm", first, "second")

    def test_names(self):
        first, second = self.detach(self.endless(), "--name", "twin"), self.detach(self.endless(), "--name", "twin")
        follower = self.place.start("logs", "-f", first)
        while '"step": 2' not in follower.stdout.readline():
            self.assertIsNone(follower.poll(), "its log ended early")
        interrupt(follower)
        follower.communicate(timeout=PATIENCE)
        last = self.ok("logs", first, "-n1")
        for word in (first[:-1], first.removeprefix("local:")):
            self.assertEqual(self.ok("logs", word, "-n1"), last)
        message, hint = self.fails(3, "logs", "twin")
        self.assertIn("several", message)
        self.assertEqual(set(hint.split(", ")), {first, second})
        self.ok("stop", first)
        self.ok("logs", "twin")  # of the two only one runs
        self.fails(3, "logs", "none")


class ServeTest(JobCase):
    def serve(self, *words):
        recipe = json.dumps({"command": ["/usr/bin/python3", SERVER], "port": 0, "health": "/health"})
        return ("serve", "--recipe", recipe, "--name", "echo", *words)

    def test_detach(self):
        done = self.place.run(*self.serve("--detach"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"\Alocal:[0-9a-f]{12} http://127\.0\.0\.1:\d+/v1\n\Z")
        self.assertIn("tenon chat", done.stderr)
        self.assertRegex(self.ok("ps"), r"(?m)^local:\S+  echo +serve  running .* http://127\.0\.0\.1:\d+/v1$")
        self.assertEqual(self.ok("chat", "echo", "hello"), "HELLO (1) \n")
        self.assertRegex(self.ok("key", "echo"), r"\A[0-9a-f]{32}\n\Z")
        self.assertEqual(json.loads(self.ok("key", "echo", "--json")), self.ok("key", "echo").strip())
        self.ok("stop", "echo")
        self.assertIn("has ended", self.fails(1, "key", "echo")[0])

    def test_json(self):
        found = json.loads(self.ok(*self.serve("--detach", "--json")))
        self.assertEqual((found["state"], found["mode"]), ("running", "serve"))

    def test_foreground(self):
        process = self.place.start(*self.serve())
        job, address = process.stdout.readline().split()
        self.assertEqual(self.ok("chat", job, "hello"), "HELLO (1) \n")
        interrupt(process)
        output, remarks = process.communicate(timeout=PATIENCE)
        self.assertEqual((process.returncode, output), (0, ""))
        self.assertIn('{"url": "http://127.0.0.1:', remarks)  # what the server printed
        self.assertTrue(remarks.endswith("stopped\n"), remarks)
        self.assertEqual(rows_of(self.ok("ps", "--json")), [])

    def test_server_that_dies(self):
        done = self.place.run("serve", "--recipe", self.recipe("import sys", "sys.exit('no weights')", port=0, health="/health"))
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("no weights", done.stderr)

    def test_nothing_to_serve(self):
        self.fails(2, "serve")


class ChatTest(Case):
    """Against a server that is no job of ours."""

    @classmethod
    def setUpClass(cls):
        environment = {**os.environ, "TENON_API_KEY": "sk-test"}
        cls.server = subprocess.Popen(["/usr/bin/python3", SERVER], stdout=subprocess.PIPE, text=True, env=environment)
        cls.addClassCleanup(cls.end_server)
        cls.url = json.loads(cls.server.stdout.readline())["url"]

    @classmethod
    def end_server(cls):
        cls.server.terminate()
        cls.server.wait(PATIENCE)
        cls.server.stdout.close()

    def setUp(self):
        self.place = Place(TENON_API_KEY="sk-test")
        self.addCleanup(self.place.remove)

    def test_question(self):
        self.assertEqual(self.ok("chat", self.url, "hello there"), "HELLO THERE (1) \n")

    def test_standard_input(self):
        self.assertEqual(self.ok("chat", self.url, stdin="two\nlines\n\n"), "TWO\nLINES (1) \n")
        self.assertIn("no question", self.fails(2, "chat", self.url, stdin=" \n")[0])

    def test_options(self):
        text = self.ok("chat", self.url, "request", "--system", "Be brief.", "--max-tokens", "7", "--temperature", "0.5")
        self.assertEqual(json.loads(text), {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "request"}],
                                            "max_tokens": 7, "temperature": 0.5})

    def test_json(self):
        found = rows(self.ok("chat", self.url, "think", "--json"))
        self.assertEqual([row["kind"] for row in found][0], "reasoning")
        self.assertEqual("".join(row["text"] for row in found), "THINK (1) ")
        self.assertEqual([row["stop_reason"] for row in found if row["kind"] == "stop"], ["stop"])
        self.assertEqual([row["completion_tokens"] for row in found if row["kind"] == "usage"], [2])

    def test_reasoning(self):
        self.assertEqual(self.ok("chat", self.url, "think"), "THINK (1) \n")
        with self.place.terminal("chat", self.url, "think") as terminal:
            self.assertEqual(terminal.end()[0], 0)
            self.assertEqual(terminal.screen.text(), "Let me see.\n\nTHINK (1)")

    def test_hostile_answer(self):
        self.assertEqual(self.ok("chat", self.url, "hostile"), "red ?[31m and ?31m, back ? and bell ? \n")
        self.assertNotIn("\x9b", self.ok("chat", self.url, "hostile", "--json"))

    def test_errors(self):
        self.fails(4, "chat", self.url, "hello", TENON_API_KEY="sk-wrong")
        self.fails(4, "chat", self.url, "hello", TENON_API_KEY=None)
        self.fails(5, "chat", "http://127.0.0.1:9/v1", "hello", "--setting", "transport.retries=0")
        self.fails(3, "chat", "none", "hello")
        done = self.place.run("chat", self.url, "fail", "--setting", "transport.retries=0")
        self.assertIn("the model fell over", done.stderr)
        self.assertNotEqual(done.returncode, 0)

    def test_conversation(self):
        with self.place.terminal("chat", self.url) as terminal:
            terminal.wait_for(">$")
            terminal.type("hello\n")
            terminal.wait_for(r"HELLO \(1\)\n>$")
            terminal.type("\n")
            terminal.type("and you\n")
            terminal.wait_for(r"AND YOU \(3\)\n>$")  # the question, its answer, and this
            terminal.type("fail\n")
            terminal.wait_for(r"error: (.*\n)+>$")
            terminal.type("still\n")
            terminal.wait_for(r"STILL \(5\)\n>$")
            terminal.type("\x04")
            self.assertEqual(terminal.end()[0], 0)

    def test_interrupt(self):
        with self.place.terminal("chat", self.url) as terminal:
            terminal.wait_for(">$")
            terminal.type("endless\n")
            terminal.wait_for("and on and on")
            terminal.interrupt()
            terminal.wait_for(r"\n>$")
            terminal.type("enough\n")
            terminal.wait_for(r"ENOUGH \(3\)\n>$")
            terminal.interrupt()
            self.assertEqual(terminal.end()[0], 0)
        process = self.place.start("chat", self.url, "endless")
        process.stdout.read(100)
        interrupt(process)
        process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 130)


if __name__ == "__main__":
    suite.main()
