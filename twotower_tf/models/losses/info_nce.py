"""InfoNCE: each row's own partner against those of all others."""

import tensorflow as tf

from twotower_tf.models.losses.blockwise import softmax_losses


def info_nce(
    anchors: tf.Tensor,
    views: tf.Tensor,
    own: tf.Tensor,
    temperature: float,
    total: tf.Tensor | None = None,
) -> tf.Tensor:
    """Returns -(1/n) sum_i log (exp(<a_i, v_own(i)> / t) / sum_j exp(<a_i, v_j> / t)), a scalar.

    Source: van den Oord et al. 2018, equation 4; of two views of items, Yao et al. 2021,
    equation 1.

    Args:
        anchors: [n, d], a, of length 1.
        views: [D, d], v, of length 1.
        own: int [n] in [0, D), the view that belongs to each anchor.
        temperature: t > 0.
        total: int32 scalar, n of the whole batch, of which ``anchors`` are a part: the parts add
            up. Without it n itself.

    >>> import twotower_tf
    >>> eye = tf.eye(2)
    >>> print(f"{info_nce(eye, eye, tf.range(2), temperature=1.0).numpy():.4f}")
    0.3133
    """
    count = tf.shape(anchors)[0]
    total = tf.cast(tf.maximum(count if total is None else total, 1), anchors.dtype)
    shares = tf.fill([count], 1.0 / total)
    same = tf.zeros_like(views[:, 0])
    loss, _ = softmax_losses(anchors / temperature, views, same, own, shares)
    return loss
