//! What of a request is changed, what is refused, and that all else stays.

mod content;
mod counts;
mod laws;

use serde_json::{Value, json};

use super::*;

const POLICY: Policy = Policy {
    output_max: 8_192,
    output_default: 4_096,
    answers_max: 4,
    inputs_max: 8,
};

fn asked(endpoint: Endpoint, body: impl Into<String>) -> Result<Prepared, BadRequest> {
    read(endpoint, Bytes::from(body.into()), &POLICY)
}

fn sent(endpoint: Endpoint, body: &Value) -> (Prepared, Value) {
    let prepared = asked(endpoint, body.to_string()).unwrap();
    let sent = serde_json::from_slice(&prepared.body("up")).unwrap();
    (prepared, sent)
}

fn chat(more: &Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    let more = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(more);
    body
}

#[test]
fn all_that_is_not_changed_stays_byte_for_byte() {
    let body = "{ \"messages\" : [ {\"role\":\"user\",\"content\":\"h\\u00e4\"} ],\n\t\"x\":1.50e1 , \"n_predict\":7,\"model\":\"m\", \"max_tokens\": 9,\"y\":[ ],\"stream\" :true } \n";
    let prepared = asked(Endpoint::Chat, body).unwrap();
    assert_eq!(
        prepared.body("a\"b"),
        "{ \"messages\" : [ {\"role\":\"user\",\"content\":\"h\\u00e4\"} ],\n\t\"x\":1.50e1,\"model\":\"a\\\"b\", \"max_tokens\": 9,\"y\":[ ],\"stream\" :true,\"stream_options\":{\"include_usage\":true} } \n"
    );
    assert_eq!((prepared.output_cap, prepared.stream), (9, true));
}

#[test]
fn fields_are_removed_wherever_they_stand() {
    for (body, written) in [
        (
            r#"{"id_slot":1,"model":"m","input":"a"}"#,
            r#"{"model":"up","input":"a"}"#,
        ),
        (
            r#"{ "model":"m" , "input":"a" , "id_slot":1 }"#,
            r#"{ "model":"up" , "input":"a" }"#,
        ),
        (
            r#"{"id_slot":1, "lora":[], "model":"m","verbose":true,"input":"a","n_keep":1}"#,
            r#"{"model":"up","input":"a"}"#,
        ),
    ] {
        let prepared = asked(Endpoint::Embeddings, body).unwrap();
        assert_eq!(prepared.body("up"), written, "{body}");
    }
}

#[test]
fn a_field_that_is_there_twice_is_refused() {
    for body in [
        r#"{"model":"m","messages":[],"max_tokens":1,"max_tokens":9}"#,
        r#"{"model":"m","messages":[],"max_tokens":1,"max_\u0074okens":9}"#,
        r#"{"model":"m","messages":[],"model":"n"}"#,
        r#"{"model":"m","messages":[],"stream_options":{"include_usage":true,"include_usage":false}}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"a","content":[{"type":"image_url"}]}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a","type":"image_url"}]}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:,","url":"http://a"}}]}]}"#,
    ] {
        let error = asked(Endpoint::Chat, body).unwrap_err();
        assert!(matches!(error, BadRequest::Twice(_)), "{body}: {error}");
    }
}

#[test]
fn what_is_no_request_is_refused_with_the_reason() {
    for (body, error) in [
        ("", BadRequest::NotJson(0)),
        ("{\"model\": oops", BadRequest::NotJson(10)),
        ("[]", BadRequest::NotObject),
        ("null", BadRequest::NotObject),
        ("{}", BadRequest::Missing("model")),
        (r#"{"model":"  "}"#, BadRequest::Missing("model")),
        (
            r#"{"model":null}"#,
            BadRequest::Wrong("model", "the name of a model"),
        ),
        (
            r#"{"model":["m"]}"#,
            BadRequest::Wrong("model", "the name of a model"),
        ),
        (r#"{"model":"m"}"#, BadRequest::Missing("messages")),
        (
            r#"{"model":"m","messages":"hi"}"#,
            BadRequest::Wrong("messages", "a list"),
        ),
        (
            r#"{"model":"m","messages":["hi"]}"#,
            BadRequest::Wrong("messages", "a list of messages"),
        ),
        (
            r#"{"model":"m","messages":[],"stream":"yes"}"#,
            BadRequest::Wrong("stream", "true or false"),
        ),
        (
            r#"{"model":"m","messages":[],"stream":1}"#,
            BadRequest::Wrong("stream", "true or false"),
        ),
        (
            r#"{"model":"m","messages":[],"stream_options":[]}"#,
            BadRequest::Wrong("stream_options", "an object"),
        ),
    ] {
        assert_eq!(asked(Endpoint::Chat, body).unwrap_err(), error, "{body}");
    }
    let deep = format!(r#"{{"model":{}}}"#, "[".repeat(100_000));
    assert_eq!(
        asked(Endpoint::Chat, deep).unwrap_err(),
        BadRequest::TooDeep
    );
    let fields: Vec<String> = (0..300).map(|n| format!(r#""f{n}":0"#)).collect();
    let many = format!(r#"{{{},"model":"m"}}"#, fields.join(","));
    assert_eq!(
        asked(Endpoint::Chat, many).unwrap_err(),
        BadRequest::TooManyFields
    );
    let long = json!({"model": "m".repeat(201), "messages": []});
    assert!(matches!(
        asked(Endpoint::Chat, long.to_string()),
        Err(BadRequest::Wrong("model", _))
    ));
}

#[test]
fn a_refusal_is_a_lasting_error_about_its_field() {
    let words = BadRequest::NotJson(500).words();
    assert_eq!((words.status, words.param), (400, None));
    assert!(!words.message.contains("500"), "{}", words.message);
    let key = BadRequest::Twice("/etc/passwd 503".into()).words();
    assert_eq!(key.param.as_deref(), Some("[file] five hundred and three"));
}

#[test]
fn usage_is_asked_for_in_streams_and_the_client_s_wish_is_known() {
    for (options, wants, written) in [
        (None, false, r#"{"include_usage":true}"#),
        (Some("null"), false, r#"{"include_usage":true}"#),
        (Some("{}"), false, r#"{"include_usage":true}"#),
        (
            Some(r#"{"include_usage":false, "x": 1.0}"#),
            false,
            r#"{"include_usage":true, "x": 1.0}"#,
        ),
        (
            Some(r#"{ "x":[1] ,"include_usage":true}"#),
            true,
            r#"{ "x":[1] ,"include_usage":true}"#,
        ),
        (Some(r#"{"x":1}"#), false, r#"{"x":1,"include_usage":true}"#),
    ] {
        let options = options.map_or(String::new(), |it| format!(r#","stream_options":{it}"#));
        for stream in [true, false] {
            let body = format!(r#"{{"model":"m","messages":[],"stream":{stream}{options}}}"#);
            let prepared = asked(Endpoint::Chat, body).unwrap();
            assert_eq!(
                (prepared.stream, prepared.wants_usage),
                (stream, stream && wants)
            );
            let body = prepared.body("up");
            let body = std::str::from_utf8(&body).unwrap();
            assert!(
                body.contains(&format!(r#""stream_options":{written}"#)),
                "{body}"
            );
            assert!(body.contains(r#""stream":true"#), "{body}");
        }
    }
    let body = r#"{"model":"m","input":"a"}"#;
    let prepared = asked(Endpoint::Responses, body).unwrap();
    assert_eq!(
        prepared.body("up"),
        r#"{"model":"up","input":"a","max_output_tokens":4096,"stream":true}"#
    );
}
