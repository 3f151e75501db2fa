//! Logs to standard error, spans over OTLP where configured, metrics for monitoring.

mod fields;
mod help;
mod line;
mod log;
mod throttle;

use std::time::Duration;

use anyhow::{Context, Result};
use chancery_identity::Clock;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use self::log::Log;
use crate::config::TelemetryConfig;

/// For policies, in microseconds: from a guest of one page to the longest deadline by the clock.
const MICROSECONDS: [f64; 14] = [
    5.0,
    10.0,
    20.0,
    50.0,
    100.0,
    200.0,
    500.0,
    1_000.0,
    5_000.0,
    20_000.0,
    100_000.0,
    1_000_000.0,
    10_000_000.0,
    100_000_000.0,
];

/// Microseconds to seconds: signatures stand at the low end, validations at the high one.
const BUCKETS: [f64; 16] = [
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025,
    0.1, 0.5, 1.0, 5.0, 30.0,
];

/// Holds the exporter; [`Telemetry::shutdown`] sends what is left.
pub(crate) struct Telemetry {
    pub(crate) metrics: PrometheusHandle,
    log: Log,
    spans: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Installs the log, span and metric receivers of this process. Once per process, on a runtime,
    /// which tells at intervals what was left out of the log.
    ///
    /// # Errors
    /// If a receiver is installed already or the OTLP endpoint cannot be used.
    pub(crate) fn install(config: &TelemetryConfig, clock: Clock) -> Result<Self> {
        let filter = EnvFilter::try_new(&config.log).context("telemetry.log")?;
        let out = Box::new(std::io::stderr());
        let log = Log::new(out, config.json, config.repeat.is_some(), clock);
        let spans = config.otlp_endpoint.as_deref().map(exporter).transpose()?;
        let otlp = spans.as_ref().map(|provider| {
            tracing_opentelemetry::layer().with_tracer(provider.tracer("chancery"))
        });
        tracing_subscriber::registry()
            .with(filter)
            .with(log.clone())
            .with(otlp)
            .try_init()
            .context("installing the log receiver")?;
        let metrics = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_microseconds".to_owned()), &MICROSECONDS)?
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)
            .and_then(PrometheusBuilder::install_recorder)
            .context("installing the metrics recorder")?;
        help::describe();
        if let Some(pause) = config.repeat {
            tokio::spawn(tell_what_was_left_out(log.clone(), pause));
        }
        Ok(Self { metrics, log, spans })
    }

    /// Sends the spans that are still waiting.
    pub(crate) fn shutdown(&self) {
        if let Some(provider) = &self.spans
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "spans could not be sent at shutdown");
        }
    }
}

impl Drop for Telemetry {
    /// Says what was left out of the log, also where the start has failed.
    fn drop(&mut self) {
        self.log.end_turn();
    }
}

async fn tell_what_was_left_out(log: Log, pause: Duration) {
    let mut turns = tokio::time::interval(pause);
    loop {
        turns.tick().await;
        log.end_turn();
    }
}

fn exporter(endpoint: &str) -> Result<SdkTracerProvider> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .context("telemetry.otlp_endpoint")?;
    let resource = opentelemetry_sdk::Resource::builder().with_service_name("chancery").build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};

    use http_body_util::{BodyExt, Full};
    use hyper::body::{Bytes, Incoming};
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::net::TcpListener;

    use super::*;

    type Received = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

    /// An OTLP collector: keeps what it is sent and answers as gRPC wants it.
    async fn collect(listener: TcpListener, received: Received) {
        while let Ok((stream, _)) = listener.accept().await {
            let received = received.clone();
            let service = service_fn(move |request: http::Request<Incoming>| {
                let received = received.clone();
                async move {
                    let path = request.uri().path().to_owned();
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    received.lock().unwrap().push((path, body.to_vec()));
                    // An empty message: one byte of flags, four of length (gRPC over HTTP/2).
                    let answer = http::Response::builder()
                        .header("content-type", "application/grpc")
                        .header("grpc-status", "0")
                        .body(Full::new(Bytes::from_static(&[0; 5])));
                    Ok::<_, Infallible>(answer.unwrap())
                }
            });
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn spans_reach_the_collector_and_metrics_the_page() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let received = Received::default();
        tokio::spawn(collect(listener, received.clone()));
        let config = TelemetryConfig {
            log: "info".to_owned(),
            json: false,
            repeat: None,
            otlp_endpoint: Some(endpoint),
        };
        let telemetry = Telemetry::install(&config, Clock::system()).unwrap();
        tracing::info_span!("acme.finalize").in_scope(|| tracing::info!("inside"));
        metrics::counter!("chancery_ca_crls_total").increment(3);
        let page = telemetry.metrics.render();
        tokio::task::spawn_blocking(move || telemetry.shutdown()).await.unwrap();

        assert!(page.contains("chancery_ca_crls_total 3"), "{page}");
        // What has not happened yet is there too.
        for none in [
            "chancery_audit_failures_total 0",
            "chancery_store_recoveries_total 0",
            "chancery_store_commits_total{outcome=\"full\"} 0",
            "chancery_revocation_fetches_total{kind=\"crl\",outcome=\"failed\"} 0",
        ] {
            assert!(page.contains(none), "{none}: {page}");
        }
        let received = received.lock().unwrap();
        let (path, body) = received.first().expect("the collector was sent nothing");
        assert_eq!(path, "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
        for text in ["acme.finalize", "chancery"] {
            assert!(body.windows(text.len()).any(|part| part == text.as_bytes()), "{text}");
        }
    }
}
