"""Caches exchanged with llama.cpp's own download, llama-server -hf, unmodified: what one of the two fetched the other one finds.

This client takes no locks, writes no listing and no CACHEDIR.TAG, knows the main branch only, and checks nothing of what came. It
goes on from ETAG.downloadInProgress by appending, also to one that another process is writing at this moment: two of its kind spoil
what they fetch, and tenon says so. It is built without TLS here.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))

import clients
import environments
import exchange
import suite
from exchange import LARGE, MIB, OFFLINE
from simulator import Simulator


class Llama(exchange.Exchange):
    allowed = ("no CACHEDIR.TAG",)

    @classmethod
    def start_client(cls, **more):
        return clients.LlamaClient(cls.hub.url, cls.scratch, **more)


class OneFile(Llama, exchange.OneFile):
    """What every client is asked for."""

    honest = False

    def begin_large(self, client, *more):
        client.begin(self.cache, "acme/large", "--hf-file", "model.bin", *more)

    def finish_large(self, client):
        self.assertIn(self.large_path(), client.result())  # which it takes for a model, in vain

    def get_large_offline(self):
        self.begin_large(self.client, "--offline")
        self.finish_large(self.client)

    def test_spoiled_by_two_of_theirs(self):
        first, second = self.begin_theirs(), self.another_client()
        self.wait_until(lambda: self.got_by_client() > exchange.HALF - MIB, "the client writes nothing")
        self.begin_large(second)
        self.finish_theirs(second)
        self.hub.clear_faults()
        self.assertIn("unable to rename", first.result())  # its rest is behind the end of a file that has its name by now
        self.assertGreater(os.path.getsize(self.large_path()), LARGE)
        outcome = self.bad("INTEGRITY", "verify", "acme/large")
        self.assertEqual([row["content"] for row in outcome.rows], [exchange.CORRUPT])
        self.get_ours()
        self.end()


class Models(Llama):
    """Models as they are chosen by their tags."""

    SHARDS = [f"Q4_0/model-Q4_0-0000{number}-of-00003.gguf" for number in (1, 2, 3)]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        files = {path: {"size": 2 * MIB + 1, "seed": path} for path in cls.SHARDS}
        cls.repositories["acme/split"] = cls.hub.put_repository({"id": "acme/split", "files": {**files, "README.md": "# Split\n"}})

    def get_split(self):
        self.client.begin(self.cache, "acme/split:Q4_0")
        self.assertIn(os.path.join(self.folder(), self.SHARDS[0]), self.client.result())

    def folder(self):
        return os.path.join(self.folder_of("acme/split"), "snapshots", self.repositories["acme/split"]["sha"])

    def test_shards_of_theirs(self):
        self.get_split()
        self.hub.clear_requests()
        outcome = self.good("snapshot", "acme/split", "--allow", "*.gguf", "--policy", OFFLINE)
        self.assertEqual(outcome.text.rstrip("/"), self.folder())
        self.assertEqual(self.asked(), [])
        self.good("snapshot", "acme/split")
        self.assertEqual(list(self.content()), ["models/acme/split/README.md"])
        self.assert_holds(self.folder(), "acme/split")
        self.assert_verified("acme/split")

    def test_shards_of_ours(self):
        self.good("snapshot", "acme/split")
        self.hub.clear_requests()
        self.get_split()
        self.assert_no_content()
        self.assertEqual([kind for _, kind in self.asked()], ["refs", "tree"])

    def test_branch_moved_on(self):
        """The content is known from another commit."""
        self.hub.put_repository({"id": "acme/moving", "files": {"model-Q4_0.gguf": {"size": MIB, "seed": "moving"}}})
        self.good("snapshot", "acme/moving")
        later = self.hub.commit("acme/moving", branch="main", files={"README.md": "# Later\n"})
        self.hub.clear_requests()
        self.client.begin(self.cache, "acme/moving:Q4_0")
        path = os.path.join(self.folder_of("acme/moving"), "snapshots", later, "model-Q4_0.gguf")
        self.assertIn(path, self.client.result())
        self.assertEqual(self.good("download", "acme/moving", "model-Q4_0.gguf", "--policy", OFFLINE).text, path)
        self.assert_no_content()

    def test_real_model(self):
        """Half of it comes by the client, all of it by tenon, and the client serves it when the hub is gone."""
        try:
            model = environments.smollm2()
        except environments.Missing as reason:
            self.skipTest(f"the model is not there: {reason}")
        root = os.path.join(self.home, "root")
        os.makedirs(f"{root}/models/acme/smollm2")
        os.symlink(model, f"{root}/models/acme/smollm2/SmolLM2.Q4_1.gguf")
        with Simulator("hub", root=root) as hub:
            client = clients.LlamaClient(hub.url, self.home)
            self.addCleanup(client.stop)
            hub.faults({"origin": "cdn", "method": "GET", "stall": {"at": 40 * MIB}})
            client.begin(self.cache, "acme/smollm2:Q4_1")
            hub.wait(stalled=1)
            client.kill()
            hub.clear()
            self.good("snapshot", "acme/smollm2", hub=hub.url)
        client.begin(self.cache, "acme/smollm2:Q4_1", "--offline")
        self.wait_until(client.is_ready, "the model is not served", 300)


if __name__ == "__main__":
    suite.main()
