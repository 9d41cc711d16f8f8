//! [`FakeQuantize`]: an observer, then quantize and dequantize, for a training loop of one's own.

use std::sync::Arc;

use quantir_ir::quant::fake;
use quantir_ir::{ObserverSpec, Quant, Tensor};

use crate::observer::State;
use crate::{Error, Observer, ObserverTemplate};

/// PyTorch's fake quantizers as a value: what they do forward and backward, and their two switches.
///
/// One formula gives the parameters in training and at conversion: that of the observer (PyTorch's fused form uses another one
/// while training). The fused and the plain kind are therefore the same here.
#[derive(Clone, Debug)]
pub struct FakeQuantize {
    spec: ObserverSpec,
    observer: Observer,
    quant: Option<Arc<Quant>>,
    observing: bool,
    quantizing: bool,
}

impl FakeQuantize {
    /// A fake quantizer around this observer; both switches are on. `axis` is that of channels, if the observer has parameters for
    /// each. Parameters that are known beforehand (`fixed`) are there at once, and data does not change them.
    ///
    /// # Errors
    /// An observer that makes no sense, or one that never gives parameters.
    pub fn new(observer: &ObserverTemplate, axis: u8) -> Result<FakeQuantize, Error> {
        let spec = observer.spec(axis);
        let seer = Observer::new(&spec)?;
        if seer.is_passive() {
            return Err(Error::Declaration(format!(
                "an observer of kind `{}` gives no parameters to quantize with; use for example `moving_average`",
                spec.kind
            )));
        }
        let quant = if spec.kind == "fixed" { Some(Arc::new(seer.params(&spec)?)) } else { None };
        Ok(FakeQuantize { spec, observer: seer, quant, observing: true, quantizing: true })
    }

    /// Switches observing: off, parameters stay (`enable_observer`, `disable_observer`).
    pub fn set_observer_enabled(&mut self, on: bool) -> &mut Self {
        self.observing = on;
        self
    }
    /// Switches quantizing: off, values pass unchanged (`enable_fake_quant`, `disable_fake_quant`).
    pub fn set_fake_quant_enabled(&mut self, on: bool) -> &mut Self {
        self.quantizing = on;
        self
    }
    /// The parameters in use; `None` before any data.
    pub fn quant(&self) -> Option<&Arc<Quant>> {
        self.quant.as_ref()
    }
    /// The parameters that conversion uses: those of the observer now.
    ///
    /// # Errors
    /// An observer that saw nothing.
    pub fn calculate_qparams(&self) -> Result<Quant, Error> {
        self.observer.params(&self.spec)
    }

    /// Observes `x` first, so that a call uses the range of its own data, then quantizes and dequantizes it.
    ///
    /// # Errors
    /// No parameters yet, or data that has none (NaN).
    pub fn forward(&mut self, x: &Tensor) -> Result<Tensor, Error> {
        if self.observing && self.spec.kind != "fixed" && !x.shape.contains(&0) {
            self.observer.see(&x.floats().map_err(wrong)?, &x.shape);
            self.quant = Some(Arc::new(self.observer.params(&self.spec)?));
        }
        match self.quantizing {
            true => fake::fake_quantize(x, self.known()?).map_err(wrong),
            false => Ok(x.clone()),
        }
    }

    /// The gradient at `x` from that of the result: it passes where `x` lies within the range, everywhere if quantizing is off.
    ///
    /// # Errors
    /// No parameters yet, or another shape.
    pub fn backward(&self, x: &Tensor, grad: &Tensor) -> Result<Tensor, Error> {
        match self.quantizing {
            true => fake::fake_quantize_backward(x, grad, self.known()?).map_err(wrong),
            false => Ok(grad.clone()),
        }
    }

    /// What the observer has accumulated, as a value with a text form.
    pub fn state(&self) -> State {
        self.observer.state()
    }
    /// Goes on from a saved state, with the parameters that follow from it.
    ///
    /// # Errors
    /// A state of another kind of observer.
    pub fn load_state(&mut self, state: &State) -> Result<(), Error> {
        self.observer = Observer::restore(&self.spec, state)?;
        self.quant = Some(Arc::new(self.observer.params(&self.spec)?));
        Ok(())
    }

    fn known(&self) -> Result<&Quant, Error> {
        self.quant.as_deref().ok_or_else(|| {
            Error::Declaration(
                "the fake quantizer has no parameters: show it data with observing on first".into(),
            )
        })
    }
}

fn wrong(r: quantir_ir::Reason) -> Error {
    Error::Declaration(r.message)
}
