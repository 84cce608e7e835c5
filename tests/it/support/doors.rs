//! The use cases over a runtime in memory, with routers that are called in the same process.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use thon::admin::{AdminState, Facts, Live};
use thon::api::CaView;
use thon::control::Control;
use thon::domain::audit::Actor;
use thon::domain::id::UserRef;
use thon::domain::instance::{Desired, Phase};
use thon::edge::Peer;
use thon::portal::{Ca, Portal};
use thon::telemetry::metrics::Metrics;

use crate::support::world::{World, until};

const PEM: &str = "-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n";

/// An appliance without its listeners.
pub(crate) struct House {
    pub(crate) world: World,
    pub(crate) control: Arc<Control>,
}

impl House {
    /// With these participants in the configuration.
    pub(crate) fn new(participants: &[&str]) -> Self {
        let world = World::with(participants);
        let control = Arc::clone(&world.control);
        Self { world, control }
    }

    /// Launches everybody and waits until nobody is on the way any more.
    pub(crate) async fn launched(participants: &[&str]) -> Self {
        let house = Self::new(participants);
        house.world.launch().await;
        house.settle().await;
        house
    }

    /// Waits until every instance is what it is meant to be, or has failed.
    pub(crate) async fn settle(&self) {
        until("the instances settle", async || self.is_settled().await).await;
    }

    /// Takes a participant's instance away; the participant stays.
    pub(crate) async fn remove(&self, user: &str) {
        let owner = who(user);
        let wanted = self.control.want(&owner, Desired::Removed, Actor::Control);
        wanted.await.unwrap();
        self.gone(user).await;
    }

    /// Waits until nothing is left of a participant's instance but their files.
    pub(crate) async fn gone(&self, user: &str) {
        let user = who(user);
        until("the instance goes", async || {
            self.control.instance(&user).await.is_err()
        })
        .await;
    }

    async fn is_settled(&self) -> bool {
        let mut all = self.control.instances().await.unwrap().into_iter();
        all.all(|status| {
            matches!(
                (status.instance.desired, status.instance.observed.phase),
                (Desired::Running, Phase::Ready | Phase::Failed)
                    | (Desired::Stopped, Phase::Stopped)
                    | (Desired::Paused, Phase::Paused)
            )
        })
    }

    /// A participant's invite code, made anew.
    pub(crate) async fn code(&self, user: &str) -> String {
        let new = self.control.rotate_invite(&who(user), Actor::Control).await;
        new.unwrap().code.expose().to_owned()
    }

    pub(crate) fn portal(&self) -> Portal {
        Portal {
            control: Arc::clone(&self.control),
            ca: Some(Ca {
                pem: PEM.into(),
                sha256: "AB:CD".into(),
                plain_port: 80,
            }),
        }
    }

    pub(crate) fn browser(&self) -> Browser {
        Browser {
            router: thon::portal::router(self.portal()),
            cookie: None,
        }
    }

    /// A browser that has followed its invite.
    pub(crate) async fn signed_in(&self, user: &str) -> Browser {
        let mut browser = self.browser();
        let code = self.code(user).await;
        browser.submit(&format!("/join/{code}"), "").await;
        assert!(browser.cookie.is_some(), "{user} was not signed in");
        browser
    }

    /// `missing` is what the appliance waits for, if it is not ready.
    pub(crate) fn admin(&self, missing: Option<&'static str>) -> AdminState {
        AdminState {
            control: Arc::clone(&self.control),
            facts: Arc::new(Facts {
                version: "0.0.0".to_owned(),
                started_at: Timestamp::now(),
                config_path: None,
                store_path: "thon.redb".into(),
                public_url: Box::new(|| "https://thon.example".to_owned()),
                admin_url: Box::new(|| "https://thon.example:8100".to_owned()),
                ca: Some(CaView {
                    path: "rootCA.pem".into(),
                    sha256: "AB:CD".to_owned(),
                    not_before: Timestamp::UNIX_EPOCH,
                    not_after: Timestamp::UNIX_EPOCH,
                    permits: Some(vec!["thon.example".to_owned()]),
                    pem: PEM.to_owned(),
                }),
                listeners: Box::new(Vec::new),
                ready: Box::new(move || missing.map_or(Ok(()), |what| Err(what.to_owned()))),
                live: Live::default(),
                metrics: Metrics::new("0.0.0"),
                metrics_token: None,
            }),
        }
    }
}

pub(crate) fn who(text: &str) -> UserRef {
    text.parse().unwrap()
}

/// What a test looks at.
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Page {
    pub(crate) async fn read(response: Response<Body>) -> Self {
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Self {
            status: head.status,
            headers: head.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }
}

pub(crate) async fn call(router: &Router, request: Request<Body>) -> Page {
    let response = tower::ServiceExt::oneshot(router.clone(), request).await;
    Page::read(response.unwrap()).await
}

/// A browser: keeps its cookie and says where its requests are from.
pub(crate) struct Browser {
    pub(crate) router: Router,
    pub(crate) cookie: Option<String>,
}

impl Browser {
    pub(crate) async fn get(&mut self, path: &str) -> Page {
        self.send(Request::get(path), "").await
    }

    /// A form of the page that the browser shows.
    pub(crate) async fn submit(&mut self, path: &str, form: &str) -> Page {
        let request = Request::post(path)
            .header("sec-fetch-site", "same-origin")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
            .header("content-type", "application/x-www-form-urlencoded");
        self.send(request, form).await
    }

    pub(crate) async fn send(&mut self, request: http::request::Builder, body: &str) -> Page {
        let peer: SocketAddr = "192.0.2.7:4000".parse().unwrap();
        let mut request = request
            .header("host", "thon.example")
            .header(
                "user-agent",
                "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
            )
            .extension(Peer(Some(peer)));
        if let Some(cookie) = &self.cookie {
            request = request.header(COOKIE, cookie);
        }
        let page = call(&self.router, request.body(body.to_owned().into()).unwrap()).await;
        if let Some(set) = page.headers.get(SET_COOKIE) {
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            self.cookie = (!pair.ends_with('=')).then(|| pair.to_owned());
        }
        page
    }
}
