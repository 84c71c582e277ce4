# %% [markdown]
"""
Lesson 4: padding, stride and pooling
=====================================

Where do windows lie, which pixels do they miss, and how large is the result? The first half of this lesson
answers that for padding and stride. The second half shows what max and average pooling keep of the four, and
where their gradients go.
"""

# %% [markdown]
# Without padding the border is lost
# ----------------------------------
#
# A 3x3 window that stays inside an 8x8 image has 6 places in each direction, so the result is smaller than the
# image. *Padding* puts zeros around the image. With ``padding="same"`` and a stride of 1 the result has the size
# of the image.

# %%
import numpy as np

from minicnn import Tensor, data, explain_shapes, layers, ops, show

digits = data.load("digits", seed=0)
four = digits.test.images[3]

same = layers.Conv2D(1, 3, padding="same")
params = same.init(np.random.default_rng(0), (8, 8, 1))
show.windows(same, params, four, most=3)

# %% [markdown]
# The hatched squares are padding. The window in the corner, ``(0, 0)``, reads five squares of padding and four
# pixels.
#
# With a stride the window takes larger steps
# -------------------------------------------
#
# A *stride* of 2 moves the window by two pixels at a time. In each direction the window of size ``k`` has
# ``floor((n - k) / s) + 1`` places on ``n`` pixels with stride ``s``.

# %%
strided = layers.MaxPooling2D(3, strides=2)
show.windows(strided, {}, four)

# %% [markdown]
# Eight pixels, a window of 3, a stride of 2: ``floor((8 - 3) / 2) + 1 = 3`` places. They end at pixel 6, so the
# last row and the last column are never read. ``explain_shapes`` says so.

# %%
explain_shapes(strided, (8, 8, 1))

# %%
assert "never read: 7" in str(explain_shapes(strided, (8, 8, 1)))

# %% [markdown]
# What is not read has no influence: no change of these pixels can be noticed, and their gradient is 0. There are
# two remedies. Padding adds zeros in front and behind. With ``ceil_mode`` the size is rounded up, and the last
# window hangs over the end of the image; the dotted squares in the picture are outside the image.

# %%
ceil = layers.MaxPooling2D(3, strides=2, ceil_mode=True)
show.windows(ceil, {}, four)

# %% [markdown]
# Padding in a pooling
# --------------------
#
# Padding is never the maximum of a window, also where all its pixels are negative. In an average it is a choice.
# Here is a window in the corner of an image of ones: 4 pixels and 5 squares of padding. Counted, the padding
# makes the average 4/9; not counted, the average of ones is 1. Frameworks differ in their defaults; here padding
# is not counted unless ``count_include_pad=True``.

# %%
ones = np.ones((1, 8, 8, 1), np.float32)
without = ops.average_pool2d(ones, 3, padding=1)[0, 0, 0, 0]
counted = ops.average_pool2d(ones, 3, padding=1, count_include_pad=True)[0, 0, 0, 0]
print(without, counted)
assert without == 1
assert np.isclose(counted, 4 / 9)

# %% [markdown]
# Max pooling keeps one pixel of each window
# ------------------------------------------
#
# The rings mark the pixels that max pooling keeps: 16 of 64. A cross marks each pixel that it drops. The third
# panel shows where the gradient goes: to the kept pixels, and nowhere else.

# %%
show.pooling(layers.MaxPooling2D(2), {}, four)

# %% [markdown]
# Look at the windows that contain paper only. All four pixels are 0, so each of them is the largest. The gradient
# has to go somewhere: here it goes to the first of them in the order of reading. With ``ties="split"`` they share
# it. A network has many such ties, because a ReLU in front of a pooling turns all negative values into the same
# 0.

# %%
show.pooling(layers.MaxPooling2D(2, ties="split"), {}, four)

# %%
x = Tensor(np.zeros((1, 2, 2, 1)))
ops.max_pool2d(x, 2).sum().backward()
assert x.grad.ravel().tolist() == [1, 0, 0, 0]

x = Tensor(np.zeros((1, 2, 2, 1)))
ops.max_pool2d(x, 2, ties="split").sum().backward()
assert x.grad.ravel().tolist() == [0.25, 0.25, 0.25, 0.25]

# %% [markdown]
# Average pooling keeps a quarter of each pixel
# ---------------------------------------------
#
# The mean of four pixels depends on all of them, on each by a quarter. The area of a ring is this weight. Strokes
# become grey, and the gradient is spread over all pixels alike.
#
# Here are both, for one digit. This picture is the point of the lesson: *max pooling selects one pixel, average
# pooling shares among all*, on the way forward and on the way back.

# %%
show.compare_poolings({"max": layers.MaxPooling2D(2), "average": layers.AveragePooling2D(2)}, four)

# %% [markdown]
# Exercises
# ---------
#
# 1. How many places has a window of 2 with stride 2 on 7 pixels, and which pixel is never read?
# 2. Windows that overlap can keep the same pixel twice. What is the gradient of such a pixel? Look at the numbers
#    of the next picture.
# 3. An image of 28x28 goes through three poolings of 2x2. Which size does it have then?

# %%
seven = layers.MaxPooling2D(2)
assert seven.output_shape((7, 7, 1)) == (3, 3, 1)
assert seven.windows((7, 7, 1)).rows.unread == (6,)

net = layers.Sequential([layers.MaxPooling2D(2)] * 3)
assert net.output_shape((28, 28, 1)) == (3, 3, 1)

show.pooling(layers.MaxPooling2D(3, strides=2, padding="same"), {}, four)
