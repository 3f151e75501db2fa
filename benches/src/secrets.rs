//! Secret reads over mTLS on open connections, beside a hyper and rustls server that answers the same
//! bytes without looking at anything.

use std::time::Duration;

use chancery_integration::gateway::Gateway;
use chancery_integration::http::Client;
use chancery_integration::site::Site;
use serde_json::json;

use crate::load::{self, CONNECTIONS};
use crate::measure;
use crate::report::Row;
use crate::static_server::StaticServer;

const TIME: Duration = Duration::from_secs(3);
const TARGET: &str = "/v1/secret/data/app/bench";

pub(crate) fn rows() -> Vec<Row> {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let client = gateway.app();
    let written = json!({"data": {"user": "app", "password": "correct horse battery staple"}});
    drop(client.post(TARGET, &written).expect(200));
    let answer = client.get(TARGET).expect(200).body;

    let floor = StaticServer::start(&site, gateway.ready(), &answer);
    let floor_client = Client::new(floor.url(), floor.root(), Some(&gateway.app_credential()));

    let (ours, bare) = measure::pair(
        || load::gets_per_second(&client, TARGET, TIME),
        || load::gets_per_second(&floor_client, TARGET, TIME),
    );
    let (cpu, floor_cpu) = measure::pair(
        || cpu_micros_per_get(gateway.id(), &client),
        || cpu_micros_per_get(floor.process(), &floor_client),
    );
    vec![
        Row::new(
            format!("secrets: reads over mTLS keep-alive, {CONNECTIONS} connections"),
            "reads/s",
            ours,
            bare,
        ),
        Row::new("secrets: server CPU per read", "µs", cpu, floor_cpu),
    ]
}

fn cpu_micros_per_get(process: u32, client: &Client) -> f64 {
    let before = measure::cpu_seconds(process);
    let reads = load::gets_per_second(client, TARGET, TIME) * TIME.as_secs_f64();
    (measure::cpu_seconds(process) - before) * 1e6 / reads
}
