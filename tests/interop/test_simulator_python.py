"""The hub simulator, judged by huggingface_hub 2.x and 1.x, unmodified, with and without hf_xet beside them."""

import hashlib
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))

import clients
import judged
import repositories
import suite


def read(path):
    with open(path, "rb") as file:
        return file.read()


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def files_below(folder):
    """The paths of all files of a snapshot or a local folder, without the client's own."""
    found = set()
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != ".cache"]
        found.update(os.path.relpath(os.path.join(place, name), folder) for name in names)
    return found


class Judged(judged.Judged):
    major = None
    xet = False

    @classmethod
    def start_client(cls, authority):
        return clients.PythonClient(cls.major, cls.hub.url, cls.scratch, xet=cls.xet, certificate=authority)

    def ask(self, call, /, identity="acme/small", **arguments):
        """Ask the client; without a token unless one is named."""
        return self.client.call(call, repo_id=identity, token=arguments.pop("token", False), **arguments)

    def download(self, filename, identity="acme/small", **arguments):
        return read(self.ask("hf_hub_download", identity, filename=filename, cache_dir=self.cache, **arguments))

    def fails(self, error_class, status, call, /, *positions, **arguments):
        with self.assertRaises(clients.ClientError) as caught:
            self.ask(call, *positions, **arguments)
        self.assertEqual((caught.exception.classes[0], caught.exception.status), (error_class, status), str(caught.exception))
        return str(caught.exception)


class Reading(Judged):
    """What is said of repositories."""

    def test_model_info(self):
        info = self.ask("model_info")
        found = (info["id"], info["sha"], info["private"], info["gated"])
        self.assertEqual(found, ("acme/small", self.small["sha"], False, False))
        self.assertEqual({one["rfilename"] for one in info["siblings"]}, set(self.small["files"]))
        self.assertEqual(info["config"]["model_type"], "llama")
        self.assertEqual(info["safetensors"], {"parameters": {"F32": 256 * 64 + 1024 * 700, "BF16": 64}, "total": 733248})

    def test_info_of_every_kind_of_revision(self):
        commits = self.small["commits"]
        for revision, commit in (("main", commits[2]), ("v1.0", commits[1]), ("feature/card", commits[3]),
                                 ("refs/pr/1", commits[4]), (commits[0], commits[0]), (commits[0][:12], commits[0])):
            with self.subTest(revision=revision):
                self.assertEqual(self.ask("model_info", revision=revision)["sha"], commit)

    def test_info_with_sizes(self):
        siblings = {one["rfilename"]: one for one in self.ask("model_info", files_metadata=True)["siblings"]}
        weights = self.facts("acme/small", "model.safetensors")
        self.assertEqual(siblings["model.safetensors"]["lfs"]["sha256"], weights["etag"])
        self.assertEqual(siblings["model.safetensors"]["size"], weights["size"])
        self.assertEqual(siblings["README.md"]["blob_id"], git_sha1(repositories.CARD.encode()))

    def test_info_expanded(self):
        info = self.ask("model_info", expand=["sha", "gated"])
        self.assertEqual((info["sha"], info["gated"], info["siblings"]), (self.small["sha"], False, None))

    def test_dataset_and_space(self):
        self.assertEqual(self.ask("dataset_info", "acme/data")["sha"], self.repositories["acme/data"]["sha"])
        self.assertEqual(self.ask("space_info", "acme/app")["sdk"], "gradio")
        self.assertEqual(self.download("app.py", "acme/app", repo_type="space"), b"print('hello')\n")
        data = self.download("data/train.parquet", "acme/data", repo_type="dataset")
        self.assertEqual(hashlib.sha256(data).hexdigest(), self.facts("acme/data", "data/train.parquet")["etag"])

    def test_tree_in_pages(self):
        self.hub.settings(page_size=50)
        tree = self.ask("list_repo_tree", "acme/many", recursive=True)
        self.assertEqual({one["path"] for one in tree if "blob_id" in one}, set(self.repositories["acme/many"]["files"]))
        self.assertEqual(sum("tree_id" in one for one in tree), 7)
        self.assertEqual(len(self.hub.requests()), 5)

    def test_tree_of_a_folder_with_last_commits(self):
        tree = self.ask("list_repo_tree", path_in_repo="tokenizer", expand=True)
        self.assertEqual({one["path"] for one in tree}, {"tokenizer/tokenizer.json", "tokenizer/vocabulary"})
        self.assertEqual({one["last_commit"]["oid"] for one in tree}, {self.small["commits"][1]})

    def test_tree_of_a_branch_with_a_slash(self):
        readme = [one for one in self.ask("list_repo_tree", revision="feature/card") if one["path"] == "README.md"]
        self.assertEqual(readme[0]["blob_id"], git_sha1(b"# Branch\n"))

    def test_refs(self):
        refs = self.ask("list_repo_refs", include_pull_requests=True)
        commits = self.small["commits"]
        named = {kind: {one["ref"]: one["target_commit"] for one in refs[kind]} for kind in ("branches", "tags", "pull_requests")}
        self.assertEqual(named, {"branches": {"refs/heads/main": commits[2], "refs/heads/feature/card": commits[3]},
                                 "tags": {"refs/tags/v1.0": commits[1]}, "pull_requests": {"refs/pr/1": commits[4]}})
        self.assertIsNone(self.ask("list_repo_refs")["pull_requests"])

    def test_commits(self):
        commits = self.ask("list_repo_commits", formatted=True)
        self.assertEqual([one["commit_id"] for one in commits], self.small["commits"][2::-1])
        self.assertEqual((commits[0]["title"], commits[0]["message"]), ("Train longer", "With a larger step."))

    def test_paths_info(self):
        paths = ["README.md", "tokenizer", repositories.ODD_NAME, "absent.txt"]
        found = {one["path"]: one for one in self.ask("get_paths_info", paths=paths, expand=True)}
        self.assertEqual(set(found), set(paths[:3]))
        self.assertEqual(found["README.md"]["last_commit"]["oid"], self.small["sha"])

    def test_existence(self):
        for call, arguments, expected in (
                ("repo_exists", {}, True), ("repo_exists", {"identity": "acme/gated"}, True),
                ("revision_exists", {"revision": "v1.0"}, True), ("revision_exists", {"revision": "v9"}, False),
                ("file_exists", {"filename": "tokenizer/tokenizer.json"}, True), ("file_exists", {"filename": "no.txt"}, False),
                ("file_exists", {"filename": "README.md", "revision": "v9"}, False),
                ("repo_exists", {"identity": "acme/nothing", "token": "hf_good"}, False)):
            with self.subTest(call=call, **arguments):
                self.assertIs(self.ask(call, **arguments), expected)

    def test_whoami(self):
        answer = self.client.call("whoami", token="hf_good")
        self.assertEqual((answer["name"], answer["auth"]["accessToken"]["role"]), ("alice", "write"))

    def test_safetensors_of_one_file(self):
        found = self.ask("get_safetensors_metadata", "acme/small")
        self.assertIs(found["sharded"], False)
        self.assertEqual(found["files_metadata"]["model.safetensors"]["tensors"]["layers.0.weight"]["shape"], [1024, 700])

    def test_safetensors_of_shards(self):
        found = self.ask("get_safetensors_metadata", "acme/sharded")
        self.assertIs(found["sharded"], True)
        self.assertEqual(found["weight_map"]["c.weight"], "model-00002-of-00002.safetensors")

    def test_renamed_and_differently_cased(self):
        self.hub.put_repository({**repositories.dataset("acme/new-name"), "renamed_from": ["acme/old-name"]})
        for identity in ("acme/old-name", "Acme/New-Name"):
            with self.subTest(identity=identity):
                self.assertEqual(self.ask("dataset_info", identity)["id"], "acme/new-name")
                self.assertEqual(self.download("data/labels.csv", identity, repo_type="dataset"), b"id,label\n1,yes\n")


class Downloading(Judged):
    """Files and snapshots."""

    def test_regular_file(self):
        path = self.ask("hf_hub_download", filename="README.md", cache_dir=self.cache)
        self.assertEqual(read(path), repositories.CARD.encode())
        self.assertTrue(path.endswith(f"models--acme--small/snapshots/{self.small['sha']}/README.md"), path)
        self.assertEqual(os.path.basename(os.path.realpath(path)), git_sha1(repositories.CARD.encode()))
        self.assertEqual(self.hub.requests(origin="cdn"), [])

    def test_names(self):
        for name, content in (("tokenizer/vocabulary/words.txt", b"one\ntwo\nthree\n"), (repositories.ODD_NAME, b"odd\n"),
                              (repositories.LONG_NAME, b"long\n"), ("empty.txt", b"")):
            with self.subTest(name=name):
                self.assertEqual(self.download(name), content)
        self.assertEqual(self.download("words.txt", subfolder="tokenizer/vocabulary"), b"one\ntwo\nthree\n")

    def test_revisions(self):
        for revision, content in (("feature/card", b"# Branch\n"), ("refs/pr/1", b"# Pull request\n"), ("v1.0", b"# Small\n"),
                                  (self.small["commits"][0], b"# Small\n")):
            with self.subTest(revision=revision):
                self.assertEqual(self.download("README.md", revision=revision), content)

    def test_lfs_file_comes_from_the_cdn(self):
        data = self.download("model.safetensors", token="hf_good")
        weights = self.facts("acme/small", "model.safetensors")
        self.assertEqual((len(data), hashlib.sha256(data).hexdigest()), (weights["size"], weights["etag"]))
        from_cdn = self.hub.requests(origin="cdn", method="GET")
        self.assertEqual([(one["status"], one["sent"]) for one in from_cdn], [(200, weights["size"])])
        self.assertNotIn("authorization", from_cdn[0]["headers"])
        self.assertEqual({one["headers"].get("authorization") for one in self.hub.requests(origin="hub")}, {"good"})

    def test_resolve_cache(self):
        self.hub.settings(resolve_cache=True)
        self.assertEqual(self.download(repositories.ODD_NAME), b"odd\n")
        self.assertTrue(any("/api/resolve-cache/" in one["path"] and one["status"] == 200 for one in self.hub.requests()))

    def test_served_without_a_cdn(self):
        self.hub.settings(cdn=False)
        self.assertEqual(hashlib.sha256(self.download("model.safetensors")).hexdigest(),
                         self.facts("acme/small", "model.safetensors")["etag"])
        self.assertEqual(self.hub.requests(origin="cdn"), [])

    def test_snapshot(self):
        folder = self.ask("snapshot_download", cache_dir=self.cache)
        self.assertEqual(files_below(folder), set(self.small["files"]))
        for path, facts in self.small["files"].items():
            data = read(os.path.join(folder, path))
            self.assertEqual(hashlib.sha256(data).hexdigest() if facts["lfs"] else git_sha1(data), facts["etag"], path)
        self.hub.clear_requests()
        self.assertEqual(self.ask("snapshot_download", cache_dir=self.cache), folder)
        self.assertEqual(sum(one["sent"] for one in self.hub.requests() if one["file"]), 0)

    def test_snapshot_with_patterns(self):
        folder = self.ask("snapshot_download", cache_dir=self.cache, allow_patterns=["*.json", "tokenizer/"],
                          ignore_patterns=["*/words.txt"])
        self.assertEqual(files_below(folder), {"config.json", "tokenizer/tokenizer.json"})

    def test_snapshot_of_another_revision(self):
        folder = self.ask("snapshot_download", cache_dir=self.cache, revision="refs/pr/1", allow_patterns="README.md")
        self.assertEqual(read(os.path.join(folder, "README.md")), b"# Pull request\n")

    def test_local_folder(self):
        target = os.path.join(self.cache, "here")
        self.ask("snapshot_download", local_dir=target, cache_dir=self.cache)
        self.assertEqual(files_below(target), set(self.small["files"]))
        self.assertFalse(any(os.path.islink(os.path.join(target, path)) for path in files_below(target)))

    def test_private_with_its_token(self):
        data = self.download("model.bin", "acme/private", token="hf_good")
        self.assertEqual(hashlib.sha256(data).hexdigest(), self.facts("acme/private", "model.bin")["etag"])

    def test_gated_with_access(self):
        data = self.download("model.bin", "acme/gated", token="hf_good")
        self.assertEqual(hashlib.sha256(data).hexdigest(), self.facts("acme/gated", "model.bin")["etag"])
        self.ask("auth_check", "acme/gated", token="hf_good")

    def test_command_line(self):
        done = self.client.hf("download", "acme/small", "tokenizer/tokenizer.json", "--cache-dir", self.cache)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"{self.cache}/models--acme--small/snapshots/{self.small['sha']}/tokenizer/tokenizer.json", done.stdout)

    def test_command_line_with_patterns(self):
        target = os.path.join(self.cache, "here")
        done = self.client.hf("download", "acme/small", "--revision", "v1.0", "--include", "*.md", "--local-dir", target)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(files_below(target), {"README.md"})
        self.assertEqual(read(os.path.join(target, "README.md")), b"# Small\n")


class Failing(Judged):
    """Refusals and faults, and what the client makes of them."""

    def test_missing_and_private_are_alike(self):
        for identity in ("acme/nothing", "acme/private"):
            with self.subTest(identity=identity):
                self.fails("RepositoryNotFoundError", 404, "model_info", identity, token="hf_read")
                self.fails("RepositoryNotFoundError", 404, "hf_hub_download", identity, filename="config.json",
                           cache_dir=self.cache, token="hf_read")
                # Without a token the Hub answers 401 and no code; the client knows what that means from an https address only.
                self.fails("RepositoryNotFoundError" if self.tls else "HfHubHTTPError", 401, "model_info", identity)

    def test_gated(self):
        for token, status in ((False, 401), ("hf_read", 403)):
            with self.subTest(token=token):
                text = self.fails("GatedRepoError", status, "hf_hub_download", "acme/gated", filename="config.json",
                                  cache_dir=self.cache, token=token)
                self.assertIn("Access to model acme/gated is restricted", text)
        self.fails("GatedRepoError", 403, "auth_check", "acme/gated", token="hf_read")
        self.assertEqual(self.ask("model_info", "acme/gated")["gated"], "manual")

    def test_disabled(self):
        self.fails("DisabledRepoError", 403, "model_info", "acme/disabled")

    def test_no_such_revision(self):
        self.fails("RevisionNotFoundError", 404, "model_info", revision="v9")
        self.fails("RevisionNotFoundError", 404, "hf_hub_download", filename="README.md", revision="v9", cache_dir=self.cache)

    def test_no_such_file(self):
        self.fails("RemoteEntryNotFoundError", 404, "hf_hub_download", filename="no.txt", cache_dir=self.cache)
        marker = os.path.join(self.cache, "models--acme--small", ".no_exist", self.small["sha"], "no.txt")
        self.assertTrue(os.path.exists(marker))

    def test_bad_token(self):
        text = self.fails("HfHubHTTPError", 401, "model_info", token="hf_wrong")
        self.assertIn("Invalid credentials in Authorization header", text)

    def test_write_access(self):
        self.fails("HfHubHTTPError", 403, "auth_check", "acme/small", token="hf_read", write=True)

    def test_busy_for_a_moment(self):
        self.hub.faults({"method": "HEAD", "path": "/resolve/", "status": 503, "times": 1},
                        {"method": "GET", "path": "/resolve/", "status": 429, "headers": {"Retry-After": "0"}, "times": 1})
        self.assertEqual(self.download("README.md"), repositories.CARD.encode())
        self.assertEqual([one["status"] for one in self.hub.requests()], [503, 200, 429, 200])

    def test_page_that_fails_once(self):
        self.hub.settings(page_size=100)
        self.hub.faults({"path": "/tree/", "query": "cursor", "status": 502, "times": 1})
        self.assertEqual(len(self.ask("list_repo_tree", "acme/many", recursive=True)), 237)
        self.assertEqual([one["status"] for one in self.hub.requests()], [200, 502, 200, 200])

    def test_cut_and_resumed(self):
        # The client writes in pieces of 10 MiB: what lies before the last whole piece is kept.
        file = self.put_large()
        self.hub.faults({"origin": "cdn", "cut": {"after": 15 * repositories.MIB}, "times": 1})
        self.assertEqual(hashlib.sha256(self.download("model.bin", "acme/large")).hexdigest(), file["etag"])
        self.assertEqual([one["status"] for one in self.hub.requests(origin="cdn")], [200, 206])
        (count,) = self.hub.counts()
        self.assertEqual(count["intervals"], [[0, 15 * repositories.MIB], [10 * repositories.MIB, file["size"]]])

    def test_cut_and_the_range_ignored(self):
        file = self.put_large()
        self.hub.faults({"origin": "cdn", "cut": {"after": 15 * repositories.MIB}, "times": 1},
                        {"range": True, "ignore_range": True})
        self.assertEqual(hashlib.sha256(self.download("model.bin", "acme/large")).hexdigest(), file["etag"])
        self.assertEqual([one["status"] for one in self.hub.requests(origin="cdn")], [200, 200])

    def put_large(self):
        return self.hub.put_repository(repositories.large_file(20 * repositories.MIB))["files"]["model.bin"]

    def test_hostile_name(self):
        self.hub.put_repository({"id": "acme/hostile", "files": {"a.txt": "a"}, "extra": [{"path": "../../../../escaped.txt"}]})
        with self.assertRaises(clients.ClientError):
            self.ask("snapshot_download", "acme/hostile", cache_dir=os.path.join(self.cache, "inner"))
        self.assertFalse(any("escaped" in name for name in files_below(self.cache)))


class Hub2(Reading, Downloading, Failing, unittest.TestCase):
    major = 2

    def test_safetensors_headers_in_one_request(self):
        found = self.client.call("get_sharded_safetensors_metadata", repo_id="acme/sharded", token=False,
                                 filename="model.safetensors.index.json")
        self.assertEqual(found["weight_map"]["b.weight"], "model-00001-of-00002.safetensors")
        self.assertEqual(len(self.hub.requests()), 1)


class Hub1(Reading, Downloading, Failing, unittest.TestCase):
    major = 1


class BesideXet(Downloading):
    """hf_xet is installed, and switched off by HF_HUB_DISABLE_XET."""

    xet = True

    def test_xet_is_there_and_off(self):
        self.assertEqual(self.client.call("utils._runtime.get_xet_version"), "1.8.0")
        self.assertIs(self.client.call("utils._runtime.is_xet_available"), False)


class Hub2BesideXet(BesideXet, unittest.TestCase):
    major = 2


class Hub1BesideXet(BesideXet, unittest.TestCase):
    major = 1


class Hub2OverTls(Failing, unittest.TestCase):
    major, tls = 2, True


class Hub1OverTls(Failing, unittest.TestCase):
    major, tls = 1, True


if __name__ == "__main__":
    suite.main()
