use std::fmt;

use serde::{Serialize, Serializer};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Some clients will not manage.
    Warning,
    /// Buyers are misled, or cannot buy.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// Something wrong with how an origin describes or charges for what it sells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing is wrong.
    pub code: Code,
    /// How much it matters.
    pub severity: Severity,
    /// Where: a document's path and a JSON pointer into it (`/openapi.json#/paths/~1a/get`), or a request
    /// (`GET /a`) and a pointer into its answer.
    pub place: String,
    /// The resource that it is about, by its key, where it is about one.
    pub resource: Option<String>,
    /// What is wrong there. It may quote the document, escaped and cut.
    pub message: String,
    /// What its author can do.
    pub advice: &'static str,
}

impl Finding {
    /// A finding at this place.
    #[must_use]
    pub fn new(code: Code, place: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: code.severity(),
            place: place.into(),
            resource: None,
            message: message.into(),
            advice: code.advice(),
        }
    }

    /// The same finding, about this resource.
    #[must_use]
    pub fn about(mut self, key: &str) -> Self {
        self.resource = Some(key.to_owned());
        self
    }
}

macro_rules! codes {
    ($($variant:ident $name:literal $severity:ident $meaning:literal $advice:literal;)*) => {
        /// What can be wrong. The names are stable: scripts and docs/discovery.md rely on them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $meaning] $variant,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name: `price-mismatch`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// How much it matters.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)* }
            }

            /// What it means.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }

            /// What the author of the document or server can do.
            #[must_use]
            pub fn advice(self) -> &'static str {
                match self { $(Self::$variant => $advice,)* }
            }
        }
    };
}

codes! {
    // Reaching the documents.
    Unreachable "unreachable" Error
        "a document or route cannot be reached, or does not answer in time"
        "make the server answer within a few seconds";
    TooLarge "too-large" Error
        "an answer is longer than is read"
        "publish a smaller document";
    RedirectElsewhere "redirect-elsewhere" Warning
        "a document or route is redirected to another origin, which is not followed"
        "serve it from the origin itself, or publish the other origin's address";
    TooManyRedirects "too-many-redirects" Error
        "redirects go on and on, or lead nowhere"
        "serve it where clients ask for it";
    OutOfReach "out-of-reach" Error
        "an address leads to where nothing may be asked from here"
        "publish public addresses only";
    ServerError "server-error" Warning
        "a document or route is answered with an unexpected status"
        "answer 200 with the document, or 404 where there is none";
    WrongContentType "wrong-content-type" Warning
        "a document does not come as application/json"
        "send `Content-Type: application/json`, and 404 where there is no document";
    NoDocument "no-document" Error
        "the origin publishes none of the documents that describe priced resources"
        "serve an OpenAPI document at /openapi.json";
    PlainHttp "plain-http" Warning
        "documents and prices travel over plain http, where anybody on the way can change them"
        "serve the API over https";

    // A document as a whole.
    NotJson "not-json" Error
        "a document is no JSON"
        "serve JSON; YAML is not read";
    DuplicateKey "duplicate-key" Warning
        "an object has the same key twice, or is nested too deeply for strict readers"
        "write every key once: readers disagree on which of the two counts";
    WrongType "wrong-type" Warning
        "something has a type that it cannot have, and is left out"
        "write it as the specification of the document says";
    MissingField "missing-field" Error
        "a required field is missing"
        "add it";
    UnsupportedVersion "unsupported-version" Error
        "the document's version is not one that is read: OpenAPI 3, version 1 of /.well-known/x402"
        "publish OpenAPI 3.1";
    NoOperations "no-operations" Warning
        "the document lists no operation"
        "list under `paths` what can be called";
    NoPricedOperations "no-priced-operations" Info
        "the document names no price"
        "add `x-payment-info` to what is sold";
    TooManyOperations "too-many-operations" Warning
        "the document lists more operations than are read"
        "split the API over several origins";
    MissingContact "missing-contact" Info
        "nobody is named who can be asked"
        "add `info.contact.email` or `info.contact.url`";
    UnverifiedOwnership "unverified-ownership" Info
        "ownership proofs are listed; nobody has verified them, and they prove nothing here"
        "none is needed: what an origin serves itself, it owns";
    LegacyWellKnown "legacy-well-known" Info
        "a legacy document is published, which newer clients do not read"
        "publish /openapi.json";
    GuidanceTooLong "guidance-too-long" Info
        "the guidance is longer than an agent wants to read; what is beyond 16,000 characters is left out"
        "keep it under 4,000 characters";
    GuidanceElsewhere "guidance-elsewhere" Warning
        "the guidance is said to be on another origin, and is not read"
        "serve llms.txt from the origin itself";
    MalformedServerUrl "malformed-server-url" Warning
        "`servers[0].url` cannot be read"
        "write an absolute address, or a path that begins with /";
    ServerOfAnotherOrigin "server-of-another-origin" Warning
        "`servers[0].url` is on another origin; only its path is used"
        "publish the document on the origin that it describes";
    BrokenReference "broken-reference" Warning
        "a `$ref` leads to nothing in this document"
        "point it to something within the document";
    SchemaCut "schema-cut" Info
        "a schema is larger or deeper than is read, and is cut"
        "describe the call with a smaller schema";
    MalformedResource "malformed-resource" Warning
        "an entry names no resource that can be called, and is left out"
        "write `METHOD https://origin/path`";
    ResourceOfAnotherOrigin "resource-of-another-origin" Warning
        "a document lists a resource of another origin, which is left out"
        "list each origin's resources on that origin";
    MoreFindings "more-findings" Info
        "there is more wrong with a document than is listed"
        "mend what is listed first: the worst is";
    DuplicateResource "duplicate-resource" Warning
        "two entries describe the same method and path; the first counts"
        "describe it once";

    // One operation.
    MissingSummary "missing-summary" Info
        "an operation says nothing of what it does"
        "add a `summary`";
    MissingAuth "missing-auth" Info
        "an operation does not say whether it needs payment, a key or nothing"
        "add `x-payment-info`, a security scheme, or `security: []`";
    UndefinedSecurityScheme "undefined-security-scheme" Warning
        "`security` names a scheme that `components.securitySchemes` does not define"
        "define it";
    MissingPrice "missing-price" Warning
        "a priced operation names no price"
        "add `x-payment-info.price`";
    MalformedPrice "malformed-price" Error
        "a price is no decimal number in quotes, and is left out"
        "write amounts as text in plain digits: \"0.02\"";
    ReversedRange "reversed-range" Error
        "a dynamic price's minimum is above its maximum; the price is left out"
        "exchange the two";
    PriceWithoutMax "price-without-max" Warning
        "a dynamic price has no maximum, so that nobody can tell what a call may cost"
        "add `max`";
    UnknownPricingMode "unknown-pricing-mode" Warning
        "a price's mode is neither fixed nor dynamic"
        "write `fixed` or `dynamic`";
    UnknownCurrency "unknown-currency" Info
        "a price is in something that is not known to be worth a dollar, and cannot be compared"
        "name the price in USD as well";
    PricesDisagree "prices-disagree" Error
        "`price` and `offers` of one operation name different amounts"
        "write the same amount in both";
    LegacyPaymentInfo "legacy-payment-info" Info
        "a price is written in a legacy form"
        "write `price` with mode and amount, and `offers`";
    MissingProtocols "missing-protocols" Info
        "a priced operation does not say which protocols it is paid by"
        "add `x-payment-info.protocols`";
    MalformedProtocol "malformed-protocol" Warning
        "an entry of `protocols` cannot be read"
        "write {\"x402\": {}} or {\"mpp\": {\"method\", \"intent\", \"currency\"}}";
    UnknownProtocol "unknown-protocol" Info
        "a payment protocol is named that is not known"
        "name x402 or mpp as well";
    Missing402Response "missing-402-response" Warning
        "a priced operation does not declare its 402 response"
        "add `402` to `responses`";
    MissingInputSchema "missing-input-schema" Warning
        "a priced operation does not say what it takes"
        "describe `requestBody` or `parameters`";
    MissingOutputSchema "missing-output-schema" Info
        "a priced operation does not say what it gives"
        "describe the 200 response with a schema or an example";

    // The live answer.
    PriceMismatch "price-mismatch" Error
        "the live price is not the advertised one"
        "advertise what is charged";
    PricedButMissing "priced-but-missing" Error
        "a priced route is advertised that does not exist"
        "take it out of the document, or serve it";
    PricedButFree "priced-but-free" Error
        "a route that is advertised with a price asks for none"
        "charge for it, or take the price out of the document";
    FreeButPriced "free-but-priced" Error
        "a route that is advertised as free asks for payment"
        "add `x-payment-info` to the document";
    Undocumented "undocumented" Info
        "a route asks for payment that no document of its origin describes"
        "describe it in /openapi.json";
    NotProbed "not-probed" Info
        "a route was not asked for its live price"
        "ask for it with `farthing check URL -X METHOD -d BODY`";
    Unreadable402 "unreadable-402" Error
        "a 402 carries no offer that can be read"
        "send a PAYMENT-REQUIRED header with x402 version 2";
    UnreadableOffer "unreadable-offer" Error
        "an offer of a 402 cannot be read, and is paid by nobody here"
        "write it as x402's specification says";
    MissingResourceUrl "missing-resource-url" Error
        "a 402 of x402 version 2 has no `resource.url`, which is required"
        "name the resource's URL";
    ResourceUrlOfAnotherOrigin "resource-url-of-another-origin" Error
        "a 402 charges for a resource of another origin"
        "name the URL that was asked for; behind a proxy, the public one";
    ResourceUrlOfAnotherPath "resource-url-of-another-path" Warning
        "a 402 charges for another path than was asked for"
        "name the URL that was asked for";
    UnknownAsset "unknown-asset" Warning
        "an offer is in a token that is not known to be worth a dollar; it is not paid"
        "take USDC, or have buyers add the token under `assets` in config.yaml";
    WrongEip712Domain "wrong-eip712-domain" Error
        "an offer's `extra.name` or `extra.version` is not what the token signs under: no payment would settle"
        "copy name and version from the token's contract";
    ProtocolNotOffered "protocol-not-offered" Warning
        "a protocol is advertised that the live 402 does not offer"
        "offer it, or take it out of the document";
    OfferNotOffered "offer-not-offered" Warning
        "no live offer is on a network and in a token that is advertised"
        "advertise the networks and tokens that the 402 offers";
    MissingBazaarSchema "missing-bazaar-schema" Info
        "a 402 does not describe the call (`extensions.bazaar`), so that indexes cannot list it well"
        "add the bazaar extension with `info` and `schema`";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_kebab_case_and_each_its_own() {
        let names: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for name in names {
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                "{name}"
            );
        }
    }

    /// Its tables have every code, with severity and meaning, and no other.
    #[test]
    fn the_guide_knows_every_code() {
        let guide = include_str!("../../../../docs/discovery.md");
        let rows: Vec<&str> = guide.lines().filter(|line| line.starts_with("| `")).collect();
        let coded =
            |row: &&&str| ["| error |", "| warning |", "| info |"].iter().any(|part| row.contains(part));
        assert_eq!(rows.iter().filter(coded).count(), Code::ALL.len());
        for code in Code::ALL {
            let row = format!("| `{code}` | {} | {} |", code.severity(), code.meaning());
            assert!(rows.contains(&row.as_str()), "{row}");
        }
    }
}
