//! Settings that are accepted and checked, and that nothing uses in this version.

use std::path::PathBuf;

use crate::domain::secret::Secret;

/// What the event is called by programs and by people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub id: Option<String>,
    pub title: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Lemonade {
    pub enabled: bool,
    pub host: String,
    pub port: u16,
    pub api_key: Option<Secret>,
    pub admin_api_key: Option<Secret>,
    pub generate_keys: bool,
    /// The primary one first, each name once.
    pub chat_models: Vec<ChatModel>,
    /// The file that lets the primary model see pictures.
    pub mmproj: Option<String>,
    /// Its `output` means nothing.
    pub embedding_model: ChatModel,
    /// 0 is what the model has.
    pub embedding_dimensions: u32,
    /// `auto`, `vulkan` or `cpu`; the original's other words mean `auto`.
    pub backend: String,
    pub rocm_channel: String,
    pub prefer_system: bool,
    /// `builtin`, `latest`, or a path.
    pub binary: String,
    pub config_dir: PathBuf,
    pub llamacpp: LlamaCpp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatModel {
    pub name: String,
    pub checkpoint: String,
    pub context_tokens: u32,
    pub output_tokens: u32,
}

/// What llama.cpp is started with.
#[derive(Clone, Debug, PartialEq)]
pub struct LlamaCpp {
    pub cache_keys: String,
    pub cache_values: String,
    pub batch_tokens: u32,
    pub micro_batch_tokens: u32,
    pub split_mode: Option<String>,
    pub main_gpu: Option<u32>,
    pub cpu_moe: bool,
    pub cpu_moe_layers: u32,
    pub min_p: f64,
    pub presence_penalty: f64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kilo {
    pub config_file: Option<PathBuf>,
    pub skeleton_file: Option<PathBuf>,
    pub chat_model: String,
    pub small_model: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Langfuse {
    pub enabled: bool,
    pub public_key: Option<String>,
    pub secret_key: Option<Secret>,
    pub base_url: String,
}

#[derive(Clone, Debug)]
pub struct Auth {
    pub enabled: bool,
    pub local_password: Option<Secret>,
    pub github: Option<Client>,
    pub gitlab: Option<Client>,
    pub linkedin: Option<Client>,
}

/// What a sign-in service knows this appliance by.
#[derive(Clone, Debug)]
pub struct Client {
    pub id: String,
    pub secret: Secret,
}
