# %% [markdown]
"""
Lesson 6: training
==================

At the beginning the weights of a network are random, and so are its answers. Training changes the weights, a
little at a time, in the direction that makes the answers less wrong. This lesson takes one such step by hand,
lets ``fit`` take hundreds, and looks at the scores of the four before and after.
"""

# %% [markdown]
# Before: random weights, random answers
# --------------------------------------

# %%
import numpy as np

from minicnn import data, layers, ops, optim, show, train, value_and_grad

digits = data.load("digits", seed=0)
four, label = digits.test.images[3], int(digits.test.labels[3])

net = layers.Sequential([
    layers.Conv2D(8, 3, padding="same"), layers.ReLU(), layers.MaxPooling2D(2),
    layers.Conv2D(16, 3, padding="same"), layers.ReLU(), layers.MaxPooling2D(2),
    layers.Flatten(), layers.Dense(10),
])  # fmt: skip
initial = net.init(np.random.default_rng(0), (8, 8, 1))
show.scores(net, initial, four, label=label)

# %% [markdown]
# The network returns one number per class, a *logit*. The softmax of the logits is the probability that the
# network gives to each class. The bars show it.
#
# How wrong is that? One number
# -----------------------------
#
# The *loss* is minus the logarithm of the probability of the true class. It is 0 for a probability of 1, and
# large for a small probability. Guessing among ten classes has a loss of ``-log(1 / 10)``, about 2.3. The loss of a
# batch is the mean over its images.

# %%
logits = net(initial, digits.train.images[:64])
loss = ops.cross_entropy(logits, digits.train.labels[:64])
print(f"loss {loss:.2f}, of guessing {-np.log(1 / 10):.2f}")

probability = ops.softmax(logits)[np.arange(64), digits.train.labels[:64]]
assert np.isclose(loss, -np.log(probability).mean(), rtol=1e-4)

# %% [markdown]
# One step by hand
# ----------------
#
# The gradient says how the loss changes with each weight. A step against the gradient makes the loss smaller, if
# it is small enough. ``learning_rate`` is its size.


# %%
def batch_loss(params, images, labels):
    return ops.cross_entropy(net(params, images), labels)


images, labels = digits.train.images[:64], digits.train.labels[:64]
value, gradients = value_and_grad(batch_loss)(initial, images, labels)
optimizer = optim.SGD(0.1)
stepped, _ = optimizer.update(gradients, optimizer.init(initial), initial)
print(f"loss before the step {value:.3f}, after it {batch_loss(stepped, images, labels):.3f}")
assert batch_loss(stepped, images, labels) < value

# %% [markdown]
# With plain SGD, a step is a subtraction.

# %%
by_hand = initial["dense"]["bias"] - 0.1 * gradients["dense"]["bias"]
assert np.allclose(stepped["dense"]["bias"], by_hand)

# %% [markdown]
# Many steps
# ----------
#
# ``fit`` shuffles the training images, cuts them into batches, and takes a step for each. One pass over all
# images is an *epoch*. After each epoch it evaluates the net on validation images, which are not trained on.

# %%
result = train.fit(
    net, digits.train, valid=digits.valid, optimizer=optim.Adam(5e-3), epochs=10, batch_size=32, seed=0, params=initial
)
result

# %%
result.history.plot()

# %% [markdown]
# The training loss falls from epoch to epoch. The validation loss tells whether that helps for images that the net has
# not seen: where it begins to rise again, the net learns the training images by heart, which is called
# overfitting.
#
# After: the four
# ---------------

# %%
show.scores(net, result.params, four, label=label)

# %%
probabilities = ops.softmax(train.predict(net, result.params, four[None]))[0]
assert probabilities.argmax() == label
assert probabilities[label] > 0.5

# %% [markdown]
# The filters of the first convolution were random. Nobody wrote the filters that are there now: each weight is the
# result of many small steps. Compare the numbers of a filter before and after.

# %%
show.filters(net, initial, four)

# %%
show.filters(net, result.params, four)

# %% [markdown]
# The feature maps after the first pooling show what the filters find in the four.

# %%
show.feature_maps(net, result.params, four, "max_pooling2d")

# %% [markdown]
# Where gradients go in a trained net
# -----------------------------------
#
# With a label, ``show.pooling`` sends the gradient of the loss back through the net. Below the result of the pooling
# is the gradient of the loss by this result, and below its input what the pooling passes on: each number goes to the
# element that was kept.

# %%
show.pooling(net, result.params, four, label=label)

# %% [markdown]
# How good is it?
# ---------------
#
# The test images have not been used so far. They are evaluated once, at the end.

# %%
found = train.evaluate(net, result.params, digits.test)
assert found.accuracy > 0.9
found

# %% [markdown]
# Here is the image that the net finds hardest: the test image with the smallest probability of its true class.

# %%
shares = ops.softmax(train.predict(net, result.params, digits.test.images))
hardest = int(shares[np.arange(len(digits.test)), digits.test.labels].argmin())
show.scores(net, result.params, digits.test.images[hardest], label=int(digits.test.labels[hardest]))

# %% [markdown]
# Exercises
# ---------
#
# 1. Take the step by hand with learning rates of 0.001, 0.1 and 10. Which one is too small, which too large?
# 2. Train for one epoch with ``optim.SGD(0.05)`` instead of Adam. How far does it get?

# %%
losses = {}
for rate in (0.001, 0.1, 10.0):
    trial = optim.SGD(rate)
    params, _ = trial.update(gradients, trial.init(initial), initial)
    losses[rate] = float(batch_loss(params, images, labels))
print({rate: round(loss, 3) for rate, loss in losses.items()})
assert losses[0.1] < losses[0.001] < value < losses[10.0]
