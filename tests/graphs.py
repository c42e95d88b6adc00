"""Networks made with the layers of any library that has Keras's words."""

import numpy as np


def chain(lib):
    layers = lib.layers
    x = layers.Input((8, 6, 2), name="image")
    y = layers.Conv2D(3, 3, activation="relu")(x)
    y = layers.MaxPooling2D(2)(y)
    y = layers.Flatten()(y)
    return lib.models.Model(x, layers.Dense(4)(y))


def two_branches(lib):
    layers = lib.layers
    x = layers.Input((8, 8, 3))
    left = layers.Conv2D(4, 3, padding="same", name="left")(x)
    right = layers.Conv2D(4, 1, name="right")(x)
    return lib.models.Model(x, layers.Add()([left, right]))


def skip(lib):
    """Branches of different lengths, and a tensor that goes three ways."""
    layers = lib.layers
    x = layers.Input((5,))
    a = layers.Dense(5, activation="tanh")(x)
    b = layers.Dense(5)(a)
    c = layers.Dense(5, activation="sigmoid")(b)
    y = layers.Add()([x, a, c])
    return lib.models.Model(x, layers.Concatenate()([y, b, layers.Dense(2)(y)]))


def inception(lib):
    layers = lib.layers
    x = layers.Input((7, 7, 3))
    one = layers.Conv2D(2, 1, activation="relu")(x)
    three = layers.Conv2D(2, 3, padding="same")(layers.Conv2D(2, 1)(x))
    pool = layers.Conv2D(2, 1)(layers.MaxPooling2D(3, 1, padding="same")(x))
    y = layers.Concatenate()([one, three, pool])
    y = layers.BatchNormalization()(y)
    return lib.models.Model(x, layers.Dense(3)(layers.GlobalAveragePooling2D()(y)))


def shared(lib):
    """One layer on two inputs, and twice one after the other."""
    layers = lib.layers
    a, b = layers.Input((4,), name="a"), layers.Input((4,), name="b")
    dense = layers.Dense(4, activation="tanh", name="twin")
    y = layers.Concatenate()([dense(a), dense(dense(b))])
    return lib.models.Model([a, b], layers.Dense(1)(y))


def shared_at_distances(lib):
    """A layer called near the input and near the output."""
    layers = lib.layers
    x = layers.Input((4,))
    dense, other = layers.Dense(4, name="far"), layers.Dense(4, name="near")
    y = other(dense(x))
    z = layers.Activation("tanh")(layers.ReLU()(y))
    return lib.models.Model(x, layers.Add()([dense(z), other(x)]))


def several(lib):
    layers = lib.layers
    image, number = layers.Input((6, 6, 1), name="image"), layers.Input((3,), name="number")
    y = layers.Flatten()(layers.Conv2D(2, 3)(image))
    y = layers.Concatenate()([y, layers.Dense(3)(number)])
    y = layers.Dense(6, activation="tanh")(y)
    first = layers.Dense(3, activation="softmax", name="first")(y)
    second = layers.Dense(1, name="second")(y)
    return lib.models.Model([image, number], [first, second])


def unused_input(lib):
    layers = lib.layers
    a, b = layers.Input((3,), name="a"), layers.Input((2,), name="b")
    return lib.models.Model([a, b], layers.Dense(2)(layers.Dense(2)(a)))


def inner_and_last(lib):
    """An output that another output is made from."""
    layers = lib.layers
    x = layers.Input((4,))
    a = layers.Dense(3, name="inner")(x)
    b = layers.Dense(2, name="last")(layers.ReLU()(a))
    return lib.models.Model(x, [b, a])


def fixed_batch(lib):
    """Inputs that know how many samples there will be, and one that does not."""
    layers, models = lib.layers, lib.models
    a, b = layers.Input((6, 4), batch_size=8, name="a"), layers.Input((4,), name="b")
    y = layers.Add()([layers.Dense(4)(a), b])
    body = models.Sequential([layers.Input(batch_shape=(8, 24)), layers.Dense(3)], name="body")
    return models.Model([a, b], body(layers.Flatten()(y)))


def named_outputs(lib):
    """Outputs with names, which are not in the order of the layers."""
    layers = lib.layers
    x = layers.Input((4,))
    y = layers.Dense(3, activation="tanh")(x)
    return lib.models.Model(x, {"tall": layers.Dense(2)(y), "small": layers.Dense(1)(y), "mid": y})


def nested(lib):
    layers, models = lib.layers, lib.models
    x = layers.Input((6, 6, 2))
    y = layers.Conv2D(3, 3, activation="relu")(x)
    inner = models.Model(x, layers.BatchNormalization()(y), name="body")
    head = models.Sequential(
        [layers.Input((4, 4, 3)), layers.Flatten(), layers.Dense(2)], name="head"
    )
    z = layers.Input((6, 6, 2))
    return models.Model(z, head(inner(z)))


def nested_twice(lib):
    """One model in two places, with two inputs and two outputs."""
    layers, models = lib.layers, lib.models
    a, b = layers.Input((3,), name="a"), layers.Input((3,), name="b")
    mixed = layers.Dense(3, activation="tanh")(layers.Add()([a, b]))
    inner = models.Model([a, b], [mixed, layers.Dense(3)(mixed)], name="pair")
    x, y = layers.Input((3,), name="x"), layers.Input((3,), name="y")
    first, second = inner([x, y])
    third, _ = inner([second, first])
    return models.Model([x, y], layers.Concatenate()([third, first]))


def wander(seed):
    """Return the maker of a graph at random: a dozen layers, some of them shared."""

    def make(lib):
        layers, rng = lib.layers, np.random.default_rng(seed)
        inputs = [layers.Input((4,)) for _ in range(rng.integers(1, 3))]
        tensors, known = list(inputs), []
        for _ in range(12):
            kind = rng.integers(0, 5)
            pick = [tensors[i] for i in rng.integers(0, len(tensors), 2)]
            if kind == 0 and known:
                tensors.append(known[rng.integers(0, len(known))](pick[0]))
            elif kind == 1 and pick[0] is not pick[1]:
                tensors.append(layers.Add()(pick))
            elif kind == 2:
                tensors.append(layers.Activation("tanh")(pick[0]))
            else:
                known.append(layers.Dense(4))
                tensors.append(known[-1](pick[0]))
        ends = [tensors[-1], *(tensors[i] for i in rng.integers(len(inputs), len(tensors), 1))]
        merged = layers.Concatenate()(ends) if ends[0] is not ends[1] else ends[0]
        return lib.models.Model(inputs, [merged, tensors[-2]])

    make.__name__ = f"wander{seed}"
    return make


GRAPHS = [
    *(chain, two_branches, skip, inception, shared, shared_at_distances),
    *(several, unused_input, inner_and_last, fixed_batch, named_outputs, nested, nested_twice),
    *map(wander, range(8)),
]


def small_cifar(lib, size=32):
    """Return the small CIFAR-10 network: three convolutions of 2x2, each pooled."""
    layers = lib.layers
    model = lib.models.Sequential()
    model.add(layers.Input((size, size, 3)))
    for filters in (16, 32, 64):
        model.add(layers.Conv2D(filters, 2, padding="same", activation="relu"))
        model.add(layers.MaxPooling2D(2))
    model.add(layers.Flatten())
    model.add(layers.Dense(500, activation="relu"))
    model.add(layers.Dense(10, activation="softmax"))
    return model


def cats_and_dogs(lib, size=150, rate=0.5):
    """Return the network that tells cats from dogs."""
    layers = lib.layers
    model = lib.models.Sequential()
    model.add(layers.Input((size, size, 3)))
    for filters in (16, 32, 32):
        model.add(layers.Conv2D(filters, (3, 3), activation="relu"))
        model.add(layers.MaxPooling2D((2, 2)))
    model.add(layers.Flatten())
    model.add(layers.Dropout(rate))
    model.add(layers.Dense(512, activation="relu"))
    model.add(layers.Dense(1, activation="sigmoid"))
    return model


def deep_cifar(lib, rate=0.25):
    """Return the CIFAR-10 network of five convolutions."""
    layers = lib.layers
    model = lib.models.Sequential()
    model.add(layers.Input((32, 32, 3)))
    model.add(layers.Conv2D(128, (3, 3), padding="same", activation="relu"))
    model.add(layers.MaxPooling2D((2, 2)))
    model.add(layers.Conv2D(128, (3, 3), activation="relu"))
    model.add(layers.MaxPooling2D((2, 2)))
    model.add(layers.Dropout(rate))
    for filters in (64, 32, 32):
        model.add(layers.Conv2D(filters, (2, 2), activation="relu"))
        model.add(layers.MaxPooling2D((1, 1)))
    model.add(layers.Dropout(rate))
    model.add(layers.Flatten())
    model.add(layers.Dense(64, activation="relu"))
    model.add(layers.Dense(10, activation="softmax"))
    return model


def diagonal(lib):
    """Return the small network whose every layer is looked at: channels first, but for its pool."""
    layers = lib.layers
    return lib.models.Sequential(
        [
            layers.Input((1, 5, 6)),
            layers.Conv2D(3, (2, 2), data_format="channels_first", name="conv_1"),
            layers.Activation("relu", name="relu_1"),
            layers.MaxPooling2D((2, 2), name="max_pool_1"),
            layers.Flatten(name="flat"),
            layers.Dense(1, name="dense_2"),
            layers.Activation("sigmoid", name="sigmoid_2"),
        ]
    )
