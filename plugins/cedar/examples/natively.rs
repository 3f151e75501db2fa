//! Asks the policy outside the sandbox, for `make bench`: reads settings and a question as JSON and
//! prints how many microseconds a decision takes.

use std::time::{Duration, Instant};

use cedar::Cedar;
use chancery_guest::access::{Policy, Request};
use serde::Deserialize;

#[derive(Deserialize)]
struct Question {
    settings: Cedar,
    identity: String,
    operation: String,
    resource: String,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let question: Question = serde_json::from_reader(std::io::stdin())?;
    let request = Request {
        tenant: "default".to_owned(),
        identity: question.identity,
        operation: question.operation,
        resource: question.resource,
        attributes: vec![],
    };
    let begun = Instant::now();
    let mut asked = 0_u32;
    while begun.elapsed() < Duration::from_secs(1) {
        for _ in 0..100 {
            if question.settings.evaluate(&request).is_err() {
                return Err("the policy does not allow it".into());
            }
        }
        asked += 100;
    }
    println!("{}", begun.elapsed().as_secs_f64() * 1e6 / f64::from(asked));
    Ok(())
}
