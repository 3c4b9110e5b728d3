//! What lies behind an error.

use std::error::Error;

/// An error with its causes in one line, each said once: many an error repeats its cause in its own words. What HTTP
/// clients say first is only that sending failed.
///
/// ```
/// let error = std::io::Error::other(std::io::Error::other("the cable is cut"));
/// assert_eq!(farthing_ambient::causes(&error), "the cable is cut");
/// ```
#[must_use]
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        source = cause.source();
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Nested(&'static str, Option<Box<Nested>>);

    impl std::fmt::Display for Nested {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Nested {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    #[test]
    fn every_cause_once() {
        let refused = Nested("connection refused", None);
        let connect = Nested("connect: connection refused", Some(Box::new(refused)));
        let request = Nested("sending failed", Some(Box::new(connect)));
        assert_eq!(causes(&request), "sending failed: connect: connection refused");
    }
}
