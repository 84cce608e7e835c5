//! Pure: what a container holds so that programs in it reach the language model.
//!
//! The key is in files that only the participant's user can read: arguments and environment of a
//! container can be read from outside of it. They are in the container's own layer and go with it.

use serde_json::{Map, Value, json};

use crate::config::ChatModel;
use crate::control::{Agents, Settings};
use crate::domain::instance::{InjectedFile, Standing};
use crate::domain::secret::Secret;

/// The key alone, for settings that refer to a file.
const KEY: &str = "/etc/thon/model.key";

/// Where `/v1` is.
const URL: &str = "/etc/thon/model.url";

/// Both as variables, one a line: the image's `code-server` gives them to everything that the editor
/// starts.
const VARIABLES: &str = "/etc/thon/model.env";

/// Kilo's settings for all of a participant's projects. Its other places win over this one, and once it
/// is there it is the participant's.
const KILO: &str = "/home/vscode/.config/kilo/kilo.jsonc";

/// What Kilo calls the event's model server.
const PROVIDER: &str = "thon";

/// Without a gateway the files are empty and not missing: settings in a home directory that refer to
/// them outlive it, and Kilo does not start at all if a file is missing.
pub(super) fn files(settings: &Settings, key: &Secret) -> Vec<InjectedFile> {
    let Some(agents) = &settings.agents else {
        return access("", "", "");
    };
    let key = key.expose();
    let url = format!("http://{}:{}/v1", settings.subnet.gateway(), agents.port);
    let variables = format!("OPENAI_BASE_URL={url}\nOPENAI_API_KEY={key}\n");
    let mut files = access(key, &url, &variables);
    files.push(InjectedFile {
        path: KILO.to_owned(),
        mode: 0o644,
        contents: Secret::new(kilo(agents)),
        standing: Standing::Theirs,
    });
    files
}

fn access(key: &str, url: &str, variables: &str) -> Vec<InjectedFile> {
    [(KEY, key), (URL, url), (VARIABLES, variables)]
        .into_iter()
        .map(|(path, contents)| InjectedFile {
            path: path.to_owned(),
            mode: 0o600,
            contents: Secret::new(contents),
            standing: Standing::Ours,
        })
        .collect()
}

/// No secret is in it. The model that agents begin with is the first.
fn kilo(agents: &Agents) -> String {
    let of_provider = |name: &str| Value::from(format!("{PROVIDER}/{name}"));
    let first = agents.models.first().map(|model| model.name.as_str());
    let small = agents.small_model.as_deref().or(first);
    let settings = json!({
        "$schema": "https://app.kilo.ai/config.json",
        "autoupdate": false,
        "share": "disabled",
        "provider": { PROVIDER: {
            "npm": "@ai-sdk/openai-compatible",
            "name": "THON",
            "options": {
                "baseURL": format!("{{file:{URL}}}"),
                "apiKey": format!("{{file:{KEY}}}"),
            },
            "models": agents.models.iter().map(model).collect::<Map<_, _>>(),
        }},
        "model": first.map(of_provider),
        "small_model": small.map(of_provider),
    });
    format!(
        "// Made for this event, and yours from here on: it is never written again.\n{settings:#}\n"
    )
}

fn model(model: &ChatModel) -> (String, Value) {
    let (context, output) = (model.context_tokens, model.output_tokens);
    let settings = json!({
        "name": model.name,
        "tool_call": true,
        "limit": {"context": context, "output": output},
    });
    (model.name.clone(), settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat_model(name: &str) -> ChatModel {
        ChatModel {
            name: name.to_owned(),
            checkpoint: String::new(),
            context_tokens: 4_096,
            output_tokens: 512,
        }
    }

    #[test]
    fn kilo_s_settings_name_the_models_and_hold_no_secret() {
        let agents = Agents {
            port: 9_080,
            models: vec![chat_model("qwen3"), chat_model("gemma")],
            small_model: Some("gemma".to_owned()),
        };
        let text = kilo(&agents);
        let (comment, json) = text.split_once('\n').unwrap();
        assert!(comment.starts_with("// "));
        let json: Value = serde_json::from_str(json).unwrap();
        assert_eq!(json["model"], "thon/qwen3");
        assert_eq!(json["small_model"], "thon/gemma");
        let options = &json["provider"]["thon"]["options"];
        assert_eq!(options["apiKey"], "{file:/etc/thon/model.key}");
        assert_eq!(options["baseURL"], "{file:/etc/thon/model.url}");
        let limit = &json["provider"]["thon"]["models"]["gemma"]["limit"];
        assert_eq!(*limit, json!({"context": 4_096, "output": 512}));
        assert!(!text.contains("sk-"));
    }
}
