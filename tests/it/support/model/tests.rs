//! That the model's server does as it is told.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{Health, Model, Pace, Reply, Words};
use crate::support::client;

async fn send(model: &Model, path: &str, body: &Value) -> client::Reply {
    let headers = [("authorization", "Bearer k1")];
    let request = client::request("POST", path, &headers, body.to_string());
    client::send(wire(model).await, request).await
}

async fn get(model: &Model, path: &str) -> client::Reply {
    client::send(wire(model).await, client::get(path, &[])).await
}

async fn wire(model: &Model) -> TcpStream {
    TcpStream::connect(model.address).await.unwrap()
}

/// The parts of an answer as they come, and whether its end did.
struct Listening {
    body: hyper::body::Incoming,
    _connection: JoinSet<()>,
}

impl Listening {
    async fn next(&mut self) -> Option<Result<String, hyper::Error>> {
        let frame = client::within(self.body.frame()).await?;
        Some(frame.map(|frame| String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()))
    }
}

/// Asks for a stream; `None` if the connection ends without an answer.
async fn listen(model: &Model, body: &Value) -> Option<Listening> {
    let io = TokioIo::new(wire(model).await);
    let (mut sender, connection) = http1::handshake(io).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async {
        connection.await.ok();
    });
    let request = client::request("POST", "/v1/chat/completions", &[], body.to_string());
    let answer = client::within(sender.send_request(request)).await.ok()?;
    Some(Listening {
        body: answer.into_body(),
        _connection: tasks,
    })
}

fn chat() -> Value {
    json!({"model": "tiny", "messages": [], "stream": true})
}

#[tokio::test]
async fn a_stream_ends_with_its_usage_if_it_was_asked_for() {
    let model = Model::llama("tiny").await;
    let path = "/v1/chat/completions";
    let plain = send(&model, path, &chat()).await;
    assert_eq!(plain.header("content-type"), "text/event-stream");
    assert!(!plain.text().contains("\"usage\""), "{}", plain.text());
    assert!(
        plain.text().contains("\"predicted_n\":8"),
        "{}",
        plain.text()
    );
    assert!(plain.text().ends_with("data: [DONE]\n\n"));
    let mut asking = chat();
    asking["stream_options"] = json!({"include_usage": true});
    asking["max_tokens"] = json!(3);
    let told = send(&model, path, &asking).await;
    assert!(told.text().contains("\"completion_tokens\":3"));
    assert!(told.text().contains("\"finish_reason\":\"length\""));
    // Role, three words, end, usage, `[DONE]`.
    assert_eq!(told.text().matches("data: ").count(), 7);
}

#[tokio::test]
async fn every_endpoint_says_what_it_cost_in_its_own_words() {
    let model = Model::llama("tiny").await;
    model.says(Words {
        prompt: 30,
        cached: 10,
        output: 5,
    });
    for (path, body, words) in [
        ("/v1/chat/completions", json!({}), "\"completion_tokens\":5"),
        ("/v1/completions", json!({}), "\"prompt_tokens\":30"),
        (
            "/v1/completions",
            json!({"stream": true}),
            "\"prompt_tokens\":30",
        ),
        ("/v1/responses", json!({}), "\"input_tokens\":30"),
        (
            "/v1/responses",
            json!({"stream": true}),
            "\"output_tokens\":5",
        ),
        ("/v1/messages", json!({}), "\"cache_read_input_tokens\":10"),
        (
            "/v1/messages",
            json!({"stream": true}),
            "\"input_tokens\":20",
        ),
        (
            "/v1/embeddings",
            json!({"input": ["a", "b"]}),
            "\"index\":1",
        ),
        (
            "/v1/rerank",
            json!({"documents": ["a"]}),
            "\"prompt_tokens\":30",
        ),
        (
            "/api/v1/embeddings",
            json!({"input": "a"}),
            "\"total_tokens\":30",
        ),
    ] {
        let reply = send(&model, path, &body).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        assert!(reply.text().contains(words), "{path}: {}", reply.text());
    }
    assert_eq!(send(&model, "/v1/nothing", &json!({})).await.status, 404);
    assert_eq!(model.asked().len(), 11);
    assert_eq!(model.last().path, "/v1/nothing");
    let counts = model.until(|counts| counts.open == 0).await;
    assert_eq!((counts.over, counts.left), (11, 0), "{counts:?}");
}

#[tokio::test]
async fn lemonade_knows_its_models_and_loses_the_cost_of_messages() {
    let model = Model::lemonade(&["Tiny", "Other"]).await;
    let path = "/v1/chat/completions";
    for (name, status) in [("Tiny", 200), ("user.Other", 200), ("nobody", 404)] {
        let reply = send(&model, path, &json!({"model": name})).await;
        assert_eq!(reply.status, status, "{name}: {}", reply.text());
    }
    let stream = json!({"model": "Tiny", "stream": true});
    let reply = send(&model, path, &stream).await;
    assert!(reply.text().contains("\"model\":\"/models/Tiny.gguf\""));
    let reply = send(&model, "/v1/messages", &stream).await;
    assert!(!reply.text().contains("\"output_tokens\":8"));
    let reply = send(&model, "/v1/responses", &stream).await;
    assert!(reply.text().ends_with("data: [DONE]\n\n"));
    let headers = [("origin", "https://evil.example")];
    let request = client::request("POST", path, &headers, "{}");
    let reply = client::send(wire(&model).await, request).await;
    assert_eq!(reply.status, 403);
    let health = get(&model, "/v1/health").await.json();
    assert_eq!(health["all_models_loaded"][1]["model_name"], "Other");
    let models = get(&model, "/v1/models").await.json();
    assert_eq!(models["data"][0]["id"], "Tiny");
    let reply = client::request("POST", path, &[], "{");
    let reply = client::send(wire(&model).await, reply).await;
    assert!(reply.json()["error"].is_string(), "{}", reply.text());
}

#[tokio::test]
async fn it_says_how_it_is_and_lets_strangers_see_nothing_else() {
    let model = Model::llama("tiny").await;
    model.has_slots(3);
    assert_eq!(get(&model, "/props").await.json()["total_slots"], 3);
    assert_eq!(
        get(&model, "/slots").await.json()[2]["is_processing"],
        false
    );
    model.is(Health::Loading);
    assert_eq!(get(&model, "/health").await.status, 503);
    model.is(Health::Failing);
    assert_eq!(get(&model, "/health").await.status, 500);
    model.is(Health::Silent);
    let mut silent = wire(&model).await;
    tokio::io::AsyncWriteExt::write_all(&mut silent, b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let short = Duration::from_millis(100);
    assert!(!client::is_cut(&mut silent, short).await);
    model.is(Health::Ready);
    model.lock("k1");
    assert_eq!(get(&model, "/health").await.status, 200);
    assert_eq!(get(&model, "/slots").await.status, 401);
    let path = "/v1/chat/completions";
    assert_eq!(send(&model, path, &json!({})).await.status, 200);
    model.lock("k2");
    assert_eq!(send(&model, path, &json!({})).await.status, 401);
    assert_eq!(model.counts().looks, 6);
    assert_eq!(model.url(), format!("http://{}", model.address));
}

#[tokio::test]
async fn parts_come_one_by_one_when_they_are_let_go() {
    let model = Model::llama("tiny").await;
    let pace = Pace::new();
    let held = pace.clone();
    model.next(move |reply, _| reply.paced(&held));
    let mut stream = listen(&model, &chat()).await.unwrap();
    model.until(|counts| counts.open == 1).await;
    for number in 0..3 {
        pace.allow(1);
        let part = stream.next().await.unwrap().unwrap();
        assert_eq!(part.matches("data: ").count(), 1, "{number}: {part}");
        assert_eq!(model.counts().parts, number + 1);
    }
    assert_eq!(get(&model, "/slots").await.json()[0]["is_processing"], true);
    pace.allow(100);
    while stream.next().await.is_some() {}
    let counts = model.until(|counts| counts.open == 0).await;
    assert_eq!((counts.over, counts.left), (1, 0));
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_before_and_in_the_middle_of_its_answer() {
    let model = Model::llama("tiny").await;
    let pace = Pace::new();
    let held = pace.clone();
    model.always(move |reply, asked| {
        if asked.json()["stream"] == true {
            reply.hang_after(2)
        } else {
            reply.held(&held)
        }
    });
    let mut stream = listen(&model, &chat()).await.unwrap();
    stream.next().await.unwrap().unwrap();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    let counts = model.until(|counts| counts.left == 1).await;
    assert_eq!(counts.open, 0);
    let body = json!({});
    let mut waiting = Box::pin(listen(&model, &body));
    tokio::select! {
        _ = &mut waiting => panic!("it is held"),
        counts = model.until(|counts| counts.open == 1) => assert_eq!(counts.left, 1),
    }
    drop(waiting);
    model
        .until(|counts| counts.left == 2 && counts.open == 0)
        .await;
    // One that waits is answered.
    pace.allow(1);
    assert_eq!(
        send(&model, "/v1/completions", &json!({})).await.status,
        200
    );
}

#[tokio::test]
async fn it_cuts_after_parts_at_a_byte_and_before_a_word() {
    let model = Model::llama("tiny").await;
    model.next(|reply, _| reply.cut_after(2));
    let mut stream = listen(&model, &chat()).await.unwrap();
    let mut parts = String::new();
    let cut = loop {
        match stream.next().await {
            Some(Ok(part)) => parts.push_str(&part),
            end => break end,
        }
    };
    assert!(cut.unwrap().is_err());
    assert_eq!(parts.matches("data: ").count(), 2, "{parts}");

    model.next(|reply, _| reply.cut_at(10));
    let mut stream = listen(&model, &chat()).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap(), "data: {\"ch");
    assert!(stream.next().await.unwrap().is_err());

    model.next(|reply, _| reply.cut_at(0));
    let mut stream = listen(&model, &chat()).await.unwrap();
    assert!(stream.next().await.unwrap().is_err());

    model.next(|_, _| Reply::none());
    assert!(listen(&model, &chat()).await.is_none());
    let counts = model.until(|counts| counts.over == 4).await;
    assert_eq!((counts.open, counts.left), (0, 0), "{counts:?}");
}

#[tokio::test]
async fn an_answer_can_be_another_one_than_it_would_have_been() {
    let model = Model::llama("tiny").await;
    let path = "/v1/chat/completions";
    model.next(|_, _| Reply::json(503, &json!({"error": "busy"})).header("retry-after", "2"));
    let reply = send(&model, path, &json!({})).await;
    assert_eq!(
        (reply.status.as_u16(), reply.header("retry-after")),
        (503, "2")
    );
    model.next(|reply, _| reply.edit(|value| value["usage"]["prompt_tokens"] = json!(0)));
    let reply = send(&model, path, &json!({})).await;
    assert_eq!(reply.json()["usage"]["prompt_tokens"], 0);
    model.next(|reply, _| {
        let garbage = "data: {\"choices\": [nonsense\n\n";
        reply.without("[DONE]").insert(1, garbage)
    });
    let reply = send(&model, path, &chat()).await;
    assert!(reply.text().contains("[nonsense"));
    assert!(!reply.text().contains("[DONE]"));
    model.next(|reply, _| {
        reply.edit(|value| drop(value.as_object_mut().unwrap().remove("timings")))
    });
    let reply = send(&model, path, &chat()).await;
    assert!(!reply.text().contains("timings"));
    assert!(reply.text().ends_with("data: [DONE]\n\n"));
    let short = Duration::from_millis(1);
    model.next(move |reply, _| reply.split_each(100).slow(short).after(short));
    let mut stream = listen(&model, &chat()).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().len(), 100);
}

#[tokio::test]
async fn when_it_is_killed_nobody_listens_until_it_is_revived() {
    let mut model = Model::llama("tiny").await;
    model.next(|reply, _| reply.hang_after(1));
    let mut stream = listen(&model, &chat()).await.unwrap();
    stream.next().await.unwrap().unwrap();
    model.kill().await;
    assert!(stream.next().await.unwrap().is_err());
    assert!(TcpStream::connect(model.address).await.is_err());
    model.revive().await;
    assert_eq!(get(&model, "/health").await.status, 200);
    assert_eq!(model.counts().left, 1);
    assert_eq!(model.counts().open_most, 1);
}
