//! A stand-in for code-server in THON's tests: 1 MB instead of a gigabyte, up in milliseconds.
//!
//! It takes code-server's command line and configuration file and answers what the proxy depends on exactly as
//! code-server 4.139 does: `/healthz`, the session cookie, the login form, the WebSocket origin check. Everything
//! under `/__` lets a test look at what arrived or play a malicious sandbox:
//!
//! | path | answer |
//! |---|---|
//! | `/__head` | the request head, byte for byte |
//! | `/__args`, `/__env` | command line and environment, one a line |
//! | `/__sse?n=3&ms=100` | n server-sent events, ms apart, each flushed |
//! | `/__bytes?n=1000[&chunked=1]` | n bytes |
//! | `/__slow?ms=1000` | 200 after ms |
//! | `/__upload` | `{"bytes":…,"fnv":"…"}` of the request body |
//! | `/__cookie?v=…&v=…` | a `Set-Cookie` for each v |
//! | `/__headers?name=value&…` | these response headers; `:status=302` sets the status |
//! | `/__sw.js` | a script with `Service-Worker-Allowed: /` |
//! | `/__files/workspace/…`, `/__files/home/vscode/…` | GET, PUT, DELETE a file; GET of a directory lists it |
//! | `/__connect?to=10.0.0.1:80[&ms=1000]` | `connected`, or 502 with the error: what can the sandbox reach? |
//! | `/__exit?code=1` | ends the process |
//! | any path with `Upgrade: websocket` | echoes frames |

#![expect(
    clippy::disallowed_methods,
    reason = "threads and code-server's own environment variables; nothing of THON runs here"
)]

mod access;
mod answers;
mod config;
mod http;
mod websocket;

use std::io::{self, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::{env, process, thread};

use access::authorized;
use answers::{bytes, events, respond};
use config::{Config, configure};
use http::{Body, read_request, write_response};

fn main() {
    let config = match configure(env::args().skip(1).collect()) {
        Ok(config) => Arc::new(config),
        Err(error) => {
            eprintln!("stand-in: {error}");
            process::exit(1);
        }
    };
    let listener = match TcpListener::bind(&config.bind) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("stand-in: cannot listen on {}: {error}", config.bind);
            process::exit(1);
        }
    };
    println!("stand-in: HTTP server listening on http://{}/", config.bind);
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        let config = Arc::clone(&config);
        // Small stacks: hundreds of connections must fit into a small memory limit.
        let spawned = thread::Builder::new()
            .stack_size(256 * 1024)
            .spawn(move || {
                let _ = stream.set_nodelay(true);
                let _ = serve(stream, &config);
            });
        if let Err(error) = spawned {
            eprintln!("stand-in: no thread: {error}");
        }
    }
}

fn serve(stream: TcpStream, config: &Config) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    while let Some(request) = read_request(&mut reader)? {
        if request.has_token("upgrade", "websocket") {
            return websocket::echo(&request, config, &mut reader, &mut writer);
        }
        let mut body = Body::of(&request);
        if request
            .header("expect")
            .is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
        {
            writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        // These two write by themselves; all others answer with a whole body.
        if authorized(&request, config) {
            match request.path.as_str() {
                "/__sse" => {
                    body.discard(&mut reader)?;
                    events(&request, &mut writer)?;
                    if !request.keep_alive {
                        return Ok(());
                    }
                    continue;
                }
                "/__bytes" => {
                    body.discard(&mut reader)?;
                    bytes(&request, &mut writer)?;
                    if !request.keep_alive {
                        return Ok(());
                    }
                    continue;
                }
                _ => {}
            }
        }
        let response = respond(&request, config, &mut body, &mut reader)?;
        body.discard(&mut reader)?;
        write_response(&request, &response, &mut writer)?;
        if !request.keep_alive {
            return Ok(());
        }
    }
    Ok(())
}
