//! The prompts, as text files, in the order of the paper's appendix D: problem, previous memory, section, then instructions.

const UPDATE: &str = include_str!("prompts/update.txt");
const UPDATE_QUOTES: &str = include_str!("prompts/update_quotes.txt");
const MEMAGENT_UPDATE: &str = include_str!("prompts/memagent_update.txt");
const MEMAGENT_FINAL: &str = include_str!("prompts/memagent_final.txt");
const SHORT_UPDATE: &str = include_str!("prompts/short_update.txt");
const SHORT_SINGLE: &str = include_str!("prompts/short_single.txt");
const FINAL: &str = include_str!("prompts/final.txt");
const SINGLE: &str = include_str!("prompts/single.txt");
const OUTLINE: &str = include_str!("prompts/outline.txt");
const OUTLINE_WHOLE: &str = include_str!("prompts/outline_whole.txt");
const ASK: &str = include_str!("prompts/ask.txt");

/// What stands where the memory would be before anything was read (MemAgent's wording; the paper does not say).
pub const NO_MEMORY: &str = "No previous memory";
/// What stands where the plan would be before anything was read.
pub const NO_PLAN: &str = "No plan yet";

/// What update.txt asks for while nothing was found.
pub const NOTHING_YET: &str = "Nothing found yet";
/// What the reply to an update is to begin with (update.txt asks for it).
pub const UPDATE_BEGINS: &str = "Updated memory:\n<memory>\n";
/// What nothing need follow in that reply.
pub const UPDATE_ENDS: &str = "</plan>";

/// What ask.txt asks for where the notes do not hold the answer.
pub const NOT_HELD: &str = "Not in the notes";

/// Fills `{name}` marks in one pass, so that marks inside the document or the question stay as they are.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(template.len() + values.iter().map(|(_, v)| v.len()).sum::<usize>());
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        out.push_str(&rest[..open]);
        rest = &rest[open..];
        match values.iter().find_map(|(name, value)| rest[1..].strip_prefix(name)?.strip_prefix('}').map(|after| (value, after))) {
            Some((value, after)) => {
                out.push_str(value);
                rest = after;
            }
            None => {
                out.push('{');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// The prompt that turns (memory, plan, section) into the next memory and plan (§3.1).
/// With `quotes` it asks for one verbatim quote a note.
pub fn update(question: &str, memory: &str, plan: &str, section: &str, quotes: bool) -> String {
    let template = if quotes { UPDATE_QUOTES } else { UPDATE };
    fill(template, &[("question", question), ("memory", or(memory, NO_MEMORY)), ("plan", or(plan, NO_PLAN)), ("section", section)])
}

/// The prompt that answers from the last memory (§3.1). The plan is not part of it.
pub fn answer(question: &str, memory: &str, instruction: &str) -> String {
    fill(FINAL, &[("question", question), ("memory", or(memory, NO_MEMORY)), ("instruction", instruction)])
}

/// MemAgent's turn (arXiv 2507.02259), in our words: the reply is the memory.
pub fn memagent_update(question: &str, memory: &str, section: &str) -> String {
    fill(MEMAGENT_UPDATE, &[("question", question), ("memory", or(memory, NO_MEMORY)), ("section", section)])
}

/// MemAgent's last turn: the answer in `\boxed{}`.
pub fn memagent_answer(question: &str, memory: &str, instruction: &str) -> String {
    fill(MEMAGENT_FINAL, &[("question", question), ("memory", or(memory, NO_MEMORY)), ("instruction", instruction)])
}

/// What a turn in a few words replies where a section brings nothing: the memory stays.
pub const SAME: &str = "same";

/// A turn in a few words, for models that were trained on them: the reply is the memory, or [`SAME`].
pub fn short_update(question: &str, memory: &str, section: &str) -> String {
    fill(SHORT_UPDATE, &[("question", question), ("memory", memory), ("section", section)]).trim_end().into()
}

/// An answer in a few words, from a text or from the memory that stands in its place.
pub fn short_single(question: &str, text: &str, instruction: &str) -> String {
    let prompt = fill(SHORT_SINGLE, &[("question", question), ("section", text)]);
    [prompt.trim_end(), instruction].join("\n").trim_end().into()
}

/// The prompt that answers from a document that fits the window whole.
pub fn single(question: &str, text: &str, instruction: &str) -> String {
    fill(SINGLE, &[("question", question), ("section", text), ("instruction", instruction)])
}

/// The prompt that takes notes of one section on its own, for an outline.
pub fn outline(section: &str) -> String {
    fill(OUTLINE, &[("section", section)])
}

/// The prompt that says what the document is, from summaries of its sections.
pub fn outline_whole(sections: &str) -> String {
    fill(OUTLINE_WHOLE, &[("sections", sections)])
}

/// The prompt that answers a later question from notes that were kept.
pub fn ask(question: &str, notes: &str, instruction: &str) -> String {
    fill(ASK, &[("question", question), ("notes", notes), ("instruction", instruction), ("not_held", NOT_HELD)])
}

fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

/// Splits a question into what is asked and how the answer shall look: trailing sentences that speak of the answer's form
/// ("Answer with one word.", "Reply as JSON.") are the format instruction, used only at the end (q_core and q_inst, §3.1).
pub fn split_question(question: &str) -> (String, String) {
    const FORM: [&str; 14] = [
        "answer with",
        "answer in",
        "answer only",
        "answer as",
        "reply",
        "respond",
        "give your answer",
        "give only",
        "output",
        "format",
        "end with",
        "end your",
        "write your answer",
        "use the format",
    ];
    let question = question.trim();
    let mut cut = question.len();
    let starts: Vec<usize> = sentence_starts(question);
    for &start in starts.iter().skip(1).rev() {
        let sentence = question[start..cut].trim().to_lowercase();
        let sentence = sentence.strip_prefix("please ").unwrap_or(&sentence);
        // "Output of 1990?" asks; "Output JSON." instructs.
        if sentence.ends_with(['?', '？']) || !FORM.iter().any(|form| sentence.starts_with(form)) {
            break;
        }
        cut = start;
    }
    (question[..cut].trim().to_string(), question[cut..].trim().to_string())
}

fn sentence_starts(text: &str) -> Vec<usize> {
    let mut starts = vec![0];
    let mut ended = false;
    for (index, c) in text.char_indices() {
        match c {
            '.' | '?' | '!' | '\n' | '。' | '？' | '！' => ended = true,
            c if c.is_whitespace() => {}
            // "3.5" and "e.g." do not end a sentence: only an end followed by white space (or CJK punctuation) does.
            _ if ended => {
                if text[..index].ends_with(|c: char| c.is_whitespace() || "。？！".contains(c)) {
                    starts.push(index);
                }
                ended = false;
            }
            _ => {}
        }
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_inside_a_document_are_left_alone() {
        let prompt = update("who?", "", "", "code {memory} and {question}", false);
        assert!(prompt.contains("code {memory} and {question}"));
        assert!(prompt.contains(NO_MEMORY) && prompt.contains("<problem>\nwho?\n</problem>"));
    }

    #[test]
    fn the_section_stands_before_the_instructions_and_the_plan_is_not_in_the_final_prompt() {
        let prompt = update("q", "m", "p", "SECTION", false);
        assert!(prompt.find("SECTION") < prompt.find("Only take notes"));
        assert!(!answer("q", "m", "").contains("<plan>"));
    }

    #[test]
    fn format_sentences_are_split_off() {
        let (core, form) = split_question("Who paid 3.5 million? Answer with one name. Reply in English.");
        assert_eq!((core.as_str(), form.as_str()), ("Who paid 3.5 million?", "Answer with one name. Reply in English."));
        assert_eq!(split_question("Answer with what did he reply?").1, "");
        assert_eq!(split_question("谁赢了？Answer in Chinese.").1, "Answer in Chinese.");
        assert_eq!(split_question("Who replied. Reply to whom? Why?").1, "");
        assert_eq!(split_question("How big is the plant? Output in 1990?").1, "");
    }
}
