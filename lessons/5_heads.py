# %% [markdown]
"""
Lesson 5: heads
===============

A network for images has two parts. The *trunk*, a few convolutions, turns the image into feature maps. The
*head* turns the feature maps into one number per class. This lesson compares three heads on one trunk, and
shows what each of them notices if the four is moved by two pixels.
"""

# %% [markdown]
# One trunk, three heads
# ----------------------
#
# ``small_cnn`` has three convolutions. The flatten head connects every element of the feature maps to every
# class. The max head pools 2x2 windows first. The global-max head keeps a single number per feature map, its
# maximum.

# %%
import numpy as np

from minicnn import activations, data, layers, models, optim, show, study, train

digits = study.padded(data.load("digits", seed=0), 2)
four = digits.test.images[3]
heads = {name: models.small_cnn(name, filters=(8, 16, 16)) for name in ("flatten", "max", "global-max")}
layers.summary(heads["max"], four.shape)

# %% [markdown]
# The image has a margin of two pixels, so that it can be moved without losing ink. Its size is now 12x12, and
# the trunk makes 16 feature maps of 6x6 of it.
#
# The fewer numbers a head looks at, the fewer weights it needs.

# %%
weights = {name: layers.summary(net, four.shape).parameters for name, net in heads.items()}
print(weights)
assert weights["flatten"] > weights["max"] > weights["global-max"]

# %% [markdown]
# Train all three
# ---------------
#
# All have the same trunk, the same initial weights of the trunk for a seed, and see the same images in the same
# order. The next lesson is about what happens in a training.

# %%
params = {}
for name, net in heads.items():
    result = train.fit(net, digits.train, optimizer=optim.Adam(1e-2), epochs=5, batch_size=64, seed=0)
    params[name] = result.params
    print(name, train.evaluate(net, result.params, digits.test))

# %% [markdown]
# What the head sees
# ------------------
#
# ``activations`` returns what every layer of a net makes of a batch, by the path of the layer. The last layer of
# the trunk is what the head gets.

# %%
net = heads["global-max"]
found = activations(net, params["global-max"], four[None])
print({path: array.shape for path, array in found.items()})
assert found["trunk/relu_2"].shape == (1, 6, 6, 16)

# %%
show.feature_maps(net, params["global-max"], four, "trunk/relu_2")

# %% [markdown]
# The head takes the maximum of each map. In the map with the largest maximum the ring shows which element it
# keeps. Where on the map this element lies makes no difference to the result.

# %%
strongest = int(found["head/global_max_pooling2d"][0].argmax())
show.pooling(net, params["global-max"], four, channel=strongest)

# %% [markdown]
# Move the four by two pixels
# ---------------------------
#
# A four is a four wherever it stands. For which head is that so? We move the image to the right and compare what
# the dense layer, the last one, is given. The feature maps move with the image, by half as many elements, because
# the trunk has a stride of 2.

# %%
moved = np.roll(four, 2, axis=1)
assert moved.sum() == four.sum()  # nothing was cut off
show.image(16 * moved, title="the four, moved to the right by two pixels")

# %%
for name, net in heads.items():
    before, after = (activations(net, params[name], image[None]) for image in (four, moved))
    given = list(before)[-3]  # the layer in front of the dense layer; the head itself comes last
    change = np.abs(before[given] - after[given]).sum() / np.abs(before[given]).sum()
    print(f"{name:10}  {given:28} changes by {change:4.0%} of its values")

# %% [markdown]
# On all test images, moved by two pixels in the eight directions, the difference is large. No head has seen a
# moved image in its training.

# %%
shifted = study.Shifted((2,))
accuracy = {name: shifted(net, params[name], digits)["2 px"].mean() for name, net in heads.items()}
print({name: f"{share:.1%}" for name, share in accuracy.items()})
assert accuracy["global-max"] > accuracy["flatten"] + 0.2

# %% [markdown]
# A head that keeps *whether* a feature is there, and drops *where* it is, recognises moved digits far better. On
# images as they are this costs it a little. Whether the differences on unmoved images mean anything cannot be
# told from one training; lesson 7 is about that.
#
# Exercises
# ---------
#
# 1. A head is any layer. Make one of your own from ``LpPooling2D`` and put it on the same trunk.
# 2. How many weights has the dense layer behind a ``GlobalAveragePooling2D``? Behind ``Concat`` of a global
#    maximum and a global average?

# %%
own = layers.Sequential([layers.LpPooling2D(2, p=3.0), layers.Flatten(), layers.Dense(10)])
net = models.small_cnn(own, filters=(8, 16, 16))
assert net.output_shape(four.shape) == (10,)

both = models.small_cnn("global-max-average", filters=(8, 16, 16))
assert both.param_shapes(four.shape)["head"]["dense"]["kernel"] == (2 * 16, 10)
both
