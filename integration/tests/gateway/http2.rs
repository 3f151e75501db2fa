//! HTTP/2 as no client speaks it: frames that ask for nothing, in numbers (RFC 9113, section 10.5).

use chancery_integration::gateway::Gateway;
use chancery_integration::http::{Client, Connection};
use chancery_integration::site::Site;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const ENHANCE_YOUR_CALM: u32 = 11;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const UNKNOWN: u8 = 0xee;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The fields of a request (RFC 7541): GET or POST, the scheme, the path and the host.
fn fields(post: bool, path: &str) -> Vec<u8> {
    let text = |text: &str| {
        let mut bytes = vec![u8::try_from(text.len()).expect("a short text")];
        bytes.extend(text.as_bytes());
        bytes
    };
    [&[if post { 0x83 } else { 0x82 }, 0x87, 0x04][..], &text(path), &[0x01], &text("localhost")]
        .concat()
}

fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &fields(false, "/v1/sys/health"))
}

fn connect(client: Client) -> Connection {
    let mut connection = client.http2().connect().expect("a connection");
    let begin = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    connection.write(&begin).expect("it can be sent");
    connection
}

/// Type, flags, stream and payload of the frames in `bytes`.
fn frames(mut bytes: &[u8]) -> Vec<(u8, u8, u32, Vec<u8>)> {
    let mut frames = vec![];
    while let Some((head, rest)) = bytes.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let Some((payload, rest)) = rest.split_at_checked(length) else { break };
        frames.push((head[3], head[4], stream, payload.to_vec()));
        bytes = rest;
    }
    frames
}

/// Why the server ended a connection.
fn end(bytes: &[u8]) -> Option<u32> {
    let frames = frames(bytes);
    let (.., payload) = frames.iter().rfind(|(kind, ..)| *kind == GOAWAY)?;
    Some(u32::from_be_bytes(payload[4..8].try_into().expect("four bytes")))
}

#[test]
fn floods_of_frames_that_ask_for_nothing_end_a_connection() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let post = frame(HEADERS, END_HEADERS, 1, &fields(true, "/acme/new-account"));
    // What is sent once, and what again and again.
    let cases: [(&str, Vec<u8>, Vec<u8>); 10] = [
        ("PING", vec![], frame(PING, 0, 0, b"12345678")),
        ("PING that answers nothing", vec![], frame(PING, ACK, 0, b"12345678")),
        ("SETTINGS", vec![], frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff])),
        ("PRIORITY", vec![], frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1])),
        ("WINDOW_UPDATE", vec![], frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("RST_STREAM of a stream that is over", get(1), frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])),
        ("unknown frames", vec![], frame(UNKNOWN, 0, 0, b"")),
        ("empty DATA", post.clone(), frame(DATA, 0, 1, b"")),
        (
            "empty CONTINUATION",
            frame(HEADERS, 0, 1, &fields(false, "/")),
            frame(CONTINUATION, 0, 1, b""),
        ),
        ("WINDOW_UPDATE of a stream", post, frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])),
    ];
    for (what, once, again) in cases {
        for client in [gateway.plain(), gateway.anonymous()] {
            let mut connection = connect(client);
            connection.write(&once).expect("it can be sent");
            // It ends in the middle.
            let _ = connection.write(&again.repeat(20_000));
            let said = connection.until_closed().expect("it ends");
            assert_eq!(end(&said), Some(ENHANCE_YOUR_CALM), "{what}");
        }
    }
    // Streams that are opened and reset.
    for client in [gateway.plain(), gateway.anonymous()] {
        let mut connection = connect(client);
        let resets: Vec<u8> = (0..5000)
            .flat_map(|n| [get(2 * n + 1), frame(RST_STREAM, 0, 2 * n + 1, &[0, 0, 0, 8])].concat())
            .collect();
        let _ = connection.write(&resets);
        let said = connection.until_closed().expect("it ends");
        assert_eq!(end(&said), Some(ENHANCE_YOUR_CALM));
    }
    let page = gateway.monitoring().get("/metrics").expect(200).text();
    let ended = "chancery_server_connections_ended_total{port=\"plain\",reason=\"noisy\"}";
    assert!(page.contains(ended), "{page}");
    drop(gateway.anonymous().get("/v1/sys/health").expect(200));
}

#[test]
fn a_client_that_measures_and_opens_windows_is_served() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    for client in [gateway.plain(), gateway.anonymous()] {
        let mut connection = connect(client);
        // Five times as many as there may be at once, between requests.
        for n in 0..500 {
            let window = frame(WINDOW_UPDATE, 0, 0, &[0, 0, 4, 0]);
            let ping = frame(PING, 0, 0, b"12345678");
            let all = [get(2 * n + 1), ping, window.repeat(7)].concat();
            connection.write(&all).expect("it can be sent");
            if n % 50 == 49 {
                let answered = connection.until(|said| {
                    let is_last = |(kind, flags, stream, _): &(u8, u8, u32, Vec<u8>)| {
                        *stream == 2 * n + 1
                            && matches!(*kind, DATA | HEADERS)
                            && flags & END_STREAM != 0
                    };
                    frames(said).iter().any(is_last)
                });
                drop(answered.expect("an answer"));
            }
        }
    }
}
