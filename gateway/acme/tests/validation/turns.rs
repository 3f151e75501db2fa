//! Servers that never answer must not keep the others waiting.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use chancery_acme::ValidationConfig;
use chancery_acme::challenge::ChallengeType::Http01;
use chancery_acme::challenge::{Task, Validator, Whose};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::nameserver::Zone;
use crate::web::{self, ok};
use crate::{config, key_authorization, task, validator};

/// A server that accepts connections and never answers; how many it has.
async fn black_hole(port: u16) -> watch::Receiver<usize> {
    let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), port)).await.unwrap();
    let (count, accepted) = watch::channel(0);
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
            count.send_replace(held.len());
        }
    });
    accepted
}

async fn look(validator: Arc<Validator>, account: String, task: Task) -> bool {
    let client = Ipv4Addr::new(192, 0, 2, 1).into();
    let whose = Whose::new(&account, Some(client), &task.identifier);
    let _turn = validator.turn(&whose).await.unwrap();
    validator.validate(&task).await.is_ok()
}

#[tokio::test]
async fn an_honest_challenge_is_met_while_280_of_four_accounts_hang() {
    let port = web::serve(|_, _| ok(&key_authorization())).await;
    let zone = Zone::default()
        .address("honest.example.", Ipv4Addr::LOCALHOST)
        .address("hang.example.", Ipv4Addr::new(127, 0, 0, 2));
    let day = Duration::from_hours(24);
    let settings = ValidationConfig {
        http01_port: port,
        timeout: day,
        turn_timeout: day,
        ..config(zone.serve().await)
    };
    let validator = Arc::new(validator(&settings));
    let mut accepted = black_hole(port).await;
    let mut hanging = Vec::new();
    for number in 0..280 {
        let task = task(Http01, "hang.example");
        hanging.push(tokio::spawn(look(Arc::clone(&validator), format!("a{}", number % 4), task)));
    }
    accepted.wait_for(|count| *count >= 140).await.unwrap();
    // Even from their own address, and with as many as it likes.
    for _ in 0..10 {
        let task = task(Http01, "honest.example");
        assert!(look(Arc::clone(&validator), "honest".to_owned(), task).await);
    }
    assert!(hanging.iter().all(|task| !task.is_finished()), "they hang while it is met");
    assert!(*accepted.borrow() < 200, "and have not all of the room");
    hanging.iter().for_each(tokio::task::JoinHandle::abort);
}
