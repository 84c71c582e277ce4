# %% [markdown]
"""
Lesson 3: convolution by hand
=============================

A convolution looks at the image through a small window and asks the same question at every place. This lesson
computes one with two loops, looks at what it finds in the four, and finds its gradients, again with loops.
"""

# %% [markdown]
# One window, one question
# ------------------------
#
# The question is asked by a *kernel*: a small array of weights, here 3x3. Multiply each pixel of the window by
# the weight at its place and add the products. This kernel has positive weights on its right and negative ones on
# its left, so it asks: is there more ink on the right than on the left?

# %%
import numpy as np

from minicnn import data, layers, ops, show, value_and_grad

digits = data.load("digits", seed=0)
four = digits.test.images[3]

kernel = np.array([[-1, 0, 1], [-1, 0, 1], [-1, 0, 1]], np.float32)
window = four[0:3, 2:5, 0]
print(16 * window)
print("answer:", 16 * (window * kernel).sum())
assert 16 * (window * kernel).sum() == (11 + 16 + 15) - (0 + 0 + 9)

# %% [markdown]
# The same question everywhere
# ----------------------------
#
# Move the window over the image and write down the answer at each place. In an image of 8x8 pixels a 3x3 window
# has 6 places in each direction, because 8 - 3 + 1 = 6. The array of answers is called a *feature map*.


# %%
def convolve(image, kernel):
    rows, cols = image.shape[0] - 2, image.shape[1] - 2
    answers = np.zeros((rows, cols), np.float32)
    for row in range(rows):
        for col in range(cols):
            answers[row, col] = (image[row : row + 3, col : col + 3] * kernel).sum()
    return answers


by_hand = convolve(four[..., 0], kernel)
show.image(16 * by_hand[..., None], title="right minus left, times 16")

# %% [markdown]
# Orange places are left edges of a stroke: paper on the left, ink on the right. Blue places are right edges.
# Where the window sees the same on both sides, the answer is close to 0.
#
# The operation ``conv2d`` does the same for batches, for many kernels and for many input channels. Its kernel has
# the shape ``(rows, columns, input channels, filters)``. A *filter* is one kernel over all input channels.

# %%
filters = np.stack([kernel, kernel.T], axis=-1)[:, :, None, :]
print(filters.shape)
maps = ops.conv2d(four[None], filters)
assert np.allclose(maps[0, :, :, 0], by_hand)

# %% [markdown]
# As a layer
# ----------
#
# A layer is a description: which operation, with which settings. The weights stand in a separate dict of
# parameters. The second filter is the first one turned, so it finds edges from top to bottom.

# %%
layer = layers.Conv2D(2, 3, use_bias=False)
params = {"kernel": filters}
show.filters(layer, params, four)

# %%
show.feature_maps(layer, params, four)

# %% [markdown]
# The next picture shows the window at some of its places, and the answer above each.

# %%
show.windows(layer, params, four)

# %% [markdown]
# A convolution has few weights, because all places share them. A dense layer, which connects each of the 64
# pixels to each of the 72 answers, would have 256 times as many.

# %%
print("convolution:", filters.size, "  dense layer:", 64 * maps[0].size)
assert 64 * maps[0].size == 256 * filters.size

# %% [markdown]
# The gradient of the kernel
# --------------------------
#
# Each weight of the kernel takes part in all 36 answers: at each place it is multiplied by one pixel. So its
# gradient is the sum, over all places, of that pixel times the gradient of the answer. This is a convolution
# again: of the image, with the gradient of the feature map as the kernel.

# %%
gradient_of_map = np.random.default_rng(0).normal(size=(6, 6)).astype(np.float32)
by_loops = np.zeros((3, 3), np.float32)
for row in range(3):
    for col in range(3):
        by_loops[row, col] = (four[row : row + 6, col : col + 6, 0] * gradient_of_map).sum()


def weighted_answers(kernel):
    return (ops.conv2d(four[None], kernel)[0, :, :, 0] * gradient_of_map).sum()


_, gradient = value_and_grad(weighted_answers)(kernel[:, :, None, None])
show.image(gradient[:, :, 0], title="gradient of the kernel")

# %%
assert np.allclose(gradient[:, :, 0, 0], by_loops, atol=1e-4)

# %% [markdown]
# Exercises
# ---------
#
# 1. Which kernel moves the image by one pixel to the left, so that each answer is the pixel on the right of the
#    middle?
# 2. Which kernel blurs, so that each answer is the mean of the nine pixels?

# %%
move = np.zeros((3, 3), np.float32)
move[1, 2] = 1
assert np.array_equal(convolve(four[..., 0], move), four[1:7, 2:8, 0])

blur = np.full((3, 3), 1 / 9, np.float32)
assert np.allclose(convolve(four[..., 0], blur)[0, 0], four[:3, :3].mean())
show.image(16 * convolve(four[..., 0], blur)[..., None], title="blurred, times 16")
