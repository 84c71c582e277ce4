"""Make keras.zip, what tests/test_interop_keras.py reads: files as Keras 3.15 writes them, and what it predicts.

KERAS_BACKEND=torch python tests/data/make_keras.py
"""

import io
import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np

IMAGE = (6, 6, 2)


def models(keras):
    """Return one model for each thing that is easily read wrong."""
    layers = keras.layers
    chain = keras.Sequential([
        keras.Input(IMAGE),
        layers.Conv2D(3, 3, padding="same", activation="relu"),
        layers.BatchNormalization(scale=False, epsilon=0.01),
        layers.MaxPooling2D(2),
        layers.Conv2D(4, 2, use_bias=False, activation=layers.LeakyReLU(0.1)),
        layers.DepthwiseConv2D(1, depth_multiplier=2),
        layers.Dropout(0.5),
        layers.Flatten(),
        layers.Dense(3, activation="softmax", name="probabilities"),
    ])  # fmt: skip
    nested = keras.Sequential([
        keras.Input(IMAGE),
        keras.Sequential([layers.Conv2D(2, 3), layers.BatchNormalization()]),
        layers.Conv2D(2, 1, activation="gelu"),
        layers.GlobalAveragePooling2D(),
    ])  # fmt: skip
    image = keras.Input(IMAGE)
    maps = layers.ReLU()(layers.Conv2D(3, 3)(image))
    functional = keras.Model(image, layers.Dense(2)(layers.GlobalMaxPooling2D()(maps)))
    maps = layers.Conv2D(2, 3, padding="same")(image)
    added = layers.Add()([image, maps])
    branched = keras.Model(image, layers.Dense(2)(layers.Flatten()(added)))
    return {"chain": chain, "nested": nested, "functional": functional, "branched": branched}


def main():
    import keras

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(3, *IMAGE)).astype(np.float32)
    arrays = {"images": x}
    target = Path(__file__).with_name("keras.zip")
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, model in models(keras).items():
            model.set_weights([drawn(rng, w.shape) for w in model.get_weights()])
            arrays[name] = model.predict(x, verbose=0)
            for ending in (".keras", ".h5", ".weights.h5"):
                path = os.path.join(folder, name + ending)
                (model.save_weights if ending == ".weights.h5" else model.save)(path)
                archive.write(path, name + ending)
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        archive.writestr("predictions.npz", buffer.getvalue())


def drawn(rng, shape):
    """Return weights of which no two are equal; those of one axis are positive, since variances are among them."""
    signs = rng.choice([-1, 1], shape) if len(shape) > 1 else 1
    return rng.uniform(0.05, 0.3, shape) * signs


if __name__ == "__main__":
    main()
