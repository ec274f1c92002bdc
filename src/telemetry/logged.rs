//! What a test logs.

use std::{io, sync::Arc};

use parking_lot::Mutex;
use tracing::{Dispatch, dispatcher::DefaultGuard, subscriber};

#[derive(Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl io::Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What this thread logs while it lives.
pub struct Logged {
    text: Text,
    _default: DefaultGuard,
    /// With one dispatcher alone, what another thread finds out about a log line, which has none,
    /// would hold for this one too.
    _second: Dispatch,
}

impl Logged {
    /// Listens from now on.
    pub fn here() -> Self {
        let text = Text::default();
        let lines = text.clone();
        let listener = tracing_subscriber::fmt().with_writer(move || lines.clone()).finish();
        let second = Dispatch::new(tracing_subscriber::registry());
        Self { text, _default: subscriber::set_default(listener), _second: second }
    }

    /// How often the log has `words`.
    pub fn count(&self, words: &str) -> usize {
        String::from_utf8(self.text.0.lock().clone()).unwrap().matches(words).count()
    }
}
