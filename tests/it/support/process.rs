use std::{
    io::{BufRead, BufReader, Lines, Write},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// The binary, stopped when the test ends.
pub struct Process {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    address: Option<SocketAddr>,
}

impl Process {
    pub fn start(args: &[&str], environment: &[(&str, &str)]) -> Self {
        // For what is asked of it by HTTP. An error says that there is one already.
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tickwire"));
        command.args(args).env_remove("TICKWIRE_CONFIG").envs(environment.iter().copied());
        // The log goes nowhere: nobody would read a pipe, which fills up.
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, stdout, address: None }
    }

    /// Serves what `toml` says on a port that is free.
    pub fn serve(toml: &str, environment: &[(&str, &str)]) -> Self {
        let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        file.write_all(toml.as_bytes()).unwrap();
        let path = file.path().to_str().unwrap();
        let mut process = Self::start(&["--config", path, "--listen", "127.0.0.1:0"], environment);
        // By then the file has been read.
        process.address();
        process
    }

    /// Where it listens, which it says first of all.
    pub fn address(&mut self) -> SocketAddr {
        let stdout = &mut self.stdout;
        *self.address.get_or_insert_with(|| {
            loop {
                let line = stdout.next().unwrap().unwrap();
                if let Some(stream) = line.trim().strip_prefix("stream") {
                    let address = stream.trim().strip_prefix("ws://").unwrap();
                    return address.split('/').next().unwrap().parse().unwrap();
                }
            }
        })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The feed as it is reported.
    pub async fn feed(&self, name: &str) -> Value {
        let url = format!("http://{}/v1/feeds", self.address.unwrap());
        let mut response = reqwest::get(url).await.unwrap();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.unwrap() {
            body.extend_from_slice(&chunk);
        }
        let page: Value = serde_json::from_slice(&body).unwrap();
        let feeds = page["feeds"].as_array().unwrap();
        feeds.iter().find(|feed| feed["name"] == name).unwrap().clone()
    }

    /// The most memory that was resident at a time, in bytes.
    pub fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
    }

    pub fn exit_code(&mut self) -> i32 {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::yield_now();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
