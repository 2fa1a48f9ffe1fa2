//! Server-sent events out of bytes that come in any pieces (WHATWG HTML §9.2.6).

/// An event's name and data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// `event:`; mostly empty.
    pub name: String,
    /// The `data:` lines, joined by newlines.
    pub data: String,
}

/// More than any reply's piece: a stream without line ends must not fill the memory.
const LONGEST: usize = 16 << 20;

/// An event or line of more than 16 MiB.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Reads a stream. The events do not depend on where the bytes were cut.
#[derive(Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    name: String,
    data: Option<String>,
    /// The last byte was a CR; an LF that follows belongs to it.
    after_cr: bool,
    /// A line has ended: a byte-order mark may only stand before.
    begun: bool,
}

impl Parser {
    /// Takes the next bytes; complete events go to `events`.
    pub fn push(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), TooLong> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if std::mem::take(&mut self.after_cr) && rest[0] == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let Some(end) = rest.iter().position(|&byte| byte == b'\n' || byte == b'\r') else {
                self.line.extend_from_slice(rest);
                return if self.line.len() > LONGEST { Err(TooLong) } else { Ok(()) };
            };
            self.line.extend_from_slice(&rest[..end]);
            self.after_cr = rest[end] == b'\r';
            rest = &rest[end + 1..];
            self.end_line(events)?;
        }
        Ok(())
    }

    /// The stream is over: an event that no blank line ended counts all the same, since some servers leave the last one out.
    pub fn finish(&mut self, events: &mut Vec<Event>) -> Result<(), TooLong> {
        if !self.line.is_empty() {
            self.end_line(events)?;
        }
        self.dispatch(events);
        Ok(())
    }

    fn end_line(&mut self, events: &mut Vec<Event>) -> Result<(), TooLong> {
        if self.line.len() > LONGEST {
            return Err(TooLong);
        }
        let line = std::mem::take(&mut self.line);
        // Whole lines only, so that a character cut between two reads is whole again.
        let line = String::from_utf8_lossy(&line);
        let mut line = line.as_ref();
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            self.dispatch(events);
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => match &mut self.data {
                Some(data) if data.len() + value.len() > LONGEST => return Err(TooLong),
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_string()),
            },
            "event" => self.name = value.to_string(),
            // Comments (an empty field: keep-alives), `id`, `retry` and whatever else say nothing about the reply.
            _ => {}
        }
        Ok(())
    }

    fn dispatch(&mut self, events: &mut Vec<Event>) {
        let name = std::mem::take(&mut self.name);
        if let Some(data) = self.data.take() {
            events.push(Event { name, data });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pieces: &[&[u8]]) -> Vec<Event> {
        let (mut parser, mut events) = (Parser::default(), Vec::new());
        for piece in pieces {
            parser.push(piece, &mut events).unwrap();
        }
        parser.finish(&mut events).unwrap();
        events
    }

    fn data(stream: &str) -> Vec<String> {
        all(&[stream.as_bytes()]).into_iter().map(|event| event.data).collect()
    }

    #[test]
    fn what_the_standard_says() {
        assert_eq!(data("data: a\n\ndata:b\n\n"), ["a", "b"]);
        assert_eq!(data("data: a\r\ndata: b\r\n\r\ndata: c\rdata: d\r\rdata: e\n\rdata: f"), ["a\nb", "c\nd", "e", "f"]);
        assert_eq!(data("data: YHOO\ndata: +2\ndata: 10\n\n"), ["YHOO\n+2\n10"]);
        assert_eq!(data(": keep-alive\n\n\n:\n\ndata: x\n\n"), ["x"]);
        assert_eq!(data("data\n\ndata\ndata\n\ndata:"), ["", "\n", ""]);
        assert_eq!(data("data:  two spaces\n\n"), [" two spaces"]);
        assert_eq!(data("\u{feff}data: marked\r\n\r\ndata: y\r\rdata: z"), ["marked", "y", "z"]);
        assert_eq!(data("id: 1\nretry: 10\nnothing\n\n"), Vec::<String>::new());
        let events = all(&[b"event: error\ndata: {}\n\ndata: n\n\n"]);
        assert_eq!((events[0].name.as_str(), events[1].name.as_str()), ("error", ""));
    }

    #[test]
    fn a_character_cut_in_two_is_whole_again() {
        let bytes = "data: 三€😀\n\n".as_bytes();
        for cut in 0..=bytes.len() {
            assert_eq!(all(&[&bytes[..cut], &bytes[cut..]])[0].data, "三€😀");
        }
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let (mut parser, mut events) = (Parser::default(), Vec::new());
        let piece = vec![b'x'; 1 << 20];
        let refused = (0..18).find_map(|_| parser.push(&piece, &mut events).err());
        assert_eq!(refused, Some(TooLong));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2000))]
        #[test]
        fn events_do_not_depend_on_the_cuts(
            parts in proptest::collection::vec(proptest::prop_oneof![
                proptest::prelude::Just(b"data: ".to_vec()),
                proptest::prelude::Just(b"\n".to_vec()),
                proptest::prelude::Just(b"\r".to_vec()),
                proptest::prelude::Just(b"\r\n".to_vec()),
                proptest::prelude::Just(b"event:".to_vec()),
                proptest::prelude::Just("é三😀\u{feff}".as_bytes().to_vec()),
                proptest::collection::vec(proptest::prelude::any::<u8>(), 0..6),
            ], 0..24),
            cuts in proptest::collection::vec(0usize..80, 0..12),
        ) {
            let bytes = parts.concat();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            let whole = all(&[&bytes]);
            proptest::prop_assert_eq!(&all(&pieces), &whole);
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            proptest::prop_assert_eq!(&all(&single), &whole);
        }
    }
}
