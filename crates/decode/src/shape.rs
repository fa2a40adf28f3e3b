//! Which paths are wanted, and what the records have looked like so far.
//!
//! The wanted columns form a tree by the names between their dots. Each of its
//! objects remembers the fields of the last record it saw, as raw bytes from
//! the end of one value to the start of the next (`,"amount":`): in the usual
//! case finding a field, wanted or not, is one comparison of bytes. The memory
//! is a guess that is checked every time; it changes speed, never results.

use tiderace_types::Column;

/// The tree of wanted paths. Node 0 is the record itself.
#[derive(Debug)]
pub struct Shape {
    /// The nodes; children come after their parents.
    pub nodes: Vec<Node>,
}

/// One name on the way to a column.
#[derive(Debug, Default)]
pub struct Node {
    /// The columns that end here.
    pub columns: Vec<usize>,
    /// The wanted fields of the object here, sorted by name.
    pub fields: Vec<(Box<[u8]>, usize)>,
    /// The columns that end further inside.
    pub below: Vec<usize>,
    /// How many names lead here.
    pub depth: usize,
    /// The fields of the last object seen here, in its order.
    seen: Vec<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    raw: Vec<u8>,
    /// The beginning of `raw`, and which of its bits count.
    head: Head,
    mask: Head,
    target: Option<usize>,
}

/// The first bytes of a field in words, to be compared without a call.
type Head = [u64; 3];

const HEAD: usize = size_of::<Head>();

impl Seen {
    /// Tells whether `rest` begins with the field.
    #[inline]
    fn begins(&self, rest: &[u8]) -> bool {
        let Some(first) = rest.first_chunk::<HEAD>() else {
            return rest.starts_with(&self.raw);
        };
        let found = words(first);
        let differ = |word: usize| (found[word] ^ self.head[word]) & self.mask[word];
        differ(0) | differ(1) | differ(2) == 0
            && (self.raw.len() <= HEAD || rest.starts_with(&self.raw))
    }
}

#[inline]
fn words(bytes: &[u8; HEAD]) -> Head {
    let (words, _) = bytes.as_chunks::<8>();
    [words[0], words[1], words[2]].map(u64::from_le_bytes)
}

/// A field that was recognised by its bytes.
pub struct Hit {
    /// The node it belongs to, if it is wanted.
    pub target: Option<usize>,
    /// How many bytes it takes, up to its value.
    pub length: usize,
    /// Which field should come next.
    pub next: usize,
}

/// How many fields of an object are remembered.
const MOST_SEEN: usize = 1024;
/// The longest field name, with its punctuation, that is remembered.
const LONGEST_SEEN: usize = 256;
/// How many expected fields may be absent before the guess is given up.
const LOOK_AHEAD: usize = 3;

impl Shape {
    /// Builds the tree for `columns`.
    pub fn new(columns: &[Column]) -> Shape {
        let mut nodes = vec![Node::default()];
        for (index, column) in columns.iter().enumerate() {
            let mut at = 0;
            for name in column.name.split('.') {
                nodes[at].below.push(index);
                at = child(&mut nodes, at, name.as_bytes());
            }
            nodes[at].columns.push(index);
        }
        Shape { nodes }
    }
}

fn child(nodes: &mut Vec<Node>, parent: usize, name: &[u8]) -> usize {
    let fields = &nodes[parent].fields;
    match fields.binary_search_by(|(field, _)| field.as_ref().cmp(name)) {
        Ok(found) => fields[found].1,
        Err(place) => {
            let index = nodes.len();
            let depth = nodes[parent].depth + 1;
            nodes[parent].fields.insert(place, (name.into(), index));
            nodes.push(Node {
                depth,
                ..Node::default()
            });
            index
        }
    }
}

impl Node {
    /// Recognises the field at the start of `rest`, when it is among the next expected ones.
    #[inline]
    pub fn recognise(&self, rest: &[u8], expected: usize) -> Option<Hit> {
        // Only the very first field has no comma before it, so it is not looked past.
        let ahead = if expected == 0 { 1 } else { LOOK_AHEAD };
        for (step, seen) in self.seen.iter().skip(expected).take(ahead).enumerate() {
            if seen.begins(rest) {
                return Some(Hit {
                    target: seen.target,
                    length: seen.raw.len(),
                    next: expected + step + 1,
                });
            }
        }
        None
    }

    /// The node of the field called `name`, if it is wanted.
    pub fn find(&self, name: &[u8]) -> Option<usize> {
        let found = self
            .fields
            .binary_search_by(|(field, _)| field.as_ref().cmp(name));
        found.ok().map(|place| self.fields[place].1)
    }

    /// Remembers that field number `expected` was written `raw` and leads to `target`.
    pub fn learn(&mut self, expected: usize, raw: &[u8], target: Option<usize>) {
        if expected > self.seen.len() || expected >= MOST_SEEN || raw.len() > LONGEST_SEEN {
            return;
        }
        if expected == self.seen.len() {
            self.seen.push(Seen::default());
        }
        let seen = &mut self.seen[expected];
        seen.raw.clear();
        seen.raw.extend_from_slice(raw);
        let (mut head, mut mask) = ([0; HEAD], [0; HEAD]);
        for (index, byte) in raw.iter().take(HEAD).enumerate() {
            (head[index], mask[index]) = (*byte, 0xff);
        }
        (seen.head, seen.mask) = (words(&head), words(&mask));
        seen.target = target;
    }
}
