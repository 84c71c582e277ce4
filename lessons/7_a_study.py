# %% [markdown]
"""
Lesson 7: a study
=================

One training with one head gives one number, and another seed gives another number. To say that one head is
better than another takes several trainings of both, and a rule that says how sure one can be. This lesson
compares a head of your own with max pooling, over five seeds.
"""

# %% [markdown]
# One number is not enough
# ------------------------
#
# The same net, trained twice, with two seeds. Only the seed differs: initial weights, the order of the images,
# and which images are for testing.

# %%
import tempfile
from dataclasses import replace

import numpy as np

from minicnn import data, layers, models, ops, optim, show, study, train

baseline = models.small_cnn("max", filters=(8, 16), strides=(1, 2))
for seed in (0, 1):
    digits = data.load("digits", seed=seed)
    result = train.fit(baseline, digits.train, optimizer=optim.Adam(1e-2), epochs=2, batch_size=64, seed=seed)
    print(seed, train.evaluate(baseline, result.params, digits.test))

# %% [markdown]
# A difference of this size between two *heads* would mean nothing, because it appears between two seeds of one
# head.
#
# A head of your own
# ------------------
#
# This one takes the global maximum and the global average of each feature map, and gives both to a dense layer.
# It sees whether a feature is there, and how much of it, but not where.

# %%
own = layers.Sequential([
    layers.Concat([layers.GlobalMaxPooling2D(), layers.GlobalAveragePooling2D()]),
    layers.Dense(10),
])  # fmt: skip
arms = {"max": baseline, "own": replace(baseline, head=own)}
arms["own"]

# %% [markdown]
# What the study measures
# -----------------------
#
# A study is specified before anything is trained: the *arms* that are compared, the one that is the *control*,
# how they are trained, and what is measured. ``Resplits(5)`` repeats everything five times, each time with
# another seed and another split of the images. For each seed both arms start from the same trunk and see the same
# images, so their results form pairs.
#
# Two things are measured: the accuracy on test images as they are, and on test images moved by two pixels. So
# that nothing is cut off, the images are padded.

# %%
digits = study.padded(data.load("digits", seed=0), 2)
comparison = study.Study(
    arms,
    control="max",
    data=digits,
    replicates=study.Resplits(5),
    recipe=study.Recipe(optim.Adam(1e-2), epochs=6),
    measures={"accuracy": study.accuracy, "shifted": study.Shifted((2,))},
    name="own head",
)
comparison

# %% [markdown]
# ``plan`` says how long it will take and which differences it can find, without training.

# %%
comparison.plan()

# %% [markdown]
# Train
# -----
#
# The folder is a ledger: what has been trained is not trained again, also after an interruption.

# %%
folder = tempfile.TemporaryDirectory()
results = comparison.run(folder.name)
assert results.complete
results

# %% [markdown]
# Two questions, two answers
# --------------------------
#
# The difference ``own - max`` is computed for each seed. The interval contains the true difference with a
# probability of 95 %. If it lies entirely above 0, and by more than the half percentage point that we would call
# a difference at all, the verdict is *better*; entirely below, *worse*; and where the interval allows both, the
# verdict is *undecided*, which is an answer, too.

# %%
clean = results.compare("accuracy")
clean

# %%
shifted = results.compare("shifted", "2 px")
shifted

# %%
for question, answer in (("as they are", clean), ("moved by two pixels", shifted)):
    contrast = answer.contrasts[0]
    print(f"images {question}: {100 * contrast.mean:+.1f} percentage points, {contrast.verdict}")

assert (clean.contrasts[0].verdict, shifted.contrasts[0].verdict) == ("worse", "better")

# %% [markdown]
# The report contains this figure: a dot for each seed, a diamond for their mean, a line for the interval.

# %%
study.forest({"as they are": clean, "moved by two pixels": shifted}, title="own head minus max pooling")

# %% [markdown]
# The question decides. On images as they are, the place of a feature helps, and the own head does not have it. On
# moved images the same knowledge misleads.
#
# See it in the four
# ------------------
#
# The parameters of every training are kept. Here are both arms, trained with the first seed. The four is moved to
# 25 places, by up to two pixels in each direction. Each square is the probability that the net gives to "four",
# and the one in the middle is that of the four as it was.

# %%
four = digits.test.images[3]
moved = np.stack([np.roll(four, (down, right), axis=(0, 1)) for down in range(-2, 3) for right in range(-2, 3)])
sure = {}
for name in arms:
    logits = train.predict(results.net(name), results.params(name, 0), moved)
    sure[name] = ops.softmax(logits)[:, 4].reshape(5, 5, 1)

show.image(sure["max"], title="max: the probability of four, by shift")

# %%
show.image(sure["own"], title="own: the probability of four, by shift")

# %% [markdown]
# The max head is certain where fours lie in the training images, and wrong a few pixels away. The own head shows a
# pattern: the trunk has a stride of 2, so that a shift by two pixels moves its feature maps by one element, which
# makes no difference to a global maximum or average. A shift by one pixel gives other feature maps.

# %%
even = {name: shares[::2, ::2].min() for name, shares in sure.items()}
print({name: f"{share:.0%}" for name, share in even.items()})
assert even["own"] > 0.5 > even["max"]

# %% [markdown]
# Here are the scores of both at the place, among those of an even shift, where they differ most.

# %%
differences = (sure["own"] - sure["max"])[::2, ::2, 0]
down, right = np.unravel_index(differences.argmax(), differences.shape)
worst = moved.reshape(5, 5, *four.shape)[2 * down, 2 * right]
show.scores(results.net("max"), results.params("max", 0), worst, label=4)

# %%
show.scores(results.net("own"), results.params("own", 0), worst, label=4)

# %% [markdown]
# The report has every number with its interval, learning curves, confusions and settings: a page and pictures in
# the folder.

# %%
page = study.write_report(results, title="A head of my own", question="Is it better than max pooling?")
print(sorted(path.name for path in page.parent.glob("*.png")))
assert page.name == "report.html"

# %% [markdown]
# Exercises
# ---------
#
# 1. Replace ``own`` with a head of your own and run the lesson again.
# 2. Compare ``max`` with itself, under another name. Which verdict should come out? Try it with ``same_as``: see
#    ``study.Arm``.
# 3. The own head has fewer weights. ``study.match`` makes a head with as many as the control. Does the answer
#    change?

# %%
sizes = {name: layers.summary(net, (12, 12, 1)).parameters for name, net in arms.items()}
print(sizes)
assert sizes["own"] < sizes["max"]

# %%
folder.cleanup()
