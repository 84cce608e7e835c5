//! What the model is given to read, and what it is not given.

use serde_json::{Value, json};

use super::{asked, chat, sent};
use crate::llm::endpoint::Endpoint;
use crate::llm::request::{BadRequest, Prepared};

#[test]
fn every_prompt_of_a_list_is_an_answer() {
    let of = |prompt: Value, n: u32| {
        let body = json!({"model": "m", "prompt": prompt, "n": n});
        asked(Endpoint::Completions, body.to_string())
            .map(|it| (it.answers, it.prompts, it.prompt_bytes, it.prompt_ids))
    };
    assert_eq!(of(json!("abc"), 1), Ok((1, 1, 3, 0)));
    assert_eq!(of(json!(["abc", "de"]), 2), Ok((4, 2, 5, 0)));
    assert_eq!(of(json!([1, 2, 3]), 1), Ok((1, 1, 0, 3)));
    assert_eq!(of(json!([[1, 2], [3]]), 1), Ok((2, 2, 0, 3)));
    assert_eq!(
        of(json!(["a", "b", "c"]), 2),
        Err(BadRequest::TooMany("prompt", 4))
    );
    assert_eq!(
        of(json!(["a", "b", "c", "d", "e"]), 1),
        Err(BadRequest::TooMany("prompt", 4))
    );
    for mixed in [
        json!([]),
        json!(["a", 1]),
        json!([1, "a"]),
        json!([[1], "a"]),
        json!([["a"]]),
        json!([{"prompt_string": "a", "multimodal_data": ["aGk="]}]),
        json!({"prompt_string": "a"}),
        json!(7),
        json!([-1]),
        json!([1.5]),
        json!([[[1]]]),
    ] {
        assert!(
            matches!(of(mixed.clone(), 1), Err(BadRequest::Wrong("prompt", _))),
            "{mixed}"
        );
    }
    assert_eq!(of(json!(null), 1), Err(BadRequest::Missing("prompt")));
}

#[test]
fn texts_to_embed_and_to_rank_are_priced_and_bounded() {
    let body = json!({"model": "m", "input": ["abc", "ä"], "stream": true});
    let (prepared, body) = sent(Endpoint::Embeddings, &body);
    assert_eq!(
        (prepared.prompts, prepared.prompt_bytes, prepared.answers),
        (2, 5, 1)
    );
    assert_eq!((prepared.output_cap, prepared.stream), (0, false));
    assert!(body.get("stream").is_none() && body.get("max_tokens").is_none());
    let body = json!({"model": "m", "query": "abc", "documents": ["12", {"text": "3456"}]});
    let (prepared, _) = sent(Endpoint::Rerank, &body);
    assert_eq!(
        (prepared.prompts, prepared.prompt_bytes),
        (2, 3 + 2 + 3 + 4)
    );
    for (endpoint, body, error) in [
        (
            Endpoint::Embeddings,
            json!({"input": vec!["a"; 9]}),
            BadRequest::TooMany("input", 8),
        ),
        (
            Endpoint::Embeddings,
            json!({"input": "a", "content": "b"}),
            BadRequest::Wrong("content", "left out"),
        ),
        (
            Endpoint::Embeddings,
            json!({}),
            BadRequest::Missing("input"),
        ),
        (
            Endpoint::Rerank,
            json!({"query": "a"}),
            BadRequest::Missing("documents"),
        ),
        (
            Endpoint::Rerank,
            json!({"documents": []}),
            BadRequest::Missing("query"),
        ),
        (
            Endpoint::Rerank,
            json!({"query": "a", "documents": vec!["a"; 9]}),
            BadRequest::TooMany("documents", 8),
        ),
        (
            Endpoint::Rerank,
            json!({"query": "a", "documents": ["b"], "texts": []}),
            BadRequest::Wrong("texts", "left out"),
        ),
    ] {
        let mut body = body;
        body["model"] = "m".into();
        assert_eq!(
            asked(endpoint, body.to_string()).unwrap_err(),
            error,
            "{body}"
        );
    }
}

fn chat_part(part: Value) -> Result<Prepared, BadRequest> {
    let body = chat(&json!({"messages": [{"role": "user", "content": [part]}]}));
    asked(Endpoint::Chat, body.to_string())
}

fn input(item: Value) -> Result<Prepared, BadRequest> {
    let body = json!({"model": "m", "input": [item]});
    asked(Endpoint::Responses, body.to_string())
}

#[test]
fn a_picture_that_lies_elsewhere_is_refused() {
    for url in [
        "http://10.0.0.1/x.png",
        "https://a/b",
        "file:///etc/passwd",
        "HTTP://a",
        " data:,",
        "/etc/passwd",
        "ftp://a",
        "",
        "Data:,",
    ] {
        let image = json!({"type": "input_image", "image_url": url});
        for error in [
            chat_part(json!({"type": "image_url", "image_url": {"url": url}})),
            chat_part(json!({"type": "image_url", "image_url": url})),
            input(json!({"role": "user", "content": [image]})),
            input(json!({"type": "function_call_output", "call_id": "c", "output": [image]})),
        ] {
            assert_eq!(error.unwrap_err(), BadRequest::Remote("image_url"), "{url}");
        }
    }
}

#[test]
fn parts_that_are_not_known_are_refused() {
    for (part, error) in [
        (
            json!({"type": "image_url"}),
            BadRequest::Missing("image_url"),
        ),
        (
            json!({"type": "image_url", "image_url": {"url": ["data:"]}}),
            BadRequest::Remote("image_url"),
        ),
        (
            json!({"type": "image_url", "image_url": {"url": "data:,"}, "file_id": "f"}),
            BadRequest::Remote("file_id"),
        ),
        (
            json!({"type": "input_image", "file_id": "f", "image_url": "data:,"}),
            BadRequest::Remote("file_id"),
        ),
        (
            json!({"type": "input_audio", "input_audio": {"data": "http://a"}}),
            BadRequest::Remote("input_audio"),
        ),
        (
            json!({"type": "input_audio", "input_audio": {"data": "aGk=", "url": "http://a"}}),
            BadRequest::Remote("input_audio"),
        ),
        (
            json!({"type": "video_url", "video_url": {"url": "http://a"}}),
            BadRequest::Unsupported("content", "video_url".into()),
        ),
        (
            json!({"type": "file", "file": {"file_id": "x"}}),
            BadRequest::Unsupported("content", "file".into()),
        ),
        (
            json!({"type": "input_file", "file_url": "http://a"}),
            BadRequest::Unsupported("content", "input_file".into()),
        ),
        (
            json!({"image_url": {"url": "http://a"}}),
            BadRequest::Unsupported("content", String::new()),
        ),
        (
            json!({"type": ["image_url"], "image_url": {"url": "http://a"}}),
            BadRequest::Unsupported("content", String::new()),
        ),
        (
            json!(7),
            BadRequest::Wrong("content", "a text or a list of parts"),
        ),
    ] {
        assert_eq!(chat_part(part.clone()).unwrap_err(), error, "{part}");
    }
    let content = json!({"messages": [{"role": "user", "content": {"type": "image_url"}}]});
    assert!(asked(Endpoint::Chat, chat(&content).to_string()).is_err());
    let item = input(json!({"type": "item_reference", "id": "x"}));
    assert!(matches!(item, Err(BadRequest::Unsupported("input", _))));
}

#[test]
fn pictures_are_counted_and_their_bytes_are_not_text() {
    let picture = format!("data:image/png;base64,{}", "A".repeat(100_000));
    let content = json!([
        {"type": "text", "text": "What\nis this? ä"},
        {"type": "image_url", "image_url": {"url": picture, "detail": "low"}},
        {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
    ]);
    let body = chat(&json!({"messages": [{"role": "user", "content": content}]}));
    let prepared = asked(Endpoint::Chat, body.to_string()).unwrap();
    assert_eq!(prepared.images, 2);
    let frame = r#"{"role":"user","content":}"#.len();
    assert_eq!(
        prepared.prompt_bytes,
        ("What\nis this? ä".len() + frame) as u64
    );
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": {}}}]);
    let body = chat(&json!({"tools": tools, "messages": []}));
    let prepared = asked(Endpoint::Chat, body.to_string()).unwrap();
    assert_eq!(prepared.prompt_bytes, tools.to_string().len() as u64);
}
