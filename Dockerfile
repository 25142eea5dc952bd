# On CPUs:  docker build --tag ecc-fed .
# On GPUs:  docker build --tag ecc-fed:cuda --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 .
# A run:    docker run --rm --shm-size 1g --volume "$PWD/runs:/work/runs" ecc-fed study quickstart
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
# torch's own index: of builds without CUDA, or with one.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /source
RUN python -m venv /opt/ecc-fed
COPY constraints.txt ./
# What torch needs of other packages comes below, from the usual index and as pinned.
RUN /opt/ecc-fed/bin/pip install --no-deps --constraint constraints.txt --index-url "${TORCH_INDEX}" torch
COPY pyproject.toml README.md LICENSE ./
COPY conf conf
COPY ecc_fed ecc_fed
RUN /opt/ecc-fed/bin/pip install --constraint constraints.txt .

FROM python:${PYTHON}-slim
# Whose user has another id gives it to docker run: --user "$(id -u)". A run writes below /work and /tmp alone.
RUN useradd --uid 1000 --home-dir /work ecc && install --directory --owner ecc --mode 777 /work /work/runs
COPY --from=build /opt/ecc-fed /opt/ecc-fed
ENV PATH="/opt/ecc-fed/bin:${PATH}" HOME=/work \
    FLWR_TELEMETRY_ENABLED=0 RAY_USAGE_STATS_ENABLED=0 HF_HUB_DISABLE_TELEMETRY=1
USER ecc
WORKDIR /work
ENTRYPOINT ["ecc-fed"]
CMD ["--help"]
