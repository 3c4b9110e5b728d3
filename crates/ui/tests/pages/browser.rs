//! The pages in Chromium: in a phone's width and a desk's, in light and in dark, pressed by a mouse.
//!
//! `FARTHING_PICTURES=folder` keeps a picture of each page, to be looked at.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use farthing_ledger::ApprovalState;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::chromium::Chromium;
use crate::world::World;

const WIDTHS: [u32; 2] = [360, 1280];
const SCHEMES: [&str; 2] = ["light", "dark"];

/// Every page of a world that has lived.
const PAGES: [(&str, &str); 6] = [
    ("overview", "/"),
    ("overview-week", "/?days=7"),
    ("history", "/history"),
    ("purchase", "/purchases/01KA0000000000000000000089"),
    ("receipt", "/purchases/01KA0000000000000000000089/receipt.html"),
    ("approvals", "/approvals"),
];

/// Opens the page by a link; the address under which the pages lie.
async fn enter(chromium: &mut Chromium, world: &World) -> String {
    enter_by(chromium, &world.ui.link().unwrap()).await
}

async fn enter_by(chromium: &mut Chromium, link: &str) -> String {
    chromium.open(link).await;
    let here = chromium.value("location.href").await.as_str().unwrap().to_owned();
    assert!(!here.contains("enter") && !here.contains('?'), "the link is taken out of the address: {here}");
    here.strip_suffix('/').unwrap().to_owned()
}

/// Nothing is wider than the window, no text is too pale to be read, and nobody complained.
async fn assert_well(chromium: &mut Chromium, name: &str) {
    let wider = "[document.documentElement.scrollWidth - innerWidth, ...[...document.querySelectorAll('body *')]\
                 .filter(e => e.getBoundingClientRect().right > innerWidth + 0.5 && !e.closest('.scroll, .skip')).slice(0, 3)\
                 .map(e => e.outerHTML.slice(0, 120))]";
    let wider = chromium.value(wider).await;
    assert_eq!(wider, serde_json::json!([0]), "{name} is wider than the window");
    let pale = chromium.value(include_str!("contrast.js")).await;
    assert_eq!(pale, serde_json::json!([]), "{name}: less than 4.5 : 1");
    let nameless = chromium.value(
        "[...document.querySelectorAll('input:not([type=hidden]), select')].filter(e => !e.labels.length).length",
    );
    assert_eq!(nameless.await, 0, "{name} has a field without a label");
    assert_eq!(chromium.value("document.querySelectorAll('h1').length").await, 1, "{name}");
    assert!(chromium.complaints.is_empty(), "{name}: {:?}", chromium.complaints);
}

async fn keep_picture(chromium: &mut Chromium, name: &str) {
    if std::env::var_os("FARTHING_PICTURES").is_some() {
        keep(&STANDARD.decode(chromium.picture().await).unwrap(), &format!("{name}.png"));
    }
}

/// Keeps what a person may want to look at.
pub(crate) fn keep(bytes: &[u8], name: &str) {
    let Some(folder) = std::env::var_os("FARTHING_PICTURES").map(PathBuf::from) else { return };
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(name), bytes).unwrap();
}

async fn look_at(chromium: &mut Chromium, root: &str, pages: &[(&str, &str)], world: &str) {
    for width in WIDTHS {
        for scheme in SCHEMES {
            chromium.look(width, scheme).await;
            for (name, path) in pages {
                chromium.open(&format!("{root}{path}")).await;
                let name = format!("{world}-{name}-{width}-{scheme}");
                keep_picture(chromium, &name).await;
                assert_well(chromium, &name).await;
            }
        }
    }
}

#[tokio::test]
async fn every_page_fits_and_can_be_read() {
    let world = World::full().await;
    let mut chromium = Chromium::start().await;
    let root = enter(&mut chromium, &world).await;
    look_at(&mut chromium, &root, &PAGES, "full").await;
    let printed = STANDARD.decode(chromium.printed_receipt(&root).await).unwrap();
    keep(&printed, "receipt-printed.pdf");
    let text = String::from_utf8_lossy(&printed);
    assert!(text.contains("/Count 1\n"), "a receipt prints on one sheet");
}

#[tokio::test]
async fn what_is_empty_says_what_to_do() {
    let mut chromium = Chromium::start().await;
    let pages = [("overview", "/"), ("history", "/history"), ("approvals", "/approvals")];
    let world = World::empty().await;
    let root = enter(&mut chromium, &world).await;
    look_at(&mut chromium, &root, &pages, "empty").await;
    let world = World::without_wallet().await;
    let root = enter(&mut chromium, &world).await;
    look_at(&mut chromium, &root, &[("overview", "/")], "guard").await;
}

#[tokio::test]
async fn a_person_decides_and_freezes_by_clicking() {
    let world = World::full().await;
    let mut chromium = Chromium::start().await;
    chromium.look(360, "light").await;
    enter(&mut chromium, &world).await;
    chromium.click(".callout").await;
    let waiting = |text: &str| text.contains("Pay 0.75 USDC to data.example");
    assert!(waiting(chromium.value("document.body.innerText").await.as_str().unwrap()));
    chromium.click(".approval button[value=approve]").await;
    chromium.click(".approval button[value=deny]").await;
    keep_picture(&mut chromium, "decided-360-light").await;
    let approvals = world.ledger.approvals(farthing_ledger::ApprovalFilter::default()).await.unwrap();
    let states: Vec<_> = approvals.iter().map(|approval| (approval.rule.as_str(), approval.state)).collect();
    assert_eq!(states, [("big", ApprovalState::Denied), ("approve_above", ApprovalState::Approved)]);
    assert_eq!(approvals[0].decided_by.as_deref(), Some("ana"));

    chromium.click(".top button.danger").await;
    assert_eq!(world.ledger.frozen().await.unwrap().unwrap().by, "ana");
    for (width, scheme) in [(360, "light"), (1280, "dark")] {
        chromium.look(width, scheme).await;
        keep_picture(&mut chromium, &format!("frozen-{width}-{scheme}")).await;
        assert_well(&mut chromium, "frozen").await;
    }
    chromium.click(".frozen button").await;
    assert!(world.ledger.frozen().await.unwrap().is_none());
    chromium.click("footer button").await;
    assert!(chromium.value("document.title").await.as_str().unwrap().contains("There is no session here"));
    keep_picture(&mut chromium, "door-1280-dark").await;
    // The refusal itself is told to the console; nothing else is.
    assert!(
        chromium.complaints.iter().all(|complaint| complaint.contains("401")),
        "{:?}",
        chromium.complaints
    );
}

#[tokio::test]
async fn another_server_on_this_machine_is_shown_no_cookie() {
    let world = World::full().await;
    let mut chromium = Chromium::start().await;
    let link = world.ui.link().unwrap();
    let root = enter_by(&mut chromium, &link).await;
    let place = root.strip_prefix(&format!("http://{}", world.address)).unwrap();

    // The other one knows the port, what is answered there without a session, and the link that was opened.
    let told = [world.nosed_at("/").await, world.nosed_at(&format!("/{}/", "0".repeat(64))).await];
    assert!(told.iter().all(|text| text.contains("There is no session here") && !text.contains(place)));
    let opened = link.strip_prefix(&format!("http://{}", world.address)).unwrap();
    let paths = told.iter().flat_map(|text| paths_in(text)).chain(["/".to_owned(), opened.to_owned()]);
    for path in paths {
        let shown = shown_by(&mut chromium, &path).await;
        assert!(!shown.to_ascii_lowercase().contains("cookie:"), "{path}: {shown}");
    }
    // It would be, if it knew the path of the session: that is what nobody is told.
    let shown = shown_by(&mut chromium, &format!("{place}/x")).await;
    assert!(shown.to_ascii_lowercase().contains("cookie: farthing="), "the browser shows cookies: {shown}");
}

/// Every path that a page names.
fn paths_in(page: &str) -> Vec<String> {
    let named = page.split(['"', '\'']).filter(|text| text.starts_with('/'));
    named.map(str::to_owned).collect()
}

/// What a browser sends to another server on 127.0.0.1 that the person visits, and that leads them on to this path of
/// its own.
async fn shown_by(chromium: &mut Chromium, path: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (other, heads) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(String::new())));
    let onwards = format!("HTTP/1.1 302 Found\r\nlocation: {path}\r\n");
    let serving = tokio::spawn(serve_other(listener, onwards, heads.clone()));
    chromium.open(&format!("http://{other}/visited")).await;
    serving.abort();
    let heads = heads.lock().unwrap().clone();
    assert!(heads.contains(&format!("GET {path} ")), "{heads}");
    heads
}

/// Leads on who visits `/visited`, answers everything else with nothing, and keeps the heads of all requests.
async fn serve_other(listener: TcpListener, onwards: String, heads: Arc<Mutex<String>>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (onwards, heads) = (onwards.clone(), heads.clone());
        tokio::spawn(async move {
            let mut head = vec![0; 16 * 1024];
            // A browser sends a head at once; a connection that it opens and never uses brings nothing.
            let read = stream.read(&mut head).await.unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..read]).into_owned();
            let status = if head.starts_with("GET /visited ") { &onwards } else { "HTTP/1.1 200 OK\r\n" };
            let answer = format!("{status}connection: close\r\ncontent-length: 0\r\n\r\n");
            heads.lock().unwrap().push_str(&head);
            stream.write_all(answer.as_bytes()).await.ok();
        });
    }
}

impl Chromium {
    async fn printed_receipt(&mut self, root: &str) -> String {
        self.open(&format!("{root}/purchases/01KA0000000000000000000089/receipt.html")).await;
        self.printed().await
    }
}
