//! A certificate from files, read again when they change. A pair that is half written or broken
//! changes nothing: the one from before goes on.

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use rustls::sign::CertifiedKey;

use super::trouble::Trouble;
use crate::config::Config;
use crate::tls::Names;
use crate::tls::provided::{Contents, Pair, Provided, Unusable};
use crate::tls::renewal::{Standing, Validity};

/// Whoever renews a certificate by hand needs some days; certbot does it thirty days before.
const FILE_WARNING: SignedDuration = SignedDuration::from_hours(14 * 24);

pub(super) struct Files {
    pair: Pair,
    /// What visitors use by the settings' word.
    expected: Names,
    state: Mutex<State>,
}

struct State {
    /// Of what is served. `None` at the start, so that the first look reads them as the user that
    /// every later look is.
    digest: Option<[u8; 32]>,
    validity: Validity,
    missing: Names,
    /// What was wrong at the last look. Said at the next one if it is still so: between writing one
    /// file and the other a pair does not fit.
    wrong: Option<Unusable>,
}

impl State {
    fn of(provided: &Provided, expected: &Names) -> Self {
        Self {
            digest: None,
            validity: provided.validity,
            missing: missing(expected, provided),
            wrong: None,
        }
    }

    /// What is no question of rights may be mended by the next look.
    fn complain(&mut self, why: Unusable) -> Option<Trouble> {
        let is_confirmed = why.is_forbidden || self.wrong.as_ref() == Some(&why);
        let until = self.validity.until;
        self.wrong = Some(why.clone());
        is_confirmed.then_some(Trouble::NotRead { why, until })
    }
}

/// For the first time.
pub(super) fn read(pair: &Pair) -> Result<Provided, Unusable> {
    let contents = pair.read()?;
    warn_of_open_key(pair, &contents);
    contents.load()
}

impl Files {
    pub(super) fn new(pair: Pair, provided: Provided, config: &Config) -> (Self, CertifiedKey) {
        let expected = Names::new(
            config.proxy.domain.clone(),
            config.external_ip.filter(|_| config.proxy.domain.is_none()),
        );
        let files = Self {
            pair,
            state: Mutex::new(State::of(&provided, &expected)),
            expected,
        };
        (files, provided.certified)
    }

    /// What is wrong with the pair that was read.
    pub(super) fn standing(&self, now: Timestamp) -> Option<Trouble> {
        self.trouble(&self.state.lock(), now)
    }

    /// The next pair if there is one, and what is wrong.
    pub(super) fn look(&self, now: Timestamp) -> (Option<CertifiedKey>, Option<Trouble>) {
        let mut state = self.state.lock();
        match self.changed(&state, now) {
            Ok(None) => {
                state.wrong = None;
                (None, self.trouble(&state, now))
            }
            Ok(Some((digest, provided))) => {
                *state = State {
                    digest: Some(digest),
                    ..State::of(&provided, &self.expected)
                };
                tracing::info!(certificate.until = %provided.validity.until, "the certificate was read");
                (Some(provided.certified), self.trouble(&state, now))
            }
            Err(why) => {
                let told = state.complain(why);
                (None, told.or_else(|| self.trouble(&state, now)))
            }
        }
    }

    fn changed(
        &self,
        state: &State,
        now: Timestamp,
    ) -> Result<Option<([u8; 32], Provided)>, Unusable> {
        let contents = self.pair.read()?;
        let digest = contents.digest();
        if state.digest == Some(digest) {
            return Ok(None);
        }
        let provided = contents.load()?;
        let is_over = |validity: Validity| now >= validity.until;
        if is_over(provided.validity) && !is_over(state.validity) {
            return Err(Unusable {
                path: self.pair.certificate.clone(),
                reason: "it has ended already".to_owned(),
                is_forbidden: false,
            });
        }
        if state.digest.is_some() {
            warn_of_open_key(&self.pair, &contents);
        }
        Ok(Some((digest, provided)))
    }

    fn trouble(&self, state: &State, now: Timestamp) -> Option<Trouble> {
        let path = self.pair.certificate.clone();
        let validity = state.validity;
        let file = |standing, at| {
            Some(Trouble::File {
                path: path.clone(),
                standing,
                at,
            })
        };
        match validity.standing(now, FILE_WARNING) {
            standing @ Standing::NotYet => file(standing, validity.from),
            standing @ Standing::Ended => file(standing, validity.until),
            _ if !state.missing.is_empty() => Some(Trouble::NotFor {
                path: path.clone(),
                names: state.missing.clone(),
            }),
            standing @ Standing::EndsSoon => file(standing, validity.until),
            Standing::Valid => None,
        }
    }
}

fn missing(expected: &Names, provided: &Provided) -> Names {
    let dns = expected.dns().filter(|name| !provided.covers_name(name));
    let addresses = expected.addresses();
    Names::new(
        dns.map(str::to_owned),
        addresses.filter(|ip| !provided.covers_address(*ip)),
    )
}

fn warn_of_open_key(pair: &Pair, contents: &Contents) {
    if contents.key_is_open {
        let path = pair.key.display();
        tracing::warn!("{path} can be read by everybody on this host: `chmod o-r {path}`");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::env::FixedVars;
    use crate::tls;

    fn write(pair: &Pair) {
        let made = rcgen::generate_simple_self_signed(["thon.example".to_owned()]).unwrap();
        std::fs::write(&pair.certificate, made.cert.pem()).unwrap();
        std::fs::write(&pair.key, made.signing_key.serialize_pem()).unwrap();
    }

    fn files(dir: &std::path::Path) -> Files {
        tls::install_provider();
        let pair = Pair {
            certificate: dir.join("tls.crt"),
            key: dir.join("tls.key"),
        };
        write(&pair);
        let vars = FixedVars::default();
        let empty = dir.join("thon.yaml");
        std::fs::write(
            &empty,
            format!("state_dir: {0}\nruntime_dir: {0}\n", dir.display()),
        )
        .unwrap();
        let config = crate::config::load(Some(&empty), &vars).unwrap();
        let provided = read(&pair).unwrap();
        let (files, _) = Files::new(pair, provided, &config);
        files
    }

    #[test]
    fn between_the_writing_of_one_file_and_the_other_nobody_is_alarmed() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path());
        let now = Timestamp::now();
        assert!(
            files.look(now).0.is_some(),
            "the first look is as whoever runs"
        );
        assert!(files.look(now).0.is_none(), "nothing has changed");
        let key = std::fs::read(&files.pair.key).unwrap();
        write(&files.pair);
        let late = std::fs::read(&files.pair.key).unwrap();
        std::fs::write(&files.pair.key, key).unwrap();
        let (next, trouble) = files.look(now);
        assert!(next.is_none() && trouble.is_none(), "{trouble:?}");
        std::fs::write(&files.pair.key, late).unwrap();
        let (next, trouble) = files.look(now);
        assert!(next.is_some() && trouble.is_none(), "{trouble:?}");
    }

    #[test]
    fn a_pair_that_stays_broken_is_told_at_the_second_look_until_it_is_mended() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path());
        let now = Timestamp::now();
        files.look(now);
        let good = std::fs::read(&files.pair.certificate).unwrap();
        std::fs::remove_file(&files.pair.certificate).unwrap();
        assert_eq!(files.look(now).1, None);
        for _ in 0..2 {
            let told = files.look(now).1;
            assert!(matches!(told, Some(Trouble::NotRead { .. })), "{told:?}");
        }
        std::fs::write(&files.pair.certificate, good).unwrap();
        assert_eq!(files.look(now).1, None);
    }
}
