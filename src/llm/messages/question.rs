//! A request for messages, written as a request for a chat.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::llm::request::BadRequest;

/// What says the same in both.
const SAME: [&str; 6] = [
    "model",
    "stream",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
];

#[derive(Deserialize)]
struct Message {
    role: Role,
    content: Content,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Role {
    System,
    User,
    Assistant,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Blocks(Vec<Value>),
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text {
        text: String,
    },
    Image {
        source: Source,
    },
    Document {
        source: Source,
    },
    ToolUse {
        id: String,
        name: String,
        input: Value,
    },
    ToolResult {
        tool_use_id: String,
        #[serde(default)]
        content: Option<Content>,
        #[serde(default)]
        is_error: bool,
    },
    Thinking {
        thinking: String,
    },
    RedactedThinking {},
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Source {
    Base64 { media_type: String, data: String },
    Text { data: String },
    Url {},
    File {},
}

#[derive(Deserialize)]
struct Tool {
    /// `custom`, or a tool that Anthropic's servers would run.
    r#type: Option<String>,
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    input_schema: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    r#type: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    disable_parallel_tool_use: bool,
}

/// `source` is JSON that was checked.
pub(in crate::llm) fn as_chat(source: &[u8]) -> Result<Bytes, BadRequest> {
    let mut asked: Map<String, Value> =
        serde_json::from_slice(source).map_err(|_| BadRequest::NotObject)?;
    let mut chat = Map::new();
    for name in SAME {
        if let Some(value) = asked.remove(name) {
            chat.insert(name.to_owned(), value);
        }
    }
    let given = |name: &str, asked: &mut Map<String, Value>| {
        asked.remove(name).filter(|value| !value.is_null())
    };
    let mut messages = Vec::new();
    if let Some(system) = given("system", &mut asked) {
        let text = text_only("system", read("system", system)?)?;
        messages.push(json!({"role": "system", "content": text}));
    }
    let spoken = given("messages", &mut asked).ok_or(BadRequest::Missing("messages"))?;
    for message in read::<Vec<Message>>("messages", spoken)? {
        turn(message, &mut messages)?;
    }
    chat.insert("messages".to_owned(), messages.into());
    if let Some(stop) = given("stop_sequences", &mut asked) {
        chat.insert("stop".to_owned(), stop);
    }
    if let Some(tools) = given("tools", &mut asked) {
        let choice = given("tool_choice", &mut asked);
        equip(read("tools", tools)?, choice, &mut chat)?;
    }
    if let Some(thinking) = given("thinking", &mut asked) {
        think(&thinking, &mut chat);
    }
    let written = serde_json::to_vec(&chat).map_err(|_| BadRequest::NotObject)?;
    Ok(written.into())
}

fn read<T: for<'a> Deserialize<'a>>(field: &'static str, value: Value) -> Result<T, BadRequest> {
    serde_json::from_value(value).map_err(|error| BadRequest::Unreadable(field, error.to_string()))
}

/// One message may become several: what tools answered are messages of their own in a chat.
fn turn(message: Message, messages: &mut Vec<Value>) -> Result<(), BadRequest> {
    let blocks = match message.content {
        Content::Text(text) => {
            let role = match message.role {
                Role::System => "system",
                Role::User => "user",
                Role::Assistant => "assistant",
            };
            messages.push(json!({"role": role, "content": text}));
            return Ok(());
        }
        Content::Blocks(blocks) => blocks,
    };
    let blocks: Vec<Block> = read("messages", blocks.into())?;
    match message.role {
        Role::Assistant => messages.push(said(blocks)?),
        Role::User => asked(blocks, messages)?,
        Role::System => {
            let text: Result<Vec<String>, _> = blocks.into_iter().map(text).collect();
            messages.push(json!({"role": "system", "content": text?.join("\n")}));
        }
    }
    Ok(())
}

/// What the model said before.
fn said(blocks: Vec<Block>) -> Result<Value, BadRequest> {
    let mut message = Map::from_iter([("role".to_owned(), Value::from("assistant"))]);
    let (mut texts, mut thoughts, mut calls) = (Vec::new(), Vec::new(), Vec::new());
    for block in blocks {
        match block {
            Block::Thinking { thinking } => thoughts.push(thinking),
            Block::RedactedThinking {} => {}
            Block::ToolUse { id, name, input } => {
                let function = json!({"name": name, "arguments": input.to_string()});
                calls.push(json!({"id": id, "type": "function", "function": function}));
            }
            other => texts.push(text(other)?),
        }
    }
    let content = if texts.is_empty() {
        Value::Null
    } else {
        texts.concat().into()
    };
    message.insert("content".to_owned(), content);
    if !thoughts.is_empty() {
        message.insert("reasoning_content".to_owned(), thoughts.concat().into());
    }
    if !calls.is_empty() {
        message.insert("tool_calls".to_owned(), calls.into());
    }
    Ok(message.into())
}

/// What a person said, and what tools answered, which comes first in a chat.
fn asked(blocks: Vec<Block>, messages: &mut Vec<Value>) -> Result<(), BadRequest> {
    let mut parts = Vec::new();
    for block in blocks {
        match block {
            Block::ToolResult {
                tool_use_id,
                content,
                is_error,
            } => {
                let text = result(content, is_error, &mut parts)?;
                messages
                    .push(json!({"role": "tool", "tool_call_id": tool_use_id, "content": text}));
            }
            other => parts.push(part(other)?),
        }
    }
    if !parts.is_empty() {
        messages.push(json!({"role": "user", "content": parts}));
    }
    Ok(())
}

/// A tool's words; its pictures go into the message of the person, where a model looks for them.
fn result(
    content: Option<Content>,
    is_error: bool,
    parts: &mut Vec<Value>,
) -> Result<String, BadRequest> {
    let mut texts = Vec::new();
    match content {
        None => {}
        Some(Content::Text(text)) => texts.push(text),
        Some(Content::Blocks(blocks)) => {
            for block in read::<Vec<Block>>("messages", blocks.into())? {
                match block {
                    Block::Image { .. } => parts.push(part(block)?),
                    other => texts.push(text(other)?),
                }
            }
        }
    }
    let text = texts.join("\n");
    Ok(if is_error {
        format!("Error: {text}")
    } else {
        text
    })
}

fn part(block: Block) -> Result<Value, BadRequest> {
    match block {
        Block::Image {
            source: Source::Base64 { media_type, data },
        } => {
            let url = format!("data:{media_type};base64,{data}");
            Ok(json!({"type": "image_url", "image_url": {"url": url}}))
        }
        Block::Image { .. } => Err(BadRequest::Remote("messages")),
        other => Ok(json!({"type": "text", "text": text(other)?})),
    }
}

fn text(block: Block) -> Result<String, BadRequest> {
    let kind = match block {
        Block::Text { text } => return Ok(text),
        Block::Document {
            source: Source::Text { data },
        } => return Ok(data),
        Block::Document {
            source: Source::Url {} | Source::File {},
        } => return Err(BadRequest::Remote("messages")),
        Block::Document { .. } => "document",
        Block::Image { .. } => "image",
        Block::ToolUse { .. } => "tool_use",
        Block::ToolResult { .. } => "tool_result",
        Block::Thinking { .. } | Block::RedactedThinking {} => "thinking",
    };
    Err(BadRequest::Unsupported("messages", kind.to_owned()))
}

fn text_only(field: &'static str, content: Content) -> Result<String, BadRequest> {
    match content {
        Content::Text(text) => Ok(text),
        Content::Blocks(blocks) => {
            let blocks: Vec<Block> = read(field, blocks.into())?;
            let texts: Result<Vec<String>, _> = blocks.into_iter().map(text).collect();
            Ok(texts?.join("\n"))
        }
    }
}

/// A chat cannot be told which tool to use by every server, but it can be given that one alone.
fn equip(
    mut tools: Vec<Tool>,
    choice: Option<Value>,
    chat: &mut Map<String, Value>,
) -> Result<(), BadRequest> {
    let choice: Option<Choice> = choice.map(|it| read("tool_choice", it)).transpose()?;
    if let Some(choice) = choice {
        let word = match choice.r#type.as_str() {
            "auto" => "auto",
            "none" => "none",
            "any" | "tool" => "required",
            _ => return Err(BadRequest::Wrong("tool_choice", "auto, any, tool or none")),
        };
        if let Some(name) = choice.name.filter(|_| choice.r#type == "tool") {
            tools.retain(|tool| tool.name == name);
            if tools.is_empty() {
                return Err(BadRequest::Wrong("tool_choice", "one of the tools"));
            }
        }
        chat.insert("tool_choice".to_owned(), word.into());
        if choice.disable_parallel_tool_use {
            chat.insert("parallel_tool_calls".to_owned(), false.into());
        }
    }
    let tools: Result<Vec<Value>, _> = tools.into_iter().map(function).collect();
    chat.insert("tools".to_owned(), tools?.into());
    Ok(())
}

fn function(tool: Tool) -> Result<Value, BadRequest> {
    if let Some(kind) = tool.r#type.filter(|kind| kind != "custom") {
        let kind = kind.chars().take(40).collect();
        return Err(BadRequest::Unsupported("tools", kind));
    }
    let mut function = Map::from_iter([("name".to_owned(), tool.name.into())]);
    if let Some(description) = tool.description {
        function.insert("description".to_owned(), description.into());
    }
    let schema = tool
        .input_schema
        .unwrap_or_else(|| json!({"type": "object"}));
    function.insert("parameters".to_owned(), schema);
    Ok(json!({"type": "function", "function": function}))
}

/// In llama.cpp's words.
fn think(thinking: &Value, chat: &mut Map<String, Value>) {
    match thinking.get("type").and_then(Value::as_str) {
        Some("disabled") => {
            let arguments = json!({"enable_thinking": false});
            chat.insert("chat_template_kwargs".to_owned(), arguments);
        }
        Some("enabled") => {
            if let Some(budget) = thinking.get("budget_tokens").filter(|it| it.is_u64()) {
                chat.insert("thinking_budget_tokens".to_owned(), budget.clone());
            }
        }
        _ => {}
    }
}
