//! Renewal, names that change, and the authority's own time.

use futures_util::{SinkExt as _, StreamExt as _};
use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use thon::server::{Appliance, rotate_authority};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use super::house::{DAY, House, address, ask_again, connect, leaf_at, presented, trouble};
use crate::support::client::{open_socket, tls_connector, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_drops_no_connection_and_the_next_handshake_sees_it() {
    let house = House::new("");
    let appliance = house.start().await;
    let public = address(&appliance, "public");
    let mut kept = connect(public).await;
    let first = presented(&kept);
    ask_again(&mut kept).await;
    let headers = [("host", "localhost"), ("origin", "https://localhost")];
    let socket = open_socket(connect(public).await, "/ca/test/socket", &headers).await;
    let mut socket = socket.unwrap();

    appliance.look_after_certificate(Timestamp::now() + DAY * 70);

    assert_ne!(leaf_at(public).await, first);
    ask_again(&mut kept).await;
    socket.send(Message::text("still here")).await.unwrap();
    let said = within(socket.next()).await.unwrap().unwrap();
    assert_eq!(said.to_text().unwrap(), "still here");
    within(appliance.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_the_authority_may_not_sign_for_is_said_and_never_makes_another() {
    let mut house = House::new("domain: first.example.net");
    let appliance = house.start().await;
    assert_eq!(trouble(&appliance), None);
    within(appliance.stop()).await;
    let before = std::fs::read(house.at("state/ca/rootCA.crt")).unwrap();

    house.proxy = "domain: second.example.net".to_owned();
    let appliance = house.start().await;
    appliance.look_after_certificate(Timestamp::now());
    let (code, message) = trouble(&appliance).unwrap();
    assert_eq!(code, "THN-CERT-01");
    assert!(message.contains("second.example.net") && message.contains("thon ca rotate"));
    // What it may sign for still works.
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(&before).unwrap())
        .unwrap();
    let tcp = TcpStream::connect(address(&appliance, "public"))
        .await
        .unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    tls_connector(roots, &[]).connect(name, tcp).await.unwrap();
    // And nobody exchanges an authority under a running appliance.
    let refused = format!("{:#}", rotate_authority(&house.config()).unwrap_err());
    assert!(refused.contains("an appliance runs already"), "{refused}");
    within(appliance.stop()).await;
    assert_eq!(
        std::fs::read(house.at("state/ca/rootCA.crt")).unwrap(),
        before
    );

    let rotated = rotate_authority(&house.config()).unwrap();
    let kept = rotated.kept.unwrap();
    assert_eq!(std::fs::read(kept.join("rootCA.crt")).unwrap(), before);
    assert!(kept.join("rootCA.key").exists());
    assert!(
        rotated
            .ca
            .permits
            .unwrap()
            .contains(&"second.example.net".to_owned())
    );
    let appliance = house.start().await;
    appliance.look_after_certificate(Timestamp::now());
    assert_eq!(trouble(&appliance), None);
    within(appliance.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authority_s_own_time_is_told_and_nothing_is_overwritten() {
    let house = House::new("");
    let appliance = house.start().await;
    let before = std::fs::read(house.at("state/ca/rootCA.crt")).unwrap();
    let first = leaf_at(address(&appliance, "public")).await;
    for (days, words) in [(-30, "clock"), (800, "ended on")] {
        let (code, message) = told_in(&appliance, days).await;
        assert_eq!(code, "THN-CERT-03");
        assert!(message.contains(words), "{days}: {message}");
        let leaf = leaf_at(address(&appliance, "public")).await;
        assert_eq!(leaf, first, "{days}");
    }
    let (code, message) = told_in(&appliance, 700).await;
    assert!(
        code == "THN-CERT-04" && message.contains("ends on"),
        "{message}"
    );
    assert_eq!(
        std::fs::read(house.at("state/ca/rootCA.crt")).unwrap(),
        before
    );
    within(appliance.stop()).await;
}

/// What is said this many days from now. The appliance itself looks too, by the real clock.
async fn told_in(appliance: &Appliance, days: i32) -> (String, String) {
    within(async {
        loop {
            appliance.look_after_certificate(Timestamp::now() + DAY * days);
            if let Some(told) = trouble(appliance) {
                return told;
            }
        }
    })
    .await
}
