use std::time::Duration;

use chancery_tls::AcceptError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Gateway, Served};

/// The start of a TLS record that promises 512 bytes of `ClientHello`.
const PROMISE: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

/// Sends `bytes`, then ends its side if told to, and reads what the gateway has to say.
async fn send(gateway: &Gateway, bytes: &[u8], then_end: bool) -> (Served, Vec<u8>) {
    let peer = async {
        let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        if then_end {
            stream.shutdown().await.unwrap();
        }
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        answer
    };
    tokio::join!(gateway.serve(), peer)
}

#[tokio::test]
async fn a_peer_that_says_nothing_or_stops_half_way_is_left_at_the_deadline() {
    let deadline = Duration::from_millis(50);
    let gateway = Gateway::start_with(deadline).await;
    for bytes in [&[][..], PROMISE] {
        let (served, _answer) = send(&gateway, bytes, false).await;
        let Err(AcceptError::TimedOut { after }) = served else { panic!("no time-out") };
        assert_eq!(after, deadline);
    }
}

#[tokio::test]
async fn a_peer_that_goes_away_half_way_is_closed() {
    let gateway = Gateway::start().await;
    for bytes in [&[][..], PROMISE] {
        let (served, _answer) = send(&gateway, bytes, true).await;
        assert!(matches!(served, Err(AcceptError::Closed(_))));
    }
    gateway.connect(&gateway.client(None)).await.0.unwrap();
}

#[tokio::test]
async fn garbage_is_answered_with_an_alert() {
    let gateway = Gateway::start().await;
    let long = vec![0xff; 40_000];
    for bytes in [&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], &[0; 64], &long] {
        let (served, answer) = send(&gateway, bytes, true).await;
        assert!(matches!(served, Err(AcceptError::Handshake(_))));
        // A TLS record of type alert.
        assert_eq!(answer.first(), Some(&21), "{answer:?}");
    }
    gateway.connect(&gateway.client(None)).await.0.unwrap();
}
