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

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs, process, thread};

use sha1::{Digest, Sha1};
use sha2::Sha256;

const MAX_HEAD: u64 = 256 * 1024;
const MAX_FRAME: u64 = 64 * 1024 * 1024;

struct Config {
    bind: String,
    /// The value of a valid session cookie; none means `auth: none`.
    hashed_password: Option<String>,
    cookie: String,
}

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
        let spawned = thread::Builder::new().stack_size(256 * 1024).spawn(move || {
            let _ = stream.set_nodelay(true);
            let _ = serve(stream, &config);
        });
        if let Err(error) = spawned {
            eprintln!("stand-in: no thread: {error}");
        }
    }
}

/// code-server's rules: the command line wins over the file, `auth` is `password` unless said otherwise, and secrets
/// come from the file or the environment only.
fn configure(arguments: Vec<String>) -> Result<Config, String> {
    let mut given: HashMap<String, String> = HashMap::new();
    let mut arguments = arguments.into_iter().peekable();
    while let Some(argument) = arguments.next() {
        let Some(option) = argument.strip_prefix("--") else { continue };
        if option.is_empty() {
            break;
        }
        let (key, value) = match option.split_once('=') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None if option.starts_with("disable-") || matches!(option, "ignore-last-opened" | "skip-auth-preflight") => {
                (option.to_owned(), String::new())
            }
            None => (option.to_owned(), arguments.next_if(|next| !next.starts_with('-')).unwrap_or_default()),
        };
        if matches!(key.as_str(), "password" | "hashed-password") {
            return Err(format!("--{key} can only be set in the config file"));
        }
        given.insert(key, value);
    }
    if let Some(path) = given.get("config").cloned() {
        let text = fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))?;
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (key, value) = line.split_once(':').ok_or_else(|| format!("{path}: not a YAML mapping: {line}"))?;
            let value = value.trim();
            let quoted = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
            given.entry(key.trim().to_owned()).or_insert_with(|| quoted.unwrap_or(value).to_owned());
        }
    }
    if let Ok(value) = env::var("HASHED_PASSWORD") {
        given.insert("hashed-password".to_owned(), value);
    }
    if let Ok(value) = env::var("CODE_SERVER_COOKIE_SUFFIX") {
        given.insert("cookie-suffix".to_owned(), value);
    }
    let hashed_password = match given.get("auth").map_or("password", String::as_str) {
        "none" => None,
        "password" => Some(given.get("hashed-password").cloned().ok_or("this stand-in knows no password but hashed-password")?),
        other => return Err(format!("--auth valid values: [password, none], not {other}")),
    };
    let cookie = match given.get("cookie-suffix").filter(|suffix| !suffix.is_empty()) {
        Some(suffix) => {
            let clean = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' };
            format!("code-server-session-{}", suffix.chars().map(clean).collect::<String>())
        }
        None => "code-server-session".to_owned(),
    };
    Ok(Config { bind: given.remove("bind-addr").unwrap_or_else(|| "127.0.0.1:8080".to_owned()), hashed_password, cookie })
}

struct Request {
    head: Vec<u8>,
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    keep_alive: bool,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn has_token(&self, name: &str, token: &str) -> bool {
        let values = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        values.flat_map(|(_, value)| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
    }

    fn parameters(&self) -> Vec<(String, String)> {
        pairs(&self.query)
    }

    fn parameter(&self, name: &str) -> Option<String> {
        self.parameters().into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    fn number(&self, name: &str, default: u64) -> u64 {
        self.parameter(name).and_then(|value| value.parse().ok()).unwrap_or(default)
    }
}

struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Response {
    fn new(status: u16, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("Content-Type".to_owned(), kind.to_owned())], body: body.into() }
    }

    fn text(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

fn serve(stream: TcpStream, config: &Config) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    while let Some(request) = read_request(&mut reader)? {
        if request.has_token("upgrade", "websocket") {
            return websocket(&request, config, &mut reader, &mut writer);
        }
        let mut body = Body::of(&request);
        if request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
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

fn read_request(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut head = Vec::new();
    loop {
        let start = head.len();
        if (&mut *reader).take(MAX_HEAD).read_until(b'\n', &mut head)? == 0 {
            return Ok(None);
        }
        if head.len() as u64 > MAX_HEAD {
            return Err(io::Error::new(ErrorKind::InvalidData, "the head is too large"));
        }
        if matches!(&head[start..], b"\r\n" | b"\n") {
            break;
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut lines = text.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version)) = (first.next(), first.next(), first.next()) else {
        return Err(io::Error::new(ErrorKind::InvalidData, "no request line"));
    };
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        keep_alive: false,
        head,
    };
    request.keep_alive = if version == "HTTP/1.0" {
        request.has_token("connection", "keep-alive")
    } else {
        !request.has_token("connection", "close")
    };
    Ok(Some(request))
}

/// A request body that is read in pieces, so that a test may upload a gigabyte.
enum Body {
    Length(u64),
    Chunked { left: u64, done: bool },
}

impl Body {
    fn of(request: &Request) -> Self {
        if request.has_token("transfer-encoding", "chunked") {
            return Self::Chunked { left: 0, done: false };
        }
        Self::Length(request.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0))
    }

    fn read(&mut self, reader: &mut BufReader<TcpStream>, buffer: &mut [u8]) -> io::Result<usize> {
        let left = match self {
            Self::Length(left) => left,
            Self::Chunked { done: true, .. } => return Ok(0),
            Self::Chunked { left, done } => {
                if *left == 0 {
                    let mut line = String::new();
                    reader.read_line(&mut line)?;
                    let size = line.trim().split(';').next().unwrap_or_default();
                    *left = u64::from_str_radix(size, 16).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
                    if *left == 0 {
                        *done = true;
                        loop {
                            line.clear();
                            if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
                                return Ok(0);
                            }
                        }
                    }
                }
                left
            }
        };
        let wanted = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let read = reader.read(&mut buffer[..wanted])?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        *left -= read as u64;
        if matches!(self, Self::Chunked { left: 0, .. }) {
            let mut line = String::new();
            reader.read_line(&mut line)?;
        }
        Ok(read)
    }

    fn discard(&mut self, reader: &mut BufReader<TcpStream>) -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        while self.read(reader, &mut buffer)? > 0 {}
        Ok(())
    }

    fn whole(&mut self, reader: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
        let mut whole = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match self.read(reader, &mut buffer)? {
                0 => return Ok(whole),
                read => whole.extend_from_slice(&buffer[..read]),
            }
        }
    }
}

fn write_response(request: &Request, response: &Response, writer: &mut TcpStream) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {} {}\r\n", response.status, reason(response.status));
    for (name, value) in &response.headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    let bodiless = matches!(response.status, 100..=199 | 204 | 304);
    if !bodiless {
        let _ = write!(head, "Content-Length: {}\r\n", response.body.len());
    }
    head.push_str(if request.keep_alive { "\r\n" } else { "Connection: close\r\n\r\n" });
    let mut out = head.into_bytes();
    if request.method != "HEAD" && !bodiless {
        out.extend_from_slice(&response.body);
    }
    writer.write_all(&out)
}

fn reason(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        502 => "Bad Gateway",
        _ => "Status",
    }
}

fn authorized(request: &Request, config: &Config) -> bool {
    let Some(expected) = &config.hashed_password else { return true };
    request
        .headers
        .iter()
        .filter(|(key, _)| key.eq_ignore_ascii_case("cookie"))
        .flat_map(|(_, value)| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        // The cookie parser of code-server keeps the first of a name.
        .find(|(name, _)| *name == config.cookie)
        .is_some_and(|(_, value)| percent_decoded(value.trim_matches('"'), false).trim() == expected)
}

fn respond(request: &Request, config: &Config, body: &mut Body, reader: &mut BufReader<TcpStream>) -> io::Result<Response> {
    if request.path == "/healthz" {
        return Ok(Response::new(200, "application/json; charset=utf-8", r#"{"status":"expired","lastHeartbeat":0}"#));
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
        "/" => Response::new(200, "text/html; charset=utf-8", "<!doctype html>\n<title>stand-in</title>\n<p>stand-in for code-server</p>\n"),
        "/__head" => Response::text(200, request.head.clone()),
        "/__args" => Response::text(200, env::args().collect::<Vec<_>>().join("\n")),
        "/__env" => {
            let mut lines: Vec<String> = env::vars().map(|(name, value)| format!("{name}={value}")).collect();
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
            Response::new(200, "application/json", format!(r#"{{"bytes":{length},"fnv":"{sum:016x}"}}"#))
        }
        "/__cookie" => {
            let cookies = request.parameters().into_iter().filter(|(name, _)| name == "v");
            cookies.fold(Response::text(200, "cookie"), |response, (_, value)| response.with("Set-Cookie", &value))
        }
        "/__headers" => {
            let mut response = Response::text(200, "headers");
            for (name, value) in request.parameters() {
                if name == ":status" {
                    response.status = value.parse().unwrap_or(200);
                } else {
                    response.headers.retain(|(key, _)| !(key == "Content-Type" && name.eq_ignore_ascii_case(key)));
                    response = response.with(&name, &value);
                }
            }
            response
        }
        "/__sw.js" => Response::new(200, "text/javascript; charset=utf-8", "self.addEventListener('fetch', () => {});\n")
            .with("Service-Worker-Allowed", "/"),
        "/__connect" => connect(request),
        "/__exit" => process::exit(i32::try_from(request.number("code", 0)).unwrap_or(1)),
        _ => Response::new(404, "application/json; charset=utf-8", r#"{"error":"Not Found"}"#),
    })
}

/// code-server's form, for the access mode in which visitors type a password.
fn login(request: &Request, config: &Config, body: &mut Body, reader: &mut BufReader<TcpStream>) -> io::Result<Response> {
    let home = |response: Response| response.with("Location", "./");
    let Some(expected) = &config.hashed_password else { return Ok(home(Response::text(302, "Found"))) };
    if authorized(request, config) {
        return Ok(home(Response::text(302, "Found")));
    }
    let mut error = "";
    if request.method == "POST" {
        let form = String::from_utf8_lossy(&body.whole(reader)?).into_owned();
        let password = pairs(&form).into_iter().find(|(name, _)| name == "password").map(|(_, value)| value).unwrap_or_default();
        let mut hash = String::new();
        for byte in Sha256::digest(password.trim()) {
            let _ = write!(hash, "{byte:02x}");
        }
        if hash == *expected {
            let cookie = format!("{}={expected}; Path=/; SameSite=Lax", config.cookie);
            return Ok(home(Response::text(302, "Found")).with("Set-Cookie", &cookie));
        }
        error = "<p>Incorrect password</p>\n";
    }
    let page = format!(
        "<!doctype html>\n<title>stand-in login</title>\n{error}<form method=\"post\"><input type=\"password\" name=\"password\"></form>\n"
    );
    Ok(Response::new(200, "text/html; charset=utf-8", page))
}

fn files(path: &str, request: &Request, body: &mut Body, reader: &mut BufReader<TcpStream>) -> io::Result<Response> {
    let path = Path::new("/").join(percent_decoded(path, false).trim_start_matches('/'));
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !plain || !(path.starts_with("/workspace") || path.starts_with("/home/vscode")) {
        return Ok(Response::text(403, "only /workspace and /home/vscode"));
    }
    let result = match request.method.as_str() {
        "GET" | "HEAD" if path.is_dir() => list(&path).map(|names| Response::text(200, names)),
        "GET" | "HEAD" => fs::read(&path).map(|content| Response::new(200, "application/octet-stream", content)),
        "PUT" => {
            let content = body.whole(reader)?;
            let parent = path.parent().map_or(Ok(()), fs::create_dir_all);
            parent.and_then(|()| fs::write(&path, content)).map(|()| Response::text(201, "written"))
        }
        "DELETE" => fs::remove_file(&path).map(|()| Response::text(204, "")),
        _ => return Ok(Response::text(405, "GET, PUT or DELETE")),
    };
    Ok(result.unwrap_or_else(|error| {
        let status = if error.kind() == ErrorKind::NotFound { 404 } else { 403 };
        Response::text(status, format!("{}: {error}", path.display()))
    }))
}

fn list(path: &PathBuf) -> io::Result<String> {
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
        let line = hosts.lines().find(|line| line.split_whitespace().skip(1).any(|word| word == name))?;
        Some(SocketAddr::new(line.split_whitespace().next()?.parse().ok()?, port.parse().ok()?))
    });
    let Some(address) = address else { return Response::text(400, "to=ADDRESS:PORT") };
    match TcpStream::connect_timeout(&address, Duration::from_millis(request.number("ms", 1000).max(1))) {
        Ok(_) => Response::text(200, "connected"),
        Err(error) => Response::text(502, error.to_string()),
    }
}

fn events(request: &Request, writer: &mut TcpStream) -> io::Result<()> {
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

fn bytes(request: &Request, writer: &mut TcpStream) -> io::Result<()> {
    let mut left = request.number("n", 0);
    let chunked = request.number("chunked", 0) == 1;
    let framing = if chunked { "Transfer-Encoding: chunked".to_owned() } else { format!("Content-Length: {left}") };
    writer.write_all(format!("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n{framing}\r\n\r\n").as_bytes())?;
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
    if chunked { writer.write_all(b"0\r\n\r\n") } else { Ok(()) }
}

fn websocket(request: &Request, config: &Config, reader: &mut BufReader<TcpStream>, writer: &mut TcpStream) -> io::Result<()> {
    // code-server's order and its bare refusals.
    if !same_origin(request) {
        return writer.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n");
    }
    if !authorized(request, config) {
        return writer.write_all(b"HTTP/1.1 401 Unauthorized\r\n\r\n");
    }
    let Some(key) = request.header("sec-websocket-key") else {
        return writer.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    };
    let accept = base64(&Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")));
    writer.write_all(
        format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n").as_bytes(),
    )?;
    loop {
        let mut start = [0; 2];
        match reader.read_exact(&mut start) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        }
        let length = match start[1] & 0x7f {
            126 => {
                let mut wide = [0; 2];
                reader.read_exact(&mut wide)?;
                u64::from(u16::from_be_bytes(wide))
            }
            127 => {
                let mut wide = [0; 8];
                reader.read_exact(&mut wide)?;
                u64::from_be_bytes(wide)
            }
            short => u64::from(short),
        };
        if length > MAX_FRAME || start[1] & 0x80 == 0 {
            return Err(io::Error::new(ErrorKind::InvalidData, "a frame that is too large or not masked"));
        }
        let mut mask = [0; 4];
        reader.read_exact(&mut mask)?;
        let mut payload = vec![0; length as usize];
        reader.read_exact(&mut payload)?;
        for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= key;
        }
        let first = match start[0] & 0x0f {
            9 => 0x8a,
            10 => continue,
            _ => start[0],
        };
        let mut frame = vec![first];
        match payload.len() {
            short @ 0..=125 => frame.push(short as u8),
            middle @ 126..=65535 => {
                frame.push(126);
                frame.extend_from_slice(&(middle as u16).to_be_bytes());
            }
            long => {
                frame.push(127);
                frame.extend_from_slice(&(long as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(&payload);
        writer.write_all(&frame)?;
        if first & 0x0f == 8 {
            return Ok(());
        }
    }
}

/// code-server's `authenticateOrigin`: Forwarded's host, then the first of X-Forwarded-Host, then Host.
fn same_origin(request: &Request) -> bool {
    let Some(origin) = request.header("origin").filter(|origin| !origin.is_empty()) else { return true };
    let Some((scheme, rest)) = origin.split_once("://") else { return false };
    let default = match scheme.to_ascii_lowercase().as_str() {
        "http" | "ws" => ":80",
        "https" | "wss" => ":443",
        _ => "",
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let authority = if default.is_empty() { authority.as_str() } else { authority.strip_suffix(default).unwrap_or(&authority) };
    let forwarded = request.header("forwarded").and_then(|value| {
        value.split([';', ',']).filter_map(|part| part.split_once('=')).find(|(key, value)| key.trim().eq_ignore_ascii_case("host") && !value.is_empty())
    });
    let host = forwarded
        .map(|(_, value)| value)
        .or_else(|| request.header("x-forwarded-host").and_then(|value| value.split(',').next()).filter(|value| !value.is_empty()))
        .or_else(|| request.header("host").filter(|value| !value.is_empty()));
    host.is_some_and(|host| host.trim().to_ascii_lowercase() == authority)
}

fn pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (percent_decoded(key, true), percent_decoded(value, true)))
        .collect()
}

fn percent_decoded(text: &str, form: bool) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| bytes.get(at + 1..at + 3)).flatten();
        let decoded = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match decoded {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(if form && bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let word = u32::from(group[0]) << 16 | u32::from(*group.get(1).unwrap_or(&0)) << 8 | u32::from(*group.get(2).unwrap_or(&0));
        for place in 0..4 {
            if place <= group.len() {
                out.push(ALPHABET[(word >> (18 - 6 * place) & 63) as usize] as char);
            } else {
                out.push('=');
            }
        }
    }
    out
}
