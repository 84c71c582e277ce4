# %% [markdown]
"""
Lesson 2: backward
==================

The first lesson recorded a calculation. This one walks back along the record and finds the *gradient*: for each
number that went in, how much the result changes if that number changes a little.
"""

# %% [markdown]
# Change one pixel and see what happens
# -------------------------------------
#
# Here is a calculation with one number as its result: the ink of the four, weighted, so that ink on the right
# counts more than ink on the left.

# %%
import numpy as np

from minicnn import Tensor, data, grad, ops, show, value_and_grad
from minicnn.autograd import Array, op
from minicnn.gradcheck import gradcheck

digits = data.load("digits", seed=0)
four = digits.test.images[3].astype(np.float64)
weights = np.arange(8.0).reshape(1, 8, 1)  # 0 for the first column, 7 for the last


def right_ink(image):
    return (image * weights).sum()


print(right_ink(four))

# %% [markdown]
# Add a little ink to the pixel in row 1, column 5. The change of the result, divided by the change of the pixel,
# is the slope at this pixel.

# %%
little = 1e-6
changed = four.copy()
changed[1, 5, 0] += little
slope = (right_ink(changed) - right_ink(four)) / little
print(round(slope, 3))
assert abs(slope - 5) < 1e-3

# %% [markdown]
# The slope is 5, the weight of column 5. To get the slopes of all pixels in this way takes 64 calculations. A
# network has thousands of numbers to learn, so there has to be a better way.
#
# All slopes from one walk
# ------------------------
#
# ``backward`` starts at the result, where the slope is 1, and follows the edges back. Each edge has a function
# that takes the gradient of a result and returns the gradient of what the result was made from. Such a function
# is called a vector-Jacobian product, VJP for short.

# %%
x = Tensor(four)
result = right_ink(x)
result.backward()
show.image(x.grad, title="the slope at each pixel")

# %%
assert np.array_equal(x.grad[..., 0], np.tile(np.arange(8.0), (8, 1)))
assert abs(x.grad[1, 5, 0] - slope) < 1e-3

# %% [markdown]
# Walk the tape by hand
# ---------------------
#
# ``result`` was made by a sum, and the sum from a product. The gradient of a sum is a copy of what arrives for
# each of its elements. The gradient of a product is what arrives, times the other factor.

# %%
((product, vjp_of_sum),) = result.edges
((image, vjp_of_product),) = product.edges
arrives = vjp_of_sum(np.array(1.0))
passed_on = vjp_of_product(arrives)
assert np.array_equal(arrives, np.ones((8, 8, 1)))
assert np.array_equal(passed_on, x.grad)

# %% [markdown]
# A number that is used twice
# ---------------------------
#
# If a number takes part in the result in two ways, the two gradients add. Here each pixel is used once by itself
# and once in a product with itself, so its slope is 1 + 2 times its value.

# %%
x = Tensor(four)
(x + x * x).sum().backward()
show.image(x.grad, title="1 + 2 times the value")

# %%
assert np.allclose(x.grad, 1 + 2 * four)

# %% [markdown]
# Calling ``backward`` again gives the same gradient. It sets ``.grad`` and never adds to an older one, so there
# is nothing to reset between two steps of a training.
#
# Where the gradient of a maximum goes
# ------------------------------------
#
# Max pooling copies one pixel of each window. Only this pixel can change the result, so the gradient goes there,
# and all other pixels get 0.

# %%
x = Tensor(four[None])
ops.max_pool2d(x, 2).sum().backward()
show.image(x.grad[0], title="one pixel of each window has slope 1")

# %%
assert x.grad.sum() == 16  # one for each of the 4 x 4 windows
assert set(np.unique(x.grad)) == {0.0, 1.0}

# %% [markdown]
# An operation of your own
# ------------------------
#
# An operation is a function that returns its result and one VJP for each array. ``gradcheck`` compares the VJP
# with slopes that it finds by changing the numbers, as we did for one pixel above.

# %%


@op(lambda shape: shape)
def cube(x: Array):
    return x**3, (lambda g: 3 * g * x**2,)


report = gradcheck(cube, four)
assert report
report

# %% [markdown]
# In a training the numbers that change are the parameters of a network. ``value_and_grad`` makes, from a function
# of parameters, one that returns its value and the gradients, in a dict of the same form.

# %%
value, gradients = value_and_grad(lambda p: ((p["w"] * four).sum() - 3.0) ** 2.0)({"w": np.array(0.1)})
print(f"value {value:.3f}, gradient {gradients['w']:.1f}")

# %% [markdown]
# Exercises
# ---------
#
# 1. The mean of the image is a sum divided by 64. What is its gradient at each pixel?
# 2. Write ``x ** 3`` with a wrong VJP, such as ``2 * g * x**2``. What does ``gradcheck`` say?

# %%
slopes = grad(lambda image: image.mean())(four)
assert np.allclose(slopes, 1 / 64)


@op(lambda shape: shape)
def wrong_cube(x: Array):
    return x**3, (lambda g: 2 * g * x**2,)


report = gradcheck(wrong_cube, four)
assert not report
report
