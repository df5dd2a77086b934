# The proxy in a small image that runs without root.
#
#   docker build -t consentry .
#   docker run -p 8080:8080 -p 8443:8443 -v ./config:/srv/consentry/config:ro -v consentry-data:/srv/consentry/data consentry
#
# In a container, `listen` must name 0.0.0.0 or [::]. `admin` may stay on 127.0.0.1:9090: HEALTHCHECK asks there.
# Paths in the settings are relative to their files, so `../data/` is the volume. Stop it with more patience than
# `timeouts.drain` (30s): `docker run --stop-timeout 45`. Reload: `docker kill --signal HUP NAME`.

# Both stages are of one Debian: the program is linked to its C library.
FROM rust:1-slim-trixie AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --profile dist --bin consentry \
    && install -D target/dist/consentry /out/consentry

FROM debian:trixie-slim
# Authorities with which upstreams over HTTPS are verified.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
# By number, so that orchestrators see that it is not root.
RUN groupadd --system --gid 10001 consentry \
    && useradd --system --uid 10001 --gid 10001 --home-dir /srv/consentry --shell /usr/sbin/nologin consentry \
    && install -d -o consentry -g consentry -m 0700 /srv/consentry/data
COPY --from=build /out/consentry /usr/local/bin/consentry
USER 10001:10001
WORKDIR /srv/consentry
VOLUME /srv/consentry/data
EXPOSE 8080 8443
ENV CONSENTRY_CONFIG=/srv/consentry/config/consentry.yaml
# It asks the `admin` listener of the settings; no shell and no HTTP client take part.
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s CMD ["consentry", "healthcheck"]
ENTRYPOINT ["consentry"]
CMD ["run"]
