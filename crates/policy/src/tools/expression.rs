//! Conditions in CEL, the Common Expression Language, for what the operators cannot say.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use cel::objects::{Key, Map};
use cel::{Context, ExecutionError, Program, Value};

use super::path::is_variant;
use crate::error::printable;
use crate::json::{Json, Object};

/// A longer expression is a program.
const MAX_BYTES: usize = 4096;
/// More values than these are not handed to an expression: its loops take time by their number.
const MAX_VALUES: usize = 2_000;
/// What an expression can name.
const NAMES: [&str; 4] = ["args", "tool", "agent", "session"];

/// A compiled expression. It has to be true; false, an error and everything else deny.
pub(crate) struct Expression {
    text: String,
    /// What may be a key's name in it.
    words: Vec<String>,
    program: Program,
}

/// What an expression can see of a call.
pub(crate) struct Scene<'a> {
    pub(crate) tool: &'a str,
    pub(crate) arguments: &'a Object,
    pub(crate) agent: Option<&'a str>,
    pub(crate) session: &'a str,
}

impl Expression {
    /// Compiles an expression, and refuses names that no call has.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("the expression has more than {MAX_BYTES} bytes"));
        }
        let program = Program::compile(text).map_err(|error| {
            let error = error.to_string();
            format!("this is no CEL expression: {}", printable(error.lines().next().unwrap_or_default()))
        })?;
        let references = program.references();
        let unknown =
            references.variables().into_iter().find(|name| !NAMES.contains(name) && !is_bound(text, name));
        if let Some(unknown) = unknown.map(str::to_owned) {
            return Err(format!("`{unknown}` is not known; an expression can name {}", NAMES.join(", ")));
        }
        let words = text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
        Ok(Self { text: text.to_owned(), words: words.map(str::to_owned).collect(), program })
    }

    /// Whether it is true for the call.
    ///
    /// # Errors
    /// Why it has no value.
    pub(crate) fn holds(&self, scene: &Scene<'_>) -> Result<bool, String> {
        let mut room = MAX_VALUES;
        let arguments = object(scene.arguments, &mut room)
            .ok_or_else(|| format!("the arguments have more than {MAX_VALUES} values"))?;
        // Every key is compared with every other one of its object: only now is it known that they are few.
        if let Some(name) = self.twin(scene.arguments) {
            return Err(format!(
                "`{}` differs from another key, or from one that is looked for, in letter case alone",
                printable(name)
            ));
        }
        let mut context = Context::default();
        context.add_variable_from_value("args", arguments);
        context.add_variable_from_value("tool", scene.tool.to_owned());
        context.add_variable_from_value("agent", scene.agent.unwrap_or_default().to_owned());
        context.add_variable_from_value("session", scene.session.to_owned());
        match self.program.execute(&context) {
            Ok(Value::Bool(truth)) => Ok(truth),
            Ok(_) => Err("it is neither true nor false".to_owned()),
            Err(error) => Err(self.without_values(&error)),
        }
    }

    /// What is wrong, without the call's values: it stands in the record, which holds no argument's text.
    fn without_values(&self, error: &ExecutionError) -> String {
        match error {
            // A name that is written in the expression is the policy's own.
            ExecutionError::NoSuchKey(key) if self.text.contains(key.as_str()) => {
                format!("`{key}` is missing")
            }
            ExecutionError::NoSuchKey(_) => "a key is missing".to_owned(),
            ExecutionError::FunctionError { function, .. } => {
                format!("`{function}` cannot take its argument")
            }
            ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
                "it divides by zero".to_owned()
            }
            ExecutionError::Overflow(..) => "a number in it becomes too large".to_owned(),
            ExecutionError::IndexOutOfBounds(_) => "a list is too short".to_owned(),
            _ => "its parts are of kinds that do not go together".to_owned(),
        }
    }
}

impl Expression {
    /// A key that a server may take for another one, or for one that the expression names: which one it would see, nobody
    /// can say.
    fn twin<'a>(&self, arguments: &'a Object) -> Option<&'a str> {
        let known = || self.words.iter().map(String::as_str).chain(arguments.iter().map(|(name, _)| name));
        let has_twin = |name: &str| known().any(|known| name != known && is_variant(name, known));
        let twin = arguments.iter().map(|(name, _)| name).find(|name| has_twin(name));
        twin.or_else(|| arguments.iter().find_map(|(_, value)| self.twin_in(value)))
    }

    fn twin_in<'a>(&self, value: &'a Json) -> Option<&'a str> {
        match value {
            Json::Object(object) => self.twin(object),
            Json::Array(items) => items.iter().find_map(|item| self.twin_in(item)),
            _ => None,
        }
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.text).finish()
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether a name is bound by a macro, as in `args.items.all(item, item.price < 5)`.
fn is_bound(text: &str, name: &str) -> bool {
    text.split('(').any(|rest| {
        rest.trim_start().strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with(','))
    })
}

/// A value for CEL, as long as there is room for its parts. Whole numbers are exact; others are doubles, as CEL has them.
fn value(json: &Json, room: &mut usize) -> Option<Value> {
    *room = room.checked_sub(1)?;
    Some(match json {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => whole(number.as_str())
            .or_else(|| number.as_str().parse::<f64>().ok().filter(|n| n.is_finite()).map(Value::Float))?,
        Json::String(text) => Value::String(Arc::new(text.clone())),
        Json::Array(items) => {
            let items = items.iter().map(|item| value(item, room)).collect::<Option<Vec<_>>>()?;
            Value::List(Arc::new(items))
        }
        Json::Object(entries) => object(entries, room)?,
    })
}

fn whole(digits: &str) -> Option<Value> {
    digits.parse().map(Value::Int).or_else(|_| digits.parse().map(Value::UInt)).ok()
}

fn object(entries: &Object, room: &mut usize) -> Option<Value> {
    if entries.len() > *room {
        return None;
    }
    let mut map = HashMap::with_capacity(entries.len());
    for (key, entry) in entries.iter() {
        map.insert(Key::String(Arc::new(key.to_owned())), value(entry, room)?);
    }
    Some(Value::Map(Map { map: Arc::new(map) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str, arguments: &str) -> Result<bool, String> {
        let json = Json::parse(arguments.as_bytes()).unwrap();
        let scene = Scene {
            tool: "pay",
            arguments: json.as_object().unwrap(),
            agent: Some("researcher"),
            session: "s1",
        };
        Expression::parse(text).unwrap().holds(&scene)
    }

    #[test]
    fn sees_the_call() {
        let arguments = r#"{"amount":25,"price":0.5,"tags":["a","b"],"to":{"id":"acct_1"}}"#;
        for text in [
            "args.amount < 100 && args.to.id.startsWith('acct_')",
            "args.price < 1.0",
            "args.tags.all(t, size(t) == 1)",
            "has(args.to) && !has(args.nothing)",
            "tool == 'pay' && agent == 'researcher' && session == 's1'",
            "args.to.id.matches('^acct_[0-9]$')",
        ] {
            assert_eq!(holds(text, arguments), Ok(true), "{text}");
        }
        assert_eq!(holds("args.amount > 100", arguments), Ok(false));
    }

    #[test]
    fn what_has_no_value_is_no_yes() {
        for text in [
            "args.nothing < 5",
            "args.amount",
            "1 / args.zero == 1",
            "args.amount < 'a'",
            "args.amount + 'x' == 'y'",
        ] {
            assert!(holds(text, r#"{"amount":25,"zero":0}"#).is_err(), "{text}");
        }
        assert_eq!(holds("args.nothing < 5", "{}").unwrap_err(), "`nothing` is missing");
        let many = format!("{{\"list\":[{}1]}}", "1,".repeat(3_000));
        assert!(holds("true", &many).is_err());
    }

    #[test]
    fn too_many_keys_are_not_even_compared() {
        let keys: Vec<String> = (0..3_000).map(|n| format!("\"k{n}\":1,\"K{n}\":1")).collect();
        let why = holds("true", &format!("{{{}}}", keys.join(","))).unwrap_err();
        assert!(why.contains("more than 2000 values"), "{why}");
        assert!(holds("true", r#"{"k":1,"K":1}"#).unwrap_err().contains("letter case"));
    }

    #[test]
    fn what_is_wrong_is_told_without_values() {
        for text in [
            "args.a < 5",
            "args.a + 5 < 6",
            "args[args.a] == 1",
            "args.list[args.a] == 1",
            "'x'.matches(args.a)",
            "int(args.a) < 5",
            "duration(args.a) < duration('5s')",
            "timestamp(args.a) < timestamp('2026-01-01T00:00:00Z')",
            "args.a.all(x, x)",
            "-args.a == 1",
            "args.a ? true : false",
            "args.list[7] == args.a",
            "args.one / args.zero == args.a",
        ] {
            let why = holds(text, r#"{"a":"s3cret[","list":["s3cret["],"one":1,"zero":0}"#).unwrap_err();
            assert!(!why.contains("s3cret"), "{text}: {why}");
        }
    }

    #[test]
    fn refuses_at_load_time() {
        for text in ["", "args.", "1 +", "amount < 5", "(", &"(".repeat(5_000), "args.a &&"] {
            assert!(Expression::parse(text).is_err(), "{text}");
        }
    }
}
