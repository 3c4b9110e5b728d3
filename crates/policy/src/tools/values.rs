//! Single values out of YAML: texts, numbers with their digits, operators.

use std::time::Duration;

use super::operator::Operator;
use crate::error::{Place, printable};
use crate::json::{Exact, Json, Number, Object};
use crate::plan::Comparison;
use crate::read::is_null;
use crate::yaml::{Node, Value};
use crate::{PolicyError, Refund};

/// The value of a key, without taking it.
pub(super) fn field<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
}

/// A scalar's text, in quotes or not: Intercept's files write `name: 5`.
pub(super) fn word(node: Node) -> Result<String, PolicyError> {
    match node.value {
        Value::Plain(text) if is_null(&text) => Err(node.at.error("a text is missing here")),
        Value::Quoted(text) | Value::Plain(text) => Ok(text),
        _ => Err(node.at.error("expected a text")),
    }
}

/// A scalar's text.
pub(super) fn scalar(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Plain(text) | Value::Quoted(text) => Some(text),
        _ => None,
    }
}

/// `30m`, `1h30m`, `90s`, `2d`.
pub(super) fn duration(node: Node) -> Result<Duration, PolicyError> {
    let at = node.at;
    let text = word(node)?;
    let bad = || at.error(format!("`{}` is no length of time: write 30m, 2h or 1d", printable(&text)));
    let (mut seconds, mut digits) = (0u64, String::new());
    for c in text.chars() {
        if c.is_ascii_digit() && digits.len() < 9 {
            digits.push(c);
            continue;
        }
        let unit =
            [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)].into_iter().find(|(name, _)| *name == c);
        let (_, unit) = unit.ok_or_else(bad)?;
        seconds += digits.parse::<u64>().map_err(|_| bad())? * unit;
        digits.clear();
    }
    if digits.is_empty() && seconds > 0 { Ok(Duration::from_secs(seconds)) } else { Err(bad()) }
}

pub(super) fn refund(node: Node) -> Result<Refund, PolicyError> {
    let at = node.at;
    match word(node)?.as_str() {
        "never" => Ok(Refund::Never),
        "on_error" => Ok(Refund::OnError),
        "on_failure" => Ok(Refund::OnFailure),
        other => {
            Err(at.error(format!("`{}` is no refund: write never, on_error or on_failure", printable(other))))
        }
    }
}

pub(super) fn comparison(op: &str) -> Option<Comparison> {
    use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    let all = [Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual];
    all.into_iter().find(|comparison| comparison.as_str() == op)
}

pub(super) fn operator(op: &str, at: Place, value: Node) -> Result<Operator, PolicyError> {
    let value_at = value.at;
    let json = json(&value);
    Ok(match op {
        "eq" | "neq" => Operator::Equals { value: json, negated: op == "neq" },
        "in" | "not_in" => match json {
            Json::Array(values) if !values.is_empty() => Operator::OneOf { values, negated: op == "not_in" },
            Json::Array(_) => return Err(value_at.error("the list is empty: this rule would mean nothing")),
            _ => return Err(value_at.error(format!("`{op}` needs a list, such as [usd, eur]"))),
        },
        "lt" | "lte" | "gt" | "gte" => {
            let comparison = comparison(op).ok_or_else(|| at.error("this operator is not known"))?;
            let value = number(&value).ok_or_else(|| value_at.error(format!("`{op}` needs a number")))?;
            Operator::Order { comparison, value }
        }
        "regex" => Operator::Matches(pattern(json, value_at)?),
        "contains" => Operator::Contains(json),
        "exists" => match json {
            Json::Bool(wanted) => Operator::Exists(wanted),
            _ => return Err(value_at.error("`exists` is compared to true or false")),
        },
        other => {
            return Err(at.error(format!(
                "`{}` is no operator: write eq, neq, in, not_in, lt, lte, gt, gte, regex, contains or exists",
                printable(other)
            )));
        }
    })
}

/// The pattern with RE2's meaning of `\\d`, `\\w`, `\\s` and `\\b`, which is ASCII: to this crate they are Unicode's, and a
/// digit of another script would pass for one.
fn ascii_classes(pattern: &str) -> String {
    let (mut out, mut in_class) = (String::with_capacity(pattern.len()), false);
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            in_class = if in_class { c != ']' } else { c == '[' };
            out.push(c);
            continue;
        }
        match (chars.next(), in_class) {
            (Some('d'), _) => out.push_str("[0-9]"),
            (Some('D'), _) => out.push_str("[^0-9]"),
            (Some('w'), _) => out.push_str("[0-9A-Za-z_]"),
            (Some('W'), _) => out.push_str("[^0-9A-Za-z_]"),
            (Some('s'), _) => out.push_str("[\\t\\n\\x0C\\r ]"),
            (Some('S'), _) => out.push_str("[^\\t\\n\\x0C\\r ]"),
            (Some('b'), false) => out.push_str("(?-u:\\b)"),
            (Some(other), _) => out.extend(['\\', other]),
            (None, _) => out.push('\\'),
        }
    }
    out
}

fn pattern(json: Json, at: Place) -> Result<regex::Regex, PolicyError> {
    let Json::String(pattern) = json else {
        return Err(at.error("a regex is a text, in quotes"));
    };
    let compiled = regex::RegexBuilder::new(&ascii_classes(&pattern)).size_limit(1 << 20).build();
    compiled.map_err(|error| {
        let error = error.to_string();
        at.error(format!(
            "this is no regular expression: {}",
            printable(error.lines().last().unwrap_or_default())
        ))
    })
}

/// The exact value of a plain number.
pub(super) fn number(node: &Node) -> Option<Exact> {
    match json(node) {
        Json::Number(number) => number.exact(),
        _ => None,
    }
}

/// The value as YAML 1.2 reads it: numbers keep their digits.
pub(super) fn json(node: &Node) -> Json {
    match &node.value {
        Value::Quoted(text) => Json::from(text.as_str()),
        Value::Plain(text) if is_null(text) => Json::Null,
        Value::Plain(text) => match text.as_str() {
            "true" | "True" | "TRUE" => Json::Bool(true),
            "false" | "False" | "FALSE" => Json::Bool(false),
            _ => plain_number(text).map_or_else(|| Json::from(text.as_str()), Json::Number),
        },
        Value::List(items) => Json::Array(items.iter().map(json).collect()),
        Value::Map(entries) => Json::Object(
            entries.iter().map(|entry| (entry.key.clone(), json(&entry.node))).collect::<Object>(),
        ),
    }
}

/// A decimal number in any of YAML's spellings: `+5`, `.5`, `5.`, `1_000` beside JSON's own.
fn plain_number(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix('+').unwrap_or(text).replace('_', "");
    let padded = match unsigned.strip_prefix('-').map_or((false, unsigned.as_str()), |rest| (true, rest)) {
        (negative, rest) if rest.starts_with('.') => format!("{}0{rest}", if negative { "-" } else { "" }),
        _ => unsigned.clone(),
    };
    Number::parse(padded.strip_suffix('.').unwrap_or(&padded))
}

pub(super) fn exact(count: u64) -> Exact {
    Exact::parse(&count.to_string()).unwrap_or(Exact::ZERO)
}
