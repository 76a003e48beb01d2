"""Caches exchanged with huggingface_hub 2.x and 1.x, unmodified: what one of the two fetched the other one finds."""

import json
import os
import shutil
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))

import clients
import exchange
import hubtest
import layout
import repositories
import suite
from exchange import DATA, LARGE, MIB, MODEL, OFFLINE, PARTS, SPACE, files_below, read


class Python(exchange.Exchange):
    major = None

    @classmethod
    def start_client(cls, **more):
        return clients.PythonClient(cls.major, cls.hub.url, cls.scratch, **more)

    def get(self, filename, identity="acme/small", client=None, **arguments):
        """Download one file with the client; where it is."""
        return (client or self.client).call("hf_hub_download", repo_id=identity, filename=filename, token=False,
                                            **{"cache_dir": self.cache, **arguments})

    def get_all(self, identity="acme/small", kind="model", client=None, **arguments):
        return (client or self.client).call("snapshot_download", repo_id=identity, repo_type=kind, token=False,
                                            **{"cache_dir": self.cache, **arguments})

    def begin_large(self, client, **arguments):
        client.begin("hf_hub_download", repo_id="acme/large", filename="model.bin", token=False, **{"cache_dir": self.cache, **arguments})

    def hf(self, *arguments, fails=False):
        """The `hf` program; what it says as JSON."""
        done = self.client.hf(*arguments, "--format", "json")
        self.assertEqual(done.returncode != 0, fails, f"hf {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return json.loads(done.stdout) if done.stdout.strip() else None

    def scan(self):
        """What the client finds in the cache, as `seen_by_tenon` has it; without a warning."""
        found = self.client.call("scan_cache_dir", cache_dir=self.cache)
        self.assertEqual(found["warnings"], [])
        seen = set()
        for repository in found["repos"]:
            prefix = {"model": "", "dataset": "datasets/", "space": "spaces/"}[repository["repo_type"]]
            for revision in repository["revisions"]:
                for file in revision["files"]:
                    seen.add((prefix + repository["repo_id"], revision["commit_hash"], os.path.relpath(file["file_path"], revision["snapshot_path"]),
                              file["size_on_disk"], os.path.basename(file["blob_path"])))
        return seen


class Theirs(Python):
    """The client filled the cache; tenon finds everything."""

    def test_every_kind_of_revision(self):
        self.check_revisions_of_theirs()

    def test_every_type(self):
        for identity, name, kind in (MODEL, DATA, SPACE):
            with self.subTest(kind=kind):
                folder = self.get_all(identity, kind)
                self.hub.clear_requests()
                outcome = self.good("snapshot", name, "--policy", OFFLINE)
                self.assertEqual(outcome.text.rstrip("/"), folder)
                self.assert_holds(folder, identity)
                commit = self.repositories[identity]["sha"]
                self.good("snapshot", name, "--revision", commit)
                self.assertEqual(self.asked(), [])
                self.good("snapshot", name)
                self.assertEqual(self.asked(), [("GET", "revision")])
                self.assertEqual(self.assert_verified(name), set(self.facts(identity)))
                self.assertEqual(len(self.good("list", name, "--policy", OFFLINE).rows), len(self.facts(identity)))
        self.assertEqual(self.seen_by_tenon(), self.scan())

    def test_only_some_files(self):
        self.get_all(allow_patterns=["*.json"])
        self.hub.clear_requests()
        chosen = self.good("snapshot", "acme/small", "--allow", "*.json", "--policy", OFFLINE)
        self.assertEqual(set(files_below(chosen.text)), {"config.json", "tokenizer/tokenizer.json"})
        self.bad("OFFLINE", "snapshot", "acme/small", "--policy", OFFLINE)
        self.good("snapshot", "acme/small", "--revision", self.small["sha"])
        self.assertNotIn(("GET", "tree"), self.asked())
        self.assertFalse([file for file in self.content() if file.endswith(".json")])
        self.assert_holds(chosen.text, "acme/small")

    def test_what_does_not_exist(self):
        with self.assertRaises(clients.ClientError):
            self.get("none.txt")
        self.hub.clear_requests()
        self.bad("NOT_FOUND", "exists", "acme/small", "none.txt", "--policy", OFFLINE)
        self.assertEqual(self.asked(), [])
        self.get("README.md")  # the note alone is no repository

    def test_same_content_at_another_commit(self):
        self.get("model.safetensors", revision="v1.0")
        self.hub.clear_requests()
        self.good("download", "acme/small", "model.safetensors", "--revision", "feature/card")
        self.assert_no_content()

    def test_branch_moved_on(self):
        self.hub.put_repository(repositories.small_model("acme/moving"))
        self.get("README.md", "acme/moving")
        later = self.hub.commit("acme/moving", branch="main", files={"README.md": "# Later\n"})
        outcome = self.good("download", "acme/moving", "README.md")
        self.assertEqual((read(outcome.text), later in outcome.text), (b"# Later\n", True))
        self.hub.clear_requests()
        self.assertEqual(self.get("README.md", "acme/moving", local_files_only=True), outcome.text)
        self.assertEqual(self.asked(), [])
        self.assertEqual(self.seen_by_tenon(), self.scan())


class Ours(Python):
    """tenon filled the cache; the client finds everything."""

    def test_every_kind_of_revision(self):
        self.check_revisions_of_ours()

    def test_every_type(self):
        offline = self.another_client(HF_HUB_OFFLINE="1")
        for identity, name, kind in (MODEL, DATA, SPACE):
            with self.subTest(kind=kind):
                folder = self.good("snapshot", name).text.rstrip("/")
                self.hub.clear_requests()
                self.assertEqual(self.get_all(identity, kind, local_files_only=True), folder)
                self.assertEqual(self.get_all(identity, kind, client=offline), folder)
                self.assertEqual(self.get_all(identity, kind, revision=self.repositories[identity]["sha"]), folder)
                self.assertEqual(self.asked(), [])
                self.assertEqual(self.get_all(identity, kind), folder)
                self.assertEqual(len(self.asked()), 1)
                self.assert_holds(folder, identity)
        self.assertEqual(self.scan(), self.seen_by_tenon())

    def test_only_some_files(self):
        self.good("snapshot", "acme/small", "--allow", "*.json")
        self.hub.clear_requests()
        folder = self.get_all(allow_patterns=["*.json"], local_files_only=True)
        self.assertEqual(set(files_below(folder)), {"config.json", "tokenizer/tokenizer.json"})
        with self.assertRaises(clients.ClientError):
            self.get_all(local_files_only=True)
        self.get_all()
        self.assertFalse([file for file in self.content() if file.endswith(".json")])
        self.assert_holds(folder, "acme/small")

    def test_file_after_file(self):
        """Without a listing the client has to take the folder as it is."""
        for path in self.small["files"]:
            self.good("download", "acme/small", path)
        self.hub.clear_requests()
        self.assert_holds(self.get_all(local_files_only=True), "acme/small")
        self.get_all()
        self.assert_no_content()

    def test_what_does_not_exist(self):
        self.bad("NOT_FOUND", "download", "acme/small", "none.txt")
        found = self.client.call("try_to_load_from_cache", repo_id="acme/small", filename="none.txt", cache_dir=self.cache)
        self.assertRegex(found, "^<object object")  # its way to say that it is known not to exist; a path, or None, otherwise
        self.good("download", "acme/small", "README.md")

    def test_same_content_at_another_commit(self):
        self.good("download", "acme/small", "model.safetensors", "--revision", "v1.0")
        self.hub.clear_requests()
        self.get("model.safetensors", revision="feature/card")
        self.assert_no_content()


class WithoutLinks(Python):
    """Where links are not wanted, snapshots hold the files themselves."""

    allowed = ("is no link",)

    def test_theirs(self):
        self.get_all(client=self.another_client(HF_HUB_DISABLE_SYMLINKS="1"))
        self.hub.clear_requests()
        for settings in ({}, {"hub.no_links": 1}):
            self.assert_holds(self.good("snapshot", "acme/small", settings=settings).text, "acme/small")
        self.assert_no_content()
        self.assert_verified("acme/small")

    def test_ours(self):
        folder = self.good("snapshot", "acme/small", settings={"hub.no_links": 1}).text.rstrip("/")
        self.hub.clear_requests()
        self.assertEqual(self.get_all(), folder)
        self.assertEqual(self.get_all(client=self.another_client(HF_HUB_DISABLE_SYMLINKS="1")), folder)
        self.assert_no_content()
        self.scan()


class OneFile(Python, exchange.OneFile):
    """What every client is asked for."""

    def get_large_offline(self):
        self.get("model.bin", "acme/large", client=self.another_client(HF_HUB_OFFLINE="1"))


class HalfWay(Python):
    """One of the two is killed; the other one finishes."""

    build = hubtest.PLAIN

    def test_theirs_pruned(self):
        self.hub.faults({"origin": "cdn", "stall": {"at": 15 * MIB}})
        client = self.another_client()
        self.begin_large(client)
        self.hub.wait(stalled=1)
        client.kill()
        self.hub.clear()
        self.assertEqual(len(self.unfinished()), 1)
        self.hf("cache", "prune", "--cache-dir", self.cache, "--yes")
        self.assertEqual(self.unfinished(), [])
        self.assert_large(self.good("download", "acme/large", "model.bin", settings=PARTS).text)

    def test_ours_seen(self):
        self.stop_tenon_half_way()
        self.assertEqual(len(self.client.call("scan_cache_dir", cache_dir=self.cache)["incomplete_files"]), 2)
        self.assertEqual(self.scan(), set())

    def test_ours_pruned(self):
        self.stop_tenon_half_way()
        self.hf("cache", "prune", "--cache-dir", self.cache, "--yes")
        self.assertEqual(self.unfinished(), [])
        self.assert_large(self.good("download", "acme/large", "model.bin", settings=PARTS).text)
        self.assertEqual(self.sent_of_large(), LARGE)

    def test_ours_pruned_under_its_feet(self):
        """`hf cache prune` takes no locks and removes what a living tenon writes to. Nothing is lost by it."""
        self.hub.faults({"origin": "cdn", "stall": {"at": 4 * MIB}})
        running = self.start("download", "acme/large", "model.bin", settings={"hub.parts": 1})
        hubtest.wait_for_durable(self, 4 * MIB)
        self.hf("cache", "prune", "--cache-dir", self.cache, "--yes")
        self.assertEqual(self.unfinished(), [])
        self.hub.clear_faults()
        outcome = running.wait()
        self.assertEqual(outcome.status, "OK", str(outcome))
        self.assert_large(outcome.text)
        self.assertEqual(self.sent_of_large(), LARGE)
        self.assertEqual(self.unfinished(), [])

    def test_snapshot_of_theirs(self):
        self.hub.faults({"path": "model.safetensors", "stall_headers": True})
        client = self.start_client()
        client.begin("snapshot_download", repo_id="acme/small", token=False, cache_dir=self.cache, max_workers=1)
        self.hub.wait(stalled=1)
        client.kill()
        here = {os.path.basename(path) for path in hubtest.glob_files(self.cache, "blobs")}
        self.hub.clear()
        outcome = self.good("snapshot", "acme/small")
        self.assert_holds(outcome.text, "acme/small")
        self.assertFalse({one["etag"] for one in self.hub.counts()} & here)

    def test_snapshot_of_ours(self):
        self.hub.faults({"path": "model.safetensors", "stall_headers": True})
        running = self.start("snapshot", "acme/small", settings={"hub.files": 1})
        self.hub.wait(stalled=1)
        running.kill()
        here = {os.path.basename(path) for path in hubtest.glob_files(self.cache, "blobs")}
        self.hub.clear()
        self.assert_holds(self.get_all(), "acme/small")
        self.assertFalse({one["etag"] for one in self.hub.counts()} & here)


class AtOnce(Python):
    """Both at work on the same."""

    build = hubtest.PLAIN

    def test_snapshots(self):
        identities = ("acme/small", "acme/many")
        for identity in identities:
            with self.subTest(identity=identity):
                self.client.begin("snapshot_download", repo_id=identity, token=False, cache_dir=self.cache)
                self.check_snapshots_at_once(identity)
        self.assertEqual(self.unfinished(), [])
        self.assertEqual(self.scan(), self.seen_by_tenon())


class LocalFolder(Python):
    """Files in a folder of the user's, with the notes that both keep beside them."""

    def setUp(self):
        super().setUp()
        self.folder = os.path.join(self.home, "folder")

    def get_all(self, *arguments, **options):
        """The client notes in its cache what it did here, and leaves that half made: it has one of its own."""
        return super().get_all(*arguments, cache_dir=os.path.join(self.home, "theirs"), local_dir=self.folder, **options)

    def get_here(self, filename, identity="acme/small", **arguments):
        return self.get(filename, identity, local_dir=self.folder, cache_dir=None, **arguments)

    def test_theirs(self):
        for revision, commit, card in self.revisions():
            with self.subTest(revision=revision):
                path = self.get_here("README.md", revision=revision)
                self.hub.clear_requests()
                outcome = self.good("download", "acme/small", "README.md", "--revision", commit, "--folder", self.folder)
                self.assertEqual((outcome.text, read(path).decode()), (path, card))
                self.assertEqual(self.asked(), [])
                self.good("download", "acme/small", "README.md", "--revision", revision, "--folder", self.folder)
                self.assert_no_content()

    def test_ours(self):
        for revision, commit, card in self.revisions():
            with self.subTest(revision=revision):
                path = self.good("download", "acme/small", "README.md", "--revision", revision, "--folder", self.folder).text
                self.hub.clear_requests()
                self.assertEqual((self.get_here("README.md", revision=commit), read(path).decode()), (path, card))
                self.assertEqual(self.asked(), [])
                self.get_here("README.md", revision=revision)
                self.assert_no_content()

    def test_snapshot_of_theirs(self):
        self.get_all()
        self.hub.clear_requests()
        self.good("snapshot", "acme/small", "--folder", self.folder)
        self.good("snapshot", "acme/small", "--folder", self.folder, "--policy", OFFLINE)
        self.assert_no_content()
        self.assert_holds(self.folder, "acme/small")

    def test_snapshot_of_ours(self):
        self.good("snapshot", "acme/small", "--folder", self.folder)
        self.hub.clear_requests()
        self.get_all()
        self.get_all(local_files_only=True)
        self.assert_no_content()
        self.assert_holds(self.folder, "acme/small")
        extra = ["--fail-on-extra-files"] if self.major > 1 else []  # 1.x counts its own notes
        self.hf("cache", "verify", "acme/small", "--local-dir", self.folder, "--fail-on-missing-files", *extra)

    def test_next_version(self):
        """Each takes from the other's folder what has not changed."""
        for first, second in ((self.get_here, self.download_here), (self.download_here, self.get_here)):
            shutil.rmtree(self.folder, ignore_errors=True)
            for path in ("README.md", "config.json", "model.safetensors"):
                first(path, revision="v1.0")
            self.hub.clear_requests()
            for path in ("README.md", "config.json", "model.safetensors"):
                second(path, revision="main")
            self.assertEqual(set(self.content()), {"models/acme/small/README.md", "models/acme/small/model.safetensors"})
            self.assert_is(os.path.join(self.folder, "model.safetensors"), self.facts("acme/small")["model.safetensors"])

    def download_here(self, filename, revision):
        return self.good("download", "acme/small", filename, "--revision", revision, "--folder", self.folder).text

    def test_changed_by_the_user(self):
        """A file that was changed since is fetched again, whoever had fetched it."""
        for first, second in ((self.get_here, self.download_here), (self.download_here, self.get_here)):
            path = first("model.safetensors", revision="main")
            hubtest.write(path, "changed")
            os.utime(path, (2e9, 2e9))
            second("model.safetensors", revision="main")
            self.assert_is(path, self.facts("acme/small")["model.safetensors"])

    def test_theirs_half_way(self):
        client = self.start_client()
        self.hub.faults({"origin": "cdn", "stall": {"at": 15 * MIB}})
        self.begin_large(client, local_dir=self.folder, cache_dir=None)
        self.hub.wait(stalled=1)
        client.kill()
        self.hub.clear()
        self.assert_large(self.good("download", "acme/large", "model.bin", "--folder", self.folder).text)
        self.assertEqual(self.sent_of_large(), LARGE)
        self.hub.clear_requests()
        self.assert_large(self.get_here("model.bin", "acme/large"))
        self.assert_no_content()

    def test_ours_half_way(self):
        self.stop_tenon_half_way("--folder", self.folder, place=self.folder)
        self.assert_large(self.get_here("model.bin", "acme/large"))
        self.hub.clear_requests()
        self.assert_large(self.good("download", "acme/large", "model.bin", "--folder", self.folder).text)
        self.assert_no_content()
        self.assertEqual([name for name in files_below(os.path.join(self.folder, ".cache")) if "tenon" in name], [])

    def test_both_at_once(self):
        """The client notes what it has after it has let go of the lock: who looks in between finds a file that nobody knows."""
        self.hub.faults({"origin": "cdn", "slow": 16 * MIB})
        self.begin_large(self.client, local_dir=self.folder, cache_dir=None)
        self.hub.wait(requests=2)
        running = self.start("download", "acme/large", "model.bin", "--folder", self.folder, build=hubtest.PLAIN)
        self.assert_large(self.client.result())
        outcome = running.wait()
        self.assertEqual(outcome.status, "OK", str(outcome))
        self.assert_large(outcome.text)
        self.assertIn(self.sent_of_large(), (LARGE, 2 * LARGE))


class Tools(Python):
    """The `hf` program: `hf download`, and `hf cache` and what tenon says of the same cache."""

    def download(self, *arguments):
        done = self.client.hf("download", *arguments)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_download(self):
        self.download("acme/small", "--cache-dir", self.cache)
        self.hub.clear_requests()
        self.assert_holds(self.good("snapshot", "acme/small", "--policy", OFFLINE).text, "acme/small")
        self.assertEqual(self.asked(), [])
        self.good("snapshot", "datasets/acme/data", "--revision", "main")
        self.hub.clear_requests()
        self.download("acme/data", "--repo-type", "dataset", "--cache-dir", self.cache)
        self.download("acme/small", "README.md", "--revision", self.small["sha"], "--cache-dir", self.cache)
        self.assert_no_content()
        self.assertEqual(self.seen_by_tenon(), self.scan())

    def test_download_into_a_folder(self):
        folder = os.path.join(self.home, "folder")
        self.download("acme/small", "--include", "*.json", "--local-dir", folder)
        self.hub.clear_requests()
        self.good("snapshot", "acme/small", "--folder", folder)
        self.assertFalse([file for file in self.content() if file.endswith(".json")])
        self.hub.clear_requests()
        self.download("acme/small", "--local-dir", folder)
        self.assert_no_content()
        self.assert_holds(folder, "acme/small")

    def fill(self):
        """Two revisions, a data set, each by one of the two."""
        self.good("snapshot", "acme/small")
        self.get_all(revision="v1.0")
        self.get_all("acme/data", "dataset")

    def test_list(self):
        self.fill()
        self.assertEqual(self.scan(), self.seen_by_tenon())
        listed = {(row["id"], tuple(row["refs"])) for row in self.hf("cache", "ls", "--cache-dir", self.cache)}
        self.assertEqual(listed, {("model/acme/small", ("main", "v1.0")), ("dataset/acme/data", ("main",))})
        commits = {(row["repository"], row["commit"]) for row in self.good("cached").rows}
        revisions = self.hf("cache", "ls", "--revisions", "--cache-dir", self.cache)
        self.assertEqual({row["revision"] for row in revisions}, {commit for _, commit in commits})

    def test_verify(self):
        self.fill()
        self.hf("cache", "verify", "acme/small", "--cache-dir", self.cache, "--fail-on-extra-files", "--fail-on-missing-files")
        self.hf("cache", "verify", "acme/small", "--revision", "v1.0", "--cache-dir", self.cache, "--fail-on-extra-files", "--fail-on-missing-files")
        self.assert_verified("acme/small")
        path = os.path.join(self.folder_of("acme/small"), "snapshots", self.small["sha"], "config.json")
        whole = read(path)
        with open(path, "r+b") as file:
            file.write(b"[")
        done = self.client.hf("cache", "verify", "acme/small", "--cache-dir", self.cache)
        self.assertEqual((done.returncode, "config.json" in done.stdout + done.stderr), (1, True), done.stdout + done.stderr)
        outcome = self.bad("INTEGRITY", "verify", "acme/small")
        self.assertEqual({row["path"] for row in outcome.rows if row["content"] == exchange.CORRUPT}, {"config.json"})
        hubtest.write(path, whole)

    def entries(self, cache):
        """Every file and link that counts: what only speeds up a later download may stay or go."""
        return {os.path.relpath(os.path.join(place, name), cache) for place, _, names in os.walk(cache) for name in names
                if not any(part in (".locks", "trees", ".no_exist") for part in os.path.relpath(place, cache).split("/"))}

    def test_remove(self):
        """`hf cache rm` and tenon_hub_forget leave the same of the same cache, and free as much."""
        self.fill()
        commits = self.small["commits"]
        for theirs, ours in ((commits[1], ["acme/small", "--revision", "v1.0"]), (commits[2], ["acme/small", "--revision", commits[2]]),
                             ("model/acme/small", ["acme/small"]), ("dataset/acme/data", ["datasets/acme/data"])):
            with self.subTest(theirs=theirs):
                copies = [os.path.join(self.home, which) for which in ("theirs", "ours")]
                for copy in copies:
                    shutil.rmtree(copy, ignore_errors=True)
                    shutil.copytree(self.cache, copy, symlinks=True)
                before = sum(os.path.getsize(path) for path in hubtest.glob_files(self.cache, "blobs"))
                self.hf("cache", "rm", theirs, "--yes", "--cache-dir", copies[0])
                outcome = self.good("forget", *ours, cache=copies[1])
                self.assertEqual(self.entries(copies[0]), self.entries(copies[1]))
                self.assertEqual(int(outcome.text), before - sum(os.path.getsize(path) for path in hubtest.glob_files(copies[1], "blobs")))
                self.assertEqual(layout.breaches(copies[1]), [])

    def test_removed_by_theirs(self):
        self.fill()
        self.hf("cache", "rm", self.small["sha"], "--yes", "--cache-dir", self.cache)
        self.bad("OFFLINE", "snapshot", "acme/small", "--policy", OFFLINE)
        self.good("snapshot", "acme/small", "--revision", "v1.0", "--policy", OFFLINE)
        self.assertEqual(self.seen_by_tenon(), self.scan())
        self.good("snapshot", "acme/small")
        self.assertEqual(self.seen_by_tenon(), self.scan())

    def test_removed_by_ours(self):
        self.fill()
        self.good("forget", "acme/small", "--revision", "v1.0")
        with self.assertRaises(clients.ClientError):
            self.get_all(revision="v1.0", local_files_only=True)
        self.assert_holds(self.get_all(local_files_only=True), "acme/small")
        self.assertEqual(self.seen_by_tenon(), self.scan())
        self.get_all(revision="v1.0")
        self.assertEqual(self.seen_by_tenon(), self.scan())


class Store(Python):
    """The store of the whole cache, which 2.x keeps for what came through Xet. The client's own code makes it here."""

    def publish(self, *identities):
        """Move the large file of these repositories into the store; the payload's path."""
        name = "ab" + self.large["etag"][2:]
        for identity in identities:
            path = self.get("model.bin", identity)
            blob = os.path.join(self.folder_of(identity), "blobs", self.large["etag"])
            self.assertTrue(self.client.call("utils._shared_blobs.publish_blob_to_shared_store", blob_path=blob, xet_hash=name,
                                             cache_dir=self.cache, expected_size=LARGE))
            self.assertTrue(os.path.islink(blob))
            self.assert_large(path)
        return os.path.join(self.cache, "blobs", name[:2], name)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        twin = repositories.large_file(LARGE, "acme/twin")
        twin["files"]["README.md"] = "# Twin\n"  # else its commit would have the same id, and `hf cache rm` would take either
        cls.hub.put_repository(twin)

    def payload_facts(self, payload):
        facts = os.lstat(payload)
        return facts.st_ino, facts.st_mode, facts.st_mtime_ns, facts.st_size

    def test_read_through(self):
        payload = self.publish("acme/large")
        before = self.payload_facts(payload)
        self.hub.clear_requests()
        self.assert_large(self.good("download", "acme/large", "model.bin", "--policy", OFFLINE).text)
        self.assert_large(self.good("download", "acme/large", "model.bin", settings=PARTS).text)
        self.assert_no_content()
        self.assert_verified("acme/large")
        self.assertEqual(self.payload_facts(payload), before)
        self.assertEqual({(row["repository"], row["bytes"], row["etag"]) for row in self.good("cached").rows},
                         {("acme/large", LARGE, self.large["etag"])})
        self.scan()

    def test_never_written_through(self):
        """What is fetched anew takes the place of the link, not of what it leads to."""
        payload = self.publish("acme/large", "acme/twin")
        before = self.payload_facts(payload)
        for settings in (PARTS, {"hub.parts": 1}):
            self.assert_large(self.good("download", "acme/large", "model.bin", "--force", settings=settings).text)
            self.assertFalse(os.path.islink(os.path.join(self.folder_of("acme/large"), "blobs", self.large["etag"])))
            self.assertEqual(self.payload_facts(payload), before)
        self.assert_large(self.good("download", "acme/twin", "model.bin", "--policy", OFFLINE).text)
        self.assert_large(self.get("model.bin", "acme/large", local_files_only=True))
        self.assertEqual(self.unfinished(), [])

    def test_another_commit(self):
        self.publish("acme/large")
        self.hub.commit("acme/large", branch="next", files={"README.md": "# Next\n"}, **{"from": "main"})
        self.hub.clear_requests()
        self.assert_large(self.good("download", "acme/large", "model.bin", "--revision", "next").text)
        self.assert_no_content()
        self.scan()

    def test_forget(self):
        """The payload goes with the last that links to it, and its list tells the client's tools the same."""
        payload = self.publish("acme/large", "acme/twin")
        self.assertEqual(len(read(payload + ".refs").splitlines()), 2)
        self.assertEqual(int(self.good("forget", "acme/large").text) >= LARGE, False)
        self.assertEqual(read(payload + ".refs").decode(), f"models--acme--twin/blobs/{self.large['etag']}\n")
        self.assert_large(self.get("model.bin", "acme/twin", local_files_only=True))
        self.assertEqual(self.client.call("utils._shared_blobs.unreferenced_shared_blobs", cache_dir=self.cache), {})
        self.assertGreaterEqual(int(self.good("forget", "acme/twin").text), LARGE)
        self.assertFalse(os.path.exists(payload) or os.path.exists(payload + ".refs"))
        self.assertEqual(self.client.call("scan_cache_dir", cache_dir=self.cache)["size_on_disk"], 0)

    def test_removed_by_theirs(self):
        payload = self.publish("acme/large", "acme/twin")
        self.hf("cache", "rm", "model/acme/large", "--yes", "--cache-dir", self.cache)
        self.assert_large(self.good("download", "acme/twin", "model.bin", "--policy", OFFLINE).text)
        self.good("forget", "acme/twin")
        self.assertFalse(os.path.exists(payload))

    def test_linked_by_theirs_after_ours(self):
        """tenon replaced a link by a file: the client still finds the payload for others, and its removal is clean."""
        payload = self.publish("acme/large")
        self.good("download", "acme/large", "model.bin", "--force")
        self.hf("cache", "rm", "model/acme/large", "--yes", "--cache-dir", self.cache)
        self.hf("cache", "prune", "--yes", "--cache-dir", self.cache)
        self.assertFalse(os.path.exists(payload))
        self.assertEqual(self.client.call("scan_cache_dir", cache_dir=self.cache)["size_on_disk"], 0)


def make(kinds, major):
    """Each kind of test for one major version."""
    for kind in kinds:
        name = f"{kind.__name__}{major}"
        globals()[name] = type(name, (kind, unittest.TestCase), {"major": major, "__module__": __name__, "__doc__": kind.__doc__})


def load_tests(loader, tests, pattern):
    """Only what has a version."""
    return loader.suiteClass(loader.loadTestsFromTestCase(kind) for kind in list(globals().values())
                             if isinstance(kind, type) and issubclass(kind, Python) and kind.major)


make((Theirs, Ours, WithoutLinks, OneFile, HalfWay, AtOnce, LocalFolder, Tools, Store), 2)
make((Theirs, Ours, WithoutLinks, OneFile, HalfWay, AtOnce, LocalFolder, Tools), 1)


if __name__ == "__main__":
    suite.main()
