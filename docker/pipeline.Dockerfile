# The trainer and the Beam worker, from one set of packages, so that what a job pickles on one side
# unpickles on the other. Build from the repository's root; docker/README.md has the commands.

ARG PYTHON_VERSION=3.11
# The same as apache-beam in constraints.txt: launcher, worker and boot must agree.
ARG BEAM_VERSION=2.77.0

FROM apache/beam_python${PYTHON_VERSION}_sdk:${BEAM_VERSION} AS beam

FROM python:${PYTHON_VERSION}-slim AS base
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1
WORKDIR /opt/twotower_tf
# The dependencies first, in a layer that a change of the code leaves alone.
COPY setup.py pyproject.toml constraints.txt ./
RUN pip install -c constraints.txt ".[io,s3]" && pip check
COPY twotower_tf twotower_tf
COPY pipelines pipelines
COPY configs configs
RUN pip install --no-deps . && python -c "import pipelines, twotower_tf.storage"

# What Beam starts on its workers: boot is the program that every runner's contract names.
FROM base AS worker
COPY --from=beam /opt/apache/beam /opt/apache/beam
ENTRYPOINT ["/opt/apache/beam/boot"]

# The default: one argument is a job's name, as in `run_daily --config=... --workdir=...`.
FROM base AS trainer
ENTRYPOINT ["/bin/sh", "-c", "job=$1; shift; exec python -m \"pipelines.$job\" \"$@\"", "pipelines"]
CMD ["run_daily", "--help"]
