//! The WebSocket by which a browser is tested.

use futures_util::{SinkExt as _, StreamExt as _};
use http::StatusCode;
use tokio_tungstenite::tungstenite::Message;

use super::house::{House, address, connect};
use crate::support::client::{open_socket, request, send, within};

#[tokio::test(flavor = "multi_thread")]
async fn the_test_s_websocket_says_one_message_back_and_ends() {
    let house = House::new("");
    let appliance = house.start().await;
    let public = address(&appliance, "public");
    let ours = [("host", "localhost"), ("origin", "https://localhost")];
    let mut socket = open_socket(connect(public).await, "/ca/test/socket", &ours)
        .await
        .unwrap();
    socket.send(Message::text("are you there?")).await.unwrap();
    let said = within(socket.next()).await.unwrap().unwrap();
    assert_eq!(said, Message::text("are you there?"));
    let said = within(socket.next()).await.unwrap().unwrap();
    assert!(said.is_close(), "{said:?}");

    let foreign = [("host", "localhost"), ("origin", "https://evil.example")];
    let refused = open_socket(connect(public).await, "/ca/test/socket", &foreign).await;
    assert_eq!(refused.err(), Some(StatusCode::FORBIDDEN));
    let plain = request("GET", "/ca/test/socket", &[("host", "localhost")], "");
    assert_eq!(
        send(connect(public).await, plain).await.status,
        StatusCode::NOT_FOUND
    );
    within(appliance.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_holds_many_of_the_test_s_websockets_keeps_nobody_else_from_it() {
    let house = House::new("");
    let appliance = house.start().await;
    let public = address(&appliance, "public");
    let ours = [("host", "localhost"), ("origin", "https://localhost")];
    let mut open = Vec::new();
    for _ in 0..64 {
        let socket = open_socket(connect(public).await, "/ca/test/socket", &ours).await;
        open.push(socket.unwrap());
    }
    let socket = open_socket(connect(public).await, "/ca/test/socket", &ours).await;
    let mut next = socket.unwrap();
    next.send(Message::text("are you there?")).await.unwrap();
    let said = within(next.next()).await.unwrap().unwrap();
    assert_eq!(said, Message::text("are you there?"));
    // The first of them made room, long before its time was over.
    let mut first = open.remove(0);
    let ended = within(first.next()).await;
    assert!(ended.is_none_or(|end| end.is_err()), "nothing was said");
    // Whoever says too much is cut off.
    let mut long = open.pop().unwrap();
    long.send(Message::text("x".repeat(126))).await.unwrap();
    let said = within(long.next()).await.unwrap().unwrap();
    assert!(said.is_close(), "{said:?}");
    drop(long);
    drop(open);
    within(appliance.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_s_websocket_that_says_nothing_is_ended() {
    let house = House::new("");
    let appliance = house.start().await;
    let public = address(&appliance, "public");
    let ours = [("host", "localhost"), ("origin", "https://localhost")];
    let socket = open_socket(connect(public).await, "/ca/test/socket", &ours).await;
    let mut silent = socket.unwrap();
    let ended = within(silent.next()).await;
    assert!(ended.is_none_or(|end| end.is_err()), "nothing was said");
    within(appliance.stop()).await;
}
