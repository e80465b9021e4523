# TensorFlow Serving with ScaNN's ops linked in, serving <workdir>/releases/<model>/<version>/.
# docker/README.md says which releases which base can load.

ARG TF_SERVING_IMAGE=google/tf-serving-scann:2.11.0
FROM ${TF_SERVING_IMAGE}

# The base starts tensorflow_model_server on 8500 (gRPC) and 8501 (REST), serves the highest version
# in ${MODEL_BASE_PATH}/${MODEL_NAME}, and passes on what is given after the image's name.
ARG MODEL_NAME=videos
ENV MODEL_NAME=${MODEL_NAME} \
    MODEL_BASE_PATH=/releases
# Releases come once a day, so looking every 30 seconds is often enough and spares object stores.
CMD ["--file_system_poll_wait_seconds=30"]
