# syntax=docker/dockerfile:1
# Hookbay and the example plugins.
#
#   docker build --build-arg COMMIT=$(git rev-parse --short=12 HEAD) -t hookbay .
#   docker run --read-only --cap-drop ALL -p 8080:8080 \
#     -v ./hookbay.toml:/etc/hookbay/hookbay.toml:ro -v hookbay:/var/lib/hookbay hookbay

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential \
    && rm -rf /var/lib/apt/lists/* \
    && rustup target add wasm32-wasip2
WORKDIR /source
COPY . .
# The commit is not in here (.dockerignore); it is told.
ARG COMMIT=
ENV HOOKBAY_COMMIT=$COMMIT
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cargo build --release --locked \
    && cargo xtask plugins \
    && install -D -m 0755 target/release/hookbay /image/usr/local/bin/hookbay \
    && install -d -m 0755 /image/usr/share/hookbay/plugins \
    && install -m 0644 target/plugins/*.wasm /image/usr/share/hookbay/plugins/ \
    && install -d -m 0755 /image/etc/hookbay \
    && install -d -m 0700 /image/var/lib/hookbay /image/var/lib/hookbay/plugins.d

# glibc, CA certificates, a user that is not root; no shell.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /image/usr /usr
COPY --from=build /image/etc/hookbay /etc/hookbay
COPY --from=build --chown=nonroot:nonroot /image/var/lib/hookbay /var/lib/hookbay
# What a hookbay.toml that says nothing else gets. The admin address stays on the container's
# own loopback: `docker exec … hookbay events list` reaches it.
ENV HOOKBAY_LISTEN=0.0.0.0:8080 \
    HOOKBAY_DATABASE=sqlite:///var/lib/hookbay/hookbay.db \
    HOOKBAY_PLUGINS_DIR=/var/lib/hookbay/plugins.d \
    HOOKBAY_DATA_DIR=/var/lib/hookbay/data
USER nonroot:nonroot
WORKDIR /etc/hookbay
VOLUME /var/lib/hookbay
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s \
    CMD ["/usr/local/bin/hookbay", "operations", "list", "--limit", "1"]
ENTRYPOINT ["/usr/local/bin/hookbay"]
CMD ["serve"]
