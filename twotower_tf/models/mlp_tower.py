"""The tower that comes with the package: features combined, layers, and skips around them."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from twotower_tf.config.tower import TowerSection
from twotower_tf.graph.dropout import Dropout
from twotower_tf.models.towers import ItemEncoder, Tower


class MlpTower(Tower):
    """Fully connected layers on the features' vectors, and skips from some of these to the end.

    x = the vectors side by side, or their sum; then the layers; then x + sum_f a_f v_f over the
    features f that skip the layers, with learnt numbers a_f that start at 1: so a query starts as
    the sum of the items it names, and the layers learn what is missing to the next one.

    Args:
        feature_encoders: See ``Tower``.
        layers: Widths of the layers; ReLU after all but the last. None: there are no layers.
        seed: Of the initial weights.
        name: See ``Tower``.
        items: See ``Tower``.
        combine: ``concat`` or ``sum``; summed, vectors of another length than ``dim`` go through
            a projection each.
        dim: d, the length of the tower's vectors.
        residual: The features that skip the layers.
        dropout: While training, the share of each hidden layer that is dropped.
        vector_dropout: While training, the share of the tower's vector, before its normalisation,
            that is dropped.
        layer_norm: Whether each hidden layer is normalised, before its ReLU.

    Raises:
        ValueError: Without an encoder; with neither layers nor a sum; for a ``residual`` of no
            feature.
    """

    def __init__(
        self,
        feature_encoders: Sequence[tf.keras.layers.Layer],
        layers: Sequence[int] = (),
        seed: int = 0,
        name: str | None = None,
        items: ItemEncoder | None = None,
        combine: str = "concat",
        dim: int | None = None,
        residual: Sequence[str] = (),
        dropout: float = 0.0,
        vector_dropout: float = 0.0,
        layer_norm: bool = False,
    ):
        super().__init__(feature_encoders, name=name, items=items)
        if not layers and combine != "sum":
            raise ValueError(f"{name} needs at least one layer, or combine: sum")
        self._combine, self._seed = combine, seed
        self._dim = layers[-1] if layers else dim
        self._layers = [_dense(width, seed + at, f"dense_{at}") for at, width in enumerate(layers)]
        hidden = range(len(layers) - 1)
        self._drops = [Dropout(dropout, seed + 50 + at, f"dropout_{at}") for at in hidden]
        self._norms = [
            tf.keras.layers.LayerNormalization(name=f"norm_{at}") if layer_norm else None
            for at in hidden
        ]
        self._drop_vector = Dropout(vector_dropout, seed + 60, "vector_dropout")
        # Made when the lengths of the features' vectors are known.
        self._projections: dict[str, tf.keras.layers.Layer] = {}
        self._residual = {
            feature: self.add_weight(name=f"skip_{feature}", shape=(), initializer="ones")
            for feature in residual
        }
        unknown = set(residual) - {encoder.name for encoder in feature_encoders}
        if unknown:
            raise ValueError(f"{name}: residual names no feature: {', '.join(sorted(unknown))}")

    @classmethod
    def from_section(
        cls,
        section: TowerSection,
        feature_encoders: Sequence[tf.keras.layers.Layer],
        seed: int,
        name: str,
        items: ItemEncoder | None = None,
    ) -> "MlpTower":
        """See ``Tower.from_section``."""
        dropout, vector_dropout = section.dropped
        return cls(
            feature_encoders,
            section.widths,
            seed,
            name,
            items,
            combine=section.how_combined,
            dim=section.dimension,
            residual=section.skipping,
            dropout=dropout,
            vector_dropout=vector_dropout,
            layer_norm=section.layer_norm,
        )

    def combine(self, vectors: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """See ``Tower.combine``."""
        if self._combine == "sum":
            x = tf.add_n([self._fitted(name, vector) for name, vector in vectors.items()])
        else:
            x = tf.concat(list(vectors.values()), axis=-1)
        for number, layer in enumerate(self._layers):
            x = layer(x)
            if number < len(self._drops):
                x = x if self._norms[number] is None else self._norms[number](x)
                x = self._drops[number](tf.nn.relu(x), training=training)
        for feature, share in self._residual.items():
            x += share * self._fitted(feature, vectors[feature])
        return self._drop_vector(x, training=training)

    def _fitted(self, name: str, vector: tf.Tensor) -> tf.Tensor:
        """Returns a feature's vector with as many numbers as the tower's has."""
        width = self._dim
        if vector.shape[-1] == width:
            return vector
        if name not in self._projections:
            number = [encoder.name for encoder in self._encoders].index(name)
            self._projections[name] = _dense(
                width, self._seed + 70 + number, f"projection_of_{name}", bias=False
            )
        return self._projections[name](vector)


def _dense(width: int, seed: int, name: str, bias: bool = True) -> tf.keras.layers.Layer:
    return tf.keras.layers.Dense(
        width,
        use_bias=bias,
        kernel_initializer=tf.keras.initializers.GlorotUniform(seed=seed),
        name=name,
    )
