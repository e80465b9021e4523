"""docs/serving.md and the warm-up requests against TensorFlow Serving's protos and a signature."""

import json
import pathlib
import re

import numpy as np
import pytest

from twotower_tf.config_loader import load_config

# isort: split
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from twotower_tf.examples.schema import raw_features
from twotower_tf.serving.signatures import feature_input
from twotower_tf.serving.warm_up import WARM_UP_FILE

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def demo() -> dict[str, tf.TensorSpec]:
    """The inputs of a release of configs/demo.yaml, for which the page's requests are."""
    config = load_config(str(ROOT / "configs" / "demo.yaml"))
    specs = [feature_input(raw).spec for raw in raw_features(config, "query")]
    own = {"k": tf.TensorSpec([], tf.int32), "exclude_ids": tf.TensorSpec([None, None], tf.string)}
    return {spec.name: spec for spec in specs} | own


@pytest.fixture(scope="module")
def session(shop):
    """A release of the shop as TensorFlow Serving loads it."""
    path = shop.release("brute_force").path
    # Not as a context: that would make its graph the default of the tests too.
    made = tf.compat.v1.Session(graph=tf.Graph())
    with made.graph.as_default():
        signatures = tf.compat.v1.saved_model.load(made, ["serve"], path).signature_def
    yield Asked(made, signatures)
    made.close()


class Asked:
    """Asks the signatures of a loaded release with arrays."""

    def __init__(self, session, signatures):
        self._session = session
        self.signatures = signatures

    def __call__(self, signature: str, inputs: dict) -> dict[str, np.ndarray]:
        described = self.signatures[signature]
        feed = {described.inputs[name].name: value for name, value in inputs.items()}
        outputs = {name: one.name for name, one in described.outputs.items()}
        return self._session.run(outputs, feed)


def _tensor(value, spec: tf.TensorSpec) -> np.ndarray:
    return np.array(value, object if spec.dtype == tf.string else spec.dtype.as_numpy_dtype)


def test_the_rest_request_has_every_input_in_its_type_and_shape(demo):
    request = json.loads(_blocks("json")[0])
    assert set(request) == {"signature_name", "inputs"}
    # The JSON reader of TensorFlow Serving refuses a request that lacks an input.
    assert request["inputs"].keys() == demo.keys()
    rows = set()
    for name, spec in demo.items():
        tensor = _tensor(request["inputs"][name], spec)
        assert spec.shape.is_compatible_with(tensor.shape), name
        if name != "k":
            rows.add(len(tensor))
    assert rows == {0, 2}


def test_the_rest_response_is_what_a_release_answers(session):
    response = json.loads(_blocks("json")[1])
    outputs = session.signatures["serving_default"].outputs
    assert response["outputs"].keys() == outputs.keys()
    for name, values in response["outputs"].items():
        assert np.shape(values) == (2, 5)
        spec = tf.TensorSpec(outputs[name].tensor_shape, tf.as_dtype(outputs[name].dtype))
        assert _tensor(values, spec).shape == (2, 5)


def test_the_grpc_request_fits_the_signature(demo):
    made: dict = {}
    (code,) = [one for one in _blocks("python") if "PredictRequest" in one]
    exec(compile(code, "docs/serving.md", "exec"), made)
    request = predict_pb2.PredictRequest.FromString(made["request"].SerializeToString())
    assert request.model_spec.signature_name == "serving_default"
    assert set(request.inputs) < demo.keys()
    for name, tensor in request.inputs.items():
        assert tf.as_dtype(tensor.dtype) == demo[name].dtype
        assert demo[name].shape.is_compatible_with(tf.make_ndarray(tensor).shape)


def test_a_request_in_the_form_of_the_page_gets_a_response_from_a_release(session):
    request = predict_pb2.PredictRequest()
    given = {"seed": ["item-4", "x"], "history": [["item-1"], [""]], "exclude_ids": [["a"], ["b"]]}
    for name, value in {**given, "device": tf.zeros([0], tf.string), "k": 3}.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
    # As TensorFlow Serving fills in what the request lacks.
    defaults = session.signatures["serving_default"].defaults
    assert set(defaults) > set(inputs)
    filled = {name: tf.make_ndarray(tensor) for name, tensor in defaults.items()} | inputs
    response = predict_pb2.PredictResponse()
    for name, value in session("serving_default", filled).items():
        response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
    assert tf.make_ndarray(response.outputs["item_ids"]).shape == (2, 3)
    partial = session("serving_default", inputs)
    np.testing.assert_array_equal(
        partial["item_ids"], tf.make_ndarray(response.outputs["item_ids"])
    )


def test_the_warm_up_requests_are_prediction_logs_that_a_release_answers(shop, session):
    path = pathlib.Path(shop.release("brute_force").path, WARM_UP_FILE)
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(str(path))
    ]
    asked = []
    for log in logs:
        assert log.WhichOneof("log_type") == "predict_log"
        # Nothing that the real messages don't know.
        assert json_format.ParseDict(json_format.MessageToDict(log), type(log)()) == log
        request = log.predict_log.request
        name = request.model_spec.signature_name
        assert set(request.inputs) == set(session.signatures[name].inputs)
        inputs = {key: tf.make_ndarray(tensor) for key, tensor in request.inputs.items()}
        asked.append((name, next(iter(session(name, inputs).values())).shape[0]))
    assert asked == [("serving_default", n) for n in (1, 1, 4, 4, 16, 16)] + [
        ("embed_query", 4),
        ("embed_item", 1),
    ]
