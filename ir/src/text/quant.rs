//! A quantization from its text alone, outside a graph.

use std::str::FromStr;

use crate::diag::Reason;
use crate::quant::{QParams, Quant, Zeros};
use crate::types::Storage;

/// Reads what [`Quant`] prints for parameters per tensor, per axis and per group, and `dynamic`.
impl FromStr for Quant {
    type Err = Reason;

    fn from_str(text: &str) -> Result<Quant, Reason> {
        let mut words = text.split_whitespace();
        let head = words.next().ok_or("no quantization")?;
        let (storage, range) =
            head.split_once('[').ok_or_else(|| format!("`{head}` is no range such as `u8[0:255]`"))?;
        let storage = Storage::from_word(storage).ok_or_else(|| format!("`{storage}` is no storage"))?;
        let range =
            range.strip_suffix(']').and_then(|r| r.split_once(':')).ok_or("a range is `[min:max]`")?;
        let range = (one(range.0)?, one(range.1)?);
        let (mut axis, mut group, mut scale, mut zero) = (None, None, None, None);
        while let Some(key) = words.next() {
            if key == "dynamic" {
                return Ok(Quant { storage, range, params: QParams::Dynamic });
            }
            let value = words.next().ok_or_else(|| format!("`{key}` has no value"))?;
            match key {
                "axis" => axis = Some(one::<u8>(value)?),
                "group" => group = Some(one::<u32>(value)?),
                "scale" => scale = Some(list::<f32>(value)?),
                "zp" => zero = Some(zeros(value)?),
                _ => return Err(format!("unknown word `{key}`").into()),
            }
        }
        let scale = scale.ok_or("no `scale`")?;
        let zero = zero.ok_or("no `zp`")?;
        let params = match (axis, group) {
            (None, None) => match (scale.0.as_slice(), &zero) {
                (&[scale], &Zeros::All(zero)) => QParams::Tensor { scale, zero },
                _ => return Err("a list of scales needs `axis`".into()),
            },
            (Some(axis), None) => QParams::Axis { axis, scale: scale.0.into(), zero },
            (Some(axis), Some(size)) => QParams::Group { axis, size, scale: scale.0.into(), zero },
            (None, Some(_)) => return Err("`group` needs `axis`".into()),
        };
        Ok(Quant { storage, range, params })
    }
}

/// Numbers, and whether they were written as a list.
struct List<T>(Vec<T>, bool);

fn zeros(text: &str) -> Result<Zeros, Reason> {
    if let Some(real) = text.strip_prefix("f32") {
        return Ok(Zeros::Float(list::<f32>(real)?.0.into()));
    }
    let ints = list::<i32>(text)?;
    Ok(match ints.0.as_slice() {
        [z] if !ints.1 => Zeros::All(*z),
        _ => Zeros::Each(ints.0.into()),
    })
}

fn one<T: FromStr>(s: &str) -> Result<T, Reason> {
    s.parse().map_err(|_| format!("`{s}` is no number").into())
}

fn list<T: FromStr>(s: &str) -> Result<List<T>, Reason> {
    match s.strip_prefix('[').and_then(|s| s.strip_suffix(']')) {
        Some("") => Ok(List(Vec::new(), true)),
        Some(inner) => Ok(List(inner.split(',').map(one).collect::<Result<_, _>>()?, true)),
        None => Ok(List(vec![one(s)?], false)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_and_parsing_are_inverse() {
        for text in [
            "u8[0:127] scale 0.016618658 zp 3",
            "i8[-128:127] axis 0 scale [0.0014,0.0015] zp 0",
            "i8[-128:127] axis 1 scale [0.25] zp [4]",
            "u4[0:15] axis 0 scale [0.5,1e-7] zp f32[3.25,-7]",
            "i4[-8:7] axis 1 group 32 scale [0.5,1] zp 0",
            "u8[0:255] dynamic",
        ] {
            assert_eq!(text.parse::<Quant>().unwrap().to_string(), text);
        }
        for bad in ["", "u8", "u9[0:1] scale 1 zp 0", "u8[0:255] scale [1,2] zp 0", "u8[0:255] scale 1"] {
            assert!(bad.parse::<Quant>().is_err(), "{bad}");
        }
    }
}
