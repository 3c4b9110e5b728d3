//! Who sells what, by the word of indexes and of providers themselves.

use farthing_discovery::{Query, Site};

use super::answer::Answer;
use super::desk::Desk;
use super::input::{DiscoverArgs, SearchArgs, dollars};
use super::listed::{Discovered, FoundApi, IndexAsked, Searched};
use super::trouble::{Code, Trouble};

pub(super) async fn search(desk: &Desk, args: &SearchArgs) -> Result<Answer, Trouble> {
    let limit = args.limit.unwrap_or(10);
    let bad = |why: &str| Err(Trouble::unpaid(Code::BadArguments, why));
    if !(1..=50).contains(&limit) {
        return bad("`limit`: from 1 to 50");
    }
    if args.query.trim().is_empty() {
        return bad("`query` is empty");
    }
    let query = Query {
        text: args.query.trim().to_owned(),
        limit: limit.into(),
        max_price: dollars(args.max_price.as_deref(), "max_price")?,
        network: None,
    };
    let found = desk.config.discovery.search(&query, &desk.config.indexes).await;
    let silent = !found.indexes.is_empty() && found.indexes.iter().all(|asked| asked.error.is_some());
    if silent {
        let why = found.indexes.iter().filter_map(|asked| asked.error.clone()).collect::<Vec<_>>().join("; ");
        return Err(Trouble::unpaid(Code::Unreachable, format!("no index answered: {why}"))
            .hint("if you know a provider's site, use `discover` on it"));
    }
    let indexes =
        found.indexes.into_iter().map(|asked| IndexAsked { index: asked.index, error: asked.error });
    let searched =
        Searched { results: found.results.iter().map(FoundApi::of).collect(), indexes: indexes.collect() };
    Ok(Answer::of_others("the indexes and their providers", &searched))
}

pub(super) async fn discover(desk: &Desk, args: &DiscoverArgs) -> Result<Answer, Trouble> {
    let site =
        Site::parse(&args.origin).map_err(|error| Trouble::unpaid(Code::BadArguments, error.to_string()))?;
    let discovery = &desk.config.discovery;
    discovery
        .config()
        .reach
        .check(&site.at("/"))
        .map_err(|error| Trouble::from(farthing_wallet::FetchError::from(error)))?;
    let mut origin = discovery.discover(&site).await;
    if let Some(path) = &args.path {
        let route: Vec<String> =
            origin.route(path).into_iter().map(|resource| resource.key.clone()).collect();
        origin.resources.retain(|resource| route.contains(&resource.key));
        if origin.resources.is_empty() {
            return Err(Trouble::unpaid(Code::NotFound, format!("{} describes no path {path}", args.origin))
                .hint("leave `path` out to see every route; `check` asks an address itself"));
        }
    }
    Ok(Answer::of_others(&site.to_string(), &Discovered::of(origin, args.path.is_some())))
}
