"""Asking a SavedModel as TensorFlow Serving does: by a session."""

import tensorflow as tf


class Session:
    """A SavedModel in a session whose operations run in the caller's thread.

    That suits a server that has a thread for each request.

    Args:
        folder: Of the SavedModel.
        threads: That one operation may use; 0 leaves it to TensorFlow.
    """

    def __init__(self, folder: str, threads: int = 0):
        options = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=threads,
            inter_op_parallelism_threads=-1,
            use_per_session_threads=True,
        )
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=options)
        with self._session.graph.as_default():
            loaded = tf.compat.v1.saved_model.load(self._session, ["serve"], folder)
        self._signatures = loaded.signature_def
        self._callables: dict = {}

    def ask(self, signature: str, inputs: dict) -> dict:
        """Returns the outputs of a signature by name; inputs that have defaults may be left out."""
        names = (signature, *inputs)
        if names not in self._callables:
            definition = self._signatures[signature]
            self._callables[names] = self._session.make_callable(
                {name: one.name for name, one in definition.outputs.items()},
                [definition.inputs[name].name for name in inputs],
            )
        return self._callables[names](*inputs.values())
