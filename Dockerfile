# One image, two servers: `relais serve rights` and `relais serve admin`. It holds code and nothing else: the home
# is a volume, settings and keys are mounted files.

FROM python:3.11-slim AS build
# The environment is moved to the final stage whole, so it must point at the interpreter both stages share.
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PROJECT_ENVIRONMENT=/opt/relais \
    UV_PYTHON=/usr/local/bin/python3.11 \
    UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /src
# Dependencies first: they change less often than the code.
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN uv sync --frozen --no-dev --no-install-project
COPY service ./service
RUN uv sync --frozen --no-dev --no-editable

FROM python:3.11-slim
# Numeric ids, because Kubernetes can prove only those to be non-root; a name, because orders say who gave them.
RUN groupadd --gid 10001 relais \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin relais \
    && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/relais
COPY --from=build /opt/relais /opt/relais
ENV PATH=/opt/relais/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    RELAIS_HOME=/var/lib/relais
WORKDIR /var/lib/relais
USER 10001:10001
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
ENTRYPOINT ["relais"]
CMD ["serve", "rights"]
