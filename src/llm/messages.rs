//! Anthropic's messages, asked and answered as a chat.
//!
//! Lemonade streams messages with a usage of 0, so what passes could not be metered. A chat says what it
//! costs, on every server; so a request is written as one, and its answer is told in Anthropic's words.

mod answer;
mod question;
mod speaker;
pub(super) use answer::answer;
pub(super) use question::as_chat;
pub(super) use speaker::Speaker;

/// Why the model stopped.
fn stop_reason(finish_reason: Option<&str>) -> &'static str {
    match finish_reason {
        Some("length") => "max_tokens",
        Some("tool_calls" | "function_call") => "tool_use",
        Some("content_filter") => "refusal",
        _ => "end_turn",
    }
}

/// Anthropic's `id` begins with `msg_`; the rest is the chat's.
fn message_id(chat: Option<&str>) -> String {
    let chat = chat.unwrap_or_default();
    let rest = chat.strip_prefix("chatcmpl-").unwrap_or(chat);
    format!("msg_{}", rest.chars().take(64).collect::<String>())
}

#[cfg(test)]
mod tests;
