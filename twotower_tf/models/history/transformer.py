"""Causal self-attention over a history's items and places, read at the newest item."""

import tensorflow as tf

from twotower_tf.graph.dropout import Dropout
from twotower_tf.models.history import gaps
from twotower_tf.models.history.item_sequence import ItemSequence
from twotower_tf.models.history.traits import Traits

_NEVER = -1e9


class Transformer(tf.keras.layers.Layer):
    """Blocks of causal self-attention over items and places (SASRec); the last place's vector.

    x_k = v_k + p_k, k counted from the end; a block adds softmax(Q K^T / sqrt(d/h)) V, then a
    dense layer of two, each of the layer-normalised x. An empty history gives zeros.

    With ``times`` x_k has a learnt vector for how long ago the item was, and an attention's scores
    a learnt number for the time between the two items, of each head (``gaps``). With ``traits`` x_k
    has a learnt vector for what the event was.

    Source: Kang and McAuley, "Self-attentive sequential recommendation", ICDM 2018; times as in
    Li et al., "Time interval aware self-attention", WSDM 2020, but as biases.

    Args:
        dim: d, of the items.
        length: The most items read, the newest.
        blocks: How many blocks.
        heads: Heads of each attention; d is a multiple of it.
        dropout: While training, the share of each block's two outputs that is dropped.
        times: Whether it knows the items' times.
        traits: The vectors of events by what they were, if any.
        seed: Of initial weights and dropout.

    Raises:
        ValueError: If the heads don't divide d.
    """

    def __init__(
        self,
        dim: int,
        length: int,
        blocks: int = 1,
        heads: int = 1,
        dropout: float = 0.0,
        times: bool = False,
        traits: Traits | None = None,
        seed: int = 0,
        name: str | None = None,
    ):
        super().__init__(name=name)
        if dim % heads:
            raise ValueError(f"{name}: {heads} heads don't divide the {dim} of an item's vector")
        self._length, self._times, self._traits = length, times, traits
        self._positions = self.add_weight(
            name="positions",
            shape=(length, dim),
            initializer=tf.keras.initializers.RandomNormal(stddev=0.02, seed=seed),
        )
        if times:
            self._ages = self.add_weight(
                name="ages", shape=(gaps.BUCKETS, dim), initializer="zeros"
            )
        self._blocks = [
            _Block(dim, heads, dropout, times, seed + 10 * number, f"block_{number}")
            for number in range(blocks)
        ]

    @classmethod
    def from_section(cls, section, dim: int, seed: int, name: str) -> "Transformer":
        """Builds the encoder; see `recency.Recency.from_section`."""
        return cls(
            dim,
            section.length,
            section.blocks,
            section.heads,
            section.dropout,
            section.times,
            Traits.from_section(section, (dim,)),
            seed,
            name,
        )

    def call(self, items: ItemSequence, training: bool = False) -> tf.Tensor:
        """Encodes each history as float32 [batch, d]; zeros where one is empty."""
        vectors, is_there = items.padded(self._length)
        causal = tf.linalg.band_part(tf.ones([self._length, self._length], tf.bool), -1, 0)
        allowed = causal[tf.newaxis] & is_there[:, tf.newaxis, :]
        x, apart = vectors + self._positions, None
        if self._times:
            days = items.padded_days(self._length)
            x += tf.gather(self._ages, gaps.bucket(days))
            apart = gaps.bucket(days[:, tf.newaxis, :] - days[:, :, tf.newaxis])
        if self._traits is not None:
            x += items.padded_values(self._traits(items), self._length)
        for block in self._blocks:
            x = block(x, allowed, apart, training=training)
        return x[:, -1] * tf.cast(is_there[:, -1:], x.dtype)


class _Block(tf.keras.layers.Layer):
    def __init__(self, dim: int, heads: int, dropout: float, times: bool, seed: int, name: str):
        super().__init__(name=name)
        self._heads = heads
        if times:
            self._by_gap = self.add_weight(
                name="by_gap", shape=(gaps.BUCKETS, heads), initializer="zeros"
            )

        def dense(what: str, number: int, activation: str | None = None):
            initial = tf.keras.initializers.GlorotUniform(seed=seed + number)
            return tf.keras.layers.Dense(
                dim, activation=activation, kernel_initializer=initial, name=what
            )

        self._query, self._key, self._value = (
            dense(what, number) for number, what in enumerate(("query", "key", "value"))
        )
        self._out, self._inner = dense("out", 3), dense("inner", 4, "relu")
        self._last = dense("last", 5)
        self._before_attention = tf.keras.layers.LayerNormalization(name="before_attention")
        self._before_dense = tf.keras.layers.LayerNormalization(name="before_dense")
        self._drop_attention = Dropout(dropout, seed + 6, name="drop_attention")
        self._drop_dense = Dropout(dropout, seed + 7, name="drop_dense")

    def call(
        self, x: tf.Tensor, allowed: tf.Tensor, apart: tf.Tensor | None, training: bool = False
    ) -> tf.Tensor:
        """Maps [batch, L, d] to the same shape.

        Args:
            x: float32 [batch, L, d].
            allowed: bool [batch, L, L], which places (last axis) each attends to.
            apart: int32 [batch, L, L], the bucket of the time between them; None: without times.
            training: Whether to drop.
        """
        normed = self._before_attention(x)
        query, key, value = (
            self._split(layer(normed)) for layer in (self._query, self._key, self._value)
        )
        scores = tf.matmul(query, key, transpose_b=True) / query.shape[-1] ** 0.5
        if apart is not None:
            scores += tf.transpose(tf.gather(self._by_gap, apart), [0, 3, 1, 2])
        scores += tf.where(allowed, 0.0, _NEVER)[:, tf.newaxis]
        mixed = tf.transpose(tf.matmul(tf.nn.softmax(scores), value), [0, 2, 1, 3])
        x += self._drop_attention(self._out(tf.reshape(mixed, tf.shape(x))), training=training)
        dense = self._last(self._inner(self._before_dense(x)))
        return x + self._drop_dense(dense, training=training)

    def _split(self, x: tf.Tensor) -> tf.Tensor:
        """[batch, L, d] to [batch, heads, L, d / heads]."""
        length, dim = x.shape[1:]
        split = tf.reshape(x, [-1, length, self._heads, dim // self._heads])
        return tf.transpose(split, [0, 2, 1, 3])
