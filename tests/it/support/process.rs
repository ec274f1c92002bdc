use std::{
    fs::File,
    io::{BufRead, BufReader, Lines, Read, Seek, Write},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// The binary, stopped when the test ends.
pub struct Process {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: File,
    address: Option<SocketAddr>,
}

impl Process {
    pub fn start(args: &[&str], environment: &[(&str, &str)]) -> Self {
        // For what is asked of it by HTTP. An error says that there is one already.
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tickwire"));
        command.args(args);
        // Nothing of a test's own environment is taken for a key of the configuration.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TICKWIRE_")) {
            command.env_remove(name);
        }
        command.envs(environment.iter().copied());
        // The log goes into a file: nobody would read a pipe, which fills up.
        let stderr = tempfile::tempfile().unwrap();
        command.stdout(Stdio::piped()).stderr(stderr.try_clone().unwrap());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, stdout, stderr, address: None }
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
        let page: Value = serde_json::from_str(&self.get("/v1/feeds").await).unwrap();
        let feeds = page["feeds"].as_array().unwrap();
        feeds.iter().find(|feed| feed["name"] == name).unwrap().clone()
    }

    /// The body of a page.
    pub async fn get(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.address.unwrap());
        let mut response = reqwest::get(url).await.unwrap();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.unwrap() {
            body.extend_from_slice(&chunk);
        }
        String::from_utf8(body).unwrap()
    }

    /// The most memory that was resident at a time, in bytes.
    pub fn peak(&self) -> u64 {
        self.kernel_says("VmHWM:") << 10
    }

    /// The memory that is resident now, in bytes.
    pub fn resident(&self) -> u64 {
        self.kernel_says("VmRSS:") << 10
    }

    /// How many threads it has.
    pub fn threads(&self) -> u64 {
        self.kernel_says("Threads:")
    }

    /// How many files, sockets and the like it has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id())).unwrap().count()
    }

    fn kernel_says(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        Command::new("kill").args(["-TERM", &self.id().to_string()]).status().unwrap();
    }

    /// Ends it at once, so that it can do nothing about it.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
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

    /// What it has said on standard error.
    pub fn complaint(&mut self) -> String {
        let mut text = String::new();
        self.stderr.rewind().unwrap();
        self.stderr.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
