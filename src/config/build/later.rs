//! Checked settings to the structs that nothing uses in this version.

use std::path::PathBuf;

use crate::config::settings::{Settings, at};
use crate::config::{Auth, ChatModel, Client, Event, Kilo, Langfuse, Lemonade, LlamaCpp};
use crate::domain::secret::Secret;

fn optional(settings: &Settings, path: &str) -> Option<String> {
    settings.text(path).map(str::to_owned)
}

pub(super) fn secret(settings: &Settings, path: &str) -> Option<Secret> {
    settings.text(path).map(Secret::new)
}

/// A path, seen from the settings file if it is relative.
pub(super) fn file(settings: &Settings, path: &str) -> Option<PathBuf> {
    let written = settings.path(path)?;
    let beside = settings.source().and_then(|source| source.parent());
    Some(beside.map_or_else(|| written.clone(), |dir| dir.join(&written)))
}

pub(super) fn event(settings: &Settings) -> Event {
    Event {
        id: optional(settings, "event_id"),
        title: optional(settings, "title"),
    }
}

pub(super) fn lemonade(settings: &Settings) -> Lemonade {
    Lemonade {
        enabled: settings.flag("lemonade.enabled"),
        host: settings.string("lemonade.host"),
        port: settings.number("lemonade.port"),
        api_key: secret(settings, "lemonade.api_key"),
        admin_api_key: secret(settings, "lemonade.admin_api_key"),
        generate_keys: settings.flag("lemonade.generate_keys"),
        chat_models: chat_models(settings),
        mmproj: optional(settings, "lemonade.mmproj"),
        embedding_model: ChatModel {
            name: settings.string("lemonade.embedding_model_name"),
            checkpoint: settings.string("lemonade.embedding_model"),
            context_tokens: settings.number("lemonade.embedding_ctx_size_per_user"),
            output_tokens: 0,
        },
        embedding_dimensions: settings.number("lemonade.embedding_dimensions"),
        backend: match settings.text("lemonade.llamacpp_backend") {
            Some(word @ ("vulkan" | "cpu")) => word.to_owned(),
            _ => "auto".to_owned(),
        },
        rocm_channel: settings.string("lemonade.rocm_channel"),
        prefer_system: settings.flag("lemonade.prefer_system"),
        binary: settings.string("lemonade.llamacpp_bin"),
        config_dir: settings.path("lemonade.config_dir").unwrap_or_default(),
        llamacpp: llamacpp(settings),
    }
}

/// The primary model, and the listed ones that are not the primary one again.
fn chat_models(settings: &Settings) -> Vec<ChatModel> {
    let list = "lemonade.chat_models";
    let mut models = vec![ChatModel {
        name: settings.string("lemonade.model_name"),
        checkpoint: settings.string("lemonade.model"),
        context_tokens: settings.number("lemonade.ctx_size_per_user"),
        output_tokens: settings.number("lemonade.chat_models[].output"),
    }];
    for index in 0..settings.length(list) {
        let item = at(list, index);
        let name = settings.string(&format!("{item}.name"));
        if models.iter().any(|model| model.name == name) {
            continue;
        }
        models.push(ChatModel {
            name,
            checkpoint: settings.string(&format!("{item}.checkpoint")),
            context_tokens: settings.number(&format!("{item}.context")),
            output_tokens: settings.number(&format!("{item}.output")),
        });
    }
    models
}

fn llamacpp(settings: &Settings) -> LlamaCpp {
    LlamaCpp {
        cache_keys: settings.string("lemonade.llamacpp.ctk"),
        cache_values: settings.string("lemonade.llamacpp.ctv"),
        batch_tokens: settings.number("lemonade.llamacpp.batch_size"),
        micro_batch_tokens: settings.number("lemonade.llamacpp.ubatch_size"),
        split_mode: optional(settings, "lemonade.llamacpp.split_mode"),
        // The original's -1 is no number here, and so it is nothing.
        main_gpu: settings.parsed("lemonade.llamacpp.main_gpu"),
        cpu_moe: settings.flag("lemonade.llamacpp.cpu_moe"),
        cpu_moe_layers: settings.number("lemonade.llamacpp.n_cpu_moe"),
        min_p: settings.number("lemonade.llamacpp.min_p"),
        presence_penalty: settings.number("lemonade.llamacpp.presence_penalty"),
    }
}

pub(super) fn kilo(settings: &Settings) -> Kilo {
    Kilo {
        config_file: file(settings, "kilo.config_file"),
        skeleton_file: file(settings, "kilo.skeleton_file"),
        chat_model: settings.string("kilo.chat_model"),
        small_model: optional(settings, "kilo.small_model"),
    }
}

pub(super) fn langfuse(settings: &Settings) -> Langfuse {
    Langfuse {
        enabled: settings.flag("langfuse.enabled"),
        public_key: optional(settings, "langfuse.public_key"),
        secret_key: secret(settings, "langfuse.secret_key"),
        base_url: settings.string("langfuse.base_url"),
    }
}

pub(super) fn auth(settings: &Settings) -> Auth {
    let client = |provider: &str| {
        Some(Client {
            id: optional(settings, &format!("auth.{provider}.client_id"))?,
            secret: secret(settings, &format!("auth.{provider}.client_secret"))?,
        })
    };
    Auth {
        enabled: settings.flag("auth.enabled"),
        local_password: secret(settings, "auth.local_password"),
        github: client("github"),
        gitlab: client("gitlab"),
        linkedin: client("linkedin"),
    }
}
