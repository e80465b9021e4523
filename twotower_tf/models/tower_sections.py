"""What the configuration says of each kind of tower."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from twotower_tf.config.registries import TOWERS
from twotower_tf.config.section import Positive, Touches
from twotower_tf.config.tower import TowerSection

_Dropped = Annotated[float, Field(ge=0.0, lt=1.0)]


@TOWERS.made_by("twotower_tf.models.mlp_tower:MlpTower")
class MlpTowerSection(TowerSection):
    """The features' vectors combined, then fully connected layers, and skips around these.

    Of the candidate, without ``layers``: the sum of its features' vectors, so that an item's id
    and its attributes add up to what it is. Of a query that names items (``encode: item``): layers
    on the features side by side, and the items' own vectors added to what comes out
    (``residual``). [model.md](model.md) says what each part is worth.

    ```yaml
    query:
      features:
        - {name: seed, column: seed_item_id, kind: id, encode: item}
        - {name: history, kind: id_bag, encode: item, encoder: recency}
        - {name: device, kind: category}
      layers: [128, 64]
      residual: [seed, history]
      dropout: 0.2
    candidate:
      features: [...]
      layers: []
      combine: sum
      dim: 64
    ```
    """

    kind: Literal["mlp"] = "mlp"
    layers: list[Positive] | None = None
    """Widths of the layers, ReLU after all but the last, which is the length of the tower's
    vector. ``[]``: no layers. By default none where the features are summed, else two, of twice
    ``dim`` and of ``dim``."""
    dim: Positive = 64
    """The length of the tower's vector, where ``layers`` does not say it."""
    combine: Literal["concat", "sum"] | None = None
    """How the features' vectors become one: side by side, so that layers can weigh one by the
    other; or added, each through a projection if its length differs, so that all are in one space.
    By default ``concat`` where there are ``layers`` or features that name items, else ``sum``."""
    residual: list[str] | None = None
    """Features whose vectors are added to what the layers make of all: they skip the layers. By
    default those that name items, where ``layers`` is not given."""
    dropout: Annotated[_Dropped | None, Touches.NOTHING] = None
    """While training, the share of each hidden layer that is dropped. By default 0.2, where
    ``layers`` is given 0."""
    vector_dropout: Annotated[_Dropped | None, Touches.NOTHING] = None
    """While training, the share of the tower's vector that is dropped, before it is normalised. By
    default 0.1 where the features are summed and ``layers`` is not given, else 0."""
    layer_norm: bool = False
    """Whether hidden layers are normalised, before their ReLU: for deep towers."""

    @model_validator(mode="after")
    def _check_layers(self):
        if self.layers is not None and not self.layers and self.how_combined != "sum":
            raise ValueError("without layers the features must be summed: combine: sum")
        names = [feature.name for feature in self.features]
        for name in self.residual or []:
            if name not in names:
                raise ValueError(f"residual: '{name}' is not one of features: {', '.join(names)}")
        return self

    @property
    def dimension(self) -> int:
        """See ``TowerSection``."""
        return self.layers[-1] if self.layers else self.dim

    @property
    def how_combined(self) -> str:
        """``combine``, or what it is by default."""
        return self.combine or ("concat" if self.layers or self._items else "sum")

    @property
    def widths(self) -> list[int]:
        """``layers``, or what they are by default."""
        if self.layers is None and self.how_combined == "concat":
            return [2 * self.dim, self.dim]
        return self.layers or []

    @property
    def skipping(self) -> list[str]:
        """``residual``, or what it is by default."""
        if self.residual is None:
            return self._items if self.layers is None else []
        return self.residual

    @property
    def dropped(self) -> tuple[float, float]:
        """``dropout`` and ``vector_dropout``, or what they are by default."""
        usual = (0.0, 0.0)
        if self.layers is None:
            usual = (0.2, 0.1 if self.how_combined == "sum" else 0.0)
        given = self.dropout, self.vector_dropout
        return tuple(own if one is None else one for one, own in zip(given, usual, strict=True))

    @property
    def _items(self) -> list[str]:
        """The features that name items."""
        return [one.name for one in self.features if getattr(one, "is_item", False)]
