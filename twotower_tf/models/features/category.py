"""One of few values: its row of a small table of the feature's own."""

from twotower_tf.models.embeddings import EmbeddingTable
from twotower_tf.models.features.id import IdEncoder


class CategoryEncoder(IdEncoder):
    """A category: listed values have a row each, all others share hashed ones."""

    @classmethod
    def from_section(cls, section, tables, seed):
        """See ``FeatureEncoder``."""
        own = EmbeddingTable(
            section.buckets,
            section.dim,
            section.values,
            seed=seed,
            name=f"values_of_{section.name}",
        )
        return cls(section.name, own)
