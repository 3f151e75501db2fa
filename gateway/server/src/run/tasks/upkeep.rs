//! The upkeep of the metrics: histograms are emptied into what the page shows.

use metrics_exporter_prometheus::PrometheusHandle;

use super::HOUSEKEEPING;
use super::task::Task;

pub(super) fn task(metrics: PrometheusHandle) -> Task {
    Task::of_gateway("metrics", HOUSEKEEPING, move || {
        metrics.run_upkeep();
        std::future::ready(Ok(None))
    })
}
