"""The bytes that a simulator serves: held in memory, in a file, or generated, so that no size costs memory."""

import hashlib
import os
import threading

BLOCK = 1 << 20
PIECE = 256 << 10


class Content:
    """Bytes of a known size that can be read from any offset. The hashes are computed once, when first asked for."""

    def __init__(self, size):
        self.size = size
        self._hashes = {}
        self._lock = threading.Lock()

    def read(self, offset, size):
        raise NotImplementedError

    def pieces(self, start=0):
        while start < self.size:
            piece = self.read(start, min(PIECE, self.size - start))
            yield piece
            start += len(piece)

    def bytes(self):
        return b"".join(self.pieces())

    def claim(self, sha256):
        """Believe this hash instead of computing it: for files too large to be read for the sake of a test."""
        self._hashes["sha256"] = sha256

    def _hash(self, name, start):
        with self._lock:
            if name not in self._hashes:
                digest = hashlib.new(name, start)
                for piece in self.pieces():
                    digest.update(piece)
                self._hashes[name] = digest.hexdigest()
            return self._hashes[name]

    @property
    def sha256(self):
        return self._hash("sha256", b"")

    @property
    def git_sha1(self):
        """The id that git gives to a file with these bytes."""
        return self._hash("sha1", b"blob %d\0" % self.size)


class Bytes(Content):
    def __init__(self, data):
        super().__init__(len(data))
        self._data = data

    def read(self, offset, size):
        return self._data[offset:offset + size]


class OnDisk(Content):
    def __init__(self, path):
        super().__init__(os.path.getsize(path))
        self._path = path

    def read(self, offset, size):
        with open(self._path, "rb") as file:
            file.seek(offset)
            return file.read(size)


class Generated(Content):
    """Noise that depends only on seed and offset: one random block, turned a little further for every block index."""

    def __init__(self, size, seed):
        super().__init__(size)
        self.seed = str(seed)
        block = hashlib.shake_256(self.seed.encode()).digest(BLOCK)
        self._twice = memoryview(block + block)

    def read(self, offset, size):
        parts = []
        end = min(offset + size, self.size)
        while offset < end:
            index, within = divmod(offset, BLOCK)
            count = min(BLOCK - within, end - offset)
            turn = index * 65537 % BLOCK  # odd, so no two of the first 2^20 blocks are the same
            parts.append(self._twice[turn + within:turn + within + count])
            offset += count
        return b"".join(parts)


class Joined(Content):
    """Several contents one after the other."""

    def __init__(self, parts):
        super().__init__(sum(part.size for part in parts))
        self._parts = parts

    def read(self, offset, size):
        found = []
        end = min(offset + size, self.size)
        for part in self._parts:
            if offset < part.size and offset < end:
                found.append(part.read(offset, min(part.size, end) - offset))
                offset = part.size
            offset, end = offset - part.size, end - part.size
        return b"".join(found)


class Altered(Content):
    """Another content with the bytes at some offsets flipped."""

    def __init__(self, content, offsets):
        super().__init__(content.size)
        self._content = content
        self._offsets = [offset for offset in offsets if 0 <= offset < content.size]

    def read(self, offset, size):
        data = bytearray(self._content.read(offset, size))
        for position in self._offsets:
            if offset <= position < offset + len(data):
                data[position - offset] ^= 0xFF
        return bytes(data)
