//! The servers that are compared, each a process of its own.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::Workload;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Floor,
    Plain,
    Tickwire,
}

/// What the floor and the plain design make of a workload.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub connections: usize,
    pub topics: usize,
    pub rate: u32,
    pub payload_bytes: usize,
}

pub struct Server {
    child: Child,
    address: String,
    // The configuration must live as long as the process reads it.
    _config: Option<tempfile::NamedTempFile>,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Plain => "plain",
            Self::Tickwire => "tickwire",
        }
    }
}

impl Server {
    pub fn start(kind: Kind, workload: &Workload) -> Self {
        let (mut command, config) = match kind {
            Kind::Floor => (itself("serve-floor", workload), None),
            Kind::Plain => (itself("serve-plain", workload), None),
            Kind::Tickwire => tickwire(workload),
        };
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("a server");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().expect("an address").unwrap();
            if let Some(at) = line.find("ws://") {
                break line[at + 5..].split('/').next().unwrap().to_owned();
            }
        };
        // Its output must not fill up.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address, _config: config }
    }

    pub fn url(&self) -> String {
        format!("ws://{}/v1/ws", self.address)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn resident_kib(&self) -> f64 {
        resident_kib(self.pid())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The time that a process has spent in its own code and in the kernel.
pub fn cpu(pid: u32) -> [Duration; 2] {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // After the name, which is in brackets: user and system time are fields 14 and 15.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    [11, 12].map(|field| Duration::from_millis(10 * fields[field].parse::<u64>().unwrap()))
}

pub fn resident_kib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn itself(role: &str, workload: &Workload) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(role).args(
        [
            workload.connections + workload.stalled,
            workload.topics,
            workload.rate as usize,
            workload.payload_bytes,
        ]
        .map(|number| number.to_string()),
    );
    command
}

pub fn load(args: &[String]) -> Load {
    let number = |at: usize| args[at].parse::<usize>().unwrap();
    Load {
        connections: number(0),
        topics: number(1),
        rate: u32::try_from(number(2)).unwrap(),
        payload_bytes: number(3),
    }
}

fn tickwire(workload: &Workload) -> (Command, Option<tempfile::NamedTempFile>) {
    let mut config = tempfile::NamedTempFile::new().unwrap();
    let Workload { topics, rate, payload_bytes, coalesce_ms, queue_updates, .. } = workload;
    writeln!(
        config,
        "[limits]\nrequests_per_s = 1000\ntopics_per_request = 1024\n[delivery]\ncoalesce = \"{coalesce_ms}ms\"\n\
         queue_updates = {queue_updates}\nqueue_bytes = \"1MiB\"\n[[feeds]]\nname = \"bench\"\nprovider = \"synthetic\"\n\
         topics = {topics}\nrate = {rate}\npayload_bytes = {payload_bytes}"
    )
    .unwrap();
    let mut args = std::env::args().skip_while(|arg| arg != "--server").skip(1);
    let server = args.next().unwrap_or_else(|| env!("CARGO_BIN_EXE_tickwire").to_owned());
    let mut command = Command::new(server);
    command.arg("--config").arg(config.path()).args(["--listen", "127.0.0.1:0"]);
    (command, Some(config))
}
