# syntax=docker/dockerfile:1
# A server for a PostgreSQL, and a Neo4j if there is to be one, that run elsewhere: docs/deployment.md.

FROM python:3.11-slim-trixie AS build
ENV UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /build
COPY requirements/build.txt requirements/image.txt requirements/
# The cache is a mount, and doesn't stay in the image.
# hadolint ignore=DL3042
RUN --mount=type=cache,target=/root/.cache \
    python -m pip install --disable-pip-version-check --root-user-action=ignore --require-hashes -r requirements/build.txt
# The environment comes before the source: a change of Hopper's own builds in seconds. Of PostgreSQL, version 16 stays,
# for `hopper backup` and `restore`; 18, the headers and the libraries' own tests are used by nothing here.
RUN --mount=type=cache,target=/root/.cache \
    python -m venv --without-pip /opt/hopper \
    && uv pip sync --python /opt/hopper --require-hashes requirements/image.txt \
    && find /opt/hopper/lib -type d '(' -name tests -o -name pginstall18 -o -path '*/pginstall/include' ')' -prune -exec rm -r {} + \
    && python -m compileall -q -j 0 /opt/hopper/lib
COPY pyproject.toml README.md LICENSE ./
COPY config/server.example.yaml config/
COPY src src
RUN uv build --wheel --no-build-isolation --out-dir dist \
    && uv pip install --python /opt/hopper --no-deps dist/*.whl \
    && python -m compileall -q /opt/hopper/lib/python3*/site-packages/hopper

FROM python:3.11-slim-trixie
RUN useradd --uid 10001 --home-dir /var/lib/hopper --shell /usr/sbin/nologin hopper \
    && install --directory --owner=hopper --group=hopper --mode=700 /var/lib/hopper
COPY --from=build /opt/hopper /opt/hopper
ENV PATH=/opt/hopper/bin:$PATH PYTHONUNBUFFERED=1 HOPPER_HOME=/var/lib/hopper HOPPER_HOST=0.0.0.0 HOPPER_PORT=8000
USER 10001
WORKDIR /var/lib/hopper
VOLUME /var/lib/hopper
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --start-interval=1s CMD ["python", "-c", \
    "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"HOPPER_PORT\"]}/readyz', timeout=4)"]
CMD ["hopper", "serve"]
