use http::{Method, StatusCode};

/// RFC 8555 §7.2. The nonce itself comes with every answer.
pub(super) async fn show(method: Method) -> StatusCode {
    if method == Method::HEAD { StatusCode::OK } else { StatusCode::NO_CONTENT }
}
