# The proxy in a small image that runs without root.
#
#   docker build -t consentry .
#   docker run -p 8080:8080 -p 8443:8443 -v ./config:/srv/consentry/config:ro -v consentry-data:/srv/consentry/data consentry
#
# In a container, `listen` must name 0.0.0.0 or [::]; `admin` stays on 127.0.0.1:9090, where HEALTHCHECK asks.
# Paths in the settings are relative to their files, so `../data/` is the volume.

FROM rust:1-slim AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --profile dist --bin consentry \
    && install -D target/dist/consentry /out/consentry

FROM debian:stable-slim
# Authorities with which upstreams over HTTPS are verified.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --home-dir /srv/consentry --shell /usr/sbin/nologin consentry \
    && install -d -o consentry -g consentry -m 0700 /srv/consentry/data
COPY --from=build /out/consentry /usr/local/bin/consentry
USER consentry
WORKDIR /srv/consentry
VOLUME /srv/consentry/data
EXPOSE 8080 8443
ENV CONSENTRY_ADMIN_PORT=9090
# No HTTP client is needed in the image: bash can open a connection by itself.
HEALTHCHECK --interval=15s --timeout=3s --start-period=5s CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/$CONSENTRY_ADMIN_PORT && printf 'GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && read -r status <&3 && [[ $status == *' 200 '* ]]"]
ENTRYPOINT ["consentry"]
CMD ["run", "--config", "config/consentry.yaml"]
