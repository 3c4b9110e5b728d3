//! Attacks on the seller, against the real gateway with its own facilitator on a real (local) chain. Each test names its
//! row of "Known attacks" in the protocol's facts; what needs no chain is tried in the crates' own tests:
//!
//! | attack | here | in the crates |
//! |---|---|---|
//! | the same payment many times at once | `ten_thousand_copies_*` | gateway `copies`; rail-evm `the_same_payment_many_times_at_once_is_sent_once` |
//! | lock keyed on spoofable fields | `every_spelling_of_a_payment_is_the_same_payment` | gateway `attacks`; facilitator `on_base` |
//! | other terms while settlement is pending | | facilitator `other_terms_are_refused_while_pending_and_after` |
//! | settlement times out, the chain confirms later | `what_is_confirmed_after_the_timeout_is_given_out_and_paid_once` | gateway `withheld` |
//! | drain or cancel between verify and settle | `a_drained_balance_buys_nothing`, `one_balance_is_promised_only_so_often` | gateway `attacks`, `upfront` |
//! | header reuse across resources | `one_payment_buys_one_of_many_resources` | gateway `copies`, `attacks` |
//! | path encodings | | gateway `paths`, `proxying` |
//! | gas griefing | | facilitator `on_base`, `over_http`; rail-evm `pay` |
//! | fake token, decimals or domain | | gateway `attacks`; rail-evm `pay` |

mod shop;
mod spellings;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use farthing_protocol::Protocol;
use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::FuturesUnordered;

use shop::{Header, PRICE, Shop, get_request, repeat};

const COPIES: usize = 10_000;
const CONNECTIONS: usize = 64;

/// Answers by their status.
fn tally(statuses: impl IntoIterator<Item = u16>) -> BTreeMap<u16, usize> {
    let mut tally = BTreeMap::new();
    statuses.into_iter().for_each(|status| *tally.entry(status).or_default() += 1);
    tally
}

async fn assert_sold_once(shop: &Shop) {
    assert_eq!((shop.api.served(), shop.used().await, shop.earned().await), (1, 1, PRICE));
}

async fn copies(gateways: usize) {
    let shop = Shop::open(gateways, 100 * PRICE, "").await;
    let request = get_request("/slow/a", &shop.pay("/slow/a").await);
    let share = COPIES.div_ceil(CONNECTIONS);
    let senders = (0..CONNECTIONS).map(|n| {
        let port = shop.ports[n % shop.ports.len()];
        let times = share.min(COPIES - n * share);
        tokio::spawn(repeat(port, request.clone(), times))
    });
    let statuses = join_all(senders).await.into_iter().flat_map(Result::unwrap);
    assert_eq!(tally(statuses), BTreeMap::from([(200, 1), (409, COPIES - 1)]));
    assert_sold_once(&shop).await;
}

/// Known attacks, "the same payment sent many times at once, each passing verify before the first settles"
/// (x402-foundation/x402 #803, #1169).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_copies_at_one_gateway_buy_one_answer() {
    copies(1).await;
}

/// The same row, where no memory is shared and only the ledger can decide.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_copies_at_two_gateways_buy_one_answer() {
    copies(2).await;
}

/// Known attacks, "lock keyed on spoofable fields": zero-padded nonces, letter case, leading zeros, the mirrored signature,
/// every `v`, keys given twice, other base64, the other version's form (cardotrejos/x402#78).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_spelling_of_a_payment_is_the_same_payment() {
    let shop = Shop::open(1, 100 * PRICE, "").await;
    let payment = shop.sign("/slow/a", Protocol::X402V2).await;
    let spellings = spellings::of(&payment);
    assert!(spellings.len() > 25, "{}", spellings.len());
    // Twice: while the first is being served, and after it was settled.
    let mut statuses = Vec::new();
    for _ in 0..2 {
        let sent = join_all(spellings.iter().map(|(_, header)| shop.send("/slow/a", header))).await;
        statuses.extend(spellings.iter().zip(sent).map(|((name, _), (status, ..))| (*name, status)));
    }
    let served: Vec<_> = statuses.iter().filter(|(_, status)| *status < 400).collect();
    assert_eq!(served.len(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|(_, status)| [200, 400, 402, 409].contains(status)), "{statuses:?}");
    assert_sold_once(&shop).await;
}

/// Known attacks, "header reuse across resources": the signature does not bind the URL (arXiv 2605.11781).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_payment_buys_one_of_many_resources() {
    let shop = Shop::open(1, 100 * PRICE, "").await;
    let payment = shop.pay("/slow/0").await;
    let paths: Vec<String> = (0..40).map(|n| format!("/slow/{n}")).collect();
    let sent = join_all(paths.iter().map(|path| shop.send(path, &payment))).await;
    assert_eq!(tally(sent.iter().map(|answer| answer.0)), BTreeMap::from([(200, 1), (409, 39)]));
    assert_eq!(shop.send("/data/0", &payment).await.0, 409);
    assert_sold_once(&shop).await;
}

/// Known attacks, "settlement times out, the chain confirms later" (#1062, #2294).
#[tokio::test]
async fn what_is_confirmed_after_the_timeout_is_given_out_and_paid_once() {
    let shop = Shop::open(1, 100 * PRICE, "timeouts: {settle: 5s}").await;
    let payment = shop.pay("/hold/a").await;
    let (status, body, later) = shop.send("/hold/a", &payment).await;
    assert_eq!((status, later), (504, true), "{body}");
    assert!(body.contains("settlement_pending"), "{body}");
    assert_eq!(shop.earned().await, 0);
    shop.chain.start_mining().await.unwrap();
    shop.chain.mine().await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let (status, body) = loop {
        let (status, body, _) = shop.send("/hold/a", &payment).await;
        if status != 504 || Instant::now() > deadline {
            break (status, body);
        }
    };
    assert_eq!((status, body.as_str()), (200, "the data of a"), "the answer that was kept");
    assert_eq!(shop.send("/hold/a", &payment).await.0, 409);
    assert_sold_once(&shop).await;
}

/// Known attacks, "drain or cancel between verify and settle" (arXiv 2605.30998): the money is gone when the answer is
/// ready.
#[tokio::test]
async fn a_drained_balance_buys_nothing() {
    let shop = Shop::open(1, PRICE, "").await;
    let payment = shop.pay("/drain/a").await;
    let (status, body, _) = shop.send("/drain/a", &payment).await;
    assert_eq!(status, 402, "{body}");
    assert!(!body.contains("the data"), "the answer is withheld: {body}");
    assert_eq!((shop.used().await, shop.earned().await), (0, 0));
}

/// The same row: one balance, promised forty times at once. So many calls as one payer may have open are served, and one
/// is paid.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_balance_is_promised_only_so_often() {
    let shop = Shop::open(1, PRICE, "limits: {payer_calls: 3}").await;
    let mut payments: Vec<Header> = Vec::new();
    for _ in 0..40 {
        payments.push(shop.pay("/wait/a").await);
    }
    let mut sent: FuturesUnordered<_> =
        payments.iter().map(|payment| shop.send("/wait/a", payment)).collect();
    let limited: Vec<_> = sent.by_ref().take(37).collect().await;
    assert_eq!(tally(limited.iter().map(|answer| answer.0)), BTreeMap::from([(429, 37)]));
    assert!(limited.iter().all(|(_, body, later)| *later && body.contains(r#""error":"payer_limit""#)));
    shop.api.let_go(3);
    let served: Vec<_> = sent.collect().await;
    assert_eq!(tally(served.iter().map(|answer| answer.0)), BTreeMap::from([(200, 1), (402, 2)]));
    assert_eq!(shop.api.most_open(), 3);
    assert_eq!((shop.used().await, shop.earned().await), (1, PRICE));
}
