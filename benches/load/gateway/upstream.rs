//! A language model's server that costs next to nothing: as many words as it is asked for.
//!
//! `pause=250` in a message makes it wait so many milliseconds before each word, and each word says
//! when it was sent.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, header};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use crate::process::until_bench_ends;

pub(crate) const MODEL: &str = "bench";

/// More than there are ever streams.
const SLOTS: usize = 1_024;

const OPENING: &str = r#"data: {"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],"created":1795339933,"id":"chatcmpl-bench","model":"bench","system_fingerprint":"b1","object":"chat.completion.chunk"}

"#;
const WORD: &str = r#"data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":" word"}}],"created":1795339933,"id":"chatcmpl-bench","model":"bench","system_fingerprint":"b1","object":"chat.completion.chunk"}

"#;
const FINISH: &str = r#"data: {"choices":[{"finish_reason":"length","index":0,"delta":{}}],"created":1795339933,"id":"chatcmpl-bench","model":"bench","system_fingerprint":"b1","object":"chat.completion.chunk"}"#;

type Body = UnsyncBoxBody<Bytes, Infallible>;

pub(crate) fn run() -> anyhow::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        let tasks = TaskTracker::new();
        tokio::select! {
            () = until_bench_ends() => Ok(()),
            failed = accept(&listener, &tasks) => failed,
        }
    })
}

async fn accept(listener: &TcpListener, tasks: &TaskTracker) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tasks.spawn(serve(stream));
    }
}

async fn serve(stream: TcpStream) {
    let connection =
        http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
    // How a connection ends is of no interest here.
    connection.await.ok();
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await;
    let body = body.map(http_body_util::Collected::to_bytes);
    let asked = Asked::of(&body.unwrap_or_default());
    Ok(match (path.as_str(), asked) {
        (_, Some(asked)) if asked.streams => events(asked),
        (_, Some(asked)) => json(asked.whole()),
        (path, None) => json(about(path)),
    })
}

fn about(path: &str) -> String {
    match path {
        "/props" => format!(r#"{{"total_slots":{SLOTS},"model_alias":"{MODEL}"}}"#),
        "/slots" => "[]".to_owned(),
        "/v1/models" | "/models" => {
            format!(r#"{{"object":"list","data":[{{"id":"{MODEL}","object":"model"}}]}}"#)
        }
        _ => r#"{"status":"ok"}"#.to_owned(),
    }
}

/// What of a request is of interest.
#[derive(Deserialize)]
struct Asks {
    #[serde(default)]
    stream: bool,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    stream_options: Option<StreamOptions>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Clone, Copy)]
struct Asked {
    streams: bool,
    words: u64,
    pause: Option<Duration>,
    tells_usage: bool,
}

impl Asked {
    fn of(body: &[u8]) -> Option<Self> {
        let asks: Asks = serde_json::from_slice(body).ok()?;
        let pause = std::str::from_utf8(body).ok()?.split_once("pause=");
        let pause = pause.and_then(|(_, rest)| {
            let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
            digits?.parse().ok()
        });
        let words = asks.max_tokens.or(asks.max_completion_tokens);
        Some(Self {
            streams: asks.stream,
            words: words.unwrap_or(8),
            pause: pause.map(Duration::from_millis),
            tells_usage: asks
                .stream_options
                .is_some_and(|options| options.include_usage),
        })
    }

    fn usage(self) -> String {
        let (words, all) = (self.words, self.words + 50);
        format!(
            r#""usage":{{"completion_tokens":{words},"prompt_tokens":50,"total_tokens":{all},"prompt_tokens_details":{{"cached_tokens":40}}}},"timings":{{"cache_n":40,"prompt_n":10,"prompt_ms":0.3,"predicted_n":{words},"predicted_ms":0.7}}"#
        )
    }

    fn whole(self) -> String {
        let text: String = (0..self.words).map(|_| " word").collect();
        let usage = self.usage();
        format!(
            r#"{{"choices":[{{"finish_reason":"length","index":0,"message":{{"role":"assistant","content":"{text}"}}}}],"created":1795339933,"model":"{MODEL}","system_fingerprint":"b1","object":"chat.completion","id":"chatcmpl-bench",{usage}}}"#
        )
    }

    fn word(self) -> Bytes {
        if self.pause.is_none() {
            return Bytes::from_static(WORD.as_bytes());
        }
        let sent = format!(" sent={};", Timestamp::now().as_nanosecond());
        Bytes::from(WORD.replace(" word", &sent))
    }

    fn end(self) -> String {
        let usage = if self.tells_usage {
            let usage = self.usage();
            format!(
                "data: {{\"choices\":[],\"created\":1795339933,\"id\":\"chatcmpl-bench\",\"model\":\"{MODEL}\",\"object\":\"chat.completion.chunk\",{usage}}}\n\n"
            )
        } else {
            String::new()
        };
        format!("{FINISH}\n\n{usage}data: [DONE]\n\n")
    }
}

fn json(text: String) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(text)).boxed_unsync());
    let kind = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Every event in a packet of its own, as a model makes them.
fn events(asked: Asked) -> Response<Body> {
    let frames = stream::unfold(0, move |number| async move {
        let text = if number == 0 {
            Bytes::from_static(OPENING.as_bytes())
        } else if number <= asked.words {
            match asked.pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => tokio::task::yield_now().await,
            }
            asked.word()
        } else if number == asked.words + 1 {
            Bytes::from(asked.end())
        } else {
            return None;
        };
        Some((Ok(Frame::data(text)), number + 1))
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    let kind = header::HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
