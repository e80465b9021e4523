"""The labels of a list of texts: a text for each of its values."""

import dataclasses

from twotower_tf.examples.value_types.text_list import TextList


@dataclasses.dataclass(frozen=True)
class Labels(TextList):
    """A list of texts, as long as the list of another raw feature, which comes before it.

    Of what has no label it is ``""``, at the end too.

    Attributes:
        weighs: The name of that feature, a ``TextList``.
    """

    weighs: str = ""

    def as_parsed(self, value, name: str, others):
        """See ``ValueType``."""
        from twotower_tf.graph.ragged import as_long_as

        return as_long_as(others[self.weighs], value, name)
