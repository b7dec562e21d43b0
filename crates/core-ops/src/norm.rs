//! Batch normalisation.

use std::rc::Rc;

use decouple_kernels::norm::{self, InputGradient, NormSums, Normalization, RunningVariance};

use crate::{
    Buffer, FeatureMap, OpError, Parameter, Recorder, gradient::Gradient, parameter::write_gradient,
    values::Affine,
};

/// What a batch norm is made of, apart from its running statistics.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm<'a> {
    /// Scale, one value a channel; 1 where there is none.
    pub gamma: Option<&'a Parameter>,
    /// Shift, one value a channel.
    pub beta: &'a Parameter,
    /// Added to the variance.
    pub epsilon: f32,
    /// Share of the new batch in the running statistics.
    pub momentum: f32,
}

/// Mean and variance that training follows and inference uses. The variance is
/// the unbiased one, as in PyTorch.
#[derive(Clone, Debug, PartialEq)]
pub struct RunningStatistics {
    /// One value a channel; starts at zero.
    pub mean: Vec<f32>,
    /// One value a channel; starts at one.
    pub variance: Vec<f32>,
}

impl RunningStatistics {
    /// Those of `channels` channels before the first batch.
    pub fn new(channels: usize) -> Self {
        Self { mean: vec![0.0; channels], variance: vec![1.0; channels] }
    }
}

impl Recorder {
    /// y = gamma (x - mean) / sqrt(variance + epsilon) + beta, channel by
    /// channel (Ioffe and Szegedy 2015, algorithm 1).
    ///
    /// In training, mean and variance are those of the batch, gradients flow
    /// through them, and `running` follows; in inference they are `running`'s.
    ///
    /// # Errors
    /// [`OpError::Shape`] if a parameter does not have one value a channel.
    pub fn batch_norm(
        &mut self,
        x: &FeatureMap,
        layer: BatchNorm<'_>,
        running: &mut RunningStatistics,
    ) -> Result<FeatureMap, OpError> {
        if !self.is_training() {
            return self.normalise(x, layer, &running.mean, &running.variance, None);
        }
        let channels = x.shape().c;
        let (mut mean, mut variance) = (self.buffer(channels), self.buffer(channels));
        match x.statistics() {
            Some(known) => {
                mean.copy_from_slice(&known.0);
                variance.copy_from_slice(&known.1);
            }
            None => norm::statistics(self.context(), x.values()?, &mut mean, &mut variance)?,
        }
        let count = x.len() / channels;
        let RunningStatistics { mean: running_mean, variance: running_variance } = running;
        let kind = RunningVariance::Unbiased;
        norm::update_running(layer.momentum, kind, count, &mean, &variance, running_mean, running_variance)?;
        let mean = Rc::new(mean);
        let y = self.normalise(x, layer, &mean, &variance, Some(&mean))?;
        self.record_batch_norm(x, &y, layer, mean, &variance)?;
        Ok(y)
    }

    fn normalise(
        &self,
        x: &FeatureMap,
        layer: BatchNorm<'_>,
        mean: &[f32],
        variance: &[f32],
        batch_mean: Option<&Rc<Buffer>>,
    ) -> Result<FeatureMap, OpError> {
        let (mut scale, mut shift) = (self.buffer(mean.len()), self.buffer(mean.len()));
        let gamma = layer.gamma.map(Parameter::values);
        norm::fold(gamma, layer.beta.values(), mean, variance, layer.epsilon, &mut scale, &mut shift)?;
        self.normalised(x, Affine { scale, shift, mean: batch_mean.cloned() })
    }

    fn record_batch_norm(
        &mut self,
        x: &FeatureMap,
        y: &FeatureMap,
        layer: BatchNorm<'_>,
        mean: Rc<Buffer>,
        variance: &[f32],
    ) -> Result<(), OpError> {
        let mut inverse_std = self.buffer(mean.len());
        norm::inverse_std(variance, layer.epsilon, &mut inverse_std)?;
        let (x_values, x_gradient) = (x.share_values()?, x.share_gradient());
        let gamma = layer.gamma.map(|gamma| (gamma.share_values(), gamma.slot()));
        let beta_slot = layer.beta.slot();
        self.record_lazy(y, move |context, gradients, grad_y| {
            let channels = mean.len();
            let gamma_values: Option<&Rc<Buffer>> = gamma.as_ref().map(|(values, _)| values);
            let normalization = Normalization {
                mean: &mean,
                inverse_std: &inverse_std,
                gamma: gamma_values.map(|values| &***values),
            };
            let (mut grad_gamma, mut grad_beta) = (context.pool.take(channels), context.pool.take(channels));
            let grad_y = match grad_y.sums() {
                Some(sums) => {
                    sums.parameter_gradients(&inverse_std, &mut grad_gamma, &mut grad_beta)?;
                    grad_y.values(context)?
                }
                None => {
                    let grad_y = grad_y.values(context)?;
                    let sums = NormSums::of(context, &mean, &x_values, &grad_y)?;
                    sums.parameter_gradients(&inverse_std, &mut grad_gamma, &mut grad_beta)?;
                    grad_y
                }
            };
            write_gradient(context, gradients, &beta_slot, channels, |slot| {
                slot.copy_from_slice(&grad_beta);
                Ok(())
            })?;
            if let Some((_, slot)) = &gamma {
                write_gradient(context, gradients, slot, channels, |slot| {
                    slot.copy_from_slice(&grad_gamma);
                    Ok(())
                })?;
            }
            let Some(x_gradient) = x_gradient else { return Ok(()) };
            let rows = x_values.len() / channels;
            let norm = InputGradient::through_batch(context, normalization, rows, &grad_gamma, &grad_beta)?;
            x_gradient.add(context, Gradient::through(grad_y, norm, x_values))
        });
        Ok(())
    }
}
