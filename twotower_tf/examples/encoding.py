"""Serialises ``tf.train.Example`` without TensorFlow, so that Beam's workers need not load it.

The messages are declared here a second time, under a package name of their own (one process may
not declare ``tensorflow.Example`` twice); the bytes depend on the field numbers only, and those
are TensorFlow's (``tensorflow/core/example/{example,feature}.proto``).

The features of an example may be encoded in parts: a map's entries are repeated fields, so parts
put one after the other are one message. What all events of an item share is encoded once so.
"""

from collections.abc import Mapping, Sequence

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "twotower_tf.examples"
_FIELD = descriptor_pb2.FieldDescriptorProto
# (field, number, type): the three lists of tensorflow.Feature's oneof.
_LISTS = (
    ("BytesList", "bytes_list", 1, _FIELD.TYPE_BYTES),
    ("FloatList", "float_list", 2, _FIELD.TYPE_FLOAT),
    ("Int64List", "int64_list", 3, _FIELD.TYPE_INT64),
)
# Field 1 (features) of tensorflow.Example, length-delimited.
_FEATURES_TAG = b"\x0a"


def _add_message_field(message, name: str, number: int, type_name: str, repeated: bool = False):
    message.field.add(
        name=name,
        number=number,
        type=_FIELD.TYPE_MESSAGE,
        type_name=f".{_PACKAGE}.{type_name}",
        label=_FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL,
    )


def _declare_features():
    """Returns the message class with the wire format of ``tensorflow.Features``."""
    file = descriptor_pb2.FileDescriptorProto(
        name="twotower_tf/examples/example.proto", package=_PACKAGE, syntax="proto3"
    )
    feature = descriptor_pb2.DescriptorProto(name="Feature")
    feature.oneof_decl.add(name="kind")
    for type_name, field, number, kind in _LISTS:
        values = file.message_type.add(name=type_name)
        values.field.add(name="value", number=1, type=kind, label=_FIELD.LABEL_REPEATED)
        _add_message_field(feature, field, number, type_name)
        feature.field[-1].oneof_index = 0
    file.message_type.append(feature)
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_OPTIONAL)
    _add_message_field(entry, "value", 2, "Feature")
    _add_message_field(features, "feature", 1, "Features.FeatureEntry", repeated=True)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Features"))


_Features = _declare_features()


def encode_features(
    texts: Mapping[str, Sequence[bytes]],
    floats: Mapping[str, Sequence[float]],
    integers: Mapping[str, Sequence[int]] | None = None,
) -> bytes:
    """Serialises features as ``tensorflow.Features``, keys ascending.

    Args:
        texts: Values of bytes features by key; a list without values is stored as such.
        floats: Values of float features (stored as float32) by key.
        integers: Values of int64 features by key.

    Returns:
        The bytes, the same for the same values whatever the order of the keys.
    """
    message = _Features()
    feature = message.feature
    for key, values in texts.items():
        _fill(feature[key].bytes_list, values)
    for key, values in floats.items():
        _fill(feature[key].float_list, values)
    for key, values in (integers or {}).items():
        _fill(feature[key].int64_list, values)
    return message.SerializeToString(deterministic=True)


def _fill(message, values: Sequence) -> None:
    if values:
        message.value.extend(values)
    else:
        # A list that nobody touched would count as absent.
        message.SetInParent()


def example_of(*parts: bytes) -> bytes:
    """Returns the serialised ``tf.train.Example`` that has the features of all parts.

    Args:
        *parts: From ``encode_features``; for bytes with ascending keys, give the part with the
            smaller keys first.
    """
    size = sum(map(len, parts))
    return b"".join((_FEATURES_TAG, _varint(size), *parts))


def _varint(number: int) -> bytes:
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)
