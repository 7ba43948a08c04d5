//! Reads a part of a factory string from left to right.

#[derive(Debug, Clone, Copy)]
pub(super) struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// Goes past `text` if it comes next.
    pub(super) fn eat(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Goes past a number of at least 1: digits only, for `u64::from_str` would also take a plus sign.
    pub(super) fn number(&mut self) -> Option<u64> {
        let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let number = self.rest.get(..digits)?.parse().ok().filter(|number| *number > 0)?;
        self.rest = self.rest.get(digits..)?;
        Some(number)
    }

    /// Goes past a number if one comes next; fails at a number that is none of ours.
    pub(super) fn optional_number(&mut self) -> Option<Option<u64>> {
        if self.rest.starts_with(|next: char| next.is_ascii_digit()) { self.number().map(Some) } else { Some(None) }
    }

    pub(super) fn rest(&self) -> &'a str {
        self.rest
    }

    pub(super) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }
}
