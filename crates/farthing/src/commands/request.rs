//! From arguments to a request and its limits.

use std::io::Read as _;

use farthing_ledger::Purchase;
use farthing_money::Price;
use farthing_protocol::Protocol;
use farthing_wallet::{CallLimits, Request};
use http::{HeaderName, HeaderValue, Method};

use crate::cli::RequestArgs;
use crate::exit::{Code, Failure};
use crate::fence::Fence;

/// The most that is read from a file or stdin as a body.
const MAX_BODY_BYTES: u64 = 64 << 20;

/// The request that the arguments describe.
pub(crate) fn request(args: &RequestArgs, url: &str, fence: &Fence) -> Result<Request, Failure> {
    let method = if args.data.is_some() { Method::POST } else { Method::GET };
    build(args, args.method.clone().unwrap_or(method), url, fence)
}

/// The request of an earlier purchase: what the arguments leave out is as it was.
pub(crate) fn again(
    args: &RequestArgs,
    url: Option<&str>,
    earlier: &Purchase,
    fence: &Fence,
) -> Result<Request, Failure> {
    let terms = &earlier.terms;
    match url {
        Some(url) => request(args, url, fence),
        None => {
            let recorded = terms.method.parse().map_err(|error| Failure::new(Code::Damaged, error))?;
            build(args, args.method.clone().unwrap_or(recorded), &terms.url, fence)
        }
    }
}

fn build(args: &RequestArgs, method: Method, url: &str, fence: &Fence) -> Result<Request, Failure> {
    let body = args.data.as_deref().map(|data| body(data, fence)).transpose()?;
    let mut request = Request::new(method, url)?;
    for header in &args.headers {
        let (name, value) = parse_header(header)?;
        request.headers.append(name, value);
    }
    if let Some(body) = body {
        // As curl does, but JSON is recognised: an API that is sold per call speaks JSON.
        if !request.headers.contains_key(http::header::CONTENT_TYPE) {
            let json = serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok();
            let kind = if json { "application/json" } else { "application/octet-stream" };
            request.headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        request.body = body.into();
    }
    Ok(request)
}

/// What the arguments demand of the payment.
pub(crate) fn limits(args: &RequestArgs) -> Result<CallLimits, Failure> {
    let dollars = |price: Option<Price>, flag: &str| {
        let value = price.map(|price| price.in_dollars()).transpose();
        value.map_err(|error| Failure::new(Code::Configuration, format!("{flag}: {error}")))
    };
    Ok(CallLimits {
        max_amount: dollars(args.max_amount, "--max-amount")?,
        network: args.network.clone(),
        protocol: args.protocol.as_deref().and_then(Protocol::from_name),
        agent: args.agent.clone(),
        session: args.session.clone(),
        advertised: dollars(args.advertised, "--advertised")?,
    })
}

fn body(data: &str, fence: &Fence) -> Result<Vec<u8>, Failure> {
    let Some(source) = data.strip_prefix('@') else { return Ok(data.as_bytes().to_vec()) };
    let failed =
        |error: std::io::Error| Failure::new(Code::Configuration, format!("the body {data}: {error}"));
    fence.may_send(source.as_ref()).map_err(failed)?;
    let mut body = Vec::new();
    let reader: Box<dyn std::io::Read> = match source {
        "-" => Box::new(std::io::stdin()),
        file => Box::new(std::fs::File::open(file).map_err(failed)?),
    };
    reader.take(MAX_BODY_BYTES + 1).read_to_end(&mut body).map_err(failed)?;
    if body.len() as u64 > MAX_BODY_BYTES {
        return Err(Failure::new(
            Code::Configuration,
            format!("the body {data} is longer than {MAX_BODY_BYTES} bytes"),
        ));
    }
    Ok(body)
}

fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), Failure> {
    let name_only = text.split(':').next().unwrap_or_default().trim();
    let bad = |why: &str| {
        // The value may be a secret: only the name is repeated.
        Failure::new(Code::Configuration, format!("-H {}: {why}", crate::output::printable(name_only)))
            .hint("write it as -H 'Name: value'")
    };
    let (name, value) = text.split_once(':').ok_or_else(|| bad("there is no colon"))?;
    let name: HeaderName = name.trim().parse().map_err(|_| bad("that is no header name"))?;
    if farthing_protocol::x402::HEADERS.contains(&name.as_str()) {
        return Err(bad("payment headers are written by the wallet"));
    }
    let mut value =
        HeaderValue::from_str(value.trim()).map_err(|_| bad("the value has forbidden characters"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_strict_and_secret() {
        assert!(parse_header("Authorization: Bearer x").unwrap().1.is_sensitive());
        for bad in
            ["Authorization", "Bad Name: x", "X-PAYMENT: forged", "Payment-Signature: forged", "A: b\nc"]
        {
            let failure = parse_header(bad).unwrap_err();
            assert!(!failure.message.contains("forged"), "{}", failure.message);
        }
    }
}
