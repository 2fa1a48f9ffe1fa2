//! How a reader goes on where the engine is gone: its tab was closed, or its worker ended. What is open is given to the engine that follows, the model
//! is loaded there, and what was not answered is asked again; a read goes on from its log.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use leptos::prelude::*;
use web_sys::Blob;

use super::{ModelState, Reader};
use crate::engine::{self, Engine};
use crate::protocol::{Event, ModelChoice, Problem, ProblemKind, Request, Stage};

/// How often a request that the engine did not outlive is asked again, without anything new from it in between: it may be what ended the engine.
const AGAIN: u32 = 2;

/// A request on its way.
pub(super) struct Sent {
    request: Request,
    files: Vec<Blob>,
    /// Its end is not the end of the work that goes on.
    beside: bool,
    /// Hears its events, just before the reader takes them in.
    also: Box<dyn Fn(&Event)>,
    /// How often it was asked again.
    again: Cell<u32>,
    /// Its read goes on beyond what was known.
    begun: Cell<bool>,
}

impl Sent {
    pub(super) fn new(request: Request, files: Vec<Blob>, also: impl Fn(&Event) + 'static) -> Self {
        let beside = matches!(
            request,
            Request::Hello
                | Request::Stop
                | Request::Close
                | Request::Restore { .. }
                | Request::Export { .. }
                | Request::DeleteModel { .. }
                | Request::DeleteRead { .. }
        );
        Self { request, files, beside, also: Box::new(also), again: Cell::default(), begun: Cell::default() }
    }

    /// Asking twice does more than asking once.
    fn changes_notes(&self) -> bool {
        matches!(self.request, Request::Edit { .. } | Request::Undo { .. })
    }

    /// Lines beyond those that were known show that the engine outlives it.
    fn note(&self, event: &Event) {
        match event {
            Event::Planned { .. } => self.begun.set(true),
            Event::Log { .. } if self.begun.get() => self.again.set(0),
            _ => {}
        }
    }

    /// Whether it is to be asked again after this event.
    fn is_lost(&self, event: &Event) -> bool {
        let lost = is_moved(event) && self.again.get() < AGAIN;
        if lost {
            self.again.set(self.again.get() + 1);
            self.begun.set(false);
        }
        lost
    }
}

impl Reader {
    /// Sends a request, to whichever engine there is.
    pub(super) fn dispatch(&self, sent: Rc<Sent>) {
        let reader = *self;
        // Whoever tries or makes rows says itself what went wrong.
        let own = matches!(sent.request, Request::Try { .. } | Request::MakeRows { .. });
        let asked = sent.clone();
        let hears = move |event: Event| {
            if reader.is_closed() {
                return (sent.also)(&event);
            }
            sent.note(&event);
            if !sent.changes_notes() && sent.is_lost(&event) {
                return reader.moved.with_value(|moved| moved.borrow_mut().push(sent.clone()));
            }
            if sent.changes_notes() && is_moved(&event) {
                reader.unsure.set_value(true);
            }
            (sent.also)(&event);
            let silent = own && matches!(event, Event::Failed(_));
            reader.hear(event, sent.beside);
            if silent {
                reader.problem.set(None);
            }
        };
        if self.is_closed() {
            return;
        }
        match self.joined() {
            Ok(engine) => engine.send(&asked.request, &asked.files, hears),
            Err(problem) => self.fail(problem),
        }
    }

    fn is_closed(&self) -> bool {
        self.closed.try_get_value().unwrap_or(true)
    }

    /// The line to the engine; another, where that one is gone.
    fn joined(&self) -> Result<Rc<Engine>, Problem> {
        if let Some(engine) = self.engine.get_value().filter(|engine| engine.is_alive()) {
            return Ok(engine);
        }
        let reader = *self;
        let engine = Rc::new(Engine::open(move |goes_on| reader.go_over(goes_on))?);
        self.engine.set_value(Some(engine.clone()));
        Ok(engine)
    }

    /// The engine is gone.
    fn go_over(&self, goes_on: bool) {
        // A reader that was closed has nothing to go on with.
        if self.is_closed() {
            return;
        }
        self.engine.set_value(None);
        let mut moved: Vec<Rc<Sent>> = self.moved.with_value(|moved| moved.take());
        // A look at what there is follows anyway.
        moved.retain(|sent| !matches!(sent.request, Request::Hello | Request::Close));
        if moved.iter().any(|sent| matches!(sent.request, Request::Stop)) {
            self.end_all(&std::mem::take(&mut moved), &Event::Stopped);
        }
        if !goes_on {
            self.ended.set(untrack(|| self.is_open()));
            return self.model.set(ModelState::None);
        }
        let opens = |request: &Request| {
            matches!(request, Request::Open { .. } | Request::OpenRead | Request::OpenKept { .. } | Request::Sample { .. })
        };
        let opens = moved.iter().any(|sent| opens(&sent.request));
        let loads = moved.iter().any(|sent| matches!(sent.request, Request::Load { .. }));
        let had_model = self.model.with_untracked(|model| !matches!(model, ModelState::None));
        let mut steps = VecDeque::new();
        if untrack(|| self.is_open()) && !opens {
            match self.restoring() {
                Some(request) => steps.push_back((request, Vec::new())),
                None => return self.give_up(&moved),
            }
        }
        match self.choice.get_untracked() {
            Some(model) if had_model && !loads => {
                self.model.set(ModelState::Loading { stage: Stage::Download, done: 0.0, total: 0.0 });
                steps.push_back((Request::Load { model, device: self.device.get_untracked() }, self.weights.get_value()));
            }
            _ => {}
        }
        if !moved.is_empty() {
            self.said.set("The engine's tab was closed: this one goes on.".into());
        }
        self.take_steps(steps, moved);
    }

    /// What puts back what is open; `None` where the page does not have it and the browser does not keep it.
    fn restoring(&self) -> Option<Request> {
        let key = self.kept.get_value();
        if self.unsure.try_update_value(std::mem::take).unwrap_or(false)
            && let Some(key) = key
        {
            // What is kept tells.
            return Some(Request::OpenKept { key });
        }
        let documents = self.opened.with_untracked(|opened| opened.as_ref().map(|opened| opened.documents.clone()))?;
        (key.is_some() || self.questions.with_untracked(Vec::is_empty)).then_some(Request::Restore { documents, key })
    }

    /// Does one step after the other, then asks again what was not answered.
    fn take_steps(&self, mut steps: VecDeque<(Request, Vec<Blob>)>, moved: Vec<Rc<Sent>>) {
        let reader = *self;
        let Some((step, files)) = steps.pop_front() else {
            moved.into_iter().for_each(|sent| self.dispatch(sent));
            return self.look();
        };
        let rest = Cell::new(Some((steps, moved)));
        let also = move |event: &Event| match event {
            Event::Done => {
                if let Some((steps, moved)) = rest.take() {
                    reader.take_steps(steps, moved);
                }
            }
            Event::Stopped | Event::Failed(_) => {
                reader.model.set(ModelState::None);
                if let Some((_, moved)) = rest.take() {
                    reader.end_all(&moved, event);
                }
            }
            _ => {}
        };
        self.dispatch(Rc::new(Sent { beside: true, ..Sent::new(addressed(&step), files, also) }));
    }

    /// Nothing can be put back: the page alone knows what was open.
    fn give_up(&self, moved: &[Rc<Sent>]) {
        self.ended.set(true);
        self.model.set(ModelState::None);
        let message = "The engine is gone, and what was open in it is kept nowhere: open it again.".into();
        self.tell_all(moved, Problem { kind: ProblemKind::Lost, message });
        self.look();
    }

    /// Ends what was asked; where nothing was, the person hears of it all the same.
    fn tell_all(&self, moved: &[Rc<Sent>], problem: Problem) {
        match moved {
            [] => self.fail(problem),
            moved => self.end_all(moved, &Event::Failed(problem)),
        }
    }

    fn end_all(&self, moved: &[Rc<Sent>], event: &Event) {
        for sent in moved {
            (sent.also)(event);
            self.hear(event.clone(), sent.beside);
        }
    }
}

fn is_moved(event: &Event) -> bool {
    matches!(event, Event::Failed(Problem { kind: ProblemKind::Moved, .. }))
}

/// The request with whole addresses: the engine may run in a page of another folder.
pub(super) fn addressed(request: &Request) -> Request {
    let mut request = request.clone();
    if let Request::Load { model: ModelChoice::Tiny { base: address } | ModelChoice::Address { url: address }, .. } = &mut request {
        *address = engine::absolute(address);
    }
    request
}
