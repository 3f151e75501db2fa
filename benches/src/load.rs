//! Clients that keep their connections.

use std::time::Duration;

use chancery_integration::http::Client;

use crate::measure;

/// Connections at once.
pub(crate) const CONNECTIONS: usize = 16;

/// GET requests per second for `target`, each on one of [`CONNECTIONS`] open connections.
pub(crate) fn gets_per_second(client: &Client, target: &str, time: Duration) -> f64 {
    per_second(client, "GET", target, b"", time)
}

/// The same with POST requests that have this body.
pub(crate) fn posts_per_second(client: &Client, target: &str, body: &[u8], time: Duration) -> f64 {
    per_second(client, "POST", target, body, time)
}

fn per_second(client: &Client, method: &str, target: &str, body: &[u8], time: Duration) -> f64 {
    measure::rate(
        CONNECTIONS,
        time,
        |_| client.connect().unwrap(),
        |connection| {
            let answer = connection.send(method, target, &[], body).unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
        },
    )
}
