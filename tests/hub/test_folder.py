"""file: hubs: plain folders read as any other hub, and published to. A commit exists whole or not at all."""

import hashlib
import json
import os
import shutil
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import hubtest
from hubtest import FIRST, FRESH, MIB, OFFLINE, PINNED, files_below, read, write

import layout
import repositories
import suite

CARD = repositories.CARD
FILES = {"config.json": "{}\n", "README.md": CARD, "weights/a.bin": b"a" * 3000, "weights/b.bin": b"b" * (MIB + 5), "empty.txt": b"",
         repositories.ODD_NAME: "odd\n"}
HISTORY = ".tenon"
NOBODY = "http://127.0.0.1:9"


def sha256(data):
    return hashlib.sha256(data if isinstance(data, bytes) else data.encode()).hexdigest()


def fill(folder, files):
    """Make files in a folder; None removes one."""
    os.makedirs(folder, exist_ok=True)
    for path, data in files.items():
        if data is None:
            os.unlink(os.path.join(folder, path))
        else:
            write(os.path.join(folder, path), data)


def as_bytes(files):
    return {path: data if isinstance(data, bytes) else data.encode() for path, data in files.items()}


class Case(hubtest.HubTest):
    """A folder of repositories for each test; no server at all."""

    @classmethod
    def setUpClass(cls):
        cls.set_up_scratch()

    def setUp(self):
        self.home = hubtest.tempfile.mkdtemp(dir=self.scratch)
        self.cache = os.path.join(self.home, "hub")
        self.place = os.path.join(self.home, "repositories")
        self.work = os.path.join(self.home, "work")
        os.makedirs(self.place)
        self.url = "file://" + self.place

    def tearDown(self):
        pass

    def start(self, *arguments, hub=None, **options):
        return super().start(*arguments, hub=hub or self.url, **options)

    def path(self, *parts):
        """Of something in the folder of repositories."""
        return os.path.join(self.place, *parts)

    def history(self, *parts, repository="acme/small"):
        return self.path(repository, HISTORY, *parts)

    def publish(self, files, *arguments, repository="acme/small", **options):
        """Publish these files, and nothing else; the commit."""
        shutil.rmtree(self.work, ignore_errors=True)
        fill(self.work, files)
        return self.good("publish", repository, "--folder", self.work, *arguments, **options).text

    def contents(self, revision="main", repository="acme/small"):
        """What a revision has, read through the library: {path: bytes}; every content is what its id says."""
        found = {}
        for row in self.good("list", repository, "--revision", revision).rows:
            data = self.good("read", repository, row["path"], "--revision", revision).bytes
            self.assertEqual(row["bytes"], len(data))
            if row["etag"]:
                self.assertEqual(row["etag"], sha256(data))
            found[row["path"]] = data
        return found

    def head(self, revision="main", repository="acme/small"):
        return self.good("info", repository, "--revision", revision).text

    def plain(self, repository="acme/small"):
        return files_below(self.path(repository), without=(HISTORY,))

    def manifest(self, commit):
        return json.loads(read(self.history("commits", commit + ".json")))

    def assert_whole(self, repository="acme/small"):
        """Every branch names a commit, every commit has its contents, each is what its name says, and nothing lies about."""
        folder = self.path(repository, HISTORY)
        blobs = {name: read(os.path.join(folder, "blobs", name)) for name in os.listdir(os.path.join(folder, "blobs"))}
        for name, data in blobs.items():
            self.assertEqual(sha256(data), name)
        for name in os.listdir(os.path.join(folder, "commits")):
            text = read(os.path.join(folder, "commits", name))
            self.assertEqual(hashlib.sha1(text).hexdigest() + ".json", name)
            for path, facts in json.loads(text)["files"].items():
                self.assertEqual(len(blobs[facts["sha256"]]), facts["size"], path)
        for commit in files_below(os.path.join(folder, "refs", "heads")).values():
            self.assertIn(commit.decode() + ".json", os.listdir(os.path.join(folder, "commits")))


class Reading(Case):
    """A plain folder that nobody has published to."""

    def setUp(self):
        super().setUp()
        fill(self.path("acme/small"), FILES)

    def test_info(self):
        outcome = self.good("info", "acme/small")
        row = outcome.rows[0]
        self.assertRegex(outcome.text, "^[0-9a-f]{40}$")
        self.assertEqual((row["id"], row["commit"], row["files"], row["gated"], row["restricted"], row["license"]),
                         ("acme/small", outcome.text, len(FILES), 0, 0, "apache-2.0"))
        self.assertEqual(row["bytes"], sum(map(len, as_bytes(FILES).values())))

    def test_commit_follows_the_files(self):
        """The same as long as nothing changes; another one for another name, size or time."""
        first = self.head()
        self.assertEqual(self.head(), first)
        seen = {first}
        path = self.path("acme/small", "config.json")
        for change in (lambda: write(path, "{ }\n"), lambda: os.utime(path, (1e9, 1e9)), lambda: os.rename(path, path + "5"), lambda: os.unlink(path + "5")):
            change()
            seen.add(self.head())
        self.assertEqual(len(seen), 5)

    def test_list(self):
        outcome = self.good("list", "acme/small")
        self.assertEqual({row["path"]: row["bytes"] for row in outcome.rows}, {path: len(data) for path, data in as_bytes(FILES).items()})
        self.assertEqual(outcome.text, self.head())
        self.assertEqual(self.good("list", "acme/small", "--folder", "weights").paths(), ["weights/a.bin", "weights/b.bin"])
        self.assertEqual(sorted(self.good("list", "acme/small", "--flat").paths()), sorted({path.split("/")[0] for path in FILES}))
        self.assertEqual(self.good("list", "acme/small", "--allow", "*.json", "--allow", "weights/", "--ignore", "*b.bin").paths(),
                         ["config.json", "weights/a.bin"])
        self.bad("NOT_FOUND", "list", "acme/small", "--folder", "none")
        self.bad("ARGUMENT", "list", "acme/small", "--folder", "../x")

    def test_references(self):
        rows = self.good("references", "acme/small").rows
        self.assertEqual([(row["kind"], row["name"], row["reference"], row["commit"]) for row in rows], [(1, "main", "refs/heads/main", self.head())])

    def test_exists(self):
        commit = self.head()
        self.assertEqual(self.good("exists", "acme/small").text, commit)
        self.good("exists", "acme/small", "weights/a.bin")
        self.good("exists", "acme/small", "config.json", "--revision", commit)
        for code, arguments in (("EntryNotFound", ("acme/small", "none")), ("EntryNotFound", ("acme/small", "weights")), ("RepoNotFound", ("acme/none",)),
                                ("RevisionNotFound", ("acme/small", "--revision", "v1")), ("RevisionNotFound", ("acme/small", "--revision", "c" * 40))):
            outcome = self.bad("NOT_FOUND", "exists", *arguments)
            self.assertEqual(outcome.error["code"], code, str(outcome))

    def test_what_is_not_there(self):
        for command in ("info", "list", "references", "snapshot"):
            outcome = self.bad("NOT_FOUND", command, "acme/none")
            self.assertEqual(outcome.error["code"], "RepoNotFound")
            self.assertIn("owner/name", outcome.error["hint"])
        for command in ("download", "read"):
            self.bad("NOT_FOUND", command, "acme/none", "config.json")
            self.assertEqual(self.bad("NOT_FOUND", command, "acme/small", "Config.json").error["code"], "EntryNotFound")
            self.assertEqual(self.bad("NOT_FOUND", command, "acme/small", "config.json", "--revision", "v1").error["code"], "RevisionNotFound")
            self.bad("ARGUMENT", command, "acme/small", "../x")
        self.assertFalse(os.path.exists(self.folder_of("acme/none")))

    def test_download(self):
        """Into the official layout: named by its SHA-256, as large files of other hubs are."""
        for path, data in as_bytes(FILES).items():
            with self.subTest(path=path):
                outcome = self.good("download", "acme/small", path)
                self.assertEqual(read(outcome.text), data)
                self.assertEqual(os.path.basename(os.path.realpath(outcome.text)), sha256(data))
                progress = outcome.end["progress"]
                self.assertEqual((progress["bytes"], progress["bytes_total"], progress["items"], progress["items_total"]), (len(data), len(data), 1, 1))
        self.assertEqual(read(os.path.join(self.folder_of("acme/small"), "refs", "main")).decode(), self.head())
        self.assert_sound()
        self.assertEqual(layout.breaches(self.cache), [])

    def test_download_again(self):
        path = self.good("download", "acme/small", "weights/b.bin").text
        before = os.stat(path)
        outcome = self.good("download", "acme/small", "weights/b.bin")
        self.assertEqual((outcome.text, os.stat(path).st_ino, os.stat(path).st_mtime_ns), (path, before.st_ino, before.st_mtime_ns))
        self.assertEqual(outcome.end["progress"]["bytes_present"], MIB + 5)
        self.good("download", "acme/small", "weights/b.bin", "--force")
        self.assertNotEqual(os.stat(path).st_ino, before.st_ino)
        self.assert_sound()

    def test_without_the_folder(self):
        """What was fetched is there when the folder has gone, where the policy lets the cache answer."""
        commit = self.head()
        path = self.good("download", "acme/small", "config.json").text
        os.rename(self.path("acme/small"), self.path("elsewhere"))
        self.bad("NOT_FOUND", "download", "acme/small", "config.json")
        self.assertEqual(self.good("download", "acme/small", "config.json", "--policy", FIRST).text, path)
        self.assertEqual(self.good("download", "acme/small", "config.json", "--revision", commit).text, path)
        self.bad("NOT_FOUND", "download", "acme/small", "config.json", "--revision", commit, "--policy", FRESH)

    def test_offline_is_no_hindrance(self):
        """A folder needs no network."""
        for options in ({"environment": {"HF_HUB_OFFLINE": "1"}}, {"settings": {"hub.offline": 1}}):
            self.good("info", "acme/small", **options)
            self.good("list", "acme/small", **options)
            self.good("references", "acme/small", **options)
            self.assertEqual(self.good("read", "acme/small", "config.json", **options).bytes, b"{}\n")
            self.good("snapshot", "acme/small", **options)

    def test_snapshot(self):
        outcome = self.good("snapshot", "acme/small")
        self.assertEqual(files_below(outcome.text), as_bytes(FILES))
        self.assertEqual({row["path"]: row["etag"] for row in outcome.rows}, {path: sha256(data) for path, data in FILES.items()})
        self.assertTrue(outcome.text.endswith("/snapshots/" + self.head()))
        self.assert_sound()
        self.assertEqual(layout.breaches(self.cache), [])
        again = self.good("snapshot", "acme/small")
        self.assertEqual((again.text, again.end["progress"]["bytes_present"]), (outcome.text, sum(map(len, as_bytes(FILES).values()))))
        self.assertEqual(files_below(self.good("snapshot", "acme/small", "--allow", "*.json", cache=self.cache + "2").text), {"config.json": b"{}\n"})

    def test_memory_of_a_snapshot(self):
        """Files that wait for the disk and for each other hold little."""
        fill(self.path("acme/many"), {f"{number}.txt": f"{number}" * 500 for number in range(300)})
        little = self.good("info", "acme/many", build=hubtest.PLAIN).end["peak"]
        peak = self.good("snapshot", "acme/many", build=hubtest.PLAIN).end["peak"]
        self.assertLess(peak - little, 20 * MIB)

    def test_snapshot_into_a_folder(self):
        folder = os.path.join(self.home, "mine")
        self.assertEqual(self.good("snapshot", "acme/small", "--folder", folder).text, folder)
        self.assertEqual(files_below(folder), as_bytes(FILES))
        self.assertFalse(any(os.path.islink(os.path.join(folder, path)) for path in FILES))
        commit, etag, _ = read(os.path.join(folder, ".cache/huggingface/download/config.json.metadata")).decode().splitlines()
        self.assertEqual((commit, etag), (self.head(), sha256("{}\n")))
        write(self.path("acme/small", "config.json"), "{2}\n")
        self.good("snapshot", "acme/small", "--folder", folder)
        self.assertEqual(files_below(folder), as_bytes({**FILES, "config.json": "{2}\n"}))
        self.assertEqual(self.leftovers(folder), [])

    def test_change_between_two_downloads(self):
        old = self.good("snapshot", "acme/small")
        write(self.path("acme/small", "config.json"), "{3}\n")
        os.unlink(self.path("acme/small", "empty.txt"))
        new = self.good("snapshot", "acme/small")
        self.assertNotEqual(new.text, old.text)
        self.assertEqual(files_below(old.text), as_bytes(FILES))
        self.assertEqual(read(os.path.join(new.text, "config.json")), b"{3}\n")
        self.assertFalse(os.path.exists(os.path.join(new.text, "empty.txt")))
        # Nobody can have what a plain folder was before.
        self.bad("NOT_FOUND", "snapshot", "acme/small", "--revision", os.path.basename(old.text), "--policy", FRESH)

    def test_read(self):
        data = as_bytes(FILES)["weights/b.bin"]
        for offset, length in ((0, 0), (0, 1), (5, 70000), (len(data) - 1, 1), (len(data) - 10, 100), (len(data), 10), (len(data) + 5, 0)):
            with self.subTest(offset=offset, length=length):
                wanted = data[offset:offset + length] if length else data[offset:]
                self.assertEqual(self.good("read", "acme/small", "weights/b.bin", "--offset", offset, "--length", length).bytes, wanted)
        self.assertEqual(self.good("read", "acme/small", "empty.txt").bytes, b"")
        self.bad("ARGUMENT", "read", "acme/small", "config.json", "--offset", -1)
        self.assertFalse(os.path.exists(self.cache))

    def test_cache_of_a_folder(self):
        self.good("snapshot", "acme/small")
        self.assertEqual({row["path"]: row["content"] for row in self.good("cached").rows}, {path: 1 for path in FILES})
        self.assertEqual({row["content"] for row in self.good("verify", "acme/small").rows}, {2})
        path = os.path.join(self.folder_of("acme/small"), "snapshots", self.head(), "config.json")
        write(os.path.realpath(path), "{x\n")
        self.assertEqual([row["path"] for row in self.bad("INTEGRITY", "verify").rows if row["content"] == 3], ["config.json"])
        self.good("download", "acme/small", "config.json", "--force")
        self.good("verify")
        self.assertGreater(int(self.good("forget", "acme/small").text), MIB)
        self.assertFalse(os.path.exists(self.folder_of("acme/small")))
        self.assertEqual(self.plain(), as_bytes(FILES))
        self.bad("NOT_FOUND", "forget", "acme/small")

    def test_kinds_of_repositories(self):
        """A model, a data set and a space of one name are three."""
        fill(self.path("datasets/acme/small"), {"data.csv": "x\n"})
        fill(self.path("spaces/acme/small"), {"app.py": "pass\n"})
        self.assertEqual(self.good("list", "datasets/acme/small").paths(), ["data.csv"])
        self.assertEqual(self.good("list", "spaces/acme/small").paths(), ["app.py"])
        self.assertIn("datasets--acme--small", self.good("download", "datasets/acme/small", "data.csv").text)
        self.assertEqual(self.good("info", "datasets/acme/small").rows[0]["type"], 2)
        self.bad("NOT_FOUND", "list", "datasets/acme/other")
        self.good("list", "acme/small@main")
        fill(self.path("alone"), {"x": "y"})
        self.assertEqual(self.good("list", "alone").paths(), ["x"])

    def test_hubs_that_are_none(self):
        write(os.path.join(self.home, "file"), "x")
        for location in ("file:///no/such/folder", "file://" + os.path.join(self.home, "file")):
            self.bad("NOT_FOUND", "info", "acme/small", hub=location)
        self.good("info", "acme/small", hub=self.url + "///")
        self.good("info", "acme/small", hub="", environment={"HF_ENDPOINT": self.url})
        self.bad("ARGUMENT", "info", "../small")
        self.bad("ARGUMENT", "info", "acme/..")

    def test_folder_without_files(self):
        os.makedirs(self.path("acme/empty/sub"))
        self.assertEqual(self.bad("NOT_FOUND", "info", "acme/empty").error["code"], "RepoNotFound")
        self.bad("NOT_FOUND", "snapshot", "acme/empty")

    def test_check(self):
        rows = {row["name"]: row["answer"] for row in self.good("check").rows}
        self.assertEqual((rows["endpoint"], rows["cache"], rows["links"], rows["locks"]), (1, 1, 1, 1))


class ReadingOnWorkers(Reading):
    """The same where other threads read, hash and write."""

    workers = 2


class Hostile(Case):
    """What may lie in a folder, or in a history that somebody else wrote."""

    def test_what_is_left_out(self):
        fill(self.path("acme/small"), {"a": "1", ".git/config": "x", "sub/.git/config": "x", ".cache/huggingface/download/a.metadata": "x",
                                       "b.tenon.incomplete": "x", ".gitattributes": "kept", "sub/c": "2"})
        self.assertEqual(self.good("list", "acme/small").paths(), [".gitattributes", "a", "sub/c"])

    def test_links(self):
        """A link to a file is that file; one to a folder is not followed: it may lead anywhere, also back."""
        fill(self.path("acme/small"), {"a": "1"})
        write(os.path.join(self.home, "outside", "secret"), "s")
        os.symlink("a", self.path("acme/small", "same"))
        os.symlink(os.path.join(self.home, "outside"), self.path("acme/small", "folder"))
        os.symlink(".", self.path("acme/small", "circle"))
        os.symlink("nowhere", self.path("acme/small", "broken"))
        os.mkfifo(self.path("acme/small", "pipe"))
        self.assertEqual(self.good("list", "acme/small").paths(), ["a", "same"])
        self.assertEqual(self.good("read", "acme/small", "same").bytes, b"1")
        self.bad("NOT_FOUND", "read", "acme/small", "folder/secret")
        self.assertEqual(set(files_below(self.good("snapshot", "acme/small").text)), {"a", "same"})

    def test_names(self):
        for name in ("x\ny", "a\\..\\b", "nul", "C:x"):
            with self.subTest(name=name):
                shutil.rmtree(self.path("acme"), ignore_errors=True)
                fill(self.path("acme/small"), {"a": "1", name: "2"})
                for command in ("list", "snapshot", "info"):
                    outcome = self.bad("PROTOCOL", command, "acme/small")
                    self.assertNotIn("\n", outcome.error["message"])
                fill(self.work, {"a": "1", name: "2"})
                self.bad("ARGUMENT", "publish", "acme/other", "--folder", self.work)
                self.good("publish", "acme/other", "--folder", self.work, "--ignore", name.replace("\\", "?"))
                self.assertEqual(self.good("list", "acme/other").paths(), ["a"])
                shutil.rmtree(self.work)

    def test_too_deep(self):
        fill(self.path("acme/small"), {"/".join(["d"] * 70) + "/x": "1"})
        self.assertIn("deep", self.bad("PROTOCOL", "list", "acme/small").error["message"])

    def test_manifests(self):
        """A commit that names a place outside, no hash, or no size."""
        commit = self.publish({"a": "1"})
        good = self.manifest(commit)["files"]["a"]
        before = set(os.listdir(self.home))
        for files in ({"../x": good}, {"/etc/x": good}, {"a//b": good}, {"": good}, {"a": {**good, "sha256": "../../../etc/passwd"}}, {"a": {**good, "sha256": ""}},
                      {"a": {**good, "size": -1}}, {"a": {"size": 1}}, {"a": 5}, {"a": good, "a/b": good}):
            with self.subTest(files=files):
                write(self.history("commits", commit + ".json"), json.dumps({"format": 1, "parent": "", "message": "", "created_ms": 1, "files": files}))
                for command in (("list", "acme/small"), ("snapshot", "acme/small"), ("download", "acme/small", "a"), ("read", "acme/small", "a")):
                    self.bad("PROTOCOL", *command)
                self.bad("PROTOCOL", "publish", "acme/small", "--folder", self.work)
        for text in ("", "nonsense", "[]", "null", '{"format": 2}', "{" * 5000):
            write(self.history("commits", commit + ".json"), text)
            self.assertIn(self.run_driver("list", "acme/small").status, ("PROTOCOL", "UNSUPPORTED"))
        self.assertEqual(set(os.listdir(self.home)) - before, set())

    def test_branches(self):
        commit = self.publish({"a": "1"})
        for text in ("", "../../x", "x" * 1000, commit.upper(), "0" * 40):
            write(self.history("refs", "heads", "main"), text)
            self.assertIn(self.run_driver("list", "acme/small").status, ("PROTOCOL", "NOT_FOUND"))
        write(self.history("refs", "heads", "main"), commit)
        for revision in ("../../commits/" + commit, "..", "/etc/passwd", "a//b"):
            self.bad("ARGUMENT", "list", "acme/small", "--revision", revision)
        for branch in ("../x", "", "/x", "a//b", "x\ny", ".."):
            self.bad("ARGUMENT", "publish", "acme/small", "--folder", self.work, "--branch", branch)
        self.assert_whole()

    def test_contents(self):
        """A content that is not what its name says is found out, and what is missing is said to be so."""
        self.publish({"a": "1", "b": b"b" * (2 * MIB)})
        blob = self.history("blobs", sha256("1"))
        write(blob, "2")
        self.bad("INTEGRITY", "download", "acme/small", "a")
        self.bad("INTEGRITY", "snapshot", "acme/small")
        write(blob, "longer")
        self.bad("INTEGRITY", "download", "acme/small", "a")
        os.unlink(blob)
        self.assertIn(self.run_driver("download", "acme/small", "a").status, ("IO", "NOT_FOUND"))
        self.assertIn(self.run_driver("read", "acme/small", "a").status, ("IO", "NOT_FOUND"))
        for place in hubtest.glob_files(self.cache, "blobs"):
            self.assertEqual(os.path.basename(place), sha256(b"b" * (2 * MIB)))

    def test_view_is_not_written_through_links(self):
        """Plain files are brought in line, but not through a folder that leads elsewhere."""
        outside = os.path.join(self.home, "outside")
        os.makedirs(outside)
        write(os.path.join(outside, "target"), "kept")
        os.makedirs(self.path("acme/small"))
        os.symlink(outside, self.path("acme/small", "sub"))
        os.symlink(os.path.join(outside, "target"), self.path("acme/small", "file"))
        commit = self.publish({"sub/x": "1", "file": "2"}, "--log", 2)
        self.assertEqual(files_below(outside), {"target": b"kept"})
        self.assertEqual(self.contents(commit), {"sub/x": b"1", "file": b"2"})

    def test_history_that_leads_elsewhere(self):
        """A history is not made in what somebody put in its place."""
        outside = os.path.join(self.home, "outside")
        os.makedirs(outside)
        os.makedirs(self.path("acme/small"))
        os.symlink(outside, self.path("acme/small", HISTORY))
        fill(self.work, {"a": "1"})
        self.bad("IO", "publish", "acme/small", "--folder", self.work)
        self.assertEqual(os.listdir(outside), [])

    def test_no_history_but_a_file(self):
        write(self.path("acme/small", HISTORY), "x")
        fill(self.work, {"a": "1"})
        self.bad("IO", "publish", "acme/small", "--folder", self.work)


class Publishing(Case):
    def test_first(self):
        commit = self.publish(FILES, "--message", "The first\none")
        self.assertRegex(commit, "^[0-9a-f]{40}$")
        self.assertEqual(self.head(), commit)
        self.assertEqual(self.contents(), as_bytes(FILES))
        self.assertEqual(self.plain(), as_bytes(FILES))
        manifest = self.manifest(commit)
        self.assertEqual((manifest["format"], manifest["parent"], manifest["message"]), (1, "", "The first\none"))
        self.assertLess(abs(manifest["created_ms"] / 1000 - time.time()), 100)
        self.assertEqual({path: (facts["size"], facts["sha256"]) for path, facts in manifest["files"].items()},
                         {path: (len(data), sha256(data)) for path, data in as_bytes(FILES).items()})
        self.assertEqual(self.good("info", "acme/small").rows[0]["license"], "apache-2.0")
        self.assert_whole()

    def test_progress(self):
        fill(self.work, FILES)
        outcome = self.good("publish", "acme/small", "--folder", self.work, "--progress")
        total, end = sum(map(len, as_bytes(FILES).values())), outcome.end["progress"]
        self.assertEqual((end["bytes"], end["bytes_total"], end["items"], end["items_total"]), (total, total, len(FILES), len(FILES)))
        self.assertEqual([one["bytes"] for one in outcome.progress], sorted(one["bytes"] for one in outcome.progress))

    def test_nothing_changed(self):
        commit = self.publish(FILES)
        self.assertEqual(self.publish(FILES), commit)
        self.assertEqual(self.publish({"config.json": FILES["config.json"]}), commit)
        self.assertEqual(self.publish({}), commit)
        self.assertEqual(self.publish({"new": "x"}, "--allow", "*.json"), commit)
        self.assertEqual(os.listdir(self.history("commits")), [commit + ".json"])

    def test_empty(self):
        commit = self.publish({})
        self.assertEqual(self.contents(commit), {})
        self.assertEqual(self.publish({}), commit)
        self.assertEqual(self.good("snapshot", "acme/small").rows, [])

    def test_changes(self):
        """Files that are not in the folder stay; each commit can be read for ever."""
        commits = [self.publish(FILES), self.publish({"config.json": "{1}\n"}), self.publish({"config.json": "{2}\n", "new/file": "n"})]
        wanted = [as_bytes(FILES), as_bytes({**FILES, "config.json": "{1}\n"}), as_bytes({**FILES, "config.json": "{2}\n", "new/file": "n"})]
        self.assertEqual(len(set(commits)), 3)
        self.assertEqual([self.manifest(commit)["parent"] for commit in commits], ["", *commits[:2]])
        for commit, files in zip(commits, wanted):
            self.assertEqual(self.contents(commit), files)
            self.assertEqual(files_below(self.good("snapshot", "acme/small", "--revision", commit).text), files)
        self.assertEqual(self.plain(), wanted[2])
        self.assert_whole()
        self.assert_sound()
        self.assertEqual(layout.breaches(self.cache), [])

    def test_the_history_is_the_truth(self):
        """Plain files beside a history are a view of it; what is done to them counts when they are published."""
        commit = self.publish(FILES)
        write(self.path("acme/small", "config.json"), "changed by hand")
        os.unlink(self.path("acme/small", "empty.txt"))
        self.assertEqual(self.contents(), as_bytes(FILES))
        newer = self.good("publish", "acme/small", "--folder", self.path("acme/small")).text
        self.assertNotEqual(newer, commit)
        self.assertEqual(self.contents(), as_bytes({**FILES, "config.json": "changed by hand"}))
        self.assertEqual(self.contents(commit), as_bytes(FILES))
        self.assert_whole()

    def test_plain_files_become_the_first_commit(self):
        fill(self.path("acme/small"), FILES)
        commit = self.publish({"config.json": "{1}\n", "new": "n"})
        first = self.manifest(commit)["parent"]
        self.assertEqual(self.contents(first), as_bytes(FILES))
        self.assertEqual(self.contents(commit), as_bytes({**FILES, "config.json": "{1}\n", "new": "n"}))
        self.assertEqual(self.plain(), self.contents(commit))
        self.assertEqual(self.manifest(first)["parent"], "")
        self.assert_whole()

    def test_plain_files_and_nothing_new(self):
        fill(self.path("acme/small"), FILES)
        commit = self.publish({"config.json": FILES["config.json"]})
        self.assertEqual(self.contents(commit), as_bytes(FILES))
        self.assertEqual(os.listdir(self.history("commits")), [commit + ".json"])
        self.assertEqual(self.head(), commit)

    def test_parent(self):
        first = self.publish({"a": "1"})
        second = self.publish({"a": "2"}, "--parent", first)
        fill(self.work, {"a": "3"})
        for parent in (first, "0" * 40, "main", ""):
            with self.subTest(parent=parent):
                outcome = self.bad("CONFLICT", "publish", "acme/small", "--folder", self.work, "--parent", parent)
                self.assertIn("publish again", outcome.error["hint"])
                self.assertEqual(self.head(), second)
        self.assertEqual(self.plain(), {"a": b"2"})
        self.bad("CONFLICT", "publish", "acme/new", "--folder", self.work, "--parent", first)
        self.bad("NOT_FOUND", "info", "acme/new")
        self.publish({"a": "3"}, "--parent", second)
        self.assert_whole()

    def test_parent_of_plain_files(self):
        fill(self.path("acme/small"), {"a": "1"})
        stands = self.head()
        fill(self.work, {"a": "2"})
        self.bad("CONFLICT", "publish", "acme/small", "--folder", self.work, "--parent", "0" * 40)
        self.assertEqual(self.head(), stands)
        self.publish({"a": "2"}, "--parent", stands)
        self.assertEqual(self.contents(), {"a": b"2"})

    def test_branches(self):
        """A new branch begins at main; the plain files show main alone."""
        main = self.publish({"a": "1"})
        branch = self.publish({"b": "2"}, "--branch", "feature/card")
        self.assertEqual(self.contents("feature/card"), {"a": b"1", "b": b"2"})
        self.assertEqual(self.contents("refs/heads/feature/card"), {"a": b"1", "b": b"2"})
        self.assertEqual(self.manifest(branch)["parent"], main)
        self.assertEqual((self.contents(), self.plain()), ({"a": b"1"}, {"a": b"1"}))
        newer = self.publish({"a": "3"}, "--branch", "feature/card", "--parent", branch)
        self.assertEqual(self.contents("feature/card"), {"a": b"3", "b": b"2"})
        rows = {row["reference"]: (row["kind"], row["name"], row["commit"]) for row in self.good("references", "acme/small").rows}
        self.assertEqual(rows, {"refs/heads/main": (1, "main", main), "refs/heads/feature/card": (1, "feature/card", newer)})
        self.assertTrue(self.good("snapshot", "acme/small@feature/card").text.endswith(newer))
        fill(self.work, {"a": "3"})
        self.bad("CONFLICT", "publish", "acme/small", "--folder", self.work, "--branch", "other", "--parent", main)
        self.bad("IO", "publish", "acme/small", "--folder", self.work, "--branch", "feature")
        self.assert_whole()

    def test_branch_with_nothing_new(self):
        main = self.publish({"a": "1"})
        self.assertEqual(self.publish({"a": "1"}, "--branch", "same"), main)
        self.assertEqual(self.head("same"), main)

    def test_branch_before_main(self):
        commit = self.publish({"a": "1"}, "--branch", "dev")
        self.assertEqual(self.contents("dev"), {"a": b"1"})
        self.bad("NOT_FOUND", "list", "acme/small")
        self.assertEqual([row["name"] for row in self.good("references", "acme/small").rows], ["dev"])
        self.publish({"b": "2"})
        self.assertEqual(self.contents(), {"b": b"2"})
        self.assertEqual(self.head("dev"), commit)

    def test_patterns(self):
        files = {**FILES, ".git/config": "x", ".cache/huggingface/x": "x", "sub/.git/x": "x"}
        self.publish(files, "--allow", "*.json", "--allow", "weights/", "--ignore", "*b.bin")
        self.assertEqual(set(self.contents()), {"config.json", "weights/a.bin"})
        self.publish(files, repository="acme/all")
        self.assertEqual(self.contents(repository="acme/all"), as_bytes(FILES))

    def test_same_content_is_kept_once(self):
        self.publish({f"{number}.bin": b"x" * 5000 for number in range(5)})
        self.assertEqual(os.listdir(self.history("blobs")), [sha256(b"x" * 5000)])

    def test_a_snapshot_of_the_cache(self):
        """Its links are followed: they are the files."""
        self.publish(FILES)
        folder = self.good("snapshot", "acme/small").text
        self.good("publish", "acme/copy", "--folder", folder)
        self.assertEqual(self.contents(repository="acme/copy"), as_bytes(FILES))

    def test_links_in_the_folder(self):
        outside = os.path.join(self.home, "outside")
        fill(outside, {"secret": "s"})
        fill(self.work, {"a": "1"})
        os.symlink(outside, os.path.join(self.work, "folder"))
        os.symlink("nowhere", os.path.join(self.work, "broken"))
        self.good("publish", "acme/small", "--folder", self.work)
        self.assertEqual(self.contents(), {"a": b"1"})

    def test_kinds_of_repositories(self):
        self.publish({"a": "1"}, repository="datasets/acme/small")
        self.assertEqual(self.contents(repository="datasets/acme/small"), {"a": b"1"})
        self.bad("NOT_FOUND", "info", "acme/small")

    def test_arguments(self):
        write(os.path.join(self.home, "file"), "x")
        self.bad("ARGUMENT", "publish", "acme/small")
        for folder in (os.path.join(self.home, "none"), os.path.join(self.home, "file")):
            self.bad("NOT_FOUND", "publish", "acme/small", "--folder", folder)
        for name in ("../x", "a/b/c", "", "a b"):
            self.bad("ARGUMENT", "publish", name, "--folder", self.home)
        self.assertEqual(os.listdir(self.place), [])

    def test_other_hubs(self):
        fill(self.work, FILES)
        outcome = self.bad("UNSUPPORTED", "publish", "acme/small", "--folder", self.work, hub=NOBODY)
        self.assertIn("file:///folder", outcome.error["hint"])

    def test_large(self):
        """In bounded memory, whatever its size."""
        os.makedirs(self.work)
        with open(os.path.join(self.work, "large.bin"), "wb") as file:
            file.truncate(96 * MIB)
        outcome = self.good("publish", "acme/small", "--folder", self.work, build=hubtest.PLAIN)
        self.assertLess(outcome.end["peak"], 32 * MIB)
        outcome = self.good("download", "acme/small", "large.bin", build=hubtest.PLAIN)
        self.assertLess(outcome.end["peak"], 32 * MIB)
        self.assertEqual(os.path.getsize(outcome.text), 96 * MIB)

    def test_file_that_becomes_a_folder(self):
        """What cannot stand beside the parent's files is refused, and nothing is changed."""
        commit = self.publish({"a": "1"})
        fill(os.path.join(self.home, "other"), {"a/b": "2"})
        self.bad("ARGUMENT", "publish", "acme/small", "--folder", os.path.join(self.home, "other"))
        self.assertEqual((self.head(), self.contents()), (commit, {"a": b"1"}))
        commit = self.publish({"b/c": "3"})
        fill(os.path.join(self.home, "third"), {"b": "4"})
        self.bad("ARGUMENT", "publish", "acme/small", "--folder", os.path.join(self.home, "third"))
        self.assertEqual(self.head(), commit)
        self.assert_whole()


class Together(Case):
    """Several publishers at once, and readers between them."""

    build = hubtest.PLAIN

    def start_publisher(self, number, *arguments, **options):
        folder = os.path.join(self.home, f"work-{number}")
        fill(folder, {f"{number}.txt": f"{number}\n", "shared.bin": bytes([number]) * 300000})
        return self.start("publish", "acme/small", "--folder", folder, *arguments, **options)

    def chain(self, commit):
        """The commit and all before it."""
        found = []
        while commit:
            found.append(commit)
            commit = self.manifest(commit)["parent"]
        return found

    def test_one_after_the_other(self):
        """Nobody's files are lost: each stands on the one before."""
        running = [self.start_publisher(number) for number in range(6)]
        commits = set()
        for one in running:
            outcome = one.wait()
            self.assertEqual(outcome.status, "OK", str(outcome))
            commits.add(outcome.text)
        self.assertEqual(set(self.chain(self.head())), commits)
        self.assertEqual(set(self.contents()), {f"{number}.txt" for number in range(6)} | {"shared.bin"})
        self.assertEqual(self.plain(), self.contents())
        self.assert_whole()

    def test_on_one_parent(self):
        parent = self.publish({"a": "1"})
        outcomes = [one.wait() for one in [self.start_publisher(number, "--parent", parent) for number in range(5)]]
        self.assertEqual(sorted(outcome.status for outcome in outcomes), ["CONFLICT"] * 4 + ["OK"])
        winner = next(outcome.text for outcome in outcomes if outcome.status == "OK")
        self.assertEqual((self.head(), self.manifest(winner)["parent"]), (winner, parent))
        self.assertEqual(len(self.contents()), 3)
        self.assert_whole()

    def test_on_plain_files(self):
        fill(self.path("acme/small"), FILES)
        for one in [self.start_publisher(number) for number in range(4)]:
            outcome = one.wait()
            self.assertEqual(outcome.status, "OK", str(outcome))
        self.assertEqual(len(self.chain(self.head())), 5)
        self.assertEqual(self.contents(self.chain(self.head())[-1]), as_bytes(FILES))
        self.assert_whole()

    def test_readers_meanwhile(self):
        """Whoever reads meanwhile has one commit or another, and always all of it."""
        first = self.publish({"1.txt": "1\n", "shared.bin": bytes([1]) * 300000})
        publishers = [self.start_publisher(number) for number in range(2, 6)]
        while any(one.process.poll() is None for one in publishers):
            folder = self.good("snapshot", "acme/small", cache=os.path.join(self.home, "reader")).text
            found, wanted = files_below(folder), self.manifest(os.path.basename(folder))["files"]
            self.assertEqual({path: sha256(data) for path, data in found.items()}, {path: facts["sha256"] for path, facts in wanted.items()})
        for one in publishers:
            self.assertEqual(one.wait().status, "OK")
        self.assertEqual(self.chain(self.head())[-1], first)

    def test_locks_that_lie(self):
        """Where a file system grants a lock to everybody a publication may be refused or overtaken, but nothing is half."""
        self.publish({"a": "1"})
        for fault in ("lie", "none"):
            outcomes = [one.wait() for one in [self.start_publisher(number, preload={"FAULTS_LOCKS": fault}) for number in range(4)]]
            self.assertIn("OK", {outcome.status for outcome in outcomes})
            self.assertIn(self.head(), {outcome.text for outcome in outcomes if outcome.status == "OK"})
            self.contents()
        self.publish({"last": "1"})
        self.assert_whole()

    def test_lock_that_is_held(self):
        import fcntl
        commit = self.publish({"a": "1"})
        with open(self.history("lock"), "rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            fill(self.work, {"a": "2"})
            outcome = self.bad("BUSY", "publish", "acme/small", "--folder", self.work, settings={"hub.lock_ms": 200})
            self.assertIn(self.history("lock"), outcome.error["hint"])
            self.assertEqual(self.contents(commit), {"a": b"1"})
            running = self.start("publish", "acme/small", "--folder", self.work)
            time.sleep(0.2)
            fcntl.flock(held, fcntl.LOCK_UN)
        self.assertEqual(running.wait().status, "OK")

    def longest_wait(self, *arguments, **options):
        """The most bytes that one call has to make durable in a run."""
        report = os.path.join(self.home, "waits")
        outcome = self.good(*arguments, settings={"hub.part_bytes": 4 * MIB}, preload={"FAULTS_WAITS": report}, **options)
        waits = int(read(report))
        self.assertGreater(waits, 0)
        return waits, outcome

    def test_the_disk_is_never_far_behind(self):
        """No turn of the loop waits until all of a large file is durable: it becomes so on the way."""
        data = os.urandom(MIB) * 40
        fill(self.work, {"large.bin": data})
        waits, _ = self.longest_wait("publish", "acme/small", "--folder", self.work)
        self.assertLessEqual(waits, 5 * MIB)
        self.assertEqual(self.plain(), {"large.bin": data})
        for arguments in ((), ("--folder", os.path.join(self.home, "into"))):
            waits, outcome = self.longest_wait("download", "acme/small", "large.bin", *arguments)
            self.assertLessEqual(waits, 5 * MIB)
            self.assertEqual(read(outcome.text), data)

    def test_cancelled(self):
        commit = self.publish({"a": "1"})
        fill(self.work, {"b.bin": b"b" * (8 * MIB), "c.bin": b"c" * (8 * MIB)})
        for at in (0, 1, 3 * MIB, 9 * MIB):
            outcome = self.run_driver("publish", "acme/small", "--folder", self.work, "--cancel-at", at, build=hubtest.CHECKED)
            self.assertEqual((outcome.status, self.head()), ("CANCELLED", commit))
            self.assert_whole()
        outcome = self.good("publish", "acme/small", "--folder", self.work, "--cancel-at", 3 * MIB, "--again", build=hubtest.CHECKED)
        self.assertEqual([end["status"] for end in outcome.ends], ["TENON_ERROR_CANCELLED", "TENON_OK"])
        self.assertEqual(set(self.contents()), {"a", "b.bin", "c.bin"})


class Faults(Case):
    """Killed, failing, and out of room at every moment: the old commit stands or the new one, and the next publication mends the rest."""

    build = hubtest.PLAIN
    # A process is killed, never the machine: nothing has to be durable, and it is much quicker so.
    quick = {"FAULTS_SYNC": "none"}
    old = {"config.json": "{}\n", "weights/a.bin": b"a" * 3000, "kept.txt": "kept\n"}
    new = {"config.json": "{1}\n", "weights/a.bin": b"A" * 3000, "added/b.bin": b"b" * 100000}

    def setUp(self):
        super().setUp()
        fill(self.work, self.new)

    def again_from(self, prepare):
        """The repository as prepare makes it; what it has: None where there is none."""
        shutil.rmtree(self.path("acme"), ignore_errors=True)
        return prepare()

    def nothing(self):
        return None

    def plain_files(self):
        fill(self.path("acme/small"), self.old)
        return as_bytes(self.old)

    def published(self):
        source = os.path.join(self.home, "prepared")
        if not os.path.exists(source):
            fill(source + "-files", self.old)
            self.good("publish", "acme/small", "--folder", source + "-files")
            os.rename(self.path("acme"), source)
        shutil.copytree(source, self.path("acme"), symlinks=True)
        return as_bytes(self.old)

    def seen(self):
        """What the library lists, read from the disk; None where there is no repository. Every content has its hash."""
        outcome = self.run_driver("list", "acme/small")
        if outcome.status == "NOT_FOUND":
            return None
        self.assertEqual(outcome.status, "OK", str(outcome))
        found = {}
        for row in outcome.rows:
            found[row["path"]] = read(self.history("blobs", row["etag"]) if row["etag"] else self.path("acme/small", row["path"]))
            self.assertIn(row["etag"], ("", sha256(found[row["path"]])))
        return found

    def judge(self, before, outcome, name):
        """After the fault there is the old commit or the new one, or none where there was none; then a publication mends the rest."""
        after = {**(before or {}), **as_bytes(self.new)}
        found = self.seen()
        self.assertTrue(found == after or (found == before and outcome.status != "OK"), f"{name}: {found and sorted(found)}")
        again = self.good("publish", "acme/small", "--folder", self.work, preload=self.quick)
        self.assertEqual((self.seen(), self.plain()), (after, after), name)
        self.assertEqual(read(self.history("refs", "heads", "main")).decode(), again.text)
        self.assert_whole()

    def count_of_changes(self, prepare):
        """How many changes of files and names a publication makes."""
        self.again_from(prepare)
        report = os.path.join(self.home, "report")
        self.good("publish", "acme/small", "--folder", self.work, preload={"FAULTS_BELOW": self.place, "FAULTS_REPORT": report, **self.quick})
        return int(read(report))

    def every_moment(self, fault, allowed):
        for prepare in (self.nothing, self.plain_files, self.published):
            count = self.count_of_changes(prepare)
            self.assertGreater(count, 10)
            for moment in range(1, count + 1):
                name = f"{prepare.__name__}, change {moment} of {count}"
                before = self.again_from(prepare)
                outcome = self.run_driver("publish", "acme/small", "--folder", self.work,
                                          preload={fault: moment, "FAULTS_BELOW": self.place, **self.quick})
                self.assertIn(outcome.status, allowed, f"{name}: {outcome}")
                self.judge(before, outcome, name)
            print(f"{prepare.__name__}: {count} changes ... ", end="", flush=True)

    def test_killed_at_every_change(self):
        self.every_moment("FAULTS_KILL_AT", ("",))

    def test_every_change_fails_once(self):
        self.every_moment("FAULTS_FAIL_AT", ("IO", "OK"))

    def test_every_amount_of_room(self):
        """The repository is unchanged where there was no room; only its view may be behind."""
        for prepare in (self.nothing, self.plain_files, self.published):
            for room in (0, 1, 500, 3000, 3001, 50000, 103000, 103400, 104500, 150000, 206000):
                with self.subTest(prepare=prepare.__name__, room=room):
                    before = self.again_from(prepare)
                    outcome = self.run_driver("publish", "acme/small", "--folder", self.work, "--log", 2, preload={"FAULTS_ROOM": room, **self.quick})
                    self.assertIn(outcome.status, ("DISK_FULL", "OK"), str(outcome))
                    if outcome.status == "DISK_FULL":
                        self.assertTrue(outcome.error["hint"])
                        self.assertEqual(self.seen(), before)
                    elif outcome.log:
                        self.assertIn("behind the commit", outcome.log[-1]["text"])
                    self.judge(before, outcome, str(room))

    def test_unreadable_file(self):
        self.again_from(self.published)
        before = self.head()
        path = os.path.join(self.work, "weights/a.bin")
        outcome = self.bad("IO", "publish", "acme/small", "--folder", self.work, preload={"FAULTS_UNREADABLE": path})
        self.assertIn(path, outcome.error["message"])
        self.assertEqual(self.head(), before)
        self.assert_whole()

    def test_unreadable_repository(self):
        self.again_from(self.published)
        for below in ("refs", "commits"):
            self.bad("IO", "list", "acme/small", preload={"FAULTS_UNREADABLE": self.history(below)})
        self.bad("IO", "download", "acme/small", "config.json", preload={"FAULTS_UNREADABLE": self.history("blobs")})
        self.bad("IO", "read", "acme/small", "config.json", preload={"FAULTS_UNREADABLE": self.history("blobs")})

    def test_read_only(self):
        self.again_from(self.published)
        before = self.head()
        sealed = {"FAULTS_READ_ONLY": self.place}
        outcome = self.bad("IO", "publish", "acme/small", "--folder", self.work, preload=sealed)
        self.assertIn("read-only", outcome.error["hint"])
        self.bad("IO", "publish", "acme/new", "--folder", self.work, preload=sealed)
        for command in (("info", "acme/small"), ("list", "acme/small"), ("references", "acme/small"), ("snapshot", "acme/small"), ("read", "acme/small", "kept.txt")):
            self.good(*command, preload=sealed)
        self.assertEqual(self.head(), before)

    def test_killed_at_random(self):
        """The same with the clock, over more data."""
        fill(self.work, {f"{number}.bin": os.urandom(600000) for number in range(6)})
        self.new = files_below(self.work)
        delay, kills = 0.002, 0
        while delay < 0.4:
            before = self.again_from(self.published)
            running = self.start("publish", "acme/small", "--folder", self.work)
            time.sleep(delay)
            outcome = running.kill()
            kills += outcome.code != 0
            self.judge(before, outcome, f"after {delay:.3f} s")
            if outcome.code == 0:
                break
            delay *= 1.4
        self.assertGreater(kills, 1)


class Parity(hubtest.HubTest):
    """The same repository from a server and from a folder: the same answers."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.small = cls.hub.put_repository(repositories.small_model())

    def setUp(self):
        super().setUp()
        self.place = os.path.join(self.home, "repositories")
        os.makedirs(self.place)
        self.folder = "file://" + self.place
        snapshot = self.good("snapshot", "acme/small", cache=self.cache + "-source").text
        self.good("publish", "acme/small", "--folder", snapshot, hub=self.folder)

    def both(self, *arguments):
        """Their outcomes; each in a cache of its own."""
        return [self.run_driver(*arguments, cache=self.cache + "-http"), self.run_driver(*arguments, hub=self.folder, cache=self.cache + "-file")]

    def test_answers(self):
        for arguments in (("info", "acme/small"), ("list", "acme/small"), ("list", "acme/small", "--flat"), ("list", "acme/small", "--folder", "tokenizer"),
                          ("list", "acme/small", "--allow", "*.json"), ("snapshot", "acme/small", "--ignore", "*.md"), ("snapshot", "acme/small"),
                          ("cached",), ("verify",)):
            with self.subTest(arguments=arguments):
                http, file = self.both(*arguments)
                self.assertEqual((http.status, file.status), ("OK", "OK"), f"{http}{file}")
                shape = [sorted((row.get("path", ""), row["bytes"], row.get("files"), row.get("content"), row.get("kind"))
                                for row in outcome.rows) for outcome in (http, file)]
                self.assertEqual(*shape)
                self.assertEqual(http.end["progress"]["items_total"], file.end["progress"]["items_total"])

    def test_failures(self):
        for arguments in (("info", "acme/none"), ("list", "acme/none"), ("snapshot", "acme/none"), ("download", "acme/small", "none"), ("read", "acme/small", "none"),
                          ("exists", "acme/small", "none"), ("download", "acme/small", "config.json", "--revision", "none"), ("info", "acme/small", "--revision", "c" * 40),
                          ("list", "acme/small", "--folder", "none"), ("download", "acme/small", "../x"), ("info", "a b"), ("forget", "acme/none")):
            with self.subTest(arguments=arguments):
                http, file = self.both(*arguments)
                self.assertEqual((http.status, http.error["code"] if "acme/none" not in arguments else ""),
                                 (file.status, file.error["code"] if "acme/none" not in arguments else ""), f"{http}{file}")

    def test_bytes(self):
        for arguments in (("README.md",), ("model.safetensors", "--offset", 100, "--length", 70000), (repositories.ODD_NAME,), ("empty.txt",)):
            http, file = self.both("read", "acme/small", *arguments)
            self.assertEqual((http.status, http.bytes), (file.status, file.bytes), f"{http}{file}")

    def test_into_one_cache(self):
        """What came from one hub is found by the other: a cache knows contents, not servers."""
        self.good("snapshot", "acme/small")
        self.good("snapshot", "acme/small", hub=self.folder)
        self.good("verify")
        self.assert_sound()
        self.assertEqual(layout.breaches(self.cache), [])


if __name__ == "__main__":
    suite.main()
