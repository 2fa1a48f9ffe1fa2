//! What the log of an earlier run says.

use data::ReadEvent;

use super::ReadError;

/// The log of an earlier run, taken apart.
#[derive(Default)]
pub struct Past {
    /// The planned number of chunks; `None` where there was no run.
    pub chunks: Option<usize>,
    /// (start, end, memory, plan) of each chunk that was read.
    pub read: Vec<(usize, usize, String, String)>,
    /// The answer, where the run came to it.
    pub answer: Option<String>,
}

impl Past {
    /// Takes the log of a read apart; refuses what is none.
    pub fn new(log: &[ReadEvent]) -> Result<Self, ReadError> {
        let Some((first, rest)) = log.split_first() else { return Ok(Self::default()) };
        let ReadEvent::Started { chunks, .. } = first else { return Err(ReadError::OtherRead("its first line")) };
        let mut out = Self { chunks: Some(*chunks), ..Self::default() };
        for event in rest {
            match event {
                ReadEvent::Chunk { index, start, end, memory, plan, .. }
                    if *index == out.read.len() && *index < *chunks && out.answer.is_none() =>
                {
                    out.read.push((*start, *end, memory.clone(), plan.clone()));
                }
                ReadEvent::Selected { .. } if out.read.is_empty() && out.answer.is_none() => {}
                ReadEvent::Answer { text, .. } if out.answer.is_none() => out.answer = Some(text.clone()),
                _ => return Err(ReadError::OtherRead("the order of its lines")),
            }
        }
        Ok(out)
    }
}
