//! What each path answers.

use std::io::{self, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Component, Path};
use std::time::Duration;
use std::{env, fs, process, thread};

use crate::access::{authorized, login};
use crate::config::Config;
use crate::http::{Body, Request, Response, percent_decoded};

pub fn respond(
    request: &Request,
    config: &Config,
    body: &mut Body,
    reader: &mut BufReader<TcpStream>,
) -> io::Result<Response> {
    if request.path == "/healthz" {
        return Ok(Response::new(
            200,
            "application/json; charset=utf-8",
            r#"{"status":"expired","lastHeartbeat":0}"#,
        ));
    }
    if request.path == "/login" {
        return login(request, config, body, reader);
    }
    if !authorized(request, config) {
        return Ok(Response::text(302, "Found. Redirecting to ./login").with("Location", "./login"));
    }
    if let Some(path) = request.path.strip_prefix("/__files/") {
        return files(path, request, body, reader);
    }
    Ok(match request.path.as_str() {
        "/" => Response::new(
            200,
            "text/html; charset=utf-8",
            "<!doctype html>\n<title>stand-in</title>\n<p>stand-in for code-server</p>\n",
        ),
        "/__head" => Response::text(200, request.head.clone()),
        "/__args" => Response::text(200, env::args().collect::<Vec<_>>().join("\n")),
        "/__env" => {
            let mut lines: Vec<String> = env::vars()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            lines.sort();
            Response::text(200, lines.join("\n"))
        }
        "/__slow" => {
            thread::sleep(Duration::from_millis(request.number("ms", 1000)));
            Response::text(200, "slow")
        }
        "/__upload" => {
            let (mut length, mut sum) = (0_u64, 0xcbf2_9ce4_8422_2325_u64);
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let read = body.read(reader, &mut buffer)?;
                if read == 0 {
                    break;
                }
                length += read as u64;
                for byte in &buffer[..read] {
                    sum = (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
                }
            }
            Response::new(
                200,
                "application/json",
                format!(r#"{{"bytes":{length},"fnv":"{sum:016x}"}}"#),
            )
        }
        "/__cookie" => {
            let cookies = request
                .parameters()
                .into_iter()
                .filter(|(name, _)| name == "v");
            cookies.fold(Response::text(200, "cookie"), |response, (_, value)| {
                response.with("Set-Cookie", &value)
            })
        }
        "/__headers" => {
            let mut response = Response::text(200, "headers");
            for (name, value) in request.parameters() {
                if name == ":status" {
                    response.status = value.parse().unwrap_or(200);
                } else {
                    response.headers.retain(|(key, _)| {
                        !(key == "Content-Type" && name.eq_ignore_ascii_case(key))
                    });
                    response = response.with(&name, &value);
                }
            }
            response
        }
        "/__sw.js" => Response::new(
            200,
            "text/javascript; charset=utf-8",
            "self.addEventListener('fetch', () => {});\n",
        )
        .with("Service-Worker-Allowed", "/"),
        "/__connect" => connect(request),
        "/__exit" => process::exit(i32::try_from(request.number("code", 0)).unwrap_or(1)),
        _ => Response::new(
            404,
            "application/json; charset=utf-8",
            r#"{"error":"Not Found"}"#,
        ),
    })
}

fn files(
    path: &str,
    request: &Request,
    body: &mut Body,
    reader: &mut BufReader<TcpStream>,
) -> io::Result<Response> {
    let path = Path::new("/").join(percent_decoded(path, false).trim_start_matches('/'));
    let plain = path
        .components()
        .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !plain || !(path.starts_with("/workspace") || path.starts_with("/home/vscode")) {
        return Ok(Response::text(403, "only /workspace and /home/vscode"));
    }
    let result = match request.method.as_str() {
        "GET" | "HEAD" if path.is_dir() => list(&path).map(|names| Response::text(200, names)),
        "GET" | "HEAD" => {
            fs::read(&path).map(|content| Response::new(200, "application/octet-stream", content))
        }
        "PUT" => {
            let content = body.whole(reader)?;
            let parent = path.parent().map_or(Ok(()), fs::create_dir_all);
            parent
                .and_then(|()| fs::write(&path, content))
                .map(|()| Response::text(201, "written"))
        }
        "DELETE" => fs::remove_file(&path).map(|()| Response::text(204, "")),
        _ => return Ok(Response::text(405, "GET, PUT or DELETE")),
    };
    Ok(result.unwrap_or_else(|error| {
        let status = if error.kind() == ErrorKind::NotFound {
            404
        } else {
            403
        };
        Response::text(status, format!("{}: {error}", path.display()))
    }))
}

fn list(path: &Path) -> io::Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names.join("\n"))
}

/// A static binary has no resolver: addresses, and the names of /etc/hosts.
fn connect(request: &Request) -> Response {
    let to = request.parameter("to").unwrap_or_default();
    let address: Option<SocketAddr> = to.parse().ok().or_else(|| {
        let (name, port) = to.rsplit_once(':')?;
        let hosts = fs::read_to_string("/etc/hosts").ok()?;
        let line = hosts
            .lines()
            .find(|line| line.split_whitespace().skip(1).any(|word| word == name))?;
        Some(SocketAddr::new(
            line.split_whitespace().next()?.parse().ok()?,
            port.parse().ok()?,
        ))
    });
    let Some(address) = address else {
        return Response::text(400, "to=ADDRESS:PORT");
    };
    match TcpStream::connect_timeout(
        &address,
        Duration::from_millis(request.number("ms", 1000).max(1)),
    ) {
        Ok(_) => Response::text(200, "connected"),
        Err(error) => Response::text(502, error.to_string()),
    }
}

pub fn events(request: &Request, writer: &mut TcpStream) -> io::Result<()> {
    writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    let pause = Duration::from_millis(request.number("ms", 100));
    for number in 0..request.number("n", 3) {
        if number > 0 {
            thread::sleep(pause);
        }
        let event = format!("id: {number}\ndata: event {number}\n\n");
        writer.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())?;
        writer.flush()?;
    }
    writer.write_all(b"0\r\n\r\n")
}

pub fn bytes(request: &Request, writer: &mut TcpStream) -> io::Result<()> {
    let mut left = request.number("n", 0);
    let chunked = request.number("chunked", 0) == 1;
    let framing = if chunked {
        "Transfer-Encoding: chunked".to_owned()
    } else {
        format!("Content-Length: {left}")
    };
    writer.write_all(
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n{framing}\r\n\r\n")
            .as_bytes(),
    )?;
    if request.method == "HEAD" {
        return Ok(());
    }
    let block = [b'x'; 64 * 1024];
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
        if chunked {
            writer.write_all(format!("{part:x}\r\n").as_bytes())?;
        }
        writer.write_all(&block[..part])?;
        if chunked {
            writer.write_all(b"\r\n")?;
        }
        left -= part as u64;
    }
    if chunked {
        writer.write_all(b"0\r\n\r\n")
    } else {
        Ok(())
    }
}
