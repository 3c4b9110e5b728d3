//! Calls that are made again because their answers did not arrive: what is paid for is not paid for again.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::world::{ASK, Seller, World, answer, raw};

/// A seller that answers the n-th payment (from 0) so.
async fn selling(paid: impl Fn(usize) -> (String, bool) + Send + Sync + 'static) -> (Seller, World) {
    let count = Mutex::new(0);
    let seller = Seller::start(move |heard| {
        if !heard.contains("x-payment: ") {
            return answer("402 Payment Required", ASK);
        }
        let mut count = count.lock().unwrap();
        *count += 1;
        paid(*count - 1)
    })
    .await;
    let world = World::start(&[&seller]).await;
    (seller, world)
}

fn goods() -> (String, bool) {
    answer("200 OK", "goods")
}

/// The values of a header in what the seller heard with payments.
fn values(seller: &Seller, name: &str) -> Vec<String> {
    let start = format!("{name}: ");
    let paid = seller.heard().into_iter().filter(|heard| heard.contains("x-payment: "));
    paid.filter_map(|heard| heard.lines().find_map(|line| Some(line.strip_prefix(&start)?.to_owned())))
        .collect()
}

/// How often a payment came, and how many different ones.
fn payments(seller: &Seller) -> (usize, usize) {
    let payments = values(seller, "x-payment");
    (payments.len(), payments.iter().collect::<BTreeSet<_>>().len())
}

/// Calls with these headers beside the token.
async fn call(world: &World, seller: &Seller, headers: &str) -> String {
    let request = world.get(&format!("/{}/goods", seller.url));
    raw(world, &request.replacen("\r\n\r\n", &format!("\r\n{headers}\r\n"), 1)).await
}

/// A caller whose payment the seller has, and who has no answer yet.
async fn waiting(world: &World, seller: &Seller) -> TcpStream {
    let mut stream = TcpStream::connect(world.host()).await.unwrap();
    stream.write_all(world.get(&format!("/{}/goods", seller.url)).as_bytes()).await.unwrap();
    while payments(seller).0 == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stream
}

/// The first call fails, the second gets what is paid for, and the third is a new one.
async fn made_good(first: (String, bool)) -> String {
    let (seller, world) = selling(move |payment| if payment == 0 { first.clone() } else { goods() }).await;
    let failed = call(&world, &seller, "").await;
    let got = call(&world, &seller, "x-stainless-retry-count: 1\r\n").await;
    assert!(got.ends_with("\r\n\r\ngoods") && got.contains("farthing-resent: 1\r\n"), "{got}");
    assert_eq!(payments(&seller), (2, 1), "one payment, sent again");
    let keys = values(&seller, "idempotency-key");
    assert_eq!(keys[0], keys[1], "the seller can tell whose it is");
    let new = call(&world, &seller, "").await;
    assert!(new.ends_with("goods") && !new.contains("farthing-resent"), "{new}");
    assert_eq!(payments(&seller), (3, 2), "whoever got everything and asks again wants it again");
    failed
}

#[tokio::test]
async fn an_error_to_a_payment_is_not_paid_twice_whatever_the_seller_wants() {
    let failed = made_good(answer("500 Internal Server Error\r\nx-should-retry: true", "out of order")).await;
    assert!(failed.starts_with("HTTP/1.1 500 ") && failed.ends_with("out of order"), "{failed}");
    assert!(failed.contains("x-should-retry: false") && !failed.contains("x-should-retry: true"), "{failed}");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_paid_twice() {
    let broken = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf";
    assert!(made_good((broken.to_owned(), false)).await.ends_with("half"));
}

#[tokio::test]
async fn an_answer_that_never_comes_is_not_paid_twice() {
    let said = made_good((String::new(), true)).await;
    assert!(said.starts_with("HTTP/1.1 424 ") && said.contains("\"code\":\"outcome_unknown\""), "{said}");
    assert!(said.contains("farthing-purchase: ") && said.contains("x-should-retry: false"), "{said}");
    assert!(said.contains("farthing fetch --resume"), "{said}");
}

#[tokio::test]
async fn who_does_not_wait_for_an_answer_gets_it_when_he_comes_again() {
    let (say, said) = channel::<()>();
    let said = Mutex::new(said);
    let (seller, world) = selling(move |_| {
        said.lock().unwrap().recv().ok();
        goods()
    })
    .await;
    for _ in 0..2 {
        drop(waiting(&world, &seller).await);
    }
    drop(say);
    let got = call(&world, &seller, "").await;
    assert!(got.ends_with("goods") && got.contains("farthing-resent: 1\r\n"), "{got}");
    assert_eq!(payments(&seller), (1, 1));
}

/// The proxy's one thread reads the second call before it is told that the first one's connection is closed.
#[tokio::test]
async fn who_has_just_left_is_not_waited_for() {
    let (say, said) = channel::<()>();
    let said = Mutex::new(said);
    let (seller, world) = selling(move |_| {
        said.lock().unwrap().recv().ok();
        goods()
    })
    .await;
    let mut second = TcpStream::connect(world.host()).await.unwrap();
    second.write_all(world.get("/healthz").as_bytes()).await.unwrap();
    second.read_exact(&mut [0; 12]).await.unwrap();
    let first = waiting(&world, &seller).await;
    let request = world.get(&format!("/{}/goods", seller.url));
    assert_eq!(second.try_write(request.as_bytes()).unwrap(), request.len());
    drop((first, say));
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).ends_with("goods") {
        assert!(second.read_buf(&mut said).await.unwrap() > 0, "{}", String::from_utf8_lossy(&said));
    }
    assert!(String::from_utf8_lossy(&said).contains("farthing-resent: 1\r\n"));
    assert_eq!(payments(&seller), (1, 1));
}

#[tokio::test]
async fn equal_calls_at_the_same_time_are_as_many_wishes() {
    let (seller, world) = selling(|_| {
        std::thread::sleep(Duration::from_millis(200));
        goods()
    })
    .await;
    let (a, b) = tokio::join!(call(&world, &seller, ""), call(&world, &seller, ""));
    assert!(a.ends_with("goods") && b.ends_with("goods"), "{a} {b}");
    assert_eq!(payments(&seller), (2, 2));
}

#[tokio::test]
async fn what_is_owed_to_one_is_given_to_nobody_else() {
    let (seller, world) = selling(|_| answer("500 Internal Server Error", "no")).await;
    for headers in ["authorization: Bearer sk-1\r\n", "authorization: Bearer sk-2\r\n", "cookie: a=b\r\n"] {
        // The token stands in another header.
        call(&world, &seller, headers).await;
    }
    assert_eq!(payments(&seller), (3, 3));
}

#[tokio::test]
async fn the_same_key_is_the_same_call_even_after_a_whole_answer() {
    let (seller, world) = selling(|_| goods()).await;
    for (key, all) in [("a", (1, 1)), ("a", (1, 1)), ("b", (2, 2))] {
        let got = call(&world, &seller, &format!("idempotency-key: {key}\r\n")).await;
        assert!(got.ends_with("goods"), "{got}");
        assert_eq!(payments(&seller), all, "{key}");
    }
}

/// The second one comes while the first one asks for the price.
#[tokio::test]
async fn the_same_key_is_the_same_call_before_it_has_paid() {
    let seller = Seller::start(|heard| {
        if heard.contains("x-payment: ") {
            return goods();
        }
        std::thread::sleep(Duration::from_millis(300));
        answer("402 Payment Required", ASK)
    })
    .await;
    let world = World::start(&[&seller]).await;
    let keyed = || call(&world, &seller, "idempotency-key: a\r\n");
    let (a, b) = tokio::join!(keyed(), keyed());
    assert!(a.ends_with("goods") && b.ends_with("goods"), "{a} {b}");
    assert_eq!(a.contains("farthing-resent"), !b.contains("farthing-resent"), "one of them paid: {a} {b}");
    assert_eq!(payments(&seller), (1, 1));
}

/// The proxy's one thread hears in any order that the first caller has left, that he has come again, and what the seller
/// wants of the first.
#[tokio::test]
async fn who_leaves_while_the_price_is_asked_pays_once() {
    let (say, said) = channel::<()>();
    let said = Mutex::new(said);
    let seller = Seller::start(move |heard| {
        if heard.contains("x-payment: ") {
            return goods();
        }
        // The first one waits for the word, the others for nothing: it is gone then.
        said.lock().unwrap().recv().ok();
        answer("402 Payment Required", ASK)
    })
    .await;
    let world = World::start(&[&seller]).await;
    let request = world.get(&format!("/{}/goods", seller.url));
    let mut first = TcpStream::connect(world.host()).await.unwrap();
    first.write_all(request.as_bytes()).await.unwrap();
    while seller.heard().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(first);
    drop(say);
    let got = call(&world, &seller, "").await;
    assert!(got.ends_with("goods"), "{got}");
    assert_eq!(payments(&seller), (1, 1));
}

#[tokio::test]
async fn a_payment_that_is_refused_twice_stands_in_the_way_of_nothing() {
    let (seller, world) = selling(|_| answer("402 Payment Required", ASK)).await;
    let (owed, over) = ("the same call asks with the same payment", "calling again buys anew");
    for (all, hint) in [((1, 1), owed), ((2, 1), over), ((3, 2), owed)] {
        let said = call(&world, &seller, "").await;
        assert!(said.starts_with("HTTP/1.1 424 ") && said.contains("payment_refused"), "{said}");
        assert!(said.contains(hint), "{said}");
        assert_eq!(payments(&seller), all);
    }
}

#[tokio::test]
async fn what_is_owed_is_forgotten_after_a_while() {
    let (seller, world) = selling(|_| answer("500 Internal Server Error", "no")).await;
    call(&world, &seller, "").await;
    assert_eq!(payments(&seller), (1, 1));
    // The answer is here a little before it is taken down that it is, since when the while is reckoned.
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(301)).await;
        tokio::time::resume();
        call(&world, &seller, "").await;
        if payments(&seller).1 == 2 {
            return;
        }
    }
    panic!("{:?}: it is still the first payment", payments(&seller));
}
