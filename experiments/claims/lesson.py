"""The claims of the lesson."""

from __future__ import annotations

from experiments.claims import judges, studies
from experiments.claims.claim import Claim

CLAIMS = (
    Claim(
        1,
        "keeps",
        "Max pooling keeps the strongest feature; average pooling smooths, and keeps the background.",
        "Pairs of nets that differ in their 2x2 poolings, at two learning rates. On the first feature maps of the "
        "trained nets: the pooled maximum as a fraction of the maximum. On the images: the fraction of added noise "
        "that passes a pooling, and the fraction of a background raised from 0 to 0.2 that arrives in windows with a "
        "stroke. "
        "On the nets: accuracy with backgrounds raised to 0.1, 0.2 and 0.3 (max should do better), and with noise "
        "(average should).",
        studies.keeps,
        judges.judge_keeps,
    ),
    Claim(
        2,
        "cost",
        "Pooling cuts computation and speeds up training and prediction.",
        "A net with two 2x2 max poolings and the same one without them: multiply-adds counted, and the CPU times "
        "of a training step and of a prediction for 64 images on one thread, measured in turn; the ratio of medians "
        "per round.",
        None,
        judges.judge_cost,
    ),
    Claim(
        3,
        "robust",
        "Pooling makes the net robust to small variations of the image.",
        "Nets whose maps are halved by the stride of a convolution, by max or by average pooling, and one with a "
        "global maximum behind the max poolings, of equal receptive fields and multiply-adds; trained on centred "
        "images, tested on shifted and on rotated ones.",
        studies.robust,
        judges.judge_robust,
    ),
    Claim(
        4,
        "strides",
        "A larger stride shrinks the map faster and costs accuracy.",
        "One 3x3 max pooling with stride 1, 2 and 3; the rest of the net is the same.",
        studies.strides,
        judges.judge_strides,
    ),
    Claim(
        5,
        "paddings",
        "Padding 'same' keeps the size of the map and helps at the border; 'valid' loses both.",
        "Three 3x3 convolutions and a global maximum, with each padding; digits are moved until they touch the border "
        "of the frame, and to its centre.",
        studies.paddings,
        judges.judge_paddings,
    ),
    Claim(
        6,
        "dense_or_global",
        "Global pooling can replace the dense layers.",
        "One trunk with two dense layers, or with a global average or maximum and the logits. The claim is supported "
        "by an accuracy that is equivalent or better.",
        studies.dense_or_global,
        judges.judge_global,
    ),
    Claim(
        7,
        "equal_sizes",
        "A CNN classifies images better than a dense net of equal size.",
        "A CNN against dense nets with as many parameters, and with as many multiply-adds, to within 2 %: accuracy on "
        "unchanged and on shifted images.",
        studies.equal_sizes,
        judges.judge_equal_sizes,
    ),
    Claim(
        8,
        "parameters",
        "A CNN has more trainable numbers than a plain net.",
        "Parameters are counted: of a convolution and of a dense layer with the same inputs and outputs, and of "
        "well-known CNNs and a plain net with 128 hidden units.",
        None,
        judges.judge_parameters,
    ),
)
"""All claims, in the order of the lesson."""
