use farthing_gateway::{Config, ConfigError, Pricing};

const HEAD: &str = "pay_to: \"0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC\"\naccepts: [base]\n";

fn load(text: &str) -> Result<Pricing, ConfigError> {
    Pricing::new(&Config::parse("gateway.yaml", text)?)
}

#[test]
fn mistakes_are_found_at_their_place() {
    let route = |route: &str| format!("{HEAD}routes:\n  - {route}\n");
    for (text, line, words) in [
        (route(r#"{match: "GET /a", price: "$0.0000001"}"#), 4, "cannot be expressed exactly"),
        (route(r#"{match: "GET /a", price: 0.01}"#), 4, "in quotes"),
        (route(r#"{match: "GET /a", price: "$0"}"#), 4, "price of nothing"),
        (route(r#"{match: "GET /a", price: "-$1"}"#), 4, "not an amount"),
        (route(r#"{match: "GET /a"}"#), 4, "needs a price"),
        (route(r#"{match: "GET /a", free: true, price: "$1"}"#), 4, "free and priced"),
        (route(r#"{match: "GET /a", price: "$1", accepts: []}"#), 4, "nothing to pay it in"),
        (route(r#"{match: "GET /a", price: "$1", accepts: [dogecoin]}"#), 4, "not a network"),
        (route(r#"{match: "GET /a", price: "$1", accepts: [base, base]}"#), 4, "same terms"),
        (route(r#"{match: "GET /a", price: "$1", accepts: ["eip155:1"]}"#), 4, "no USDC is known"),
        (
            route(r#"{match: "GET /a", price: "$1", accepts: [{network: base, asset: "0x00"}]}"#),
            4,
            "is not known",
        ),
        (route(r#"{match: "GET /a", price: "$1", pay_to: "0x12"}"#), 4, "not an address"),
        (route(r#"{match: "GET /a", price: "$1", prize: "$2"}"#), 4, "prize"),
        (route(r#"{match: "GET /a", price: "$1", flow: sideways}"#), 4, "sideways"),
        (route(r#"{match: "GET /a", price: "$1", timeout: 30}"#), 4, "such as 500ms, 30s"),
        (route(r#"{match: "get /a", price: "$1"}"#), 4, "not a method"),
        (route(r#"{match: "GET /a/../b", price: "$1"}"#), 4, "dot segment"),
        (
            route("{match: \"GET /a/{x}\", price: \"$1\"}\n  - {match: \"GET /A/{y}/\", free: true}"),
            5,
            "same requests as the earlier",
        ),
        (route(r#"{match: "GET /a", match: "GET /b", price: "$1"}"#), 4, "duplicate"),
        (format!("{HEAD}routes: []\n"), 3, "nothing could be called"),
        (format!("{HEAD}unmatched: maybe\nroutes: []\n"), 3, "maybe"),
        (format!("{HEAD}colour: red\nroutes: []\n"), 3, "colour"),
        (
            format!("{HEAD}public_url: api.example.com\nroutes: [{{match: \"GET /a\", free: true}}]\n"),
            3,
            "URL",
        ),
        (format!("{HEAD}public_url: https://a.example/x\nroutes: []\n"), 3, "alone"),
        ("accepts: [base]\nroutes:\n  - {match: \"GET /a\", price: \"$1\"}\n".to_owned(), 1, "pay_to"),
        (format!("{HEAD}limits: {{request_body: 10}}\nroutes: []\n"), 3, "such as 64KB"),
        (route(r#"{match: "GET /a", price: "$1", input: string}"#), 4, "must be a JSON Schema"),
        (
            route(r##"{match: "GET /a", price: "$1", output: {items: {$ref: "#/x"}}}"##),
            4,
            "write the schema out",
        ),
        (route(r#"{match: "GET /a", price: "$1", tags: [a, ""]}"#), 4, "is empty"),
        (format!("{HEAD}discovery: {{titel: x}}\nroutes: []\n"), 3, "titel"),
        (format!("{HEAD}discovery: {{contact: {{phone: x}}}}\nroutes: []\n"), 3, "phone"),
        (format!("{HEAD}discovery: {{contact: me@example.com}}\nroutes: []\n"), 3, "mapping"),
        (format!("{HEAD}discovery: {{title: \"\"}}\nroutes: []\n"), 3, "is empty"),
        (format!("{HEAD}discovery:\n  guidance: {}\nroutes: []\n", "x".repeat(16_001)), 4, "at most 16000"),
        (format!("{HEAD}discovery: {{refresh: 300}}\nroutes: []\n"), 3, "such as 500ms"),
        (
            format!("{HEAD}discovery: {{upstream_document: ftp://x/y}}\nroutes: []\n"),
            3,
            "must be a path of the upstream",
        ),
        (
            format!(
                "{HEAD}upstream: http://x\ndiscovery: {{upstream_document: /openapi.json}}\nroutes:\n  \
                 - {{match: \"GET /openapi.json\", free: true}}\n"
            ),
            6,
            "take one out",
        ),
    ] {
        let error = load(&text).expect_err(&text);
        assert_eq!((error.line, &*error.file), (line, "gateway.yaml"), "{text}\n{error}");
        assert!(error.to_string().to_lowercase().contains(&words.to_lowercase()), "{text}\n{error}");
        assert!(error.to_string().starts_with(&format!("gateway.yaml:{line}:")), "{error}");
    }
}

#[test]
fn prices_are_listed_for_people() {
    let pricing = load(&format!(
        "{HEAD}routes:\n  - {{match: \"* /static/{{*rest}}\", free: true}}\n  - {{match: \"POST /render\", price: \"$0.05\", \
         flow: upfront, accepts: [base, {{network: base-sepolia, price: \"1 base units\"}}]}}\n"
    ))
    .unwrap();
    assert_eq!(
        pricing.describe(),
        [
            "POST /render  $0.05 (USDC) on Base or $0.000001 (USDC) on Base Sepolia, upfront",
            "* /static/{*rest}  free",
            "anything else  refused with 404",
        ]
    );
}

#[test]
fn a_gateway_needs_an_upstream_and_one_facilitator() {
    let config = |more: &str| Config::parse("gateway.yaml", &format!("{HEAD}{more}\nroutes: []\n")).unwrap();
    assert!(config("").upstream().unwrap_err().to_string().contains("`upstream` is missing"));
    assert!(config("upstream: ftp://x").upstream().is_err());
    assert!(config("upstream: http://x/base").upstream().is_err());
    assert_eq!(config("upstream: http://x:81").upstream().unwrap().as_str(), "http://x:81/");
    assert!(config("").facilitator().is_err());
    assert!(config("facilitator: {}").facilitator().is_err());
    let both =
        "facilitator: {url: \"https://f.example\", in_process: {networks: {base: {signers: [{env: K}]}}}}";
    assert!(config(both).facilitator().is_err());
    assert!(config("facilitator: {in_process: {networks: {}}}").facilitator().is_err());
    assert!(config("facilitator: {url: \"https://f.example\", bearer_env: KEY}").facilitator().is_ok());
    assert!(
        config("facilitator: {in_process: {networks: {base: {signers: [{env: K}]}}}}").facilitator().is_ok()
    );
}

/// What only a server for others has is no key of the facilitator in the process: it would be ignored.
#[test]
fn a_facilitator_in_the_process_has_no_sellers() {
    for key in ["listen: 127.0.0.1:1", "open: true", "keys: []", "ledger: x", "limits: {burst: 1}"] {
        let own = format!("{{networks: {{base: {{signers: [{{env: K}}]}}}}, {key}}}");
        let error = Config::parse("g.yaml", &format!("facilitator: {{in_process: {own}}}\nroutes: []\n"))
            .unwrap_err();
        assert!(error.line == 1 && error.message.contains("unknown field"), "{key}: {error}");
    }
    let limits =
        "facilitator: {in_process: {networks: {base: {signers: [{env: K}]}}, limits: {max_settlements: 9}}}";
    let config = Config::parse("g.yaml", &format!("{limits}\nroutes: []\n")).unwrap();
    assert_eq!(config.facilitator().unwrap().in_process.as_ref().unwrap().limits().max_settlements, 9);
}

#[test]
fn what_may_be_sold_can_be_kept() {
    for (limits, fits) in [
        ("responses: {max: 20MB}", true),
        ("responses: {max: 10MB}", false),
        ("limits: {response_buffer: 100MB}", true),
        ("limits: {response_buffer: 100MB}\nresponses: {max: 64MB}", false),
    ] {
        let read = Config::parse("g.yaml", &format!("{limits}\nroutes: []\n"));
        assert_eq!(read.is_ok(), fits, "{limits}: {read:?}");
    }
}

#[test]
fn the_ledger_and_the_answers_lie_beside_the_file() {
    let config = |more: &str| Config::parse("etc/g.yaml", &format!("{more}\nroutes: []\n")).unwrap();
    assert_eq!((config("").ledger(), config("").responses_dir()), (None, None));
    assert_eq!(config("ledger: g.db").ledger().unwrap(), std::path::Path::new("etc/g.db"));
    assert_eq!(config("ledger: /var/g.db").ledger().unwrap(), std::path::Path::new("/var/g.db"));
    assert_eq!(config("responses: {dir: a}").responses_dir().unwrap(), std::path::Path::new("etc/a"));
}

#[test]
fn the_example_in_the_guide_is_good() {
    let guide = include_str!("../../../../docs/gateway.md");
    let examples: Vec<&str> =
        guide.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() >= 2, "{}", examples.len());
    for (number, example) in examples.iter().enumerate().filter(|(_, text)| text.contains("routes:")) {
        let config = Config::parse("docs/gateway.md", example).unwrap_or_else(|e| panic!("{number}: {e}"));
        Pricing::new(&config).unwrap_or_else(|e| panic!("{number}: {e}"));
        config.facilitator().unwrap_or_else(|e| panic!("{number}: {e}"));
        config.upstream().unwrap_or_else(|e| panic!("{number}: {e}"));
    }
}

/// Found by fuzz/targets/config_secrets.rs: the parser's errors repeat what they cannot read.
#[test]
fn no_error_repeats_an_address_or_a_key() {
    for facilitator in [
        "{url: \"htps:/user:5ec4e7c0ffee@pay.example\\n\"}",
        "{url: \"5ec4e7c0ffee\"}",
        "{in_process: {networks: {base: {signers: [{env: A}], rpc: [\"5ec4e7c0ffee\"]}}}}",
        "{in_process: {networks: {base: {signers: [0x5ec4e7c0ffee]}}}}",
    ] {
        let text = format!("facilitator: {facilitator}\nroutes: []\n");
        let error = Config::parse("gateway.yaml", &text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("5ec4e7c0ffee"), "{error}");
        assert_eq!(error.line, 1, "{error}");
    }
}

/// Found by fuzz/targets/gateway_yaml.rs.
#[test]
fn errors_are_one_short_line() {
    let pattern = format!("GET /{{ci\\n\\e[2J{}ty}}", "x".repeat(5000));
    let keys = format!("routes: []\n\"k\\e[2J{}\": 1\n", "x".repeat(5000));
    for text in [format!("routes:\n  - {{match: \"{pattern}\", free: true}}\n"), keys] {
        let error = load(&text).unwrap_err().to_string();
        assert!(!error.contains(char::is_control) && error.len() < 1200, "{error}");
    }
}
