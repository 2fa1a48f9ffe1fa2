//! Models that readers share, in one page and in several tabs.

use std::rc::{Rc, Weak};

use js_sys::Reflect;
use web_sys::Blob;

use super::mind::Mind;
use super::reads::Say;
use super::weights::Told;
use super::{Session, Worker};
use crate::protocol::{DeviceChoice, Event, ModelChoice, Problem, Stage};

/// What tells models apart: what was chosen, where it computes, and of files that were chosen what tells them apart, since names say little of them.
pub(super) type Name = (ModelChoice, DeviceChoice, Vec<(u64, u64)>);

impl Worker {
    /// A model that is here already is shared; the session's own before is let go.
    pub(super) async fn load(
        &self,
        session: &Session,
        model: ModelChoice,
        device: DeviceChoice,
        files: &[Blob],
        say: &Say,
    ) -> Result<Rc<Mind>, Problem> {
        session.mind.borrow_mut().take();
        let _loading = self.loading.lock().await;
        let name = (model.clone(), device, stamps(files));
        let known = self.minds.borrow().get(&name).and_then(Weak::upgrade);
        let mind = match known {
            Some(mind) => mind,
            None => {
                let told: Told = {
                    let say = say.clone();
                    Rc::new(move |stage: Stage, done, total| say(Event::Loading { stage, done, total }))
                };
                Rc::new(Mind::load(&model, device, files, &told).await?)
            }
        };
        self.minds.borrow_mut().retain(|_, mind| mind.strong_count() > 0);
        self.minds.borrow_mut().insert(name, Rc::downgrade(&mind));
        *session.mind.borrow_mut() = Some(mind.clone());
        Ok(mind)
    }

    /// Its buffers are gone: the next load begins anew, whoever loads it.
    pub(super) fn forget(&self, lost: &Rc<Mind>) {
        self.minds.borrow_mut().retain(|_, mind| mind.as_ptr() != Rc::as_ptr(lost));
    }
}

/// Sizes of some files, and when they were last changed: with their names they tell one person's files apart.
fn stamps(files: &[Blob]) -> Vec<(u64, u64)> {
    let changed = |file: &Blob| Reflect::get(file, &"lastModified".into()).ok().and_then(|time| time.as_f64()).unwrap_or(0.0);
    files.iter().map(|file| (file.size() as u64, changed(file) as u64)).collect()
}
