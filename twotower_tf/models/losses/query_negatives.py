"""Negatives of one query alone, beside the candidates that all queries of a batch share."""

from typing import NamedTuple

import tensorflow as tf

# A logit that no softmax sees, and whose gradients are numbers still.
NOTHING = -1e30


class QueryNegatives(NamedTuple):
    """What each example's query should not find, and how that is known.

    - *Explicit* negatives: the user was shown the example's own item and did not want it, which the
      log says by a reward of 0. Instead of -log P, with P the softmax's share of the item y_i
      among the candidates of query x_i, the example costs -log(1 - P): as a logit, softplus of
      s_ii - log sum_{j != i} w_j exp(s_ij) (unlikelihood, Welleck et al., ICLR 2020, equation 4).
      Its pull on the item is P, that of any negative of a positive example.
    - *Hard* negatives: items near to the query that the user did not take. They are more terms of
      the sum in that query's softmax (Huang et al., KDD 2020, section 6.1).

    *Correction.* Both are chosen by the query, not sampled by how often items occur: neither's
    term is divided by a probability. They stand beside the candidates of the batch, whose weights
    correct the sampling as ever. An explicit negative's item has weight 1, so that its P is an
    estimate of the full softmax's, like that of a certain positive (``RefinedSoftmax``). A hard
    negative has the ``weight`` that is given, on top of a sum that is an estimate of all the
    catalogue's already, theirs included: it is counted more than the softmax over the catalogue
    would, which is what it is for.

    Attributes:
        explicit: [n] >= 0, the weight of each example as an explicit negative, in place of its
            reward; 0: it is none. None: no example is.
        hard: [H, d], embeddings; None: there are none.
        places: int32 [n, m] in [0, H), each example's hard negatives; -1: it has no more.
        weight: Scalar > 0, of the term of each hard negative.
    """

    explicit: tf.Tensor | None = None
    hard: tf.Tensor | None = None
    places: tf.Tensor | None = None
    weight: tf.Tensor | float = 1.0

    def hard_logits(self, queries: tf.Tensor) -> tf.Tensor | None:
        """The logarithm of the sum of weight exp(<q_i, v_k>) over each example's hard negatives k.

        Args:
            queries: [n, d], divided by the temperature.

        Returns:
            [n] of the queries' type, about ``NOTHING`` for an example without any; None if there
            are none at all.
        """
        if self.hard is None:
            return None
        rows = tf.gather(self.hard, tf.maximum(self.places, 0))
        logits = tf.reduce_sum(queries[:, tf.newaxis] * tf.cast(rows, queries.dtype), axis=2)
        logits = tf.where(self.places >= 0, logits, tf.constant(NOTHING, logits.dtype))
        weight = tf.cast(self.weight, logits.dtype)
        return tf.reduce_logsumexp(logits, axis=1) + tf.math.log(weight)
