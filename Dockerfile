# The base is an argument, so that a mirror or another distribution's Python can take its place.
ARG BASE_IMAGE=python:3.13-slim-bookworm

FROM ${BASE_IMAGE} AS build
WORKDIR /src
COPY requirements.txt requirements-build.txt ./
# Two environments: what builds the wheel stays here, what runs the program moves on.
# A certificate authority of one's own may be given as the build secret "ca".
RUN --mount=type=secret,id=ca,required=false \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi \
 && python3 -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements-build.txt \
 && python3 -m venv /opt/exporter \
 && /opt/exporter/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
ARG VERSION=0.2.0
# A label that names another version than the program does is refused.
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /opt/exporter/bin/pip install --no-cache-dir --no-deps --no-index /wheels/*.whl \
 && test "$(/opt/exporter/bin/helpscout-exporter --version)" = "helpscout-exporter ${VERSION}" \
 && /opt/exporter/bin/pip check \
 && /opt/exporter/bin/pip uninstall --yes pip

FROM ${BASE_IMAGE}
ARG VERSION=0.2.0
ARG REVISION=unknown
ARG SOURCE=https://github.com/helpscout-exporter/helpscout-exporter
# A release adds when it was built and from which base: `created`, `base.name` and `base.digest`.
LABEL org.opencontainers.image.title="helpscout-exporter" \
      org.opencontainers.image.description="Prometheus exporter for Help Scout: queues and response times" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.url="${SOURCE}" \
      org.opencontainers.image.documentation="${SOURCE}/tree/main/docs" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/exporter /opt/exporter
# For a state file on a volume: a new volume takes over the folder's owner.
RUN install -d -o 65532 -g 65532 /var/lib/helpscout-exporter
# EXPORTER_LISTEN is the default of `web.listen`: file, variable and --listen go before it.
ENV PATH=/opt/exporter/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    EXPORTER_LISTEN=:9877 \
    EXPORTER_REVISION=${REVISION}
# By number, so that Kubernetes can see that it is not root; nothing is written but the state file.
USER 65532:65532
EXPOSE 9877
HEALTHCHECK --interval=30s --timeout=6s --start-period=5s CMD ["helpscout-exporter", "healthcheck"]
ENTRYPOINT ["helpscout-exporter"]
CMD ["serve"]
