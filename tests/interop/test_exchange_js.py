"""Caches exchanged with @huggingface/hub, unmodified: what one of the two fetched the other one finds.

This client takes no locks, writes no listing and no CACHEDIR.TAG, begins an interrupted file anew under the fixed name
ETAG.incomplete, and cannot fetch an empty file. It notes a reference only for a snapshot; a single file of a branch it puts
beside the commit that changed that file last, so that only the content is found again, and not the name.
"""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))

import clients
import exchange
import hubtest
import repositories
import suite
from exchange import DATA, OFFLINE, SPACE, files_below, read

MODEL = ("acme/plain", "acme/plain", "model")


def plain_model(identity):
    """The small model without what this client cannot fetch, or not without a breach of the protocol."""
    model = repositories.small_model(identity)
    for commit in model["commits"]:
        commit["files"] = {path: file for path, file in commit["files"].items() if path not in ("empty.txt", repositories.ODD_NAME)}
    return model


class Node(exchange.Exchange):
    allowed = ("no CACHEDIR.TAG",)

    @classmethod
    def start_client(cls, **more):
        return clients.NodeClient(cls.scratch, **more)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.repositories["acme/plain"] = cls.small = cls.hub.put_repository(plain_model("acme/plain"))

    def get(self, path, repo="acme/plain", **arguments):
        """Download one file with the client; where it is."""
        return self.client.call("downloadFileToCacheDir", repo=repo, path=path, hubUrl=self.hub.url, cacheDir=self.cache, **arguments)

    def get_all(self, repo="acme/plain", **arguments):
        return self.client.call("snapshotDownload", repo=repo, hubUrl=self.hub.url, cacheDir=self.cache, **arguments)

    def scan(self):
        """What the client finds in the cache, as `seen_by_tenon` has it; without a warning."""
        found = self.client.call("scanCacheDir", positions=[self.cache])
        self.assertEqual(found["warnings"], [])
        seen = set()
        for repository in found["repos"]:
            prefix = {"model": "", "dataset": "datasets/", "space": "spaces/"}[repository["id"]["type"]]
            for revision in repository["revisions"]:
                for file in revision["files"]:
                    seen.add((prefix + repository["id"]["name"], revision["commitOid"], os.path.relpath(file["path"], revision["path"]),
                              file["blob"]["size"], os.path.basename(file["blob"]["path"])))
        return seen

    def seen_by_tenon(self):
        """The client does not look into the folders of a snapshot."""
        return {one for one in super().seen_by_tenon() if "/" not in one[2]}

    def allow_slashes(self, revision):
        """It leaves the / in a revision as it is. The simulator serves that, and says so."""
        if revision == "feature/card":
            self.assertEqual({one["rule"] for one in self.hub.violations()} - {"encoding"}, set())
            self.hub.clear_violations()


class Theirs(Node, unittest.TestCase):
    """The client filled the cache; tenon finds everything."""

    def test_file_of_a_commit(self):
        commit = self.small["commits"][0]
        path = self.get("README.md", revision=commit)
        self.hub.clear_requests()
        for policy in ([], ["--policy", OFFLINE]):
            outcome = self.good("download", "acme/plain", "README.md", "--revision", commit, *policy)
            self.assertEqual((outcome.text, read(outcome.text)), (path, b"# Small\n"))
        self.assertEqual(self.asked(), [])
        self.assert_verified("acme/plain")

    def test_file_of_every_kind_of_revision(self):
        for revision, commit, card in self.revisions():
            with self.subTest(revision=revision):
                self.get("README.md", revision=revision)
                self.allow_slashes(revision)
                self.hub.clear_requests()
                outcome = self.good("download", "acme/plain", "README.md", "--revision", revision)
                self.assertEqual(read(outcome.text).decode(), card)
                self.assertIn(commit, outcome.text)
                self.assert_no_content()

    def test_snapshot_of_every_kind_of_revision(self):
        for revision, commit, card in self.revisions():
            with self.subTest(revision=revision):
                folder = self.get_all(revision=revision)
                self.allow_slashes(revision)
                self.hub.clear_requests()
                outcome = self.good("snapshot", "acme/plain", "--revision", revision, "--policy", OFFLINE)
                self.assertEqual((outcome.text.rstrip("/"), read(f"{outcome.text}/README.md").decode()), (folder, card))
                self.assertEqual(self.asked(), [])
                self.good("snapshot", "acme/plain", "--revision", revision)
                self.assert_no_content()
        self.assert_verified("acme/plain")

    def test_every_type(self):
        for identity, name, kind in (MODEL, DATA, SPACE):
            with self.subTest(kind=kind):
                folder = self.get_all(name)
                self.hub.clear_requests()
                outcome = self.good("snapshot", name, "--policy", OFFLINE)
                self.assertEqual(outcome.text.rstrip("/"), folder)
                self.assert_holds(folder, identity)
                self.good("snapshot", name)
                self.assert_no_content()
                self.assertEqual(self.assert_verified(name), set(self.facts(identity)))
        self.assertEqual(self.seen_by_tenon(), self.scan())


class Ours(Node, unittest.TestCase):
    """tenon filled the cache; the client finds everything."""

    def test_file_of_a_commit(self):
        commit = self.small["commits"][0]
        outcome = self.good("download", "acme/plain", "README.md", "--revision", commit)
        self.hub.clear_requests()
        self.assertEqual(self.get("README.md", revision=commit), outcome.text)
        self.assertEqual(self.asked(), [])

    def test_file_of_every_kind_of_revision(self):
        for revision, _, card in self.revisions():
            with self.subTest(revision=revision):
                self.good("download", "acme/plain", "README.md", "--revision", revision)
                self.hub.clear_requests()
                self.assertEqual(read(self.get("README.md", revision=revision)).decode(), card)
                self.allow_slashes(revision)
                self.assert_no_content()

    def test_snapshot_of_every_kind_of_revision(self):
        for revision, _, card in self.revisions():
            with self.subTest(revision=revision):
                folder = self.good("snapshot", "acme/plain", "--revision", revision).text.rstrip("/")
                self.hub.clear_requests()
                self.assertEqual(self.get_all(revision=revision), folder)
                self.allow_slashes(revision)
                self.assertEqual(read(f"{folder}/README.md").decode(), card)
                self.assert_no_content()
        self.assertEqual(self.scan(), self.seen_by_tenon())

    def test_every_type(self):
        for identity, name, kind in (MODEL, DATA, SPACE):
            with self.subTest(kind=kind):
                folder = self.good("snapshot", name).text.rstrip("/")
                self.hub.clear_requests()
                self.assertEqual(self.get_all(name), folder)
                self.assert_holds(folder, identity)
                self.assert_no_content()
        self.assertEqual(self.scan(), self.seen_by_tenon())

    def test_only_some_files(self):
        self.good("snapshot", "acme/plain", "--allow", "*.json")
        self.hub.clear_requests()
        folder = self.get_all()
        self.assert_holds(folder, "acme/plain")
        self.assertEqual(len(self.content()), len(self.facts("acme/plain")) - 2)
        self.assertFalse([file for file in self.content() if file.endswith(".json")])


class OneFile(Node, exchange.OneFile):
    """What every client is asked for; as a snapshot, of which it notes the reference."""

    honest = False

    def begin_large(self, client):
        client.begin("snapshotDownload", repo="acme/large", hubUrl=self.hub.url, cacheDir=self.cache)

    def get_large_offline(self):
        """It asks for no file of a commit that it has."""
        self.get("model.bin", "acme/large", revision=self.repositories["acme/large"]["sha"])


class HalfWay(Node, unittest.TestCase):
    """One of the two is killed; the other one finishes."""

    build = hubtest.PLAIN

    def test_snapshot_of_theirs(self):
        self.hub.faults({"path": "model.safetensors", "stall_headers": True})
        client = self.start_client()
        client.begin("snapshotDownload", repo="acme/plain", hubUrl=self.hub.url, cacheDir=self.cache)
        self.hub.wait(stalled=1)
        client.kill()
        here = {os.path.basename(path) for path in hubtest.glob_files(self.cache, "blobs")}
        self.hub.clear()
        self.assert_holds(self.good("snapshot", "acme/plain").text, "acme/plain")
        self.assertFalse({one["etag"] for one in self.hub.counts()} & here)

    def test_snapshot_of_ours(self):
        self.hub.faults({"path": "model.safetensors", "stall_headers": True})
        running = self.start("snapshot", "acme/plain", settings={"hub.files": 1})
        self.hub.wait(stalled=1)
        running.kill()
        here = {os.path.basename(path) for path in hubtest.glob_files(self.cache, "blobs")}
        self.hub.clear()
        self.assert_holds(self.get_all(), "acme/plain")
        self.assertFalse({one["etag"] for one in self.hub.counts()} & here)


class AtOnce(Node, unittest.TestCase):
    """Both at work on the same. The client knows no locks, so each may fetch it once."""

    build = hubtest.PLAIN

    def test_snapshots(self):
        for identity in ("acme/plain", "acme/many"):
            with self.subTest(identity=identity):
                self.client.begin("snapshotDownload", repo=identity, hubUrl=self.hub.url, cacheDir=self.cache)
                self.check_snapshots_at_once(identity)
        self.assertEqual(self.unfinished(), [])
        self.assertEqual(self.scan(), self.seen_by_tenon())


if __name__ == "__main__":
    suite.main()
