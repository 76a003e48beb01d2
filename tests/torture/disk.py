"""What a disk holds after a power cut, from the record that record.c has made of a program's changes.

The model is what POSIX leaves to a file system, and no more than that:

* The bytes of a file last from its fsync or fdatasync on. Of what was written later, each write is there, or is not, or only its
  first sectors are; where a file has grown over what is not there, it holds zeros.
* A name (made, linked, renamed, removed) lasts from the fsync of its folder on; for a rename between two folders either will do.
  Of the later changes each is there or is not, in their order. A rename is there as a whole: there is no moment without either
  name. What was made in a folder that has no name itself is gone with it.

A `Cut` says which of the changes that are left to chance are there. What was there before the record began is durable.
"""

import os
import random
import shutil
import stat

SECTOR = 512


class Node:
    """A file, a link or a folder, whatever its names are."""

    def __init__(self, kind, mode=0o644, target=""):
        self.kind, self.mode, self.target = kind, mode, target
        self.data, self.waiting = b"", []      # a file's durable bytes; ("write", offset, bytes) or ("size", size) since
        self.names, self.durable = {}, {}      # a folder's, as programs see them and as they last

    def bytes_after(self, cut):
        """What is left of a file's bytes."""
        data = bytearray(self.data)
        for change, *facts in self.waiting:
            if change == "size":
                size = facts[0] if cut.keeps_bytes() else None
                if size is not None:
                    data = data[:size].ljust(size, b"\0")
            else:
                offset, more = facts
                kept = cut.keeps_part(more)
                end = offset + len(more) if cut.grows_anyway() else offset + len(kept)
                if kept or end > len(data) and cut.grows_anyway():
                    data = data.ljust(max(end, len(data)), b"\0")
                    data[offset:offset + len(kept)] = kept
        return bytes(data)


class Cut:
    """Which of the changes that nothing has made durable are there after all. `names` and `bytes` are the probabilities."""

    def __init__(self, names, of_bytes, chance, torn=True, zeros=False):
        self.names, self.bytes, self.chance, self.torn, self.zeros = names, of_bytes, chance, torn, zeros

    def keeps_name(self):
        return self.chance.random() < self.names

    def keeps_bytes(self):
        return self.chance.random() < self.bytes

    def keeps_part(self, data):
        """All of a write, its first sectors, or nothing."""
        if self.keeps_bytes():
            return data
        if self.torn and self.chance.random() < self.bytes:
            return data[:self.chance.randrange(len(data) + 1) // SECTOR * SECTOR]
        return b""

    def grows_anyway(self):
        """Whether a file has its new size without the bytes."""
        return self.zeros

    def __repr__(self):
        return f"names {self.names}, bytes {self.bytes}{', zeros' if self.zeros else ''}"


def kinds(seed):
    """The cuts that every moment is tried with: the hardest, then those that real file systems are known for, then any."""
    return [Cut(0, 0, random.Random(seed)),                       # nothing that was not made durable
            Cut(1, 0, random.Random(seed)),                       # names before bytes
            Cut(1, 0, random.Random(seed), zeros=True),           # and sizes, too
            Cut(0.5, 0.5, random.Random(seed)),
            Cut(0.5, 0.5, random.Random(f"{seed} more"), zeros=True)]


class Disk:
    """A folder's files as a record tells them, change after change."""

    def __init__(self, root):
        self.root, self.files, self.pending = root, {}, []
        self.top = Node("folder")
        if os.path.isdir(root):
            self._load(root, self.top)

    def _load(self, path, folder):
        for name in os.listdir(path):
            here = os.path.join(path, name)
            facts = os.lstat(here)
            if stat.S_ISDIR(facts.st_mode):
                node = Node("folder", stat.S_IMODE(facts.st_mode))
                self._load(here, node)
            elif stat.S_ISLNK(facts.st_mode):
                node = Node("link", target=os.readlink(here))
            else:
                node = self.files.setdefault(facts.st_ino, Node("file", stat.S_IMODE(facts.st_mode)))
                with open(here, "rb") as file:
                    node.data = file.read()
            folder.names[name] = folder.durable[name] = node

    # ---- the record ----

    def _find(self, path):
        """(folder, name) of a path."""
        node, (*above, name) = self.top, os.path.relpath(path, self.root).split(os.sep)
        for step in above:
            node = node.names[step]
        return node, name

    def _change(self, *steps):
        """Changes of names that belong together: (folder, name, node or None). They wait until a folder of theirs is durable."""
        for folder, name, node in steps:
            if node is None:
                folder.names.pop(name, None)
            else:
                folder.names[name] = node
        self.pending.append(steps)

    def apply(self, line, data):
        """One line of the record."""
        what, *words = line
        getattr(self, f"_{what}")(*words, *([data] if what == "write" else []))

    def _said(self, word):
        """What the program has told by then; nothing that is on the disk."""

    def _create(self, inode, mode, path):
        folder, name = self._find(path)
        node = folder.names.get(name)
        if node is None or self.files.get(int(inode)) is not node:
            node = self.files[int(inode)] = Node("file", int(mode, 8))
            self._change((folder, name, node))

    def _write(self, inode, offset, _, data):
        self.files[int(inode)].waiting.append(("write", int(offset), data))

    def _truncate(self, inode, size):
        self.files[int(inode)].waiting.append(("size", int(size)))

    def _mode(self, inode, mode):
        self.files[int(inode)].mode = int(mode, 8)

    def _sync(self, inode):
        node = self.files[int(inode)]
        node.data, node.waiting = node.bytes_after(Cut(1, 1, random.Random())), []

    def _folder(self, mode, path):
        self._change((*self._find(path), Node("folder", int(mode, 8))))

    def _link(self, source, path):
        folder, name = self._find(source)
        self._change((*self._find(path), folder.names[name]))

    def _symlink(self, target, path):
        self._change((*self._find(path), Node("link", target=target)))

    def _rename(self, source, path):
        folder, name = self._find(source)
        self._change((folder, name, None), (*self._find(path), folder.names[name]))

    def _remove(self, path):
        self._change((*self._find(path), None))

    def _names(self, path):
        folder = self.top
        if path != self.root:
            above, name = self._find(path)
            folder = above.names[name]
        late = []
        for steps in self.pending:
            if any(one is folder for one, _, _ in steps):
                self._settle(steps, lambda one: one.durable)
            else:
                late.append(steps)
        self.pending = late

    @staticmethod
    def _settle(steps, names_of):
        for folder, name, node in steps:
            if node is None:
                names_of(folder).pop(name, None)
            else:
                names_of(folder)[name] = node

    # ---- the cut ----

    def write_after(self, cut):
        """Makes the folder what is left on the disk."""
        left = {}

        def names_of(folder):
            return left.setdefault(id(folder), (folder, dict(folder.durable)))[1]

        for steps in self.pending:
            # What is renamed must be there under its old name.
            gone = [(folder, name) for folder, name, node in steps if node is None and len(steps) > 1]
            if cut.keeps_name() and all(name in names_of(folder) for folder, name in gone):
                self._settle(steps, names_of)
        shutil.rmtree(self.root, ignore_errors=True)
        self._write_folder(self.top, names_of, cut, self.root, {})

    def _write_folder(self, folder, names_of, cut, path, made):
        os.makedirs(path)
        for name, node in sorted(names_of(folder).items()):
            here = os.path.join(path, name)
            if node.kind == "folder":
                self._write_folder(node, names_of, cut, here, made)
                os.chmod(here, node.mode & 0o777)
            elif node.kind == "link":
                os.symlink(node.target, here)
            elif id(node) in made:
                os.link(made[id(node)], here)
            else:
                made[id(node)] = here
                with open(here, "wb") as file:
                    file.write(node.bytes_after(cut))
                os.chmod(here, node.mode)


def read_record(path):
    """[(words, bytes)] of a record."""
    found = []
    with open(path, "rb") as file:
        while line := file.readline():
            words = line.rstrip(b"\n").rstrip(b"\0").decode(errors="surrogateescape").split("\0")
            found.append((words, file.read(int(words[3])) if words[0] == "write" else b""))
    return found
