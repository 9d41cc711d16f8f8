//! The arithmetic that turns stored numbers into a model's input: `(x − mean) / std`.

use std::str::FromStr;

/// `(x − mean) / std`, one pair for all or one for each channel (axis 1).
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Normalize {
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Normalize {
    /// No change.
    pub fn none() -> Normalize {
        Normalize::default()
    }

    /// Applies it to a row-major tensor of `shape`. Subtracts, then divides, both in `f32`.
    pub fn apply(&self, data: &mut [f32], shape: &[usize]) {
        if self.mean.is_empty() {
            return;
        }
        let inner: usize = shape.iter().skip(2).product::<usize>().max(1);
        let n = self.mean.len();
        for (i, x) in data.iter_mut().enumerate() {
            let c = if n == 1 { 0 } else { i / inner % n };
            *x = (*x - self.mean[c]) / self.std[c];
        }
    }

    /// Number of channels that it names; 1 for all alike, 0 for no change.
    pub fn channels(&self) -> usize {
        self.mean.len()
    }
}

/// `mean,std`, or `m1:m2:m3,s1:s2:s3` for channels.
impl FromStr for Normalize {
    type Err = String;
    fn from_str(s: &str) -> Result<Normalize, String> {
        let cure = "write `mean,std`, or one of each for every channel as `m1:m2:m3,s1:s2:s3`";
        let (mean, std) = s.split_once(',').ok_or(cure)?;
        let numbers = |part: &str| -> Result<Vec<f32>, String> {
            part.split(':')
                .map(|n| {
                    n.trim()
                        .parse::<f32>()
                        .ok()
                        .filter(|x| x.is_finite())
                        .ok_or(format!("`{n}` is no number; {cure}"))
                })
                .collect()
        };
        let (mean, std) = (numbers(mean)?, numbers(std)?);
        if mean.len() != std.len() {
            return Err(format!("{} means but {} deviations; {cure}", mean.len(), std.len()));
        }
        if std.contains(&0.0) {
            return Err("the standard deviation must not be 0".into());
        }
        Ok(Normalize { mean, std })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn per_channel_pairs_follow_axis_one() {
        let n: Normalize = "1:2,2:4".parse().unwrap();
        let mut x = vec![3.0, 5.0, 6.0, 10.0];
        n.apply(&mut x, &[1, 2, 2]);
        assert_eq!(x, [1.0, 2.0, 1.0, 2.0]);
        assert!("1".parse::<Normalize>().is_err());
        assert!("1,0".parse::<Normalize>().is_err());
    }
}
