//! A thread that takes connections until its owner goes.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// The thread. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Accepting {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
}

impl Accepting {
    /// Serves one connection after the other.
    #[track_caller]
    pub(crate) fn on(
        listener: TcpListener,
        serve: impl Fn(TcpStream) -> io::Result<()> + Send + 'static,
    ) -> Self {
        let address = listener.local_addr().expect("it is bound");
        let stopped = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stopped);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if told.load(Ordering::SeqCst) {
                    break;
                }
                // A client that closes early is judged by what the gateway says about it.
                let _ = serve(stream);
            }
        });
        Self { address, stopped }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread, which then sees that it is to stop.
        let _ = TcpStream::connect(self.address);
    }
}
