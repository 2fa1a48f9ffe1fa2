//! One optimizer step: gradients of packed sequences added up, their norm clipped, AdamW, the rounding into the model.
//!
//! The normaliser of the loss is fixed before the first micro-batch: each loss token of a step weighs 1 / (loss tokens of the step),
//! however the step is cut. Masters and moments are f32; the model computes with their rounding to its own storage format, and that
//! buffer is the one rollouts read.

mod lane;
mod policy;

use std::collections::BTreeMap;
use std::sync::Arc;

use kernels::cpu::alone;
use kernels::optimizer::{self, AdamW};
use kernels::{DType, Device, Tensor};
use model::Model;
use model::train::{Gradients, ParamMut, Slot, TrainSpaceShape};

use crate::error::{Result, TrainError};
use lane::Lane;
pub use policy::{PolicySequence, Recomputed, shared_rows};

/// A sequence and which of its tokens are to be predicted.
#[derive(Clone, Copy, Debug)]
pub struct Sequence<'a> {
    /// Token ids.
    pub ids: &'a [u32],
    /// As long; a set entry makes its token a target.
    pub loss_mask: &'a [bool],
}

/// What AdamW does, but for the learning rate, which changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hyper {
    /// β₁
    pub beta1: f32,
    /// β₂
    pub beta2: f32,
    /// ε
    pub eps: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Whether norms' gains and biases decay too.
    pub decay_vectors: bool,
    /// Gradient norm above which gradients are scaled down; infinite: never.
    pub max_grad_norm: f32,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepOutcome {
    /// Mean of -log p over the step's loss tokens, before the step.
    pub loss: f64,
    /// Norm of all gradients before clipping.
    pub grad_norm: f32,
    /// Loss tokens.
    pub loss_tokens: usize,
}

/// Optimizer state of one tensor.
pub struct Moments {
    /// f32 [N, K]; a vector is its own master.
    pub master: Option<Tensor>,
    /// First moment.
    pub m: Tensor,
    /// Second moment.
    pub v: Tensor,
}

/// A model in training.
pub struct Trainer {
    model: Arc<Model>,
    /// Where a pass is computed.
    main: Lane,
    /// And others beside it.
    beside: Vec<Lane>,
    shape: TrainSpaceShape,
    moments: BTreeMap<Slot, Moments>,
    hyper: Hyper,
    sums: Tensor,
    clip: Tensor,
    /// Optimizer steps done.
    step: u32,
    /// Σ -log p and loss tokens since the last step.
    pending: (f64, usize),
}

impl Trainer {
    /// Trains `slots` of `model`, in passes of at most `shape`.
    ///
    /// Errors when a tensor to be trained is quantised: only adapters can be trained beside it.
    pub fn new(mut model: Model, slots: &[Slot], shape: TrainSpaceShape, hyper: Hyper) -> Result<Self> {
        let mut shapes = Vec::new();
        for &slot in slots {
            let (shape, dtype) = model.param_shape(slot).ok_or_else(|| TrainError::NoSuchTensor(slot.name()))?;
            if !matches!(dtype, DType::F32 | DType::F16 | DType::BF16) {
                return Err(TrainError::Quantised { name: slot.name(), dtype: dtype.name() });
            }
            shapes.push((slot, shape));
        }
        let gradients = Gradients::new(&model.device, shapes.iter().cloned())?;
        let mut moments = BTreeMap::new();
        for (slot, shape) in shapes {
            let zeros = |model: &Model| model.device.zeros(&shape, DType::F32);
            let mut master = if shape.len() > 1 { Some(zeros(&model)?) } else { None };
            let (m, v) = (zeros(&model)?, zeros(&model)?);
            if let (Some(master), Some((ParamMut::Matrix(weight), device))) = (&mut master, model.param_and_device(slot)) {
                weight.load(device, master)?;
            }
            moments.insert(slot, Moments { master, m, v });
        }
        let sums = model.device.zeros(&[gradients.len().max(1)], DType::F32)?;
        let clip = model.device.zeros(&[2], DType::F32)?;
        let main = Lane::new(&model, shape, gradients)?;
        let model = Arc::new(model);
        Ok(Self { model, main, beside: vec![], shape, moments, hyper, sums, clip, step: 0, pending: (0.0, 0) })
    }

    /// With room for `lanes` passes side by side, each on a thread of its own: for models so small that one op is too little work for
    /// several threads. Each lane takes the memory of a pass and of the gradients. Only the CPU has more than one.
    pub fn with_lanes(mut self, lanes: usize) -> Result<Self> {
        let most = if matches!(self.model.device, Device::Cpu(_)) { lanes } else { 1 };
        for _ in 1..most {
            let shapes = self.main.gradients.iter().map(|(slot, tensor)| (slot, tensor.shape().to_vec()));
            let gradients = Gradients::new(&self.model.device, shapes)?;
            self.beside.push(Lane::new(&self.model, self.shape, gradients)?);
        }
        Ok(self)
    }

    /// Passes that run side by side.
    pub fn lanes(&self) -> usize {
        1 + self.beside.len()
    }

    /// The model as it is now, for rollouts and samples: they read the buffers that steps write. Whoever keeps it holds up the next step.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Gives the model back; `None` while someone else holds it.
    pub fn into_model(self) -> Option<Model> {
        Arc::into_inner(self.model)
    }

    /// Optimizer steps done.
    pub fn steps(&self) -> u32 {
        self.step
    }

    /// Gradients added up since the last step.
    pub fn gradients(&mut self) -> &mut Gradients {
        &mut self.main.gradients
    }

    /// Masters and moments by tensor, for checkpoints.
    pub fn moments(&self) -> &BTreeMap<Slot, Moments> {
        &self.moments
    }

    /// The f32 values of `slot` as the optimizer has them.
    pub async fn master(&mut self, slot: Slot) -> Result<Vec<f32>> {
        self.state_of(slot, 0).await
    }

    /// Of `slot`: its master (0), first moment (1) or second moment (2).
    pub async fn state_of(&mut self, slot: Slot, which: usize) -> Result<Vec<f32>> {
        let unknown = || TrainError::NoSuchTensor(slot.name());
        let moments = self.moments.get(&slot).ok_or_else(unknown)?;
        let model = Arc::get_mut(&mut self.model).ok_or(TrainError::InUse)?;
        let (param, device) = model.param_and_device(slot).ok_or_else(unknown)?;
        let tensor = match (which, &moments.master, &param) {
            (0, Some(master), _) => master,
            (0, None, ParamMut::Vector(tensor)) => &**tensor,
            (1, ..) => &moments.m,
            (2, ..) => &moments.v,
            _ => return Err(unknown()),
        };
        Ok(device.read_f32(tensor, tensor.len()).await?)
    }

    /// Takes up where another run of the same slots stopped: `state` gives master, m and v of a slot, each as long as the tensor.
    pub fn restore(&mut self, step: u32, mut state: impl FnMut(Slot) -> Result<[Vec<f32>; 3]>) -> Result<()> {
        let model = Arc::get_mut(&mut self.model).ok_or(TrainError::InUse)?;
        for (slot, moments) in &mut self.moments {
            let [master, m, v] = state(*slot)?;
            let Some((param, device)) = model.param_and_device(*slot) else { continue };
            moments.m.write_f32(device, &m)?;
            moments.v.write_f32(device, &v)?;
            match (param, &mut moments.master) {
                (ParamMut::Matrix(weight), Some(tensor)) => {
                    tensor.write_f32(device, &master)?;
                    weight.store(device, tensor)?;
                }
                (ParamMut::Vector(tensor), None) => tensor.write_f32(device, &master)?,
                _ => unreachable!("a matrix has a master, a vector is one"),
            }
        }
        self.step = step;
        Ok(())
    }

    /// Adds the gradients of one micro-batch, in which each loss token weighs `weight`.
    pub async fn accumulate(&mut self, sequences: &[Sequence<'_>], weight: f64) -> Result<()> {
        let found = self.main.accumulate(&self.model, sequences, weight).await?;
        self.count(found);
        Ok(())
    }

    /// Adds the gradients of several, as many side by side as there are lanes.
    pub async fn accumulate_all(&mut self, passes: &[Vec<Sequence<'_>>], weight: f64) -> Result<()> {
        if self.beside.is_empty() {
            for sequences in passes {
                self.accumulate(sequences, weight).await?;
            }
            return Ok(());
        }
        let found = self.in_lanes(passes, |lane, model, sequences| pollster::block_on(lane.accumulate(model, sequences, weight)))?;
        found.into_iter().for_each(|one| self.count(one));
        Ok(())
    }

    /// Σ -log p and the loss tokens of sequences, without gradients.
    pub async fn evaluate(&mut self, sequences: &[Sequence<'_>]) -> Result<(f64, usize)> {
        self.main.evaluate(&self.model, sequences).await
    }

    fn count(&mut self, (loss, tokens): (f64, usize)) {
        self.pending.0 += loss;
        self.pending.1 += tokens;
    }

    /// `work` on all jobs: lane n has every job whose number leaves n, in order, so that nothing depends on how fast a lane is. What it
    /// gave, in the order of the jobs.
    fn in_lanes<J: Sync, T: Send>(&mut self, jobs: &[J], work: impl Fn(&mut Lane, &Model, &J) -> Result<T> + Sync) -> Result<Vec<T>> {
        let lanes = self.lanes();
        let (model, work) = (&*self.model, &work);
        let run = |number: usize, lane: &mut Lane| -> Result<Vec<T>> {
            alone(|| jobs.iter().skip(number).step_by(lanes).map(|job| work(lane, model, job)).collect())
        };
        let run = &run;
        let found: Result<Vec<Vec<T>>> = std::thread::scope(|scope| {
            let begin = |(number, lane): (usize, _)| scope.spawn(move || run(number + 1, lane));
            let others: Vec<_> = self.beside.iter_mut().enumerate().map(begin).collect();
            let first = run(0, &mut self.main);
            let joined = others.into_iter().map(|lane| lane.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            std::iter::once(first).chain(joined).collect()
        });
        let mut of_lanes: Vec<_> = found?.into_iter().map(Vec::into_iter).collect();
        Ok((0..jobs.len()).filter_map(|job| of_lanes[job % lanes].next()).collect())
    }

    /// Waits until everything asked for so far has run.
    pub async fn settle(&self) -> Result<()> {
        self.model.device.read_f32(&self.clip, 2).await?;
        Ok(())
    }

    /// Applies what was accumulated, and begins anew. A norm that is not finite changes nothing and names the first bad tensor.
    pub async fn step(&mut self, lr: f32) -> Result<StepOutcome> {
        let device = &self.model.device;
        for lane in &mut self.beside {
            self.main.gradients.add(device, &lane.gradients)?;
            lane.gradients.clear(device)?;
        }
        let gradients = &mut self.main.gradients;
        gradients.sum_squares(device, &mut self.sums)?;
        optimizer::clip(device, &self.sums, gradients.len(), self.hyper.max_grad_norm, &mut self.clip)?;
        let (loss, loss_tokens) = (self.pending.0 / self.pending.1.max(1) as f64, self.pending.1);
        let grad_norm = device.read_f32(&self.clip, 2).await?[1];
        if !grad_norm.is_finite() || !loss.is_finite() {
            let sums = device.read_f32(&self.sums, gradients.len()).await?;
            let bad = gradients.iter().zip(sums).find(|(_, sum)| !sum.is_finite()).map(|((slot, _), _)| slot.name());
            return Err(TrainError::NotFinite { step: self.step + 1, what: bad.unwrap_or_else(|| "the loss".into()) });
        }
        let model = Arc::get_mut(&mut self.model).ok_or(TrainError::InUse)?;
        self.step += 1;
        for (slot, Moments { master, m, v }) in &mut self.moments {
            let Some(grad) = gradients.get(*slot) else { continue };
            let decays = master.is_some() || self.hyper.decay_vectors;
            let hyper = AdamW {
                lr,
                beta1: self.hyper.beta1,
                beta2: self.hyper.beta2,
                eps: self.hyper.eps,
                weight_decay: if decays { self.hyper.weight_decay } else { 0.0 },
                step: self.step,
            };
            let Some((param, device)) = model.param_and_device(*slot) else { continue };
            let count = grad.len();
            match (param, master) {
                (ParamMut::Matrix(weight), Some(master)) => {
                    optimizer::adamw(device, &hyper, &self.clip, grad, master, m, v, count)?;
                    weight.store(device, master)?;
                }
                (ParamMut::Vector(tensor), None) => optimizer::adamw(device, &hyper, &self.clip, grad, tensor, m, v, count)?,
                _ => unreachable!("a matrix has a master, a vector is one"),
            }
        }
        gradients.clear(&self.model.device)?;
        self.model.device.submit()?;
        self.pending = (0.0, 0);
        Ok(StepOutcome { loss, grad_norm, loss_tokens })
    }
}
