"""CIFAR-10 from every form it comes in, hostile ones too; cats and dogs dealt out to folders."""

import contextlib
import gzip
import hashlib
import http.server
import io
import os
import pickle
import socket
import tarfile
import threading
import tracemalloc

import numpy as np
import pytest

from fastconv import config
from fastconv.datasets import archives, cats_vs_dogs, cifar10, pickles

NAMES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]


def batch_of(number, images=4):
    """Return pixels and labels that differ from batch to batch."""
    rng = np.random.default_rng(number)
    return rng.integers(0, 256, (images, 3072), np.uint8), rng.integers(0, 10, images, np.uint8)


def python2_batch(pixels, labels):
    """Return a batch with the very instructions of the real files, which Python 2 wrote."""

    def text(value):
        return b"U" + bytes([len(value)]) + value

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
        b"(K\x01(M" + len(pixels).to_bytes(2, "little") + b"M\x00\x0ctcnumpy\ndtype\n"
        b"(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"T" + pixels.size.to_bytes(4, "little") + pixels.tobytes() + b"tb"
    )
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    names = b"](" + b"".join(text(b"%d.png" % i) for i in range(len(labels))) + b"e"
    return (
        b"\x80\x02}q\x01("
        + (text(b"batch_label") + text(b"batch 1"))
        + (text(b"labels") + numbers)
        + (text(b"data") + array)
        + (text(b"filenames") + names)
        + b"u."
    )


def python3_batch(pixels, labels, protocol=2):
    return pickle.dumps({b"data": pixels, b"labels": labels.tolist()}, protocol)


def binary_batch(pixels, labels):
    return np.concatenate([labels[:, None], pixels], 1).tobytes()


FORMS = {
    "python 2": ("cifar-10-batches-py", "", python2_batch),
    "python 3": ("cifar-10-batches-py", "", python3_batch),
    "protocol 4": ("cifar-10-batches-py", "", lambda *batch: python3_batch(*batch, 4)),
    "binary": ("cifar-10-batches-bin", ".bin", binary_batch),
}


def members_of(form, images=4):
    folder, suffix, write = FORMS[form]
    return {
        f"{folder}/{name}{suffix}": write(*batch_of(number, images))
        for number, name in enumerate(NAMES)
    }


def write_archive(path, members):
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def write_folder(path, members):
    for name, data in members.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def check(loaded, images=4):
    """Compare with the batches written."""
    (x_train, y_train), (x_test, y_test) = loaded
    for x, y, numbers in ((x_train, y_train, range(5)), (x_test, y_test, [5])):
        batches = [batch_of(number, images) for number in numbers]
        pixels, labels = (np.concatenate(a) for a in zip(*batches, strict=True))
        assert x.dtype == y.dtype == np.uint8
        assert x.shape == (len(labels), 32, 32, 3)
        assert y.shape == (len(labels), 1)
        np.testing.assert_array_equal(x.transpose(0, 3, 1, 2).reshape(-1, 3072), pixels)
        np.testing.assert_array_equal(y[:, 0], labels)
        assert x.flags.c_contiguous
        assert x.flags.writeable
        assert y.flags.writeable


@pytest.fixture
def homes(tmp_path, monkeypatch):
    """Give both caches a folder of their own, and no network."""
    for variable in ("FASTCONV_HOME", "KERAS_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    monkeypatch.setattr(cifar10, "URL", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    return tmp_path


@pytest.mark.parametrize("form", FORMS)
def test_an_archive_and_its_folder(form, tmp_path):
    members = members_of(form)
    check(cifar10.load_data(write_archive(tmp_path / "archive.tar.gz", members)))
    folder = write_folder(tmp_path / "unpacked", members)
    check(cifar10.load_data(folder))
    check(cifar10.load_data(str(folder / FORMS[form][0])))


def test_a_folder_that_holds_the_archive(tmp_path):
    write_archive(tmp_path / "cifar-10-binary.tar.gz", members_of("binary"))
    check(cifar10.load_data(tmp_path))


def test_the_real_size(tmp_path):
    archive = tmp_path / "cifar-10-binary.tar.gz"
    blank = np.zeros((10000, 3073), np.uint8).tobytes()
    write_archive(archive, {f"cifar-10-batches-bin/{name}.bin": blank for name in NAMES})
    (x_train, y_train), (x_test, y_test) = cifar10.load_data(archive)
    assert x_train.shape == (50000, 32, 32, 3)
    assert y_train.shape == (50000, 1)
    assert x_test.shape == (10000, 32, 32, 3)
    assert y_test.shape == (10000, 1)


def test_channels_first(tmp_path):
    write_archive(tmp_path / "a.tar.gz", members_of("binary"))
    config.set_image_data_format("channels_first")
    try:
        (x, _), _ = cifar10.load_data(tmp_path / "a.tar.gz")
    finally:
        config.set_image_data_format("channels_last")
    assert x.shape == (20, 3, 32, 32)


@pytest.mark.parametrize(
    ("home", "place"),
    [
        ("FASTCONV_HOME", "cifar-10-python.tar.gz"),
        ("FASTCONV_HOME", ""),
        ("KERAS_HOME", "cifar-10-batches-py-target"),
        ("KERAS_HOME", "cifar-10-batches-py-target_archive"),
        ("KERAS_HOME", "cifar-10-batches-py.tar.gz"),
        ("KERAS_HOME", ""),
    ],
)
def test_the_caches_are_found(homes, home, place):
    folder = homes / home / "datasets"
    folder.mkdir(parents=True)
    members = members_of("python 2")
    if place.endswith(("gz", "archive")):
        write_archive(folder / place, members)
    else:
        write_folder(folder / place, members)
    check(cifar10.load_data())


def test_keras_reads_the_same(tmp_path, monkeypatch):
    os.environ["KERAS_BACKEND"] = "torch"
    pytest.importorskip("torch", reason="PyTorch is not installed")
    pytest.importorskip("keras", reason="Keras is not installed")
    from keras.src.datasets import cifar

    folder = write_folder(tmp_path, members_of("python 2"))
    pixels, labels = cifar.load_batch(folder / "cifar-10-batches-py" / "test_batch")
    _, (x, y) = cifar10.load_data(folder)
    np.testing.assert_array_equal(x, pixels.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(y[:, 0], labels)


# Downloads


@pytest.fixture
def server(homes, monkeypatch):
    """Serve an archive on this machine."""
    folder = homes / "served"
    folder.mkdir()
    archive = write_archive(folder / "cifar-10-python.tar.gz", members_of("python 2"))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *ignored):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{running.server_port}/{archive.name}"
        monkeypatch.setattr(cifar10, "URL", url)
        monkeypatch.setattr(cifar10, "SHA256", hashlib.sha256(archive.read_bytes()).hexdigest())
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield archive
        running.shutdown()


def test_it_is_downloaded_once(server, homes, capsys):
    check(cifar10.load_data())
    assert "Downloading data from http://" in capsys.readouterr().out
    server.unlink()
    check(cifar10.load_data())
    kept = homes / "FASTCONV_HOME" / "datasets"
    assert [path.name for path in kept.iterdir()] == ["cifar-10-python.tar.gz"]


def test_a_wrong_hash_is_not_kept(server, homes, monkeypatch):
    monkeypatch.setattr(cifar10, "SHA256", "0" * 64)
    with pytest.raises(ValueError, match="SHA-256"):
        cifar10.load_data()
    assert list((homes / "FASTCONV_HOME" / "datasets").iterdir()) == []


def test_an_endless_download_is_cut_off(server, homes, monkeypatch):
    monkeypatch.setattr(cifar10, "_ARCHIVE_BYTES", 1000)
    with pytest.raises(ValueError, match="more than 1000 bytes"):
        cifar10.load_data()
    assert list((homes / "FASTCONV_HOME" / "datasets").iterdir()) == []


def test_no_network_says_where_to_put_the_file(homes, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as taken:  # bound and not listening: refused at once
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/cifar-10-python.tar.gz"
        monkeypatch.setattr(cifar10, "URL", url)
        with pytest.raises(ConnectionError) as caught:
            cifar10.load_data()
    place = homes / "FASTCONV_HOME" / "datasets" / "cifar-10-python.tar.gz"
    assert url in str(caught.value)
    assert str(place) in str(caught.value)
    assert list(place.parent.iterdir()) == []


def test_the_real_address_and_hash():
    """Those that Keras has."""
    assert cifar10.URL == "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    pytest.importorskip("keras", reason="Keras is not installed")
    import inspect

    from keras.src.datasets import cifar10 as keras_cifar10

    assert cifar10.SHA256 in inspect.getsource(keras_cifar10)


# Hostile and damaged files


class Runs:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def evil(*instructions):
    return b"\x80\x02" + b"".join(instructions) + b"."


HEX_BOMB = b"X\x01\x00\x00\x00a" + b"".join(
    b"q\x00c_codecs\nencode\nh\x00X\x03\x00\x00\x00hex\x86R" for _ in range(40)
)
HOSTILE = {
    "a call of the shell": pickle.dumps(Runs(os.system, "touch /tmp/fastconv-was-here")),
    "eval": pickle.dumps(Runs(eval, "1/0")),
    "a class": pickle.dumps(Runs(type, "C", (), {})),
    "numpy's own functions": evil(b"cnumpy\nfromfile\nX\x04\x00\x00\x00/etc\x85R"),
    "objects in an array": pickle.dumps({"data": np.array([None]), "labels": [0]}),
    "floats in an array": pickle.dumps({"data": np.zeros((1, 3072)), "labels": [0]}),
    "text that grows": evil(HEX_BOMB),
    "a place far out in the memo": evil(b"Nr\xff\xff\xff\x7f"),
    "millions of lists": evil(b"(" + b"]" * 2_000_000 + b"l"),
    "a string past the end": evil(b"\x8e" + (1 << 60).to_bytes(8, "little") + b"a"),
    "an array of another size": python2_batch(*batch_of(0)).replace(b"M\x00\x0ct", b"M\x00\x0dt"),
    "attributes of what it is given": evil(
        b"cnumpy.core.multiarray\n_reconstruct\nN}X\x08\x00\x00\x00__call__Ns\x86b"
    ),
    "no dictionary": pickle.dumps([1, 2]),
    "a key that is no text": pickle.dumps({1: 2}),
    "no pixels": pickle.dumps({"labels": [0]}),
    "pixels of no array": pickle.dumps({"data": b"12", "labels": [0]}),
    "no labels": python3_batch(batch_of(0)[0], np.array([0])).replace(b"labels", b"lapels"),
    "labels of no class": python3_batch(batch_of(0)[0], np.array([0, 1, 2, 10])),
    "fewer labels": python3_batch(batch_of(0)[0], np.array([0, 1])),
    "labels of text": pickle.dumps({"data": batch_of(0)[0], "labels": ["cat"] * 4}, 2),
    "no images": python3_batch(np.zeros((0, 3072), np.uint8), np.zeros(0, int)),
    "images of another size": python3_batch(np.zeros((2, 100), np.uint8), np.zeros(2, int)),
    "cut off": python2_batch(*batch_of(0))[:5000],
    "empty": b"",
    "text": b"hello",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_pickles(kind, tmp_path):
    members = members_of("python 2")
    members["cifar-10-batches-py/data_batch_3"] = HOSTILE[kind]
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="data_batch_3"):
            cifar10.load_data(write_folder(tmp_path, members))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100_000_000
    assert not os.path.exists("/tmp/fastconv-was-here")


def test_a_pickle_is_told_what_it_asked_for(tmp_path):
    with pytest.raises(ValueError, match=r"'here' .*\b(posix|nt)\.system"):
        pickles.load_arrays(pickle.dumps(Runs(os.system, "true")), "here")


def test_random_damage_raises_only_value_errors():
    rng = np.random.default_rng(0)
    whole = python2_batch(*batch_of(0, 1))
    head = 120  # what comes before the pixels, where damage matters most
    for _ in range(500):
        data = bytearray(whole)
        for place in rng.integers(0, head, 3):
            data[place] = rng.integers(256)
        with contextlib.suppress(ValueError):
            pickles.load_arrays(bytes(data), "damaged")


@pytest.mark.parametrize(
    "data",
    [b"", b"\x01" * 3072, b"\x0b" + bytes(3072), bytes(3073 * 2 + 1)],
    ids=["empty", "short", "a label of no class", "long"],
)
def test_damaged_binary_batches(data, tmp_path):
    members = members_of("binary")
    members["cifar-10-batches-bin/data_batch_3.bin"] = data
    with pytest.raises(ValueError, match="data_batch_3"):
        cifar10.load_data(write_folder(tmp_path, members))


def test_a_batch_that_is_missing(tmp_path):
    members = members_of("python 2")
    del members["cifar-10-batches-py/data_batch_4"]
    for source in (
        write_folder(tmp_path / "folder", members),
        write_archive(tmp_path / "archive", members),
    ):
        with pytest.raises(ValueError, match="data_batch_4 is missing"):
            cifar10.load_data(source)


def test_names_that_lead_elsewhere_are_passed_over(tmp_path):
    members = members_of("binary")
    outside = {
        "../escaped": b"1",
        "/tmp/fastconv-escaped": b"1",
        "cifar-10-batches-bin/../../data_batch_1.bin": b"1",
        "long/" + "n" * 300: b"1",  # its header needs another one
    }
    (tmp_path / "inner").mkdir()
    archive = write_archive(tmp_path / "inner" / "a.tar.gz", {**outside, **members})
    with tarfile.open(tmp_path / "inner" / "links.tar.gz", "w:gz") as written:
        link = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        written.addfile(link)
    check(cifar10.load_data(archive))
    with pytest.raises(ValueError, match="is missing"):
        cifar10.load_data(tmp_path / "inner" / "links.tar.gz")
    assert not os.path.exists("/tmp/fastconv-escaped")
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "a.tar.gz",
        "inner",
        "links.tar.gz",
    ]


def test_a_member_that_is_there_twice(tmp_path):
    twice = tmp_path / "a.tar.gz"
    with tarfile.open(twice, "w:gz") as archive:
        for _ in range(2):
            archive.addfile(tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin"))
    with pytest.raises(ValueError, match="twice"):
        cifar10.load_data(twice)


@pytest.mark.parametrize("kept", [0, 10, 400, 5000, -1, -8])
def test_a_truncated_archive(kept, tmp_path):
    archive = write_archive(tmp_path / "a.tar.gz", members_of("python 2"))
    archive.write_bytes(archive.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"a\.tar\.gz"):
        cifar10.load_data(archive)


def test_a_corrupt_archive(tmp_path):
    archive = write_archive(tmp_path / "a.tar.gz", members_of("binary"))
    whole = archive.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(10, len(whole), 20):
        archive.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        with pytest.raises(ValueError, match=r"a\.tar\.gz"):
            cifar10.load_data(archive)


@pytest.mark.parametrize("data", [b"no archive", gzip.compress(b"no archive"), b"PK\x03\x04"])
def test_what_is_no_archive(data, tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.tar\.gz"):
        cifar10.load_data(tmp_path / "a.tar.gz")


# 16 MB of them. What gzip compressed may be joined to more.
ZEROS = gzip.compress(bytes(1 << 24))


def header(name, size, kind=b"0"):
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [b"0", b"x", b"L", b"S"])
@pytest.mark.parametrize("name", ["cifar-10-batches-bin/test_batch.bin", "other"])
def test_a_bomb_takes_no_memory(kind, name, tmp_path, monkeypatch):
    """A gigabyte of zeros, as a member asked for, another one, or a header's extension."""
    monkeypatch.setattr(cifar10, "_EXPANDED_BYTES", 100_000_000)
    bomb = tmp_path / "a.tar.gz"
    bomb.write_bytes(gzip.compress(header(name, 1 << 30, kind)) + ZEROS * 64)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"larger than|expands to more|damaged"):
            cifar10.load_data(bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 50_000_000


def test_a_bomb_after_the_end(tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(ZEROS * 10)
    with pytest.raises(ValueError, match="expands to more"):
        archives.read_members(tmp_path / "a.tar.gz", ["a"], 100, 1 << 27)


def test_a_damaged_header(tmp_path):
    for bad in (b"\xff" * 512, header("a", 5)[:124] + b"-0000000005\0" + header("a", 5)[136:]):
        (tmp_path / "a.tar.gz").write_bytes(gzip.compress(bad + bytes(2048)))
        with pytest.raises(ValueError, match="a header is damaged"):
            archives.read_members(tmp_path / "a.tar.gz", ["a"], 100, 10000)


def test_load_data_refuses(tmp_path):
    with pytest.raises(TypeError, match="load_data: path must be"):
        cifar10.load_data(3)
    for nothing in (tmp_path / "nothing", tmp_path):
        with pytest.raises(FileNotFoundError, match="load_data: path must be"):
            cifar10.load_data(nothing)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="no regular file"):
        cifar10.load_data(tmp_path / "pipe")


def test_label_names():
    assert len(cifar10.label_names) == 10
    assert cifar10.label_names[3] == "cat"


# Cats and dogs


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "train"
    folder.mkdir()
    for animal in ("cat", "dog"):
        for number in range(7):
            (folder / f"{animal}.{number}.jpg").write_bytes(f"{animal} {number}".encode() * 9)
    return folder


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


EXPECTED = [
    f"{part}/{animal}s/{animal}.{number}.jpg"
    for part, numbers in (("test", [6]), ("train", [0, 1, 2, 3]), ("validation", [4, 5]))
    for animal in ("cat", "dog")
    for number in numbers
]
COUNTS = {
    "train": {"cats": 4, "dogs": 4},
    "validation": {"cats": 2, "dogs": 2},
    "test": {"cats": 1, "dogs": 1},
}


@pytest.mark.parametrize("move", [False, True])
def test_split(photos, tmp_path, move):
    target = tmp_path / "parts"
    assert cats_vs_dogs.split(photos, target, (4, 2, 1), move, progress=False) == COUNTS
    assert listing(target) == EXPECTED
    assert (target / "test/dogs/dog.6.jpg").read_bytes() == b"dog 6" * 9
    assert len(listing(photos)) == (0 if move else 14)
    # Once more: nothing to do, also after a move.
    assert cats_vs_dogs.split(photos, target, (4, 2, 1), move, progress=False) == COUNTS
    assert listing(target) == EXPECTED


def test_a_split_that_was_broken_off(photos, tmp_path, monkeypatch):
    target = tmp_path / "parts"
    copied = []
    copy = cats_vs_dogs.shutil.copyfileobj

    def fail_at_the_fifth(source, to, *length):
        copied.append(source)
        if len(copied) == 5:
            to.write(b"half")
            raise OSError("the disk is full")
        return copy(source, to, *length)

    monkeypatch.setattr(cats_vs_dogs.shutil, "copyfileobj", fail_at_the_fifth)
    with pytest.raises(OSError, match="full"):
        cats_vs_dogs.split(photos, target, (4, 2, 1), progress=False)
    assert len(listing(target)) == 4
    (target / "train/cats/cat.1.jpg").write_bytes(b"half")  # what another program left
    assert cats_vs_dogs.split(photos, target, (4, 2, 1), progress=False) == COUNTS
    assert listing(target) == EXPECTED
    assert len(copied) == 5 + 10 + 1
    assert (target / "train/cats/cat.1.jpg").read_bytes() == b"cat 1" * 9


def test_a_move_to_another_disk(photos, tmp_path, monkeypatch):
    replace = os.replace

    def other_disk(source, target):
        if os.path.dirname(source) == str(photos):
            raise OSError(18, "Invalid cross-device link")
        replace(source, target)

    monkeypatch.setattr(os, "replace", other_disk)
    cats_vs_dogs.split(photos, tmp_path / "parts", (4, 2, 1), move=True, progress=False)
    assert listing(tmp_path / "parts") == EXPECTED
    assert listing(photos) == []


def test_a_move_deletes_no_photo_that_differs(photos, tmp_path):
    target = tmp_path / "parts"
    cats_vs_dogs.split(photos, target, (4, 2, 1), progress=False)
    (photos / "cat.0.jpg").write_bytes(b"cat X" * 9)
    with pytest.raises(ValueError, match=r"cat\.0\.jpg.* differ"):
        cats_vs_dogs.split(photos, target, (4, 2, 1), move=True, progress=False)
    assert (photos / "cat.0.jpg").read_bytes() == b"cat X" * 9


def test_missing_photos_are_named_before_any_is_copied(photos, tmp_path):
    for number in (0, 3):
        (photos / f"dog.{number}.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"dog\.0\.jpg', .*dog\.3\.jpg'$"):
        cats_vs_dogs.split(photos, tmp_path / "parts", (4, 2, 1), progress=False)
    assert not (tmp_path / "parts").exists()
    with pytest.raises(FileNotFoundError, match=r"and 23990 more$|and \d+ more$"):
        cats_vs_dogs.split(photos, tmp_path / "parts", progress=False)


def test_split_shows_progress(photos, tmp_path, capfd):
    pytest.importorskip("tqdm", reason="tqdm is not installed")
    cats_vs_dogs.split(photos, tmp_path / "parts", (4, 2, 1))
    assert "14/14" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "error", "argument"),
    [
        ((3, "t"), TypeError, "source"),
        (("s", None), TypeError, "target"),
        (("s", "t", 3), TypeError, "sizes"),
        (("s", "t", (1, 2)), ValueError, "sizes"),
        (("s", "t", (1, 2, -1)), ValueError, "sizes"),
        (("s", "t", (1, 2, 1.0)), TypeError, "sizes"),
        (("s", "t", (1, 2, 1), 1), TypeError, "move"),
        (("s", "t", (1, 2, 1), True, "no"), TypeError, "progress"),
    ],
)
def test_split_refuses(arguments, error, argument):
    with pytest.raises(error, match=f"split: {argument} must be"):
        cats_vs_dogs.split(*arguments)
