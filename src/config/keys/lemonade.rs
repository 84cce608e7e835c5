//! Keys of the model's server, and what its llama.cpp is started with.

use crate::config::key::Key;
use crate::config::kind::Kind;

/// The sizes that a model's context may have; 0 is left to the server where it says so.
const TOKENS: Kind = Kind::Integer {
    min: 1,
    max: 16_777_216,
};
const BATCH: Kind = Kind::Integer {
    min: 1,
    max: 1_048_576,
};
/// How llama.cpp may store keys and values.
const CACHE: Kind = Kind::Words(&[
    "f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "iq4_nl",
]);

/// The models that the original offered.
const CHAT_MODELS: &str = "\
- name: gemma-4-31b-it
  checkpoint: unsloth/gemma-4-31B-it-GGUF:Q8_K_XL
- name: qwen3.6-27b
  checkpoint: unsloth/Qwen3.6-27B-GGUF:Q8_K_XL";

pub(super) const LEMONADE: &[Key] = &[
    Key::new(
        "lemonade.enabled",
        Kind::Flag,
        "false",
        "whether a Lemonade server is used",
    )
    .later(),
    Key::new("lemonade.host", Kind::Host, "0.0.0.0", "where it listens").variable("LEMONADE_HOST"),
    Key::new(
        "lemonade.port",
        Kind::Integer { min: 1, max: 65535 },
        "13305",
        "its port",
    )
    .variable("LEMONADE_PORT"),
    Key::new(
        "lemonade.model",
        Kind::Text,
        "unsloth/gemma-4-31B-it-GGUF:Q8_K_XL",
        "the chat model: where its weights are found",
    )
    .later(),
    Key::new(
        "lemonade.model_name",
        Kind::Text,
        "gemma-4-31b-it",
        "what it is called",
    ),
    Key::new(
        "lemonade.mmproj",
        Kind::Text,
        "mmproj-BF16.gguf",
        "the file that lets it see pictures",
    )
    .later(),
    Key::new(
        "lemonade.ctx_size_per_user",
        TOKENS,
        "262144",
        "tokens of context for each participant",
    ),
    Key::new(
        "lemonade.embedding_model",
        Kind::Text,
        "SuperPauly/harrier-oss-v1-0.6b-gguf:harrier-oss-v1-0.6B-BF16",
        "the embedding model: where its weights are found",
    )
    .later(),
    Key::new(
        "lemonade.embedding_model_name",
        Kind::Text,
        "harrier-oss-v1-0.6b",
        "what it is called",
    )
    .later(),
    Key::new(
        "lemonade.embedding_ctx_size_per_user",
        TOKENS,
        "32768",
        "its tokens of context for each participant",
    )
    .later(),
    Key::new(
        "lemonade.embedding_dimensions",
        Kind::Integer { min: 0, max: 65536 },
        "0",
        "length of its vectors; 0 is what the model has",
    )
    .later(),
    Key::new(
        "lemonade.chat_models",
        Kind::Items,
        CHAT_MODELS,
        "further chat models",
    ),
    Key::new(
        "lemonade.chat_models[].name",
        Kind::Text,
        "",
        "what the model is called",
    )
    .required(),
    Key::new(
        "lemonade.chat_models[].checkpoint",
        Kind::Text,
        "",
        "where its weights are found",
    )
    .required()
    .later(),
    Key::new(
        "lemonade.chat_models[].context",
        TOKENS,
        "262144",
        "tokens of context",
    ),
    Key::new(
        "lemonade.chat_models[].output",
        TOKENS,
        "4096",
        "tokens of an answer at most",
    ),
    Key::new(
        "lemonade.llamacpp_backend",
        Kind::Words(&["auto", "vulkan", "cpu", "rocm", "metal", "system"]),
        "auto",
        "what the model computes on",
    )
    .later(),
    Key::new(
        "lemonade.prefer_system",
        Kind::Flag,
        "true",
        "whether a llama.cpp that is installed on the host is used",
    )
    .later(),
    Key::new(
        "lemonade.llamacpp_bin",
        Kind::Text,
        "builtin",
        "which llama.cpp otherwise: `builtin`, `latest`, or the path of a program",
    )
    .later(),
    Key::new(
        "lemonade.rocm_channel",
        Kind::Words(&["preview", "stable", "nightly"]),
        "preview",
        "which build for AMD cards",
    )
    .later(),
    Key::new(
        "lemonade.generate_keys",
        Kind::Flag,
        "true",
        "whether keys are made when none are written",
    )
    .later(),
    Key::new(
        "lemonade.api_key",
        Kind::Text,
        "",
        "the key for using the server",
    )
    .variable("LEMONADE_API_KEY")
    .secret(),
    Key::new(
        "lemonade.admin_api_key",
        Kind::Text,
        "",
        "the key for administering it",
    )
    .variable("LEMONADE_ADMIN_API_KEY")
    .secret()
    .later(),
    Key::new(
        "lemonade.config_dir",
        Kind::AbsolutePath,
        "/var/lib/lemonade/.cache/lemonade",
        "where it keeps its own configuration",
    )
    .variable("LEMONADE_CONFIG_DIR")
    .later(),
    Key::new(
        "lemonade.llamacpp.ctk",
        CACHE,
        "q8_0",
        "how the keys of the cache are stored",
    )
    .later(),
    Key::new(
        "lemonade.llamacpp.ctv",
        CACHE,
        "q8_0",
        "how the values of the cache are stored",
    )
    .later(),
    Key::new(
        "lemonade.llamacpp.batch_size",
        BATCH,
        "8192",
        "tokens that are read in one go",
    )
    .later(),
    Key::new(
        "lemonade.llamacpp.ubatch_size",
        BATCH,
        "8192",
        "tokens that are computed in one go",
    )
    .later(),
    Key::new(
        "lemonade.llamacpp.split_mode",
        Kind::Words(&["none", "layer", "row", "tensor"]),
        "",
        "how a model is split over several cards",
    )
    .later(),
    Key::new(
        "lemonade.llamacpp.main_gpu",
        Kind::Integer { min: -1, max: 1023 },
        "-1",
        "the card that does what is not split; -1 leaves it to llama.cpp",
    )
    .later(),
    Key::new(
        "lemonade.llamacpp.cpu_moe",
        Kind::Flag,
        "false",
        "whether the experts of a mixture are kept in main memory",
    )
    .later(),
    Key::new(
        "lemonade.llamacpp.n_cpu_moe",
        Kind::Integer { min: 0, max: 10000 },
        "0",
        "of how many layers they are",
    )
    .later(),
    Key::new(
        "lemonade.llamacpp.min_p",
        Kind::Decimal { min: 0.0, max: 1.0 },
        "0.0",
        "tokens less likely than this part of the likeliest are left out",
    )
    .later(),
    Key::new(
        "lemonade.llamacpp.presence_penalty",
        Kind::Decimal {
            min: -2.0,
            max: 2.0,
        },
        "0.0",
        "how much a word that was there is avoided",
    )
    .later(),
];
