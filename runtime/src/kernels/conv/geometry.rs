//! Shapes of convolutions over up to three spatial axes.

use crate::kernels::error::KernelError;

/// A convolution of one image `[depth][height][width][channels]`; a batch is one call per image.
///
/// Axes are ordered depth, height, width. A two-dimensional convolution has depth 1. A
/// one-dimensional one has either width 1 and its axis on height, which lets its outputs be split
/// into ranges, or, if it is depthwise, its axis on width, where the fast kernels slide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvGeometry {
    /// Input channels.
    pub channels_in: usize,
    /// Output channels.
    pub channels_out: usize,
    /// Groups; divides both channel counts.
    pub groups: usize,
    /// Input extent.
    pub input: [usize; 3],
    /// Kernel extent.
    pub kernel: [usize; 3],
    /// Step between outputs.
    pub stride: [usize; 3],
    /// Step between taps.
    pub dilation: [usize; 3],
    /// Zero-point elements in front of each axis.
    pub pad_begin: [usize; 3],
    /// Zero-point elements behind each axis.
    pub pad_end: [usize; 3],
}

impl ConvGeometry {
    /// A two-dimensional geometry with stride 1, dilation 1, one group and no padding.
    pub fn new_2d(
        channels_in: usize,
        channels_out: usize,
        input: [usize; 2],
        kernel: [usize; 2],
    ) -> ConvGeometry {
        ConvGeometry {
            channels_in,
            channels_out,
            groups: 1,
            input: [1, input[0], input[1]],
            kernel: [1, kernel[0], kernel[1]],
            stride: [1; 3],
            dilation: [1; 3],
            pad_begin: [0; 3],
            pad_end: [0; 3],
        }
    }

    /// Checks that the numbers describe a convolution.
    pub fn check(&self) -> Result<(), KernelError> {
        let fail = |text: String| Err(KernelError::Geometry(text));
        if self.groups == 0
            || !self.channels_in.is_multiple_of(self.groups)
            || !self.channels_out.is_multiple_of(self.groups)
        {
            return fail(format!(
                "{} groups do not divide {} input and {} output channels",
                self.groups, self.channels_in, self.channels_out
            ));
        }
        if self.channels_in == 0 || self.channels_out == 0 {
            return fail("a convolution needs channels".to_owned());
        }
        for axis in 0..3 {
            if self.kernel[axis] == 0 || self.stride[axis] == 0 || self.dilation[axis] == 0 {
                return fail(format!("kernel, stride and dilation of axis {axis} must be positive"));
            }
            if self.padded(axis) < self.span(axis) {
                return fail(format!(
                    "kernel spans {} elements of axis {axis}, the padded input has {}",
                    self.span(axis),
                    self.padded(axis)
                ));
            }
        }
        let bytes = (0..3).map(|axis| self.padded(axis)).product::<usize>() * self.channels_in;
        if bytes > u32::MAX as usize {
            return fail(format!("an image of {bytes} bytes is not addressable by 32 bits"));
        }
        Ok(())
    }

    /// Output extent: depth, height, width.
    pub fn output(&self) -> [usize; 3] {
        std::array::from_fn(|axis| (self.padded(axis) - self.span(axis)) / self.stride[axis] + 1)
    }

    /// Output rows of one image, which are what work is split into: depth times height.
    pub fn rows(&self) -> usize {
        let [depth, height, _] = self.output();
        depth * height
    }

    /// Bytes of an output row: width times channels.
    pub fn row_len(&self) -> usize {
        self.output()[2] * self.channels_out
    }

    /// Bytes of one input image.
    pub fn input_len(&self) -> usize {
        self.input.iter().product::<usize>() * self.channels_in
    }

    /// Products per output channel and position.
    pub fn depth(&self) -> usize {
        self.kernel.iter().product::<usize>() * (self.channels_in / self.groups)
    }

    /// Multiply-accumulates of one image.
    pub fn macs(&self) -> usize {
        self.output().iter().product::<usize>() * self.channels_out * self.depth()
    }

    /// Whether each output channel reads exactly the input channel of the same index.
    pub fn is_depthwise(&self) -> bool {
        self.groups == self.channels_in && self.groups == self.channels_out && self.groups > 1
    }

    /// Whether any side is padded.
    pub fn is_padded(&self) -> bool {
        self.pad_begin != [0; 3] || self.pad_end != [0; 3]
    }

    /// Whether output positions equal input positions, so that the convolution is a product.
    pub(crate) fn is_pointwise(&self) -> bool {
        self.kernel == [1; 3] && self.stride == [1; 3] && !self.is_padded() && self.groups == 1
    }

    pub(crate) fn padded(&self, axis: usize) -> usize {
        self.input[axis] + self.pad_begin[axis] + self.pad_end[axis]
    }

    pub(crate) fn span(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilation[axis] + 1
    }
}
