//! Resampling.

use quantir_ir::Dim;
use quantir_ir::attr::F32;
use quantir_ir::ops::Resize;
use quantir_ir::ops::resize::{Coord, NearestRound, ResizeMode};

use super::super::ctx::Import;
use super::super::node::{Fail, Node};
use super::{Table, axes};

pub(super) const OPS: Table = &[("Resize", resize), ("Upsample", upsample)];

fn upsample<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let scales = match node.floats("scales")? {
        Some(s) => s.to_vec(),
        None => floats(cx, node, 1)?.ok_or_else(|| Fail::invalid("`scales` are missing"))?,
    };
    old_resize(cx, node, scales)
}

/// `Upsample`, and `Resize` of version 10: no choice of coordinates yet.
fn old_resize<'m>(cx: &mut Import<'m>, node: &Node<'m>, scales: Vec<f32>) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    let mode = mode(node)?;
    let scales = scales.into_iter().map(F32).collect();
    let op = Resize { scales, sizes: vec![], mode, coord: Coord::Asymmetric, round: NearestRound::Floor };
    checked(cx, node, x, op)
}

fn resize<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    if node.opset < 11 {
        let scales = floats(cx, node, 1)?.ok_or_else(|| Fail::invalid("`scales` are missing"))?;
        return old_resize(cx, node, scales);
    }
    let x = cx.value(node, 0)?;
    let shape = cx.shape(x);
    let rank = shape.len();
    let coord = match node.str_or("coordinate_transformation_mode", "half_pixel")? {
        "half_pixel" => Coord::HalfPixel,
        "pytorch_half_pixel" => Coord::PytorchHalfPixel,
        "align_corners" => Coord::AlignCorners,
        "asymmetric" => Coord::Asymmetric,
        "tf_half_pixel_for_nn" => Coord::TfHalfPixelForNn,
        other => return Err(Fail::unsupported(format!("coordinates of mode `{}`", other.escape_default()))),
    };
    let round = match node.str_or("nearest_mode", "round_prefer_floor")? {
        "round_prefer_floor" => NearestRound::PreferFloor,
        "round_prefer_ceil" => NearestRound::PreferCeil,
        "floor" => NearestRound::Floor,
        "ceil" => NearestRound::Ceil,
        other => return Err(Fail::invalid(format!("`nearest_mode` is `{}`", other.escape_default()))),
    };
    let mode = mode(node)?;
    if mode == ResizeMode::Cubic
        && (node.float_or("cubic_coeff_a", -0.75)? != -0.75 || node.flag("exclude_outside", false)?)
    {
        return Err(Fail::unsupported("cubic interpolation with other coefficients"));
    }
    if node.flag("antialias", false)? {
        return Err(Fail::unsupported("resampling with antialiasing"));
    }
    let on = match node.ints("axes")? {
        Some(list) => axes(list, rank)?,
        None => (0..rank).collect(),
    };
    let given = sizes(cx, node)?;
    let (scales, sizes) = match given {
        Some(sizes) => {
            if node.str_or("keep_aspect_ratio_policy", "stretch")? != "stretch" {
                return Err(Fail::unsupported("resampling that keeps the aspect ratio"));
            }
            expect(sizes.len(), on.len(), "sizes")?;
            let mut all = shape;
            on.iter().zip(sizes).for_each(|(a, s)| all[*a] = s);
            (vec![], all)
        }
        None => {
            let scales =
                floats(cx, node, 2)?.ok_or_else(|| Fail::invalid("both `scales` and `sizes` are missing"))?;
            expect(scales.len(), on.len(), "scales")?;
            let mut all = vec![F32(1.0); rank];
            on.iter().zip(scales).for_each(|(a, s)| all[*a] = F32(s));
            (all, vec![])
        }
    };
    checked(cx, node, x, Resize { scales, sizes, mode, coord, round })
}

fn sizes<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<Option<Vec<Dim>>, Fail> {
    if node.input(3).is_none() {
        return Ok(None);
    }
    let Some(dims) = cx.dims(node, 3)? else {
        return Err(Fail::unsupported("its sizes are computed from data"));
    };
    // An empty tensor stands for an absent one.
    Ok(Some(dims).filter(|d| !d.is_empty()))
}

fn expect(found: usize, wanted: usize, what: &str) -> Result<(), Fail> {
    if found == wanted {
        Ok(())
    } else {
        Err(Fail::invalid(format!("`{what}` has {found} numbers for {wanted} axes")))
    }
}

fn mode(node: &Node) -> Result<ResizeMode, Fail> {
    match node.str_or("mode", "nearest")? {
        "nearest" => Ok(ResizeMode::Nearest),
        "linear" | "bilinear" => Ok(ResizeMode::Linear),
        "cubic" => Ok(ResizeMode::Cubic),
        other => Err(Fail::invalid(format!("`mode` is `{}`", other.escape_default()))),
    }
}

/// The floats of operand `i`; `None` if it is absent or empty.
fn floats<'m>(cx: &mut Import<'m>, node: &Node<'m>, i: usize) -> Result<Option<Vec<f32>>, Fail> {
    if node.input(i).is_none() {
        return Ok(None);
    }
    let Some(t) = cx.tensor(node, i)? else {
        return Err(Fail::unsupported("its scales are computed from data"));
    };
    let list = t.floats().map_err(|r| Fail::invalid(r.message))?.to_vec();
    Ok(Some(list).filter(|l| !l.is_empty()))
}

fn checked<'m>(cx: &mut Import<'m>, node: &Node<'m>, x: quantir_ir::ValueId, op: Resize) -> Result<(), Fail> {
    if let Some(s) = op.scales.iter().find(|s| !(s.0.is_finite() && s.0 > 0.0)) {
        return Err(Fail::invalid(format!("a scale is {}", s.0)));
    }
    if !op.scales.is_empty() {
        expect(op.scales.len(), cx.rank(x), "scales")?;
    }
    cx.finish(node, op, [x])
}
