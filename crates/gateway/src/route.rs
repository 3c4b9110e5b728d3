//! Patterns of requests: `GET /weather/{city}`, `* /static/{*rest}`.

use std::cmp::Ordering;

use http::Method;

use crate::canonical_path;

/// Which requests a route is for.
///
/// Letters compare without case and a trailing slash does not count, because many servers treat such paths as one:
/// a price must not be avoided by writing `/Weather/`. Nor by writing `get`, which some frameworks take for `GET`. `GET`
/// also stands for `HEAD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// None for `*`.
    method: Option<Method>,
    segments: Vec<Segment>,
    /// The path as the operator wrote it, in canonical form.
    path: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    /// Canonical text in lower case.
    Literal(String),
    /// Exactly one segment.
    Param,
    /// All that is left, also nothing.
    Rest,
}

impl Pattern {
    /// Reads `METHOD /path`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (method, path) = text
            .split_once(' ')
            .ok_or("expected a method, one space and a path, such as `GET /weather/{city}`")?;
        let inner = path.strip_prefix('/').ok_or("the path must begin with /")?;
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        let parts: Vec<&str> = if inner.is_empty() { Vec::new() } else { inner.split('/').collect() };
        let mut segments = Vec::with_capacity(parts.len());
        let mut canonical = String::new();
        for part in parts {
            if segments.last() == Some(&Segment::Rest) {
                return Err("{*rest} must be the last segment".into());
            }
            let (segment, text) = Segment::parse(part)?;
            segments.push(segment);
            canonical.push('/');
            canonical.push_str(&text);
        }
        if canonical.is_empty() {
            canonical.push('/');
        }
        Ok(Self { method: method_of(method)?, segments, path: canonical })
    }

    /// Whether the pattern is for this method and canonical path.
    pub(crate) fn matches(&self, method: &Method, path: &str) -> bool {
        self.matches_method(method) && self.matches_path(path)
    }

    /// The path, when it is a single one.
    pub(crate) fn fixed_path(&self) -> Option<&str> {
        let fixed = self.segments.iter().all(|segment| matches!(segment, Segment::Literal(_)));
        fixed.then_some(&*self.path)
    }

    /// `GET /weather/{city}`
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.method.as_ref().map_or("*", Method::as_str), self.path)
    }

    /// The same text for patterns that are for exactly the same requests.
    pub(crate) fn identity(&self) -> String {
        let mut text = self.method.as_ref().map_or("*", Method::as_str).to_owned();
        for segment in &self.segments {
            text.push('/');
            text.push_str(match segment {
                Segment::Literal(literal) => literal,
                Segment::Param => "{}",
                Segment::Rest => "{*}",
            });
        }
        text
    }

    /// None for `*`.
    pub(crate) fn method(&self) -> Option<&Method> {
        self.method.as_ref()
    }

    /// The path as OpenAPI writes it: `/weather/{city}`, `/static/{rest}`. Each parameter has a name of its own.
    pub(crate) fn template(&self) -> String {
        let mut seen = Vec::new();
        let mut template = String::new();
        for part in self.path.split('/').skip(1) {
            template.push('/');
            let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
                template.push_str(part);
                continue;
            };
            let name = name.trim_start_matches('*');
            let earlier = seen.iter().filter(|known| **known == name).count();
            seen.push(name);
            let number = if earlier > 0 { format!("_{}", earlier + 1) } else { String::new() };
            template.push_str(&format!("{{{name}{number}}}"));
        }
        template
    }

    /// Whether its last parameter takes any number of segments.
    pub(crate) fn takes_the_rest(&self) -> bool {
        self.segments.last() == Some(&Segment::Rest)
    }

    /// The order in which patterns are tried: from the left, a literal before a parameter before the rest; for the
    /// same paths, a method before `*`.
    pub(crate) fn cmp_specific(&self, other: &Self) -> Ordering {
        let rank = |pattern: &Self| pattern.method.is_none();
        self.compare_segments(other).then(rank(self).cmp(&rank(other))).then_with(|| {
            // HEAD spelled out goes before the HEAD that GET stands for.
            let get = |pattern: &Self| pattern.method == Some(Method::GET);
            get(self).cmp(&get(other))
        })
    }

    fn compare_segments(&self, other: &Self) -> Ordering {
        let end = Segment::Literal(String::new());
        for at in 0..self.segments.len().max(other.segments.len()) {
            let segment = |pattern: &'_ Self| pattern.segments.get(at).unwrap_or(&end).clone();
            let order = segment(self).cmp(&segment(other));
            if order != Ordering::Equal {
                return order;
            }
        }
        Ordering::Equal
    }

    fn matches_method(&self, method: &Method) -> bool {
        let is = |wanted: &Method| wanted.as_str().eq_ignore_ascii_case(method.as_str());
        self.method.as_ref().is_none_or(|wanted| is(wanted) || (wanted == Method::GET && is(&Method::HEAD)))
    }

    fn matches_path(&self, path: &str) -> bool {
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        for segment in &self.segments {
            match (segment, parts.next()) {
                (Segment::Rest, _) => return true,
                (Segment::Param, Some(_)) => {}
                (Segment::Literal(wanted), Some(part)) if wanted.eq_ignore_ascii_case(part) => {}
                _ => return false,
            }
        }
        parts.next().is_none()
    }
}

impl Segment {
    /// The segment and its canonical text.
    fn parse(part: &str) -> Result<(Self, String), String> {
        if let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            let (name, segment) = match name.strip_prefix('*') {
                Some(name) => (name, Self::Rest),
                None => (name, Self::Param),
            };
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                return Err(format!("`{part}` needs a name of letters, digits and _ in its braces"));
            }
            return Ok((segment, part.to_owned()));
        }
        if part.contains(['{', '}', '*']) {
            return Err(format!(
                "`{part}`: a parameter takes a whole segment: /{{name}} or, last, /{{*name}}"
            ));
        }
        if part.is_empty() {
            return Err("has an empty segment (//)".to_owned());
        }
        let path = format!("/{part}");
        let canonical = canonical_path(&path).map_err(|error| error.to_string())?;
        let text = canonical.get(1..).unwrap_or("").to_owned();
        Ok((Self::Literal(text.to_ascii_lowercase()), text))
    }
}

fn method_of(text: &str) -> Result<Option<Method>, String> {
    match text {
        "*" => Ok(None),
        "CONNECT" | "TRACE" => Err(format!("{text} cannot be served")),
        _ if !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase()) => {
            Method::from_bytes(text.as_bytes()).map(Some).map_err(|error| error.to_string())
        }
        _ => Err(format!("`{}` is not a method: write GET, POST, …, or * for all", text.escape_debug())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, method: &str, path: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(&method.parse().unwrap(), path)
    }

    #[test]
    fn patterns_match_whole_paths() {
        for (pattern, path, yes) in [
            ("GET /", "/", true),
            ("GET /", "/a", false),
            ("GET /weather", "/weather", true),
            ("GET /weather", "/weather/", true),
            ("GET /weather/", "/weather", true),
            ("GET /weather", "/WEATHER", true),
            ("GET /weather", "/weather/x", false),
            ("GET /weather/{city}", "/weather/oslo", true),
            ("GET /weather/{city}", "/weather", false),
            ("GET /weather/{city}", "/weather/", false),
            ("GET /weather/{city}", "/weather/a/b", false),
            ("GET /{*all}", "/", true),
            ("GET /a/{*rest}", "/a", true),
            ("GET /a/{*rest}", "/a/b/c", true),
            ("GET /a/{*rest}", "/ab", false),
            ("GET /z%c3%bcrich", "/z%C3%BCrich", true),
            ("GET /zürich", "/z%C3%BCrich", true),
        ] {
            assert_eq!(matches(pattern, "GET", path), yes, "{pattern} {path}");
        }
    }

    #[test]
    fn get_stands_for_head() {
        assert!(matches("GET /a", "HEAD", "/a"));
        assert!(!matches("GET /a", "POST", "/a"));
        assert!(!matches("HEAD /a", "GET", "/a"));
        assert!(matches("* /a", "PURGE", "/a"));
    }

    #[test]
    fn a_method_in_small_letters_is_the_same() {
        assert!(matches("GET /a", "get", "/a") && matches("GET /a", "Head", "/a"));
        assert!(matches("PATCH /a", "patch", "/a") && !matches("PATCH /a", "get", "/a"));
    }

    #[test]
    fn the_most_specific_goes_first() {
        let mut patterns: Vec<_> = [
            "* /{*all}",
            "GET /a/{*rest}",
            "* /a/{x}",
            "GET /a/{x}",
            "GET /a/b/{x}",
            "GET /a/b",
            "HEAD /a/b",
        ]
        .map(|text| Pattern::parse(text).unwrap())
        .into();
        patterns.sort_by(Pattern::cmp_specific);
        let names: Vec<_> = patterns.iter().map(Pattern::name).collect();
        assert_eq!(
            names,
            [
                "HEAD /a/b",
                "GET /a/b",
                "GET /a/b/{x}",
                "GET /a/{x}",
                "* /a/{x}",
                "GET /a/{*rest}",
                "* /{*all}"
            ]
        );
    }

    #[test]
    fn openapi_writes_parameters_without_stars_and_each_name_once() {
        for (pattern, template) in [
            ("GET /", "/"),
            ("GET /weather/{city}", "/weather/{city}"),
            ("* /static/{*rest}", "/static/{rest}"),
            ("GET /{a}/b/{a}/{*a}", "/{a}/b/{a_2}/{a_3}"),
            ("GET /zürich/", "/z%C3%BCrich"),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().template(), template, "{pattern}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for text in [
            "",
            "/weather",
            "get /weather",
            "GET weather",
            "GET /a//b",
            "GET /../a",
            "GET /v{n}",
            "GET /{}",
            "GET /{a-b}",
            "GET /{*rest}/a",
            "GET /*",
            "GET /a%2Fb",
            "GET,POST /a",
            "CONNECT /",
        ] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }
}
