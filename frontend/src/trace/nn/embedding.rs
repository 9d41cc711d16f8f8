//! `Embedding`, `EmbeddingBag`.

pub use quantir_ir::ops::embedding::BagMode;

use quantir_ir::ops;

use crate::trace::{Call, Cx, Init, Module, Traced, make};

/// The rows of a table that indices name.
#[derive(Clone, Debug)]
pub struct Embedding {
    rows: usize,
    features: usize,
}
impl Embedding {
    /// A table of `num_embeddings` rows.
    pub fn new(num_embeddings: usize, embedding_dim: usize) -> Embedding {
        Embedding { rows: num_embeddings, features: embedding_dim }
    }
}
impl Module for Embedding {
    fn class(&self) -> String {
        "nn.Embedding".into()
    }
    fn forward(&self, cx: &Cx, x: Traced) -> Traced {
        let table = cx.param("weight", &[self.rows, self.features], Init::Normal);
        make::embedding(&cx.site(Call::Module), &x, &table)
    }
}

/// Sums, means or maxima of bags of rows of a table. Takes indices `[B,K]`, or indices `[L]` and offsets.
#[derive(Clone, Debug)]
pub struct EmbeddingBag {
    rows: usize,
    features: usize,
    mode: BagMode,
    include_last_offset: bool,
    padding_idx: i64,
}
impl EmbeddingBag {
    /// A table of `num_embeddings` rows; bags are averaged.
    pub fn new(num_embeddings: usize, embedding_dim: usize) -> EmbeddingBag {
        EmbeddingBag {
            rows: num_embeddings,
            features: embedding_dim,
            mode: BagMode::Mean,
            include_last_offset: false,
            padding_idx: -1,
        }
    }
    /// What is done with the rows of a bag.
    pub fn mode(mut self, mode: BagMode) -> EmbeddingBag {
        self.mode = mode;
        self
    }
    /// Whether the last offset is the end of the last bag.
    pub fn include_last_offset(mut self, include: bool) -> EmbeddingBag {
        self.include_last_offset = include;
        self
    }
    /// The index whose entries are left out of bags.
    pub fn padding_idx(mut self, index: i64) -> EmbeddingBag {
        self.padding_idx = index;
        self
    }
    fn bags(&self, cx: &Cx, x: &Traced, offsets: Option<&Traced>, weights: Option<&Traced>) -> Traced {
        let table = cx.param("weight", &[self.rows, self.features], Init::Normal);
        let op = ops::EmbeddingBag {
            mode: self.mode,
            include_last_offset: self.include_last_offset,
            padding_idx: self.padding_idx,
        };
        cx.site(Call::Module).push_last(op.into(), &[Some(x), Some(&table), offsets, weights], true)
    }
}
impl Module for EmbeddingBag {
    fn class(&self) -> String {
        "nn.EmbeddingBag".into()
    }
    fn forward(&self, cx: &Cx, x: Traced) -> Traced {
        self.bags(cx, &x, None, None)
    }
}
impl Module<(Traced, Traced)> for EmbeddingBag {
    fn class(&self) -> String {
        "nn.EmbeddingBag".into()
    }
    fn forward(&self, cx: &Cx, (x, offsets): (Traced, Traced)) -> Traced {
        self.bags(cx, &x, Some(&offsets), None)
    }
}
impl Module<(Traced, Traced, Traced)> for EmbeddingBag {
    fn class(&self) -> String {
        "nn.EmbeddingBag".into()
    }
    fn forward(&self, cx: &Cx, (x, offsets, weights): (Traced, Traced, Traced)) -> Traced {
        self.bags(cx, &x, Some(&offsets), Some(&weights))
    }
}
