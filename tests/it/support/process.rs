use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// The binary, stopped when the test ends.
pub struct Process(Child);

impl Process {
    pub fn start(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tickwire"));
        command.args(args).env_remove("TICKWIRE_CONFIG");
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Self(child.unwrap())
    }

    /// Where it says that it listens, once it does.
    pub fn address(&mut self) -> SocketAddr {
        let mut lines = BufReader::new(self.0.stdout.as_mut().unwrap()).lines();
        let stream = lines.find_map(|line| {
            line.unwrap().trim().strip_prefix("stream").map(|rest| rest.trim().to_owned())
        });
        let stream = stream.unwrap();
        stream.strip_prefix("ws://").unwrap().split('/').next().unwrap().parse().unwrap()
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        let pid = self.0.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    }

    /// Ends it at once, so that it can do nothing about it.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    pub fn exit_code(&mut self) -> i32 {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::yield_now();
        }
    }

    /// What it said on standard error, once it has ended.
    pub fn complaint(&mut self) -> String {
        let mut text = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
