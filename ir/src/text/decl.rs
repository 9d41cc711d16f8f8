//! The header and the declarations: `dim`, `quant`, `module`, `observer`.

use std::sync::Arc;

use crate::diag::Diag;
use crate::graph::{Name, ObserverSpec, Phase};
use crate::quant::{QParams, Quant, Zeros};
use crate::text::lex::{Tok, Token};
use crate::text::parse::{Parser, suggest};
use crate::text::quote::{is_symbol, sigil};
use crate::types::Storage;

/// The version of the format in the header line.
pub(crate) const VERSION: i64 = 1;

impl Parser<'_, '_> {
    /// `qir 1 <phase>`
    pub fn header(&mut self) -> Result<(), Diag> {
        if !self.is_word("qir") {
            let d = self.expected("the header line `qir 1 <phase>`");
            // Declarations or the graph may follow at once; they are still worth reading.
            self.report(d);
            return Ok(());
        }
        self.bump();
        let at = self.cur;
        let version = self.int("the format's version")?;
        if version != VERSION {
            let d = Diag::error("version", format!("format version {version} is not known here"))
                .label(at.range(), format!("expected {VERSION}"))
                .help("this text was written by another version of the program");
            return Err(d);
        }
        let t = self.expect(Tok::Word, "a phase: `float`, `observed`, `reference` or `integer`")?;
        let word = self.slice(t);
        match Phase::ALL.into_iter().find(|p| p.word() == word) {
            Some(p) => self.g.phase = p,
            None => {
                let d = Diag::error("phase", format!("unknown phase `{word}`"));
                let d = d.label(t.range(), "no phase");
                let help = match suggest(word, Phase::ALL.iter().map(|p| p.word())) {
                    Some(k) => format!("did you mean `{k}`?"),
                    None => "phases are `float`, `observed`, `reference` and `integer`".into(),
                };
                return Err(d.help(help));
            }
        }
        self.end_of_line()
    }

    /// A `dim`, `quant`, `module` or `observer` line, at its first word.
    pub fn declaration(&mut self) -> Result<(), Diag> {
        let t = self.bump();
        match self.slice(t) {
            "dim" => self.dim(),
            "quant" => self.quant(),
            "module" => self.module(),
            _ => self.observer(),
        }?;
        self.end_of_line()
    }

    /// `N = 1..64`
    fn dim(&mut self) -> Result<(), Diag> {
        let t = self.expect(Tok::Word, "a symbol such as `N`")?;
        let word = self.slice(t);
        if !is_symbol(word) {
            let d = Diag::error("dim", format!("`{word}` cannot name a dimension"));
            return Err(d.label(t.range(), "has a meaning of its own"));
        }
        self.punct(b'=')?;
        let lo = self.int("the smallest value")?;
        self.expect(Tok::Dots, "`..`")?;
        let hi = match self.cur.kind {
            Tok::Newline | Tok::End => None,
            _ => Some(self.int("the largest value")?),
        };
        if self.g.dims.0.insert(word.into(), (lo, hi)).is_some() {
            let d = Diag::error("name", format!("dimension `{word}` is declared twice"));
            return Err(d.label(t.range(), "declared again"));
        }
        self.source.dims.push(t.range());
        Ok(())
    }

    /// `@features.0 = "nn.Conv2d"`
    fn module(&mut self) -> Result<(), Diag> {
        let t = self.expect(Tok::Path, "a module's path such as `@features.0`")?;
        let path = self.shared(t)?;
        self.punct(b'=')?;
        let class = self.expect(Tok::Str, "the module's class such as `\"nn.Conv2d\"`")?;
        let class = self.shared(class)?;
        if self.g.modules.insert(path.clone(), class).is_some() {
            let d = Diag::error("name", format!("module `{}` is declared twice", sigil('@', &path)));
            return Err(d.label(t.range(), "declared again"));
        }
        Ok(())
    }

    /// `!name = i8[-128:127] …`
    fn quant(&mut self) -> Result<(), Diag> {
        let (t, name) = self.name(Tok::Quant, "a name such as `!act0`")?;
        if self.quants.contains_key(&name) {
            let d = Diag::error("name", format!("quantization `{}` is declared twice", sigil('!', &name)));
            return Err(d.label(t.range(), "declared again"));
        }
        // A declaration with an error is known, so that its uses are no errors of their own.
        self.quants.insert(name.clone(), None);
        self.punct(b'=')?;
        let (storage, range) = self.storage_and_range()?;
        let params = self.params()?;
        let q = Arc::new(Quant { storage, range, params });
        self.g.quant_names.entry(q.clone()).or_insert_with(|| name.clone());
        self.quants.insert(name, Some(q));
        Ok(())
    }

    /// `i8[-128:127]`
    fn storage_and_range(&mut self) -> Result<(Storage, (i64, i64)), Diag> {
        let t = self.expect(Tok::Word, "an integer storage such as `i8`")?;
        let storage = self.storage(t)?;
        Ok((storage, self.range()?))
    }

    fn range(&mut self) -> Result<(i64, i64), Diag> {
        self.punct(b'[')?;
        let lo = self.int("the smallest integer")?;
        self.punct(b':')?;
        let hi = self.int("the largest integer")?;
        self.punct(b']')?;
        Ok((lo, hi))
    }

    fn params(&mut self) -> Result<QParams, Diag> {
        let t = self.expect(Tok::Word, "`scale`, `axis`, `product` or `dynamic`")?;
        match self.slice(t) {
            "scale" => {
                let scale = self.float("a scale")?;
                self.keyword("zp")?;
                Ok(QParams::Tensor { scale, zero: self.zero()? })
            }
            "axis" => {
                let axis = self.small("an axis")?;
                let size = if self.is_word("group") {
                    self.bump();
                    Some(self.small("the number of elements in a group")?)
                } else {
                    None
                };
                self.keyword("scale")?;
                let scale: Arc<[f32]> = self.list(|p| p.float("a scale"))?.into();
                self.keyword("zp")?;
                let zero = if self.is_word("f32") {
                    self.bump();
                    Zeros::Float(self.list(|p| p.float("a zero point"))?.into())
                } else if self.is(b'[') {
                    Zeros::Each(self.list(Parser::zero)?.into())
                } else {
                    Zeros::All(self.zero()?)
                };
                Ok(match size {
                    Some(size) => QParams::Group { axis, size, scale, zero },
                    None => QParams::Axis { axis, scale, zero },
                })
            }
            "product" => {
                self.punct(b'(')?;
                let x = self.factor()?;
                self.punct(b',')?;
                let w = self.factor()?;
                self.punct(b')')?;
                Ok(QParams::Product(x, w))
            }
            "dynamic" => Ok(QParams::Dynamic),
            word => Err(Diag::error("syntax", format!("`{word}` says no parameters"))
                .label(t.range(), "expected `scale`, `axis`, `product` or `dynamic`")),
        }
    }

    /// A factor of a product, which is no product itself: so the size of a quantization is bounded by its text.
    fn factor(&mut self) -> Result<Arc<Quant>, Diag> {
        let t = self.expect(Tok::Quant, "a quantization such as `!act0`")?;
        let Some(q) = self.quant_named(t)? else {
            return Ok(Arc::new(Quant::tensor(Storage::U8, 1.0, 0)));
        };
        if matches!(q.params, QParams::Product(..)) {
            let d = Diag::error("quant", format!("`{}` is a product itself", self.slice(t)));
            return Err(d.label(t.range(), "a factor has scales of its own"));
        }
        Ok(q)
    }

    /// The quantization that a token names; `None` if its declaration had an error, which was reported.
    pub fn quant_named(&mut self, t: Token) -> Result<Option<Arc<Quant>>, Diag> {
        let name = self.lex.content(t)?;
        match self.quants.get(name.as_ref()) {
            Some(q) => Ok(q.clone()),
            None => {
                let d = Diag::error("unknown-quant", format!("unknown quantization `{}`", sigil('!', &name)));
                let mut known: Vec<&Name> = self.quants.keys().collect();
                known.sort();
                let d = d.label(t.range(), "not declared above");
                Err(match suggest(&name, known.into_iter().map(|n| &**n)) {
                    Some(k) => d.help(format!("did you mean `{}`?", sigil('!', k))),
                    None => d.help(format!(
                        "declare it above the graph: `quant {} = u8[0:255] scale 0.5 zp 0`",
                        sigil('!', &name)
                    )),
                })
            }
        }
    }

    /// `$name = histogram(2048) u8[0:127] affine`
    fn observer(&mut self) -> Result<(), Diag> {
        let (t, name) = self.name(Tok::Observer, "a name such as `$act0`")?;
        self.punct(b'=')?;
        let k = self.expect(Tok::Word, "a kind of observer such as `minmax`")?;
        let kind = self.slice(k).to_string();
        let args = if self.is(b'(') { self.group(b'(', b')', |p| p.float("a number"))? } else { vec![] };
        let t_storage = self.expect(Tok::Word, "a storage such as `i8`")?;
        let storage = self.storage(t_storage)?;
        let range = if self.is(b'[') { self.range()? } else { (0, 0) };
        let s = self.expect(Tok::Word, "`affine`, `symmetric` or `float_qparams`")?;
        let (symmetric, float_zero) = match self.slice(s) {
            "affine" => (false, false),
            "symmetric" => (true, false),
            "float_qparams" => (false, true),
            word => {
                let d = Diag::error("syntax", format!("`{word}` is no scheme"));
                return Err(d.label(s.range(), "expected `affine`, `symmetric` or `float_qparams`"));
            }
        };
        let axis = if self.eat(b'(') {
            let a = self.small("an axis")?;
            self.punct(b')')?;
            Some(a)
        } else {
            None
        };
        let mut spec =
            ObserverSpec { args, range, symmetric, axis, float_zero, ..ObserverSpec::new(&kind, storage) };
        loop {
            if self.is_word("eps") {
                self.bump();
                spec.eps = self.float("the least scale")?;
                continue;
            }
            let flag = match self.slice(self.cur) {
                "dynamic" => &mut spec.dynamic,
                "custom_range" => &mut spec.custom_range,
                _ => break,
            };
            *flag = true;
            self.bump();
        }
        if self.g.observers.insert(name.clone(), spec).is_some() {
            let d = Diag::error("name", format!("observer `{}` is declared twice", sigil('$', &name)));
            return Err(d.label(t.range(), "declared again"));
        }
        self.source.observers.push(t.range());
        Ok(())
    }

    // ---- numbers

    /// A number with its sign as it is written, or the end of its word: `-0.5`, `inf`.
    fn signed(&mut self, words: bool, what: &str) -> Result<(String, Token), Diag> {
        let first = self.cur;
        let sign = if self.eat(b'-') { "-" } else { "" };
        let word = words && matches!(self.slice(self.cur), "inf" | "nan");
        if self.cur.kind != Tok::Number && !word {
            return Err(self.expected(what));
        }
        let t = self.bump();
        let text = format!("{sign}{}", self.slice(t));
        Ok((text, Token { start: first.start, ..t }))
    }

    /// An integer with its sign.
    pub fn int(&mut self, what: &str) -> Result<i64, Diag> {
        let (text, t) = self.signed(false, what)?;
        text.parse().map_err(|_| bad_number(&text, t, "a 64-bit integer"))
    }
    fn small<T: TryFrom<i64>>(&mut self, what: &str) -> Result<T, Diag> {
        let t = self.cur;
        let n = self.int(what)?;
        T::try_from(n).map_err(|_| bad_number(&n.to_string(), t, what))
    }
    fn zero(&mut self) -> Result<i32, Diag> {
        self.small("a zero point")
    }
    /// A float with its sign.
    pub fn float(&mut self, what: &str) -> Result<f32, Diag> {
        let (text, t) = self.signed(true, what)?;
        to_float(&text).ok_or_else(|| bad_number(&text, t, "a 32-bit float"))
    }
    fn list<T>(&mut self, item: impl FnMut(&mut Self) -> Result<T, Diag>) -> Result<Vec<T>, Diag> {
        self.group(b'[', b']', item)
    }
    fn group<T>(
        &mut self,
        open: u8,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Result<T, Diag>,
    ) -> Result<Vec<T>, Diag> {
        self.punct(open)?;
        let mut items = Vec::new();
        while !self.is(close) {
            items.push(item(self)?);
            if !self.eat(b',') {
                break;
            }
        }
        self.punct(close)?;
        Ok(items)
    }
}

/// A written number as a float, unless it overflows to infinity or underflows to zero.
pub(crate) fn to_float(text: &str) -> Option<f32> {
    let x: f32 = text.parse().ok()?;
    let digits = text.trim_start_matches('-');
    let mantissa = digits.split(['e', 'E']).next().unwrap_or("");
    let vanished = x == 0.0 && mantissa.bytes().any(|b| (b'1'..=b'9').contains(&b));
    let overflowed = x.is_infinite() && digits != "inf";
    (!vanished && !overflowed).then_some(x)
}

pub(crate) fn bad_number(text: &str, t: Token, what: &str) -> Diag {
    Diag::error("syntax", format!("`{text}` does not fit {what}")).label(t.range(), "this number")
}
