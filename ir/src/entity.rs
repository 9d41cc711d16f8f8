//! Entity ids and the dense tables they index.
//!
//! An id is a `u32` newtype; a table is a `Vec` indexed by one kind of id. Ids are never reused within one
//! graph, so an id that survives an edit still names the same entity.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

/// A dense, copyable key into an [`Arena`] or a [`SideTable`].
pub trait Entity: Copy + Eq + Ord + fmt::Debug {
    /// The id with this index. Panics above `u32::MAX - 1` entities, far above every import limit.
    fn new(index: usize) -> Self;
    /// The index of this id.
    fn index(self) -> usize;
}

/// Declares id newtypes with the letter that debug output shows them by.
#[macro_export]
macro_rules! entity {
    ($($(#[$doc:meta])* $name:ident $prefix:literal),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u32);
        impl $crate::entity::Entity for $name {
            fn new(index: usize) -> Self {
                $name(u32::try_from(index).expect("fewer than 2^32 entities"))
            }
            fn index(self) -> usize {
                self.0 as usize
            }
        }
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}{}", $prefix, self.0)
            }
        }
    )*};
}

entity! {
    /// A node of a graph.
    NodeId "n",
    /// A value: a graph input or one result of a node.
    ValueId "v",
    /// An interned type.
    TypeId "t",
}

/// A table that owns one `T` for each id ever made.
#[derive(Clone)]
pub struct Arena<K, T> {
    items: Vec<T>,
    key: PhantomData<K>,
}

impl<K: Entity, T> Arena<K, T> {
    /// An empty arena.
    pub fn new() -> Self {
        Arena { items: Vec::new(), key: PhantomData }
    }
    /// Adds `item` and returns its id.
    pub fn push(&mut self, item: T) -> K {
        self.items.push(item);
        K::new(self.items.len() - 1)
    }
    /// How many ids were ever made.
    pub fn len(&self) -> usize {
        self.items.len()
    }
    /// Whether no id was ever made.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
    /// The item of `k`, if `k` belongs to this arena.
    pub fn get(&self, k: K) -> Option<&T> {
        self.items.get(k.index())
    }
    /// All ids with their items, in order of creation.
    pub fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        self.items.iter().enumerate().map(|(i, t)| (K::new(i), t))
    }
}

impl<K: Entity, T> Default for Arena<K, T> {
    fn default() -> Self {
        Self::new()
    }
}
impl<K: Entity, T> Index<K> for Arena<K, T> {
    type Output = T;
    fn index(&self, k: K) -> &T {
        &self.items[k.index()]
    }
}
impl<K: Entity, T> IndexMut<K> for Arena<K, T> {
    fn index_mut(&mut self, k: K) -> &mut T {
        &mut self.items[k.index()]
    }
}

/// An interner: equal content has equal ids, so comparing interned things compares integers.
#[derive(Clone)]
pub struct Unique<K, T> {
    items: indexmap::IndexSet<T>,
    key: PhantomData<K>,
}

impl<K: Entity, T: Eq + std::hash::Hash> Unique<K, T> {
    /// An empty interner.
    pub fn new() -> Self {
        Unique { items: indexmap::IndexSet::new(), key: PhantomData }
    }
    /// The id of `item`, which is added if it is new.
    pub fn intern(&mut self, item: T) -> K {
        K::new(self.items.insert_full(item).0)
    }
    /// The item of `k`, if `k` belongs to this interner.
    pub fn get(&self, k: K) -> Option<&T> {
        self.items.get_index(k.index())
    }
    /// The id of `item` if it is known.
    pub fn find(&self, item: &T) -> Option<K> {
        self.items.get_index_of(item).map(K::new)
    }
}

impl<K: Entity, T: Eq + std::hash::Hash> Default for Unique<K, T> {
    fn default() -> Self {
        Self::new()
    }
}
impl<K: Entity, T> Index<K> for Unique<K, T> {
    type Output = T;
    fn index(&self, k: K) -> &T {
        &self.items[k.index()]
    }
}

/// A table beside an arena: one `T` for each id, `T::default()` where nothing was set.
#[derive(Clone)]
pub struct SideTable<K, T> {
    items: Vec<T>,
    default: T,
    key: PhantomData<K>,
}

impl<K: Entity, T: Clone> SideTable<K, T> {
    /// A table in which each id maps to `default`.
    pub fn new(default: T) -> Self {
        SideTable { items: Vec::new(), default, key: PhantomData }
    }
}
impl<K: Entity, T: Clone> Index<K> for SideTable<K, T> {
    type Output = T;
    fn index(&self, k: K) -> &T {
        self.items.get(k.index()).unwrap_or(&self.default)
    }
}
impl<K: Entity, T: Clone> IndexMut<K> for SideTable<K, T> {
    fn index_mut(&mut self, k: K) -> &mut T {
        if k.index() >= self.items.len() {
            self.items.resize(k.index() + 1, self.default.clone());
        }
        &mut self.items[k.index()]
    }
}

/// A set of ids.
#[derive(Clone)]
pub struct IdSet<K> {
    table: SideTable<K, bool>,
}

impl<K: Entity> IdSet<K> {
    /// The empty set.
    pub fn new() -> Self {
        IdSet { table: SideTable::new(false) }
    }
    /// Adds `k`; true if it was not in the set before.
    pub fn insert(&mut self, k: K) -> bool {
        !std::mem::replace(&mut self.table[k], true)
    }
    /// Removes `k`; true if it was in the set.
    pub fn remove(&mut self, k: K) -> bool {
        std::mem::replace(&mut self.table[k], false)
    }
    /// Whether `k` is in the set.
    pub fn contains(&self, k: K) -> bool {
        self.table[k]
    }
}

impl<K: Entity> Default for IdSet<K> {
    fn default() -> Self {
        Self::new()
    }
}
