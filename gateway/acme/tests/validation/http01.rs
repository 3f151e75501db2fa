use std::net::Ipv4Addr;
use std::sync::Arc;

use chancery_acme::challenge::ChallengeType::Http01;
use chancery_acme::challenge::Task;
use chancery_acme::{Failure, FailureKind, Identifier, ValidationConfig};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::nameserver::{Edns, Zone};
use crate::web::{self, Site, ok, redirect};
use crate::{TOKEN, config, key_authorization, task, validator};

/// `a.example` leads to this site.
async fn look_at(site: Site) -> Result<(), Failure> {
    let port = web::serve(site).await;
    validator(&settings(port).await).validate(&task(Http01, "a.example")).await
}

async fn settings(port: u16) -> ValidationConfig {
    let zone = Zone::default()
        .address("a.example.", Ipv4Addr::LOCALHOST)
        .address("internal.example.", Ipv4Addr::new(10, 0, 0, 1))
        .cname("c.example.", "a.example.");
    ValidationConfig { http01_port: port, ..config(zone.serve().await) }
}

async fn refused(site: Site) -> Failure {
    look_at(site).await.unwrap_err()
}

fn good(_: u16, path: &str) -> String {
    assert_eq!(path, format!("/.well-known/acme-challenge/{TOKEN}"));
    ok(&key_authorization())
}

#[tokio::test]
async fn finds_the_key_authorization() {
    look_at(good).await.unwrap();
    look_at(|_, _| ok(&format!("{}\r\n \t", key_authorization()))).await.unwrap();
}

#[tokio::test]
async fn validates_addresses_and_names_behind_a_cname() {
    let validator = validator(&settings(web::serve(good).await).await);
    validator.validate(&task(Http01, "127.0.0.1")).await.unwrap();
    validator.validate(&task(Http01, "c.example")).await.unwrap();
}

/// Whether a server is believed that says all of this as soon as somebody connects, and never reads.
async fn believes_at_once(said: String, how_it_ends: fn(&TcpStream)) -> Result<(), Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let settings = settings(listener.local_addr().unwrap().port()).await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(said.as_bytes()).await.unwrap();
            how_it_ends(&stream);
        }
    });
    validator(&settings).validate(&task(Http01, "a.example")).await
}

#[tokio::test]
async fn an_answer_that_comes_before_the_request_is_read_counts() {
    // What `acme.sh --standalone` says without socat, from a line of Python, and old ones with nc.
    let length = key_authorization().len();
    let python =
        format!("HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n{}", key_authorization());
    let until_it_closes = format!("HTTP/1.1 200 OK\r\n\r\n{}", key_authorization());
    let closes: fn(&TcpStream) = |_| {};
    // The connection is reset behind the answer, perhaps before the request was even sent.
    let resets: fn(&TcpStream) = |stream| stream.set_zero_linger().unwrap();
    for said in [python, until_it_closes] {
        for end in [closes, resets] {
            for _ in 0..20 {
                believes_at_once(said.clone(), end).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn what_comes_before_the_request_has_to_be_right_all_the_same() {
    for (said, kind) in [
        ("HTTP/1.0 200 OK\r\n\r\nx".to_owned(), FailureKind::IncorrectResponse),
        ("HTTP/1.0 404 Not Found\r\n\r\n".to_owned(), FailureKind::IncorrectResponse),
        ("SSH-2.0-OpenSSH_9.9\r\n".to_owned(), FailureKind::Connection),
        (String::new(), FailureKind::Connection),
        // Less than it promised.
        (
            format!("HTTP/1.0 200 OK\r\nContent-Length: 1000\r\n\r\n{}", key_authorization()),
            FailureKind::IncorrectResponse,
        ),
    ] {
        let failure = believes_at_once(said, |_| {}).await.unwrap_err();
        assert_eq!(failure.kind, kind, "{failure}");
    }
}

#[tokio::test]
async fn an_address_counts_even_if_the_other_family_is_never_answered() {
    let port = web::serve(good).await;
    for silent in [RecordType::AAAA, RecordType::A] {
        let zone = Zone::default()
            .address("a.example.", Ipv4Addr::LOCALHOST)
            .address6("a.example.", Ipv4Addr::LOCALHOST.to_ipv6_mapped())
            .silent_about(silent);
        let config = ValidationConfig { http01_port: port, ..config(zone.serve().await) };
        let found = validator(&config).validate(&task(Http01, "a.example")).await;
        assert_eq!(found, Ok(()), "silent about {silent}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_like_edns_is_asked_without() {
    let port = web::serve(good).await;
    for edns in [
        Edns::Refused(ResponseCode::FormErr),
        Edns::Refused(ResponseCode::NotImp),
        Edns::Refused(ResponseCode::ServFail),
        Edns::Refused(ResponseCode::Refused),
        Edns::Dropped,
    ] {
        let zone = Zone::default().address("a.example.", Ipv4Addr::LOCALHOST).edns(edns);
        let config = ValidationConfig { http01_port: port, ..config(zone.serve().await) };
        let found = validator(&config).validate(&task(Http01, "a.example")).await;
        assert_eq!(found, Ok(()), "{edns:?}");
    }
}

#[tokio::test]
async fn another_answer_is_refused_and_not_shown() {
    for site in [
        (|_, _| ok("the secret of a neighbour")) as Site,
        |_, _| ok(""),
        |_, _| ok(&format!(" {}", key_authorization())),
        |_, _| ok(&format!("{}x", key_authorization())),
        |_, _| ok(&"x".repeat(1_000_000)),
        |_, _| "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
    ] {
        let failure = refused(site).await;
        assert_eq!(failure.kind, FailureKind::IncorrectResponse, "{failure}");
        assert!(!failure.detail.contains("secret"), "{failure}");
    }
}

#[tokio::test]
async fn what_is_not_http_is_a_failed_connection() {
    let failure = refused(|_, _| "SSH-2.0-OpenSSH_9.9\r\n\r\n".to_owned()).await;
    assert_eq!(failure.kind, FailureKind::Connection, "{failure}");
    let failure = refused(|_, _| String::new()).await;
    assert_eq!(failure.kind, FailureKind::Connection, "{failure}");
}

#[tokio::test]
async fn http_01_follows_redirects_at_most_10() {
    fn count(port: u16, path: &str, from: u32) -> String {
        match path.trim_start_matches('/').parse::<u32>() {
            Ok(1) => ok(&key_authorization()),
            Ok(n) => redirect(&format!("/{}", n - 1)),
            // A whole URL first, paths afterwards.
            Err(_) => redirect(&format!("http://a.example:{port}/{from}")),
        }
    }
    look_at(|port, path| count(port, path, 10)).await.unwrap();
    let failure = refused(|port, path| count(port, path, 11)).await;
    assert!(failure.detail.contains("more than 10 redirects"), "{failure}");
}

#[tokio::test]
async fn http_01_is_redirected_to_http_and_https_on_their_ports_only() {
    for site in [
        (|_, _| redirect("http://a.example:22/")) as Site,
        |_, _| redirect("https://a.example:8443/"),
        |_, _| redirect("ftp://a.example/"),
        |_, _| redirect("file:///etc/passwd"),
        |port, _| redirect(&format!("http://user:pass@a.example:{port}/")),
        |_, _| redirect("http://:80"),
    ] {
        let failure = refused(site).await;
        assert_eq!(failure.kind, FailureKind::IncorrectResponse, "{failure}");
    }
}

#[tokio::test]
async fn http_01_does_not_verify_tls_on_https() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let https = listener.local_addr().unwrap().port();
    let made = rcgen::generate_simple_self_signed(["somebody.else.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(made.cert)], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let stream = acceptor.accept(stream).await.unwrap();
        web::answer(stream, 0, |_, _| ok(&key_authorization())).await;
    });

    let site = move |_, _: &str| redirect(&format!("https://a.example:{https}/x?y=z"));
    let http = web::serve(site).await;
    let settings = ValidationConfig { tls_alpn01_port: https, ..settings(http).await };
    validator(&settings).validate(&task(Http01, "a.example")).await.unwrap();
}

#[tokio::test]
async fn the_address_that_is_dialled_is_checked_first_and_on_every_redirect() {
    let forbidden = |failure: &Failure| {
        failure.kind == FailureKind::Connection && failure.detail.contains("not connected to")
    };
    // The name itself.
    let closed = ValidationConfig {
        allowed_networks: vec![],
        ..settings(web::serve(|_, _| panic!("nobody may call")).await).await
    };
    for name in ["a.example", "127.0.0.1", "localhost"] {
        let failure = validator(&closed).validate(&task(Http01, name)).await.unwrap_err();
        assert!(forbidden(&failure), "{name}: {failure}");
    }
    // Where it leads.
    for site in [
        (|_, _| redirect("http://169.254.169.254/latest/meta-data/")) as Site,
        |_, _| redirect("http://internal.example/"),
        |_, _| redirect("http://[::1]/"),
        |_, _| redirect("http://[::ffff:10.0.0.1]/"),
        |_, _| redirect("http://0xa000001/"),
    ] {
        let failure = refused(site).await;
        assert!(forbidden(&failure), "{failure}");
    }
}

/// What internal names resolve to is nobody's business.
#[tokio::test]
async fn an_address_that_may_not_be_dialled_is_not_told() {
    let failure = refused(|_, _| redirect("http://internal.example/")).await;
    assert!(failure.detail.contains("not connected to"), "{failure}");
    assert!(!failure.detail.contains("10.0.0.1"), "{failure}");
}

/// An identifier is looked up as what it is, although a URL with it leads to 127.0.0.1 without.
#[tokio::test]
async fn a_dns_name_is_looked_up_however_a_url_reads_it() {
    let validator = validator(&settings(web::serve(good).await).await);
    for name in ["0x7f000001", "127.0.0.0x1", "2130706433"] {
        let identifier = Identifier::Dns(name.to_owned());
        let task = Task { identifier, ..task(Http01, "a.example") };
        let failure = validator.validate(&task).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Dns, "{failure}");
    }
}

#[tokio::test]
async fn names_without_addresses_and_broken_dns_are_dns_failures() {
    let unknown = validator(&settings(1).await);
    let failure = unknown.validate(&task(Http01, "unknown.example")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Dns, "{failure}");
    let broken = validator(&config(Zone::broken().serve().await));
    let failure = broken.validate(&task(Http01, "a.example")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Dns, "{failure}");
}

#[tokio::test]
async fn a_server_that_never_answers_ends_in_time() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let settings = ValidationConfig {
        timeout: std::time::Duration::from_millis(200),
        ..settings(listener.local_addr().unwrap().port()).await
    };
    let failure = validator(&settings).validate(&task(Http01, "a.example")).await.unwrap_err();
    assert!(failure.detail.contains("no answer within 200ms"), "{failure}");
}
