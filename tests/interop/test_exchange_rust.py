"""Caches exchanged with the Rust crate hf-hub, unmodified: what one of the two fetched the other one finds.

This client takes the official lock, gives up waiting for it after ten seconds, and fails then. It writes no listing and no
CACHEDIR.TAG, begins an interrupted file anew under the fixed name ETAG.incomplete, and looks at nothing but the length of what
came. It asks for the metadata of a plain file twice, and for a snapshot that is complete only for revision and listing.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))

import clients
import exchange
import hubtest
import suite
from exchange import DATA, MODEL, OFFLINE, SPACE, read


class Rust(exchange.Exchange):
    allowed = ("no CACHEDIR.TAG",)

    @classmethod
    def start_client(cls, **more):
        return clients.RustClient(cls.hub.url, cls.scratch, **more)

    def tearDown(self):
        """It leaves [, ], ^ and | of a path as they are. The simulator serves that, and says so."""
        self.assertEqual({one["rule"] for one in self.hub.violations()} - {"encoding"}, set())
        self.hub.clear_violations()
        super().tearDown()

    def asking(self, identity, kind, **more):
        return {"id": identity, "type": kind, "cache_dir": self.cache, **more}

    def get(self, filename, identity="acme/small", **more):
        """Download one file with the client; where it is."""
        return self.client.call("download", filename=filename, **self.asking(identity, "model", **more))

    def get_all(self, identity="acme/small", kind="model", **more):
        return self.client.call("download", **self.asking(identity, kind, **more))

    def scan(self):
        """What the client finds in the cache, as `seen_by_tenon` has it; without a warning."""
        found = self.client.call("scan", cache_dir=self.cache)
        self.assertEqual(found["warnings"], [])
        prefixes = {"model": "", "dataset": "datasets/", "space": "spaces/"}
        return {(prefixes[one["type"]] + one["id"], one["commit"], one["path"], one["bytes"], os.path.basename(one["blob"]))
                for one in found["files"]}


class Theirs(Rust):
    """The client filled the cache; tenon finds everything."""

    def test_file_of_every_kind_of_revision(self):
        self.check_revisions_of_theirs()

    def test_snapshot_of_every_kind_of_revision(self):
        for revision, _, card in self.revisions():
            with self.subTest(revision=revision):
                folder = self.get_all(revision=revision)
                self.hub.clear_requests()
                outcome = self.good("snapshot", "acme/small", "--revision", revision, "--policy", OFFLINE)
                self.assertEqual((outcome.text.rstrip("/"), read(f"{outcome.text}/README.md").decode()), (folder, card))
                self.assertEqual(self.asked(), [])
                self.good("snapshot", "acme/small", "--revision", revision)
                self.assert_no_content()
        self.assert_verified("acme/small")

    def test_every_type(self):
        for identity, name, kind in (MODEL, DATA, SPACE):
            with self.subTest(kind=kind):
                folder = self.get_all(identity, kind)
                self.hub.clear_requests()
                outcome = self.good("snapshot", name, "--policy", OFFLINE)
                self.assertEqual(outcome.text.rstrip("/"), folder)
                self.assert_holds(folder, identity)
                self.assertEqual(self.asked(), [])
                self.good("snapshot", name)
                self.assert_no_content()
                self.assertEqual(self.assert_verified(name), set(self.facts(identity)))
        self.assertEqual(self.seen_by_tenon(), self.scan())

    def test_what_does_not_exist(self):
        with self.assertRaises(clients.ClientError) as caught:
            self.get("none.txt")
        self.assertIn("EntryNotFound", caught.exception.classes)
        self.hub.clear_requests()
        self.bad("NOT_FOUND", "exists", "acme/small", "none.txt", "--policy", OFFLINE)
        self.assertEqual(self.asked(), [])
        self.get("README.md")  # the note alone is no repository

    def test_reference_half_written(self):
        """It writes references in place, so that a kill can leave an empty one: for tenon that is none."""
        self.get("README.md")
        reference = os.path.join(self.folder_of("acme/small"), "refs", "main")
        hubtest.write(reference, "")
        self.bad("OFFLINE", "download", "acme/small", "README.md", "--policy", OFFLINE)
        self.good("download", "acme/small", "README.md")
        self.assertEqual(read(reference).decode(), self.small["sha"])


class Ours(Rust):
    """tenon filled the cache; the client finds everything."""

    def test_file_of_every_kind_of_revision(self):
        self.check_revisions_of_ours()

    def test_every_type(self):
        for identity, name, kind in (MODEL, DATA, SPACE):
            with self.subTest(kind=kind):
                folder = self.good("snapshot", name).text.rstrip("/")
                self.hub.clear_requests()
                self.assertEqual(self.get_all(identity, kind, local_files_only=True), folder)
                self.assertEqual(self.asked(), [])
                self.assertEqual(self.get_all(identity, kind), folder)
                self.assertEqual(self.asked(), [("GET", "revision"), ("GET", "tree")])
                self.assert_holds(folder, identity)
        self.assertEqual(self.scan(), self.seen_by_tenon())

    def test_only_some_files(self):
        self.good("snapshot", "acme/small", "--allow", "*.json")
        self.hub.clear_requests()
        folder = self.get_all()
        self.assert_holds(folder, "acme/small")
        self.assertFalse([file for file in self.content() if file.endswith(".json")])

    def test_without_links(self):
        """Where snapshots hold the files themselves it takes them for what they are."""
        folder = self.good("snapshot", "acme/small", settings={"hub.no_links": 1}).text.rstrip("/")
        self.hub.clear_requests()
        self.assertEqual(self.get_all(), folder)
        self.assert_no_content()
        self.allowed = (*self.allowed, "is no link")

    def test_same_content_at_another_commit(self):
        self.good("download", "acme/small", "model.safetensors", "--revision", "v1.0")
        self.hub.clear_requests()
        self.get("model.safetensors", revision="feature/card")
        self.assert_no_content()

    def test_what_does_not_exist(self):
        self.bad("NOT_FOUND", "download", "acme/small", "none.txt")
        self.hub.clear_requests()
        with self.assertRaises(clients.ClientError):
            self.get("none.txt", local_files_only=True)
        self.assertEqual(self.asked(), [])
        self.good("download", "acme/small", "README.md")


class OneFile(Rust, exchange.OneFile):
    """What every client is asked for."""

    def begin_large(self, client):
        client.begin("download", filename="model.bin", **self.asking("acme/large", "model"))

    def get_large_offline(self):
        self.get("model.bin", "acme/large", local_files_only=True)

    def test_theirs_gives_up(self):
        """After ten seconds behind another one of its kind. tenon holds no lock so long, and waits longer."""
        first, second = self.begin_theirs(), self.another_client()
        running, = self.begin_ours_beside(1)
        self.begin_large(second)
        with self.assertRaises(clients.ClientError) as caught:
            second.result()
        self.assertIn("CacheLockTimeout", caught.exception.classes)
        self.hub.clear_faults()
        self.finish_theirs(first)
        self.finish_ours(running)
        self.assertEqual(self.sent_of_large(), exchange.LARGE)
        self.end()


class Snapshots(Rust):
    """Many files: one of the two is killed, or both are at it."""

    build = hubtest.PLAIN

    def held_up(self):
        """No further than the weights."""
        self.hub.faults({"path": "model.safetensors", "stall_headers": True})

    def let_go(self):
        """The contents that are there."""
        here = {os.path.basename(path) for path in hubtest.glob_files(self.cache, "blobs")}
        self.hub.clear()
        return here

    def test_theirs_killed(self):
        # It asks for the metadata of everything before it fetches anything: only a GET may be held up.
        self.hub.faults({"path": "model.safetensors", "method": "GET", "stall_headers": True})
        client = self.another_client()
        client.begin("download", **self.asking("acme/small", "model"))
        self.hub.wait(stalled=1)
        client.kill()
        here = self.let_go()
        self.assert_holds(self.good("snapshot", "acme/small").text, "acme/small")
        self.assertFalse({one["etag"] for one in self.hub.counts()} & here)

    def test_ours_killed(self):
        self.held_up()
        running = self.start("snapshot", "acme/small", settings={"hub.files": 1})
        self.hub.wait(stalled=1)
        running.kill()
        here = self.let_go()
        self.assert_holds(self.get_all(), "acme/small")
        self.assertFalse({one["etag"] for one in self.hub.counts()} & here)

    def test_at_once(self):
        for identity in ("acme/small", "acme/many"):
            with self.subTest(identity=identity):
                self.client.begin("download", **self.asking(identity, "model"))
                self.check_snapshots_at_once(identity)
        self.assertEqual(self.unfinished(), [])
        self.assertEqual(self.scan(), self.seen_by_tenon())


if __name__ == "__main__":
    suite.main()
