"""How long another Python thread waits during a call: run in a process of its own.

    python heartbeats.py SECONDS MOST_BYTES ROUNDS [STEP]

Prints a line of JSON a call, or every STEP-th: the longest gap between the beats of a thread that
sleeps for half a millisecond at a time, the shortest such of all rounds, for what the machine does
besides only adds to it; and the same of a main thread that sleeps instead.
"""

import json
import sys
import threading
import time

import numpy as np
from long_calls import Long, all_calls, grown, numbers

import fastconv as fc
from fastconv import layers, models

BEAT = 5e-4


class Heart:
    """A thread that beats; `longest` is the longest gap since it was asked last."""

    def __init__(self):
        self.beats = []
        self.stopped = False
        self.thread = threading.Thread(target=self.beat)
        self.thread.start()

    def beat(self):
        while not self.stopped:
            self.beats.append(time.perf_counter())
            time.sleep(BEAT)

    def longest(self, call):
        """The longest gap while `call` runs, and how long it took."""
        self.beats.clear()
        start = time.perf_counter()
        call()
        end = time.perf_counter()
        beats = [start, *(beat for beat in self.beats if start < beat < end), end]
        return float(np.diff(beats).max()), end - start


def weights_that_are_packed(samples):
    w = numbers((64 * samples, 256, 3, 3), "float32")
    return lambda: fc.prepare_conv2d(w, padding=1, x_shape=(1, 256, 14, 14))


def steps_of_a_model(samples):
    model = models.Sequential(
        [
            layers.Input((24, 24, 8)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Dropout(0.2),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y = numbers((samples, 24, 24, 8), "float32"), np.zeros(samples, int)

    def call():
        model.fit(x, y, batch_size=32, verbose=0)
        model.predict(x, verbose=0)

    return call


def calls():
    yield from all_calls()
    yield Long("weights that are packed", weights_that_are_packed, 64 * 256 * 9 * 4 * 8)
    yield Long("fit and predict", steps_of_a_model, 24 * 24 * 8 * 4 * 8)


def main(seconds, most_bytes, rounds, step=1):
    fc.set_num_threads(1)
    heart = Heart()
    try:
        for long in list(calls())[:: -int(step)]:
            call = grown(long, float(seconds), int(most_bytes))
            gaps, idle = [], []
            for _ in range(int(rounds)):
                gap, passed = heart.longest(call)
                gaps.append(gap)
                idle.append(heart.longest(lambda passed=passed: time.sleep(passed))[0])
            found = {"name": long.name, "seconds": passed, "gap": min(gaps), "idle": min(idle)}
            print(json.dumps(found), flush=True)
    finally:
        heart.stopped = True


if __name__ == "__main__":
    main(*sys.argv[1:])
