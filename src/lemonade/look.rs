//! One look at a server: is it there, what does it offer, how much at once.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Backend;
use super::client::SendError;
use super::seen::{Condition, Model, Seen};
use crate::domain::model::{MODEL_LEN_MAX, ModelName};

/// A busy Lemonade has been seen to take more than six seconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// A list of a thousand models.
const ANSWER_BYTES_MAX: usize = 4 << 20;

const MODELS_MAX: usize = 1_000;

/// More slots than any server of ours has: a number that is not one must not open every gate.
const SLOTS_MAX: u32 = 1_024;

/// What Lemonade says of itself; llama.cpp says `status` only.
#[derive(Deserialize)]
struct Health {
    version: Option<String>,
    max_models: Option<MaxModels>,
    #[serde(default)]
    all_models_loaded: Vec<Loaded>,
}

#[derive(Deserialize)]
struct Loaded {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    last_use: i64,
}

#[derive(Deserialize)]
struct MaxModels {
    llm: Option<i64>,
}

#[derive(Deserialize)]
struct Listed {
    data: Vec<ListedModel>,
}

#[derive(Deserialize)]
struct ListedModel {
    id: String,
    #[serde(default)]
    downloaded: Option<bool>,
    #[serde(default)]
    context_length: Option<i64>,
    #[serde(default)]
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    n_ctx: Option<i64>,
}

#[derive(Deserialize)]
struct Props {
    total_slots: Option<i64>,
}

/// What came of a look.
pub(super) enum Look {
    Seen(Seen),
    /// No answer in time, or half of one: it may be busy.
    Silent(Condition),
    /// It is not there, or it says that it cannot.
    Gone(Condition),
}

pub(super) async fn at(backend: &Backend) -> Look {
    match look(backend).await {
        Ok(seen) => Look::Seen(seen),
        Err(not) => not,
    }
}

async fn look(backend: &Backend) -> Result<Seen, Look> {
    let health: Health = read(backend, "/v1/health").await?;
    let listed: Listed = read(backend, "/v1/models").await?;
    let is_lemonade = health.version.is_some();
    let newest = health
        .all_models_loaded
        .iter()
        .max_by_key(|loaded| loaded.last_use);
    // Lemonade tells the slots of the model that it used last, be it one for embeddings.
    let slots = match newest {
        Some(newest) if newest.kind != "llm" => backend.seen().slots,
        _ => slots(backend, is_lemonade).await,
    };
    let loaded_max = health
        .max_models
        .and_then(|max| max.llm)
        .filter(|_| is_lemonade);
    Ok(Seen {
        condition: Condition::Ready,
        models: models(listed),
        slots,
        loaded_max: loaded_max.and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
    })
}

async fn read<T: DeserializeOwned>(backend: &Backend, path: &str) -> Result<T, Look> {
    let (status, body) = fetch(backend, path).await.map_err(|error| match error {
        SendError::Unreachable(why) => Look::Gone(Condition::Away(why)),
        SendError::Broken(why) => Look::Silent(Condition::Away(why)),
    })?;
    let away = |why: String| Look::Gone(Condition::Away(why));
    match status {
        StatusCode::OK => serde_json::from_slice(&body)
            .map_err(|_| away(format!("its answer to {path} is not understood"))),
        StatusCode::SERVICE_UNAVAILABLE => Err(Look::Gone(Condition::Loading)),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(away("it does not accept our key".to_owned()))
        }
        other => Err(away(format!("it answers {path} with {other}"))),
    }
}

async fn fetch(backend: &Backend, path: &str) -> Result<(StatusCode, Bytes), SendError> {
    let mut request = Request::new(Full::new(Bytes::new()));
    *request.method_mut() = Method::GET;
    *request.uri_mut() = format!("{}{path}", backend.url)
        .parse()
        .map_err(|_| SendError::Unreachable("its address is not one".to_owned()))?;
    backend.sign(request.headers_mut());
    let client = &backend.client;
    client.fetch(request, PATIENCE, ANSWER_BYTES_MAX).await
}

/// Lemonade lists what could be downloaded when it is asked for all; what is there is enough.
fn models(listed: Listed) -> Vec<Model> {
    let is_there = |model: &ListedModel| {
        model.downloaded != Some(false) && !model.id.is_empty() && model.id.len() <= MODEL_LEN_MAX
    };
    let models = listed.data.into_iter().filter(is_there).take(MODELS_MAX);
    let mut models: Vec<Model> = models
        .map(|model| Model {
            name: ModelName::new(&model.id),
            context_tokens: model
                .meta
                .and_then(|meta| meta.n_ctx)
                .or(model.context_length)
                .and_then(|tokens| u64::try_from(tokens).ok()),
            id: model.id,
        })
        .collect();
    models.sort_by(|a, b| a.name.cmp(&b.name));
    models.dedup_by(|a, b| a.name == b.name);
    models
}

/// llama.cpp says it in its properties; Lemonade passes on the slots of the model that it used last.
async fn slots(backend: &Backend, is_lemonade: bool) -> u32 {
    let counted = if is_lemonade {
        let slots: Result<Vec<serde_json::Value>, _> = read(backend, "/v1/slots").await;
        slots.ok().and_then(|slots| u32::try_from(slots.len()).ok())
    } else {
        let props: Result<Props, _> = read(backend, "/props").await;
        let total = props.ok().and_then(|props| props.total_slots);
        total.and_then(|slots| u32::try_from(slots).ok())
    };
    // One that could not be asked now still has as many as before.
    counted
        .filter(|slots| (1..=SLOTS_MAX).contains(slots))
        .unwrap_or_else(|| backend.seen().slots)
}
