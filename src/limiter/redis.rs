//! Balances in Redis: one script for all balances of a request, by the clock of Redis.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{
    Client, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, RedisError, Script,
    TlsCertificates,
};

use crate::domain::secret::Secret;
use crate::limiter::bucket::Pace;

/// Nobody waits longer for it; reserving is the one wait of a request.
pub const OPERATION_TIMEOUT: Duration = Duration::from_millis(250);

/// Ticks of a window, so that a product of two of them is exact in a double.
const TICKS_MAX: u64 = 90_000_000;

/// Milliseconds of a tick: each divides a second.
const TICKS_MS: [u64; 16] = [
    1, 2, 4, 5, 8, 10, 20, 25, 40, 50, 100, 125, 200, 250, 500, 1_000,
];

/// Where it is.
#[derive(Clone, Debug)]
pub struct Place {
    pub host: String,
    pub port: u16,
    pub password: Option<Secret>,
    pub tls: Tls,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    #[default]
    Off,
    /// By the authorities of this machine.
    On,
    /// By this authority, in PEM.
    By(Vec<u8>),
}

/// It did not answer in time, or with something that no balance is.
#[derive(Debug, thiserror::Error)]
pub enum Gone {
    #[error("no answer within {} ms", OPERATION_TIMEOUT.as_millis())]
    Late,
    #[error("{0}")]
    Failed(#[from] RedisError),
}

/// No connection can even be tried: the authority is none, or the host is not.
#[derive(Debug, thiserror::Error)]
#[error("the place of the shared balances cannot be used: {0}")]
pub struct BadPlace(pub RedisError);

/// What is done with the balances of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Reserve,
    Extend,
    Close,
}

/// One balance, and the thousandths that the request is to hold of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub key: String,
    pub pace: Pace,
    pub amount: u64,
    pub refuses: bool,
}

/// What it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub word: Word,
    /// Thousandths that are used of each balance.
    pub used: Vec<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    Done,
    Refused,
    /// It was ended before.
    Stale,
}

/// A connection that comes back by itself.
#[derive(Clone)]
pub struct Redis {
    connection: ConnectionManager,
    script: Script,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redis")
    }
}

impl Redis {
    /// Connects when it is used first. Needs a runtime.
    pub fn new(place: &Place) -> Result<Self, RedisError> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(OPERATION_TIMEOUT))
            .set_response_timeout(Some(OPERATION_TIMEOUT))
            .set_min_delay(Duration::from_millis(50))
            .set_number_of_retries(1);
        Ok(Self {
            connection: ConnectionManager::new_lazy_with_config(client(place)?, config)?,
            script: Script::new(include_str!("redis/balances.lua")),
        })
    }

    /// All of it or nothing. `now_ms` is for simulations: otherwise the clock of Redis counts.
    pub async fn tell(
        &self,
        verb: Verb,
        mark: &str,
        parts: &[Part],
        now_ms: Option<u64>,
    ) -> Result<Reply, Gone> {
        let mut call = self.script.key(mark);
        call.arg(verb.word());
        call.arg(now_ms.map(|it| it.to_string()).unwrap_or_default());
        for part in parts {
            let window_ms = part.pace.window_us() / 1_000;
            call.key(&part.key)
                .arg(part.pace.capacity())
                .arg(window_ms)
                .arg(tick_ms(window_ms))
                .arg(part.amount)
                .arg(u8::from(part.refuses));
        }
        let mut connection = self.connection.clone();
        let said = call.invoke_async::<Vec<i64>>(&mut connection);
        let said = tokio::time::timeout(OPERATION_TIMEOUT, said).await;
        Ok(Reply::of(&said.map_err(|_| Gone::Late)??))
    }

    /// Whether it answers.
    pub async fn ping(&self) -> Result<(), Gone> {
        let mut connection = self.connection.clone();
        let ping = redis::cmd("PING");
        let said = ping.query_async::<()>(&mut connection);
        let said = tokio::time::timeout(OPERATION_TIMEOUT, said).await;
        Ok(said.map_err(|_| Gone::Late)??)
    }
}

fn client(place: &Place) -> Result<Client, RedisError> {
    let (host, port) = (place.host.clone(), place.port);
    let address = match place.tls {
        Tls::Off => ConnectionAddr::Tcp(host, port),
        Tls::On | Tls::By(_) => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: false,
            tls_params: None,
        },
    };
    let mut login = RedisConnectionInfo::default();
    if let Some(password) = &place.password {
        login = login.set_password(password.expose());
    }
    let info = address.into_connection_info()?.set_redis_settings(login);
    match &place.tls {
        Tls::By(authority) => Client::build_with_tls(
            info,
            TlsCertificates {
                client_tls: None,
                root_cert: Some(authority.clone()),
            },
        ),
        Tls::Off | Tls::On => Client::open(info),
    }
}

impl Verb {
    fn word(self) -> &'static str {
        match self {
            Self::Reserve => "reserve",
            Self::Extend => "extend",
            Self::Close => "close",
        }
    }
}

impl Reply {
    fn of(said: &[i64]) -> Self {
        let word = match said.first() {
            Some(1) => Word::Done,
            Some(0) => Word::Refused,
            _ => Word::Stale,
        };
        Self {
            word,
            used: said.get(1..).unwrap_or_default().to_vec(),
        }
    }
}

/// The finest tick of which the window has few enough.
fn tick_ms(window_ms: u64) -> u64 {
    let fits = |tick: &&u64| window_ms / **tick <= TICKS_MAX;
    TICKS_MS.iter().find(fits).copied().unwrap_or(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_divides_its_window_and_few_are_in_it() {
        for window_s in [1, 60, 3_600, 86_400, 604_800, 31_536_000] {
            let window_ms = window_s * 1_000;
            let tick = tick_ms(window_ms);
            assert_eq!(window_ms % tick, 0);
            assert!((window_ms / tick).pow(2) < 1 << 53);
        }
        assert_eq!(tick_ms(86_400_000), 1);
        assert_eq!(tick_ms(604_800_000), 8);
    }

    #[test]
    fn no_password_is_shown() {
        let place = Place {
            host: "localhost".into(),
            port: 1,
            password: Some(Secret::new("hush")),
            tls: Tls::Off,
        };
        assert!(!format!("{place:?}").contains("hush"));
    }
}
