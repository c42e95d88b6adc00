"""Run under faults.c: files that are written while the file system fails, or the process is killed.

Reads from stdin a folder and which writers, and prints what was found. Each call to the file system
that a writer makes fails once with each error, or is the last that its process makes.
"""

import errno
import io
import json
import os
import signal
import sys
import warnings
from pathlib import Path

import numpy as np
from faults import DISK_FULL, KILL, KILL_HALFWAY, Faults

from fastconv import callbacks, files, models, utils
from fastconv.datasets import cats_vs_dogs, download
from fastconv.layers import Dense
from fastconv.models import load_model
from fastconv.plotting import feature_maps, figures

faults = Faults()
ACTIONS = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC, "full": DISK_FULL}
KILLS = {"killed": KILL, "killed halfway": KILL_HALFWAY}


def network(value):
    model = models.Sequential([Dense(300, input_shape=(40,)), Dense(2)], name="net")
    model.compile("sgd", "mse")
    model.set_weights([np.full(w.shape, value, "float32") for w in model.get_weights()])
    return model


def value_of(model):
    (value,) = {float(v) for w in model.get_weights() for v in np.unique(w)}
    return value


class Writer:
    """Something that writes a file called `name`, in an old and in a new version."""

    def __init__(self, name, write, read):
        self.name, self.write, self.read = name, write, read


def writers():
    made = {value: network(value) for value in (1.0, 2.0)}

    def save(path, value):
        made[value].save(path)

    def save_weights(path, value):
        made[value].save_weights(path)

    def load_weights(path):
        model = network(0.0)
        model.load_weights(path)
        return value_of(model)

    def checkpoint(path, value):
        callback = callbacks.ModelCheckpoint(path)
        callback.set_model(made[value])
        callback.on_train_begin()
        callback.on_epoch_end(0, {"loss": 1.0})

    def image(path, value):
        utils.save_img(path, np.full((90, 90, 3), value), scale=False)

    def image_value(path):
        return float(np.unique(utils.img_to_array(utils.load_img(path))).item())

    def whole(path, value):
        with files.durable_file(path) as file:
            for _ in range(3):
                file.write(bytes([int(value)]) * 20_000)

    def whole_value(path):
        content = path.read_bytes()
        assert content == content[:1] * 60_000, "not whole"
        return float(content[0])

    def fetched(path, value):
        content = bytes([int(value)]) * 60_000
        download._chunks = lambda url, target: iter([content[:30_000], content[30_000:]])
        sha256 = download.hashlib.sha256(content).hexdigest()
        out, sys.stdout = sys.stdout, io.StringIO()
        try:
            download.download("http://x", path, sha256, 10**6)
        finally:
            sys.stdout = out

    class Figure:  # Matplotlib's reads fonts while it is drawn, and passes over what fails there
        def savefig(self, file, format):
            file.write(bytes(60_000) + b"IEND")

    def figure(path, value):
        figures.write_figure(Figure(), path, ".png")

    def maps(path, value):
        feature_maps(made[value], np.ones((1, 40), "float32")).save(path)

    def any_whole(*ends):
        return lambda path: path.read_bytes().rstrip().endswith(ends) or "not whole"

    return [
        Writer("m.fastconv", save, lambda path: value_of(load_model(path))),
        Writer("m.keras", save, lambda path: value_of(load_model(path))),
        Writer("m.h5", save, lambda path: value_of(load_model(path))),
        Writer("m.safetensors", save_weights, load_weights),
        Writer("m.weights.h5", save_weights, load_weights),
        Writer("checkpoint.fastconv", checkpoint, lambda path: value_of(load_model(path))),
        Writer("file", whole, whole_value),
        Writer("image.png", image, image_value),
        Writer("archive.tar.gz", fetched, whole_value),
        Writer("figure.png", figure, any_whole(b"IEND", b"IEND\xaeB`\x82")),
        Writer("maps.html", maps, any_whole(b"</html>")),
        Writer("maps.png", maps, any_whole(b"IEND", b"IEND\xaeB`\x82")),
    ]


def descriptors():
    return len(os.listdir("/proc/self/fd"))


class Found:
    def __init__(self):
        self.counts = {"writers": 0, "calls": 0, "raised": 0, "killed": 0, "right all the same": 0}
        self.wrong, self.orders = [], {}

    def add(self, *words):
        if len(self.wrong) < 30:
            self.wrong.append(" ".join(map(str, words)))


def check(found, writer, folder, old, new, *where):
    """The file is the old one or the new one; the next save is right and leaves nothing else."""
    path = folder / writer.name
    try:
        value = writer.read(path)
        if value not in (old, new, True):
            found.add(writer.name, *where, "has", value)
    except Exception as error:
        found.add(writer.name, *where, f"can't be read: {type(error).__name__}: {error}")
    try:
        writer.write(path, old)
        if writer.read(path) not in (old, True):
            found.add(writer.name, *where, "the next save is another")
    except Exception as error:
        found.add(writer.name, *where, f"the next save raises {type(error).__name__}: {error}")
    names = os.listdir(folder)
    if names != [writer.name]:
        found.add(writer.name, *where, "litter", names)


def exercise(writer, folder, found, step):
    path = folder / writer.name
    folder.mkdir()
    for value in (2.0, 1.0, 2.0, 1.0):  # what is imported at first is imported
        writer.write(path, value)
    faults.arm_files(0, 0)
    writer.write(path, 2.0)
    calls = faults.disarm_files()
    found.orders[writer.name] = faults.log()
    writer.write(path, 1.0)
    found.counts["writers"] += 1
    found.counts["calls"] += calls
    for at in range(1, calls + 1, step):
        for word, action in ACTIONS.items():
            open_before, problem = descriptors(), None
            faults.arm_files(at, action)
            try:
                writer.write(path, 2.0)
            except Exception as error:
                problem = error
            faults.disarm_files()
            found.counts["right all the same" if problem is None else "raised"] += 1
            where = (found.orders[writer.name][at - 1], word)
            if problem is not None and not isinstance(problem, OSError):
                found.add(writer.name, *where, f"raises {type(problem).__name__}: {problem}")
            if problem is None and writer.read(path) not in (2.0, True):
                found.add(writer.name, *where, "nothing is raised, and nothing written")
            problem = None
            if descriptors() != open_before:
                found.add(writer.name, *where, "a file stays open")
            check(found, writer, folder, 1.0, 2.0, *where)
        for word, action in KILLS.items():
            child = os.fork()
            if not child:
                faults.arm_files(at, action)
                try:
                    writer.write(path, 2.0)
                finally:
                    os._exit(0)
            _, status = os.waitpid(child, 0)
            found.counts["killed"] += status == signal.SIGKILL
            where = (found.orders[writer.name][at - 1], word)
            if word == "killed" and status != signal.SIGKILL:
                found.add(writer.name, *where, "is not killed but", status)
            check(found, writer, folder, 1.0, 2.0, *where)


def deal(source, target):
    cats_vs_dogs.split(source, target, (1, 1, 1), progress=False)


def exercise_split(folder, found, step):
    """Photos dealt out to folders: repeated after a fault, all is there and nothing else."""
    source = folder / "photos"
    source.mkdir(parents=True)
    for animal in ("cat", "dog"):
        for number in range(3):
            (source / f"{animal}.{number}.jpg").write_bytes(animal.encode() * (20_000 + number))
    deal(source, folder / "first")
    want = listing(folder / "first")
    faults.arm_files(0, 0)
    deal(source, folder / "second")
    calls = faults.disarm_files()
    found.counts["writers"] += 1
    found.counts["calls"] += calls
    for at in range(1, calls + 1, step):
        for word, action in {**ACTIONS, **KILLS}.items():
            target = folder / f"{at} {word}"
            child = os.fork()
            if not child:
                faults.arm_files(at, action)
                try:
                    deal(source, target)
                finally:
                    os._exit(0)
            _, status = os.waitpid(child, 0)
            found.counts["killed"] += status == signal.SIGKILL
            for name, content in listing(target).items():
                if not name.endswith(".part") and content != want[name]:
                    found.add("split", at, word, name, "is not whole")
            deal(source, target)
            if listing(target) != want:
                found.add("split", at, word, "the next one is another", list(listing(target)))


def listing(folder):
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def main():
    asked = json.load(sys.stdin)
    warnings.simplefilter("ignore")
    found = Found()
    for writer in writers():
        if writer.name in asked["names"]:
            print(writer.name, file=sys.stderr, flush=True)
            exercise(writer, Path(asked["folder"]) / writer.name, found, asked["step"])
    if "split" in asked["names"]:
        exercise_split(Path(asked["folder"]) / "split", found, asked["step"])
    print(json.dumps({**found.counts, "orders": found.orders, "wrong": found.wrong}))


if __name__ == "__main__":
    main()
