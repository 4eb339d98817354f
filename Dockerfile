# stagecast with its commands, MLflow and Prefect, for compose.yaml and for single commands:
#   docker build -t stagecast . && docker run --rm -v "$PWD:/data" stagecast run --config my-shop.yaml
# The image runs as a user without rights, and needs no writable file but /data and /tmp.

FROM python:3.13-slim-bookworm AS build
RUN pip install --no-cache-dir "uv>=0.9"
WORKDIR /source
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never \
    UV_PROJECT_ENVIRONMENT=/opt/stagecast
COPY . .
# The pins at the end of pyproject.toml hold; no test and no example data are installed.
RUN uv sync --no-dev --no-editable --extra postgres

FROM python:3.13-slim-bookworm
# LightGBM needs the run-time of OpenMP, which the slim image lacks.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --home-dir /tmp --shell /usr/sbin/nologin stagecast \
    && mkdir /data /artifacts \
    && chown stagecast /data /artifacts
COPY --from=build /opt/stagecast /opt/stagecast
COPY prefect.yaml /etc/stagecast/prefect.yaml
ENV PATH=/opt/stagecast/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib
USER 10001
WORKDIR /data
VOLUME ["/data"]
ENTRYPOINT ["stagecast"]
CMD ["--help"]
