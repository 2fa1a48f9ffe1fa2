//! The first screen: what this is, and what can be opened.

use leptos::prelude::*;
use line::files_of;

use super::carried::FORMATS;
use super::kept::Reads;
use super::state::Reader;

/// Words of a sample: read in half a minute on a laptop's processor.
const SAMPLE: usize = 6000;

/// Shown while nothing is open.
#[component]
pub fn Start(reader: Reader) -> impl IntoView {
    let typing = RwSignal::new(String::new());
    let chosen = move |event: leptos::ev::Event| {
        let input: web_sys::HtmlInputElement = event_target(&event);
        let files = files_of(&input);
        input.set_value("");
        reader.open(files);
    };
    let busy = move || reader.is_busy();
    view! {
        <div class="start">
            <section class="welcome" data-test="open">
                <p class="lead">"Ask a document of any length, and see where every sentence of the answer stands in it."</p>
                <p class="soft">"A model reads it section by section and takes notes, here in this tab. Nothing you open leaves it."</p>
                <div class="well">
                    <div class="row">
                        <label class="button main" part="button">"Open a document"
                            <input type="file" multiple accept=FORMATS data-test="file" prop:disabled=busy on:change=chosen />
                        </label>
                        <button type="button" part="button" data-test="sample" prop:disabled=busy on:click=move |_| reader.sample(js_sys::Date::now() as u64, SAMPLE)>
                            "Try a sample"
                        </button>
                    </div>
                    <p class="soft">"Or drop it anywhere here, or paste a text. Text, Markdown, HTML, PDF, DOCX, EPUB, XLSX, CSV, JSON; or a "<code>".longhand"</code>" file, a read that was kept, shown without a model."</p>
                    <details>
                        <summary data-test="type-text">"Type or paste a text"</summary>
                        <form on:submit=move |event| {
                            event.prevent_default();
                            let text = typing.get_untracked();
                            if !text.trim().is_empty() {
                                reader.open_text(&text);
                                typing.set(String::new());
                            }
                        }>
                            <label>"The text"
                                <textarea rows="6" dir="auto" data-test="text" prop:value=move || typing.get() on:input=move |event| typing.set(event_target_value(&event))></textarea>
                            </label>
                            <button part="button" data-test="open-text" prop:disabled=move || busy() || typing.with(|text| text.trim().is_empty())>"Open this text"</button>
                        </form>
                    </details>
                </div>
            </section>
            <section class="kept" data-test="kept" hidden=move || reader.machine.with(|machine| machine.as_ref().is_none_or(|machine| machine.reads.is_empty()))>
                <h2>"Reads in this browser"</h2>
                <Reads reader=reader />
            </section>
        </div>
    }
}
