"""What the official layout of a cache demands, as a list of breaches: `layout.breaches(cache)`, empty where all is well."""

import hashlib
import json
import os
import re

COMMIT = re.compile(r"[0-9a-f]{40}")
HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
REPOSITORY = re.compile(r"(models|datasets|spaces|kernels)--.+")
UNFINISHED = (".incomplete", ".downloadInProgress")  # the latter is llama.cpp's
SIGNATURE = "Signature: 8a477f597d28d172789f06886806bc55"


def read(path):
    with open(path, "rb") as file:
        return file.read()


def hash_of(name, path):
    """The hash of a file, of the kind that a content id of this length is."""
    data = read(path)
    return hashlib.sha256(data).hexdigest() if len(name) == 64 else hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def incomplete(cache):
    """Downloads that were not finished, or what is left of them: their paths beside the blobs."""
    found = []
    for repository in sorted(os.listdir(cache)) if os.path.isdir(cache) else []:
        blobs = os.path.join(cache, repository, "blobs")
        found += [os.path.join(blobs, name) for name in sorted(os.listdir(blobs)) if name.endswith(UNFINISHED)] if os.path.isdir(blobs) else []
    return found


def breaches(cache):
    """What of a cache is not as huggingface_hub would have it. Unfinished downloads are no breach."""
    found = []
    if not os.path.isdir(cache):
        return found
    if os.listdir(cache) and not (os.path.isfile(f"{cache}/CACHEDIR.TAG") and read(f"{cache}/CACHEDIR.TAG").decode().startswith(SIGNATURE)):
        found.append("no CACHEDIR.TAG")
    for name in sorted(os.listdir(cache)):
        path = os.path.join(cache, name)
        if name == ".locks":
            found += _locks(path)
        elif name == "blobs":
            found += _store(cache)
        elif REPOSITORY.fullmatch(name):
            found += [f"{name}: {what}" for what in _repository(path)]
        elif name != "CACHEDIR.TAG":
            found.append(f"{name} is nothing of a cache")
    return found


def _files(folder):
    """Every file and link below a folder, by its path in it."""
    return sorted(os.path.relpath(os.path.join(place, name), folder) for place, _, names in os.walk(folder) for name in names)


def _locks(folder):
    return [f".locks/{name}" for name in _files(folder)
            if not re.fullmatch(r"[^/]+--[^/]+/[^/]+\.lock", name) or os.path.getsize(os.path.join(folder, name)) > 0]


def _store(cache):
    """The blobs of all repositories that came through Xet, from 2.x on."""
    folder, found = os.path.join(cache, "blobs"), []
    if not os.path.isfile(f"{folder}/.huggingface-shared-blobs"):
        return ["blobs/ has no marker"]
    for name in _files(folder):
        path = os.path.join(folder, name)
        payload = re.fullmatch(r"([0-9a-f]{2})/(\1[0-9a-f]{62})(\.refs|\.lock)?", name)
        if name != ".huggingface-shared-blobs" and not payload:
            found.append(f"blobs/{name} is nothing of the store")
        elif payload and payload.group(3) == ".refs" and not read(path):
            found.append(f"blobs/{name} names nobody")
        elif payload and not payload.group(3) and (os.path.islink(path) or os.stat(path).st_mode & 0o222):
            found.append(f"blobs/{name} can be written")
    return found


def _repository(folder):
    found = []
    for name in sorted(os.listdir(folder)):
        look = {"blobs": _blobs, "refs": _refs, "snapshots": _snapshots, "trees": _trees, ".no_exist": _absent}.get(name)
        found += [f"{name}/{what}" for what in look(os.path.join(folder, name))] if look else [f"{name} is nothing of a repository"]
    return found


def _blobs(folder):
    found = []
    for name in _files(folder):
        path = os.path.join(folder, name)
        link = os.readlink(path) if os.path.islink(path) else None
        if name.endswith(UNFINISHED):
            continue
        if not HASH.fullmatch(name):
            found.append(f"{name} is no content id")
        elif link is not None and not re.fullmatch(r"\.\./\.\./blobs/([0-9a-f]{2})/\1[0-9a-f]{62}", link):
            found.append(f"{name} leads to {link}")
        elif not os.path.isfile(path):
            found.append(f"{name} leads nowhere")
        elif hash_of(name, path) != name:
            found.append(f"{name} is CORRUPT")
    return found


def _refs(folder):
    snapshots = os.path.join(os.path.dirname(folder), "snapshots")
    found = []
    for name in _files(folder):
        commit = read(os.path.join(folder, name)).decode(errors="replace")
        if not COMMIT.fullmatch(commit):
            found.append(f"{name} holds {commit!r}")
        elif not os.path.isdir(os.path.join(snapshots, commit)):
            found.append(f"{name} names a commit without a snapshot")
    return found


def _snapshots(folder):
    found = [f"{name} is no commit" for name in os.listdir(folder) if not COMMIT.fullmatch(name)]
    for name in _files(folder):
        path, up = os.path.join(folder, name), "../" * (name.count("/") + 1)
        if not os.path.islink(path):
            found.append(f"{name} is no link")
        elif not re.fullmatch(re.escape(up) + r"blobs/(" + HASH.pattern + ")", os.readlink(path)):
            found.append(f"{name} leads to {os.readlink(path)}")
        elif not os.path.isfile(path):
            found.append(f"{name} leads nowhere")
    return found


def _trees(folder):
    found = []
    for name in _files(folder):
        good = re.fullmatch(COMMIT.pattern + r"\.json", name)
        listing = json.loads(read(os.path.join(folder, name))) if good else {}
        if listing.get("format_version") != 1:
            found.append(f"{name} is no listing")
        else:
            found += [f"{name}: {path}" for path, facts in listing["files"].items() if "size" not in facts or "blob_id" not in facts]
    return found


def _absent(folder):
    return [f"{name} is not empty" for name in _files(folder) if os.path.getsize(os.path.join(folder, name)) > 0]
