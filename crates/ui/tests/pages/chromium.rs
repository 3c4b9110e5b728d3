//! Chromium, led by its DevTools protocol over the two pipes of `--remote-debugging-pipe`: no port that another program
//! could reach, and nothing beside the browser itself.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// How long anything may take: Chromium starts slowly on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one tab.
pub(crate) struct Chromium {
    // Killed when it is dropped.
    _child: Child,
    _profile: tempfile::TempDir,
    commands: ChildStdin,
    messages: BufReader<ChildStdout>,
    session: String,
    last_id: u64,
    /// What the console and the network said that should not have been said.
    pub(crate) complaints: Vec<String>,
    /// How often a page was loaded.
    loaded: u64,
}

impl Chromium {
    pub(crate) async fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut child = Command::new("sh")
            // Chromium reads commands from descriptor 3 and writes to 4.
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null", &program()])
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--remote-debugging-pipe",
                "--no-first-run",
            ])
            .args(["--disable-dev-shm-usage", "--hide-scrollbars", "--force-device-scale-factor=1"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (commands, messages) =
            (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut browser = Self {
            _child: child,
            _profile: profile,
            commands,
            messages,
            session: String::new(),
            last_id: 0,
            complaints: Vec::new(),
            loaded: 0,
        };
        browser.open_tab().await;
        browser
    }

    async fn open_tab(&mut self) {
        let tab = self.ask("Target.createTarget", json!({"url": "about:blank"})).await;
        let attached =
            self.ask("Target.attachToTarget", json!({"targetId": tab["targetId"], "flatten": true})).await;
        self.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.ask(&format!("{domain}.enable"), json!({})).await;
        }
    }

    /// Looks at the tab in this width, in light or in dark.
    pub(crate) async fn look(&mut self, width: u32, scheme: &str) {
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600});
        self.ask("Emulation.setDeviceMetricsOverride", size).await;
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.ask("Emulation.setEmulatedMedia", features).await;
    }

    pub(crate) async fn open(&mut self, url: &str) {
        let before = self.loaded;
        let opened = self.ask("Page.navigate", json!({"url": url})).await;
        assert!(opened.get("errorText").is_none(), "{url}: {opened}");
        self.loaded_after(before).await;
    }

    /// The value of an expression in the page.
    pub(crate) async fn value(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "returnByValue": true});
        let answer = self.ask("Runtime.evaluate", asked).await;
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Presses the mouse in the middle of an element, and waits for the page that comes of it.
    pub(crate) async fn click(&mut self, selector: &str) {
        let find = format!(
            "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoView({{block: 'center'}}); \
             const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
        );
        let place = self.value(&find).await;
        let before = self.loaded;
        for kind in ["mousePressed", "mouseReleased"] {
            let event =
                json!({"type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1});
            self.ask("Input.dispatchMouseEvent", event).await;
        }
        self.loaded_after(before).await;
    }

    /// A picture of the whole page, as PNG in base64.
    pub(crate) async fn picture(&mut self) -> String {
        let shot = self.ask("Page.captureScreenshot", json!({"captureBeyondViewport": true})).await;
        shot["data"].as_str().unwrap().to_owned()
    }

    /// A picture of the whole page as it would be printed, as PDF in base64.
    pub(crate) async fn printed(&mut self) -> String {
        let print = json!({"preferCSSPageSize": true, "paperWidth": 8.27, "paperHeight": 11.69});
        self.ask("Page.printToPDF", print).await["data"].as_str().unwrap().to_owned()
    }

    async fn loaded_after(&mut self, before: u64) {
        while self.loaded == before {
            let message = self.message().await;
            self.heard(&message);
        }
    }

    /// Sends a command and gives its result.
    async fn ask(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let mut command = json!({"id": self.last_id, "method": method, "params": params});
        if !self.session.is_empty() {
            command["sessionId"] = json!(self.session);
        }
        self.commands.write_all(format!("{command}\0").as_bytes()).await.unwrap();
        loop {
            let message = self.message().await;
            if message["id"] == self.last_id {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
            self.heard(&message);
        }
    }

    async fn message(&mut self) -> Value {
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(PATIENCE, self.messages.read_until(0, &mut bytes)).await;
        assert!(read.expect("Chromium says nothing").unwrap() > 0, "Chromium has ended");
        serde_json::from_slice(&bytes[..bytes.len() - 1]).unwrap()
    }

    fn heard(&mut self, message: &Value) {
        match message["method"].as_str().unwrap_or_default() {
            "Page.loadEventFired" => self.loaded += 1,
            "Runtime.consoleAPICalled"
            | "Runtime.exceptionThrown"
            | "Log.entryAdded"
            | "Network.loadingFailed" => {
                self.complaints.push(message["params"].to_string());
            }
            _ => {}
        }
    }
}

/// Where Chromium is: `FARTHING_CHROMIUM`, or the first of its names on the path.
fn program() -> String {
    if let Ok(named) = std::env::var("FARTHING_CHROMIUM") {
        return named;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let places = std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name)));
    let mut found = places.into_iter().filter(|place| place.is_file());
    found
        .next()
        .expect("Chromium is missing: install it, or name it in FARTHING_CHROMIUM")
        .display()
        .to_string()
}
