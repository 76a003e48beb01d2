"""A repository as the Hub keeps it: real git ids for files, folders and commits, LFS pointers, refs, and what is said of it."""

import base64
import datetime
import fnmatch
import hashlib
import json
import math
import os
import re
import struct

from _content import Bytes, Generated, Joined, OnDisk

LFS_FROM = 10 << 20
LFS_NAMES = ("*.safetensors", "*.bin", "*.gguf", "*.pt", "*.onnx", "*.parquet", "*.h5", "*.zip", "*.npz")
FIRST_DAY = 1704067200  # 2024-01-01, the date of every first commit, so that ids are the same on every run
DESCRIPTION = ".sim.json"


class File:
    """One file of a commit."""

    def __init__(self, content, lfs):
        self.content = content
        self.lfs = lfs
        self.pointer = self._make_pointer() if lfs else None
        self.oid = (self.pointer or content).git_sha1
        self.etag = content.sha256 if lfs else self.oid

    def _make_pointer(self):
        text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.content.sha256}\nsize {self.content.size}\n"
        return Bytes(text.encode())


class Commit:
    """All files of one moment, and the tree ids of all folders."""

    def __init__(self, files, parent, title, message, date, author):
        self.files = files
        self.parent = parent
        self.title, self.message, self.date, self.author = title, message, date, author
        self.folders = {}
        self._hash_folder("", self._nest())
        self.id = self._make_id()

    def _nest(self):
        root = {}
        for path, file in self.files.items():
            *folders, name = path.split("/")
            place = root
            for folder in folders:
                place = place.setdefault(folder, {})
            place[name] = file
        return root

    def _hash_folder(self, path, entries):
        def order(item):
            return (item[0] + ("/" if isinstance(item[1], dict) else "")).encode()
        tree = b""
        for name, entry in sorted(entries.items(), key=order):
            if isinstance(entry, dict):
                mode, oid = b"40000", self._hash_folder(f"{path}{name}/", entry)
            else:
                mode, oid = b"100644", entry.oid
            tree += mode + b" " + name.encode() + b"\0" + bytes.fromhex(oid)
        oid = hashlib.sha1(b"tree %d\0" % len(tree) + tree).hexdigest()
        self.folders[path.rstrip("/")] = oid
        return oid

    def _make_id(self):
        who = f"{self.author} <{self.author}@users.noreply.example> {self.date} +0000"
        parent = f"parent {self.parent.id}\n" if self.parent else ""
        text = f"tree {self.folders['']}\n{parent}author {who}\ncommitter {who}\n\n{self.title}\n\n{self.message}\n".encode()
        return hashlib.sha1(b"commit %d\0" % len(text) + text).hexdigest()

    def oid(self, path):
        return self.files[path].oid if path in self.files else self.folders.get(path)

    def history(self):
        commit = self
        while commit:
            yield commit
            commit = commit.parent

    def last_change(self, path):
        """The newest commit in which this path became what it is here."""
        oid, last = self.oid(path), self
        for commit in self.history():
            if commit.oid(path) != oid:
                break
            last = commit
        return last


def iso_date(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def make_content(description, folder=None):
    """The content that a file of a description stands for."""
    if isinstance(description, str):
        return Bytes(description.encode())
    if "text" in description:
        return Bytes(description["text"].encode())
    if "base64" in description:
        return Bytes(base64.b64decode(description["base64"], validate=True))
    if "size" in description:
        return Generated(description["size"], description.get("seed", 0))
    if "parts" in description:
        return Joined([make_content(part, folder) for part in description["parts"]])
    if "file" in description and folder:
        return OnDisk(os.path.join(folder, description["file"]))
    raise ValueError(f"a file needs text, base64, size, parts or file: {description}")


def is_lfs(path, content, wanted):
    if wanted in (True, False):
        return wanted
    return content.size >= LFS_FROM or any(fnmatch.fnmatch(path.rsplit("/", 1)[-1], name) for name in LFS_NAMES)


def read_safetensors_header(content):
    """The JSON header of a safetensors file, or None where it has none."""
    if content.size < 8:
        return None
    size = struct.unpack("<Q", content.read(0, 8))[0]
    if size > min(content.size - 8, 25_000_000):
        return None
    try:
        header = json.loads(content.read(8, size))
    except ValueError:
        return None
    return header if isinstance(header, dict) else None


KEYS = {
    "type", "id", "private", "gated", "disabled", "renamed_from", "lfs", "files", "commits", "branches", "tags", "pulls",
    "converts", "extra", "info",
}
COMMIT_KEYS = {"title", "message", "date", "author", "branch", "from", "files", "replace", "tag", "pull"}


class Repository:
    """Made from a description (README.md); commits can be added and branches moved while it is served."""

    def __init__(self, description, folder=None):
        unknown = set(description) - KEYS
        if unknown:
            raise ValueError(f"a repository has no {', '.join(sorted(unknown))}")
        self.type = description.get("type", "model")
        self.id = description["id"]
        if self.type not in ("model", "dataset", "space") or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", self.id):
            raise ValueError(f"no repository can be called {self.type} {self.id}")
        self.private = description.get("private", False)
        self.gated = description.get("gated", False)
        self.disabled = description.get("disabled", False)
        self.renamed_from = description.get("renamed_from", [])
        self.lfs = description.get("lfs", "auto")
        self.more_info = description.get("info", {})
        self.folder = folder
        self.commits = []
        self.branches, self.tags, self.pulls, self.converts = {}, {}, {}, {}
        self.extra = [dict(one) for one in description.get("extra", [])]
        self._add_commits(description)
        self._add_refs(description)

    def _add_commits(self, description):
        if "files" in description:
            self.commit({"title": "Initial commit", "files": description["files"]})
        for one in description.get("commits", []):
            self.commit(one)
        if "main" not in self.branches:
            self.commit({"title": "Initial commit", "files": {}})

    def _add_refs(self, description):
        for kind in ("branches", "tags", "pulls", "converts"):
            for name, where in description.get(kind, {}).items():
                getattr(self, kind)[str(name)] = self.find_commit(where)

    def commit(self, description):
        """Add one commit on a branch (or a pull request) and return it."""
        unknown = set(description) - COMMIT_KEYS
        if unknown:
            raise ValueError(f"a commit has no {', '.join(sorted(unknown))}")
        if "pull" in description:
            heads, name = self.pulls, str(description["pull"])
        else:
            heads, name = self.branches, description.get("branch", "main")
        start = self.find_commit(description["from"]) if "from" in description else self.branches.get("main")
        parent = heads.get(name, start)
        files = {} if description.get("replace") or parent is None else dict(parent.files)
        for path, one in description.get("files", {}).items():
            if one is None:
                del files[path]
            else:
                files[path] = self._make_file(path, one)
        commit = Commit(files, parent, description.get("title", "Update"), description.get("message", ""),
                        description.get("date", FIRST_DAY + 3600 * len(self.commits)),
                        description.get("author", self.id.split("/")[0]))
        self.commits.append(commit)
        heads[name] = commit
        if "tag" in description:
            self.tags[description["tag"]] = commit
        return commit

    def _make_file(self, path, description):
        content = make_content(description, self.folder)
        if isinstance(description, dict) and "sha256" in description:
            content.claim(description["sha256"])
        wanted = description.get("lfs", self.lfs) if isinstance(description, dict) else self.lfs
        return File(content, is_lfs(path, content, wanted))

    def find_commit(self, where):
        """A commit by its place in the description (0 is the first) or by any revision."""
        commit = self.commits[where] if isinstance(where, int) else self.resolve(where)
        if commit is None:
            raise ValueError(f"no commit {where} in {self.id}")
        return commit

    def resolve(self, revision):
        """The commit that a branch, tag, ref, full or abbreviated commit id stands for, or None."""
        if revision == "HEAD":
            return self.branches["main"]
        for prefix, names in (("refs/heads/", self.branches), ("refs/tags/", self.tags), ("refs/pr/", self.pulls),
                              ("refs/convert/", self.converts)):
            if revision.startswith(prefix):
                return names.get(revision[len(prefix):])
        if revision in self.branches:
            return self.branches[revision]
        if revision in self.tags:
            return self.tags[revision]
        if re.fullmatch(r"[0-9a-f]{7,40}", revision):
            found = {commit.id: commit for commit in self.commits if commit.id.startswith(revision)}
            return found.popitem()[1] if len(found) == 1 else None
        return None

    # What the API says of it.

    def refs(self, with_pulls):
        def listed(names, prefix):
            return [{"name": name, "ref": prefix + name, "targetCommit": commit.id} for name, commit in names.items()]
        answer = {
            "branches": listed(self.branches, "refs/heads/"),
            "converts": listed(self.converts, "refs/convert/"),
            "tags": listed(self.tags, "refs/tags/"),
        }
        if with_pulls:
            answer["pullRequests"] = [{"name": f"refs/pr/{name}", "ref": f"refs/pr/{name}", "targetCommit": commit.id}
                                      for name, commit in self.pulls.items()]
        return answer

    def entry(self, commit, path, expand):
        """One item of a tree listing."""
        if path in commit.files:
            file = commit.files[path]
            item = {"type": "file", "oid": file.oid, "size": file.content.size}
            if file.lfs:
                item["lfs"] = {"oid": file.content.sha256, "size": file.content.size, "pointerSize": file.pointer.size}
            item["path"] = path
            if expand:
                item["securityFileStatus"] = {"status": "safe", "avScan": {"virusFound": False, "virusNames": None},
                                              "pickleImportScan": None}
        else:
            item = {"type": "directory", "oid": commit.folders[path], "size": 0, "path": path}
        if expand:
            last = commit.last_change(path)
            item["lastCommit"] = {"id": last.id, "title": last.title, "date": iso_date(last.date)}
        return item

    def paths(self, commit, folder, recursive):
        """The paths of a listing, folders too; None where there is no such folder."""
        if folder not in commit.folders:
            return None
        prefix = f"{folder}/" if folder else ""
        every = [path for path in [*commit.folders, *commit.files] if path and path.startswith(prefix)]
        return sorted(path for path in every if recursive or "/" not in path[len(prefix):])

    def extra_entries(self):
        """Listing items that git would never have made, for the tests of hostile names."""
        items = []
        for one in self.extra:
            if "raw" in one:
                items.append(one["raw"])
            elif one.get("listed", True):
                file = self.extra_file(one["path"])
                items.append({"type": "file", "oid": file.oid, "size": file.content.size, "path": one["path"]})
        return items

    def extra_file(self, path):
        for one in self.extra:
            if one.get("path") == path:
                return File(make_content(one.get("content", "hostile\n")), False)
        return None

    def siblings(self, commit, with_blobs):
        items = []
        for path in sorted(commit.files):
            item, file = {"rfilename": path}, commit.files[path]
            if with_blobs:
                item.update(blobId=file.oid, size=file.content.size)
                if file.lfs:
                    item["lfs"] = {"sha256": file.content.sha256, "size": file.content.size, "pointerSize": file.pointer.size}
            items.append(item)
        return items + [{"rfilename": one.get("path")} for one in self.extra_entries()]

    def info(self, commit, with_blobs):
        """Everything that the info route may answer."""
        info = {
            "_id": hashlib.sha1(f"{self.type} {self.id}".encode()).hexdigest()[:24], "id": self.id,
            "author": self.id.split("/")[0], "sha": commit.id, "private": self.private, "gated": self.gated,
            "disabled": self.disabled, "lastModified": iso_date(self.branches["main"].date),
            "createdAt": iso_date(self.commits[0].date), "downloads": 0, "likes": 0, "tags": [], "cardData": {},
            "siblings": self.siblings(commit, with_blobs),
            "usedStorage": sum(file.content.size for file in commit.files.values() if file.lfs),
        }
        if self.type == "model":
            info.update(self._model_info(commit))
        info.update(self.more_info)
        return info

    def _model_info(self, commit):
        info = {"modelId": self.id, "pipeline_tag": "text-generation", "library_name": "transformers", "spaces": []}
        config = commit.files.get("config.json")
        if config:
            try:
                info["config"] = {key: value for key, value in json.loads(config.content.bytes()).items()
                                  if key in ("architectures", "model_type")}
            except (ValueError, AttributeError):
                info["config"] = {}
        counts = self._parameter_counts(commit)
        if counts:
            info["safetensors"] = {"parameters": counts, "total": sum(counts.values())}
        return info

    def _parameter_counts(self, commit):
        """How many parameters of each type the safetensors files at the root have; nothing where one cannot be read."""
        counts = {}
        for path, file in commit.files.items():
            if path.endswith(".safetensors") and "/" not in path:
                try:
                    for name, tensor in read_safetensors_header(file.content).items():
                        if name != "__metadata__":
                            counts[tensor["dtype"]] = counts.get(tensor["dtype"], 0) + math.prod(tensor["shape"])
                except (AttributeError, KeyError, TypeError):
                    return {}
        return counts

    def summary(self):
        """What a test wants to know of it: ids of the commits, and size and etag of every file on main."""
        main = self.branches["main"]
        return {
            "type": self.type, "id": self.id, "sha": main.id, "commits": [commit.id for commit in self.commits],
            "branches": {name: commit.id for name, commit in self.branches.items()},
            "tags": {name: commit.id for name, commit in self.tags.items()},
            "files": {path: {"size": file.content.size, "etag": file.etag, "lfs": file.lfs} for path, file in main.files.items()},
        }


def scan_root(root):
    """The descriptions of all repositories below a folder: TYPEs/owner/name with files and perhaps a .sim.json."""
    for kind in ("model", "dataset", "space"):
        base = os.path.join(root, kind + "s")
        for owner in sorted(os.listdir(base)) if os.path.isdir(base) else []:
            for name in sorted(os.listdir(os.path.join(base, owner))):
                yield _scan_repository(kind, f"{owner}/{name}", os.path.join(base, owner, name))


def _scan_repository(kind, identity, folder):
    files = {}
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in names:
            path = os.path.relpath(os.path.join(place, name), folder)
            if path != DESCRIPTION:
                files[path.replace(os.sep, "/")] = {"file": path}
    description = {"files": files}
    if os.path.exists(os.path.join(folder, DESCRIPTION)):
        with open(os.path.join(folder, DESCRIPTION), encoding="utf-8") as file:
            written = json.load(file)
        description = written if "commits" in written or "files" in written else {**description, **written}
    return Repository({**description, "type": kind, "id": identity}, folder)
