//! What common words do in a sentence: the lists behind the rules of `judge.rs`. English, and the Chinese words that deny.

use std::collections::HashMap;
use std::sync::OnceLock;

/// Function words, in normal form. They carry no meaning of their own here.
const FUNCTION_WORDS: &str = " a an the this that these those there here it its he she they we you i him her them us his their our your my me who whom \
    whose which what where when why how and or but if then than so as at by for from in into of on onto to with within upon about over under \
    between among through during above below up down out off again also too very just only even such some any all each every both \
    either more most other another same own is are was were be been being am do does did done doing has have had having will would shall \
    should can could may might must ought s t re ve ll d m one ones while because since until though although however therefore thus \
    toward towards against per percent via etc still ";
/// Words that often begin a note, with a capital that makes no name of them.
const HEDGE_WORDS: &str = " around approximately roughly nearly almost only total ";
/// What a note says around what it notes.
const WRAPPER_WORDS: &str = " said says say saying stated stating mentioned mentions according document section passage text speaker author speech noted \
    notes quote ";
/// What a note's subject does that the document does not say of its own speaker.
const SPEAKS_WORDS: &str = " said says say stated states noted notes reported reports announced announces argued argues claimed claims believes believed \
    emphasized emphasizes mentioned mentions proposed proposes urged urges recommended recommends asked asks wants wanted plans planned hopes hoped \
    calls called ";
/// What someone whom the document quotes does.
const TELLS_WORDS: &str =
    " said say says stated argued argues claimed announced declared believed believes warned wrote told asked urged predicted ";
/// Words that deny.
const DENY_WORDS: &str = " not no never none nothing neither nor without cannot cant wont dont doesnt didnt isnt arent wasnt werent hasnt havent hadnt \
    couldnt wouldnt shouldnt nobody nowhere 不 没 沒 無 无 未 非 勿 莫 ";
// What a word is, as bits.
pub(crate) const FUNCTION: u8 = 1;
pub(crate) const HEDGE: u8 = 2;
pub(crate) const WRAPPER: u8 = 4;
pub(crate) const SPEAKS: u8 = 8;
pub(crate) const TELLS: u8 = 16;
pub(crate) const DENY: u8 = 32;
pub(crate) const I_OR_WE: u8 = 64;

/// The bits of a word in normal form.
pub(crate) fn role(word: &str) -> u8 {
    static ROLES: OnceLock<HashMap<&str, u8>> = OnceLock::new();
    let roles = ROLES.get_or_init(|| {
        let lists = [
            (FUNCTION, FUNCTION_WORDS),
            (HEDGE, HEDGE_WORDS),
            (WRAPPER, WRAPPER_WORDS),
            (SPEAKS, SPEAKS_WORDS),
            (TELLS, TELLS_WORDS),
            (DENY, DENY_WORDS),
            (I_OR_WE, "i we"),
        ];
        let mut roles = HashMap::new();
        for (bit, words) in lists {
            for word in words.split_whitespace() {
                *roles.entry(word).or_default() |= bit;
            }
        }
        roles
    });
    roles.get(word).copied().unwrap_or(0)
}
