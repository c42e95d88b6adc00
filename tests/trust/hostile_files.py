"""Files made to harm who reads them; and, run as a script, what becomes of who does.

Each is read in a process of its own, forked from one that has all modules: that limits its memory
and its time, and tells how much of both it took.
"""

import contextlib
import gzip
import io
import json
import os
import pickle
import resource
import signal
import stat
import struct
import sys
import tarfile
import time
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np

CANARY = "canary"  # what code in a file would make, in the folder of the files
MEGABYTE = 1 << 20
LIMIT = 2 << 30  # of address space, beyond what is taken before: an allocation above it fails
SECONDS = 30


# ------------------------------------------------------------------------------------- images


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, data, depth=8, colour=2, before=b""):
    size = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", size) + before + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def zeros(count):
    """Return a zlib stream of zeros."""
    packer, pieces = zlib.compressobj(9), []
    while count > 0:
        pieces.append(packer.compress(bytes(min(count, MEGABYTE))))
        count -= MEGABYTE
    return b"".join([*pieces, packer.flush()])


def tiff(*entries, tail=bytes(2000)):
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + bytes(4) + tail


def saved_image(size, kind, **options):
    from PIL import Image

    return _saved(Image.new("RGB", size), kind, **options)


def noise(kind):
    """Return an image of 10 kB, more or less."""
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (60, 50, 3), np.uint8)
    return _saved(Image.fromarray(pixels), kind)


def _saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def scans():
    """A progressive JPEG whose last scan is repeated; each goes over all of 24 megapixels."""
    whole = saved_image((6000, 4000), "JPEG", progressive=True)
    return whole[:-2] + whole[whole.rindex(b"\xff\xda") : -2] * 3000 + b"\xff\xd9"


def single_scans():
    """The same of a baseline one: a component at a time, which ends at once."""
    whole = saved_image((6000, 4000), "JPEG")
    at = whole.index(b"\xff\xda")
    one = b"\xff\xda\0\x08\x01\x01\0\0\x3f\0"
    return whole[:at] + one * 30_000 + b"\xff\xd9"


def sparse(beginning):
    """8 GB of which the disk has hardly any."""

    def write(path):
        with open(path, "wb") as file:
            file.write(beginning())
            file.truncate(8 << 30)

    return write


def webp():
    whole = saved_image((64, 64), "WEBP")
    return whole[:4] + struct.pack("<I", 0x7FFFFFF0) + whole[8:]


SIDE = [(256, 4, 1, 64), (257, 4, 1, 64), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
IMAGES = {
    "a PNG of 100,000 x 100,000": lambda: png(100_000, 100_000, zeros(MEGABYTE)),
    "a PNG of 20 kB and 169 megapixels": lambda: png(13_000, 13_000, zeros(13_000 * 1626), 1, 0),
    "a PNG of 2^31 columns": lambda: png(2**31 - 1, 1, zeros(MEGABYTE)),
    "a PNG without rows": lambda: png(9, 0, zeros(9)),
    "a PNG with texts that grow": lambda: png(
        4, 4, zeros(52), before=chunk(b"zTXt", b"k\0\0" + zeros(MEGABYTE)) * 100
    ),
    "a PNG with a profile that grows": lambda: png(
        4, 4, zeros(52), before=chunk(b"iCCP", b"k\0\0" + zeros(256 * MEGABYTE))
    ),
    "a PNG chunk of 2 GB": sparse(
        lambda: png(4, 4, b"")[:33] + struct.pack(">I", 0x7FFFFFFF) + b"IDAT"
    ),
    "a WebP of 2 GB": sparse(webp),
    "a JPEG that does not end": sparse(
        lambda: saved_image((60, 40), "JPEG", progressive=True)[:-2]
    ),
    "a JPEG of 3000 scans": scans,
    "a JPEG of 30,000 scans of a component": single_scans,
    "a JPEG cut off": lambda: saved_image((640, 480), "JPEG")[:3000],
    "a PPM of text": lambda: b"P3 9000 9000 255 " + b"0 " * 10_000_000,
    "a PPM of one long number": lambda: b"P6 " + b"1" * 10_000_000 + b" 1 255 ",
    "a TIFF of a billion strips": lambda: tiff(
        *SIDE, (273, 4, 0x3FFFFFFF, 200), (278, 4, 1, 64), (279, 4, 0x3FFFFFFF, 200)
    ),
    "a TIFF of 2^32 rows": lambda: tiff(
        *((256, 4, 1, 2**32 - 1), (257, 4, 1, 2**32 - 1), *SIDE[2:], (273, 4, 1, 200)),
        *((278, 4, 1, 2**32 - 1), (279, 4, 1, 100)),
    ),
    "a TIFF whose directory leads to itself": lambda: tiff()[:10] + struct.pack("<I", 8),
    "a GIF of 65,535 x 65,535": lambda: b"GIF89a" + b"\xff" * 4 + bytes(3) + b",",
    "a BMP of 2^31 rows": lambda: (
        b"BM"
        + struct.pack("<IHHI", 0, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, 2**31 - 1, 2**31 - 1, 1, 24, *[0] * 6)
    ),
    "PostScript": lambda: (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%EOF\n"
    ),
    "an SVG": lambda: b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>",
    "no image": lambda: b"import os; os.mkdir('canary')",
    "nothing": lambda: b"",
}
PLACES = {
    "a pipe": os.mkfifo,
    "a link to /dev/zero": lambda path: os.symlink("/dev/zero", path),
    "a link to itself": lambda path: os.symlink(path, path),
    "a folder": os.mkdir,
}


# ------------------------------------------------------------------------------------- models


def packed(header, content=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content


def described(layers):
    model = {"class_name": "Sequential", "config": {"name": "s", "layers": layers}}
    metadata = {"format": "fastconv", "version": "1", "model": json.dumps(model)}
    return packed({"__metadata__": metadata})


def entry(start, stop, shape):
    return {"dtype": "F32", "shape": shape, "data_offsets": [start, stop]}


class Runs:
    def __reduce__(self):
        return os.mkdir, (CANARY,)


INPUT = {"class_name": "InputLayer", "config": {"batch_shape": [None, 4], "name": "i"}}
LAMBDA = {
    "class_name": "Lambda",
    "module": "keras.layers",
    "config": {"name": "l", "function": {"class_name": "__lambda__", "config": {"code": "4wEA"}}},
}
OWN = {
    "a pickle": lambda: pickle.dumps(Runs()),
    "a pickle as an array of NumPy": lambda: npy(np.array([Runs()], object)),
    "a header of 2^63 bytes": lambda: struct.pack("<Q", 2**63) + b"{}",
    "16 MB of empty dicts": lambda: packed({"a": [{}] * 4_000_000}),
    "16 MB of empty lists": lambda: packed({"a": [[]] * 4_000_000}),
    "a million brackets": lambda: packed(b"[" * 900_000),
    "a number of a million digits": lambda: packed(b'{"a":' + b"9" * 1_000_000 + b"}"),
    "an array of 2^62 elements": lambda: packed({"a": entry(0, 4, [2**31, 2**31])}, bytes(4)),
    "an array beyond the end": lambda: packed({"a": entry(0, 2**40, [2**38])}, bytes(4)),
    "arrays in one place": lambda: packed({"a": entry(0, 4, [1]), "b": entry(0, 4, [1])}, bytes(4)),
    "a Lambda": lambda: described([INPUT, LAMBDA]),
    "a class of another module": lambda: described(
        [INPUT, {"class_name": "system", "module": "os", "config": {"command": "mkdir canary"}}]
    ),
    "an activation to evaluate": lambda: described(
        [INPUT, dense(3, activation={"class_name": "function", "config": "eval"})]
    ),
    "a layer of 2^50 units": lambda: described([INPUT, dense(2**50)]),
    "30,000 layers": lambda: described([INPUT, *[dense(3)] * 30_000]),
    "models in models": lambda: described([nested(200)]),
    "an image of 2^60 pixels": lambda: described(
        [
            {"class_name": "InputLayer", "config": {"batch_shape": [None, 2**30, 2**30, 1]}},
            {"class_name": "Flatten", "module": "keras.layers", "config": {}},
            dense(2**10),
        ]
    ),
}


def npy(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def dense(units, **more):
    return {"class_name": "Dense", "module": "keras.layers", "config": {"units": units, **more}}


def nested(depth):
    inner = dense(2)
    for _ in range(depth):
        inner = {"class_name": "Sequential", "config": {"name": "n", "layers": [inner]}}
    return inner


def good(ending):
    """Return a file of a small model, trained a little."""
    from fastconv import layers, models

    model = models.Sequential([layers.Dense(3, input_shape=(4,))], name="small")
    model.compile("adam", "mse")
    model.fit(np.ones((2, 4)), np.ones((2, 3)), verbose=0)
    path = f"good{ending}"
    (model.save_weights if ending == ".weights.h5" else model.save)(path)
    content = Path(path).read_bytes()
    os.unlink(path)
    return content


def members():
    with zipfile.ZipFile(io.BytesIO(good(".keras"))) as file:
        return {name: file.read(name) for name in file.namelist()}


def zipped(change, kind=zipfile.ZIP_DEFLATED):
    found = members()
    change(found)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", kind) as file:
        for name, data in found.items():
            file.writestr(name, data)
    return content.getvalue()


def many_members():
    """A directory of two million members, all in one place: 100 MB."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("config.json", "{}")
    whole = content.getvalue()
    begin, end = whole.index(b"PK\1\2"), whole.index(b"PK\5\6")
    one, count = whole[begin:end], 2_000_000
    tail = bytearray(whole[end:])
    tail[8:16] = struct.pack("<HHI", 65535, 65535, len(one) * count)
    return whole[:begin] + one * count + bytes(tail)


def encrypted():
    whole = bytearray(zipped(lambda found: None))
    for sign, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = whole.find(sign)
        while at >= 0:
            whole[at + place] |= 1
            at = whole.find(sign, at + 1)
    return bytes(whole)


def lzma_of_4_gb():
    whole = bytearray(zipped(lambda found: None, zipfile.ZIP_LZMA))
    at = whole.find(b"\x5d\0\0")  # the properties, of which four bytes are the size of memory
    while at >= 0:
        whole[at + 1 : at + 5] = b"\xff\xff\xff\xff"
        at = whole.find(b"\x5d\0\0", at + 1)
    return bytes(whole)


ARCHIVES = {
    "a description that grows to 64 MB": lambda: zipped(
        lambda found: found.update({"config.json": bytes(64 * MEGABYTE)})
    ),
    "weights that grow to 1 GB": lambda: zipped(
        lambda found: found.update({"model.weights.h5": bytes(1024 * MEGABYTE)})
    ),
    "two million members": many_members,
    "a password": encrypted,
    "4 GB to unpack LZMA": lzma_of_4_gb,
    "bzip2": lambda: zipped(lambda found: None, zipfile.ZIP_BZIP2),
    "names that lead elsewhere": lambda: zipped(
        lambda found: found.update({"../canary": b"", "/tmp/canary": b"", "config.json": b"[]"})
    ),
    "a Lambda in an archive": lambda: zipped(
        lambda found: found.update(
            {
                "config.json": json.dumps(
                    {"class_name": "Sequential", "config": {"layers": [INPUT, LAMBDA]}}
                ).encode()
            }
        )
    ),
    "an archive cut off": lambda: good(".keras")[:-30],
    "no archive": lambda: b"PK\3\4" + bytes(1000),
}


def changed(ending, change):
    """Return a file of HDF5 that was changed."""

    def make():
        import h5py

        content = io.BytesIO(good(ending))
        with h5py.File(content, "a") as file:
            change(file)
        return content.getvalue()

    return make


def replaced(**options):
    def change(file):
        group = file["layers/dense/vars"]
        del group["0"]
        group.create_dataset("0", (4, 3), "f4", **options)

    return change


def linked(target):
    def change(file):
        import h5py

        del file["layers/dense/vars/0"]
        link = h5py.SoftLink("/vars") if target is None else h5py.ExternalLink(target, "/x")
        file["layers/dense/vars/0"] = link

    return change


def heap_in_circles():
    """An object of 0 bytes in the heap where texts lie."""
    whole = bytearray(good(".h5"))
    at = whole.index(b"GCOL\x01") + 16
    whole[at : at + 16] = bytes(16)
    return bytes(whole)


def typed(change):
    """Let the description be of another type."""

    def make(file):
        del file.attrs["model_config"]
        change(file.attrs)

    return changed(".h5", make)


def huge(file):
    group = file["layers/dense/vars"]
    del group["0"]
    group.create_dataset("0", (2**30, 2**20), "f4", chunks=(1, 2**20), compression="gzip")


HDF5 = {
    "an array of another file": changed(".weights.h5", linked("/etc/passwd")),
    "a link to a group": changed(".weights.h5", linked(None)),
    "an array in another file": changed(".weights.h5", replaced(external=[("/etc/passwd", 0, 48)])),
    "an array that is not there": changed(".weights.h5", replaced()),
    "an array that is packed": changed(
        ".weights.h5", replaced(chunks=(1, 1), compression="gzip", shuffle=True)
    ),
    "an array of 4 petabytes": changed(".weights.h5", huge),
    "no HDF5": lambda: b"\x89HDF\r\n\x1a\n" + bytes(5000),
}
WHOLE_HDF5 = {
    "a heap that leads in circles": heap_in_circles,
    "a description of numbers": typed(lambda attrs: attrs.create("model_config", 3.0)),
    "a description of lists": typed(
        lambda attrs: attrs.create("model_config", np.arange(9), dtype="i8")
    ),
    "a description of brackets": typed(lambda attrs: attrs.create("model_config", "[" * 60_000)),
    "a pickle as a description": typed(
        lambda attrs: attrs.create("model_config", np.void(pickle.dumps(Runs())))
    ),
}


# ---------------------------------------------------------------------------------- data sets


def tar(*infos, content=b""):
    plain = b"".join(info.tobuf(tarfile.GNU_FORMAT) for info in infos)
    return gzip.compress(plain + content)


def info(name, size=0, kind=tarfile.REGTYPE, link=""):
    made = tarfile.TarInfo(name)
    made.size, made.type, made.linkname = size, kind, link
    return made


BATCH = "cifar-10-batches-py/data_batch_1"
ZEROS = gzip.compress(bytes(16 * MEGABYTE))  # what gzip made may be joined to more
TARS = {
    "a member that leads elsewhere": lambda: tar(info("../../canary", 512), content=bytes(1536)),
    "a member that is a link": lambda: tar(info(BATCH, 0, tarfile.SYMTYPE, "/etc/passwd")),
    "a member that is a device": lambda: tar(info(BATCH, 0, tarfile.CHRTYPE)),
    "a member of 1 GB": lambda: tar(info(BATCH, 1 << 30)) + ZEROS * 64,
    "a name of 1 GB": lambda: tar(info("x", 1 << 30, tarfile.GNUTYPE_LONGNAME)) + ZEROS * 64,
    "1 GB of zeros": lambda: ZEROS * 64,
    "an archive cut off": lambda: tar(info(BATCH, 10_000), content=bytes(5000))[:-20],
    "a member that runs code": lambda: tar(
        info(BATCH, len(pickle.dumps(Runs()))), content=pickle.dumps(Runs()).ljust(1536, b"\0")
    ),
}
PICKLES = {
    "a pickle that runs code": lambda: pickle.dumps(Runs()),
    "a pickle of millions of lists": lambda: b"\x80\x02(" + b"]" * 2_000_000 + b"l.",
    "a pickle far out in the memo": lambda: b"\x80\x02Nr\xff\xff\xff\x7f.",
    "a pickle of 2^60 bytes": lambda: b"\x80\x04\x8e" + (1 << 60).to_bytes(8, "little") + b"a.",
}
TABLES = {
    "image": (".img", {**IMAGES, **PLACES}),
    "own": (".fastconv", {**OWN, **PLACES}),
    "archive": (".keras", {**ARCHIVES, **PLACES}),
    "weights": (".weights.h5", {**HDF5, **PLACES}),
    "model": (".h5", {**WHOLE_HDF5, **PLACES}),
    "tar": (".tar.gz", {**TARS, "a pipe": os.mkfifo}),
    "batch": ("", PICKLES),
    "json": (".json", {name: OWN[name] for name in OWN if "brackets" in name or "million" in name}),
    "photo": (".jpg", {name: PLACES[name] for name in ("a pipe", "a link to /dev/zero")}),
}


def write(make, path):
    if make in PLACES.values() or make.__qualname__.startswith("sparse"):
        make(path)
    else:
        path.write_bytes(make())


# ------------------------------------------------------------------------------------ readers


def readers():
    from fastconv import layers, models, utils
    from fastconv.datasets import cats_vs_dogs, cifar10

    model = models.Sequential([layers.Dense(3, input_shape=(4,))], name="small")

    def read_batch(path):
        folder = Path(f"{path}.folder", "cifar-10-batches-py")
        folder.mkdir(parents=True)
        for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
            os.symlink(path, folder / name)
        cifar10.load_data(folder)

    def deal(path):
        folder = Path(f"{path}.folder")
        folder.mkdir()
        os.rename(path, folder / "cat.0.jpg")
        (folder / "dog.0.jpg").write_bytes(b"photo")
        cats_vs_dogs.split(folder, folder / "parts", (1, 0, 0), progress=False)

    return {
        "image": utils.load_img,
        "own": models.load_model,
        "archive": models.load_model,
        "weights": model.load_weights,
        "model": models.load_model,
        "tar": cifar10.load_data,
        "batch": read_batch,
        "json": lambda path: models.model_from_json(path.read_text(errors="replace")),
        "photo": deal,
    }


def warm(folder):
    """Import what reading imports: that is not the file's fault."""
    read = readers()
    for ending, reader in ((".fastconv", "own"), (".keras", "archive"), (".h5", "model")):
        with contextlib.suppress(ImportError):
            path = folder / f"warm{ending}"
            path.write_bytes(good(ending))
            read[reader](path)
            path.unlink()
    with contextlib.suppress(ImportError):
        for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
            read["image"](io.BytesIO(saved_image((9, 9), kind)))
    return read


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def resident():
    with open("/proc/self/statm") as file:
        return [int(field) * resource.getpagesize() for field in file.read().split()[:2]]


def measured(read, path):
    """Return what reading raised, and the seconds and the bytes that it took."""
    space, before = resident()
    resource.setrlimit(resource.RLIMIT_AS, (space + LIMIT, space + LIMIT))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(10 * SECONDS)
    outcome, text = "read", ""
    start = time.process_time()
    try:
        read(path)
    except BaseException as error:
        kinds = [kind for kind in (ValueError, OSError) if isinstance(error, kind)]
        outcome, text = (*kinds, type(error))[0].__name__, str(error)
    seconds = time.process_time() - start
    return {"outcome": outcome, "text": text, "seconds": seconds, "bytes": peak() - before}


def in_child(function):
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        try:
            os.write(writer, json.dumps(function()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        content = file.read()
    _, status = os.waitpid(child, 0)
    return json.loads(content) if content else {"outcome": f"ended by {status}", "text": ""}


def truncated(read, folder, wholes, step):
    """Read what is left of good files, cut at every `step`th byte; return what went wrong."""
    wrong, count = [], 0
    for name, (reader, ending) in wholes.items():
        whole = good(ending) if reader != "image" else noise(ending[1:].upper())
        path = folder / f"cut{ending}"

        def cut(lengths, whole=whole, path=path, reader=reader):
            bad = []
            for length in lengths:
                path.write_bytes(whole[:length])
                try:
                    read[reader](path)
                    if reader != "image":
                        bad.append([length, "was read"])
                except ValueError:
                    pass
                except BaseException as error:
                    bad.append([length, f"{type(error).__name__}: {error}"])
            return bad[:5]

        for begin in range(0, len(whole), 500 * step):
            lengths = range(begin, min(begin + 500 * step, len(whole)), step)
            found = in_child(lambda: cut(lengths))  # noqa: B023
            count += len(lengths)
            if found:
                wrong.append(f"{name} of {len(whole)} bytes: {found}")
    return count, wrong


WHOLES = {
    "own": ("own", ".fastconv"),
    "archive": ("archive", ".keras"),
    "weights": ("weights", ".weights.h5"),
    "model": ("model", ".h5"),
    "PNG": ("image", ".png"),
    "JPEG": ("image", ".jpeg"),
    "GIF": ("image", ".gif"),
    "TIFF": ("image", ".tiff"),
    "WebP": ("image", ".webp"),
}


def main():
    asked = json.load(sys.stdin)
    folder = Path(asked["folder"])
    os.chdir(folder)
    warnings.simplefilter("ignore")
    read = warm(folder)
    if "step" in asked:
        wholes = {name: WHOLES[name] for name in asked["names"]}
        print(json.dumps(truncated(read, folder, wholes, asked["step"])))
        return
    results = {}
    for table in asked["tables"]:
        ending, makers = TABLES[table]
        for number, (name, make) in enumerate(makers.items()):
            print(f"{table}: {name}", file=sys.stderr, flush=True)
            path = folder / f"{table}{number}{ending}"
            if in_child(lambda: write(make, path)) is not None:  # noqa: B023
                results[f"{table}: {name}"] = {"outcome": "could not be written", "text": ""}
                continue
            status = os.lstat(path)
            found = in_child(lambda: measured(read[table], path))  # noqa: B023
            found["size"] = status.st_blocks * 512 if stat.S_ISREG(status.st_mode) else 0
            found["ran"] = (folder / CANARY).exists() or os.path.lexists(folder.parent / CANARY)
            results[f"{table}: {name}"] = found
            with contextlib.suppress(OSError):
                os.unlink(path)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
