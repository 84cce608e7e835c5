//! Keys of the instances: what they are made of, their files and their editor.

use crate::config::key::Key;
use crate::config::kind::Kind;

/// code-server with one window open needs about 500 MiB; below this it does not even start.
const MEMORY_BYTES_MIN: u64 = 256 << 20;

pub(super) const SANDBOX: &[Key] = &[
    Key::new(
        "sandbox.image",
        Kind::Text,
        crate::config::SANDBOX_IMAGE,
        "the default image is built by `up` from the sources in the program; any other must be on the host",
    )
    .variable("SANDBOX_IMAGE"),
    Key::new(
        "sandbox.access",
        Kind::Words(&["owner", "password", "open"]),
        "owner",
        "who may open an editor: `owner`, `password` or `open`, see [operating.md](operating.md#access-modes)",
    ),
    Key::new(
        "sandbox.sudo",
        Kind::Flag,
        "false",
        "whether participants may become root inside their container",
    ),
    Key::new(
        "sandbox.memory",
        Kind::Size { min: MEMORY_BYTES_MIN },
        "2GiB",
        "memory of each instance, at least 256 MiB; there is no swap on top; bytes, or with `KiB`, `MiB`, `GiB` (whole numbers)",
    ),
    Key::new(
        "sandbox.cpus",
        Kind::Decimal { min: 0.1, max: 1024.0 },
        "2",
        "cores of each instance, 0.1 to 1024; lowered to what the host has",
    ),
    Key::new(
        "sandbox.pids",
        Kind::Integer { min: 64, max: 65_536 },
        "768",
        "processes and threads of each instance, 64 to 65536",
    ),
    Key::new(
        "sandbox.subnet",
        Kind::Subnet,
        "10.201.0.0/20",
        "the instances' network, 8 to 29 bits, no host bits set; a /20 has room for 4093 instances",
    ),
    Key::new(
        "sandbox.bridge",
        Kind::Bridge,
        "thon0",
        "the Docker network and its bridge on the host; 1 to 15 letters, digits and `-`",
    ),
    Key::new(
        "sandbox.timeout_minutes",
        Kind::Integer { min: 0, max: 525_600 },
        "0",
        "how long an instance lives; 0 is for ever",
    )
    .later(),
    Key::gone(
        "sandbox.domain",
        "localhost:8080",
        "THON runs the instances in Docker by itself: no OpenSandbox server is asked",
    )
    .variable("SANDBOX_DOMAIN"),
    Key::gone(
        "sandbox.api_key",
        "",
        "THON runs the instances in Docker by itself: no OpenSandbox server is asked",
    )
    .variable("SANDBOX_API_KEY")
    .secret(),
    Key::gone(
        "sandbox.starting_port",
        "8443",
        "instances have no ports on the host: each is reached under `/w/GROUP/USER/`",
    ),
    Key::gone(
        "sandbox.python_version",
        "",
        "Python comes with the image: build another one and name it in `sandbox.image`",
    ),
];

pub(super) const WORKSPACE: &[Key] = &[
    Key::new(
        "workspace.mode",
        Kind::Words(&["volume", "bind", "ephemeral"]),
        "",
        "where new workspaces are kept: `volume`, `bind` or `ephemeral`",
    )
    .computed("`volume`, or `bind` if `dir` is set"),
    Key::new(
        "workspace.dir",
        Kind::RelativePath,
        "",
        "the root of bind mounts, absolute",
    )
    .variable("THON_WORKSPACE_DIR"),
];

pub(super) const VSCODE: &[Key] = &[
    Key::new(
        "vscode.settings_file",
        Kind::RelativePath,
        "",
        "settings that every editor starts with",
    )
    .variable("THON_VSCODE_SETTINGS")
    .later(),
    Key::gone(
        "vscode.secure",
        "false",
        "it means `sandbox.access: password` now, unless `sandbox.access` is written: write that",
    )
    .of(Kind::Flag)
    .variable("THON_SECURE"),
    Key::gone(
        "vscode.extensions_file",
        "",
        "extensions are part of the image: `config/extensions.txt` lists them",
    ),
];
