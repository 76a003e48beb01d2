"""The hub simulator, judged by @huggingface/hub, unmodified."""

import hashlib
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))

import clients
import judged
import repositories
import suite


class Judged(judged.Judged):
    @classmethod
    def start_client(cls, authority):
        return clients.NodeClient(cls.scratch, authority)

    def ask(self, call, /, **arguments):
        return self.client.call(call, hubUrl=self.hub.url, **arguments)

    def fails(self, status, call, /, **arguments):
        with self.assertRaises(clients.ClientError) as caught:
            self.ask(call, **arguments)
        self.assertEqual((caught.exception.classes[0], caught.exception.status), ("HubApiError", status), str(caught.exception))
        return str(caught.exception)

    def expect(self, found, identity, path):
        """The downloaded content is that of the repository's file."""
        facts = self.facts(identity, path)
        self.assertEqual((found["size"], found["sha256"]), (facts["size"], facts["etag"]))


class Reading(Judged, unittest.TestCase):
    def test_model_info(self):
        info = self.ask("modelInfo", name="acme/small", additionalFields=["sha", "config", "safetensors", "filePaths"])
        self.assertEqual((info["name"], info["sha"], info["gated"]), ("acme/small", self.small["sha"], False))
        self.assertEqual(set(info["filePaths"]), set(self.small["files"]))
        self.assertEqual(info["safetensors"]["total"], 733248)

    def test_info_of_every_kind_of_revision(self):
        commits = self.small["commits"]
        for revision, commit in (("main", commits[2]), ("v1.0", commits[1]), ("feature/card", commits[3]),
                                 ("refs/pr/1", commits[4]), (commits[0], commits[0])):
            with self.subTest(revision=revision):
                info = self.ask("modelInfo", name="acme/small", revision=revision, additionalFields=["sha"])
                self.assertEqual(info["sha"], commit)

    def test_dataset_and_space(self):
        info = self.ask("datasetInfo", name="acme/data", additionalFields=["sha"])
        self.assertEqual(info["sha"], self.repositories["acme/data"]["sha"])
        self.assertEqual(self.ask("spaceInfo", name="acme/app")["sdk"], "gradio")
        found = self.ask("downloadFile", repo="datasets/acme/data", path="data/train.parquet")
        self.expect(found, "acme/data", "data/train.parquet")

    def test_list_files_in_pages(self):
        self.hub.settings(page_size=50)
        files = self.ask("listFiles", repo="acme/many", recursive=True)
        self.assertEqual({one["path"] for one in files if one["type"] == "file"}, set(self.repositories["acme/many"]["files"]))
        self.assertEqual(len(self.hub.requests()), 5)

    def test_list_files_of_a_folder(self):
        files = self.ask("listFiles", repo="acme/small", path="tokenizer", expand=True)
        self.assertEqual({one["path"]: one["lastCommit"]["id"] for one in files},
                         {path: self.small["commits"][1] for path in ("tokenizer/tokenizer.json", "tokenizer/vocabulary")})

    def test_commits(self):
        commits = self.ask("listCommits", repo="acme/small", batchSize=2)
        self.assertEqual([one["oid"] for one in commits], self.small["commits"][2::-1])
        self.assertEqual(self.ask("countCommits", repo="acme/small"), 3)

    def test_paths_info(self):
        found = {one["path"]: one for one in self.ask("pathsInfo", repo="acme/small", paths=["model.safetensors", "no.txt"])}
        self.assertEqual(set(found), {"model.safetensors"})
        self.assertEqual(found["model.safetensors"]["lfs"]["oid"], self.facts("acme/small", "model.safetensors")["etag"])

    def test_existence(self):
        for call, arguments, expected in (
                ("fileExists", {"repo": "acme/small", "path": "tokenizer/tokenizer.json"}, True),
                ("fileExists", {"repo": "acme/small", "path": "model.safetensors"}, True),
                ("fileExists", {"repo": "acme/small", "path": "no.txt"}, False),
                ("repoExists", {"repo": "acme/small"}, True), ("repoExists", {"repo": "acme/private"}, False),
                ("repoExists", {"repo": "acme/nothing"}, False)):
            with self.subTest(call=call, **arguments):
                self.assertIs(self.ask(call, **arguments), expected)

    def test_who_am_i(self):
        answer = self.ask("whoAmI", accessToken="hf_good")
        self.assertEqual((answer["name"], answer["auth"]["accessToken"]["role"]), ("alice", "write"))

    def test_safetensors_metadata(self):
        found = self.ask("parseSafetensorsMetadata", repo="acme/sharded", computeParametersCount=True)
        self.assertIs(found["sharded"], True)
        self.assertEqual(found["parameterCount"], {"BF16": 64 * 64 + 64 + 128 * 64})


class Downloading(Judged, unittest.TestCase):
    def test_regular_file(self):
        found = self.ask("downloadFile", repo="acme/small", path="README.md")
        self.assertEqual(found["sha256"], hashlib.sha256(repositories.CARD.encode()).hexdigest())
        probe, whole = self.hub.requests()
        self.assertEqual((probe["range"], probe["status"], whole["range"], whole["status"]), ("bytes=0-0", 206, None, 200))
        self.assertEqual(probe["headers"]["accept"], "application/vnd.xet-fileinfo+json, */*")

    def test_lfs_file_comes_from_the_cdn(self):
        self.expect(self.ask("downloadFile", repo="acme/small", path="model.safetensors", accessToken="hf_good"),
                    "acme/small", "model.safetensors")
        from_cdn = self.hub.requests(origin="cdn")
        self.assertEqual([one["status"] for one in from_cdn], [206, 200])
        self.assertEqual({one["headers"].get("authorization") for one in from_cdn}, {None})
        self.assertEqual({one["headers"].get("authorization") for one in self.hub.requests(origin="hub")}, {"good"})

    def test_resolve_cache(self):
        self.hub.settings(resolve_cache=True)
        found = self.ask("downloadFile", repo="acme/small", path="tokenizer/tokenizer.json")
        self.assertEqual(found["size"], len('{"version": "1.0"}'))
        self.assertTrue(any("/api/resolve-cache/" in one["path"] for one in self.hub.requests()))

    def test_download_info(self):
        info = self.ask("fileDownloadInfo", repo="acme/small", path="model.safetensors")
        self.assertEqual(info["size"], self.facts("acme/small", "model.safetensors")["size"])
        self.assertIsNone(self.ask("fileDownloadInfo", repo="acme/small", path="no.txt"))

    def test_revision(self):
        found = self.ask("downloadFile", repo="acme/small", path="README.md", revision="refs/pr/1")
        self.assertEqual(found["sha256"], hashlib.sha256(b"# Pull request\n").hexdigest())

    def test_odd_name(self):
        # This client leaves some characters of a path as they are; the simulator serves it, but says so.
        found = self.ask("downloadFile", repo="acme/small", path=repositories.ODD_NAME)
        self.assertEqual(found["sha256"], hashlib.sha256(b"odd\n").hexdigest())
        self.assertEqual({one["rule"] for one in self.hub.violations()}, {"encoding"})
        self.hub.clear_violations()

    def test_snapshot(self):
        folder = self.ask("snapshotDownload", repo="datasets/acme/data", cacheDir=self.cache)
        facts = self.repositories["acme/data"]
        self.assertEqual(folder, os.path.join(self.cache, "datasets--acme--data", "snapshots", facts["sha"]))
        for path, file in facts["files"].items():
            blob = os.path.realpath(os.path.join(folder, path))
            self.assertEqual((os.path.basename(blob), os.path.getsize(blob)), (file["etag"], file["size"]))

    def test_empty_file(self):
        # No byte of it can be asked for, so the probe of this client meets a 416 as RFC 9110 has it, and the client gives up.
        self.fails(416, "downloadFile", repo="acme/small", path="empty.txt")

    def test_renamed(self):
        self.hub.put_repository({**repositories.dataset("acme/new-name"), "renamed_from": ["acme/old-name"]})
        self.assertEqual(self.ask("datasetInfo", name="acme/old-name")["name"], "acme/new-name")
        self.assertEqual(self.ask("downloadFile", repo="datasets/acme/old-name", path="data/labels.csv")["size"], 15)

    def test_private_with_its_token(self):
        found = self.ask("downloadFile", repo="acme/private", path="model.bin", accessToken="hf_good")
        self.expect(found, "acme/private", "model.bin")


class Failing(Judged):
    def test_missing_and_private_are_alike(self):
        for name in ("acme/nothing", "acme/private"):
            with self.subTest(name=name):
                self.assertIn("Invalid username or password.", self.fails(401, "modelInfo", name=name))
                self.assertIn("Repository not found", self.fails(404, "modelInfo", name=name, accessToken="hf_read"))

    def test_gated(self):
        self.fails(401, "downloadFile", repo="acme/gated", path="config.json")
        self.fails(403, "downloadFile", repo="acme/gated", path="config.json", accessToken="hf_read")
        found = self.ask("downloadFile", repo="acme/gated", path="model.bin", accessToken="hf_good")
        self.expect(found, "acme/gated", "model.bin")

    def test_disabled(self):
        self.assertIn("Access to this resource is disabled.", self.fails(403, "modelInfo", name="acme/disabled"))

    def test_no_such_revision_and_file(self):
        self.assertIn("Invalid rev id", self.fails(404, "modelInfo", name="acme/small", revision="v9"))
        self.assertIsNone(self.ask("downloadFile", repo="acme/small", path="no.txt"))

    def test_bad_token(self):
        self.assertIn("Invalid credentials", self.fails(401, "modelInfo", name="acme/small", accessToken="hf_wrong"))

    def test_faults_reach_the_client(self):
        self.hub.faults({"path": "/api/models/", "status": 503, "times": 1})
        self.fails(503, "modelInfo", name="acme/small")
        self.hub.faults({"path": "/resolve/", "ignore_range": True})
        with self.assertRaisesRegex(clients.ClientError, "Expected size information"):
            self.ask("downloadFile", repo="acme/small", path="README.md")

    def test_hostile_name(self):
        self.hub.put_repository({"id": "acme/hostile", "files": {"a.txt": "a"}, "extra": [{"path": "../../../../escaped.txt"}]})
        with self.assertRaises(clients.ClientError):
            self.ask("snapshotDownload", repo="acme/hostile", cacheDir=os.path.join(self.cache, "inner"))
        self.assertFalse(any("escaped.txt" in names for _, _, names in os.walk(self.cache)))


class FailingInTheClear(Failing, unittest.TestCase):
    pass


class FailingOverTls(Failing, unittest.TestCase):
    tls = True


if __name__ == "__main__":
    suite.main()
