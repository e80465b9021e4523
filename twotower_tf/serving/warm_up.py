"""Warm-up requests, which TensorFlow Serving runs before it sends traffic to a new version.

``assets.extra/tf_serving_warmup_requests`` is a TFRecord of ``tensorflow.serving.PredictionLog``.
The messages are declared here a second time, under a package name of their own, since the package
that declares them (tensorflow-serving-api) is no dependency; the bytes depend on the field numbers
only, and those are TensorFlow Serving's (``tensorflow_serving/apis/{prediction_log,predict,model}
.proto``). A tensor is a message there and bytes here: on the wire that is the same.
"""

import os
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from twotower_tf.examples.schema import RawFeature
from twotower_tf.examples.value_types.lists import padded
from twotower_tf.indexing.candidates.item_hashes import EXTRA
from twotower_tf.serving.asking import Query, feature_rows
from twotower_tf.serving.serving_description import asked_features, features_of, ranked_features

WARM_UP_FILE = os.path.join(EXTRA, "tf_serving_warmup_requests")
_BATCHES = (1, 4, 16)
_PACKAGE = "twotower_tf.indexing"
_FIELD = descriptor_pb2.FieldDescriptorProto


def _declare_prediction_log():
    """Returns the message class with the wire format of ``tensorflow.serving.PredictionLog``."""
    file = descriptor_pb2.FileDescriptorProto(
        name="twotower_tf/indexing/prediction_log.proto", package=_PACKAGE, syntax="proto3"
    )

    def message(name: str, number: int, field: str, kind: str) -> descriptor_pb2.DescriptorProto:
        made = file.message_type.add(name=name)
        made.field.add(
            name=field,
            number=number,
            type=_FIELD.TYPE_MESSAGE,
            type_name=f".{_PACKAGE}.{kind}",
            label=_FIELD.LABEL_OPTIONAL,
        )
        return made

    message("PredictionLog", 6, "predict_log", "PredictLog")
    message("PredictLog", 1, "request", "PredictRequest")
    request = message("PredictRequest", 1, "model_spec", "ModelSpec")
    entry = request.nested_type.add(name="InputsEntry")
    entry.options.map_entry = True
    for name, number, kind in (("key", 1, _FIELD.TYPE_STRING), ("value", 2, _FIELD.TYPE_BYTES)):
        entry.field.add(name=name, number=number, type=kind, label=_FIELD.LABEL_OPTIONAL)
    request.field.add(
        name="inputs",
        number=2,
        type=_FIELD.TYPE_MESSAGE,
        type_name=f".{_PACKAGE}.PredictRequest.InputsEntry",
        label=_FIELD.LABEL_REPEATED,
    )
    spec = file.message_type.add(name="ModelSpec")
    spec.field.add(
        name="signature_name", number=3, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_OPTIONAL
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.PredictionLog"))


_PredictionLog = _declare_prediction_log()


def write_requests(folder: str, serving: dict, queries: Sequence[Query]) -> None:
    """Writes warm-up requests into a SavedModel's folder.

    ``serving_default`` and, with ranking, ``recommend`` are asked with batches of several sizes,
    with and without excluded items; ``embed_query`` and ``embed_item`` once. ``examples`` is not: a
    server that is never asked for it need not hold ScaNN's index a second time.

    Args:
        folder: The SavedModel's.
        serving: Its description, which says what it takes.
        queries: Taken in turn to fill the batches.
    """
    path = os.path.join(folder, WARM_UP_FILE)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with tf.io.TFRecordWriter(path) as writer:
        asked = {"serving_default": asked_features(serving)}
        if features_of(serving, "ranking"):
            asked["recommend"] = ranked_features(serving)
        for signature, features in asked.items():
            for inputs in _batches(queries, features, serving["default_k"]):
                writer.write(_request(signature, inputs))
        writer.write(_request("embed_query", feature_rows(queries, features_of(serving, "query"))))
        writer.write(_request("embed_item", feature_rows([{}], features_of(serving, "candidate"))))


def _batches(
    queries: Sequence[Query], features: Sequence[RawFeature], k: int
) -> Iterator[dict[str, object]]:
    """Yields inputs of several sizes, without and with excluded items."""
    for size in _BATCHES:
        batch = [queries[number % len(queries)] for number in range(size)]
        rows = feature_rows(batch, features)
        for excluded in ([], ["a", "b", "c"]):
            ids = padded([excluded] * size, object, "")
            yield {**rows, "k": np.int32(k), "exclude_ids": ids}


def _request(signature: str, inputs: Mapping[str, object]) -> bytes:
    log = _PredictionLog()
    request = log.predict_log.request
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name] = tf.make_tensor_proto(value).SerializeToString()
    return log.SerializeToString(deterministic=True)
