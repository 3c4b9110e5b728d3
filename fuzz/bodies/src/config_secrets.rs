//! Secrets in configurations: what an operator may write, in the right place or by mistake in a wrong one.

use farthing_facilitator::FacilitatorConfig;
use farthing_gateway::{Config, Pricing};

/// Stands for an API key, a password, or a private key.
const SECRET: &str = "5ec4e7c0ffee5ec4e75ec4e7c0ffee5ec4e75ec4e7c0ffee5ec4e75ec4e7c0ff";

/// Where a secret is written, with `@` for the value. A signer's key itself stands where its source is asked for, since
/// people do that.
const PLACES: [&str; 9] = [
    "networks:\n  base: {signers: [{env: A}], rpc: [@]}\n",
    "networks:\n  base: {signers: [{env: A}], rpc: @}\n",
    "networks:\n  base:\n    rpc:\n      - @\n    signers: [{env: A}]\n",
    "networks: {base: {signers: [@]}}\n",
    "networks: {base: {signers: @}}\n",
    "networks: {base: {signers: [{env: @}]}}\n",
    "networks: {base: {signers: [{key: @}]}}\n",
    "networks: {base: {signers: [{env: A}]}}\nkeys: [{name: shop, sha256: @}]\n",
    "networks: {base: {signers: [{@: A}]}}\n",
];

/// The input is a place's number, what stands before the secret, and after a zero byte what stands behind it. No error
/// shows the secret, neither for `facilitator.yaml` nor for the same text in a `gateway.yaml`.
pub(crate) fn run(input: &[u8]) {
    let Some((&place, rest)) = input.split_first() else { return };
    let at = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    let (before, after) = (&rest[..at], rest.get(at + 1..).unwrap_or_default());
    let (Ok(before), Ok(after)) = (std::str::from_utf8(before), std::str::from_utf8(after)) else { return };
    let template = PLACES[usize::from(place) % PLACES.len()];
    // A JSON string is a YAML string. Without quotes only what is one word there: other text could make a key of the
    // secret, and unknown keys are named.
    let word = format!("{before}{SECRET}{after}");
    let quoted = serde_json::Value::from(word.as_str()).to_string();
    let plain =
        word.replace("://", "").bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~/@+=?$".contains(&b));
    for value in [Some(quoted), plain.then_some(word)].into_iter().flatten() {
        let text = template.replacen('@', &value, 1);
        if let Err(error) = FacilitatorConfig::parse("f.yaml", &text) {
            assert!(!shows(&format!("{error} {error:?}")), "{text}\n{error}");
        }
        gateway(&text);
    }
}

fn gateway(facilitator: &str) {
    let inner: String = facilitator.lines().map(|line| format!("    {line}\n")).collect();
    let text = format!("facilitator:\n  in_process:\n{inner}routes: []\n");
    let shown = match Config::parse("g.yaml", &text) {
        Ok(config) => {
            let facilitator = config.facilitator().map(drop).map_err(|error| format!("{error} {error:?}"));
            let pricing = Pricing::new(&config).map(drop).map_err(|error| format!("{error} {error:?}"));
            format!("{facilitator:?} {pricing:?}")
        }
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!shows(&shown), "{text}\n{shown}");
}

/// A part is enough to be sorry for.
fn shows(text: &str) -> bool {
    text.to_ascii_lowercase().contains(&SECRET[..16])
}
