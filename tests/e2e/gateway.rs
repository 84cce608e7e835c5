//! The gateway in front of a real llama.cpp server, used by OpenAI's own client and by an agent in an
//! instance.

mod bed;
mod model;
mod people;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::story::appliance::{Appliance, SANDBOX, STAND_IN};
use crate::story::{alone, machine, tell, until};
use bed::Bed;
use model::Served;
use people::{also, chat};

const ALICE: &str = "red/alice";
const PEOPLE: &str = "{red: [alice, bob], blue: [carol]}";
const TINY: &str = "tiny-chat";
const SLOW: &str = "slow-chat";

/// Each of four slots has as much.
const CONTEXT: u32 = 4_096;

const SOON: Duration = Duration::from_secs(20);

async fn tiny() -> Served {
    Served::start(TINY, 4, CONTEXT).await
}

fn appliance() -> Appliance {
    Appliance::new(STAND_IN, PEOPLE)
}

/// Every way to ask the models for something, with what the client is told about its cost.
fn calls() -> Vec<Value> {
    let messages = json!([{"role": "user", "content": "count the words of this sentence"}]);
    let streams = json!({"stream": true});
    let told = json!({"include_usage": true});
    let completion = json!({"model": TINY, "prompt": "once upon a time", "max_tokens": 6});
    let completion = json!({"call": "completions", "with": completion});
    let response = json!({"model": TINY, "input": "how are you", "max_output_tokens": 5});
    let response = json!({"call": "responses", "with": response});
    let message = json!({"model": TINY, "messages": messages, "max_tokens": 7});
    let message = json!({"call": "messages", "with": message});
    let mut asking = chat(TINY, 9);
    asking["with"]["stream_options"] = told;
    vec![
        chat(TINY, 8),
        also(chat(TINY, 10), streams.clone()),
        also(asking, streams.clone()),
        completion.clone(),
        also(completion, streams.clone()),
        response.clone(),
        also(response, streams.clone()),
        message.clone(),
        also(message, streams),
        json!({"call": "embeddings", "with": {"model": "tiny-embed", "input": ["a server", "memory"]}}),
        json!({"call": "rerank", "with": {
            "model": "tiny-rerank", "query": "hello", "documents": ["a server", "a token of memory"],
        }}),
    ]
}

/// Prompt and answer, in whichever words an endpoint says it; the last one counts.
fn told_usage(told: &Value) -> Option<(u64, u64)> {
    let chunks = told["chunks"].as_array().cloned().unwrap_or_default();
    let parts = chunks.iter().chain([&told["answer"]]);
    let mut sum = None;
    for part in parts {
        for usage in [
            &part["usage"],
            &part["response"]["usage"],
            &part["message"]["usage"],
        ] {
            let number = |name: &str| usage[name].as_u64();
            let prompt = number("prompt_tokens").or_else(|| {
                Some(number("input_tokens")? + number("cache_read_input_tokens").unwrap_or(0))
            });
            let answer = number("completion_tokens").or_else(|| number("output_tokens"));
            let (known_prompt, known_answer) = sum.unwrap_or((0, 0));
            if prompt.is_some() || answer.is_some() {
                sum = Some((
                    prompt.unwrap_or(known_prompt),
                    answer.unwrap_or(known_answer),
                ));
            }
        }
    }
    sum
}

fn charged(entry: &Value) -> (u64, u64) {
    let of = |name: &str| entry["tokens"][name].as_u64().unwrap();
    (of("input") + of("cached"), of("output"))
}

#[tokio::test]
async fn every_endpoint_is_charged_what_the_model_itself_counted() {
    let _alone = alone().await;
    let models = vec![
        tiny().await,
        Served::start("tiny-embed", 1, CONTEXT).await,
        Served::start("tiny-rerank", 1, CONTEXT).await,
    ];
    let bed = Bed::make(appliance(), models, "concurrency_limit: 0", "").await;
    let before = bed.models[0].counted().await;
    let calls = calls();
    let told = bed.person(ALICE).await.makes(&calls).await;
    let mut ledger = bed.ledger(calls.len()).await;
    ledger.reverse();
    for ((call, told), entry) in calls.iter().zip(&told).zip(&ledger) {
        assert!(told["error"].is_null(), "{call}: {told:#}");
        assert_eq!(entry["settled"], "exact", "{call}: {entry:#}");
        assert_eq!(entry["outcome"], "done", "{call}: {entry:#}");
        // A stream whose client did not ask is told nothing, and is charged all the same.
        if let Some(usage) = told_usage(told) {
            assert_eq!(charged(entry), usage, "{call}: {entry:#}");
        }
    }
    let unasked = told[1]["chunks"].to_string();
    assert!(!unasked.contains("\"usage\":{"), "{unasked}");
    // What the server of the chat model counted in all is what was charged for that model in all.
    let after = bed.models[0].counted().await;
    let chats = ledger.iter().filter(|entry| entry["model"] == TINY);
    let sum = chats.fold((0, 0), |(prompt, answer), entry| {
        let (input, output) = charged(entry);
        (prompt + input, answer + output)
    });
    let prompt = after.input + after.cached - before.input - before.cached;
    assert_eq!(sum, (prompt, after.output - before.output));
    bed.is_idle(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn the_public_listener_serves_the_model_to_other_machines() {
    let _alone = alone().await;
    let bed = Bed::make(appliance(), vec![tiny().await], "", "").await;
    let guest = bed.guest(ALICE).await;
    let streams = also(chat(TINY, 12), json!({"stream": true}));
    let told = guest
        .makes(&[json!({"call": "models"}), chat(TINY, 8), streams])
        .await;
    assert_eq!(told[0]["models"], json!([TINY]));
    assert_eq!(
        told[1]["answer"]["usage"]["completion_tokens"], 8,
        "{told:#?}"
    );
    assert_eq!(told[1]["answer"]["model"], TINY);
    let chunks = told[2]["chunks"].as_array().unwrap();
    // Who speaks, twelve words, and the end.
    assert_eq!(chunks.len(), 14, "{chunks:#?}");
}

#[tokio::test]
async fn openai_s_client_meets_its_own_kinds_of_errors() {
    let _alone = alone().await;
    let bed = Bed::make(appliance(), vec![tiny().await], "", "").await;
    let person = bed.person(ALICE).await;
    let mut long = chat(TINY, 8);
    long["with"]["messages"][0]["content"] = "a word and another one ".repeat(2_000).into();
    let unknown = chat("nobody-s-model", 8);
    let stranger = also(
        chat(TINY, 8),
        json!({"key": "sk-thon-0123456789abcdef-wrong"}),
    );
    let empty = json!({"call": "chat/completions", "with": {"model": TINY}});
    let streams = json!({"stream": true});
    for (call, error, status, code) in [
        (&stranger, "AuthenticationError", 401, "invalid_api_key"),
        (&unknown, "NotFoundError", 404, "model_not_found"),
        (&long, "BadRequestError", 400, "context_length_exceeded"),
        (
            &also(long.clone(), streams),
            "BadRequestError",
            400,
            "context_length_exceeded",
        ),
        (
            &json!({"call": "nothing"}),
            "NotFoundError",
            404,
            "unknown_url",
        ),
    ] {
        let told = person.asks(call.clone()).await;
        assert_eq!(told["error"], error, "{call}: {told:#}");
        assert_eq!(told["status"], status, "{told:#}");
        assert_eq!(told["body"]["code"], code, "{told:#}");
        assert!(told["body"]["message"].is_string(), "{told:#}");
        assert_eq!(told["headers"]["x-should-retry"], "false", "{told:#}");
    }
    let told = person.asks(empty).await;
    assert_eq!(told["error"], "BadRequestError", "{told:#}");
    // None of it was charged, and none of it stayed behind.
    bed.is_idle(Duration::from_secs(5)).await;
    assert_eq!(bed.models[0].counted().await.output, 0);
    for entry in bed.entries().await {
        assert_eq!(charged(&entry), (0, 0), "{entry:#}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_slot_and_harms_nobody() {
    let _alone = alone().await;
    let model = Served::start(SLOW, 4, 8 * CONTEXT).await;
    let bed = Bed::make(appliance(), vec![model], "concurrency_limit: 0", "").await;
    let (alice, bob) = (bed.person(ALICE).await, bed.person("red/bob").await);
    let stays = also(chat(SLOW, 400), json!({"stream": true}));
    let stays = bob.asks(stays);
    let leaves = async {
        for call in [
            also(chat(SLOW, 4_000), json!({"stream": true, "cut": 4})),
            also(chat(SLOW, 4_000), json!({"timeout": 1.0})),
        ] {
            let told = alice.asks(call).await;
            let ((), took) = until(Duration::from_secs(2), async || {
                let busy = bed.models[0].busy().await;
                (busy <= 1)
                    .then_some(())
                    .ok_or(format!("{busy} slots: {told:#}"))
            })
            .await;
            tell(&format!("the slot was free after {took:?}"));
        }
    };
    let (told, ()) = tokio::join!(stays, leaves);
    let words = told["chunks"].as_array().map_or(0, Vec::len);
    assert_eq!(words, 402, "{:#}", told["error"]);
    bed.is_idle(Duration::from_secs(5)).await;
    let ledger = bed.ledger(3).await;
    let left: Vec<&Value> = ledger
        .iter()
        .filter(|entry| entry["outcome"] == "left")
        .collect();
    assert_eq!(left.len(), 2, "{ledger:#?}");
    // They are charged for what was written until then, and for no more.
    for entry in left {
        let (prompt, answer) = charged(entry);
        assert!(prompt > 0 && answer < 4_000, "{entry:#}");
    }
}

#[tokio::test]
async fn requests_wait_in_the_gateway_and_never_in_the_model() {
    let _alone = alone().await;
    let model = Served::start(SLOW, 2, 2 * CONTEXT).await;
    let bed = Bed::make(appliance(), vec![model], "concurrency_limit: 0", "").await;
    let people = [
        bed.person(ALICE).await,
        bed.person("red/bob").await,
        bed.person("blue/carol").await,
    ];
    let call = also(chat(SLOW, 150), json!({"stream": true}));
    let mut asking = JoinSet::new();
    for person in people.iter().cycle().take(6) {
        let (person, call) = (person.clone(), call.clone());
        asking.spawn(async move { person.asks(call).await });
    }
    let mut busiest = 0;
    while let Some(told) = tokio::select! {
        told = asking.join_next() => told.map(Some),
        () = tokio::time::sleep(Duration::from_millis(50)) => Some(None),
    } {
        let (counted, busy) = (bed.models[0].counted().await, bed.models[0].busy().await);
        assert_eq!(counted.deferred, 0);
        busiest = busiest.max(busy);
        if let Some(told) = told {
            let told = told.unwrap();
            assert!(told["chunks"].is_array(), "{told:#}");
        }
    }
    assert_eq!(busiest, 2);
    let ledger = bed.ledger(6).await;
    let waited = ledger
        .iter()
        .filter(|entry| entry["queue_ms"].as_u64() > Some(100));
    assert!(waited.count() >= 2, "{ledger:#?}");
    bed.is_idle(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_limit_is_waited_out_by_openai_s_client() {
    let _alone = alone().await;
    let limit = "token_limit: 60, token_window: 6, cached_weight: 1";
    let bed = Bed::make(appliance(), vec![tiny().await], limit, "").await;
    let person = bed.person(ALICE).await;
    let patient = also(chat(TINY, 30), json!({"retries": 2}));
    let told = person
        .makes(&[chat(TINY, 30), chat(TINY, 30), patient])
        .await;
    assert!(told[0]["answer"].is_object(), "{told:#?}");
    assert_eq!(told[1]["error"], "RateLimitError", "{told:#?}");
    assert_eq!(told[1]["status"], 429);
    assert_eq!(told[1]["body"]["code"], "rate_limit_exceeded");
    let headers = &told[1]["headers"];
    let number = |name: &str| {
        headers[name]
            .as_str()
            .and_then(|text| text.parse::<u64>().ok())
    };
    assert!(
        (1..=6).contains(&number("retry-after").unwrap()),
        "{headers:#}"
    );
    assert!(number("retry-after-ms").unwrap() <= 6_000, "{headers:#}");
    assert_eq!(number("x-ratelimit-limit-tokens"), Some(60), "{headers:#}");
    // It came again when it was told to, and not before.
    assert!(told[2]["answer"].is_object(), "{:#}", told[2]);
    let ledger = bed.ledger(4).await;
    let refused = ledger.iter().filter(|entry| entry["outcome"] == "refused");
    assert_eq!(refused.count(), 2, "{ledger:#?}");
}

#[tokio::test]
async fn killed_in_the_middle_of_answers_it_frees_the_model_and_forgets_no_charge() {
    let _alone = alone().await;
    let model = Served::start(SLOW, 4, 8 * CONTEXT).await;
    let limit = "token_limit: 100000, token_window: 604800, cached_weight: 1";
    let mut bed = Bed::make(appliance(), vec![model], limit, "").await;
    bed.appliance.keep_ports().await;
    let person = bed.person(ALICE).await;
    let told = person.asks(chat(SLOW, 100)).await;
    assert_eq!(
        told["answer"]["usage"]["completion_tokens"], 100,
        "{told:#}"
    );
    let paid = Instant::now();
    for round in 0..5 {
        let stream = also(chat(SLOW, 4_000), json!({"stream": true}));
        let (mut listening, person) = (JoinSet::new(), person.clone());
        listening.spawn(async move { person.asks(stream).await });
        until(SOON, async || match bed.models[0].busy().await {
            1 => Ok(()),
            busy => Err(format!("{busy} slots in round {round}")),
        })
        .await;
        // Balances are kept at most this long in memory alone.
        tokio::time::sleep_until(paid + Duration::from_secs(6)).await;
        bed.appliance.kill().await;
        until(Duration::from_secs(2), async || {
            match bed.models[0].busy().await {
                0 => Ok(()),
                busy => Err(format!("{busy} slots after the kill of round {round}")),
            }
        })
        .await;
        let cut = listening.join_next().await.unwrap().unwrap();
        assert!(cut["error"].is_string(), "{cut:#}");
        bed.appliance.run().await;
        bed.until_ready().await;
        bed.is_idle(Duration::from_secs(5)).await;
    }
    let told = person.asks(chat(SLOW, 10)).await;
    assert!(told["answer"].is_object(), "{told:#}");
    let used = bed.used_by(ALICE).await;
    assert!(used >= 100 + 10, "{used}");
}

#[tokio::test]
async fn an_agent_in_an_instance_is_answered_by_its_own_key() {
    let _alone = alone().await;
    let model = Served::start(TINY, 2, 128 * 1_024).await;
    let chats = "lemonade: {chat_models: [{name: tiny-chat, checkpoint: none, context: 65536, output: 48}]}\n\
         kilo: {chat_model: tiny-chat}\n";
    let appliance = Appliance::new(SANDBOX, "{red: [alice]}");
    let bed = Bed::make(appliance, vec![model], "", chats).await;
    bed.appliance.launch(&[]).await;
    let container = bed.appliance.container(ALICE).await;
    let said = machine::docker(&[
        "exec",
        "--env=KILO_DISABLE_MODELS_FETCH=1",
        "--env=KILO_TELEMETRY_LEVEL=off",
        &container,
        "timeout",
        "150",
        "kilo",
        "run",
        "say hello",
    ]);
    tell(&said);
    assert!(
        said.lines().last().is_some_and(|line| line.len() > 20),
        "{said}"
    );
    let ledger = bed.ledger(1).await;
    let (entry, (prompt, answer)) = (&ledger[0], charged(&ledger[0]));
    assert_eq!(entry["user"], ALICE, "{entry:#}");
    assert_eq!(
        (&entry["outcome"], answer),
        (&json!("done"), 48),
        "{entry:#}"
    );
    // An agent says much before it asks anything.
    assert!(prompt > 3_000, "{entry:#}");
    bed.is_idle(Duration::from_secs(5)).await;
}
