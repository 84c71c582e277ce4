"""Files made to hurt the reader: each is a FileFormatError with path and reason, and takes no memory to speak of."""

import gzip
import hashlib
import io
import json
import os
import struct
import subprocess
import sys
import threading
import zipfile
import zlib

import numpy as np
import pytest

from minicnn import files, layers, train
from minicnn.data import idx

pytest.importorskip("safetensors")
MEGABYTES = 200


def npy(shape, content=b"", dtype="<f4"):
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\0" + len(text).to_bytes(2, "little") + text + content


def archive(*entries, method=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made:
        for name, content in entries:
            made.writestr(zipfile.ZipInfo(name), content, method)
    return file.getvalue()


ONE = npy((3,), bytes(12))
GOOD = archive(("tree.json", '{"dict": [["a", {"array": "a"}]]}'), ("a.npy", ONE))


def claims_size():
    """An archive whose directory says that its entry has 4 GB."""
    content = bytearray(archive(("a.npy", ONE)))
    place = content.rfind(b"PK\x01\x02")
    content[place + 20 : place + 28] = struct.pack("<II", 0xFFFFFFF0, 0xFFFFFFF0)
    return bytes(content)


def overlapping():
    """An archive in which many entries are the same bytes, so that it holds more than its size."""
    content = bytearray(archive(("a.npy", npy((250_000,), bytes(1_000_000)))))
    place, end = content.rfind(b"PK\x01\x02"), content.rfind(b"PK\x05\x06")
    entry = bytes(content[place:end])
    entries = b"".join(entry.replace(b"a.npy", f"{i:05}"[-1:].encode() + b".npy") for i in range(10)) * 100
    tail = b"PK\x05\x06\0\0\0\0" + struct.pack("<HHIIH", 1000, 1000, len(entries), place, 0)
    return bytes(content[:place]) + entries + tail


def twice():
    content = archive(("a.npy", ONE), ("b.npy", ONE))
    return content.replace(b"b.npy", b"a.npy")


def many():
    return archive(*((f"{i}.npy", b"") for i in range(65_000)))


def tree(text, *entries):
    return archive(("tree.json", text), *entries)


NPZ = {
    "empty": b"",
    "one byte": b"P",
    "text": b"these are not arrays",
    "a pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
    "cut in half": GOOD[: len(GOOD) // 2],
    "cut before its end": GOOD[:-1],
    "2**40 floats": archive(("a.npy", npy((2**40,)))),
    "a product that wraps to 3": archive(("a.npy", npy((2**32 + 1, 2**32 + 1, 3), bytes(12)))),
    "negative sizes": archive(("a.npy", npy((-1, -3), bytes(12)))),
    "0 times 2**62": archive(("a.npy", npy((0, 2**62)))),
    "2**20 axes": archive(("a.npy", npy("(" + "1," * 2**12 + ")", bytes(4)))),
    "objects": archive(("a.npy", npy((1,), b"\x80\x04N.", "|O"))),
    "records": archive(("a.npy", npy((1,), bytes(8), [("x", "<f4"), ("y", "<f4")]))),
    "bytes without a meaning": archive(("a.npy", npy((1,), bytes(4), "|V4"))),
    "characters that do not exist": archive(("a.npy", npy((2,), b"a\0\0\0\xff\xff\xff\xff", "<U1"))),
    "characters that do not exist, big-endian": archive(("a.npy", npy((1,), b"\x61\0\0\0", ">U1"))),
    "a string of 2**31 characters": archive(("a.npy", npy((1,), b"", f"<U{2**29}"))),
    "code as a header": archive(("a.npy", b"\x93NUMPY\x01\0\x1c\0__import__('os').abort()   \n")),
    "a bomb, deflated": archive(("a.npy", npy((50_000_000,), bytes(200_000_000))), method=zipfile.ZIP_DEFLATED),
    "4 GB claimed": claims_size(),
    "entries that overlap": overlapping(),
    "one name twice": twice(),
    "65,000 entries": many(),
    "a leaf that is a folder": archive(("a.npy", ONE), ("a/b.npy", ONE)),
    "an unknown entry": archive(("a.npy", ONE), ("run.sh", b"rm -rf /")),
    "a deep structure": tree('{"list":[' * 100_000),
    "a long structure": tree('{"list":[' + '{"list":[]},' * 10**6 + '{"list":[]}]}'),
    "a wide structure": tree("[" + "[]," * (2**22 // 3 - 10) + "[]]"),
    "a number of a million digits": tree('{"value": ' + "9" * 10**6 + "}"),
    "a structure of other words": tree('{"set": []}', ("a.npy", ONE)),
    "a missing array": tree('{"dict": [["a", {"array": "b"}]]}', ("a.npy", ONE)),
    "one array in two places": tree('{"list": [{"array": "a"}, {"array": "a"}]}', ("a.npy", ONE)),
    "not UTF-8": tree(b"\xff\xfe{}", ("a.npy", ONE)),
}


def safetensors(header, content=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + content


def claim(shape, start=0, end=12, dtype="F32"):
    return {"a": {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}}


SAFETENSORS = {
    "empty": b"",
    "seven bytes": bytes(7),
    "a header of 2**62 bytes": safetensors({}, length=2**62),
    "a header longer than the file": safetensors({}, length=1000),
    "a header of 9 MB": safetensors(b"{" + b" " * 9_000_000 + b"}"),
    "2**40 floats": safetensors(claim([2**40], 0, 2**42)),
    "a product that overflows": safetensors(claim([2**32, 2**32, 3]), bytes(12)),
    "fewer bytes than claimed": safetensors(claim([3]), bytes(11)),
    "negative sizes": safetensors(claim([-3]), bytes(12)),
    "offsets outside": safetensors(claim([3], 100, 112), bytes(12)),
    "offsets backward": safetensors(claim([3], 12, 0), bytes(12)),
    "bfloat16": safetensors(claim([6], dtype="BF16"), bytes(12)),
    "floats of 8 bits": safetensors(claim([12], dtype="F8_E5M2"), bytes(12)),
    "complex numbers": safetensors(claim([1], 0, 8, dtype="C64"), bytes(8)),
    "a dtype of its own": safetensors(claim([3], dtype="PY"), bytes(12)),
    "no JSON": safetensors(b"{{{{", bytes(12)),
    "deep JSON": safetensors(b'{"a":' * 100_000),
    "bytes that belong to nothing": safetensors(claim([3]), bytes(24)),
    "a leaf that is a folder": safetensors(
        {**claim([3]), "a/b": {"dtype": "F32", "shape": [3], "data_offsets": [12, 24]}}, bytes(24)
    ),
    "a structure that lies": safetensors({**claim([3]), "__metadata__": {"tree": '{"array": "b"}'}}, bytes(12)),
}


def sizes(*axes, kind=8):
    return bytes([0, 0, kind, len(axes)]) + struct.pack(f">{len(axes)}I", *axes)


def zipped(content):
    return gzip.compress(content, mtime=0)


IDX = {
    "empty": b"",
    "not gzipped": sizes(3) + bytes(3),
    "cut": zipped(sizes(1000) + bytes(range(250)) * 4)[:-12],
    "wrong magic": zipped(b"\x01\x02\x03\x04" + bytes(20)),
    "floats": zipped(sizes(3, kind=13) + bytes(12)),
    "4 GB claimed": zipped(sizes(2**32 - 1)),
    "a product of 2**64": zipped(sizes(2**16, 2**16, 2**16, 2**16)),
    "a product that wraps to 0": zipped(sizes(2**31, 2**31, 4)),
    "0 times 2**62": zipped(sizes(0, 2**31, 2**31)),
    "255 axes": zipped(bytes([0, 0, 8, 255]) + b"\0\0\0\1" * 255 + b"x"),
    "a header that is cut": zipped(bytes([0, 0, 8, 9]) + bytes(8)),
    "a bomb with its claim": zipped(sizes(300_000_000) + bytes(300_000_000)),
    "a bomb without it": zipped(sizes(3) + bytes(300_000_000)),
    "nothing inside": zipped(b""),
    "a checksum that is wrong": zipped(sizes(3) + b"abc")[:-8] + bytes(8),
}


def test_the_files_that_should_be_read_are(tmp_path):
    (tmp_path / "good.npz").write_bytes(GOOD)
    assert train.load(tmp_path / "good.npz")["a"].tolist() == [0, 0, 0]
    (tmp_path / "good.safetensors").write_bytes(safetensors(claim([3]), bytes(12)))
    assert train.load(tmp_path / "good.safetensors")["a"].tolist() == [0, 0, 0]
    content = zipped(sizes(1, 3) + b"abc")
    (tmp_path / "good.gz").write_bytes(content)
    assert idx.read(tmp_path / "good.gz", hashlib.md5(content).hexdigest()).tolist() == [[97, 98, 99]]  # noqa: S324


def read(path):
    """Read a file as its suffix says; one of IDX as if its checksum were the published one."""
    if path.suffix == ".gz":
        return idx.read(path, hashlib.md5(path.read_bytes()).hexdigest())  # noqa: S324
    return train.load(path)


CASES = [
    *(("npz", name, content) for name, content in NPZ.items()),
    *(("safetensors", name, content) for name, content in SAFETENSORS.items()),
    *(("gz", name, content) for name, content in IDX.items()),
]


@pytest.mark.parametrize(("suffix", "name", "content"), CASES, ids=[f"{kind}: {name}" for kind, name, _ in CASES])
def test_a_hostile_file_is_a_named_error(suffix, name, content, tmp_path):
    path = tmp_path / f"file.{suffix}"
    path.write_bytes(content)
    with pytest.raises(files.FileFormatError) as caught:
        read(path)
    assert caught.value.path == str(path)
    assert caught.value.reason
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1000


MEASURE = """
import hashlib, re, sys
from pathlib import Path
import numpy, safetensors
from minicnn import files, train
from minicnn.data import idx

def peak():  # of this process; ru_maxrss would begin with that of its parent
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

before = peak()
for path in map(Path, sys.argv[1:]):
    try:
        if path.suffix == ".gz":
            idx.read(path, hashlib.md5(path.read_bytes()).hexdigest())
        else:
            train.load(path)
    except files.FileFormatError:
        continue
    sys.exit(f"{path} was read")
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_hostile_files_take_no_memory(tmp_path):
    """The most that any of them takes, as the peak of one process that reads all."""
    paths = []
    for number, (suffix, _, content) in enumerate(CASES):
        paths.append(tmp_path / f"{number}.{suffix}")
        paths[-1].write_bytes(content)
    shown = subprocess.run([sys.executable, "-c", MEASURE, *paths], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert 10 < int(shown.stdout) / 1024 < MEGABYTES, "at least the largest of the files has been read"


@pytest.mark.parametrize("suffix", ["npz", "safetensors", "gz"])
def test_what_is_not_a_regular_file_is_refused_without_waiting(suffix, tmp_path):
    folder, pipe = tmp_path / f"folder.{suffix}", tmp_path / f"pipe.{suffix}"
    folder.mkdir()
    os.mkfifo(pipe)
    for path in (folder, pipe):
        caught = []

        def attempt(path=path, caught=caught):
            try:
                idx.read(path, "") if suffix == "gz" else train.load(path)
            except files.FileFormatError as error:
                caught.append(error)

        thread = threading.Thread(target=attempt, daemon=True)
        thread.start()
        thread.join(timeout=60)
        assert "not a regular file" in caught[0].reason


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_a_limit_holds_for_every_reader(suffix, tmp_path):
    path = train.save(tmp_path / f"file.{suffix}", {"a": np.zeros(1000)}, layers.Dense(2), note="x")
    for reader in (train.load, train.load_net, train.load_metadata):
        reader(path, max_bytes=path.stat().st_size)
        with pytest.raises(files.FileFormatError, match="max_bytes is 8,000") as caught:
            reader(path, max_bytes=8000)
        assert str(path) in str(caught.value)
        with pytest.raises(TypeError, match="max_bytes must be an integer"):
            reader(path, max_bytes="1")


def test_a_limit_holds_for_the_data(tmp_path):
    content = zipped(sizes(1000) + zlib.compress(bytes(1000))[:1] * 1000)
    (tmp_path / "a.gz").write_bytes(content)
    md5 = hashlib.md5(content).hexdigest()  # noqa: S324
    assert len(idx.read(tmp_path / "a.gz", md5)) == 1000
    with pytest.raises(files.FileFormatError, match="1,000 bytes, in a file"):
        idx.read(tmp_path / "a.gz", md5, max_bytes=900)
    with pytest.raises(files.FileFormatError, match="max_bytes is 10"):
        idx.read(tmp_path / "a.gz", md5, max_bytes=10)


@pytest.mark.parametrize("dtype", ["BF16", "F8_E5M2"])
def test_floats_that_numpy_does_not_have_are_named_with_a_remedy(dtype, tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(safetensors(claim([12 if dtype[1] == "8" else 6], dtype=dtype), bytes(12)))
    with pytest.raises(files.FileFormatError, match=rf"a has dtype {dtype}, which NumPy .*\. Save float32") as caught:
        train.load(path)
    assert caught.value.path == str(path)
