"""Weighted logistic regression: what it minimises, and the watch time that it predicts."""

import tensorflow as tf

# e^20 seconds are fifteen years.
_LARGEST_LOGIT = 20.0


def weighted_logistic_loss(
    logits: tf.Tensor, clicked: tf.Tensor, watched_seconds: tf.Tensor, exact: bool = False
) -> tf.Tensor:
    """Returns the cross-entropy of each impression by its weight (Covington et al. 2016, 4.2).

    A clicked impression weighs as many seconds as it was watched, any other one. With k clicked
    ones of N the odds that are learnt are sum T_i / (N - k) = E[T] / (1 - P), P the probability of
    a click: where it is small, exp(logit) is close to the expected watch time.

    If the clicked ones are also among those that weigh one, the odds are sum T_i / N = E[T].

    Args:
        logits: float32 [batch].
        clicked: float32 [batch], 0 or 1.
        watched_seconds: float32 [batch], >= 0; not looked at where nothing was clicked.
        exact: Whether a clicked impression counts as an unclicked one, too.

    Returns:
        float32 [batch].
    """
    seconds = tf.where(clicked > 0, watched_seconds, 0.0)
    positive = clicked * seconds * tf.nn.softplus(-logits)
    ones = 1.0 if exact else 1.0 - clicked
    return positive + ones * tf.nn.softplus(logits)


def safe(logits: tf.Tensor) -> tf.Tensor:
    """Returns logits within bounds; one that is no number becomes the least."""
    known = tf.where(tf.math.is_nan(logits), -_LARGEST_LOGIT, logits)
    return tf.clip_by_value(known, -_LARGEST_LOGIT, _LARGEST_LOGIT)


def expected_watch_seconds(logits: tf.Tensor) -> tf.Tensor:
    """Returns exp(logit), of any shape: finite and above 0 for any logits at all."""
    return tf.exp(safe(logits))
