# %% [markdown]
"""
Lesson 1: tensor and tape
=========================

A neural network is a long calculation with an image at its beginning. This lesson shows what such a calculation
is made of: arrays of numbers, and a record of what was done with them. All seven lessons use the same image,
one handwritten four.
"""

# %% [markdown]
# An image is an array of numbers
# -------------------------------
#
# The image has 8 rows, 8 columns and one channel, so its shape is ``(8, 8, 1)``. Its values lie between 0 (paper)
# and 1 (ink). They are multiples of 1/16, so multiplied by 16 they are integers, which are easier to read.

# %%
import numpy as np

from minicnn import Tensor, data, ops, show

digits = data.load("digits", seed=0)
four = digits.test.images[3]
show.image(16 * four, title="a four, its values times 16")

# %% [markdown]
# Networks work on many images at once. A batch of images has the shape ``(N, H, W, C)``: the number of images,
# rows, columns and channels. A batch of one image is made by ``four[None]``.

# %%
batch = four[None]
print(batch.shape, batch.dtype)
assert batch.shape == (1, 8, 8, 1)

# %% [markdown]
# An operation takes arrays and returns an array
# ----------------------------------------------
#
# The operations are functions in ``minicnn.ops``. Max pooling is one of them: it cuts the image into windows of
# 2x2 pixels and keeps the largest value of each.

# %%
pooled = ops.max_pool2d(batch, 2)
show.image(16 * pooled[0], title="the largest of each 2x2 pixels, times 16")

# %% [markdown]
# Check one window with the numbers of the first picture: rows 2 and 3, columns 2 and 3 contain 9, 15, 16 and 3.
# The largest is 16, and it stands in row 1, column 1 of the result.

# %%
window = 16 * four[2:4, 2:4, 0]
print(window)
assert window.max() == 16 * pooled[0, 1, 1, 0] == 16

# %% [markdown]
# A Tensor remembers how it was made
# ----------------------------------
#
# To learn, a network has to know how its result would change if one of its numbers changed a little. For this the
# calculation has to be recorded. A ``Tensor`` is an array with such a record. Give one to an operation, and the
# result is a Tensor, too.

# %%
x = Tensor(batch)
y = ops.max_pool2d(x, 2)
ink = y.sum()
ink

# %% [markdown]
# The numbers are the same as before; they are in ``.data``. What is new are the ``edges``. Each edge leads from a
# result to what it was made from, and has a function that the next lesson is about. All edges together are called
# the *tape* or the *graph* of the calculation.

# %%
assert np.array_equal(y.data, pooled)


def print_tape(tensor, depth=0):
    for parent, function in tensor.edges:
        operation = function.__qualname__.split(".")[0]
        print("    " * depth + f"{operation}: {parent.shape} -> {tensor.shape}")
        print_tape(parent, depth + 1)


print_tape(ink)

# %% [markdown]
# Read it from the last operation to the first: the sum took an array of shape ``(1, 4, 4, 1)``, which max pooling
# had made from the image. ``x`` itself has no edges, because it was not calculated.
#
# On plain arrays the same operations record nothing. So nothing has to be switched between training and use: give
# a Tensor where a record is wanted, and an array where it is not.

# %%
assert x.edges == ()
assert isinstance(ops.max_pool2d(batch, 2), np.ndarray)

# %% [markdown]
# The tape is not always a line. In the next calculation the pooled image is used twice, and the tape shows both
# uses.

# %%
contrast = (y * y).sum() - y.sum()
print_tape(contrast)

# %% [markdown]
# Exercises
# ---------
#
# 1. How many edges does ``(x + x).sum()`` have in all? Draw the tape on paper before you run the cell.
# 2. A Tensor of integers is refused. Why? Think of what "changed a little" means for an integer.

# %%
twice = (x + x).sum()
print_tape(twice)
edges = len(twice.edges) + len(twice.edges[0][0].edges)
assert edges == 3

try:
    Tensor(np.array([1, 2, 3]))
except TypeError as error:
    print(error)
