//! Messages and their parts. Only kinds that are known are let through: the model's server fetches what
//! an address names, and a kind of tomorrow may carry one.

use crate::llm::json;
use crate::llm::request::content::{Cost, twice};
use crate::llm::request::refusal::BadRequest;

/// Items of `input` that hold a conversation; others name what lies on a server.
const ITEMS: [&str; 6] = [
    "message",
    "function_call",
    "function_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
    "reasoning",
];

const CONTENT: &str = "content";

/// One message of a chat, or one item of a response's input.
pub(super) fn message(
    cost: &mut Cost,
    field: &'static str,
    message: &[u8],
) -> Result<(), BadRequest> {
    if !json::is_object(message) {
        return Err(BadRequest::Wrong(field, "a list of messages"));
    }
    let [kind, content, output, summary] =
        json::pick(message, ["type", CONTENT, "output", "summary"]).map_err(twice)?;
    if field == "input" {
        known_item(kind)?;
    }
    // Names, roles, calls: the frame of a message is about as long as what the model is given of it.
    cost.raw(message.len());
    for value in [content, output, summary].into_iter().flatten() {
        cost.bytes = cost.bytes.saturating_sub(value.len() as u64);
        parts(cost, value)?;
    }
    Ok(())
}

fn known_item(kind: Option<&[u8]>) -> Result<(), BadRequest> {
    let Some(kind) = kind else {
        return Ok(());
    };
    let kind = json::decoded(kind).unwrap_or_default();
    if ITEMS.contains(&kind.as_ref()) {
        return Ok(());
    }
    Err(unsupported("input", &kind))
}

/// Nothing, a text, or a list of parts.
fn parts(cost: &mut Cost, content: &[u8]) -> Result<(), BadRequest> {
    if json::is_string(content) {
        cost.text(content);
        return Ok(());
    }
    if json::is_null(content) {
        return Ok(());
    }
    if !json::is_array(content) {
        return Err(BadRequest::Wrong(CONTENT, "a text or a list of parts"));
    }
    for element in json::elements(content).map_while(Result::ok) {
        part(cost, element)?;
    }
    Ok(())
}

fn part(cost: &mut Cost, part: &[u8]) -> Result<(), BadRequest> {
    if json::is_string(part) {
        cost.text(part);
        return Ok(());
    }
    if !json::is_object(part) {
        return Err(BadRequest::Wrong(CONTENT, "a text or a list of parts"));
    }
    let [kind, text, refusal] = json::pick(part, ["type", "text", "refusal"]).map_err(twice)?;
    let kind = kind.and_then(json::decoded).unwrap_or_default();
    match kind.as_ref() {
        "text" | "input_text" | "output_text" | "summary_text" | "reasoning_text" => {
            words(cost, text)
        }
        "refusal" => words(cost, refusal),
        "image_url" | "input_image" => picture(cost, part),
        "input_audio" => sound(cost, part),
        other => Err(unsupported(CONTENT, other)),
    }
}

fn words(cost: &mut Cost, text: Option<&[u8]>) -> Result<(), BadRequest> {
    match text {
        Some(text) if json::is_string(text) => cost.text(text),
        None => {}
        Some(_) => return Err(BadRequest::Wrong("text", "a text")),
    }
    Ok(())
}

/// `image_url` is an object with the address or the address itself.
fn picture(cost: &mut Cost, part: &[u8]) -> Result<(), BadRequest> {
    let [address, id, file] =
        json::pick(part, ["image_url", "file_id", "file_url"]).map_err(twice)?;
    if id.or(file).is_some_and(|other| !json::is_null(other)) {
        return Err(BadRequest::Remote("file_id"));
    }
    let address = address.ok_or(BadRequest::Missing("image_url"))?;
    let url = if json::is_object(address) {
        let [url] = json::pick(address, ["url"]).map_err(twice)?;
        url.ok_or(BadRequest::Missing("image_url"))?
    } else {
        address
    };
    if !begins(url, "data:") {
        return Err(BadRequest::Remote("image_url"));
    }
    cost.images = cost.images.saturating_add(1);
    Ok(())
}

/// Its bytes themselves; base64 has no colon, addresses do.
fn sound(cost: &mut Cost, part: &[u8]) -> Result<(), BadRequest> {
    let [audio] = json::pick(part, ["input_audio"]).map_err(twice)?;
    let audio = audio.ok_or(BadRequest::Missing("input_audio"))?;
    let [data, url] = json::pick(audio, ["data", "url"]).map_err(twice)?;
    let data = data.ok_or(BadRequest::Missing("input_audio"))?;
    let is_inside = json::is_string(data) && memchr::memchr(b':', data).is_none();
    if url.is_some() || !(is_inside || begins(data, "data:")) {
        return Err(BadRequest::Remote("input_audio"));
    }
    cost.images = cost.images.saturating_add(1);
    Ok(())
}

fn begins(quoted: &[u8], with: &str) -> bool {
    json::is_string(quoted) && json::decoded(quoted).is_some_and(|text| text.starts_with(with))
}

fn unsupported(field: &'static str, kind: &str) -> BadRequest {
    BadRequest::Unsupported(field, kind.chars().take(40).collect())
}
